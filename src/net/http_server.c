#include "net/http_connection.h"

static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                           "Retry-After: 1\r\nContent-Type: application/json\r\n"
                           "Content-Length: 48\r\n\r\n"
                           "{\"status\":503,\"error\":\"too many connections\"}   ";

/* False: connection_max of them are there. */
static bool serve_accepted(struct net_listener *listener, struct io_handle *socket)
{
    struct http_connection *c = http_connection_open(listener->config.context);
    if (c)
        http_connection_attach(c, socket, &listener->peer);
    return c != NULL;
}

err_t http_server_start(
    struct http_server *server, struct net_loop *loop, const struct http_server_config *config)
{
    *server = (struct http_server){.loop = loop, .config = *config};
    list_init(&server->live);
    owner_open(&server->owner, "http-listener", DIRECTION_CLIENT, io_now(loop->io));
    TRY(pool_init(&server->connections, loop->mem, &loop->io->ledger, "http.connections",
        sizeof(struct http_connection), config->connection_max, 0, &server->owner));
    server->connections.life = LIFE_CONNECTION;
    err_t err = listener_start(&server->listener, loop, &server->owner,
        &(struct net_listener_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .refusal = span_of(busy, sizeof busy - 1),
            .accepted = serve_accepted,
            .context = server});
    if (err_is(err))
        pool_fini(&server->connections);
    return err;
}

void http_server_drain(struct http_server *server)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    listener_drain(&server->listener);
    LIST_EACH (node, &server->live)
        http_connection_kick(CONTAINER_OF(node, struct http_connection, link));
}

void http_server_cut(struct http_server *server)
{
    http_server_drain(server);
    LIST_EACH (node, &server->live)
        http_connection_cut(CONTAINER_OF(node, struct http_connection, link));
}

bool http_server_is_idle(const struct http_server *server)
{
    return server->connection_count == 0 && listener_is_idle(&server->listener);
}

void http_server_fini(struct http_server *server)
{
    CHECK(http_server_is_idle(server));
    pool_fini(&server->connections);
    owner_close(&server->owner);
}

uint64_t http_server_bytes(uint32_t connection_max)
{
    return pool_bytes(sizeof(struct http_connection), connection_max, 0);
}
