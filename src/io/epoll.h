/* The backend of the seam for hosts and containers that forbid io_uring: epoll for what waits for a
 * peer, a few worker threads for what waits for a disk. Correct rather than fast.
 *
 *   epoll_io_new -> [io_call ...] -> io_turn ... -> io->backend->free
 *
 * Threads as with uring.h. Listeners made here do not block. An operation that waits on a descriptor
 * while that is closed ends with -ECANCELED. Timers may be up to a millisecond late. */
#ifndef CAIRN_IO_EPOLL_H
#define CAIRN_IO_EPOLL_H

#include "io/io.h"

struct epoll_options {
    uint16_t loop_index, loop_count;
    bool pin;         /* as in uring.h */
    unsigned workers; /* threads, at most WORKERS_MAX; 0: 4 */
};

/** Make the backend of one loop. Give it back with io->backend->free(), when no operation is out.
 * Errors: NO_RESOURCE (descriptors, memory, threads), UNSUPPORTED (no epoll).
 * Holds two descriptors (epoll, wake-up), its threads, and a mapping of 40 bytes for each descriptor
 * that the process may have, of which the pages that are used count. */
MUST err_t epoll_io_new(const struct epoll_options *options, struct io **ret);

/** What the backend itself holds, kept apart from io->ledger. */
const struct ledger *epoll_io_own(struct io *io);

#endif
