/* Descriptors that operations wait for. */
#include <errno.h>
#include <sys/epoll.h>

#include "io/epoll_internal.h"
#include "io/plain.h"

static struct watch *watch_of(struct epoll *epoll, int fd)
{
    return fd >= 0 && (size_t)fd < epoll->watch_count ? &epoll->watches[fd] : NULL;
}

static struct list *waiting(struct watch *watch, int side)
{
    struct list *list = &watch->waiting[side];
    if (list->next == NULL)
        list_init(list);
    return list;
}

static uint32_t events_wanted(struct watch *watch)
{
    uint32_t events = list_is_empty(waiting(watch, EPOLL_READ)) ? 0 : EPOLLIN;
    return events | (list_is_empty(waiting(watch, EPOLL_WRITE)) ? 0 : EPOLLOUT);
}

static int control(struct epoll *epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.u64 = (uint64_t)fd};
    return epoll_ctl(epoll->epoll_fd, operation, fd, &event);
}

/* Whether the kernel knows a descriptor is a guess: the number may have been closed elsewhere. */
static int64_t watch_arm(struct epoll *epoll, struct watch *watch, int fd)
{
    uint32_t events = events_wanted(watch);
    if ((events & ~watch->armed) == 0)
        return 0;
    int first = watch->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int second = watch->is_registered ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    int done = control(epoll, first, fd, events);
    if (done != 0 && (errno == ENOENT || errno == EEXIST))
        done = control(epoll, second, fd, events);
    if (done != 0)
        return -errno;
    watch->is_registered = true;
    watch->armed = events;
    return 0;
}

static void watch_disarm(struct epoll *epoll, struct watch *watch, int fd)
{
    if (watch->is_registered)
        (void)control(epoll, EPOLL_CTL_DEL, fd, 0);
    watch->is_registered = false;
    watch->armed = 0;
}

int64_t epoll_watch_begin(struct epoll *epoll, struct io_op *op, int side)
{
    int fd = epoll_op_of(op)->fd;
    struct watch *watch = watch_of(epoll, fd);
    if (watch == NULL)
        return -EBADF;
    list_push_back(waiting(watch, side), &op->link);
    int64_t result = watch_arm(epoll, watch, fd);
    if (result < 0)
        list_remove(&op->link);
    else
        epoll_op_of(op)->place = EPOLL_PLACE_WATCH;
    return result;
}

void epoll_watch_end(struct epoll *epoll, struct io_op *op)
{
    int fd = epoll_op_of(op)->fd;
    struct watch *watch = watch_of(epoll, fd);
    list_remove(&op->link);
    if (events_wanted(watch) == 0)
        watch_disarm(epoll, watch, fd);
}

bool epoll_watch_is_free(struct epoll *epoll, int fd, int side)
{
    struct watch *watch = watch_of(epoll, fd);
    return watch == NULL || list_is_empty(waiting(watch, side));
}

static void finish_all(struct epoll *epoll, struct watch *watch, int64_t result)
{
    for (int side = EPOLL_READ; side <= EPOLL_WRITE; side++) {
        struct list *node;
        while ((node = list_pop_front(waiting(watch, side))) != NULL)
            epoll_finish(epoll, CONTAINER_OF(node, struct io_op, link), result);
    }
}

/* In the order in which they came, until one has to wait on. */
static void try_all(struct epoll *epoll, struct list *list)
{
    while (!list_is_empty(list)) {
        struct io_op *op = CONTAINER_OF(list->next, struct io_op, link);
        int64_t result = epoll_try(epoll, op);
        if (result == -EAGAIN)
            return;
        list_remove(&op->link);
        epoll_finish(epoll, op, result);
    }
}

void epoll_watch_fire(struct epoll *epoll, int fd, uint32_t events)
{
    struct watch *watch = watch_of(epoll, fd);
    watch->armed = 0;
    if ((events & ~(uint32_t)EPOLLOUT) != 0) /* also errors and the end: the attempt tells them */
        try_all(epoll, waiting(watch, EPOLL_READ));
    if ((events & ~(uint32_t)EPOLLIN) != 0)
        try_all(epoll, waiting(watch, EPOLL_WRITE));
    int64_t result = watch_arm(epoll, watch, fd);
    if (result < 0)
        finish_all(epoll, watch, result);
}

void epoll_watch_forget(struct epoll *epoll, int fd)
{
    struct watch *watch = watch_of(epoll, fd);
    if (watch == NULL)
        return;
    finish_all(epoll, watch, -ECANCELED);
    watch_disarm(epoll, watch, fd);
    watch->nature = FD_UNKNOWN;
}

void epoll_watch_renew(struct epoll *epoll, int fd)
{
    struct watch *watch = watch_of(epoll, fd);
    if (watch != NULL && watch->nature != FD_UNKNOWN)
        watch->nature = FD_UNKNOWN;
}

enum fd_nature epoll_watch_nature(struct epoll *epoll, int fd)
{
    struct watch *watch = watch_of(epoll, fd);
    if (watch == NULL)
        return plain_fd_nature(fd);
    if (watch->nature == FD_UNKNOWN)
        watch->nature = (uint8_t)plain_fd_nature(fd);
    return (enum fd_nature)watch->nature;
}
