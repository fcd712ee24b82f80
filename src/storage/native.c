#include "storage/native.h"

#include "io/drill.h"
#include "net/error.h"
#include "storage/internal.h"
#include "storage/native_op.h"

uint64_t native_bytes(uint32_t request_max, uint32_t chunk_size)
{
    return pool_bytes(sizeof(struct native_op), request_max + NATIVE_RELAYS + NATIVE_RESERVE, 0)
           + pool_bytes(NATIVE_PAGE_SIZE, NATIVE_PAGES, 0) + list_memory_bytes(chunk_size);
}

static err_t take(struct native *native, uint32_t request_max)
{
    struct storage_loop *loop = native->loop;
    struct ledger *ledger = &loop->io->ledger;
    TRY(pool_init(&native->ops, &loop->mem, ledger, "native.operations", sizeof(struct native_op),
        request_max + NATIVE_RELAYS + NATIVE_RESERVE, 0, &native->owner));
    TRY(pool_init(&native->pages, &loop->mem, ledger, "native.pages", NATIVE_PAGE_SIZE,
        NATIVE_PAGES, 0, &native->owner));
    TRY(list_memory_init(&native->list, &loop->mem, &native->owner, loop->store.config.chunk_size));
    return native_node_init(&native->node, loop, &native->owner);
}

static void give(struct native *native)
{
    native_node_fini(&native->node);
    if (native->list.mem)
        list_memory_fini(&native->list);
    if (native->pages.mem)
        pool_fini(&native->pages);
    if (native->ops.mem)
        pool_fini(&native->ops);
    owner_close(&native->owner);
}

err_t native_init(struct native *native, struct storage_loop *loop, uint32_t request_max)
{
    *native = (struct native){.loop = loop};
    owner_open(&native->owner, "native", DIRECTION_CLIENT, io_now(loop->io));
    list_init(&native->running);
    err_t err = take(native, request_max);
    if (err_is(err))
        give(native);
    return err;
}

void native_fini(struct native *native)
{
    CHECK(native->running_count == 0);
    give(native);
}

/* ---- operations ---- */

/* An operator's question finds room when all operations are taken. */
static bool has_room(const struct native *native, const struct net_request *request)
{
    return native->ops.free_count > NATIVE_RESERVE
           || (request && request->frame.type == MSG_STATUS);
}

struct native_op *native_op_open(struct native *native, struct net_request *request)
{
    struct native_op *op =
        has_room(native, request) ? pool_take(&native->ops, &native->owner) : NULL;
    if (!op)
        return NULL;
    memset(op, 0, offsetof(struct native_op, file));
    op->native = native;
    op->request = request;
    op->type = request ? request->frame.type : 0;
    list_push_back(&native->running, &op->link);
    native->running_count++;
    return op;
}

void native_op_close(struct native_op *op)
{
    struct native *native = op->native;
    if (op->page)
        pool_give(&native->pages, op->page);
    if (op->sheet)
        pool_give(&native->node.sheets, op->sheet);
    if (op->walk_memory)
        pool_give(&native->node.walks, op->walk_memory);
    if (op->type == MSG_UPLOAD && DRILL_IS_ON(native->loop->io, TIMER))
        DRILL_LEAK_TIMER(native->loop->io, &native->owner);
    if (op->request)
        net_request_end(op->request);
    list_remove(&op->link);
    native->running_count--;
    pool_give(&native->ops, op);
}

static struct version conflicting(const struct native_op *op)
{
    return op->type == MSG_MODIFY   ? op->file.modify.result.version
           : op->type == MSG_DELETE ? op->file.remove.result.version
                                    : (struct version){0};
}

/* A storage that is not running has not heard of everything: what it lacks may be there. */
static bool may_be_elsewhere(const struct storage_loop *loop, uint8_t type, err_t err)
{
    return loop->state < STATE_RUNNING
           && (type == MSG_FIND || type == MSG_STAT || type == MSG_TRANSLATE)
           && err_has(err, ERR_CODE_NOT_FOUND);
}

void native_op_fail(struct native_op *op, err_t err)
{
    struct version version =
        err_has(err, ERR_CODE_CONFLICT) ? conflicting(op) : (struct version){0};
    if (!op->is_told && may_be_elsewhere(op->native->loop, op->type, err))
        err = ERR(UNAVAILABLE, 0);
    op->native->loop->counters.refused++;
    if (DRILL_IS_ON(op->native->loop->io, ERROR_SLOT)
        && op->native->ops.free_count > NATIVE_RESERVE)
        (void)pool_take(&op->native->ops, &op->native->owner);
    net_reply_error(op->request, err, version);
    native_op_close(op);
}

/* ---- refusals ---- */

