#include "net/client.h"

enum { STAGE_CONNECT, STAGE_WORK, STAGE_UNWIND, STAGE_DONE, STAGE_COUNT };

static struct net_client *of_machine(struct machine *machine)
{
    return CONTAINER_OF(machine, struct net_client, machine);
}

static void client_kick(struct net_client *client)
{
    if (client->is_kicked)
        return;
    client->is_kicked = true;
    if (!client->machine.running)
        machine_arrive(&client->machine);
}

static void stream_changed(struct net_stream *stream)
{
    client_kick(CONTAINER_OF(stream, struct net_client, stream));
}

/* ---- calls: ending ---- */

/* on_end() comes from the client's machine, when nothing of the call is in the queue. */
static void call_over(struct net_call *call, err_t err)
{
    if (call->is_over)
        return;
    call->is_over = true;
    call->err = err;
    client_kick(call->client);
}

static bool call_is_untouched(const struct net_call *call)
{
    return list_is_linked(&call->waiting_link);
}

/* A request that has left in part cannot be taken back: without it the stream means nothing. */
static void call_give_up(struct net_call *call, err_t err)
{
    if (!call_is_untouched(call) && (call->is_body_open || out_frame_is_queued(&call->out)))
        stream_lose(&call->client->stream, ERR(CLOSED, 0));
    call_over(call, err);
}

static void call_remove(struct net_call *call)
{
    struct net_client *client = call->client;
    list_remove(&call->link);
    if (call_is_untouched(call))
        list_remove(&call->waiting_link);
    if (client->body == call)
        client->body = NULL;
    client->call_count--;
}

/* The server answered before it had the whole body: it throws the rest away, but wants its end. */
static bool call_close_body(struct net_call *call)
{
    if (!call->is_body_open || call_is_untouched(call) || stream_is_lost(&call->client->stream))
        return false;
    struct writer fields = out_frame_begin(&call->out);
    call->is_body_open = false;
    call->is_sent_wanted = false;
    out_frame_seal(&call->out, MSG_DATA, 0, call->id, &fields, NULL, 0);
    output_queue(&call->client->stream.output, &call->out);
    return true;
}

/* End what is over and out of the queue. Callbacks may start and cancel other calls. */
static void end_calls(struct net_client *client)
{
    LIST_EACH_SAFE (node, &client->calls) {
        struct net_call *call = CONTAINER_OF(node, struct net_call, link);
        if (!call->is_over || out_frame_is_queued(&call->out) || call_close_body(call))
            continue;
        call_remove(call);
        call->on_end(call, call->err);
        client_kick(client); /* and look again: the list may have changed */
        return;
    }
}

/* ---- calls: sending ---- */

static void call_left(struct out_frame *frame, err_t err)
{
    struct net_call *call = CONTAINER_OF(frame, struct net_call, out);
    bool is_wanted = call->is_sent_wanted;
    call->is_sent_wanted = false;
    if (!call->is_body_open && call->client->body == call)
        call->client->body = NULL;
    client_kick(call->client);
    if (is_wanted && !call->is_over && !err_is(err))
        call->on_sent(call);
}

static void queue_first_frame(struct net_client *client, struct net_call *call)
{
    list_remove(&call->waiting_link);
    if (call->is_body_open)
        client->body = call;
    output_queue(&client->stream.output, &call->out);
}

/* Frames of one body follow each other: behind an open one, other requests wait. */
static void queue_waiting(struct net_client *client)
{
    while (client->is_ready && !client->body && !list_is_empty(&client->waiting))
        queue_first_frame(
            client, CONTAINER_OF(client->waiting.next, struct net_call, waiting_link));
}

struct writer net_call_begin(struct net_call *call)
{
    call->link = call->waiting_link = (struct list){NULL, NULL};
    call->out.link = (struct list){NULL, NULL};
    call->client = NULL;
    call->is_over = call->is_body_open = call->is_sent_wanted = false;
    call->err = ERR_OK;
    call->error_version = (struct version){};
    call->error_text[0] = '\0';
    return out_frame_begin(&call->out);
}

