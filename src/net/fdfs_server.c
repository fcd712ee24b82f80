#include "net/fdfs_connection.h"

/* An answer to the request that is about to come. */
static const uint8_t busy[FDFS_HEADER_SIZE] = {[8] = FDFS_ANSWER, [9] = FDFS_EBUSY};

static struct fdfs_server *server_of(const struct exchange_connection *c)
{
    return CONTAINER_OF(exchange_server_of(c), struct fdfs_server, exchange);
}

/* ---- reading ---- */

/* Nothing is understood of it but how long it is. */
static void refuse_malformed(
    struct exchange_connection *c, const struct fdfs_head *head, int status)
{
    server_of(c)->requests_malformed++;
    if (status == FDFS_LOST || head->body_size > FDFS_DRAIN_MAX) {
        exchange_close_input(c);
    } else {
        input_use(&c->accepted.stream.input, FDFS_HEADER_SIZE);
        exchange_drain(c, head->body_size);
    }
    fdfs_answer_header(status == FDFS_LOST ? FDFS_EINVAL : (uint8_t)status, 0, c->control.head);
    exchange_send_control(c, FDFS_HEADER_SIZE);
}

static enum exchange_head read_head(struct exchange_connection *c, struct span unread)
{
    struct fdfs_head head;
    size_t size;
    int status = fdfs_decode(unread, &head, &size);
    if (status == FDFS_NEED_MORE)
        return EXCHANGE_NEED_MORE;
    if (status != FDFS_OK) {
        refuse_malformed(c, &head, status);
        return EXCHANGE_NONE;
    }
    if (head.command == FDFS_QUIT) {
        c->accepted.is_input_over = true;
        return EXCHANGE_NONE;
    }
    struct fdfs_request *request = fdfs_request_of(c->exchange);
    uint64_t content_size = fdfs_has_content(head.command) ? head.size : 0;
    request->head = head;
    request->server = server_of(c);
    exchange_open(c, size, content_size > 0, content_size);
    return EXCHANGE_OPEN;
}

static void head_moved(struct exchange *exchange, struct span head)
{
    size_t size;
    int status = fdfs_decode(head, &fdfs_request_of(exchange)->head, &size);
    CHECK(status == FDFS_OK && size == head.size);
}

static void serve(struct exchange *exchange)
{
    struct fdfs_request *request = fdfs_request_of(exchange);
    request->server->config.on_request(request->server, request);
}

/* ---- answers ---- */

void fdfs_reply(struct fdfs_request *request, uint8_t status, struct span body)
{
    struct exchange *exchange = &request->exchange;
    CHECK(!exchange->is_answered && body.size <= FDFS_REPLY_BODY_MAX);
    CHECK(status == FDFS_OK || body.size == 0);
    exchange->is_answered = true;
    fdfs_answer_header(status, body.size, exchange->out.head);
    if (body.size > 0)
        memcpy(exchange->out.head + FDFS_HEADER_SIZE, body.data, body.size);
    exchange_queue_reply(exchange, FDFS_HEADER_SIZE + body.size, NULL, 0, NULL);
}

static void reply_with(struct exchange *exchange, size_t head_size, struct span data,
    void (*sent)(struct exchange *exchange, err_t err))
{
    struct iovec iov = {(void *)(uintptr_t)data.data, data.size};
    exchange_queue_reply(exchange, head_size, &iov, data.size > 0 ? 1 : 0, sent);
}

void fdfs_reply_begin(struct fdfs_request *request, uint64_t body_size, struct span data,
    void (*sent)(struct exchange *exchange, err_t err))
{
    struct exchange *exchange = &request->exchange;
    CHECK(!exchange->is_answered && data.size <= body_size);
    exchange->is_answered = true;
    exchange->reply_left = body_size - data.size;
    fdfs_answer_header(FDFS_OK, body_size, exchange->out.head);
    reply_with(exchange, FDFS_HEADER_SIZE, data, sent);
}

void fdfs_reply_data(struct fdfs_request *request, struct span data,
    void (*sent)(struct exchange *exchange, err_t err))
{
    struct exchange *exchange = &request->exchange;
    CHECK(data.size > 0 && data.size <= exchange->reply_left);
    exchange->reply_left -= data.size;
    reply_with(exchange, 0, data, sent);
}

static void refuse_busy(struct exchange *exchange)
{
    fdfs_reply(fdfs_request_of(exchange), FDFS_EBUSY, span_of(NULL, 0));
    exchange_end(exchange);
}

/* ---- the server ---- */

static const struct exchange_kind fdfs_kind = {
    .accepted = EXCHANGE_ACCEPTED("fastdfs", struct fdfs_connection),
    .exchange_offset = offsetof(struct fdfs_connection, request.exchange),
    .read_head = read_head,
    .serve = serve,
    .read_body = exchange_read_body,
    .head_moved = head_moved,
    .refuse_busy = refuse_busy,
};

err_t fdfs_server_start(
    struct fdfs_server *server, struct net_loop *loop, const struct fdfs_server_config *config)
{
    *server = (struct fdfs_server){.config = *config};
    return exchange_server_start(
        &server->exchange, loop, &fdfs_kind, &config->exchange, span_of(busy, sizeof busy));
}

uint64_t fdfs_server_bytes(uint32_t connection_max)
{
    return pool_bytes(sizeof(struct fdfs_connection), connection_max, 0);
}
