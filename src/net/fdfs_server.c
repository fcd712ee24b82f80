#include "net/fdfs_connection.h"

/* An answer to the request that is about to come. */
static const uint8_t busy[FDFS_HEADER_SIZE] = {[8] = FDFS_ANSWER, [9] = FDFS_EBUSY};

/* False: connection_max of them are there. */
static bool serve_accepted(struct net_listener *listener, struct io_handle *socket)
{
    struct fdfs_connection *c = fdfs_connection_open(listener->config.context);
    if (c)
        fdfs_connection_attach(c, socket);
    return c != NULL;
}

err_t fdfs_server_start(
    struct fdfs_server *server, struct net_loop *loop, const struct fdfs_server_config *config)
{
    *server = (struct fdfs_server){.loop = loop, .config = *config};
    list_init(&server->live);
    owner_open(&server->owner, "fastdfs-listener", DIRECTION_CLIENT, io_now(loop->io));
    TRY(pool_init(&server->connections, loop->mem, &loop->io->ledger, "fastdfs.connections",
        sizeof(struct fdfs_connection), config->connection_max, 0, &server->owner));
    server->connections.life = LIFE_CONNECTION;
    err_t err = listener_start(&server->listener, loop, &server->owner,
        &(struct net_listener_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .refusal = span_of(busy, sizeof busy),
            .accepted = serve_accepted,
            .context = server});
    if (err_is(err))
        pool_fini(&server->connections);
    return err;
}

void fdfs_server_drain(struct fdfs_server *server)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    listener_drain(&server->listener);
    LIST_EACH (node, &server->live)
        fdfs_connection_kick(CONTAINER_OF(node, struct fdfs_connection, link));
}

void fdfs_server_cut(struct fdfs_server *server)
{
    fdfs_server_drain(server);
    LIST_EACH (node, &server->live)
        fdfs_connection_cut(CONTAINER_OF(node, struct fdfs_connection, link));
}

bool fdfs_server_is_idle(const struct fdfs_server *server)
{
    return server->connection_count == 0 && listener_is_idle(&server->listener);
}

void fdfs_server_fini(struct fdfs_server *server)
{
    CHECK(fdfs_server_is_idle(server));
    pool_fini(&server->connections);
    owner_close(&server->owner);
}

uint64_t fdfs_server_bytes(uint32_t connection_max)
{
    return pool_bytes(sizeof(struct fdfs_connection), connection_max, 0);
}
