#include "net/server.h"

#include <errno.h>

#include "net/connection.h"

/* How long one who is refused may take to read why. */
static const uint64_t REFUSE_NS = UINT64_C(1000000000);

static void accept_next(struct net_server *server);

/* ---- refusing: one at a time; meanwhile nobody is accepted ---- */

static void refuse_receive(struct net_server *server);

static void refuse_end(struct net_server *server)
{
    io_handle_close(server->loop->io, &server->refused_socket);
    accept_next(server);
}

/* Until it closes: closing first would reset the connection when it has said something. */
static void refuse_received(struct io_op *op)
{
    if (op->result > 0)
        refuse_receive(op->context);
    else
        refuse_end(op->context);
}

static void refuse_receive(struct net_server *server)
{
    struct io_op *op = &server->refuse_op;
    server->refusal_iov = (struct iovec){server->refused_bytes, sizeof server->refused_bytes};
    op->kind = IO_RECV;
    op->wake = refuse_received;
    io_submit(server->loop->io, op);
}

static void refuse_sent(struct io_op *op)
{
    if (op->result == (int64_t)((struct net_server *)op->context)->refusal.size)
        refuse_receive(op->context);
    else
        refuse_end(op->context);
}

static void refuse(struct net_server *server)
{
    server->refused++;
    io_handle_move(&server->refused_socket, &server->accepted_socket);
    server->refusal_iov = (struct iovec){server->refusal.head, server->refusal.head_size};
    server->refuse_op = (struct io_op){.kind = IO_SEND,
        .wake = refuse_sent,
        .owner = &server->owner,
        .context = server,
        .fd = server->refused_socket.fd,
        .iov = &server->refusal_iov,
        .iov_count = 1,
        .deadline_ns = io_now(server->loop->io) + REFUSE_NS};
    io_submit(server->loop->io, &server->refuse_op);
}

static void seal_refusal(struct net_server *server)
{
    struct writer fields = out_frame_begin(&server->refusal);
    error_encode(ERR(BUSY, 0), "too many connections", (struct version){}, &fields);
    out_frame_seal(&server->refusal, MSG_ERROR, 0, 0, &fields, NULL, 0);
}

/* ---- accepting ---- */

static void serve_accepted(struct net_server *server)
{
    struct net_connection *connection = connection_open(server);
    if (!connection) { /* connection_max of them are there */
        refuse(server);
        return;
    }
    server->accepted++;
    connection_attach(connection, &server->accepted_socket);
}

static void accepted(struct io_op *op)
{
    struct net_server *server = op->context;
    struct io *io = server->loop->io;
    if (server->is_draining) {
        io_handle_close(io, &server->accepted_socket);
        io_handle_close(io, &server->listener);
        return;
    }
    if (op->result >= 0)
        serve_accepted(server);
    else if (!list_is_linked(&server->retry.link))
        net_ticker_join(&server->loop->ticker, &server->retry);
    accept_next(server);
}

/* One accept is out, unless a refusal is, or the last one failed and waits for the next tick. */
static void accept_next(struct net_server *server)
{
    if (server->is_draining || io_op_is_out(&server->accept))
        return;
    if (io_op_is_out(&server->refuse_op) || list_is_linked(&server->retry.link))
        return;
    server->accept = (struct io_op){.kind = IO_ACCEPT,
        .wake = accepted,
        .owner = &server->owner,
        .context = server,
        .fd = server->listener.fd,
        .ret_handle = &server->accepted_socket,
        .handle_life = LIFE_CONNECTION,
        .address = &server->accepted_address};
    io_submit(server->loop->io, &server->accept);
}

static void retry_accept(struct net_tick *tick, uint64_t now_ns)
{
    struct net_server *server = CONTAINER_OF(tick, struct net_server, retry);
    (void)now_ns;
    net_ticker_leave(&server->loop->ticker, tick);
    accept_next(server);
}

void server_connection_ended(struct net_server *server)
{
    CHECK(server->connection_count > 0);
    server->connection_count--;
}

/* ---- life ---- */

static err_t listen_now(struct net_server *server)
{
    struct io_op op = {.kind = IO_LISTEN,
        .fd = IO_FD_NONE,
        .owner = &server->owner,
        .ret_handle = &server->listener,
        .handle_life = LIFE_PROCESS,
        .address = &server->address,
        .listen_index = server->config.listen_index,
        .listen_count = server->config.listen_count};
    int64_t result = io_call(server->loop->io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
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
    *server = (struct net_server){.loop = loop,
        .config = *config,
        .address = config->address,
        .listener = IO_HANDLE_NONE,
        .accepted_socket = IO_HANDLE_NONE,
        .refused_socket = IO_HANDLE_NONE,
        .retry = {.tick = retry_accept}};
    list_init(&server->live);
    owner_open(&server->owner, "listener", DIRECTION_CLIENT, io_now(loop->io));
    TRY(take_pools(server));
    err_t err = listen_now(server);
    if (err_is(err)) {
        pool_fini(&server->requests);
        pool_fini(&server->connections);
        return err;
    }
    seal_refusal(server);
    accept_next(server);
    return ERR_OK;
}

void net_server_drain(struct net_server *server)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    net_ticker_leave(&server->loop->ticker, &server->retry);
    io_cancel(server->loop->io, &server->refuse_op);
    if (io_op_is_out(&server->accept))
        io_cancel(server->loop->io, &server->accept);
    else
        io_handle_close(server->loop->io, &server->listener);
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
    return server->connection_count == 0 && !io_op_is_out(&server->accept)
           && !io_op_is_out(&server->refuse_op) && server->listener.fd == IO_FD_NONE;
}

void net_server_fini(struct net_server *server)
{
    CHECK(net_server_is_idle(server));
    pool_fini(&server->requests);
    pool_fini(&server->connections);
    owner_close(&server->owner);
}
