/* PUT, PATCH, POST and DELETE of a file that is there: on the loop that owns it. */
#include "storage/http_op.h"
#include "storage/internal.h"

/* ---- the version that the client expects ---- */

/* If-Match names one version, or "*": any. Errors: USAGE (several, or none of ours). */
static err_t read_condition(struct http_op *op, struct version *ret)
{
    struct span value = op->request->head.headers[HTTP_HEADER_IF_MATCH];
    *ret = (struct version){0};
    if (!value.data || span_equals_text(value, "*"))
        return ERR_OK;
    op->has_condition = true;
    return http_tag_parse(value, ret) ? ERR_OK : ERR(CONFLICT, 0);
}

/* ---- modify ---- */

static void modify_tell(struct http_op *op)
{
    const struct modify *modify = &op->file.modify;
    op->door.loop->counters.modifies++;
    http_answer_change(op, 200, &modify->request.fid, &modify->result);
}

static void modify_told(struct modify *modify)
{
    http_op_changed(modify->context, modify->result.ack);
}

static void modify_over(struct modify *modify)
{
    http_op_over(modify->context, modify->machine.err, modify->stream, &modify->append);
}

/* "Content-Range: bytes 10-19/\*": write there; ?append; ?truncate=N; PUT without one: replace. */
static err_t read_mode(const struct http_request *request, struct modify_request *ret)
{
    const struct http_head *head = &request->head;
    struct span range = head->headers[HTTP_HEADER_CONTENT_RANGE];
    struct http_range bytes;
    uint64_t total;
    err_t err;
    if (http_query_number(head->query, "truncate", &ret->offset, &err)) {
        ret->mode = MODIFY_TRUNCATE;
        return err_is(err) || request->exchange.has_more ? ERR(USAGE, 0) : ERR_OK;
    }
    if (http_query_find(head->query, "append").data) {
        ret->mode = MODIFY_APPEND;
        return range.data ? ERR(USAGE, 0) : ERR_OK;
    }
    if (range.data) {
        if (!http_content_range_parse(range, &bytes, &total))
            return ERR(USAGE, 0);
        ret->mode = MODIFY_WRITE;
        ret->offset = bytes.first;
        ret->size_known = true;
        ret->size = bytes.last - bytes.first + 1;
        return head->has_length && head->content_length != ret->size ? ERR(USAGE, 0) : ERR_OK;
    }
    ret->mode = MODIFY_REPLACE;
    return head->method == HTTP_METHOD_PUT ? ERR_OK : ERR(USAGE, 0);
}

static void modify_begin(struct door_op *door)
{
    struct http_op *op = http_op_of(door);
    const struct http_request *request = op->request;
    struct modify *modify = &op->file.modify;
    *modify = (struct modify){.context = op, .on_result = modify_told, .done = modify_over};
    modify->request = (struct modify_request){.fid = op->fid,
        .size_known = request->head.has_length,
        .size = request->head.content_length};
    err_t err = op->door.body.err;
    if (!err_is(err))
        err = read_mode(request, &modify->request);
    if (!err_is(err))
        err = read_condition(op, &modify->request.if_version);
    if (!err_is(err))
        err = http_nonce_of(request, &modify->request.nonce);
    if (!err_is(err))
        err = http_ack_of(op->door.loop, request, &op->ack);
    op->tell = modify_tell;
    modify->request.ack = push_own_ack(op->ack);
    if (err_is(err)) {
        http_op_fail(op, err);
        return;
    }
    bool has_body = modify->request.mode != MODIFY_TRUNCATE;
    modify_start(modify, &op->door.loop->store, has_body ? &op->door.body : NULL);
}

void http_modify(struct storage_loop *loop, struct http_request *request, const struct fid *fid)
{
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return;
    op->fid = *fid;
    door_body_begin(&op->door, modify_begin);
}

/* ---- delete ---- */

static void remove_tell(struct http_op *op)
{
    struct http_request *request = op->request;
    op->door.loop->counters.deletes++;
    struct writer w = http_answer_begin(op->door.loop, request, 204);
    http_header_add(&w, "X-Cairn-Ack", "%s", http_ack_name(op->hold.reached));
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

static void remove_told(struct remove_file *remove)
{
    http_op_changed(remove->context, remove->result.ack);
}

static void remove_over(struct remove_file *remove)
{
    http_op_over(remove->context, remove->machine.err, remove->stream, &remove->append);
}

void http_delete(struct storage_loop *loop, struct http_request *request, const struct fid *fid)
{
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return;
    struct remove_file *remove = &op->file.remove;
    *remove = (struct remove_file){
        .fid = *fid, .context = op, .on_result = remove_told, .done = remove_over};
    err_t err = read_condition(op, &remove->if_version);
    if (!err_is(err))
        err = http_nonce_of(request, &remove->nonce);
    if (!err_is(err))
        err = http_ack_of(loop, request, &op->ack);
    op->tell = remove_tell;
    remove->ack = push_own_ack(op->ack);
    if (err_is(err))
        http_op_fail(op, err);
    else
        remove_start(remove, &loop->store);
}
