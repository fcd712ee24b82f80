/* Bodies of HTTP requests: of a known length, or chunked. */
#include "net/http_connection.h"

void http_head_moved(struct exchange *exchange, struct span head)
{
    size_t scanned = 0, size;
    int status = http_head_parse(head, &scanned, &http_request_of(exchange)->head, &size);
    CHECK(status == 0 && size == head.size);
}

void http_tell_continue(struct exchange *exchange)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_connection *c = http_connection_of(exchange->connection);
    if (!c->request.head.expects_continue || c->is_continue_told)
        return;
    c->is_continue_told = true;
    memcpy(c->exchange.control.head, text, sizeof text - 1);
    exchange_send_control(&c->exchange, sizeof text - 1);
}

/* The next content in what has come, into the large buffer. HTTP_NEED_MORE: nothing is left of it. */
static int read_chunk(struct http_request *request, struct net_input *input, uint32_t room)
{
    struct exchange *exchange = &request->exchange;
    struct span unread = input_unread(input), data;
    size_t used;
    if (request->chunked.at == HTTP_CHUNK_DATA && unread.size > room - exchange->filled)
        unread.size = room - exchange->filled;
    if (unread.size == 0)
        return HTTP_NEED_MORE;
    int status = http_chunked_next(&request->chunked, unread, &used, &data);
    if (status != 0)
        return status;
    if (data.size > 0)
        memcpy(exchange->buffer->data + exchange->base + exchange->filled, data.data, data.size);
    exchange->filled += (uint32_t)data.size;
    input_use(input, (uint32_t)used);
    return 0;
}

static bool read_chunked(struct http_request *request)
{
    struct exchange *exchange = &request->exchange;
    struct net_stream *stream = &exchange->connection->accepted.stream;
    if (!exchange_take_large(exchange))
        return false;
    uint32_t room = exchange->buffer->capacity - exchange->base;
    while (request->chunked.at != HTTP_CHUNK_OVER && exchange->filled < room) {
        int status = read_chunk(request, &stream->input, room);
        if (status == HTTP_NEED_MORE) {
            http_tell_continue(exchange);
            stream_receive(stream);
            return false;
        }
        if (status > 0) {
            exchange_fail_body(exchange, ERR(PROTOCOL, 0));
            return false;
        }
    }
    struct span data = span_of(exchange->buffer->data + exchange->base, exchange->filled);
    return exchange_deliver(exchange, data, request->chunked.at != HTTP_CHUNK_OVER);
}

bool http_read_body(struct exchange *exchange)
{
    struct http_request *request = http_request_of(exchange);
    return request->head.is_chunked ? read_chunked(request) : exchange_read_body(exchange);
}
