#include "net/http_connection.h"

static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                           "Retry-After: 1\r\nContent-Type: application/json\r\n"
                           "Content-Length: 48\r\n\r\n"
                           "{\"status\":503,\"error\":\"too many connections\"}   ";

static struct http_server *server_of(const struct exchange_connection *c)
{
    return CONTAINER_OF(exchange_server_of(c), struct http_server, exchange);
}

static enum exchange_head read_head(struct exchange_connection *exchange, struct span unread)
{
    struct http_connection *c = http_connection_of(exchange);
    struct http_head head;
    size_t size;
    int status = http_head_parse(unread, &c->scanned, &head, &size);
    if (status == HTTP_NEED_MORE)
        return EXCHANGE_NEED_MORE;
    c->scanned = 0;
    if (status > 0) {
        http_refuse(exchange, (unsigned)status);
        return EXCHANGE_NONE;
    }
    c->is_continue_told = false;
    c->request.head = head;
    c->request.server = server_of(exchange);
    c->request.chunked = (struct http_chunked){0};
    exchange_open(exchange, size, head.is_chunked || head.content_length > 0, head.content_length);
    return EXCHANGE_OPEN;
}

static void serve(struct exchange *exchange)
{
    struct http_request *request = http_request_of(exchange);
    request->server->config.on_request(request->server, request);
}

static bool head_is_late(struct exchange_connection *c)
{
    http_refuse(c, 408);
    accepted_kick(&c->accepted);
    return false;
}

static const struct exchange_kind http_kind = {
    .accepted = EXCHANGE_ACCEPTED("http", struct http_connection),
    .exchange_offset = offsetof(struct http_connection, request.exchange),
    .read_head = read_head,
    .serve = serve,
    .read_body = http_read_body,
    .body_lacks = http_tell_continue,
    .head_moved = http_head_moved,
    .head_is_late = head_is_late,
    .refuse_busy = http_refuse_busy,
};

err_t http_server_start(
    struct http_server *server, struct net_loop *loop, const struct http_server_config *config)
{
    *server = (struct http_server){.config = *config};
    return exchange_server_start(
        &server->exchange, loop, &http_kind, &config->exchange, span_of(busy, sizeof busy - 1));
}

uint64_t http_server_bytes(uint32_t connection_max)
{
    return pool_bytes(sizeof(struct http_connection), connection_max, 0);
}
