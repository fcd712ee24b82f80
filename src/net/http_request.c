#include <stdarg.h>
#include <stdio.h>

#include "net/http_connection.h"

/* ---- open ---- */

static void reply_left(struct out_frame *frame, err_t err);

void http_request_open(struct http_connection *c, const struct http_head *head, size_t head_size)
{
    struct net_input *input = &c->stream.input;
    c->request = (struct http_request){.head = *head,
        .has_more = head->is_chunked || head->content_length > 0,
        .body_left = head->content_length,
        .base = (uint32_t)head_size,
        .server = c->server,
        .connection = c,
        .connection_number = c->number,
        .peer = c->peer,
        .buffer = net_buffer_keep(input->small),
        .out = {.left = reply_left}};
    c->move.bytes = input_unread(input);
    c->is_busy = true;
    c->is_continue_told = false;
    input_use(input, (uint32_t)head_size);
}

/* ---- the body ---- */

void http_request_next_data(
    struct http_request *request, void (*wake)(struct http_request *request))
{
    CHECK(request->has_more && !request->wake && !request->is_ended && wake);
    request->data = span_of(NULL, 0);
    request->filled = 0;
    request->wake = wake;
    if (request->body_since_ns == 0)
        request->body_since_ns = io_now(request->server->loop->io);
    http_connection_kick(request->connection);
}

static bool deliver(struct http_request *request, struct span data, bool has_more)
{
    void (*wake)(struct http_request *) = request->wake;
    request->data = data;
    request->has_more = has_more;
    request->body_size += data.size;
    request->wake = NULL;
    wake(request);
    return true;
}

void http_body_fail(struct http_connection *c, err_t err)
{
    struct http_request *request = &c->request;
    request->body_err = err;
    c->closes = true;
    (void)deliver(request, span_of(NULL, 0), false);
}

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    http_connection_kick(CONTAINER_OF(frame, struct http_connection, control));
}

static void send_control(struct http_connection *c, size_t size)
{
    c->control.left = control_left;
    out_frame_set(&c->control, size, NULL, 0);
    output_queue(&c->stream.output, &c->control);
}

static void tell_continue(struct http_connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!c->request.head.expects_continue || c->is_continue_told)
        return;
    c->is_continue_told = true;
    memcpy(c->control.head, text, sizeof text - 1);
    send_control(c, sizeof text - 1);
}

/* A large buffer for the body, with the head in front, so that the small one is free again. */
static bool has_large(struct http_connection *c)
{
    struct http_request *request = &c->request;
    struct net_input *input = &c->stream.input;
    if (request->buffer->pool == &input->buffers->large)
        return true;
    struct net_buffer *large = input_take_buffer(input, &input->buffers->large);
    if (!large) {
        stream_wait_buffer(&c->stream, INPUT_NO_LARGE);
        return false;
    }
    size_t scanned = 0, size;
    memcpy(large->data, c->move.bytes.data, request->base);
    int status =
        http_head_parse(span_of(large->data, request->base), &scanned, &request->head, &size);
    CHECK(status == 0 && size == request->base);
    net_buffer_drop(&request->buffer);
    request->buffer = large;
    return true;
}

static bool read_with_length(struct http_connection *c)
{
    struct http_request *request = &c->request;
    struct net_input *input = &c->stream.input;
    struct span unread = input_unread(input);
    bool is_small = request->buffer == input->small;
    if (is_small && unread.size >= request->body_left) {
        struct span data = span_of(unread.data, (size_t)request->body_left);
        input_use(input, (uint32_t)data.size);
        request->body_left = 0;
        return deliver(request, data, false);
    }
    if (!has_large(c))
        return false;
    uint32_t room = request->buffer->capacity - request->base;
    uint32_t size = request->body_left < room ? (uint32_t)request->body_left : room;
    if (input_collect_bytes(input, request->buffer, request->base, size) == INPUT_NEED_MORE) {
        tell_continue(c);
        stream_receive(&c->stream);
        return false;
    }
    request->body_left -= size;
    return deliver(
        request, span_of(request->buffer->data + request->base, size), request->body_left > 0);
}

