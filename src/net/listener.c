#include "net/listener.h"

/* How long one who is refused may take to read why. */
static const uint64_t REFUSE_NS = UINT64_C(1000000000);

static void accept_next(struct net_listener *listener);

/* ---- refusing ---- */

static void refuse_receive(struct net_refusal *refusal);

static void refuse_begin(struct net_listener *listener, struct net_refusal *refusal);

/* Its place is free: who stands in the doorway is next, and then others may come. */
static void refuse_end(struct net_refusal *refusal)
{
    struct net_listener *listener = refusal->listener;
    io_handle_close(listener->loop->io, &refusal->socket);
    if (listener->socket.fd == IO_FD_NONE)
        return;
    if (listener->is_draining) {
        io_handle_close(listener->loop->io, &listener->socket);
        return;
    }
    refuse_begin(listener, refusal);
    accept_next(listener);
}

static void refuse_received(struct io_op *op)
{
    if (op->result > 0)
        refuse_receive(op->context);
    else
        refuse_end(op->context);
}

static void refuse_receive(struct net_refusal *refusal)
{
    if (refusal->listener->is_draining || refusal->is_hurried) {
        refuse_end(refusal);
        return;
    }
    refusal->iov = (struct iovec){refusal->said, sizeof refusal->said};
    refusal->op.kind = IO_RECV;
    refusal->op.wake = refuse_received;
    refusal->op.deadline_ns = refusal->deadline_ns;
    io_submit(refusal->listener->loop->io, &refusal->op);
}

static void refuse_sent(struct io_op *op)
{
    struct net_refusal *refusal = op->context;
    if (op->result == (int64_t)refusal->listener->config.refusal.size)
        refuse_receive(refusal);
    else
        refuse_end(refusal);
}

static struct net_refusal *free_refusal(struct net_listener *listener)
{
    for (size_t i = 0; i < LISTENER_REFUSALS; i++)
        if (listener->refusals[i].socket.fd == IO_FD_NONE)
            return &listener->refusals[i];
    return NULL;
}

/* All places are taken by those who may take their time to read: one has had enough of it. */
static void hurry_one(struct net_listener *listener)
{
    struct net_refusal *refusal = &listener->refusals[listener->refused % LISTENER_REFUSALS];
    refusal->is_hurried = true;
    io_cancel(listener->loop->io, &refusal->op);
}

/* The one in listener->socket. It stays there, in the doorway, while nothing is free. */
static void refuse(struct net_listener *listener)
{
    struct net_refusal *refusal = free_refusal(listener);
    listener->refused++;
    if (refusal)
        refuse_begin(listener, refusal);
    else
        hurry_one(listener);
}

static void refuse_begin(struct net_listener *listener, struct net_refusal *refusal)
{
    struct io *io = listener->loop->io;
    io_handle_move(&refusal->socket, &listener->socket);
    refusal->listener = listener;
    refusal->is_hurried = false;
    refusal->deadline_ns = io_now(io) + REFUSE_NS;
    refusal->iov = (struct iovec){
        (void *)(uintptr_t)listener->config.refusal.data, listener->config.refusal.size};
    refusal->op = (struct io_op){.kind = IO_SEND,
        .wake = refuse_sent,
        .owner = listener->owner,
        .context = refusal,
        .fd = refusal->socket.fd,
        .iov = &refusal->iov,
        .iov_count = 1,
        .deadline_ns = refusal->deadline_ns};
    io_submit(io, &refusal->op);
}

/* ---- accepting ---- */

static void serve_accepted(struct net_listener *listener)
{
    if (listener->config.accepted(listener, &listener->socket))
        listener->accepted++;
    else
        refuse(listener);
}

static void accepted(struct io_op *op)
{
    struct net_listener *listener = op->context;
    struct io *io = listener->loop->io;
    if (listener->is_draining) {
        io_handle_close(io, &listener->socket);
        io_handle_close(io, &listener->handle);
        return;
    }
    if (op->result >= 0)
        serve_accepted(listener);
    else if (!list_is_linked(&listener->retry.link))
        net_ticker_join(&listener->loop->ticker, &listener->retry);
    accept_next(listener);
}

/* One accept is out, unless the last one failed and waits for the next tick, or one stands in the doorway. */
static void accept_next(struct net_listener *listener)
{
    if (listener->is_draining || io_op_is_out(&listener->accept)
        || listener->socket.fd != IO_FD_NONE || list_is_linked(&listener->retry.link))
        return;
    listener->accept = (struct io_op){.kind = IO_ACCEPT,
        .wake = accepted,
        .owner = listener->owner,
        .context = listener,
        .fd = listener->handle.fd,
        .ret_handle = &listener->socket,
        .handle_life = LIFE_CONNECTION,
        .address = &listener->peer};
    io_submit(listener->loop->io, &listener->accept);
}

static void retry_accept(struct net_tick *tick, uint64_t now_ns)
{
    struct net_listener *listener = CONTAINER_OF(tick, struct net_listener, retry);
    (void)now_ns;
    net_ticker_leave(&listener->loop->ticker, tick);
    accept_next(listener);
}

/* ---- life ---- */

static err_t listen_now(struct net_listener *listener)
{
    struct io_op op = {.kind = IO_LISTEN,
        .fd = IO_FD_NONE,
        .owner = listener->owner,
        .ret_handle = &listener->handle,
        .handle_life = LIFE_PROCESS,
        .address = &listener->address,
        .listen_index = listener->config.listen_index,
        .listen_count = listener->config.listen_count};
    int64_t result = io_call(listener->loop->io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

err_t listener_start(struct net_listener *listener, struct net_loop *loop, struct owner *owner,
    const struct net_listener_config *config)
{
    CHECK(config->refusal.size <= LISTENER_REFUSAL_MAX);
    *listener = (struct net_listener){.loop = loop,
        .owner = owner,
        .config = *config,
        .address = config->address,
        .handle = IO_HANDLE_NONE,
        .socket = IO_HANDLE_NONE,
        .retry = {.tick = retry_accept}};
    for (size_t i = 0; i < LISTENER_REFUSALS; i++)
        listener->refusals[i].socket = IO_HANDLE_NONE;
    TRY(listen_now(listener));
    accept_next(listener);
    return ERR_OK;
}

void listener_drain(struct net_listener *listener)
{
    struct io *io = listener->loop->io;
    if (listener->is_draining)
        return;
    listener->is_draining = true;
    net_ticker_leave(&listener->loop->ticker, &listener->retry);
    for (size_t i = 0; i < LISTENER_REFUSALS; i++)
        io_cancel(io, &listener->refusals[i].op);
    if (io_op_is_out(&listener->accept))
        io_cancel(io, &listener->accept);
    else
        io_handle_close(io, &listener->handle);
}

bool listener_is_idle(const struct net_listener *listener)
{
    for (size_t i = 0; i < LISTENER_REFUSALS; i++)
        if (io_op_is_out(&listener->refusals[i].op))
            return false;
    return !io_op_is_out(&listener->accept) && listener->handle.fd == IO_FD_NONE;
}
