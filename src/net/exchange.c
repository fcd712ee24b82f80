#include "net/exchange_connection.h"

static void reply_left(struct out_frame *frame, err_t err);

void exchange_open(
    struct exchange_connection *c, size_t head_size, bool has_more, uint64_t body_size)
{
    struct net_input *input = &c->accepted.stream.input;
    *c->exchange = (struct exchange){.has_more = has_more,
        .body_left = body_size,
        .base = (uint32_t)head_size,
        .bytes = input_unread(input),
        .connection = c,
        .connection_number = c->accepted.number,
        .peer = c->accepted.peer,
        .buffer = net_buffer_keep(input->small),
        .out = {.left = reply_left}};
    c->accepted.request_count = 1;
    input_use(input, (uint32_t)head_size);
}

/* ---- the body ---- */

void exchange_next_data(struct exchange *exchange, void (*wake)(struct exchange *exchange))
{
    struct accepted *accepted = &exchange->connection->accepted;
    CHECK(exchange->has_more && !exchange->wake && !exchange->is_ended && wake);
    exchange->data = span_of(NULL, 0);
    exchange->filled = 0;
    exchange->wake = wake;
    if (exchange->body_since_ns == 0)
        exchange->body_since_ns = io_now(accepted->acceptor->loop->io);
    accepted_kick(accepted);
}

void exchange_cancel_data(struct exchange *exchange)
{
    if (exchange->wake)
        exchange->connection->closes = true;
    exchange->wake = NULL;
}

bool exchange_deliver(struct exchange *exchange, struct span data, bool has_more)
{
    void (*wake)(struct exchange *) = exchange->wake;
    exchange->data = data;
    exchange->has_more = has_more;
    exchange->body_size += data.size;
    exchange->wake = NULL;
    wake(exchange);
    return true;
}

void exchange_fail_body(struct exchange *exchange, err_t err)
{
    exchange->body_err = err;
    exchange->connection->closes = exchange->connection->has_rest = true;
    (void)exchange_deliver(exchange, span_of(NULL, 0), false);
}

bool exchange_take_large(struct exchange *exchange)
{
    struct exchange_connection *c = exchange->connection;
    struct net_stream *stream = &c->accepted.stream;
    struct pool *pool = &stream->input.buffers->large;
    if (exchange->buffer->pool == pool)
        return true;
    struct net_buffer *large = input_take_buffer(&stream->input, pool);
    if (!large) {
        stream_wait_buffer(stream, INPUT_NO_LARGE);
        return false;
    }
    memcpy(large->data, exchange->bytes.data, exchange->base);
    exchange_kind_of(c)->head_moved(exchange, span_of(large->data, exchange->base));
    net_buffer_drop(&exchange->buffer);
    exchange->buffer = large;
    return true;
}

/* What is in the small buffer to its end needs no large one. */
static bool is_all_there(const struct exchange *exchange, const struct net_input *input)
{
    return exchange->buffer == input->small && input_unread(input).size >= exchange->body_left;
}

bool exchange_read_body(struct exchange *exchange)
{
    const struct exchange_kind *kind = exchange_kind_of(exchange->connection);
    struct net_stream *stream = &exchange->connection->accepted.stream;
    struct net_input *input = &stream->input;
    if (is_all_there(exchange, input)) {
        struct span data = span_of(input_unread(input).data, (size_t)exchange->body_left);
        input_use(input, (uint32_t)data.size);
        exchange->body_left = 0;
        return exchange_deliver(exchange, data, false);
    }
    if (!exchange_take_large(exchange))
        return false;
    struct net_buffer *buffer = exchange->buffer;
    uint32_t room = buffer->capacity - exchange->base;
    uint32_t size = exchange->body_left < room ? (uint32_t)exchange->body_left : room;
    if (input_collect_bytes(input, buffer, exchange->base, size) == INPUT_NEED_MORE) {
        if (kind->body_lacks)
            kind->body_lacks(exchange);
        stream_receive(stream);
        return false;
    }
    exchange->body_left -= size;
    struct span data = span_of(buffer->data + exchange->base, size);
    return exchange_deliver(exchange, data, exchange->body_left > 0);
}

/* ---- answers ---- */

void exchange_queue_reply(struct exchange *exchange, size_t head_size, const struct iovec *data,
    unsigned data_count, void (*sent)(struct exchange *exchange, err_t err))
{
    struct accepted *accepted = &exchange->connection->accepted;
    CHECK(!exchange->is_ended && !exchange->sent);
    out_frame_set(&exchange->out, head_size, data, data_count);
    exchange->sent = sent;
    output_queue(&accepted->stream.output, &exchange->out);
    accepted_kick(accepted);
}

/* ---- the end ---- */

void exchange_give_room(struct exchange *exchange)
{
    void *room = exchange->room;
    exchange->room = NULL;
    if (room)
        pool_give(exchange_server_of(exchange->connection)->ops, room);
}

static void release(struct exchange *exchange)
{
    struct exchange_connection *c = exchange->connection;
    struct accepted *accepted = &c->accepted;
    bool is_short = exchange->reply_left > 0 || !exchange->is_answered;
    net_buffer_drop(&exchange->buffer);
    exchange_give_room(exchange);
    accepted->request_count = 0;
    accepted->stream.read_since_ns = io_now(accepted->acceptor->loop->io);
    if (is_short) /* the client must not take what it got for the whole */
        stream_lose(&accepted->stream, ERR(CANCELLED, 0));
    if (exchange->has_more)
        exchange_drain(c, exchange->body_left);
    if (c->closes)
        accepted->is_input_over = true;
    if (c->closes && exchange->has_more)
        c->has_rest = true;
    accepted_kick(accepted);
}

static void reply_left(struct out_frame *frame, err_t err)
{
    struct exchange *exchange = CONTAINER_OF(frame, struct exchange, out);
    void (*sent)(struct exchange *, err_t) = exchange->sent;
    exchange->sent = NULL;
    if (exchange->is_ended)
        release(exchange);
    else if (sent)
        sent(exchange, err);
}

void exchange_end(struct exchange *exchange)
{
    CHECK(!exchange->is_ended && !exchange->wake && !exchange->sent);
    exchange->is_ended = true;
    if (!out_frame_is_queued(&exchange->out))
        release(exchange);
    else
        accepted_kick(&exchange->connection->accepted);
}

bool exchange_is_gone(const struct exchange *exchange)
{
    return stream_is_lost(&exchange->connection->accepted.stream);
}

void exchange_move(struct exchange *exchange, struct exchange_server *to)
{
    struct accepted *accepted = &exchange->connection->accepted;
    CHECK(!exchange->is_ended && !exchange->wake && !exchange->is_answered);
    CHECK(exchange->buffer == accepted->stream.input.small);
    exchange_give_room(exchange);
    accepted_move_to(accepted, &to->acceptor);
}
