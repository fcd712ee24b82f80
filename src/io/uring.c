/* The life of a ring, and the parts of the backend that need none: chance, close, call. */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/host.h"
#include "io/plain.h"
#include "io/uring_internal.h"

enum { ENTRIES_DEFAULT = 512, COMPLETIONS_PER_ENTRY = 8 };
enum { OPERATION_FTRUNCATE = 55 }; /* Linux 6.9; newer than Debian's liburing */

static uint64_t uring_random(struct io *io)
{
    return host_chance_next(&uring_of(io)->chance);
}

enum fd_nature uring_fd_nature(struct uring *uring, int fd)
{
    if (fd < 0 || fd >= FD_NATURE_MAX)
        return plain_fd_nature(fd);
    if (uring->natures[fd] == FD_UNKNOWN)
        uring->natures[fd] = (uint8_t)plain_fd_nature(fd);
    return (enum fd_nature)uring->natures[fd];
}

void uring_fd_forget(struct uring *uring, int fd)
{
    if (fd >= 0 && fd < FD_NATURE_MAX && uring->natures[fd] != FD_UNKNOWN)
        uring->natures[fd] = FD_UNKNOWN;
}

/* Close is never repeated: Linux has freed the number even if it reports an error. */
static void uring_close(struct io *io, int fd)
{
    uring_fd_forget(uring_of(io), fd);
    (void)close(fd);
}

static void uring_call(struct io *io, struct io_op *op)
{
    op->result = plain_run(op);
    if (op->kind == IO_OPEN && op->result >= 0)
        uring_fd_forget(uring_of(io), (int)op->result);
}

static void uring_free(struct io *io)
{
    struct uring *uring = uring_of(io);
    CHECK(io->ledger.count[HELD_OP] == 0 && io->ledger.count[HELD_TIMER] == 0);
    ledger_release(&uring->own, &uring->held_ring, HELD_FD);
    ledger_release(&uring->own, &uring->held_wake, HELD_FD);
    ledger_release(&uring->own, &uring->held_map, HELD_MAP);
    owner_close(&uring->owner);
    ledger_check_empty(&uring->own);
    io_uring_queue_exit(&uring->ring);
    (void)close(uring->wake_fd);
    (void)munmap(uring, uring->map_size);
}

static const struct io_backend uring_backend = {
    .name = "io_uring",
    .submit = uring_submit,
    .cancel = uring_cancel,
    .call = uring_call,
    .turn = uring_turn,
    .post = uring_post,
    .leave = uring_leave,
    .close = uring_close,
    .now_ns = host_now_ns,
    .wall_ns = host_wall_ns,
    .random = uring_random,
    .free = uring_free,
};

/* Best first. The ring starts disabled, so that it can be made here and belong to another thread. */
static const unsigned setups[] = {
    IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN
        | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN
        | IORING_SETUP_TASKRUN_FLAG, /* Linux 5.19 */
    IORING_SETUP_R_DISABLED,         /* Linux 5.15 */
};

static int ring_make(struct uring *uring)
{
    int result = -EINVAL;
    size_t first = uring->options.conservative ? ARRAY_LEN(setups) - 1 : 0;
    for (size_t i = first; i < ARRAY_LEN(setups) && result == -EINVAL; i++) {
        struct io_uring_params params = {.flags = setups[i] | IORING_SETUP_CQSIZE};
        params.cq_entries = uring->options.entries * COMPLETIONS_PER_ENTRY;
        result = io_uring_queue_init_params(uring->options.entries, &uring->ring, &params);
    }
    const unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE
                            | IORING_FEAT_RW_CUR_POS;
    if (result == 0 && (uring->ring.features & needed) != needed) {
        io_uring_queue_exit(&uring->ring);
        result = -EINVAL;
    }
    return result;
}

static bool ring_knows(struct uring *uring, unsigned operation)
{
    enum { COUNT = 64 };
    uint64_t space[(sizeof(struct io_uring_probe) + COUNT * sizeof(struct io_uring_probe_op)) / 8] =
        {0};
    struct io_uring_probe *probe = (struct io_uring_probe *)(void *)space;
    unsigned fd = (unsigned)uring->ring.ring_fd;
    int result = io_uring_register(fd, IORING_REGISTER_PROBE, probe, COUNT);
    return result == 0 && operation <= probe->last_op
           && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
}

