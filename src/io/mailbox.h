/* Messages to one loop from any thread: a lock-free list of many producers and one consumer.
 *
 * A producer wakes the loop only if it sleeps, and only the first of a batch does:
 *
 *   loop:      sleeping = true; look once more into the list; wait ...; sleeping = false
 *   producer:  push; if sleeping was true, set it to false and wake
 *
 * One of the two always sees the other, because both sides write before they read, in one total
 * order. Waking an idle processor costs the waker about 11 us here (facts, section 1b). */
#ifndef CAIRN_IO_MAILBOX_H
#define CAIRN_IO_MAILBOX_H

#include <stdatomic.h>

#include "io/io.h"

enum { CACHE_LINE_SIZE = 64 };

struct mailbox {
    _Alignas(CACHE_LINE_SIZE) _Atomic(struct io_message *) newest;
    atomic_bool sleeping;
};

void mailbox_init(struct mailbox *mailbox);
/** Any thread. Returns true if the caller must wake the loop. */
MUST bool mailbox_push(struct mailbox *mailbox, struct io_message *message);
/** The loop: everything that was pushed, oldest first, linked by `next`; NULL if nothing. */
struct io_message *mailbox_take(struct mailbox *mailbox);
/** The loop: takes everything and delivers it to `here`, its own seam. Returns how many. */
size_t mailbox_deliver(struct mailbox *mailbox, struct io *here);
/** The loop is about to sleep; false: it must not, there is a message. */
MUST bool mailbox_sleep(struct mailbox *mailbox);
/** The loop runs again. */
void mailbox_awake(struct mailbox *mailbox);

#endif
