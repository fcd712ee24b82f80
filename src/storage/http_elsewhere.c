/* What another storage has to do: the tracker is asked which, then the client is told to go there
 * (redirect), or the request goes there for it (proxy). A request that was sent on once is not again. */
#include "storage/http_op.h"

enum { LOCATION_TARGET_MAX = 400 }; /* bytes of path and query that are repeated */

static const char sent_on[] = "x-cairn-sent-on";

static void refuse(struct storage_loop *loop, struct http_request *request, err_t err)
{
    const char *text = NULL;
    if (err_has(err, ERR_CODE_WRONG_NODE))
        text = "this storage has neither this group nor this pool";
    else if (err_has(err, ERR_CODE_UNAVAILABLE))
        text = "this storage is not running yet: it catches up with its group";
    http_answer_error(loop, request, http_status_of(err), err, text);
}

static void fail(struct http_op *op)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    err_t err = op->err;
    http_op_close(op);
    refuse(loop, request, err);
}

static void redirect(struct http_op *op, const char *address)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    const struct http_head *head = &request->head;
    http_op_close(op);
    if (head->path.size + head->query.size > LOCATION_TARGET_MAX) {
        http_answer_error(loop, request, 414, ERR(TOO_LARGE, 0),
            "path and query are too long to be sent elsewhere");
        return;
    }
    struct writer w = http_answer_begin(loop, request, 307);
    http_header_add(&w, "Location", "http://%s%.*s%s%.*s", address, (int)head->path.size,
        (const char *)head->path.data, head->query.data ? "?" : "", (int)head->query.size,
        (const char *)head->query.data);
    http_header_add(&w, "Cache-Control", "no-store");
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

static void tunnel_over(struct tunnel *tunnel)
{
    struct http_op *op = tunnel->context;
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    err_t err = tunnel->machine.err;
    loop->http.tunnel_count--;
    if (tunnel_is_told(tunnel) || exchange_is_gone(&request->exchange)) {
        tunnel_end(tunnel);
        http_op_close(op);
        return;
    }
    http_op_close(op);
    http_answer_error(loop, request, err_has(err, ERR_CODE_TIMEOUT) ? 504 : 502,
        err_is(err) ? err : ERR(CLOSED, 0), "the storage that has it did not answer");
}

static void send_through(struct http_op *op, const char *text)
{
    struct storage_loop *loop = op->door.loop;
    struct tunnel *tunnel = &op->file.tunnel;
    struct io_address address;
    if (err_is(io_address_parse(text, &address))) {
        fail(op);
        return;
    }
    *tunnel = (struct tunnel){.done = tunnel_over, .context = op};
    if (err_is(tunnel_start(tunnel, &loop->net, op->request, &address, sent_on))) {
        redirect(op, text); /* the head is too large: the client can send it itself */
        return;
    }
    loop->http.tunnel_count++;
}

static void asked(struct elsewhere_ask *ask, err_t err)
{
    struct http_op *op = ask->context;
    struct storage_loop *loop = op->door.loop;
    char address[ELSEWHERE_ADDRESS_MAX];
    memcpy(address, ask->address, sizeof address);
    if (err_is(err))
        fail(op);
    else if (loop->storage->config.http_elsewhere == HTTP_ELSEWHERE_PROXY
             && loop->http.tunnel_count < HTTP_TUNNELS_MAX)
        send_through(op, address);
    else
        redirect(op, address);
}

static uint8_t purpose_of(const struct http_head *head)
{
    if (head->method == HTTP_METHOD_GET || head->method == HTTP_METHOD_HEAD)
        return QUERY_FIND;
    return head->method == HTTP_METHOD_DELETE ? QUERY_DELETE : QUERY_MODIFY;
}

static struct msg_query query_of(const struct http_head *head)
{
    struct msg_query query = {.purpose = purpose_of(head)};
    struct span inner = span_of(head->path.data + 1, head->path.size - 1);
    struct fid fid;
    if (fid_group_of(inner, &query.group)) {
        if (!err_is(fid_parse(inner, &fid)))
            query.origin = fid.identity.origin;
        return query;
    }
    const uint8_t *slash = memchr(inner.data, '/', inner.size);
    return (struct msg_query){.purpose = QUERY_UPLOAD,
        .pool = slash ? span_of(inner.data, (size_t)(slash - inner.data)) : inner,
        .size = head->has_length ? head->content_length : 0};
}

void http_send_on(struct storage_loop *loop, struct http_request *request, err_t err)
{
    const struct http_head *head = &request->head;
    if (!loop->http.elsewhere.is_open || head->headers[HTTP_HEADER_SENT_ON].data) {
        refuse(loop, request, err);
        return;
    }
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return;
    op->err = err;
    op->file.ask = (struct elsewhere_ask){.query = query_of(head), .done = asked, .context = op};
    elsewhere_ask(&loop->http.elsewhere, &op->file.ask);
}
