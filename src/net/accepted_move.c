/* A connection goes to another loop of the process, because the object of its request is served
 * there. The connection is quiet (nothing is out, no other request), so the other loop may read all
 * of it while this one keeps its hands off:
 *
 *   here                       the other loop
 *   release the descriptor
 *   MOVE_ASKED  -------------> take slots and buffers, copy, adopt the descriptor, serve
 *               <------------- is_taken
 *   give everything back       (not taken: adopt the descriptor again, answer "busy", go on) */
#include "net/accepted.h"

static void move_arrived(struct io *here, struct io_message *message);
static void move_answered(struct io *here, struct io_message *message);

static struct accepted *of_message(struct io_message *message)
{
    return CONTAINER_OF(message, struct accepted, move.message);
}

void accepted_move_to(struct accepted *c, struct acceptor *to)
{
    CHECK(c->move.stage == MOVE_NONE && to->loop != c->acceptor->loop);
    CHECK(to->kind == c->acceptor->kind);
    c->move = (struct accepted_move){.to = to, .stage = MOVE_WANTED};
    accepted_kick(c);
}

bool accepted_move_is_ready(const struct accepted *c)
{
    return c->move.stage == MOVE_WANTED && c->request_count == 1 && stream_is_flushed(&c->stream)
           && !io_op_is_out(&c->stream.recv);
}

void accepted_move_ask(struct accepted *c)
{
    struct io *here = c->acceptor->loop->io;
    const struct net_input *input = &c->stream.input;
    CHECK(!input->has_frame && !input->large && input->skip_size == 0);
    c->move.stage = MOVE_ASKED;
    c->move.fd = io_handle_release(here, &c->stream.socket);
    c->move.message.deliver = move_arrived;
    io_post(here, c->move.to->loop->io, &c->move.message);
}

void accepted_move_resume(struct accepted *c)
{
    CHECK(c->move.stage == MOVE_REFUSED);
    io_handle_adopt(
        c->acceptor->loop->io, &c->stream.socket, c->move.fd, &c->machine.owner, LIFE_CONNECTION);
    c->move.stage = MOVE_NONE;
    c->acceptor->kind->stay(c);
}

/* On the other loop. False: no room, nothing has changed but a connection that ends by itself. */
static bool move_take(struct acceptor *here, struct accepted *from)
{
    if (here->is_draining)
        return false;
    struct accepted *to = accepted_open(here);
    if (!to)
        return false;
    if (!here->kind->take(to, from)) {
        accepted_cut(to);
        return false;
    }
    to->peer = from->peer;
    to->machine.owner.peer_machine = from->machine.owner.peer_machine;
    io_handle_adopt(
        here->loop->io, &to->stream.socket, from->move.fd, &to->machine.owner, LIFE_CONNECTION);
    if (here->kind->taken)
        here->kind->taken(to);
    return true;
}

static void move_arrived(struct io *here, struct io_message *message)
{
    struct accepted *from = of_message(message);
    from->move.is_taken = move_take(from->move.to, from);
    message->deliver = move_answered;
    io_post(here, from->acceptor->loop->io, message);
}

static void move_answered(struct io *here, struct io_message *message)
{
    struct accepted *c = of_message(message);
    (void)here;
    c->move.stage = c->move.is_taken ? MOVE_TAKEN : MOVE_REFUSED;
    accepted_kick(c);
}
