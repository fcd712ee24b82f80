/* FIND and STAT: on the loop that the request came to. Where that loop met something that only the
 * owner of the file can judge, the owner does it (relay.c). */
#include "storage/native_op.h"

/* What only the owner of the file can judge is asked of it, as long as nothing was told. */
static void read_over(struct native_op *op, err_t err)
{
    if (err_has(err, ERR_CODE_UNAVAILABLE) && !op->is_told)
        native_relay_begin(op);
    else if (err_is(err))
        native_op_fail(op, err);
    else
        native_op_close(op);
}

/* ---- find ---- */

void native_found_send(struct native_op *op, const struct slot_header *header,
    struct span attributes, uint64_t offset, uint64_t end)
{
    struct writer fields = net_reply_begin(op->request);
    msg_found_encode(&(struct msg_found){.version = header->version,
                         .total = header->size,
                         .offset = offset,
                         .size = end - offset,
                         .crc = header->content_crc,
                         .create_ns = header->create_ns,
                         .modify_ns = header->modify_ns,
                         .content_type = attribute_find(attributes, ATTRIBUTE_CONTENT_TYPE)},
        &fields);
    op->is_told = true;
    op->native->loop->counters.finds++;
    native_piece_send(op, MSG_FOUND, &fields);
}

static void find_piece_left(struct native_op *op, err_t err)
{
    op->outlet.err = err;
    machine_arrive(op->outlet_machine);
}

static void find_put(struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct native_op *op = CONTAINER_OF(outlet, struct native_op, outlet);
    const struct find *find = &op->file.find;
    op->outlet_machine = machine;
    op->piece.rest = data;
    op->piece.is_last = is_last;
    op->piece.left = find_piece_left;
    if (!op->is_told) {
        native_found_send(
            op, &find->object.header, find->object.attributes, find->offset, find->end);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    native_piece_send(op, MSG_DATA, &fields);
}

static void find_known(struct find *find)
{
    (void)find; /* told together with the first piece */
}

static void find_over(struct find *find)
{
    read_over(find->context, find->machine.err);
}

void native_find(struct native *native, struct net_request *request)
{
    struct msg_find msg;
    struct fid fid;
    err_t err = msg_find_decode(request->meta, &msg);
    if (!err_is(err))
        err = native_fid(native->loop, msg.id, &fid);
    struct native_op *op = err_is(err) ? NULL : native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, err_is(err) ? err : ERR(BUSY, 0));
        return;
    }
    op->fid = fid;
    op->outlet = (struct outlet){.put = find_put};
    op->file.find = (struct find){.fid = fid,
        .offset = msg.offset,
        .size = msg.size,
        .if_version = msg.if_version,
        .local_only = msg.local_only != 0,
        .on_result = find_known,
        .done = find_over,
        .context = op};
    find_start(&op->file.find, &native->loop->store, &op->outlet);
}

/* ---- stat ---- */

static uint64_t expires_of(struct span attributes)
{
    struct span value = attribute_find(attributes, ATTRIBUTE_EXPIRES);
    return value.size == 8 ? get_u64(value.data) : 0;
}

void native_stated_send(struct native_op *op, const struct slot_header *header,
    struct span attributes, bool is_packed, bool is_forwarded, uint64_t capacity)
{
    struct writer fields = net_reply_begin(op->request);
    msg_stated_encode(&(struct msg_stated){.version = header->version,
                          .size = header->size,
                          .crc = header->content_crc,
                          .create_ns = header->create_ns,
                          .modify_ns = header->modify_ns,
                          .is_mutable = (header->flags & SLOT_MUTABLE) != 0,
                          .is_packed = is_packed,
                          .is_forwarded = is_forwarded,
                          .capacity = capacity,
                          .origin = header->identity.origin,
                          .expires = expires_of(attributes),
                          .pool = attribute_find(attributes, ATTRIBUTE_POOL),
                          .content_type = attribute_find(attributes, ATTRIBUTE_CONTENT_TYPE),
                          .metadata = attribute_find(attributes, ATTRIBUTE_METADATA)},
        &fields);
    op->is_told = true;
    op->native->loop->counters.stats++;
    net_reply(op->request, MSG_STATED, 0, &fields, NULL, 0, NULL);
}

static void stat_told(struct stat_file *stat)
{
    const struct object *object = &stat->object;
    const struct slot_header *header = &object->header;
    uint64_t capacity =
        stat->is_packed ? slot_capacity(header->slot_size, header->attributes_size) : header->size;
    native_stated_send(stat->context, header, object->attributes, stat->is_packed,
        !place_equals(&object->home, &object->place), capacity);
}

static void stat_over(struct stat_file *stat)
{
    read_over(stat->context, stat->machine.err);
}

void native_stat(struct native *native, struct net_request *request)
{
    struct msg_stat msg;
    struct fid fid;
    err_t err = msg_stat_decode(request->meta, &msg);
    if (!err_is(err))
        err = native_fid(native->loop, msg.id, &fid);
    struct native_op *op = err_is(err) ? NULL : native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, err_is(err) ? err : ERR(BUSY, 0));
        return;
    }
    op->fid = fid;
    op->file.stat =
        (struct stat_file){.fid = fid, .on_result = stat_told, .done = stat_over, .context = op};
    stat_start(&op->file.stat, &native->loop->store);
}
