#include "sim/stream.h"

#include <string.h>

enum { RETRY_NS = 200000000 };

static struct sim_net *net_of(const struct sim_end *end)
{
    return &end->node->world->net;
}

static void end_init(struct sim_end *end, struct sim_connection *connection, struct sim_node *node)
{
    end->connection = connection;
    end->node = node;
    list_init(&end->out);
    list_init(&end->in);
    list_init(&end->receivers);
    list_init(&end->senders);
}

struct sim_connection *sim_connection_new(struct sim_node *from, struct sim_node *to)
{
    struct sim_connection *connection = SIM_NEW(struct sim_connection);
    end_init(&connection->ends[0], connection, from);
    end_init(&connection->ends[1], connection, to);
    list_push_back(&from->world->net.connections, &connection->link);
    return connection;
}

static void segments_clear(struct list *segments)
{
    for (struct list *at; (at = list_pop_front(segments));)
        sim_free(CONTAINER_OF(at, struct sim_segment, link));
}

static void end_clear_out(struct sim_end *end)
{
    segments_clear(&end->out);
    end->out_bytes = 0;
    sim_event_cancel(end->node->world, &end->event);
}

void sim_connection_free(struct sim_connection *connection)
{
    for (size_t i = 0; i < 2; i++) {
        end_clear_out(&connection->ends[i]);
        segments_clear(&connection->ends[i].in);
    }
    list_remove(&connection->link);
    sim_free(connection);
}

static void connection_settle(struct sim_connection *connection)
{
    for (size_t i = 0; i < 2; i++)
        if (!connection->ends[i].is_closed || !list_is_empty(&connection->ends[i].out))
            return;
    sim_connection_free(connection);
}

/* What the end still does ends with `error`. */
static void end_break(struct sim_end *end, int error)
{
    if (!end->error)
        end->error = error;
    end_clear_out(end);
    sim_net_retry_all(&end->receivers);
    sim_net_retry_all(&end->senders);
}

void sim_connection_reset(struct sim_connection *connection)
{
    end_break(&connection->ends[0], ECONNRESET);
    end_break(&connection->ends[1], ECONNRESET);
    connection_settle(connection);
}

static void arrive(struct sim_world *world, struct sim_event *event);

static void schedule_first(struct sim_end *end, uint64_t not_before_ns)
{
    struct sim_world *world = end->node->world;
    sim_event_cancel(world, &end->event);
    if (list_is_empty(&end->out))
        return;
    uint64_t at_ns = CONTAINER_OF(end->out.next, struct sim_segment, link)->arrives_ns;
    end->event.run = arrive;
    sim_event_at(world, &end->event, at_ns > not_before_ns ? at_ns : not_before_ns);
}

static void send_segment(
    struct sim_end *end, enum sim_segment_kind kind, const uint8_t *data, size_t size)
{
    struct sim_end *peer = sim_end_peer(end);
    struct sim_segment *segment = sim_alloc(sizeof(*segment) + size);
    segment->kind = kind;
    segment->size = size;
    if (size > 0)
        memcpy(segment->data, data, size);
    uint64_t at_ns = sim_node_now(end->node) + sim_net_delay(end->node, peer->node);
    segment->arrives_ns = at_ns > end->last_arrival_ns ? at_ns : end->last_arrival_ns + 1;
    end->last_arrival_ns = segment->arrives_ns;
    end->out_bytes += size;
    bool is_first = list_is_empty(&end->out);
    list_push_back(&end->out, &segment->link);
    if (is_first)
        schedule_first(end, 0);
}

/* Nothing gets through: try again later, and not for ever. */
static void stall(struct sim_end *end)
{
    uint64_t now_ns = end->node->world->now_ns;
    if (end->stalled_since_ns == 0)
        end->stalled_since_ns = now_ns;
    uint64_t stalled_ns = now_ns - end->stalled_since_ns;
    if (stalled_ns <= net_of(end)->options.stall_max_ns) {
        schedule_first(
            end, now_ns + RETRY_NS + (stalled_ns < 2000000000 ? stalled_ns : 2000000000));
        return;
    }
    end_break(end, ETIMEDOUT);
    connection_settle(end->connection);
}

static void take_in(struct sim_end *end, struct sim_segment *segment)
{
    struct sim_net *net = net_of(end);
    if (prng_chance(&net->prng, net->options.corrupt_per_million)) {
        uint64_t bit = prng_below(&net->prng, segment->size * 8);
        segment->data[bit / 8] ^= (uint8_t)BIT(bit % 8);
    }
    end->in_bytes += segment->size;
    list_push_back(&end->in, &segment->link);
    sim_net_retry_all(&end->receivers);
}

/* The peer has the segment. Returns false if the connection is broken now. */
static bool take_segment(struct sim_end *end, struct sim_segment *segment)
{
    struct sim_end *peer = sim_end_peer(end);
    enum sim_segment_kind kind = segment->kind;
    if (kind == SIM_DATA && !peer->is_closed && !peer->is_shut && !peer->error) {
        take_in(peer, segment);
        return true;
    }
    sim_free(segment);
    if (kind == SIM_FIN) {
        peer->has_fin = true;
        sim_net_retry_all(&peer->receivers);
    } else if (kind == SIM_RESET) {
        end_break(peer, ECONNRESET);
    } else if (peer->is_closed) {
        end_break(end, ECONNRESET); /* nobody is there any more */
    }
    return !end->error;
}

