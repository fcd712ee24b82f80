/* A connection goes to another loop of the process, because the object of its request is served
 * there. The connection is quiet (nothing is out, no other request), so the other loop may read all
 * of it while this one keeps its hands off:
 *
 *   here                       the other loop
 *   release the descriptor
 *   MOVE_ASKED  -------------> take slots and buffers, copy, adopt the descriptor, on_request()
 *               <------------- is_taken
 *   give everything back       (not taken: adopt the descriptor again, answer BUSY, go on) */
#include "net/connection.h"

static void move_arrived(struct io *here, struct io_message *message);
static void move_answered(struct io *here, struct io_message *message);

bool move_is_ready(const struct net_connection *connection)
{
    return connection->request_count == 1 && stream_is_flushed(&connection->stream)
           && !io_op_is_out(&connection->stream.recv);
}

void move_ask(struct net_connection *connection)
{
    struct io *here = connection->server->loop->io;
    struct net_move *move = &connection->move;
    const struct net_input *input = &connection->stream.input;
    CHECK(!input->has_frame && !input->large && input->skip_size == 0);
    move->stage = MOVE_ASKED;
    move->fd = io_handle_release(here, &connection->stream.socket);
    move->message.deliver = move_arrived;
    io_post(here, move->to->loop->io, &move->message);
}

void move_resume(struct net_connection *connection)
{
    struct net_move *move = &connection->move;
    CHECK(move->stage == MOVE_REFUSED);
    io_handle_adopt(connection->server->loop->io, &connection->stream.socket, move->fd,
        &connection->machine.owner, LIFE_CONNECTION);
    move->stage = MOVE_NONE;
    net_reply_error(move->request, ERR(BUSY, 0), (struct version){});
    net_request_end(move->request);
}

/* ---- on the other loop ---- */

static bool copy_unread(struct net_input *to, const struct net_input *from)
{
    uint32_t unread = from->end - from->begin;
    if (unread == 0)
        return true;
    to->small = net_buffer_take(&to->buffers->small, to->owner);
    if (!to->small)
        return false;
    memcpy(to->small->data, from->small->data + from->begin, unread);
    to->end = unread;
    return true;
}

static struct net_buffer *copy_frame(struct net_input *to, const struct net_request *from)
{
    struct net_buffers *buffers = to->buffers;
    bool is_large = from->buffer->capacity == NET_LARGE_SIZE;
    struct net_buffer *copy =
        net_buffer_take(is_large ? &buffers->large : &buffers->small, to->owner);
    if (!copy)
        return NULL;
    memcpy(copy->data, from->meta.data, from->meta.size);
    memcpy(copy->data + from->meta.size, from->data.data, from->data.size);
    return copy;
}

static void copy_state(struct net_connection *to, const struct net_connection *from)
{
    to->handshake = from->handshake;
    to->machine.owner.peer_machine = from->machine.owner.peer_machine;
    to->is_body_open = from->is_body_open;
    to->body_id = from->body_id;
    to->is_input_over = from->is_input_over;
    to->fault = from->fault;
    to->is_fault_told = from->is_fault_told;
}

static struct net_request *copy_request(
    struct net_connection *to, const struct net_request *from, struct net_buffer *buffer)
{
    struct net_request *request = request_open(to);
    request->frame = from->frame;
    request->buffer = buffer;
    request->meta = span_of(buffer->data, from->meta.size);
    request->data = span_of(buffer->data + from->meta.size, from->data.size);
    request->has_more = from->has_more;
    if (to->is_body_open)
        to->body = request;
    return request;
}

/* False: no room, nothing has changed but a connection that ends by itself. */
static bool move_take(struct net_server *here, const struct net_connection *from)
{
    if (here->is_draining)
        return false;
    struct net_connection *to = connection_open(here);
    if (!to)
        return false;
    struct net_buffer *buffer = NULL;
    if (copy_unread(&to->stream.input, &from->stream.input))
        buffer = copy_frame(&to->stream.input, from->move.request);
    if (buffer)
        to->spare = pool_take(&here->requests, &to->machine.owner);
    if (!to->spare) {
        net_buffer_drop(&buffer);
        connection_cut(to);
        return false;
    }
    copy_state(to, from);
    io_handle_adopt(
        here->loop->io, &to->stream.socket, from->move.fd, &to->machine.owner, LIFE_CONNECTION);
    struct net_request *request = copy_request(to, from->move.request, buffer);
    here->config.on_request(here, request);
    return true;
}

static void move_arrived(struct io *here, struct io_message *message)
{
    struct net_move *move = CONTAINER_OF(message, struct net_move, message);
    const struct net_connection *from = CONTAINER_OF(move, struct net_connection, move);
    move->is_taken = move_take(move->to, from);
    message->deliver = move_answered;
    io_post(here, from->server->loop->io, message);
}

/* ---- back on the first ---- */

static void move_answered(struct io *here, struct io_message *message)
{
    struct net_move *move = CONTAINER_OF(message, struct net_move, message);
    struct net_connection *connection = CONTAINER_OF(move, struct net_connection, move);
    (void)here;
    move->stage = move->is_taken ? MOVE_ACCEPTED : MOVE_REFUSED;
    connection_kick(connection);
}
