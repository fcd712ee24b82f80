#include "net/connection.h"

enum { STAGE_WORK, STAGE_MOVING, STAGE_LINGER, STAGE_UNWIND, STAGE_DONE, STAGE_COUNT };

/* How long a peer may take to read the ERROR before the socket goes. Closing at once would reset
 * the connection when it has sent more than was read, and the ERROR would be lost. */
static const uint64_t LINGER_NS = UINT64_C(2000000000);

/* Messages of the node role: doc/protocol.md section "Messages". */
enum { NODE_TYPE_FIRST = 64, NODE_TYPE_LAST = 79 };

static struct net_connection *of_machine(struct machine *machine)
{
    return CONTAINER_OF(machine, struct net_connection, machine);
}

static struct net_connection *of_stream(struct net_stream *stream)
{
    return CONTAINER_OF(stream, struct net_connection, stream);
}

void connection_kick(struct net_connection *connection)
{
    if (connection->is_kicked)
        return;
    connection->is_kicked = true;
    if (!connection->machine.running)
        machine_arrive(&connection->machine);
}

static void stream_changed(struct net_stream *stream)
{
    connection_kick(of_stream(stream));
}

void connection_cut(struct net_connection *connection)
{
    stream_lose(&connection->stream, ERR(CANCELLED, 0));
    connection_kick(connection);
}

/* ---- errors of the connection ---- */

/* The input is broken: requests in flight end, the peer is told, the connection closes. */
static void fail_input(struct net_connection *c, err_t err)
{
    c->is_input_over = true;
    c->fault = err;
}

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    connection_kick(CONTAINER_OF(frame, struct net_connection, control));
}

static void send_control(
    struct net_connection *c, uint8_t type, uint64_t request, const struct writer *fields)
{
    c->control.left = control_left;
    out_frame_seal(&c->control, type, 0, request, fields, NULL, 0);
    output_queue(&c->stream.output, &c->control);
}

static void tell_fault(struct net_connection *c)
{
    if (!err_is(c->fault) || c->is_fault_told || out_frame_is_queued(&c->control))
        return;
    struct writer fields = out_frame_begin(&c->control);
    error_encode(c->fault, err_sentence(c->fault.code), (struct version){}, &fields);
    send_control(c, MSG_ERROR, 0, &fields); /* 0: it concerns the connection */
    c->is_fault_told = true;
}

/* ---- reading: each returns true when it got on and there may be more to do ---- */

static bool need(struct net_connection *c, enum input_result result)
{
    switch (result) {
    case INPUT_READY:
        return true;
    case INPUT_NEED_MORE:
        stream_receive(&c->stream);
        return false;
    case INPUT_NO_SMALL:
    case INPUT_NO_LARGE:
        stream_wait_buffer(&c->stream, result);
        return false;
    case INPUT_BAD:
        break;
    }
    fail_input(c, ERR(PROTOCOL, 0));
    return false;
}

/* Random bytes for a challenge: the seam's, so that a simulation repeats. */
static struct key32 fresh_challenge(struct io *io)
{
    struct key32 challenge;
    for (size_t i = 0; i < sizeof challenge.bytes; i += 8)
        put_u64(challenge.bytes + i, io_random(io));
    return challenge;
}

static void step_handshake(struct net_connection *c, struct span meta)
{
    struct handshake_effect effect;
    struct key32 challenge = fresh_challenge(c->server->loop->io);
    const struct frame *frame = &c->stream.input.frame;
    handshake_server_step(
        &c->handshake, &c->server->config.policy, frame, meta, &challenge, &effect);
    if (effect.is_done) {
        c->machine.owner.peer_machine = c->handshake.hello.machine;
        c->server->handshakes++;
    }
    struct writer fields = out_frame_begin(&c->control);
    write_bytes(&fields, effect.meta, effect.meta_size);
    send_control(c, effect.type, frame->request, &fields);
    if (err_is(effect.err)) {
        c->is_input_over = true;
        c->fault = effect.err;
        c->is_fault_told = true;
    }
}