void native_refuse_saying(
    struct storage_loop *loop, struct net_request *request, err_t err, const char *text)
{
    struct writer fields = net_reply_begin(request);
    loop->counters.refused++;
    error_encode(err, text, (struct version){0}, &fields);
    net_reply(request, MSG_ERROR, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static const char not_running[] = "this storage is not running yet: it catches up with its group";

void native_refuse(struct storage_loop *loop, struct net_request *request, err_t err)
{
    if (may_be_elsewhere(loop, request->frame.type, err))
        native_refuse_saying(loop, request, ERR(UNAVAILABLE, 0), not_running);
    else
        native_refuse_saying(loop, request, err, err_sentence(err.code));
}

/* Changes would be based on what may be old. */
static bool needs_running(uint8_t type)
{
    return type == MSG_UPLOAD || type == MSG_MODIFY || type == MSG_DELETE;
}

/* ---- mirrors ---- */

bool native_holds(struct native_op *op, uint8_t reached)
{
    push_hold_none(&op->hold, op->native->loop, reached);
    return op->ack >= ACK_ONE;
}

static void hold_over(struct push_hold *hold)
{
    struct native_op *op = CONTAINER_OF(hold, struct native_op, hold);
    void (*reply)(struct native_op * op) = hold->context;
    reply(op);
    native_op_close(op);
}

void native_hold(struct native_op *op, const struct stream *stream, const struct log_append *append,
    void (*reply)(struct native_op *op))
{
    op->hold.done = hold_over;
    op->hold.context = reply;
    push_hold_append(&op->hold, op->native->loop, stream, append, op->ack);
}

err_t native_fid(struct storage_loop *loop, struct span text, struct fid *ret)
{
    TRY(fid_parse(text, ret));
    return store_check_id(&loop->store, ret);
}

bool native_moves(struct storage_loop *loop, struct net_request *request, const struct fid *fid)
{
    uint16_t owner = store_owner_loop(&loop->store, fid);
    if (owner == loop->index)
        return false;
    net_request_move(request, &loop->storage->loops[owner].server);
    return true;
}

/* ---- bodies: frames come as the operation asks for them ---- */

static void body_woken(struct net_request *request)
{
    struct native_op *op = request->op;
    op->body.data = request->data;
    op->body.is_last = !request->has_more;
    op->body.err = request->body_err;
    op->native->loop->counters.bytes_in += request->data.size;
    machine_arrive(op->body_machine);
}

static void body_next(struct body *body, struct machine *machine)
{
    struct native_op *op = CONTAINER_OF(body, struct native_op, body);
    op->body_machine = machine;
    body->data = span_of(NULL, 0);
    net_request_next_data(op->request, body_woken);
}

void native_body_begin(struct native_op *op)
{
    op->request->op = op;
    op->body = (struct body){
        .data = op->request->data, .is_last = !op->request->has_more, .next = body_next};
    op->native->loop->counters.bytes_in += op->request->data.size;
}

/* ---- pieces: bytes leave in frames ---- */

static void piece_sent(struct net_request *request, err_t err)
{
    struct native_op *op = request->op;
    if (err_is(err) || op->piece.rest.size == 0) {
        op->piece.left(op, err);
        return;
    }
    struct writer fields = net_reply_begin(request);
    native_piece_send(op, MSG_DATA, &fields);
}

void native_piece_send(struct native_op *op, uint8_t type, const struct writer *fields)
{
    struct native_piece *piece = &op->piece;
    size_t size = piece->rest.size < FRAME_DATA_MAX ? piece->rest.size : FRAME_DATA_MAX;
    piece->iov = (struct iovec){(void *)(uintptr_t)piece->rest.data, size};
    piece->rest = span_of(piece->rest.data + size, piece->rest.size - size);
    piece->is_begun = true;
    op->request->op = op;
    if (op->type == MSG_FIND)
        op->native->loop->counters.bytes_out += size;
    bool has_more = piece->rest.size > 0 || !piece->is_last;
    net_reply(op->request, type, has_more ? FRAME_MORE : 0, fields, &piece->iov, 1, piece_sent);
}

/* ---- requests ---- */

static void serve_ping(struct native *native, struct net_request *request)
{
    struct writer fields = net_reply_begin(request);
    msg_pong_encode(
        &(struct msg_pong){.role = SERVER_STORAGE, .state = native->loop->state}, &fields);
    net_reply(request, MSG_PONG, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static void serve(struct native *native, struct net_request *request)
{
    switch (request->frame.type) {
    case MSG_UPLOAD:
        native_upload(native, request);
        break;
    case MSG_FIND:
        native_find(native, request);
        break;
    case MSG_MODIFY:
        native_modify(native, request);
        break;
    case MSG_DELETE:
        native_delete(native, request);
        break;
    case MSG_STAT:
        native_stat(native, request);
        break;
    case MSG_LIST:
        native_list(native, request);
        break;
    case MSG_STATUS:
        native_status(native, request);
        break;
    case MSG_FOLLOW:
        native_follow(native, request);
        break;
    case MSG_PUSH:
        native_push(native, request);
        break;
    case MSG_PUSH_SINGLE:
        native_push_single(native, request);
        break;
    case MSG_POSITIONS:
        native_positions(native, request);
        break;
    case MSG_UNITS:
        native_units(native, request);
        break;
    case MSG_INVENTORY:
        native_inventory(native, request);
        break;
    case MSG_HARVEST:
        native_harvest(native, request);
        break;
    case MSG_FETCH:
        native_fetch(native, request);
        break;
    case MSG_RECALL:
        native_recall(native, request);
        break;
    case MSG_VERIFY:
        native_verify(native, request);
        break;
    case MSG_MEMBER:
        native_member(native, request);
        break;
    case MSG_NAMES:
        native_names(native, request);
        break;
    case MSG_TRANSLATE:
        native_translate(native, request);
        break;
    default:
        native_refuse_saying(
            native->loop, request, ERR(UNSUPPORTED, 0), "a storage does not serve this message");
    }
}

void native_on_request(struct net_server *server, struct net_request *request)
{
    struct native *native = &storage_loop_of(server)->native;
    if (request->frame.type == MSG_PING)
        serve_ping(native, request);
    else if (native->loop->phase < STORAGE_PHASE_RUNNING)
        native_refuse_saying(native->loop, request, ERR(UNAVAILABLE, 0), "the storage is starting");
    else if (native->loop->state < STATE_RUNNING && needs_running(request->frame.type))
        native_refuse_saying(native->loop, request, ERR(UNAVAILABLE, 0), not_running);
    else
        serve(native, request);
}