/* The first segment of `end`'s queue is due at the peer. */
static void arrive(struct sim_world *world, struct sim_event *event)
{
    struct sim_end *end = CONTAINER_OF(event, struct sim_end, event), *peer = sim_end_peer(end);
    struct sim_net *net = &world->net;
    bool peer_is_dead = peer->is_silent && !peer->node->is_up;
    uint64_t clogged_ns = sim_net_clogged_until(end->node, peer->node);
    if (peer_is_dead || !sim_net_is_open(end->node, peer->node)) {
        stall(end);
        return;
    }
    end->stalled_since_ns = 0;
    if (clogged_ns > world->now_ns) {
        schedule_first(end, clogged_ns);
        return;
    }
    if (prng_chance(&net->prng, net->options.loss_per_million)) {
        schedule_first(end, world->now_ns + RETRY_NS);
        return;
    }
    struct sim_segment *segment = CONTAINER_OF(list_pop_front(&end->out), struct sim_segment, link);
    end->out_bytes -= segment->size;
    if (take_segment(end, segment))
        schedule_first(end, 0);
    connection_settle(end->connection);
}

void sim_end_shutdown(struct sim_end *end)
{
    if (end->is_shut)
        return;
    end->is_shut = true;
    if (!end->error)
        send_segment(end, SIM_FIN, NULL, 0);
    sim_net_retry_all(&end->receivers);
    sim_net_retry_all(&end->senders);
}

void sim_end_close(struct sim_end *end)
{
    enum sim_farewell farewell = end->node->farewell;
    struct sim_connection *connection = end->connection;
    end->is_closed = true;
    if (farewell == SIM_FAREWELL_SILENCE) {
        end->is_silent = true;
        end_clear_out(end);
    } else if (end->in_bytes > 0 || farewell == SIM_FAREWELL_RESET) {
        end_clear_out(end);
        send_segment(end, SIM_RESET, NULL, 0);
    } else if (!end->is_shut && !end->error) {
        send_segment(end, SIM_FIN, NULL, 0);
    }
    connection_settle(connection);
}

/* As much as asked, or by the seed a little less. */
static uint64_t cut_short(struct sim_net *net, uint64_t size)
{
    bool is_short = size > 1 && prng_chance(&net->prng, net->options.short_per_million);
    return is_short ? 1 + prng_below(&net->prng, size - 1) : size;
}

int64_t sim_end_receive(struct sim_end *end, struct sim_task *task)
{
    const struct iovec *iov = &task->op->iov[0];
    if (end->is_shut)
        return 0;
    if (end->in_bytes == 0)
        return end->error ? -end->error : end->has_fin ? 0 : SIM_PENDING;
    uint64_t size = iov->iov_len < end->in_bytes ? iov->iov_len : end->in_bytes, done = 0;
    size = cut_short(net_of(end), size);
    while (done < size) {
        struct sim_segment *segment = CONTAINER_OF(end->in.next, struct sim_segment, link);
        size_t left = segment->size - segment->at;
        size_t part = left < size - done ? left : (size_t)(size - done);
        memcpy((uint8_t *)iov->iov_base + done, segment->data + segment->at, part);
        segment->at += part;
        done += part;
        if (segment->at == segment->size) {
            list_remove(&segment->link);
            sim_free(segment);
        }
    }
    end->in_bytes -= size;
    sim_net_retry_all(&sim_end_peer(end)->senders);
    return (int64_t)size;
}

/* The bytes [from, from + size) of the op, as one segment or more. */
static void send_bytes(struct sim_end *end, const struct io_op *op, uint64_t size)
{
    struct sim_net *net = net_of(end);
    for (unsigned i = 0; i < op->iov_count && size > 0; i++) {
        const uint8_t *data = op->iov[i].iov_base;
        uint64_t left = op->iov[i].iov_len < size ? op->iov[i].iov_len : size;
        size -= left;
        while (left > 0) {
            uint64_t part = 1 + prng_below(&net->prng, net->options.segment_size_max);
            part = part < left ? part : left;
            send_segment(end, SIM_DATA, data, (size_t)part);
            data += part;
            left -= part;
        }
    }
}

int64_t sim_end_send(struct sim_end *end, struct sim_task *task)
{
    struct sim_net *net = net_of(end);
    if (end->is_shut)
        return -EPIPE;
    if (end->error)
        return -end->error;
    uint64_t size = 0, used = end->out_bytes + sim_end_peer(end)->in_bytes;
    for (unsigned i = 0; i < task->op->iov_count; i++)
        size += task->op->iov[i].iov_len;
    if (size == 0)
        return 0;
    if (prng_chance(&net->prng, net->options.reset_per_million)) {
        sim_connection_reset(end->connection);
        return -ECONNRESET;
    }
    if (used >= net->options.window)
        return SIM_PENDING;
    size = size < net->options.window - used ? size : net->options.window - used;
    size = cut_short(net, size);
    send_bytes(end, task->op, size);
    return (int64_t)size;
}
