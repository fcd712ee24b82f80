#include "net/fdfs_connection.h"

#include "base/units.h"

enum { STAGE_WORK, STAGE_MOVING, STAGE_LINGER, STAGE_UNWIND, STAGE_DONE, STAGE_COUNT };

static const uint64_t LINGER_NS = 2 * NS_PER_S;
static const uint64_t BODY_GRACE_NS = 10 * NS_PER_S;

static struct fdfs_connection *of_machine(struct machine *machine)
{
    return CONTAINER_OF(machine, struct fdfs_connection, machine);
}

void fdfs_connection_kick(struct fdfs_connection *c)
{
    if (c->is_kicked)
        return;
    c->is_kicked = true;
    if (!c->machine.running)
        machine_arrive(&c->machine);
}

static void stream_changed(struct net_stream *stream)
{
    fdfs_connection_kick(CONTAINER_OF(stream, struct fdfs_connection, stream));
}

void fdfs_connection_cut(struct fdfs_connection *c)
{
    stream_lose(&c->stream, ERR(CANCELLED, 0));
    fdfs_connection_kick(c);
}

/* ---- reading ---- */

/* Bytes of a content that nobody wanted go first. */
static bool drain(struct fdfs_connection *c)
{
    struct net_input *input = &c->stream.input;
    uint64_t unread = input_unread(input).size;
    uint32_t size = (uint32_t)(c->drain_left < unread ? c->drain_left : unread);
    if (size > 0)
        input_use(input, size);
    c->drain_left -= size;
    c->drain_size += size;
    if (c->drain_left > 0)
        stream_receive(&c->stream);
    return c->drain_left == 0;
}

static void begin_drain(struct fdfs_connection *c, uint64_t size)
{
    c->drain_left = size;
    c->drain_size = 0;
    c->drain_since_ns = io_now(c->server->loop->io);
}

/* Nothing is understood of it but how long it is. */
static void refuse_malformed(struct fdfs_connection *c, const struct fdfs_head *head, int status)
{
    c->server->requests_malformed++;
    if (status == FDFS_LOST || head->body_size > FDFS_DRAIN_MAX) {
        c->is_input_over = true;
        c->has_rest = true;
    } else {
        input_use(&c->stream.input, FDFS_HEADER_SIZE);
        begin_drain(c, head->body_size);
    }
    fdfs_refuse(c, status == FDFS_LOST ? FDFS_EINVAL : (uint8_t)status);
}

static bool read_request(struct fdfs_connection *c)
{
    struct span unread = input_unread(&c->stream.input);
    struct fdfs_head head;
    size_t size;
    if (unread.size > 0 && c->head_since_ns == 0)
        c->head_since_ns = io_now(c->server->loop->io);
    int status = unread.size > 0 ? fdfs_decode(unread, &head, &size) : FDFS_NEED_MORE;
    if (status == FDFS_NEED_MORE) {
        stream_receive(&c->stream);
        return false;
    }
    c->head_since_ns = 0;
    if (status != FDFS_OK) {
        refuse_malformed(c, &head, status);
        return false;
    }
    if (head.command == FDFS_QUIT) {
        c->is_input_over = true;
        return false;
    }
    c->server->requests_served++;
    fdfs_request_open(c, &head, size);
    c->server->config.on_request(c->server, &c->request);
    return true;
}

static bool may_read(const struct fdfs_connection *c)
{
    if (c->is_input_over || stream_is_lost(&c->stream) || io_op_is_out(&c->stream.recv))
        return false;
    if (c->is_busy)
        return c->request.wake != NULL;
    return !c->server->is_draining && !out_frame_is_queued(&c->control);
}

static bool read_more(struct fdfs_connection *c)
{
    if (c->is_busy)
        return fdfs_body_read(c);
    return drain(c) && read_request(c);
}

/* The stream has ended, or the server drains: what is there already was read before. */
static void end_input(struct fdfs_connection *c)
{
    bool is_over = c->stream.is_ended && !io_op_is_out(&c->stream.recv);
    if (is_over || stream_is_lost(&c->stream) || (c->server->is_draining && !c->is_busy))
        c->is_input_over = true;
    if (c->is_input_over && c->is_busy && c->request.wake)
        fdfs_body_fail(c, ERR(CLOSED, 0));
}

static bool is_finished(const struct fdfs_connection *c)
{
    return c->is_input_over && !c->is_busy && stream_is_flushed(&c->stream);
}

static int run_work(struct machine *machine)
{
    struct fdfs_connection *c = of_machine(machine);
    do {
        c->is_kicked = false;
        while (may_read(c) && read_more(c)) {
        }
        end_input(c);
        stream_send(&c->stream);
    } while (c->is_kicked && !stream_is_lost(&c->stream));
    if (stream_is_lost(&c->stream))
        return STAGE_UNWIND;
    if (is_finished(c))
        return (c->has_rest || c->drain_left > 0) && !c->stream.is_ended ? STAGE_LINGER
                                                                         : STAGE_UNWIND;
    if (c->move.stage == FDFS_MOVE_WANTED && !io_op_is_out(&c->stream.send)) {
        fdfs_move_ask(c);
        return machine_wait_in(machine, STAGE_MOVING, 1);
    }
    return machine_wait_in(machine, STAGE_WORK, 1);
}

static int run_moving(struct machine *machine)
{
    struct fdfs_connection *c = of_machine(machine);
    c->is_kicked = false;
    if (c->move.stage == FDFS_MOVE_ASKED)
        return machine_wait_in(machine, STAGE_MOVING, 1);
    if (c->move.stage == FDFS_MOVE_TAKEN)
        return STAGE_UNWIND;
    fdfs_move_resume(c);
    return STAGE_WORK;
}

