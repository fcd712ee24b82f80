/* A connection goes to another loop of the process, with the request that makes it go: socket, head and
 * what came behind it. It is quiet (nothing is out), so the other loop may read all of it while this one
 * keeps its hands off; there the head is parsed once more. */
#include "net/http_connection.h"

static void move_arrived(struct io *here, struct io_message *message);
static void move_answered(struct io *here, struct io_message *message);

static struct http_connection *of_message(struct io_message *message)
{
    return CONTAINER_OF(message, struct http_connection, move.message);
}

void http_move_ask(struct http_connection *c)
{
    struct io *here = c->server->loop->io;
    c->move.stage = HTTP_MOVE_ASKED;
    c->move.fd = io_handle_release(here, &c->stream.socket);
    c->move.message.deliver = move_arrived;
    io_post(here, c->move.to->loop->io, &c->move.message);
}

void http_move_resume(struct http_connection *c)
{
    struct http_request *request = &c->request;
    io_handle_adopt(
        c->server->loop->io, &c->stream.socket, c->move.fd, &c->machine.owner, LIFE_CONNECTION);
    c->move.stage = HTTP_MOVE_NONE;
    struct writer w = http_reply_begin(request, 503);
    http_header_add(&w, "Retry-After", "1");
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

/* On the other loop. False: no room. */
static bool move_take(struct http_server *here, const struct http_connection *from)
{
    if (here->is_draining)
        return false;
    struct http_connection *to = http_connection_open(here);
    if (!to)
        return false;
    struct net_input *input = &to->stream.input;
    input->small = net_buffer_take(&input->buffers->small, input->owner);
    if (!input->small) {
        http_connection_cut(to);
        return false;
    }
    memcpy(input->small->data, from->move.bytes.data, from->move.bytes.size);
    input->end = (uint32_t)from->move.bytes.size;
    to->peer = from->peer;
    io_handle_adopt(
        here->loop->io, &to->stream.socket, from->move.fd, &to->machine.owner, LIFE_CONNECTION);
    return true;
}

static void move_arrived(struct io *here, struct io_message *message)
{
    struct http_connection *from = of_message(message);
    from->move.is_taken = move_take(from->move.to, from);
    message->deliver = move_answered;
    io_post(here, from->server->loop->io, message);
}

static void move_answered(struct io *here, struct io_message *message)
{
    struct http_connection *c = of_message(message);
    (void)here;
    c->move.stage = c->move.is_taken ? HTTP_MOVE_TAKEN : HTTP_MOVE_REFUSED;
    http_connection_kick(c);
}
