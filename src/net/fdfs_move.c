/* A connection goes to another loop of the process, with the request that makes it go: socket,
 * parameters and what came behind them. It is quiet (nothing is out), so the other loop may read all of
 * it while this one keeps its hands off; there the request is decoded once more. */
#include "net/fdfs_connection.h"

static void move_arrived(struct io *here, struct io_message *message);
static void move_answered(struct io *here, struct io_message *message);

static struct fdfs_connection *of_message(struct io_message *message)
{
    return CONTAINER_OF(message, struct fdfs_connection, move.message);
}

void fdfs_move_ask(struct fdfs_connection *c)
{
    struct io *here = c->server->loop->io;
    c->move.stage = FDFS_MOVE_ASKED;
    c->move.fd = io_handle_release(here, &c->stream.socket);
    c->move.message.deliver = move_arrived;
    io_post(here, c->move.to->loop->io, &c->move.message);
}

void fdfs_move_resume(struct fdfs_connection *c)
{
    struct fdfs_request *request = &c->request;
    io_handle_adopt(
        c->server->loop->io, &c->stream.socket, c->move.fd, &c->machine.owner, LIFE_CONNECTION);
    c->move.stage = FDFS_MOVE_NONE;
    fdfs_reply(request, FDFS_EBUSY, span_of(NULL, 0));
    fdfs_request_end(request);
}

/* On the other loop. False: no room. */
static bool move_take(struct fdfs_server *here, const struct fdfs_connection *from)
{
    if (here->is_draining)
        return false;
    struct fdfs_connection *to = fdfs_connection_open(here);
    if (!to)
        return false;
    struct net_input *input = &to->stream.input;
    input->small = net_buffer_take(&input->buffers->small, input->owner);
    if (!input->small) {
        fdfs_connection_cut(to);
        return false;
    }
    memcpy(input->small->data, from->move.bytes.data, from->move.bytes.size);
    input->end = (uint32_t)from->move.bytes.size;
    io_handle_adopt(
        here->loop->io, &to->stream.socket, from->move.fd, &to->machine.owner, LIFE_CONNECTION);
    return true;
}

static void move_arrived(struct io *here, struct io_message *message)
{
    struct fdfs_connection *from = of_message(message);
    from->move.is_taken = move_take(from->move.to, from);
    message->deliver = move_answered;
    io_post(here, from->server->loop->io, message);
}

static void move_answered(struct io *here, struct io_message *message)
{
    struct fdfs_connection *c = of_message(message);
    (void)here;
    c->move.stage = c->move.is_taken ? FDFS_MOVE_TAKEN : FDFS_MOVE_REFUSED;
    fdfs_connection_kick(c);
}
