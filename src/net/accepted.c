#include "net/accepted.h"

#include "base/units.h"

/* How long a peer may take to read the last answer before the socket goes. Closing at once would
 * reset the connection when it has sent more than was read, and the answer would be lost. */
static const uint64_t LINGER_NS = 2 * NS_PER_S;

static struct accepted *of_machine(struct machine *machine)
{
    return CONTAINER_OF(machine, struct accepted, machine);
}

void accepted_kick(struct accepted *c)
{
    if (c->is_kicked)
        return;
    c->is_kicked = true;
    if (!c->machine.running)
        machine_arrive(&c->machine);
}

static void stream_changed(struct net_stream *stream)
{
    accepted_kick(CONTAINER_OF(stream, struct accepted, stream));
}

static void lose(struct accepted *c, err_t err)
{
    stream_lose(&c->stream, err);
    accepted_kick(c);
}

void accepted_cut(struct accepted *c)
{
    lose(c, ERR(CANCELLED, 0));
}

/* ---- at work ---- */

static bool is_finished(const struct accepted *c)
{
    return c->is_input_over && c->request_count == 0 && stream_is_flushed(&c->stream);
}

static int run_work(struct machine *machine)
{
    struct accepted *c = of_machine(machine);
    const struct accepted_kind *kind = c->acceptor->kind;
    do {
        c->is_kicked = false;
        kind->work(c);
        stream_send(&c->stream);
    } while (c->is_kicked && !stream_is_lost(&c->stream));
    if (stream_is_lost(&c->stream))
        return ACCEPTED_UNWIND;
    if (is_finished(c))
        return kind->lingers(c) ? ACCEPTED_LINGER : ACCEPTED_UNWIND;
    if (accepted_move_is_ready(c)) {
        accepted_move_ask(c);
        return machine_wait_in(machine, ACCEPTED_MOVING, 1);
    }
    return machine_wait_in(machine, ACCEPTED_WORK, 1);
}

static int run_moving(struct machine *machine)
{
    struct accepted *c = of_machine(machine);
    c->is_kicked = false;
    if (c->move.stage == MOVE_ASKED)
        return machine_wait_in(machine, ACCEPTED_MOVING, 1);
    if (c->move.stage == MOVE_TAKEN)
        return ACCEPTED_UNWIND;
    accepted_move_resume(c);
    return ACCEPTED_WORK;
}

static int run_linger(struct machine *machine)
{
    struct accepted *c = of_machine(machine);
    c->is_kicked = false;
    if (!c->stream.is_discarding) {
        c->stream.is_discarding = true;
        c->linger_since_ns = io_now(c->acceptor->loop->io);
    }
    stream_receive(&c->stream);
    if (c->stream.is_ended || stream_is_lost(&c->stream))
        return ACCEPTED_UNWIND;
    return machine_wait_in(machine, ACCEPTED_LINGER, 1);
}

/* ---- the end ---- */

static void abandon_move(struct accepted *c)
{
    if (c->move.stage == MOVE_NONE)
        return;
    CHECK(c->move.stage != MOVE_ASKED);
    c->move.stage = MOVE_NONE;
    c->acceptor->kind->leave(c);
}

static int run_unwind(struct machine *machine)
{
    struct accepted *c = of_machine(machine);
    bool is_home;
    c->is_input_over = true;
    net_ticker_leave(&c->acceptor->loop->ticker, &c->tick);
    abandon_move(c);
    do {
        c->is_kicked = false;
        c->acceptor->kind->end(c);
        is_home = stream_stop(&c->stream);
    } while (c->is_kicked);
    if (!is_home || c->request_count > 0)
        return machine_wait_in(machine, ACCEPTED_UNWIND, 1);
    stream_fini(&c->stream);
    return ACCEPTED_DONE;
}

static int run_done(struct machine *machine)
{
    struct accepted *c = of_machine(machine);
    struct acceptor *acceptor = c->acceptor;
    uint64_t number = c->number;
    ledger_release(&acceptor->loop->io->ledger, &c->held, HELD_CONN);
    list_remove(&c->link);
    owner_close(&machine->owner);
    pool_give(&acceptor->connections, c);
    if (acceptor->kind->gone)
        acceptor->kind->gone(acceptor, number);
    CHECK(acceptor->connection_count > 0);
    acceptor->connection_count--;
    return STAGE_END;
}

const struct stage accepted_stages[ACCEPTED_STAGE_COUNT] = {
    [ACCEPTED_WORK] = {"work", run_work,
        BIT(ACCEPTED_WORK) | BIT(ACCEPTED_MOVING) | BIT(ACCEPTED_LINGER), STAGE_RESTS},
    [ACCEPTED_MOVING] = {"moving", run_moving, BIT(ACCEPTED_MOVING) | BIT(ACCEPTED_WORK), 1000},
    [ACCEPTED_LINGER] = {"linger", run_linger, BIT(ACCEPTED_LINGER), 5000},
    [ACCEPTED_UNWIND] = {"unwind", run_unwind, BIT(ACCEPTED_UNWIND) | BIT(ACCEPTED_DONE), 0},
    [ACCEPTED_DONE] = {"done", run_done, 0, 0},
};

/* ---- deadlines ---- */

static bool is_overdue(struct accepted *c, uint64_t now_ns)
{
    const struct net_stream *stream = &c->stream;
    uint64_t send_timeout_ns = c->acceptor->config.send_timeout_ns;
    if (stream->is_discarding)
        return now_ns - c->linger_since_ns > LINGER_NS;
    if (io_op_is_out(&stream->send) && now_ns - stream->sent_since_ns > send_timeout_ns)
        return true;
    return c->acceptor->kind->is_late(c, now_ns);
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct accepted *c = CONTAINER_OF(tick, struct accepted, tick);
    if (c->move.stage != MOVE_ASKED && is_overdue(c, now_ns))
        lose(c, ERR(TIMEOUT, 0));
}

/* ---- the beginning ---- */

struct accepted *accepted_open(struct acceptor *acceptor)
{
    struct io *io = acceptor->loop->io;
    struct accepted *c = pool_take(&acceptor->connections, &acceptor->owner);
    if (!c)
        return NULL;
    memset(c, 0, acceptor->kind->size);
    c->acceptor = acceptor;
    c->number = ++acceptor->opened;
    c->is_kicked = true; /* the machine is about to run for the first time */
    c->tick.tick = on_tick;
    err_t err = ledger_acquire(&io->ledger, &c->held, .kind = HELD_CONN, .life = LIFE_CONNECTION,
        .owner = &acceptor->owner);
    if (err_is(err)) {
        pool_give(&acceptor->connections, c);
        return NULL;
    }
    machine_start(&c->machine, &acceptor->kind->machine, &io->run, DIRECTION_CLIENT);
    stream_init(&c->stream, acceptor->loop, &c->machine.owner, stream_changed);
    list_push_back(&acceptor->live, &c->link);
    net_ticker_join(&acceptor->loop->ticker, &c->tick);
    acceptor->connection_count++;
    acceptor->kind->opened(c);
    return c;
}
