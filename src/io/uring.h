/* The production backend of the seam: io_uring, one ring per loop.
 *
 *   uring_io_new -> [io_call ...] -> io_turn ... -> io->backend->free
 *
 * The ring belongs to the thread that turns it first; before that, any one thread may submit and
 * call. A handle is used by the loop that opened it. What each kind costs and why it takes its way:
 * head of uring_submit.c.
 *
 * io_post(): the wake-up of a sleeping loop travels with the next turn of the sender. A thread
 * without a loop of its own gives the receiver as the sender too; that wake-up goes at once. */
#ifndef CAIRN_IO_URING_H
#define CAIRN_IO_URING_H

#include "io/io.h"

struct uring_options {
    unsigned entries; /* of the submission ring, rounded up to a power of two, at most 32768 (more
                         is UNSUPPORTED); 0: 512 */
    uint16_t loop_index, loop_count;
    bool pin;          /* the first turn pins its thread to a CPU of this loop's own, if there are
                          at least loop_count; the place of a listener in its group then agrees */
    bool conservative; /* only what Linux 5.15 knows: for tests of older kernels */
};

/** Make the backend of one loop. Give it back with io->backend->free(), when no operation is out;
 * from the thread that turned it, or after that thread has ended.
 * Errors: UNSUPPORTED (io_uring is missing, forbidden or too old), NO_RESOURCE (descriptors,
 * memory, RLIMIT_MEMLOCK on kernels before 5.12); uring_explain() says it to a person.
 * Holds two descriptors (ring, wake-up) and about 0.3 MiB of mappings for 512 entries. */
MUST err_t uring_io_new(const struct uring_options *options, struct io **ret);

/** One sentence that says why uring_io_new() failed and what to do. Static text. */
const char *uring_explain(err_t err);

/** What the backend itself holds. It is kept apart from io->ledger, which is empty when the loop's
 * users hold nothing; both together account for every descriptor. */
const struct ledger *uring_io_own(struct io *io);

#endif
