/* The network and time kinds of plain.h. */
#ifndef CAIRN_IO_PLAIN_NET_H
#define CAIRN_IO_PLAIN_NET_H

#include "io/io.h"

/** IO_LISTEN to IO_TIMER, see plain_run(). */
int64_t plain_net_run(struct io_op *op);

/** IO_ACCEPT (of a listener that does not block), IO_RECV, IO_SEND once, without waiting; -EAGAIN:
 * nothing is there yet. */
int64_t plain_net_try(const struct io_op *op);

/** 0 if `fd` is ready for `events` (poll) now, or -EAGAIN. */
int64_t plain_net_ready(int fd, short events);

/** Begin IO_CONNECT; the socket, which does not block, is written to *ret_fd and is the caller's if the
 * result is not negative. When it can be written to, plain_connect_end() tells how it went. */
int64_t plain_connect_begin(const struct io_op *op, int *ret_fd);
/** 0 or why there is no connection; *op->address as in the begin. */
int64_t plain_connect_end(const struct io_op *op, int fd);

#endif