static void own_enter(struct uring *uring)
{
    ledger_init(&uring->own);
    owner_open(&uring->owner, "loop", DIRECTION_OWN, uring->io.now_ns);
    uring->own.now_ns = uring->io.now_ns;
    ledger_enter(&uring->own, &uring->held_ring, .kind = HELD_FD, .life = LIFE_PROCESS,
        .handle = uring->ring.ring_fd, .owner = &uring->owner);
    ledger_enter(&uring->own, &uring->held_wake, .kind = HELD_FD, .life = LIFE_PROCESS,
        .handle = uring->wake_fd, .owner = &uring->owner);
    ledger_enter(&uring->own, &uring->held_map, .kind = HELD_MAP, .life = LIFE_PROCESS,
        .size = uring->map_size, .handle = (int64_t)(uintptr_t)uring, .owner = &uring->owner);
    uring->io.own = &uring->own;
}

/* [struct uring][headers, one per entry][natures]: one mapping; untouched pages cost nothing. */
static struct uring *uring_map(const struct uring_options *options)
{
    unsigned entries = 1;
    while (entries < (options->entries > 0 ? options->entries : ENTRIES_DEFAULT))
        entries *= 2;
    size_t headers_size = entries * sizeof(struct msghdr);
    size_t size = sizeof(struct uring) + headers_size + FD_NATURE_MAX;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    struct uring *uring = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (uring == MAP_FAILED)
        return NULL;
    uring->options = *options;
    uring->options.entries = entries;
    uring->options.loop_count = options->loop_count > 0 ? options->loop_count : 1;
    uring->map_size = size;
    uring->headers = (struct msghdr *)(void *)(uring + 1);
    uring->natures = (uint8_t *)(uring->headers + entries);
    return uring;
}

static err_t error_of_setup(int result)
{
    if (result == -ENOMEM || result == -EMFILE || result == -ENFILE)
        return ERR(NO_RESOURCE, -result);
    return ERR(UNSUPPORTED, -result);
}

/* On failure nothing is held but the mapping. */
static err_t uring_open(struct uring *uring)
{
    uring->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (uring->wake_fd < 0)
        return ERR(NO_RESOURCE, errno);
    int result = ring_make(uring);
    if (result < 0) {
        (void)close(uring->wake_fd);
        return error_of_setup(result);
    }
    return ERR_OK;
}

err_t uring_io_new(const struct uring_options *options, struct io **ret)
{
    CHECK(options->loop_index < (options->loop_count > 0 ? options->loop_count : 1));
    struct uring *uring = uring_map(options);
    if (uring == NULL)
        return ERR(NO_RESOURCE, errno);
    err_t err = uring_open(uring);
    if (err_is(err)) {
        (void)munmap(uring, uring->map_size);
        return err;
    }
    io_init(&uring->io, &uring_backend);
    uring->io.loop_index = options->loop_index;
    io_tick(&uring->io);
    mailbox_init(&uring->mailbox);
    heap_init(&uring->timers);
    list_init(&uring->done);
    list_init(&uring->backlog);
    list_init(&uring->cancels);
    uring->has_ftruncate = !options->conservative && ring_knows(uring, OPERATION_FTRUNCATE);
    uring->has_message_ring = !options->conservative && ring_knows(uring, IORING_OP_MSG_RING)
                              && (uring->ring.features & IORING_FEAT_CQE_SKIP) != 0;
    own_enter(uring);
    *ret = &uring->io;
    return ERR_OK;
}

const struct ledger *uring_io_own(struct io *io)
{
    return &uring_of(io)->own;
}

/* kernel.io_uring_disabled: 0 allowed, 1 privileged only, 2 nobody; -1: no such switch */
static int disabled_switch(void)
{
    char digit = '\0';
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = read(fd, &digit, 1);
    (void)close(fd);
    return size == 1 ? digit - '0' : -1;
}

const char *uring_explain(err_t err)
{
    switch (err.os) {
    case EPERM:
    case EACCES:
        if (disabled_switch() > 0)
            return "io_uring is switched off on this host: set the sysctl "
                   "kernel.io_uring_disabled to 0";
        return "io_uring is forbidden here, most likely by a container's seccomp profile: allow "
               "io_uring_setup, io_uring_enter and io_uring_register";
    case ENOSYS:
        return "this kernel has no io_uring, or a container's seccomp profile hides it: "
               "Linux 5.15 or newer is needed";
    case EINVAL:
        return "the io_uring of this kernel is too old: Linux 5.15 or newer is needed";
    case EMFILE:
    case ENFILE:
        return "no descriptor is left for io_uring: raise the limit of open files (ulimit -n)";
    case ENOMEM:
        return "no memory may be locked for io_uring: raise RLIMIT_MEMLOCK (ulimit -l)";
    default:
        return "io_uring cannot be set up on this host";
    }
}