static bool read_handshake(struct net_connection *c)
{
    struct net_input *input = &c->stream.input;
    struct span meta, data;
    struct net_buffer *buffer;
    if (out_frame_is_queued(&c->control))
        return false;
    if (input->frame.data_size > 0 || input->frame.flags != 0) {
        fail_input(c, ERR(PROTOCOL, 0));
        return false;
    }
    if (!need(c, input_collect(input, false)))
        return false;
    err_t err = input_take(input, &meta, &data, &buffer);
    if (err_is(err)) {
        fail_input(c, err);
        return false;
    }
    step_handshake(c, meta);
    net_buffer_drop(&buffer);
    return true;
}

/* Frames of an open body are DATA frames of that request, and nothing else comes between. */
static bool is_of_body(const struct net_connection *c)
{
    const struct frame *frame = &c->stream.input.frame;
    return frame->type == MSG_DATA && frame->request == c->body_id;
}

static bool drain_body(struct net_connection *c)
{
    c->is_body_open = (c->stream.input.frame.flags & FRAME_MORE) != 0;
    input_skip_body(&c->stream.input);
    return true;
}

static bool read_body(struct net_connection *c)
{
    struct net_input *input = &c->stream.input;
    struct net_request *request = c->body;
    struct net_buffer *buffer;
    struct span meta, data;
    if (!is_of_body(c)) {
        fail_input(c, ERR(PROTOCOL, 0));
        return false;
    }
    if (!request)
        return drain_body(c);
    if (!need(c, input_collect_into(input, request->buffer, request->frame.meta_size)))
        return false;
    err_t err = input_take(input, &meta, &data, &buffer);
    if (err_is(err)) {
        fail_input(c, err);
        return false;
    }
    net_buffer_drop(&buffer); /* the request has it already */
    request->data = data;
    request->has_more = c->is_body_open = (input->frame.flags & FRAME_MORE) != 0;
    if (!c->is_body_open)
        c->body = NULL;
    void (*wake)(struct net_request *) = request->wake;
    request->wake = NULL;
    wake(request);
    return true;
}

/* Types below PING: handshake, ERROR, DATA. Request 0 is the connection itself. */
static bool is_request(const struct frame *frame)
{
    return frame->type >= MSG_PING && frame->request != 0;
}

static bool is_denied(const struct net_connection *c, uint8_t type)
{
    const struct handshake_secrets *secrets = c->server->config.policy.secrets;
    bool is_node_type = type >= NODE_TYPE_FIRST && type <= NODE_TYPE_LAST;
    return is_node_type && c->handshake.hello.role != ROLE_NODE
           && (secret_is_set(&secrets->client) || secret_is_set(&secrets->node));
}

static void dispatch(struct net_connection *c, struct net_request *request)
{
    c->server->requests_served++;
    if (is_denied(c, request->frame.type)) {
        net_reply_error(request, ERR(DENIED, 0), (struct version){});
        net_request_end(request);
    } else {
        c->server->config.on_request(c->server, request);
    }
}

static void slot_came(struct pool_waiter *waiter)
{
    struct net_connection *c = CONTAINER_OF(waiter, struct net_connection, slot_waiter);
    if (!c->spare)
        c->spare = pool_take(&c->server->requests, &c->machine.owner);
    connection_kick(c);
}

static bool has_slot(struct net_connection *c)
{
    if (!c->spare && !list_is_linked(&c->slot_waiter.link)) {
        c->spare = pool_take(&c->server->requests, &c->machine.owner);
        if (!c->spare && !pool_wait(&c->server->requests, &c->slot_waiter))
            fail_input(c, ERR(BUSY, 0));
    }
    return c->spare != NULL;
}

