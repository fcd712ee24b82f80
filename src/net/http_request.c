/* Responses, and what is said where there is no request to answer. */
#include <stdarg.h>
#include <stdio.h>

#include "net/http_connection.h"

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

static void add_text(struct writer *w, const char *text)
{
    write_bytes(w, text, strlen(text));
}

void http_header_text(struct writer *w, const char *name, const char *value)
{
    add_text(w, name);
    write_bytes(w, ": ", 2);
    add_text(w, value);
    write_bytes(w, "\r\n", 2);
}

void http_header_number(struct writer *w, const char *name, uint64_t value)
{
    add_text(w, name);
    write_bytes(w, ": ", 2);
    write_decimal(w, value);
    write_bytes(w, "\r\n", 2);
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
    http_header_text(w, name, value);
}

/* What is left of a body is read if that is short and the client did not wait for leave to send it. */
static bool can_drain(const struct http_request *request)
{
    const struct exchange *exchange = &request->exchange;
    if (!exchange->has_more)
        return true;
    const struct http_connection *c = http_connection_of(exchange->connection);
    return !request->head.is_chunked && exchange->body_left <= HTTP_DRAIN_MAX
           && (!request->head.expects_continue || c->is_continue_told);
}

static struct writer reply_line(
    struct out_frame *frame, struct io *io, unsigned status, bool closes)
{
    struct writer w = {.data = frame->head, .capacity = HTTP_REPLY_HEAD_MAX};
    char date[HTTP_DATE_SIZE + 1];
    add_text(&w, "HTTP/1.1 ");
    write_decimal(&w, status);
    add_text(&w, " ");
    add_text(&w, http_status_text(status));
    add_text(&w, "\r\n");
    http_date_format(io_wall(io) / 1000000000, date);
    http_header_text(&w, "Date", date);
    if (closes)
        http_header_text(&w, "Connection", "close");
    return w;
}

struct writer http_reply_begin(struct http_request *request, unsigned status)
{
    struct exchange *exchange = &request->exchange;
    struct exchange_connection *c = exchange->connection;
    const struct acceptor *acceptor = c->accepted.acceptor;
    CHECK(!exchange->is_ended && !exchange->is_answered);
    exchange->is_answered = true;
    request->is_last = status < 200 || status == 204 || status == 304;
    if (!request->head.is_kept_alive || acceptor->is_draining || !can_drain(request))
        c->closes = true;
    struct writer w = reply_line(&exchange->out, acceptor->loop->io, status, c->closes);
    if (!c->closes && request->head.minor == 0)
        http_header_add(&w, "Connection", "keep-alive");
    return w;
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
    void (*sent)(struct exchange *exchange, err_t err))
{
    struct exchange *exchange = &request->exchange;
    struct writer w = *headers;
    bool has_body = request->head.method != HTTP_METHOD_HEAD && !request->is_last;
    CHECK(exchange->is_answered && w.data == exchange->out.head);
    if (!request->is_last)
        http_header_number(&w, "Content-Length", body_size);
    write_bytes(&w, "\r\n", 2);
    CHECK(!w.failed);
    unsigned count = has_body ? data_count : 0;
    exchange->reply_left = has_body ? body_size - size_of(data, count) : 0;
    exchange_queue_reply(exchange, w.size, data, count, sent);
}

void http_reply_with(struct http_request *request, const struct writer *headers, struct span body)
{
    struct exchange *exchange = &request->exchange;
    struct writer w = *headers;
    bool has_body = request->head.method != HTTP_METHOD_HEAD && !request->is_last;
    http_header_number(&w, "Content-Length", body.size);
    write_bytes(&w, "\r\n", 2);
    if (has_body)
        write_bytes(&w, body.data, body.size);
    CHECK(exchange->is_answered && !w.failed);
    exchange_queue_reply(exchange, w.size, NULL, 0, NULL);
}

void http_reply_data(struct http_request *request, const struct iovec *data, unsigned data_count,
    void (*sent)(struct exchange *exchange, err_t err))
{
    uint64_t size = size_of(data, data_count);
    CHECK(size > 0 && size <= request->exchange.reply_left);
    request->exchange.reply_left -= size;
    exchange_queue_reply(&request->exchange, 0, data, data_count, sent);
}

/* ---- without a request ---- */

void http_refuse(struct exchange_connection *c, unsigned status)
{
    char body[128];
    const char *text = http_status_text(status);
    struct writer w = reply_line(&c->control, c->accepted.acceptor->loop->io, status, true);
    int size = snprintf(body, sizeof body, "{\"status\":%u,\"error\":\"%s\"}\n", status, text);
    http_header_add(&w, "Content-Type", "application/json");
    http_header_add(&w, "Content-Length", "%d", size);
    write_bytes(&w, "\r\n", 2);
    write_bytes(&w, body, (size_t)size);
    exchange_close_input(c);
    if (!w.failed && !out_frame_is_queued(&c->control))
        exchange_send_control(c, w.size);
}

void http_refuse_busy(struct exchange *exchange)
{
    struct http_request *request = http_request_of(exchange);
    struct writer w = http_reply_begin(request, 503);
    http_header_add(&w, "Retry-After", "1");
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}