/* Closing at once would reset a connection on which something unread has come. */
static int run_linger(struct machine *machine)
{
    struct fdfs_connection *c = of_machine(machine);
    c->is_kicked = false;
    if (!c->stream.is_discarding) {
        c->stream.is_discarding = true;
        c->linger_since_ns = io_now(c->server->loop->io);
    }
    stream_receive(&c->stream);
    if (c->stream.is_ended || stream_is_lost(&c->stream))
        return STAGE_UNWIND;
    return machine_wait_in(machine, STAGE_LINGER, 1);
}

/* ---- the end ---- */

static int run_unwind(struct machine *machine)
{
    struct fdfs_connection *c = of_machine(machine);
    bool is_home;
    net_ticker_leave(&c->server->loop->ticker, &c->tick);
    if (c->move.stage != FDFS_MOVE_NONE) {
        CHECK(c->move.stage != FDFS_MOVE_ASKED);
        c->move.stage = FDFS_MOVE_NONE;
        c->is_busy = false;
        net_buffer_drop(&c->request.buffer);
    }
    do {
        c->is_kicked = false;
        is_home = stream_stop(&c->stream);
        end_input(c);
    } while (c->is_kicked);
    if (!is_home || c->is_busy)
        return machine_wait_in(machine, STAGE_UNWIND, 1);
    stream_fini(&c->stream);
    return STAGE_DONE;
}

static int run_done(struct machine *machine)
{
    struct fdfs_connection *c = of_machine(machine);
    struct fdfs_server *server = c->server;
    ledger_release(&server->loop->io->ledger, &c->held, HELD_CONN);
    list_remove(&c->link);
    owner_close(&machine->owner);
    pool_give(&server->connections, c);
    server->connection_count--;
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [STAGE_WORK] = {"work", run_work, BIT(STAGE_WORK) | BIT(STAGE_MOVING) | BIT(STAGE_LINGER), 0},
    [STAGE_MOVING] = {"moving", run_moving, BIT(STAGE_MOVING) | BIT(STAGE_WORK), 1000},
    [STAGE_LINGER] = {"linger", run_linger, BIT(STAGE_LINGER), 5000},
    [STAGE_UNWIND] = {"unwind", run_unwind, BIT(STAGE_UNWIND) | BIT(STAGE_DONE), 0},
    [STAGE_DONE] = {"done", run_done, 0, 0},
};
static const struct machine_kind connection_kind = {
    "fastdfs-connection", stages, STAGE_COUNT, STAGE_UNWIND, STAGE_DONE};

/* ---- deadlines ---- */

/* From ten seconds on, bytes must have come with the least rate. */
static bool is_slow(uint64_t since_ns, uint64_t now_ns, uint64_t size)
{
    uint64_t waited_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    return waited_ns > BODY_GRACE_NS && size < waited_ns / NS_PER_S * FDFS_BODY_RATE_MIN;
}

static bool is_overdue(const struct fdfs_connection *c, uint64_t now_ns)
{
    const struct fdfs_server_config *config = &c->server->config;
    if (c->stream.is_discarding)
        return now_ns - c->linger_since_ns > LINGER_NS;
    if (io_op_is_out(&c->stream.send) && now_ns - c->stream.sent_since_ns > config->send_timeout_ns)
        return true;
    if (c->is_busy) {
        uint32_t partial = c->stream.input.large ? c->stream.input.body_received : 0;
        return c->request.wake
               && is_slow(c->request.body_since_ns, now_ns, c->request.body_size + partial);
    }
    if (c->drain_left > 0)
        return is_slow(c->drain_since_ns, now_ns, c->drain_size);
    if (c->head_since_ns > 0)
        return now_ns - c->head_since_ns > config->head_timeout_ns;
    return io_op_is_out(&c->stream.recv)
           && now_ns - c->stream.read_since_ns > config->idle_timeout_ns;
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct fdfs_connection *c = CONTAINER_OF(tick, struct fdfs_connection, tick);
    if (c->move.stage == FDFS_MOVE_ASKED || !is_overdue(c, now_ns))
        return;
    stream_lose(&c->stream, ERR(TIMEOUT, 0));
    fdfs_connection_kick(c);
}

/* ---- the beginning ---- */

struct fdfs_connection *fdfs_connection_open(struct fdfs_server *server)
{
    struct io *io = server->loop->io;
    struct fdfs_connection *c = pool_take(&server->connections, &server->owner);
    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->server = server;
    c->is_kicked = true; /* the machine is about to run for the first time */
    c->tick.tick = on_tick;
    err_t err = ledger_acquire(
        &io->ledger, &c->held, .kind = HELD_CONN, .life = LIFE_CONNECTION, .owner = &server->owner);
    if (err_is(err)) {
        pool_give(&server->connections, c);
        return NULL;
    }
    machine_start(&c->machine, &connection_kind, &io->run, DIRECTION_CLIENT);
    stream_init(&c->stream, server->loop, &c->machine.owner, stream_changed);
    list_push_back(&server->live, &c->link);
    net_ticker_join(&server->loop->ticker, &c->tick);
    server->connection_count++;
    return c;
}

void fdfs_connection_attach(struct fdfs_connection *c, struct io_handle *socket)
{
    io_handle_move(&c->stream.socket, socket);
    ledger_pass(&c->stream.socket.held, &c->machine.owner);
}
