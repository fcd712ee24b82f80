/* Operations on their way in and out of the epoll backend. Which way each kind takes:
 *
 *   at once      send, if the socket has room; write through the page cache; read, open and stat of
 *                what is cached; what does not wait at all
 *   watch        recv, accept, connect, send without room, streams (pipes, terminals, signals)
 *   worker       what waits for a device: cold reads, durable and direct writes, sync, allocate,
 *                punch, resize, changes of names */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "io/epoll_internal.h"
#include "io/plain.h"
#include "io/plain_net.h"

enum { STREAM_PIECE_MAX = 4096 }; /* a pipe that is ready takes this much without blocking */

static bool opens(enum io_kind kind)
{
    return kind == IO_OPEN || kind == IO_LISTEN || kind == IO_ACCEPT || kind == IO_CONNECT;
}

int64_t epoll_run_now(struct epoll *epoll, struct io_op *op)
{
    int64_t result = plain_run(op);
    if (result < 0 || !opens(op->kind))
        return result;
    epoll_watch_renew(epoll, (int)result);
    if (op->kind == IO_LISTEN && fcntl((int)result, F_SETFL, O_NONBLOCK) != 0) {
        int64_t error = -errno;
        (void)close((int)result);
        return error;
    }
    return result;
}

/* A connection that is none: its socket goes. */
static void connect_drop(struct epoll *epoll, struct epoll_op *state)
{
    if (state->fd == IO_FD_NONE)
        return;
    epoll_watch_forget(epoll, state->fd);
    (void)close(state->fd);
    state->fd = IO_FD_NONE;
}

void epoll_finish(struct epoll *epoll, struct io_op *op, int64_t result)
{
    struct epoll_op *state = epoll_op_of(op);
    if (op->kind == IO_CONNECT && result < 0)
        connect_drop(epoll, state);
    if (heap_is_linked(&state->timer))
        heap_remove(&epoll->timers, &state->timer);
    op->result = result;
    state->place = EPOLL_PLACE_DONE;
    list_push_back(&epoll->done, &op->link);
}

static int64_t connect_try(struct io_op *op)
{
    int fd = epoll_op_of(op)->fd;
    int64_t result = plain_connect_end(op, fd);
    return result < 0 ? result : fd;
}

static int64_t stream_write(struct io_op *op)
{
    unsigned first = 0;
    while (first + 1 < op->iov_count && op->iov[first].iov_len == 0)
        first++;
    struct iovec piece = op->iov[first];
    struct io_op part = *op;
    if (piece.iov_len > STREAM_PIECE_MAX)
        piece.iov_len = STREAM_PIECE_MAX;
    part.iov = &piece;
    part.iov_count = 1;
    return plain_run(&part);
}

static int64_t stream_try(struct io_op *op)
{
    bool is_read = op->kind == IO_READ;
    int64_t result = plain_net_ready(op->fd, is_read ? POLLIN : POLLOUT);
    if (result < 0)
        return result;
    return is_read ? plain_run(op) : stream_write(op);
}

int64_t epoll_try(struct epoll *epoll, struct io_op *op)
{
    if (op->kind == IO_CONNECT)
        return connect_try(op);
    if (op->kind == IO_READ || op->kind == IO_WRITE)
        return stream_try(op);
    int64_t result = plain_net_try(op);
    if (op->kind == IO_ACCEPT && result >= 0)
        epoll_watch_renew(epoll, (int)result);
    return result;
}

/* What cannot be watched is always ready: /dev/null. */
static void wait_for(struct epoll *epoll, struct io_op *op, int side)
{
    int64_t result = epoll_watch_begin(epoll, op, side);
    if (result == -EPERM)
        result = epoll_try(epoll, op);
    else if (result == 0)
        return;
    epoll_finish(epoll, op, result);
}

/* Usually there is room. */
static void try_then_wait(struct epoll *epoll, struct io_op *op)
{
    int64_t result = -EAGAIN;
    if (epoll_watch_is_free(epoll, op->fd, EPOLL_WRITE))
        result = epoll_try(epoll, op);
    if (result == -EAGAIN)
        wait_for(epoll, op, EPOLL_WRITE);
    else
        epoll_finish(epoll, op, result);
}

static void connect_begin(struct epoll *epoll, struct io_op *op)
{
    struct epoll_op *state = epoll_op_of(op);
    state->fd = IO_FD_NONE;
    int64_t result = plain_connect_begin(op, &state->fd);
    if (result == 0) {
        epoll_watch_renew(epoll, state->fd);
        result = epoll_watch_begin(epoll, op, EPOLL_WRITE);
    }
    if (result < 0)
        epoll_finish(epoll, op, result);
}

