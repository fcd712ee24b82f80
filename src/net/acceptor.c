#include "net/acceptor.h"

#include "net/accepted.h"

/* False: connection_max of them are there. */
static bool serve_accepted(struct net_listener *listener, struct io_handle *socket)
{
    struct accepted *c = accepted_open(listener->config.context);
    if (!c)
        return false;
    io_handle_move(&c->stream.socket, socket);
    ledger_pass(&c->stream.socket.held, &c->machine.owner);
    c->peer = listener->peer;
    return true;
}

static err_t listen_now(struct acceptor *acceptor)
{
    const struct acceptor_config *config = &acceptor->config;
    return listener_start(&acceptor->listener, acceptor->loop, &acceptor->owner,
        &(struct net_listener_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .refusal = config->refusal,
            .accepted = serve_accepted,
            .context = acceptor});
}

err_t acceptor_start(struct acceptor *acceptor, struct net_loop *loop,
    const struct accepted_kind *kind, const struct acceptor_config *config)
{
    CHECK(config->connection_max > 0);
    *acceptor = (struct acceptor){.loop = loop, .kind = kind, .config = *config};
    list_init(&acceptor->live);
    owner_open(&acceptor->owner, kind->listener_name, DIRECTION_CLIENT, io_now(loop->io));
    TRY(pool_init(&acceptor->connections, loop->mem, &loop->io->ledger, kind->pool_name, kind->size,
        config->connection_max, 0, &acceptor->owner));
    acceptor->connections.life = LIFE_CONNECTION;
    err_t err = listen_now(acceptor);
    if (err_is(err))
        pool_fini(&acceptor->connections);
    return err;
}

void acceptor_drain(struct acceptor *acceptor)
{
    if (acceptor->is_draining)
        return;
    acceptor->is_draining = true;
    listener_drain(&acceptor->listener);
    LIST_EACH (node, &acceptor->live)
        accepted_kick(CONTAINER_OF(node, struct accepted, link));
}

void acceptor_cut(struct acceptor *acceptor)
{
    acceptor_drain(acceptor);
    LIST_EACH (node, &acceptor->live)
        accepted_cut(CONTAINER_OF(node, struct accepted, link));
}

bool acceptor_is_idle(const struct acceptor *acceptor)
{
    return acceptor->connection_count == 0 && listener_is_idle(&acceptor->listener);
}

void acceptor_fini(struct acceptor *acceptor)
{
    CHECK(acceptor_is_idle(acceptor));
    pool_fini(&acceptor->connections);
    owner_close(&acceptor->owner);
}