static bool read_chunked(struct http_connection *c)
{
    struct http_request *request = &c->request;
    struct net_input *input = &c->stream.input;
    if (!has_large(c))
        return false;
    uint8_t *body = request->buffer->data + request->base;
    uint32_t room = request->buffer->capacity - request->base;
    while (request->chunked.at != HTTP_CHUNK_OVER && request->filled < room) {
        struct span unread = input_unread(input), data;
        size_t used;
        if (request->chunked.at == HTTP_CHUNK_DATA && unread.size > room - request->filled)
            unread.size = room - request->filled;
        int status = unread.size > 0 ? http_chunked_next(&request->chunked, unread, &used, &data)
                                     : HTTP_NEED_MORE;
        if (status == HTTP_NEED_MORE) {
            tell_continue(c);
            stream_receive(&c->stream);
            return false;
        }
        if (status > 0) {
            http_body_fail(c, ERR(PROTOCOL, 0));
            return false;
        }
        if (data.size > 0)
            memcpy(body + request->filled, data.data, data.size);
        request->filled += (uint32_t)data.size;
        input_use(input, (uint32_t)used);
    }
    return deliver(request, span_of(body, request->filled), request->chunked.at != HTTP_CHUNK_OVER);
}

bool http_body_read(struct http_connection *c)
{
    return c->request.head.is_chunked ? read_chunked(c) : read_with_length(c);
}

/* ---- responses ---- */

