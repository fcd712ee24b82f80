#include "net/exchange_connection.h"

#include "base/units.h"

static const uint64_t BODY_GRACE_NS = 10 * NS_PER_S;

static struct exchange_connection *of(struct accepted *accepted)
{
    return CONTAINER_OF(accepted, struct exchange_connection, accepted);
}

static bool is_busy(const struct exchange_connection *c)
{
    return c->accepted.request_count > 0;
}

err_t exchange_server_start(struct exchange_server *server, struct net_loop *loop,
    const struct exchange_kind *kind, const struct exchange_config *config, struct span refusal)
{
    server->idle_timeout_ns = config->idle_timeout_ns;
    server->head_timeout_ns = config->head_timeout_ns;
    server->requests_served = 0;
    server->ops = config->ops;
    return acceptor_start(&server->acceptor, loop, &kind->accepted,
        &(struct acceptor_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .connection_max = config->connection_max,
            .send_timeout_ns = config->send_timeout_ns,
            .refusal = refusal});
}

/* ---- what belongs to no answer ---- */

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    accepted_kick(&CONTAINER_OF(frame, struct exchange_connection, control)->accepted);
}

void exchange_send_control(struct exchange_connection *c, size_t size)
{
    c->control.left = control_left;
    out_frame_set(&c->control, size, NULL, 0);
    output_queue(&c->accepted.stream.output, &c->control);
}

/* ---- reading ---- */

void exchange_drain(struct exchange_connection *c, uint64_t size)
{
    c->drain_left = size;
    c->drain_size = 0;
    c->drain_since_ns = io_now(c->accepted.acceptor->loop->io);
}

void exchange_close_input(struct exchange_connection *c)
{
    c->accepted.is_input_over = true;
    c->has_rest = true;
}

/* Bytes of a body that nobody wanted go first. */
static bool drain(struct exchange_connection *c)
{
    struct net_stream *stream = &c->accepted.stream;
    uint64_t unread = input_unread(&stream->input).size;
    uint32_t size = (uint32_t)(c->drain_left < unread ? c->drain_left : unread);
    if (size > 0)
        input_use(&stream->input, size);
    c->drain_left -= size;
    c->drain_size += size;
    if (c->drain_left > 0)
        stream_receive(stream);
    return c->drain_left == 0;
}

static bool is_in_line(const struct exchange_connection *c)
{
    return list_is_linked(&c->in_line.link);
}

static void room_came(struct pool_waiter *waiter)
{
    struct exchange_connection *c = CONTAINER_OF(waiter, struct exchange_connection, in_line);
    c->exchange->room = pool_take(exchange_server_of(c)->ops, &c->accepted.machine.owner);
    c->has_room_come = true;
    accepted_kick(&c->accepted);
}

static void serve(struct exchange_connection *c)
{
    exchange_server_of(c)->requests_served++;
    exchange_kind_of(c)->serve(c->exchange);
}

/* A whole head was read. Where the ledger refuses, waiting does not help: the role will say so. */
static void serve_in_turn(struct exchange_connection *c)
{
    struct pool *ops = exchange_server_of(c)->ops;
    if (ops)
        c->exchange->room = pool_take(ops, &c->accepted.machine.owner);
    if (!ops || c->exchange->room || !pool_wait(ops, &c->in_line))
        serve(c);
}

static bool read_request(struct exchange_connection *c)
{
    const struct exchange_kind *kind = exchange_kind_of(c);
    struct exchange_server *server = exchange_server_of(c);
    struct net_stream *stream = &c->accepted.stream;
    struct span unread = input_unread(&stream->input);
    if (unread.size > 0 && c->head_since_ns == 0)
        c->head_since_ns = io_now(server->acceptor.loop->io);
    enum exchange_head head = unread.size > 0 ? kind->read_head(c, unread) : EXCHANGE_NEED_MORE;
    if (head == EXCHANGE_NEED_MORE) {
        stream_receive(stream);
        return false;
    }
    c->head_since_ns = 0;
    if (head == EXCHANGE_NONE)
        return false;
    serve_in_turn(c);
    return true;
}

static bool may_read(const struct exchange_connection *c)
{
    const struct accepted *accepted = &c->accepted;
    const struct net_stream *stream = &accepted->stream;
    if (accepted->is_input_over || stream_is_lost(stream) || io_op_is_out(&stream->recv))
        return false;
    if (is_busy(c))
        return c->exchange->wake != NULL;
    return !accepted->acceptor->is_draining && !out_frame_is_queued(&c->control);
}

