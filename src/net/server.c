#include "net/server.h"

#include "net/connection.h"

static void seal_refusal(struct net_server *server)
{
    struct writer fields = out_frame_begin(&server->refusal);
    error_encode(ERR(BUSY, 0), "too many connections", (struct version){}, &fields);
    out_frame_seal(&server->refusal, MSG_ERROR, 0, 0, &fields, NULL, 0);
}

static err_t listen_now(struct net_server *server, struct net_loop *loop)
{
    const struct net_server_config *config = &server->config;
    return acceptor_start(&server->acceptor, loop, &net_connection_kind,
        &(struct acceptor_config){.address = config->address,
            .listen_index = config->listen_index,
            .listen_count = config->listen_count,
            .connection_max = config->connection_max,
            .send_timeout_ns = config->send_timeout_ns,
            .refusal = span_of(server->refusal.head, server->refusal.head_size)});
}

err_t net_server_start(
    struct net_server *server, struct net_loop *loop, const struct net_server_config *config)
{
    CHECK(config->request_max > 0 && config->pipeline_max > 0);
    *server = (struct net_server){.config = *config};
    owner_open(&server->owner, "requests", DIRECTION_CLIENT, io_now(loop->io));
    seal_refusal(server);
    TRY(pool_init(&server->requests, loop->mem, &loop->io->ledger, "net.requests",
        sizeof(struct net_request), config->request_max, 0, &server->owner));
    err_t err = listen_now(server, loop);
    if (err_is(err))
        pool_fini(&server->requests);
    else
        server->address = server->acceptor.listener.address;
    return err;
}

void net_server_fini(struct net_server *server)
{
    acceptor_fini(&server->acceptor);
    pool_fini(&server->requests);
    owner_close(&server->owner);
}