static bool read_request(struct net_connection *c)
{
    struct net_input *input = &c->stream.input;
    bool has_more = (input->frame.flags & FRAME_MORE) != 0;
    if (!is_request(&input->frame)) {
        fail_input(c, ERR(PROTOCOL, 0));
        return false;
    }
    if (!need(c, input_collect(input, has_more)) || !has_slot(c))
        return false;
    struct span meta, data;
    struct net_buffer *buffer;
    err_t err = input_take(input, &meta, &data, &buffer);
    if (err_is(err)) {
        fail_input(c, err);
        return false;
    }
    struct net_request *request = request_open(c);
    request->frame = input->frame;
    request->buffer = buffer;
    request->meta = meta;
    request->data = data;
    request->has_more = has_more;
    if (has_more) {
        c->body = request;
        c->body_id = request->frame.request;
        c->is_body_open = true;
    }
    dispatch(c, request);
    return true;
}

static bool may_read(const struct net_connection *c)
{
    if (c->is_input_over || stream_is_lost(&c->stream) || io_op_is_out(&c->stream.recv))
        return false;
    if (c->move.stage != MOVE_NONE)
        return false;
    if (c->is_body_open)
        return !c->body || c->body->wake;
    if (c->server->is_draining)
        return false;
    return c->request_count < c->server->config.pipeline_max;
}

static bool read_frame(struct net_connection *c)
{
    if (!need(c, input_header(&c->stream.input)))
        return false;
    if (c->handshake.stage != HANDSHAKE_DONE)
        return read_handshake(c);
    return c->is_body_open ? read_body(c) : read_request(c);
}

/* The stream has ended, or the server drains: what is there already was read before. */
static void end_input(struct net_connection *c)
{
    if (c->stream.is_ended && !io_op_is_out(&c->stream.recv) && !c->is_input_over) {
        bool is_early = c->is_body_open || input_is_partial(&c->stream.input);
        c->is_input_over = true;
        c->fault = is_early ? ERR(CLOSED, 0) : ERR_OK;
        c->is_fault_told = true; /* nobody is there to be told */
    }
    if (c->server->is_draining && !c->is_body_open)
        c->is_input_over = true;
    if (c->is_input_over && c->body && c->body->wake)
        request_fail_body(c->body, err_is(c->fault) ? c->fault : ERR(CLOSED, 0));
}

static bool is_finished(const struct net_connection *c)
{
    return c->is_input_over && c->request_count == 0 && stream_is_flushed(&c->stream);
}

static int run_work(struct machine *machine)
{
    struct net_connection *c = of_machine(machine);
    do {
        c->is_kicked = false;
        end_input(c);
        while (may_read(c) && read_frame(c)) {
        }
        end_input(c);
        tell_fault(c);
        stream_send(&c->stream);
    } while (c->is_kicked && !stream_is_lost(&c->stream));
    if (stream_is_lost(&c->stream))
        return STAGE_UNWIND;
    if (is_finished(c)) {
        bool is_heard = err_is(c->fault) && !err_has(c->fault, ERR_CODE_CLOSED);
        return is_heard ? STAGE_LINGER : STAGE_UNWIND;
    }
    if (c->move.stage == MOVE_WANTED && move_is_ready(c)) {
        move_ask(c);
        return machine_wait_in(machine, STAGE_MOVING, 1);
    }
    return machine_wait_in(machine, STAGE_WORK, 1);
}

static int run_moving(struct machine *machine)
{
    struct net_connection *c = of_machine(machine);
    c->is_kicked = false;
    if (c->move.stage == MOVE_ASKED)
        return machine_wait_in(machine, STAGE_MOVING, 1);
    if (c->move.stage == MOVE_ACCEPTED)
        return STAGE_UNWIND;
    move_resume(c);
    return STAGE_WORK;
}

