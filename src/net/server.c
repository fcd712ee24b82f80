#include "net/server.h"

#include "net/connection.h"

static void seal_refusal(struct net_server *server)
{
    struct writer fields = out_frame_begin(&server->refusal);
    error_encode(ERR(BUSY, 0), "too many connections", (struct version){}, &fields);
    out_frame_seal(&server->refusal, MSG_ERROR, 0, 0, &fields, NULL, 0);
}

/* False: connection_max of them are there. */
static bool serve_accepted(struct net_listener *listener, struct io_handle *socket)
{
    struct net_connection *connection = connection_open(listener->config.context);
    if (connection)
        connection_attach(connection, socket);
    return connection != NULL;
}

void server_connection_ended(struct net_server *server)
{
    CHECK(server->connection_count > 0);
    server->connection_count--;
}

/* ---- life ---- */

static err_t listen_now(struct net_server *server)
{
    const struct net_server_config *config = &server->config;
    TRY(listener_start(&server->listener, server->loop, &server->owner,
        &(struct net_listener_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .refusal = span_of(server->refusal.head, server->refusal.head_size),
            .accepted = serve_accepted,
            .context = server}));
    server->address = server->listener.address;
    return ERR_OK;
}

static err_t take_pools(struct net_server *server)
{
    struct net_loop *loop = server->loop;
    const struct net_server_config *config = &server->config;
    TRY(pool_init(&server->connections, loop->mem, &loop->io->ledger, "net.connections",
        sizeof(struct net_connection), config->connection_max, 0, &server->owner));
    err_t err = pool_init(&server->requests, loop->mem, &loop->io->ledger, "net.requests",
        sizeof(struct net_request), config->request_max, 0, &server->owner);
    if (err_is(err))
        pool_fini(&server->connections);
    server->connections.life = LIFE_CONNECTION;
    return err;
}

err_t net_server_start(
    struct net_server *server, struct net_loop *loop, const struct net_server_config *config)
{
    CHECK(config->connection_max > 0 && config->request_max > 0 && config->pipeline_max > 0);
    *server = (struct net_server){.loop = loop, .config = *config};
    list_init(&server->live);
    owner_open(&server->owner, "listener", DIRECTION_CLIENT, io_now(loop->io));
    seal_refusal(server);
    TRY(take_pools(server));
    err_t err = listen_now(server);
    if (err_is(err)) {
        pool_fini(&server->requests);
        pool_fini(&server->connections);
    }
    return err;
}

void net_server_drain(struct net_server *server)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    listener_drain(&server->listener);
    LIST_EACH (node, &server->live)
        connection_kick(CONTAINER_OF(node, struct net_connection, link));
}

void net_server_cut(struct net_server *server)
{
    net_server_drain(server);
    LIST_EACH (node, &server->live)
        connection_cut(CONTAINER_OF(node, struct net_connection, link));
}

bool net_server_is_idle(const struct net_server *server)
{
    return server->connection_count == 0 && listener_is_idle(&server->listener);
}

void net_server_fini(struct net_server *server)
{
    CHECK(net_server_is_idle(server));
    pool_fini(&server->requests);
    pool_fini(&server->connections);
    owner_close(&server->owner);
}
