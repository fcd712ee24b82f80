/* The network and time kinds of plain.h. */
#ifndef CAIRN_IO_PLAIN_NET_H
#define CAIRN_IO_PLAIN_NET_H

#include "io/io.h"

/** IO_LISTEN to IO_TIMER, see plain_run(). */
int64_t plain_net_run(struct io_op *op);

#endif