static bool read_more(struct exchange_connection *c)
{
    if (is_busy(c))
        return exchange_kind_of(c)->read_body(c->exchange);
    return drain(c) && read_request(c);
}

/* The stream has ended, or the server drains: what is there already was read before. */
static void end_input(struct accepted *accepted)
{
    struct exchange_connection *c = of(accepted);
    const struct net_stream *stream = &accepted->stream;
    bool is_over = stream->is_ended && !io_op_is_out(&stream->recv);
    if (is_over || stream_is_lost(stream) || (accepted->acceptor->is_draining && !is_busy(c)))
        accepted->is_input_over = true;
    if (accepted->is_input_over && is_busy(c) && c->exchange->wake)
        exchange_fail_body(c->exchange, ERR(CLOSED, 0));
}

void exchange_work(struct accepted *accepted)
{
    struct exchange_connection *c = of(accepted);
    if (c->has_room_come) {
        c->has_room_come = false;
        serve(c);
    }
    while (may_read(c) && read_more(c)) {
    }
    end_input(accepted);
}

/* Who stood in line was not served. */
void exchange_unwind(struct accepted *accepted)
{
    struct exchange_connection *c = of(accepted);
    bool is_unserved = is_in_line(c) || c->has_room_come;
    pool_wait_cancel(&c->in_line);
    c->has_room_come = false;
    if (is_unserved)
        exchange_end(c->exchange);
    end_input(accepted);
}

bool exchange_lingers(struct accepted *accepted)
{
    const struct exchange_connection *c = of(accepted);
    return (c->has_rest || c->drain_left > 0) && !accepted->stream.is_ended;
}

/* ---- deadlines ---- */

/* From ten seconds on, bytes must have come with the least rate. */
static bool is_slow(uint64_t since_ns, uint64_t now_ns, uint64_t size)
{
    uint64_t waited_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    return waited_ns > BODY_GRACE_NS && size < waited_ns / NS_PER_S * EXCHANGE_BODY_RATE_MIN;
}

static bool is_body_late(const struct exchange_connection *c, uint64_t now_ns)
{
    const struct net_input *input = &c->accepted.stream.input;
    const struct exchange *exchange = c->exchange;
    uint64_t partial = exchange->filled + (input->large ? input->body_received : 0);
    return exchange->wake
           && is_slow(exchange->body_since_ns, now_ns, exchange->body_size + partial);
}

static bool is_head_late(struct exchange_connection *c, uint64_t now_ns)
{
    bool (*late)(struct exchange_connection *) = exchange_kind_of(c)->head_is_late;
    if (now_ns - c->head_since_ns <= exchange_server_of(c)->head_timeout_ns)
        return false;
    c->head_since_ns = 0;
    return !late || late(c);
}

bool exchange_is_late(struct accepted *accepted, uint64_t now_ns)
{
    struct exchange_connection *c = of(accepted);
    const struct net_stream *stream = &accepted->stream;
    if (is_busy(c))
        return is_body_late(c, now_ns);
    if (c->drain_left > 0)
        return is_slow(c->drain_since_ns, now_ns, c->drain_size);
    if (c->head_since_ns > 0 && !accepted->is_input_over)
        return is_head_late(c, now_ns);
    return io_op_is_out(&stream->recv)
           && now_ns - stream->read_since_ns > exchange_server_of(c)->idle_timeout_ns;
}

/* ---- moving ---- */

bool exchange_take(struct accepted *to, struct accepted *from)
{
    struct net_input *input = &to->stream.input;
    struct span bytes = of(from)->exchange->bytes;
    input->small = net_buffer_take(&input->buffers->small, input->owner);
    if (!input->small)
        return false;
    memcpy(input->small->data, bytes.data, bytes.size);
    input->end = (uint32_t)bytes.size;
    return true;
}

void exchange_leave(struct accepted *accepted)
{
    net_buffer_drop(&of(accepted)->exchange->buffer);
    accepted->request_count = 0;
}

void exchange_stay(struct accepted *accepted)
{
    struct exchange_connection *c = of(accepted);
    exchange_kind_of(c)->refuse_busy(c->exchange);
}

/* ---- the beginning ---- */

void exchange_opened(struct accepted *accepted)
{
    struct exchange_connection *c = of(accepted);
    c->exchange = (struct exchange *)(void *)((char *)c + exchange_kind_of(c)->exchange_offset);
    c->in_line.ready = room_came;
}
