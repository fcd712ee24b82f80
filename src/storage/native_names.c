/* NAMES and TRANSLATE: old names of imported files (decision 24). */
#include "storage/internal.h"
#include "storage/native_op.h"

/* ---- NAMES: on loop 0, which keeps the list ---- */

static void named(struct names_waiter *waiter, err_t err)
{
    struct native_op *op = CONTAINER_OF(waiter, struct native_op, named);
    if (err_is(err)) {
        native_op_fail(op, err);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    msg_named_encode(
        &(struct msg_named){.count = op->native->loop->storage->names.names.count}, &fields);
    net_reply(op->request, MSG_NAMED, 0, &fields, NULL, 0, NULL);
    native_op_close(op);
}

void native_names(struct native *native, struct net_request *request)
{
    struct storage *storage = native->loop->storage;
    struct msg_names msg;
    if (native->loop->index != 0) {
        net_request_move(request, &storage->loops[0].server);
        return;
    }
    err_t err = msg_names_decode(request->meta, &msg);
    if (!err_is(err))
        err = names_add(&storage->names, msg.id);
    struct native_op *op = err_is(err) ? NULL : native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, err_is(err) ? err : ERR(BUSY, 0));
        return;
    }
    op->named.known = named;
    names_wait(&storage->names, &op->named);
}

/* ---- TRANSLATE: on any loop ---- */

static void looked_up(struct name_lookup *lookup)
{
    struct native_op *op = lookup->context;
    char text[FID_TEXT_MAX];
    err_t err = lookup->err;
    if (!err_is(err) && lookup->name.tail.size > 0)
        err = ERR(NOT_FOUND, 0); /* a slave that was made here: known at the FastDFS door only */
    if (err_is(err)) {
        native_op_fail(op, err);
        return;
    }
    size_t size = fid_format(&lookup->name.fid, text);
    struct writer fields = net_reply_begin(op->request);
    msg_translated_encode(&(struct msg_translated){.id = span_of(text, size)}, &fields);
    net_reply(op->request, MSG_TRANSLATED, 0, &fields, NULL, 0, NULL);
    native_op_close(op);
}

/* "group1/M00/...": what is behind our group's name. */
static bool is_of_group(const struct storage_loop *loop, struct span id, struct span *ret_name)
{
    size_t size = strlen(loop->store.config.group);
    if (id.size <= size || memcmp(id.data, loop->store.config.group, size) != 0
        || id.data[size] != '/')
        return false;
    *ret_name = span_of(id.data + size + 1, id.size - size - 1);
    return true;
}

void native_translate(struct native *native, struct net_request *request)
{
    struct msg_translate msg;
    struct span name;
    err_t err = msg_translate_decode(request->meta, &msg);
    if (!err_is(err) && !is_of_group(native->loop, msg.id, &name))
        err = ERR(WRONG_NODE, 0);
    struct native_op *op = err_is(err) ? NULL : native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, err_is(err) ? err : ERR(BUSY, 0));
        return;
    }
    struct name_lookup *lookup = &op->file.lookup;
    lookup->context = op;
    lookup->done = looked_up;
    if (name_lookup_begin(lookup, native->loop, name))
        name_lookup_start(lookup);
    else
        native_op_fail(op, ERR(NOT_FOUND, 0));
}