static int run_linger(struct machine *machine)
{
    struct net_connection *c = of_machine(machine);
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

static void abandon_move(struct net_connection *c)
{
    if (c->move.stage == MOVE_NONE)
        return;
    CHECK(c->move.stage != MOVE_ASKED);
    c->move.stage = MOVE_NONE;
    request_close(c->move.request);
}

static int run_unwind(struct machine *machine)
{
    struct net_connection *c = of_machine(machine);
    bool is_home;
    c->is_input_over = true;
    net_ticker_leave(&c->server->loop->ticker, &c->tick);
    pool_wait_cancel(&c->slot_waiter);
    abandon_move(c);
    do {
        c->is_kicked = false;
        end_input(c);
        is_home = stream_stop(&c->stream);
    } while (c->is_kicked);
    if (!is_home || c->request_count > 0)
        return machine_wait_in(machine, STAGE_UNWIND, 1);
    if (c->spare)
        pool_give(&c->server->requests, c->spare);
    stream_fini(&c->stream);
    return STAGE_DONE;
}

static int run_done(struct machine *machine)
{
    struct net_connection *c = of_machine(machine);
    struct net_server *server = c->server;
    ledger_release(&server->loop->io->ledger, &c->held, HELD_CONN);
    list_remove(&c->link);
    owner_close(&machine->owner);
    uint64_t number = c->number;
    pool_give(&server->connections, c);
    if (server->config.on_gone)
        server->config.on_gone(server, number);
    server_connection_ended(server);
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
    .name = "connection",
    .stages = stages,
    .stage_count = STAGE_COUNT,
    .unwind = STAGE_UNWIND,
    .done = STAGE_DONE,
};

/* ---- deadlines ---- */

/* True while it is the peer's turn: no request runs, or one waits for the peer's bytes. */
static bool waits_for_peer(const struct net_connection *c)
{
    if (!io_op_is_out(&c->stream.recv))
        return false;
    return c->request_count == 0 || c->body || input_is_partial(&c->stream.input);
}

static bool is_overdue(const struct net_connection *c, uint64_t now_ns)
{
    const struct net_server_config *config = &c->server->config;
    if (c->stream.is_discarding)
        return now_ns - c->linger_since_ns > LINGER_NS;
    if (io_op_is_out(&c->stream.send) && now_ns - c->stream.sent_since_ns > config->send_timeout_ns)
        return true;
    if (c->handshake.stage != HANDSHAKE_DONE)
        return now_ns - c->machine.owner.born_ns > config->handshake_timeout_ns;
    return waits_for_peer(c) && now_ns - c->stream.read_since_ns > config->idle_timeout_ns;
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct net_connection *c = CONTAINER_OF(tick, struct net_connection, tick);
    if (c->move.stage == MOVE_ASKED || !is_overdue(c, now_ns))
        return;
    stream_lose(&c->stream, ERR(TIMEOUT, 0));
    connection_kick(c);
}

/* ---- the beginning ---- */

struct net_connection *connection_open(struct net_server *server)
{
    struct io *io = server->loop->io;
    struct net_connection *c = pool_take(&server->connections, &server->owner);
    if (!c)
        return NULL;
    *c = (struct net_connection){.server = server,
        .number = ++server->opened,
        .is_kicked = true, /* the machine is about to run for the first time */
        .slot_waiter = {.ready = slot_came},
        .tick = {.tick = on_tick}};
    err_t err = ledger_acquire(
        &io->ledger, &c->held, .kind = HELD_CONN, .life = LIFE_CONNECTION, .owner = &server->owner);
    if (err_is(err)) {
        pool_give(&server->connections, c);
        return NULL;
    }
    list_init(&c->requests);
    machine_start(&c->machine, &connection_kind, &io->run, DIRECTION_CLIENT);
    stream_init(&c->stream, server->loop, &c->machine.owner, stream_changed);
    list_push_back(&server->live, &c->link);
    net_ticker_join(&server->loop->ticker, &c->tick);
    server->connection_count++;
    return c;
}

void connection_attach(struct net_connection *connection, struct io_handle *socket)
{
    io_handle_move(&connection->stream.socket, socket);
    ledger_pass(&connection->stream.socket.held, &connection->machine.owner);
}
