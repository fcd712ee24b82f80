#include "net/connection.h"

/* Messages of the node role: doc/protocol.md section "Messages". */
enum { NODE_TYPE_FIRST = 64, NODE_TYPE_LAST = 79 };

/* ---- errors of the connection ---- */

/* The input is broken: requests in flight end, the peer is told, the connection closes. */
static void fail_input(struct net_connection *c, err_t err)
{
    c->accepted.is_input_over = true;
    c->fault = err;
}

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    accepted_kick(&CONTAINER_OF(frame, struct net_connection, control)->accepted);
}

static void send_control(
    struct net_connection *c, uint8_t type, uint64_t request, const struct writer *fields)
{
    c->control.left = control_left;
    out_frame_seal(&c->control, type, 0, request, fields, NULL, 0);
    output_queue(&c->accepted.stream.output, &c->control);
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
        stream_receive(&c->accepted.stream);
        return false;
    case INPUT_NO_SMALL:
    case INPUT_NO_LARGE:
        stream_wait_buffer(&c->accepted.stream, result);
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
    struct key32 challenge = fresh_challenge(c->accepted.acceptor->loop->io);
    const struct frame *frame = &c->accepted.stream.input.frame;
    handshake_server_step(
        &c->handshake, &net_server_of(c)->config.policy, frame, meta, &challenge, &effect);
    if (effect.is_done) {
        c->accepted.machine.owner.peer_machine = c->handshake.hello.machine;
        net_server_of(c)->handshakes++;
    }
    struct writer fields = out_frame_begin(&c->control);
    write_bytes(&fields, effect.meta, effect.meta_size);
    send_control(c, effect.type, frame->request, &fields);
    if (err_is(effect.err)) {
        c->accepted.is_input_over = true;
        c->fault = effect.err;
        c->is_fault_told = true;
    }
}

static bool read_handshake(struct net_connection *c)
{
    struct net_input *input = &c->accepted.stream.input;
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
    const struct frame *frame = &c->accepted.stream.input.frame;
    return frame->type == MSG_DATA && frame->request == c->body_id;
}

static bool drain_body(struct net_connection *c)
{
    c->is_body_open = (c->accepted.stream.input.frame.flags & FRAME_MORE) != 0;
    input_skip_body(&c->accepted.stream.input);
    return true;
}

static bool read_body(struct net_connection *c)
{
    struct net_input *input = &c->accepted.stream.input;
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
    const struct handshake_secrets *secrets = net_server_of(c)->config.policy.secrets;
    bool is_node_type = type >= NODE_TYPE_FIRST && type <= NODE_TYPE_LAST;
    return is_node_type && c->handshake.hello.role != ROLE_NODE
           && (secret_is_set(&secrets->client) || secret_is_set(&secrets->node));
}

static void dispatch(struct net_connection *c, struct net_request *request)
{
    net_server_of(c)->requests_served++;
    if (is_denied(c, request->frame.type)) {
        net_reply_error(request, ERR(DENIED, 0), (struct version){});
        net_request_end(request);
    } else {
        net_server_of(c)->config.on_request(net_server_of(c), request);
    }
}

static void slot_came(struct pool_waiter *waiter)
{
    struct net_connection *c = CONTAINER_OF(waiter, struct net_connection, slot_waiter);
    if (!c->spare)
        c->spare = pool_take(&net_server_of(c)->requests, &c->accepted.machine.owner);
    accepted_kick(&c->accepted);
}

static bool has_slot(struct net_connection *c)
{
    if (!c->spare && !list_is_linked(&c->slot_waiter.link)) {
        c->spare = pool_take(&net_server_of(c)->requests, &c->accepted.machine.owner);
        if (!c->spare && !pool_wait(&net_server_of(c)->requests, &c->slot_waiter))
            fail_input(c, ERR(BUSY, 0));
    }
    return c->spare != NULL;
}

static bool read_request(struct net_connection *c)
{
    struct net_input *input = &c->accepted.stream.input;
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
    if (c->accepted.is_input_over || stream_is_lost(&c->accepted.stream)
        || io_op_is_out(&c->accepted.stream.recv))
        return false;
    if (c->accepted.move.stage != MOVE_NONE)
        return false;
    if (c->is_body_open)
        return !c->body || c->body->wake;
    if (c->accepted.acceptor->is_draining)
        return false;
    return c->accepted.request_count < net_server_of(c)->config.pipeline_max;
}

