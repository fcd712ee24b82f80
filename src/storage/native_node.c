#include "storage/native_node.h"

#include "storage/full_entry.h"
#include "storage/native_op.h"

/* A page of INVENTORY fills a frame; a HARVEST has at least the largest packed file. */
static size_t sheet_size(const struct store_config *config)
{
    size_t file = store_work_size(config) + FULL_ENTRY_PLAIN_MAX;
    return file > FRAME_DATA_MAX ? file : FRAME_DATA_MAX;
}

uint64_t native_node_bytes(const struct store_config *config)
{
    return pool_bytes(sheet_size(config), NATIVE_NODE_SHEETS, 0)
           + pool_bytes(sizeof(struct unit_walk_memory), NATIVE_NODE_WALKS, 0);
}

err_t native_node_init(struct native_node *node, struct storage_loop *loop, struct owner *owner)
{
    struct ledger *ledger = &loop->io->ledger;
    TRY(pool_init(&node->sheets, &loop->mem, ledger, "native.sheets",
        sheet_size(&loop->store.config), NATIVE_NODE_SHEETS, 0, owner));
    return pool_init(&node->walks, &loop->mem, ledger, "native.walks",
        sizeof(struct unit_walk_memory), NATIVE_NODE_WALKS, 0, owner);
}

void native_node_fini(struct native_node *node)
{
    if (node->walks.mem)
        pool_fini(&node->walks);
    if (node->sheets.mem)
        pool_fini(&node->sheets);
}

bool native_node_stream(struct storage_loop *loop, struct net_request *request, uint32_t machine,
    uint8_t mount, uint8_t stream, struct stream **ret)
{
    struct fid fid = {
        .identity = {.clock = 1, .origin = machine}, .mount = mount, .stream = stream};
    memcpy(fid.group, loop->store.config.group, sizeof fid.group);
    err_t err = store_check_id(&loop->store, &fid);
    if (!err_is(err) && native_moves(loop, request, &fid))
        return false;
    if (!err_is(err))
        err = store_stream_of(&loop->store, &fid, ret);
    if (err_is(err))
        native_refuse(loop, request, err_has(err, ERR_CODE_WRONG_NODE) ? ERR(NOT_FOUND, 0) : err);
    return !err_is(err);
}

struct native_op *native_node_open(struct native *native, struct net_request *request)
{
    struct native_op *op = native_op_open(native, request);
    if (op)
        op->sheet = pool_take(&native->node.sheets, &native->owner);
    if (op && op->sheet)
        return op;
    if (op)
        native_op_fail(op, ERR(BUSY, 0));
    else
        native_refuse(native->loop, request, ERR(BUSY, 0));
    return NULL;
}

static void sheet_left(struct native_op *op, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    native_op_close(op);
}

void native_sheet_send(struct native_op *op, size_t size, uint8_t type, const struct writer *fields)
{
    op->piece.rest = span_of(op->sheet, size);
    op->piece.is_last = true;
    op->piece.left = sheet_left;
    op->is_told = true;
    native_piece_send(op, type, fields);
}
