#include "io/drill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/units.h"

#ifdef CAIRN_DRILLS

enum { LEAKED_MAP_SIZE = 64 * 1024, LEAKED_BLOCK_SIZE = 512 };

struct drill {
    enum drill_kind kind;
    uint32_t count;
    union {
        struct held held;
        struct io_op timer;
    } slots[DRILL_SLOTS];
};

enum drill_kind drill_find(const char *name)
{
    static const char *const names[DRILL_COUNT] = {"",
#define X(name, text) text,
        DRILLS(X)
#undef X
    };
    for (int kind = 1; kind < DRILL_COUNT; kind++)
        if (strcmp(names[kind], name) == 0)
            return (enum drill_kind)kind;
    return DRILL_NONE;
}

err_t drill_open(struct io *io, enum drill_kind kind)
{
    void *memory = mmap(NULL, sizeof(struct drill), PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return ERR(NO_RESOURCE, errno);
    io->drill = memory;
    io->drill->kind = kind;
    return ERR_OK;
}

bool drill_is_on(const struct io *io, enum drill_kind kind)
{
    return io->drill && io->drill->kind == kind && io->drill->count < DRILL_SLOTS;
}

static struct held *next_held(struct io *io)
{
    return &io->drill->slots[io->drill->count++].held;
}

void drill_leak_fd(struct io *io, struct owner *owner, const struct site *site)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        ledger_enter_at(&io->ledger, next_held(io),
            &(struct claim){.kind = HELD_FD, .life = LIFE_REQUEST, .handle = fd, .owner = owner},
            site);
}

void drill_leak_map(struct io *io, struct owner *owner, const struct site *site)
{
    void *map =
        mmap(NULL, LEAKED_MAP_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map != MAP_FAILED) /* as it happened: the length was never set */
        ledger_enter_at(&io->ledger, next_held(io),
            &(struct claim){.kind = HELD_MAP,
                .life = LIFE_REQUEST,
                .handle = (int64_t)(uintptr_t)map,
                .owner = owner},
            site);
}

static void no_wake(struct io_op *op)
{
    (void)op;
}

void drill_leak_timer(struct io *io, struct owner *owner, const struct site *site)
{
    struct io_op *timer = &io->drill->slots[io->drill->count++].timer;
    *timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = owner,
        .wake = no_wake,
        .deadline_ns = io_now(io) + NS_PER_DAY};
    io_submit_at(io, timer, site);
}

void drill_leak_space(struct io *io, struct owner *owner, uint64_t size, const struct site *site)
{
    ledger_enter_at(&io->ledger, next_held(io),
        &(struct claim){.kind = HELD_SPACE, .life = LIFE_REQUEST, .size = size, .owner = owner},
        site);
}

void drill_leak_memory(struct mem *mem, struct owner *owner, const struct site *site)
{
    void *block;
    mem->is_unphased = true;
    err_t err = mem_take_at(mem, owner, LEAKED_BLOCK_SIZE, 0, &block, site);
    mem->is_unphased = false;
    if (!err_is(err))
        memset(block, 1, LEAKED_BLOCK_SIZE);
}

#else

enum drill_kind drill_find(const char *name)
{
    (void)name;
    return DRILL_NONE;
}

err_t drill_open(struct io *io, enum drill_kind kind)
{
    (void)io, (void)kind;
    return ERR(UNSUPPORTED, 0);
}

#endif
