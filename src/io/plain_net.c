#include "io/plain_net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "io/socket.h"

/* How long from now until `deadline_ns` of the monotonic clock; not below 0. */
static struct timespec time_until(uint64_t deadline_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    return (struct timespec){(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};
}

/* 0: `fd` is ready for `events`; -ETIME: the deadline of `op` came first. */
static int64_t ready_wait(const struct io_op *op, int fd, short events)
{
    struct pollfd poll = {.fd = fd, .events = events};
    int count;
    do {
        struct timespec left = time_until(op->deadline_ns);
        count = ppoll(&poll, 1, op->deadline_ns > 0 ? &left : NULL, NULL);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    return count == 0 ? -ETIME : 0;
}

static int64_t accept_run(const struct io_op *op)
{
    union socket_address peer;
    socklen_t size = sizeof peer;
    int fd = accept4(op->fd, &peer.any, &size, SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (op->address != NULL)
        socket_address_decode(&peer, op->address);
    return fd;
}

int64_t plain_connect_begin(const struct io_op *op, int *ret_fd)
{
    union socket_address address;
    int fd = socket_open(op->address, SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    socklen_t size = socket_address_encode(op->address, &address);
    if (connect(fd, &address.any, size) != 0 && errno != EINPROGRESS && errno != EINTR) {
        int64_t result = -errno;
        (void)close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int64_t plain_connect_end(const struct io_op *op, int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return -errno;
    if (error != 0)
        return -error;
    return socket_met_itself(fd, op->address) ? -ECONNREFUSED : 0;
}

static int64_t connect_run(const struct io_op *op)
{
    int fd;
    int64_t result = plain_connect_begin(op, &fd);
    if (result < 0)
        return result;
    result = ready_wait(op, fd, POLLOUT);
    if (result == 0)
        result = plain_connect_end(op, fd);
    if (result == 0 && fcntl(fd, F_SETFL, 0) != 0)
        result = -errno;
    if (result < 0) {
        (void)close(fd);
        return result;
    }
    return fd;
}

static int64_t send_run(const struct io_op *op)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)op->iov};
    message.msg_iovlen = op->iov_count;
    ssize_t size = sendmsg(op->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return size < 0 ? -errno : size;
}

static int64_t recv_run(const struct io_op *op)
{
    ssize_t size = recv(op->fd, op->iov[0].iov_base, op->iov[0].iov_len, MSG_DONTWAIT);
    return size < 0 ? -errno : size;
}

int64_t plain_net_try(const struct io_op *op)
{
    int64_t result;
    do
        result = op->kind == IO_ACCEPT ? accept_run(op)
                 : op->kind == IO_RECV ? recv_run(op)
                                       : send_run(op);
    while (result == -EINTR);
    return result;
}

int64_t plain_net_ready(int fd, short events)
{
    struct pollfd poll = {.fd = fd, .events = events};
    const struct timespec now = {0, 0};
    int count = ppoll(&poll, 1, &now, NULL);
    return count > 0 ? 0 : -EAGAIN;
}

/* Wait until ready, try, and again if somebody else was faster. */
static int64_t wait_and_run(
    const struct io_op *op, short events, int64_t (*run)(const struct io_op *op))
{
    for (;;) {
        int64_t result = ready_wait(op, op->fd, events);
        if (result == 0)
            result = run(op);
        if (result != -EAGAIN && result != -EINTR)
            return result;
    }
}

static int64_t timer_run(const struct io_op *op)
{
    struct timespec until = {
        (time_t)(op->deadline_ns / NS_PER_S), (long)(op->deadline_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
    return 0;
}

int64_t plain_net_run(struct io_op *op)
{
    switch (op->kind) {
    case IO_LISTEN:
        return socket_listen(op);
    case IO_ACCEPT:
        return wait_and_run(op, POLLIN, accept_run);
    case IO_CONNECT:
        return connect_run(op);
    case IO_RECV:
        return wait_and_run(op, POLLIN, recv_run);
    case IO_SEND:
        return wait_and_run(op, POLLOUT, send_run);
    case IO_SHUTDOWN:
        return shutdown(op->fd, SHUT_RDWR) == 0 ? 0 : -errno;
    case IO_TIMER:
        return timer_run(op);
    default:
        UNREACHABLE("a kind that is none");
    }
}