err_t net_call_start(struct net_client *client, struct net_call *call, uint8_t type, uint16_t flags,
    const struct writer *fields, const struct iovec *data, unsigned data_count)
{
    CHECK(call->on_frame && call->on_end && !call->client);
    CHECK(call->on_sent || !(flags & FRAME_MORE));
    if (!client->is_running || stream_is_lost(&client->stream))
        return ERR(CLOSED, 0);
    if (client->call_count >= client->config.call_max)
        return ERR(BUSY, 0);
    call->client = client;
    call->id = client->next_id++;
    call->is_body_open = (flags & FRAME_MORE) != 0;
    call->is_sent_wanted = call->is_body_open || (call->on_sent && data_count > 0);
    call->out.left = call_left;
    out_frame_seal(&call->out, type, flags, call->id, fields, data, data_count);
    list_push_back(&client->calls, &call->link);
    list_push_back(&client->waiting, &call->waiting_link);
    client->call_count++;
    client_kick(client);
    return ERR_OK;
}

void net_call_send(
    struct net_call *call, const struct iovec *data, unsigned data_count, bool has_more)
{
    if (call->is_over)
        return;
    CHECK(call->is_body_open && !out_frame_is_queued(&call->out));
    struct writer fields = out_frame_begin(&call->out);
    call->is_body_open = has_more;
    call->is_sent_wanted = has_more || (call->on_sent && data_count > 0);
    out_frame_seal(
        &call->out, MSG_DATA, has_more ? FRAME_MORE : 0, call->id, &fields, data, data_count);
    output_queue(&call->client->stream.output, &call->out);
    client_kick(call->client);
}

void net_call_cancel(struct net_call *call)
{
    if (!call->is_over)
        call_give_up(call, ERR(CANCELLED, 0));
}

/* ---- replies ---- */

static struct net_call *call_of(const struct net_client *client, uint64_t id)
{
    LIST_EACH (node, &client->calls) {
        struct net_call *call = CONTAINER_OF(node, struct net_call, link);
        if (call->id == id)
            return call->is_over || call_is_untouched(call) ? NULL : call;
    }
    return NULL;
}

static void end_by_error(struct net_call *call, struct span meta)
{
    struct msg_error error;
    if (!err_is(msg_error_decode(meta, &error))) {
        size_t size = error.text.size < sizeof call->error_text ? error.text.size
                                                                : sizeof call->error_text - 1;
        if (!span_to_text(
                span_of(error.text.data, size), call->error_text, sizeof call->error_text))
            call->error_text[0] = '\0';
        call->error_version = error.version;
    }
    call_over(call, error_decode(meta));
}

static void deliver(
    struct net_client *client, const struct frame *frame, struct span meta, struct span data)
{
    struct net_call *call = call_of(client, frame->request);
    if (!call) { /* of a call that ended early; or about the connection itself */
        if (frame->type == MSG_ERROR && frame->request == 0)
            stream_lose(&client->stream, error_decode(meta));
    } else if (frame->type == MSG_ERROR) {
        end_by_error(call, meta);
    } else {
        call->on_frame(call, frame, meta, data);
        if (!(frame->flags & FRAME_MORE))
            call_over(call, ERR_OK);
    }
}

static void send_control(struct net_client *client, const struct handshake_effect *effect);

static void step_handshake(struct net_client *client, const struct frame *frame, struct span meta)
{
    struct handshake_effect effect;
    handshake_client_step(&client->handshake, frame, meta, &effect);
    if (err_is(effect.err)) {
        stream_lose(&client->stream, effect.err);
        return;
    }
    if (effect.type)
        send_control(client, &effect);
    if (!effect.is_done)
        return;
    client->is_ready = true;
    client->machine.owner.peer_machine = client->handshake.welcome.machine;
    if (client->config.on_ready)
        client->config.on_ready(client);
}

static bool need(struct net_client *client, enum input_result result)
{
    if (result == INPUT_NEED_MORE)
        stream_receive(&client->stream);
    else if (result == INPUT_BAD)
        stream_lose(&client->stream, ERR(PROTOCOL, 0));
    else if (result != INPUT_READY)
        stream_wait_buffer(&client->stream, result);
    return result == INPUT_READY;
}

