#include "net/connection.h"

static void reply_left(struct out_frame *frame, err_t err);

struct net_request *request_open(struct net_connection *connection)
{
    struct net_request *request = connection->spare;
    CHECK(request != NULL);
    connection->spare = NULL;
    *request = (struct net_request){.role = connection->handshake.hello.role,
        .machine = connection->handshake.hello.machine,
        .owner = &connection->accepted.machine.owner,
        .server = net_server_of(connection),
        .connection = connection,
        .connection_number = connection->accepted.number,
        .out = {.left = reply_left}};
    list_push_back(&connection->requests, &request->link);
    connection->accepted.request_count++;
    return request;
}

static void request_release(struct net_request *request)
{
    struct net_connection *connection = request->connection;
    list_remove(&request->link);
    connection->accepted.request_count--;
    net_buffer_drop(&request->buffer);
    connection->accepted.stream.read_since_ns = io_now(connection->accepted.acceptor->loop->io);
    pool_give(&net_server_of(connection)->requests, request);
    accepted_kick(&connection->accepted);
}

void request_close(struct net_request *request)
{
    if (request->connection->body == request)
        request->connection->body = NULL;
    request_release(request);
}

/* ---- the body ---- */

void net_request_next_data(struct net_request *request, void (*wake)(struct net_request *request))
{
    CHECK(request->has_more && !request->wake && !request->is_ended && wake);
    CHECK(request->connection->body == request);
    request->data = span_of(NULL, 0);
    request->wake = wake;
    accepted_kick(&request->connection->accepted);
}

void request_fail_body(struct net_request *request, err_t err)
{
    void (*wake)(struct net_request *) = request->wake;
    request->connection->body = NULL;
    request->has_more = false;
    request->body_err = err;
    request->wake = NULL;
    wake(request);
}

/* ---- replies ---- */

static void reply_left(struct out_frame *frame, err_t err)
{
    struct net_request *request = CONTAINER_OF(frame, struct net_request, out);
    void (*sent)(struct net_request *, err_t) = request->sent;
    request->sent = NULL;
    if (request->is_ended)
        request_release(request);
    else if (sent)
        sent(request, err);
}

struct writer net_reply_begin(struct net_request *request)
{
    CHECK(!request->is_ended);
    return out_frame_begin(&request->out);
}

void net_reply(struct net_request *request, uint8_t type, uint16_t flags,
    const struct writer *fields, const struct iovec *data, unsigned data_count,
    void (*sent)(struct net_request *request, err_t err))
{
    CHECK(!request->is_ended && !request->sent);
    out_frame_seal(&request->out, type, flags, request->frame.request, fields, data, data_count);
    request->sent = sent;
    output_queue(&request->connection->accepted.stream.output, &request->out);
    accepted_kick(&request->connection->accepted);
}

void net_reply_error(struct net_request *request, err_t err, struct version version)
{
    struct writer fields = net_reply_begin(request);
    error_encode(err, err_sentence(err.code), version, &fields);
    net_reply(request, MSG_ERROR, 0, &fields, NULL, 0, NULL);
}

/* ---- the end ---- */

void net_request_end(struct net_request *request)
{
    struct net_connection *connection = request->connection;
    CHECK(!request->is_ended && !request->wake && !request->sent);
    request->is_ended = true;
    if (connection->body == request)
        connection->body = NULL; /* still open: the rest is drained */
    request->meta = request->data = span_of(NULL, 0);
    net_buffer_drop(&request->buffer);
    if (!out_frame_is_queued(&request->out))
        request_release(request);
    else
        accepted_kick(&connection->accepted);
}

bool net_request_is_gone(const struct net_request *request)
{
    return stream_is_lost(&request->connection->accepted.stream);
}

void net_request_cut(struct net_request *request)
{
    accepted_cut(&request->connection->accepted);
}

void net_request_move(struct net_request *request, struct net_server *to)
{
    struct net_connection *connection = request->connection;
    CHECK(!request->is_ended && !request->wake && !out_frame_is_queued(&request->out));
    connection->moving = request;
    accepted_move_to(&connection->accepted, &to->acceptor);
}