const char *http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {{100, "Continue"}, {200, "OK"}, {201, "Created"}, {204, "No Content"},
        {206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"},
        {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
        {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
        {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
        {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"},
        {414, "URI Too Long"}, {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"}, {428, "Precondition Required"},
        {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Other";
}

void http_header_add(struct writer *w, const char *name, const char *format, ...)
{
    char value[512];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(value, sizeof value, format, list);
    va_end(list);
    if (size < 0 || (size_t)size >= sizeof value) {
        w->failed = true;
        return;
    }
    write_bytes(w, name, strlen(name));
    write_bytes(w, ": ", 2);
    write_bytes(w, value, (size_t)size);
    write_bytes(w, "\r\n", 2);
}

/* What is left of a body is read if that is short and the client did not wait for leave to send it. */
static bool can_drain(const struct http_request *request)
{
    if (!request->has_more)
        return true;
    return !request->head.is_chunked && request->body_left <= HTTP_DRAIN_MAX
           && (!request->head.expects_continue || request->connection->is_continue_told);
}

static struct writer reply_line(
    struct out_frame *frame, struct io *io, unsigned status, bool closes)
{
    struct writer w = {.data = frame->head, .capacity = HTTP_REPLY_HEAD_MAX};
    char line[64], date[HTTP_DATE_SIZE + 1];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
    write_bytes(&w, line, (size_t)size);
    http_date_format(io_wall(io) / 1000000000, date);
    http_header_add(&w, "Date", "%s", date);
    if (closes)
        http_header_add(&w, "Connection", "close");
    return w;
}

struct writer http_reply_begin(struct http_request *request, unsigned status)
{
    struct http_connection *c = request->connection;
    CHECK(!request->is_ended && !request->is_head_sent);
    request->is_head_sent = true;
    request->is_last = status < 200 || status == 204 || status == 304;
    if (!request->head.is_kept_alive || c->server->is_draining || !can_drain(request))
        c->closes = true;
    struct writer w = reply_line(&request->out, c->server->loop->io, status, c->closes);
    if (!c->closes && request->head.minor == 0)
        http_header_add(&w, "Connection", "keep-alive");
    return w;
}

static void queue_reply(struct http_request *request, size_t head_size, const struct iovec *data,
    unsigned data_count, void (*sent)(struct http_request *request, err_t err))
{
    struct http_connection *c = request->connection;
    CHECK(!request->is_ended && !request->sent);
    out_frame_set(&request->out, head_size, data, data_count);
    request->sent = sent;
    output_queue(&c->stream.output, &request->out);
    http_connection_kick(c);
}

static uint64_t size_of(const struct iovec *data, unsigned count)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += data[i].iov_len;
    return size;
}

void http_reply(struct http_request *request, const struct writer *headers, uint64_t body_size,
    const struct iovec *data, unsigned data_count,
    void (*sent)(struct http_request *request, err_t err))
{
    struct writer w = *headers;
    bool has_body = request->head.method != HTTP_METHOD_HEAD && !request->is_last;
    CHECK(request->is_head_sent && w.data == request->out.head);
    if (!request->is_last)
        http_header_add(&w, "Content-Length", "%llu", (unsigned long long)body_size);
    write_bytes(&w, "\r\n", 2);
    CHECK(!w.failed);
    unsigned count = has_body ? data_count : 0;
    request->reply_left = has_body ? body_size - size_of(data, count) : 0;
    queue_reply(request, w.size, data, count, sent);
}

void http_reply_with(struct http_request *request, const struct writer *headers, struct span body)
{
    struct writer w = *headers;
    bool has_body = request->head.method != HTTP_METHOD_HEAD && !request->is_last;
    http_header_add(&w, "Content-Length", "%zu", body.size);
    write_bytes(&w, "\r\n", 2);
    if (has_body)
        write_bytes(&w, body.data, body.size);
    CHECK(request->is_head_sent && !w.failed);
    queue_reply(request, w.size, NULL, 0, NULL);
}

void http_reply_data(struct http_request *request, const struct iovec *data, unsigned data_count,
    void (*sent)(struct http_request *request, err_t err))
{
    uint64_t size = size_of(data, data_count);
    CHECK(size > 0 && size <= request->reply_left);
    request->reply_left -= size;
    queue_reply(request, 0, data, data_count, sent);
}

void http_refuse(struct http_connection *c, unsigned status)
{
    char body[128];
    const char *text = http_status_text(status);
    struct writer w = reply_line(&c->control, c->server->loop->io, status, true);
    int size = snprintf(body, sizeof body, "{\"status\":%u,\"error\":\"%s\"}\n", status, text);
    http_header_add(&w, "Content-Type", "application/json");
    http_header_add(&w, "Content-Length", "%d", size);
    write_bytes(&w, "\r\n", 2);
    write_bytes(&w, body, (size_t)size);
    c->is_input_over = true;
    c->has_rest = true;
    if (!w.failed && !out_frame_is_queued(&c->control))
        send_control(c, w.size);
}

/* ---- the end ---- */

static void request_release(struct http_request *request)
{
    struct http_connection *c = request->connection;
    bool is_short = request->reply_left > 0 || !request->is_head_sent;
    net_buffer_drop(&request->buffer);
    c->is_busy = false;
    c->stream.read_since_ns = io_now(c->server->loop->io);
    if (is_short) /* the client must not take what it got for the whole */
        stream_lose(&c->stream, ERR(CANCELLED, 0));
    if (request->has_more) {
        c->has_rest = true;
        c->drain_left = request->body_left;
    }
    if (c->closes)
        c->is_input_over = true;
    http_connection_kick(c);
}

static void reply_left(struct out_frame *frame, err_t err)
{
    struct http_request *request = CONTAINER_OF(frame, struct http_request, out);
    void (*sent)(struct http_request *, err_t) = request->sent;
    request->sent = NULL;
    if (request->is_ended)
        request_release(request);
    else if (sent)
        sent(request, err);
}

void http_request_end(struct http_request *request)
{
    struct http_connection *c = request->connection;
    CHECK(!request->is_ended && !request->wake && !request->sent);
    request->is_ended = true;
    if (!out_frame_is_queued(&request->out))
        request_release(request);
    else
        http_connection_kick(c);
}

bool http_request_is_gone(const struct http_request *request)
{
    return stream_is_lost(&request->connection->stream);
}

void http_request_move(struct http_request *request, struct http_server *to)
{
    struct http_connection *c = request->connection;
    CHECK(c->move.stage == HTTP_MOVE_NONE && to->loop != request->server->loop);
    CHECK(!request->is_ended && !request->wake && !request->is_head_sent);
    CHECK(request->buffer == c->stream.input.small);
    c->move.to = to;
    c->move.stage = HTTP_MOVE_WANTED;
    http_connection_kick(c);
}