static bool read_frame(struct net_client *client)
{
    struct net_input *input = &client->stream.input;
    struct span meta, data;
    struct net_buffer *buffer;
    if (!need(client, input_header(input)) || !need(client, input_collect(input, false)))
        return false;
    struct frame frame = input->frame;
    err_t err = input_take(input, &meta, &data, &buffer);
    if (err_is(err)) {
        stream_lose(&client->stream, err);
        return false;
    }
    client->delivering = buffer;
    if (client->is_ready)
        deliver(client, &frame, meta, data);
    else
        step_handshake(client, &frame, meta);
    client->delivering = NULL;
    net_buffer_drop(&buffer);
    return true;
}

static bool may_read(const struct net_client *client)
{
    return !client->is_paused && !stream_is_lost(&client->stream)
           && !io_op_is_out(&client->stream.recv) && !client->stream.is_ended;
}

static void read_frames(struct net_client *client)
{
    while (may_read(client) && read_frame(client)) {
    }
    if (client->stream.is_ended)
        stream_lose(&client->stream, ERR(CLOSED, 0));
}

void net_client_pause(struct net_client *client)
{
    client->is_paused = true;
}

void net_client_resume(struct net_client *client)
{
    client->is_paused = false;
    if (client->is_running)
        client_kick(client);
}

/* ---- the machine ---- */

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    client_kick(CONTAINER_OF(frame, struct net_client, control));
}

static void send_control(struct net_client *client, const struct handshake_effect *effect)
{
    struct writer fields = out_frame_begin(&client->control);
    write_bytes(&fields, effect->meta, effect->meta_size);
    client->control.left = control_left;
    out_frame_seal(&client->control, effect->type, 0, 0, &fields, NULL, 0);
    output_queue(&client->stream.output, &client->control);
}

static void say_hello(struct net_client *client)
{
    static const struct secret none;
    const struct net_client_config *config = &client->config;
    struct handshake_effect effect;
    struct key32 challenge;
    for (size_t i = 0; i < sizeof challenge.bytes; i += 8)
        put_u64(challenge.bytes + i, io_random(client->loop->io));
    handshake_client_start(&client->handshake, config->secret ? config->secret : &none,
        config->role, config->machine, 0, &challenge, &effect);
    send_control(client, &effect);
}

static void connected(struct io_op *op)
{
    client_kick(op->context);
}

static void start_connect(struct net_client *client)
{
    client->is_connecting = true;
    client->connect = (struct io_op){.kind = IO_CONNECT,
        .fd = IO_FD_NONE,
        .wake = connected,
        .owner = &client->machine.owner,
        .context = client,
        .address = &client->address,
        .ret_handle = &client->stream.socket,
        .handle_life = LIFE_CONNECTION,
        .deadline_ns = client->machine.owner.born_ns + client->config.connect_timeout_ns};
    io_submit(client->loop->io, &client->connect);
}

static int run_connect(struct machine *machine)
{
    struct net_client *client = of_machine(machine);
    if (!client->is_connecting)
        start_connect(client);
    do {
        client->is_kicked = false;
        end_calls(client);
    } while (client->is_kicked);
    if (stream_is_lost(&client->stream))
        return machine_fail(machine, client->stream.err);
    if (io_op_is_out(&client->connect))
        return machine_wait_in(machine, STAGE_CONNECT, 1);
    if (client->connect.result < 0)
        return machine_fail(machine, ERR_RESULT(client->connect.result));
    say_hello(client);
    return STAGE_WORK;
}

static int run_work(struct machine *machine)
{
    struct net_client *client = of_machine(machine);
    do {
        client->is_kicked = false;
        read_frames(client);
        end_calls(client);
        queue_waiting(client);
        stream_send(&client->stream);
    } while (client->is_kicked && !stream_is_lost(&client->stream));
    if (stream_is_lost(&client->stream))
        return machine_fail(machine, client->stream.err);
    return machine_wait_in(machine, STAGE_WORK, 1);
}