void epoll_work_done(void *context, struct io_op *op, int64_t result)
{
    struct epoll *epoll = context;
    op->result = result;
    if (mailbox_push(&epoll->mailbox, &epoll_op_of(op)->message))
        epoll_wake(epoll);
}

static void work_deliver(struct io *here, struct io_message *message)
{
    struct epoll *epoll = epoll_of(here);
    struct epoll_op *state = CONTAINER_OF(message, struct epoll_op, message);
    struct io_op *op = epoll_op_back(state);
    if (heap_is_linked(&state->timer))
        heap_remove(&epoll->timers, &state->timer);
    if (op->kind == IO_OPEN && op->result >= 0)
        epoll_watch_renew(epoll, (int)op->result);
    io_complete(here, op, op->result);
}

static void work_begin(struct epoll *epoll, struct io_op *op)
{
    struct epoll_op *state = epoll_op_of(op);
    state->place = EPOLL_PLACE_WORKER;
    state->message.deliver = work_deliver;
    workers_give(&epoll->workers, op);
}

static void try_then_work(struct epoll *epoll, struct io_op *op)
{
    int64_t result = plain_try(op);
    if (result == -EAGAIN) {
        work_begin(epoll, op);
        return;
    }
    if (op->kind == IO_OPEN && result >= 0)
        epoll_watch_renew(epoll, (int)result);
    epoll_finish(epoll, op, result);
}

static void read_begin(struct epoll *epoll, struct io_op *op)
{
    switch (epoll_watch_nature(epoll, op->fd)) {
    case FD_STREAM:
        return wait_for(epoll, op, EPOLL_READ);
    case FD_DIRECT:
        return work_begin(epoll, op); /* what is direct waits, even where it may not */
    default:
        return try_then_work(epoll, op);
    }
}

static void write_begin(struct epoll *epoll, struct io_op *op)
{
    enum fd_nature nature = epoll_watch_nature(epoll, op->fd);
    if (nature == FD_STREAM)
        try_then_wait(epoll, op);
    else if (nature == FD_DIRECT || (op->write_flags & IO_WRITE_DSYNC) != 0)
        work_begin(epoll, op);
    else
        epoll_finish(epoll, op, plain_run(op));
}

static void begin(struct epoll *epoll, struct io_op *op)
{
    switch (op->kind) {
    case IO_READ:
        return read_begin(epoll, op);
    case IO_WRITE:
        return write_begin(epoll, op);
    case IO_OPEN:
        return try_then_work(epoll, op);
    case IO_STAT:
        return op->path != NULL ? try_then_work(epoll, op) : epoll_finish(epoll, op, plain_run(op));
    case IO_SYNC:
    case IO_ALLOCATE:
    case IO_PUNCH:
    case IO_RESIZE:
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        return work_begin(epoll, op);
    case IO_ACCEPT:
    case IO_RECV:
        return wait_for(epoll, op, EPOLL_READ);
    case IO_SEND:
        return try_then_wait(epoll, op);
    case IO_CONNECT:
        return connect_begin(epoll, op);
    default: /* nop, space, lock, listen, shutdown */
        return epoll_finish(epoll, op, epoll_run_now(epoll, op));
    }
}

/* The deadline is entered first: what begins may end at once. */
void epoll_submit(struct io *io, struct io_op *op)
{
    struct epoll *epoll = epoll_of(io);
    struct epoll_op *state = epoll_op_of(op);
    CHECK(op->kind < IO_KIND_COUNT && op->kind != IO_LIST);
    *state = (struct epoll_op){.fd = op->fd, .place = EPOLL_PLACE_TIMER};
    op->link = (struct list){NULL, NULL};
    if (op->deadline_ns > 0 || op->kind == IO_TIMER)
        heap_insert(&epoll->timers, &state->timer, op->deadline_ns);
    if (op->kind != IO_TIMER)
        begin(epoll, op);
}

/* What a worker has begun ends as it happens. */
void epoll_cancel(struct io *io, struct io_op *op)
{
    struct epoll *epoll = epoll_of(io);
    struct epoll_op *state = epoll_op_of(op);
    if (state->place == EPOLL_PLACE_DONE || state->is_cancelled)
        return;
    state->is_cancelled = true;
    if (state->place == EPOLL_PLACE_WORKER && !workers_take_back(&epoll->workers, op))
        return;
    if (state->place == EPOLL_PLACE_WATCH)
        epoll_watch_end(epoll, op);
    epoll_finish(epoll, op, state->is_late ? -ETIME : -ECANCELED);
}
