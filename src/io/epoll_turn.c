/* One turn of a loop of the epoll backend: wait if there is nothing to do, try what is ready, deliver. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/units.h"
#include "io/epoll_internal.h"

enum { EVENTS_MAX = 256 };

void epoll_wake(struct epoll *epoll)
{
    static const uint64_t one = 1;
    ssize_t size;
    do
        size = write(epoll->wake_fd, &one, sizeof one);
    while (size < 0 && errno == EINTR);
    CHECK(size == sizeof one);
}

void epoll_post(struct io *from, struct io *to, struct io_message *message)
{
    struct epoll *target = epoll_of(to);
    (void)from;
    if (mailbox_push(&target->mailbox, message))
        epoll_wake(target);
}

/* In milliseconds, rounded up: a timer does not end before its time. -1: for ever. */
static int wait_max(struct epoll *epoll)
{
    const struct heap_node *earliest = heap_min(&epoll->timers);
    if (earliest == NULL)
        return -1;
    uint64_t now_ns = host_now_ns(&epoll->io);
    if (earliest->key <= now_ns)
        return 0;
    uint64_t left_ms = (earliest->key - now_ns - 1) / NS_PER_MS + 1;
    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

static void expire_timers(struct epoll *epoll)
{
    struct heap_node *node;
    while ((node = heap_min(&epoll->timers)) != NULL && node->key <= epoll->io.now_ns) {
        struct epoll_op *state = CONTAINER_OF(node, struct epoll_op, timer);
        struct io_op *op = epoll_op_back(state);
        heap_remove(&epoll->timers, node);
        if (state->place == EPOLL_PLACE_TIMER) {
            epoll_finish(epoll, op, 0);
        } else if (!state->is_cancelled) {
            state->is_late = true;
            epoll_cancel(&epoll->io, op);
        }
    }
}

static void wait_and_fire(struct epoll *epoll, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll->epoll_fd, events, EVENTS_MAX, timeout_ms);
    CHECK(count >= 0 || errno == EINTR);
    mailbox_awake(&epoll->mailbox);
    io_tick(&epoll->io);
    for (int i = 0; i < count; i++)
        if (events[i].data.u64 != EPOLL_WAKE)
            epoll_watch_fire(epoll, (int)events[i].data.u64, events[i].events);
}

void epoll_turn(struct io *io, bool may_wait)
{
    struct epoll *epoll = epoll_of(io);
    size_t count;
    if (!epoll->has_begun && epoll->options.pin)
        host_pin_thread(epoll->options.loop_index, epoll->options.loop_count);
    epoll->has_begun = true;
    do {
        bool sleeps = may_wait && list_is_empty(&epoll->done) && mailbox_sleep(&epoll->mailbox);
        wait_and_fire(epoll, sleeps ? wait_max(epoll) : 0);
        expire_timers(epoll);
        count = io_complete_all(io, &epoll->done) + mailbox_deliver(&epoll->mailbox, io);
    } while (may_wait && count == 0);
}
