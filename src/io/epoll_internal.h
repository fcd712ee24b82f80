/* What the files of the epoll backend share. Not for others.
 *
 *             +-> done   (ended already; its wake comes with the next turn)    -+
 *             +-> timer  (in the heap only)                                     |
 *   submit ---+-> watch  (waits for its descriptor) -> ready, tried again -> done +-> io_complete
 *             +-> worker (queued or begun) -> message from the worker ---------+
 *
 * op->link is in `done`, in a list of its descriptor's watch, or in the queue of the workers. */
#ifndef CAIRN_IO_EPOLL_INTERNAL_H
#define CAIRN_IO_EPOLL_INTERNAL_H

#include "base/heap.h"
#include "io/epoll.h"
#include "io/host.h"
#include "io/mailbox.h"
#include "io/plain.h"
#include "io/workers.h"

enum epoll_place { EPOLL_PLACE_DONE, EPOLL_PLACE_TIMER, EPOLL_PLACE_WATCH, EPOLL_PLACE_WORKER };

/* The backend's part of an operation, in op->backend. */
struct epoll_op {
    struct heap_node timer;    /* in epoll->timers if it has a deadline */
    struct io_message message; /* EPOLL_PLACE_WORKER: its end, from the worker */
    uint8_t place;
    bool is_cancelled;
    bool is_late; /* cancelled because of its deadline */
    int fd;       /* what it waits for; IO_CONNECT: the socket until it is handed over */
};
_Static_assert(sizeof(struct epoll_op) <= sizeof(((struct io_op *)NULL)->backend),
    "the backend's part fits into the operation");

/* data of the event that is a wake-up; others are descriptors. */
#define EPOLL_WAKE UINT64_MAX

/* One descriptor: who waits until it can be read, who until it can be written; zeroed: nobody. It is
 * armed for one event at a time, and only while somebody waits: a descriptor that has moved to
 * another loop, or whose number was given again, leaves nothing behind that could fire. */
struct watch {
    struct list waiting[2]; /* [EPOLL_READ], [EPOLL_WRITE]; of op->link */
    uint32_t armed;         /* events */
    bool is_registered;     /* the kernel may know it */
    uint8_t nature;         /* enum fd_nature, asked once */
};
enum { EPOLL_READ, EPOLL_WRITE };

struct epoll {
    struct io io;
    struct mailbox mailbox; /* written by other loops and the workers */
    struct epoll_options options;
    int epoll_fd, wake_fd;
    bool has_begun; /* has its thread */
    struct heap timers;
    struct list done;
    struct host_chance chance;
    struct workers workers;
    struct ledger own;
    struct owner owner;
    struct held held_epoll, held_wake, held_map;
    size_t map_size;
    size_t watch_count;
    struct watch watches[]; /* one per descriptor */
};

static inline struct epoll *epoll_of(struct io *io)
{
    return CONTAINER_OF(io, struct epoll, io);
}

static inline struct epoll_op *epoll_op_of(const struct io_op *op)
{
    return (struct epoll_op *)(uintptr_t)op->backend;
}

static inline struct io_op *epoll_op_back(struct epoll_op *state)
{
    return CONTAINER_OF((uint64_t *)(void *)state, struct io_op, backend[0]);
}

/* epoll_watch.c */
/** Let `op` wait until its descriptor is ready for it (EPOLL_READ, EPOLL_WRITE). 0, or -errno: it does
 * not wait; -EPERM: descriptors of that kind are always ready. */
int64_t epoll_watch_begin(struct epoll *epoll, struct io_op *op, int side);
/** `op` waits no more. */
void epoll_watch_end(struct epoll *epoll, struct io_op *op);
/** True if nobody waits on `fd` for `side`. */
bool epoll_watch_is_free(struct epoll *epoll, int fd, int side);
/** The kernel says that `fd` is ready: operations that can end do. */
void epoll_watch_fire(struct epoll *epoll, int fd, uint32_t events);
/** `fd` is about to be closed. */
void epoll_watch_forget(struct epoll *epoll, int fd);
/** Its nature is another now: `fd` is new. */
void epoll_watch_renew(struct epoll *epoll, int fd);
enum fd_nature epoll_watch_nature(struct epoll *epoll, int fd);

/* epoll_submit.c */
void epoll_submit(struct io *io, struct io_op *op);
void epoll_cancel(struct io *io, struct io_op *op);
/** plain_run(op); what it opens is fit for this backend. */
int64_t epoll_run_now(struct epoll *epoll, struct io_op *op);
/** One attempt of an operation that waits; -EAGAIN: not yet. */
int64_t epoll_try(struct epoll *epoll, struct io_op *op);
/** The operation has ended; deliver it with the next turn. */
void epoll_finish(struct epoll *epoll, struct io_op *op, int64_t result);
/** For workers.h; `context` is the struct epoll. */
void epoll_work_done(void *context, struct io_op *op, int64_t result);

/* epoll_turn.c */
void epoll_turn(struct io *io, bool may_wait);
void epoll_post(struct io *from, struct io *to, struct io_message *message);
/** Wake the loop; from any thread. */
void epoll_wake(struct epoll *epoll);

#endif