/* Why calls end that were there when the connection was lost. */
static err_t err_for_calls(const struct net_client *client)
{
    return client->is_ready || err_has(client->machine.err, ERR_CODE_CANCELLED)
               ? ERR(CLOSED, 0)
               : client->machine.err;
}

static int run_unwind(struct machine *machine)
{
    struct net_client *client = of_machine(machine);
    bool is_home;
    net_ticker_leave(&client->loop->ticker, &client->tick);
    if (!client->is_unwinding)
        io_cancel(client->loop->io, &client->connect);
    client->is_unwinding = true;
    do {
        client->is_kicked = false;
        LIST_EACH (node, &client->calls)
            call_over(CONTAINER_OF(node, struct net_call, link), err_for_calls(client));
        is_home = stream_stop(&client->stream) && !io_op_is_out(&client->connect);
        end_calls(client);
    } while (client->is_kicked);
    if (!is_home || client->call_count > 0)
        return machine_wait_in(machine, STAGE_UNWIND, 1);
    stream_fini(&client->stream);
    return STAGE_DONE;
}

static int run_done(struct machine *machine)
{
    struct net_client *client = of_machine(machine);
    err_t err = machine->err;
    ledger_release(&client->loop->io->ledger, &client->held, HELD_CONN);
    owner_close(&machine->owner);
    client->is_running = false;
    client->config.on_closed(client, err);
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [STAGE_CONNECT] = {"connect", run_connect, BIT(STAGE_CONNECT) | BIT(STAGE_WORK), 10000},
    [STAGE_WORK] = {"work", run_work, BIT(STAGE_WORK), STAGE_RESTS},
    [STAGE_UNWIND] = {"unwind", run_unwind, BIT(STAGE_UNWIND) | BIT(STAGE_DONE), 5000},
    [STAGE_DONE] = {"done", run_done, 0, 0},
};

static const struct machine_kind client_kind = {
    .name = "net-client",
    .stages = stages,
    .stage_count = STAGE_COUNT,
    .unwind = STAGE_UNWIND,
    .done = STAGE_DONE,
};

/* ---- deadlines ---- */

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct net_client *client = CONTAINER_OF(tick, struct net_client, tick);
    const struct net_client_config *config = &client->config;
    bool is_slow = io_op_is_out(&client->stream.send)
                   && now_ns - client->stream.sent_since_ns > config->send_timeout_ns;
    bool is_stuck =
        !client->is_ready && now_ns - client->machine.owner.born_ns > config->connect_timeout_ns;
    if (is_slow || is_stuck) {
        stream_lose(&client->stream, ERR(TIMEOUT, 0));
        client_kick(client);
    }
    LIST_EACH (node, &client->calls) {
        struct net_call *call = CONTAINER_OF(node, struct net_call, link);
        if (call->deadline_ns > 0 && now_ns >= call->deadline_ns && !call->is_over)
            call_give_up(call, ERR(TIMEOUT, 0));
    }
}

/* ---- life ---- */

err_t net_client_start(
    struct net_client *client, struct net_loop *loop, const struct net_client_config *config)
{
    struct io *io = loop->io;
    CHECK(!client->is_running && config->on_closed && config->call_max > 0);
    *client = (struct net_client){.loop = loop,
        .config = *config,
        .address = config->address,
        .next_id = 1,
        .is_running = true,
        .is_kicked = true, /* the machine is about to run for the first time */
        .tick = {.tick = on_tick}};
    err_t err = ledger_acquire(&io->ledger, &client->held, .kind = HELD_CONN,
        .life = LIFE_CONNECTION, .owner = &loop->owner);
    if (err_is(err)) {
        client->is_running = false;
        return err;
    }
    list_init(&client->calls);
    list_init(&client->waiting);
    machine_start(&client->machine, &client_kind, &io->run, config->direction);
    stream_init(&client->stream, loop, &client->machine.owner, stream_changed);
    net_ticker_join(&loop->ticker, &client->tick);
    return ERR_OK;
}

void net_client_close(struct net_client *client)
{
    if (!client->is_running)
        return;
    stream_lose(&client->stream, ERR(CANCELLED, 0));
    client_kick(client);
}
