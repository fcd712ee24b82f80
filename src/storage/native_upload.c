/* UPLOAD: a mount point is chosen, content is pulled from the request's frames. */
#include "base/units.h"
#include "storage/internal.h"
#include "storage/native_op.h"
#include "storage/placement.h"

enum { UPLOAD_SLACK_PERCENT_MAX = 1000 };

static void upload_reply(struct native_op *op)
{
    const struct upload *upload = &op->file.upload;
    const struct file_result *result = &upload->result;
    char id[FID_TEXT_MAX];
    size_t size = fid_format(&result->fid, id);
    struct writer fields = net_reply_begin(op->request);
    msg_uploaded_encode(&(struct msg_uploaded){.id = span_of(id, size),
                            .version = result->version,
                            .size = result->size,
                            .crc = result->crc,
                            .ack = op->hold.reached,
                            .holder_count = op->hold.holder_count,
                            .machine = upload->store->config.machine,
                            .holders = span_of_text(op->hold.holders)},
        &fields);
    op->native->loop->counters.uploads++;
    net_reply(op->request, MSG_UPLOADED, 0, &fields, NULL, 0, NULL);
}

static void upload_told(struct upload *upload)
{
    struct native_op *op = upload->context;
    op->is_told = true;
    if (!native_holds(op, upload->result.ack))
        upload_reply(op);
}

/* An upload only writes: an error of input and output means that the disk cannot be written any
 * more, whichever file met it. */
static void upload_over(struct upload *upload)
{
    struct native_op *op = upload->context;
    if (err_has(upload->machine.err, ERR_CODE_IO))
        store_fence(upload->store, upload->request.mount, upload->machine.err);
    if (op->is_told && op->ack >= ACK_ONE)
        native_hold(op, upload->stream, &upload->append, upload_reply);
    else if (op->is_told)
        native_op_close(op);
    else
        native_op_fail(op, upload->machine.err);
}

static err_t check(const struct storage_loop *loop, struct msg_upload *msg, const char **ret_text)
{
    const struct storage_config *config = &loop->storage->config;
    TRY(push_check_ack(loop, &msg->ack, ret_text));
    *ret_text = "a suffix is up to 6 letters, digits, _ and -";
    if (!suffix_is_valid(msg->suffix))
        return ERR(USAGE, 0);
    *ret_text = "is_mutable is 0, 1 or 2";
    if (msg->is_mutable > 2)
        return ERR(USAGE, 0);
    *ret_text = "slack is up to 1000 percent, or up to 1 GiB";
    uint32_t slack_max = msg->slack & SLACK_IS_BYTES ? 1 * GIB : UPLOAD_SLACK_PERCENT_MAX;
    if ((msg->slack & ~SLACK_IS_BYTES) > slack_max)
        return ERR(USAGE, 0);
    return msg->pool.size == 0 || span_equals_text(msg->pool, config->pool) ? ERR_OK
                                                                            : ERR(WRONG_NODE, 0);
}

static void refuse(struct storage_loop *loop, struct net_request *request,
    const struct msg_upload *msg, err_t err, const char *text)
{
    char data[256];
    struct text both;
    text_init(&both, data, sizeof data);
    text_add(&both, "the upload names pool ");
    text_add_quoted(&both, span_of(msg->pool.data, msg->pool.size < 64 ? msg->pool.size : 64));
    text_add(&both, ", this storage is in pool %s", loop->storage->config.pool);
    native_refuse_saying(loop, request, err, err_has(err, ERR_CODE_WRONG_NODE) ? both.data : text);
}

/* Streams are fixed at format, loops are not: a loop may own none of a mount point. */
static bool moves_to_stream(struct storage_loop *loop, struct net_request *request, uint8_t mount)
{
    uint32_t streams = loop->store.mounts[mount].stream_count;
    if (loop->index < streams)
        return false;
    net_request_move(request, &loop->storage->loops[loop->index % streams].server);
    return true;
}

static void start(struct native_op *op, const struct msg_upload *msg, uint8_t mount)
{
    const struct storage_config *config = &op->native->loop->storage->config;
    op->file.upload = (struct upload){.context = op, .on_result = upload_told, .done = upload_over};
    op->file.upload.request = (struct upload_request){.mount = mount,
        .pool = span_of_text(config->pool),
        .content_type = msg->content_type,
        .metadata = msg->metadata,
        .suffix = msg->suffix,
        .expires = msg->expires,
        .nonce = msg->nonce,
        .ack = push_own_ack(msg->ack),
        .is_mutable = msg->is_mutable == 2 ? config->mutable_files : msg->is_mutable == 1,
        .size_known = msg->size_known != 0,
        .size = msg->size,
        .slack = msg->slack,
        .crc_known = msg->crc_known != 0,
        .crc = msg->crc};
    op->ack = msg->ack;
    if (op->retry.ask.is_known)
        op->file.upload.known = &op->retry.ask.known;
    native_body_begin(op);
    upload_start(&op->file.upload, &op->native->loop->store, &op->body);
}

static bool is_retry(const struct msg_upload *msg)
{
    return msg->is_retry != 0 && !nonce_is_none(&msg->nonce);
}

/* All loops were asked: it is stored already, or it is new. */
static void retry_answered(struct upload_ask *ask)
{
    struct native_op *op = ask->context;
    struct msg_upload msg;
    const char *text;
    err_t err = msg_upload_decode(op->request->meta, &msg);
    if (!err_is(err))
        err = check(op->native->loop, &msg, &text);
    if (!err_is(err) && !ask->is_known)
        err = op->retry.err;
    if (err_is(err))
        native_op_fail(op, err);
    else
        start(op, &msg, op->retry.mount);
}

static void begin(struct native_op *op, const struct msg_upload *msg, uint8_t mount, err_t err)
{
    if (!is_retry(msg)) {
        start(op, msg, mount);
        return;
    }
    op->retry = (struct native_retry){.mount = mount,
        .err = err,
        .ask = {.nonce = msg->nonce, .answered = retry_answered, .context = op}};
    upload_ask_start(&op->retry.ask, op->native->loop);
}

void native_upload(struct native *native, struct net_request *request)
{
    struct storage_loop *loop = native->loop;
    const struct storage_config *config = &loop->storage->config;
    struct msg_upload msg;
    const char *text = "";
    uint8_t mount = 0;
    err_t err = msg_upload_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(loop, request, err);
        return;
    }
    err = check(loop, &msg, &text);
    if (err_is(err)) {
        refuse(loop, request, &msg, err, text);
        return;
    }
    uint64_t size = msg.size_known ? msg.size : request->data.size;
    bool is_packed = size <= config->single_min && (msg.size_known || !request->has_more);
    err = placement_pick(&loop->store, config, &loop->cursor, size, is_packed, &mount);
    if (err_is(err) && !is_retry(&msg)) {
        native_refuse(loop, request, err);
        return;
    }
    if (!err_is(err) && moves_to_stream(loop, request, mount))
        return;
    struct native_op *op = native_op_open(native, request);
    if (op)
        begin(op, &msg, mount, err);
    else
        native_refuse(loop, request, ERR(BUSY, 0));
}
