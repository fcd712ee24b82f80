/* MODIFY and DELETE: on the loop that owns the file. */
#include "storage/internal.h"
#include "storage/native_op.h"

/* Decoding and owner are the same for both. False: the request was answered or moved. */
static bool admit(struct storage_loop *loop, struct net_request *request, err_t err, uint8_t *ack,
    struct span id, struct fid *ret)
{
    const char *text = NULL;
    if (!err_is(err))
        err = push_check_ack(loop, ack, &text);
    if (!err_is(err)) {
        text = NULL;
        err = native_fid(loop, id, ret);
    }
    if (err_is(err)) {
        native_refuse_saying(loop, request, err, text ? text : err_sentence(err.code));
        return false;
    }
    return !native_moves(loop, request, ret);
}

static struct native_op *open_op(struct native *native, struct net_request *request)
{
    struct native_op *op = native_op_open(native, request);
    if (!op)
        native_refuse(native->loop, request, ERR(BUSY, 0));
    return op;
}

/* ---- modify ---- */

static void modify_reply(struct native_op *op)
{
    const struct modify *modify = &op->file.modify;
    struct writer fields = net_reply_begin(op->request);
    msg_modified_encode(&(struct msg_modified){.version = modify->result.version,
                            .size = modify->result.size,
                            .crc = modify->result.crc,
                            .ack = op->hold.reached,
                            .holder_count = op->hold.holder_count,
                            .holders = span_of_text(op->hold.holders)},
        &fields);
    op->native->loop->counters.modifies++;
    net_reply(op->request, MSG_MODIFIED, 0, &fields, NULL, 0, NULL);
}

static void modify_told(struct modify *modify)
{
    struct native_op *op = modify->context;
    op->is_told = true;
    if (!native_holds(op, modify->result.ack))
        modify_reply(op);
}

static void modify_over(struct modify *modify)
{
    struct native_op *op = modify->context;
    if (op->is_told && op->ack >= ACK_ONE)
        native_hold(op, modify->stream, &modify->append, modify_reply);
    else if (op->is_told)
        native_op_close(op);
    else
        native_op_fail(op, modify->machine.err);
}

static void modify_begin(struct native_op *op, const struct msg_modify *msg, const struct fid *fid)
{
    op->file.modify = (struct modify){.context = op, .on_result = modify_told, .done = modify_over};
    op->file.modify.request = (struct modify_request){.fid = *fid,
        .mode = msg->mode,
        .offset = msg->offset,
        .if_version = msg->if_version,
        .nonce = msg->nonce,
        .ack = push_own_ack(msg->ack),
        .size_known = msg->size_known != 0,
        .size = msg->size,
        .crc_known = msg->crc_known != 0,
        .crc = msg->crc};
    op->ack = msg->ack;
    native_body_begin(op);
    bool has_body = msg->mode != MODIFY_TRUNCATE;
    modify_start(&op->file.modify, &op->native->loop->store, has_body ? &op->body : NULL);
}

void native_modify(struct native *native, struct net_request *request)
{
    struct msg_modify msg;
    struct fid fid;
    err_t err = msg_modify_decode(request->meta, &msg);
    if (!err_is(err) && (msg.mode < MODIFY_REPLACE || msg.mode > MODIFY_TRUNCATE))
        err = ERR(USAGE, 0);
    if (!admit(native->loop, request, err, &msg.ack, msg.id, &fid))
        return;
    struct native_op *op = open_op(native, request);
    if (op)
        modify_begin(op, &msg, &fid);
}

/* ---- delete ---- */

static void remove_reply(struct native_op *op)
{
    const struct remove_file *remove = &op->file.remove;
    struct writer fields = net_reply_begin(op->request);
    msg_deleted_encode(&(struct msg_deleted){.existed = remove->result.existed,
                           .ack = op->hold.reached,
                           .holder_count = op->hold.holder_count,
                           .holders = span_of_text(op->hold.holders)},
        &fields);
    op->native->loop->counters.deletes++;
    net_reply(op->request, MSG_DELETED, 0, &fields, NULL, 0, NULL);
}

static void remove_told(struct remove_file *remove)
{
    struct native_op *op = remove->context;
    op->is_told = true;
    if (!native_holds(op, remove->result.ack))
        remove_reply(op);
}

static void remove_over(struct remove_file *remove)
{
    struct native_op *op = remove->context;
    if (op->is_told && op->ack >= ACK_ONE)
        native_hold(op, remove->stream, &remove->append, remove_reply);
    else if (op->is_told)
        native_op_close(op);
    else
        native_op_fail(op, remove->machine.err);
}

void native_delete(struct native *native, struct net_request *request)
{
    struct msg_delete msg;
    struct fid fid;
    err_t err = msg_delete_decode(request->meta, &msg);
    if (!admit(native->loop, request, err, &msg.ack, msg.id, &fid))
        return;
    struct native_op *op = open_op(native, request);
    if (!op)
        return;
    op->ack = msg.ack;
    op->file.remove = (struct remove_file){.fid = fid,
        .if_version = msg.if_version,
        .nonce = msg.nonce,
        .ack = push_own_ack(msg.ack),
        .on_result = remove_told,
        .done = remove_over,
        .context = op};
    remove_start(&op->file.remove, &native->loop->store);
}
