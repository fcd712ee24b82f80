/* The life of the epoll backend, and its parts that wait for nothing: chance, close, call. */
#include "io/epoll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/epoll_internal.h"
#include "io/limits.h"
#include "io/plain.h"

enum { WORKERS_DEFAULT = 4, WATCHES_MAX = 1 << 20 };

static uint64_t epoll_random(struct io *io)
{
    return host_chance_next(&epoll_of(io)->chance);
}

/* Close is never repeated: Linux has freed the number even if it reports an error. */
static void epoll_close(struct io *io, int fd)
{
    epoll_watch_forget(epoll_of(io), fd);
    (void)close(fd);
}

static void epoll_call(struct io *io, struct io_op *op)
{
    op->result = epoll_run_now(epoll_of(io), op);
}

static void own_leave(struct epoll *epoll)
{
    ledger_release(&epoll->own, &epoll->held_epoll, HELD_FD);
    ledger_release(&epoll->own, &epoll->held_wake, HELD_FD);
    ledger_release(&epoll->own, &epoll->held_map, HELD_MAP);
    owner_close(&epoll->owner);
    ledger_check_empty(&epoll->own);
}

static void epoll_free(struct io *io)
{
    struct epoll *epoll = epoll_of(io);
    CHECK(io->ledger.count[HELD_OP] == 0 && io->ledger.count[HELD_TIMER] == 0);
    workers_end(&epoll->workers);
    own_leave(epoll);
    (void)close(epoll->epoll_fd);
    (void)close(epoll->wake_fd);
    (void)munmap(epoll, epoll->map_size);
}

static const struct io_backend epoll_backend = {
    .name = "epoll",
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .call = epoll_call,
    .turn = epoll_turn,
    .post = epoll_post,
    .close = epoll_close,
    .now_ns = host_now_ns,
    .wall_ns = host_wall_ns,
    .random = epoll_random,
    .free = epoll_free,
};

/* [struct epoll][watches]: one mapping; untouched pages cost nothing. */
static struct epoll *epoll_map(const struct epoll_options *options)
{
    uint64_t files = limit_get(LIMIT_FILES).hard;
    size_t watch_count = files < WATCHES_MAX ? (size_t)files : WATCHES_MAX;
    size_t size = sizeof(struct epoll) + watch_count * sizeof(struct watch);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    struct epoll *epoll = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (epoll == MAP_FAILED)
        return NULL;
    epoll->options = *options;
    epoll->options.loop_count = options->loop_count > 0 ? options->loop_count : 1;
    epoll->options.workers = options->workers > 0 ? options->workers : WORKERS_DEFAULT;
    epoll->map_size = size;
    epoll->watch_count = watch_count;
    return epoll;
}

/* The counter of the wake-up is never read: each write is an edge. */
static int64_t epoll_join_wake(struct epoll *epoll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = EPOLL_WAKE};
    int done = epoll_ctl(epoll->epoll_fd, EPOLL_CTL_ADD, epoll->wake_fd, &event);
    return done == 0 ? 0 : -errno;
}

static err_t error_of_open(int error)
{
    return error == ENOSYS || error == EPERM ? ERR(UNSUPPORTED, error) : ERR(NO_RESOURCE, error);
}

/* On failure no descriptor is held. */
static err_t descriptors_open(struct epoll *epoll)
{
    epoll->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->epoll_fd < 0)
        return error_of_open(errno);
    epoll->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = epoll->wake_fd < 0 ? errno : (int)-epoll_join_wake(epoll);
    if (error == 0)
        return ERR_OK;
    if (epoll->wake_fd >= 0)
        (void)close(epoll->wake_fd);
    (void)close(epoll->epoll_fd);
    return error_of_open(error);
}

static err_t epoll_open(struct epoll *epoll)
{
    TRY(descriptors_open(epoll));
    err_t err = workers_start(&epoll->workers, epoll->options.workers, epoll_work_done, epoll);
    if (err_is(err)) {
        (void)close(epoll->wake_fd);
        (void)close(epoll->epoll_fd);
    }
    return err;
}

static void own_enter(struct epoll *epoll)
{
    ledger_init(&epoll->own);
    owner_open(&epoll->owner, "loop", DIRECTION_OWN, epoll->io.now_ns);
    epoll->own.now_ns = epoll->io.now_ns;
    ledger_enter(&epoll->own, &epoll->held_epoll, .kind = HELD_FD, .life = LIFE_PROCESS,
        .handle = epoll->epoll_fd, .owner = &epoll->owner);
    ledger_enter(&epoll->own, &epoll->held_wake, .kind = HELD_FD, .life = LIFE_PROCESS,
        .handle = epoll->wake_fd, .owner = &epoll->owner);
    ledger_enter(&epoll->own, &epoll->held_map, .kind = HELD_MAP, .life = LIFE_PROCESS,
        .size = epoll->map_size, .handle = (int64_t)(uintptr_t)epoll, .owner = &epoll->owner);
    epoll->io.own = &epoll->own;
}

err_t epoll_io_new(const struct epoll_options *options, struct io **ret)
{
    CHECK(options->loop_index < (options->loop_count > 0 ? options->loop_count : 1));
    struct epoll *epoll = epoll_map(options);
    if (epoll == NULL)
        return ERR(NO_RESOURCE, errno);
    mailbox_init(&epoll->mailbox);
    err_t err = epoll_open(epoll);
    if (err_is(err)) {
        (void)munmap(epoll, epoll->map_size);
        return err;
    }
    io_init(&epoll->io, &epoll_backend);
    epoll->io.loop_index = options->loop_index;
    io_tick(&epoll->io);
    heap_init(&epoll->timers);
    list_init(&epoll->done);
    own_enter(epoll);
    *ret = &epoll->io;
    return ERR_OK;
}

const struct ledger *epoll_io_own(struct io *io)
{
    return &epoll_of(io)->own;
}
