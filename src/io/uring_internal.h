/* What the files of the io_uring backend share. Not for others.
 *
 *             +-> done  (ended already; its wake comes in the next turn)  -+
 *   submit ---+-> timer (in the heap only)                                 +-> io_complete
 *             +-> ring  (given to the kernel, or in the submission ring)   |
 *             +-> backlog (submission ring full) -> ring -> completion ----+
 *
 * op->link is in `done` or `backlog`, or in `cancels` for an operation of the ring whose
 * cancellation found the submission ring full. */
#ifndef CAIRN_IO_URING_INTERNAL_H
#define CAIRN_IO_URING_INTERNAL_H

#include <liburing.h>
#include <linux/openat2.h>

#include "base/heap.h"
#include "io/host.h"
#include "io/mailbox.h"
#include "io/plain.h"
#include "io/socket.h"
#include "io/uring.h"

enum uring_place { URING_PLACE_DONE, URING_PLACE_TIMER, URING_PLACE_RING, URING_PLACE_BACKLOG };

/* The backend's part of an operation, in op->backend. */
struct uring_op {
    struct heap_node timer; /* in uring->timers if it has a deadline */
    uint8_t place;
    bool is_cancelled;
    bool is_late; /* cancelled because of its deadline */
    int fd;       /* IO_CONNECT: the socket until it is handed over */
    union {
        union socket_address address; /* IO_ACCEPT: written by the kernel; IO_CONNECT: read */
        struct open_how how;
    };
    socklen_t address_size;
};
_Static_assert(sizeof(struct uring_op) <= sizeof(((struct io_op *)NULL)->backend),
    "the backend's part fits into the operation");

enum { FD_NATURE_MAX = 1 << 20 };

struct uring {
    struct io io;
    struct mailbox mailbox; /* written by other loops */
    struct io_uring ring;
    struct uring_options options;
    bool is_enabled; /* the ring has its thread */
    bool is_wake_armed;
    bool has_ftruncate;
    bool has_message_ring;
    unsigned entries_refused; /* tests: so many times there is no free entry */
    int wake_fd;
    struct heap timers;
    struct list done, backlog, cancels;
    struct host_chance chance;
    struct ledger own;
    struct owner owner;
    struct held held_ring, held_wake, held_map;
    size_t map_size;
    uint8_t *natures;       /* [FD_NATURE_MAX], enum fd_nature */
    struct msghdr *headers; /* one per submission entry: needed until the kernel has taken it */
};

static inline struct uring *uring_of(struct io *io)
{
    return CONTAINER_OF(io, struct uring, io);
}

static inline struct uring_op *uring_op_of(const struct io_op *op)
{
    return (struct uring_op *)(uintptr_t)op->backend;
}

/* user_data of completions that belong to no operation; operations are pointers. SENT comes with the
 * pointer of the ring that was to be woken. */
enum { URING_TAG_NONE = 1, URING_TAG_WAKE = 3, URING_TAG_SENT = 5, URING_TAG_MASK = 7 };

/* uring.c */
enum fd_nature uring_fd_nature(struct uring *uring, int fd);
void uring_fd_forget(struct uring *uring, int fd);

/* uring_submit.c */
void uring_submit(struct io *io, struct io_op *op);
void uring_cancel(struct io *io, struct io_op *op);
/** The operation has ended; deliver it in the next turn. */
void uring_finish_later(struct uring *uring, struct io_op *op, int64_t result);
/** The ring says that `op` has ended: tidy up, deliver. */
void uring_op_ended(struct uring *uring, struct io_op *op, int result);
/** Submit what found the submission ring full. */
void uring_flush_backlog(struct uring *uring);
/** A free submission entry, or NULL if the kernel takes none now. */
struct io_uring_sqe *uring_entry(struct uring *uring);

/* uring_turn.c */
void uring_turn(struct io *io, bool may_wait);
void uring_post(struct io *from, struct io *to, struct io_message *message);
/** Give the kernel what is queued, without waiting. */
void uring_give(struct uring *uring);
void uring_leave(struct io *io);

#endif