static bool read_frame(struct net_connection *c)
{
    if (!need(c, input_header(&c->accepted.stream.input)))
        return false;
    if (c->handshake.stage != HANDSHAKE_DONE)
        return read_handshake(c);
    return c->is_body_open ? read_body(c) : read_request(c);
}

/* The stream has ended, or the server drains: what is there already was read before. */
static void end_input(struct net_connection *c)
{
    if (c->accepted.stream.is_ended && !io_op_is_out(&c->accepted.stream.recv)
        && !c->accepted.is_input_over) {
        bool is_early = c->is_body_open || input_is_partial(&c->accepted.stream.input);
        c->accepted.is_input_over = true;
        c->fault = is_early ? ERR(CLOSED, 0) : ERR_OK;
        c->is_fault_told = true; /* nobody is there to be told */
    }
    if (c->accepted.acceptor->is_draining && !c->is_body_open)
        c->accepted.is_input_over = true;
    if (c->accepted.is_input_over && c->body && c->body->wake)
        request_fail_body(c->body, err_is(c->fault) ? c->fault : ERR(CLOSED, 0));
}

static void work(struct accepted *accepted)
{
    struct net_connection *c = net_connection_of(accepted);
    end_input(c);
    while (may_read(c) && read_frame(c)) {
    }
    end_input(c);
    tell_fault(c);
}

/* An ERROR was sent. */
static bool lingers(struct accepted *accepted)
{
    const struct net_connection *c = net_connection_of(accepted);
    return err_is(c->fault) && !err_has(c->fault, ERR_CODE_CLOSED);
}

static void end(struct accepted *accepted)
{
    struct net_connection *c = net_connection_of(accepted);
    pool_wait_cancel(&c->slot_waiter);
    if (c->spare)
        pool_give(&net_server_of(c)->requests, c->spare);
    c->spare = NULL;
    end_input(c);
}

static void gone(struct acceptor *acceptor, uint64_t number)
{
    struct net_server *server = CONTAINER_OF(acceptor, struct net_server, acceptor);
    if (server->config.on_gone)
        server->config.on_gone(server, number);
}

/* ---- deadlines ---- */

/* True while it is the peer's turn: no request runs, or one waits for the peer's bytes. */
static bool waits_for_peer(const struct net_connection *c)
{
    const struct net_stream *stream = &c->accepted.stream;
    if (!io_op_is_out(&stream->recv))
        return false;
    return c->accepted.request_count == 0 || c->body || input_is_partial(&stream->input);
}

static bool is_late(struct accepted *accepted, uint64_t now_ns)
{
    const struct net_connection *c = net_connection_of(accepted);
    const struct net_server_config *config = &net_server_of(c)->config;
    if (c->handshake.stage != HANDSHAKE_DONE)
        return now_ns - accepted->machine.owner.born_ns > config->handshake_timeout_ns;
    bool is_node = c->handshake.hello.role == ROLE_NODE;
    uint64_t timeout_ns = config->idle_timeout_ns;
    if (is_node && timeout_ns > NET_NODE_IDLE_NS)
        timeout_ns = NET_NODE_IDLE_NS;
    return waits_for_peer(c) && now_ns - accepted->stream.read_since_ns > timeout_ns;
}

/* ---- the beginning ---- */

static void opened(struct accepted *accepted)
{
    struct net_connection *c = net_connection_of(accepted);
    c->slot_waiter.ready = slot_came;
    list_init(&c->requests);
}

const struct accepted_kind net_connection_kind = {
    .machine = ACCEPTED_MACHINE("connection"),
    .listener_name = "listener",
    .pool_name = "net.connections",
    .size = sizeof(struct net_connection),
    .opened = opened,
    .work = work,
    .end = end,
    .lingers = lingers,
    .is_late = is_late,
    .take = connection_take,
    .taken = connection_taken,
    .leave = connection_leave,
    .stay = connection_stay,
    .gone = gone,
};
