#include "tests/unit/sim/copy.h"

enum { OPEN_FROM, OPEN_TO, READ, FILLED, WRITE, WRITTEN, SYNC, SYNCED, UNWIND, DONE };

static struct copy *copy_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct copy, machine);
}

static int start(struct copy *copy, int next, struct io_op op)
{
    int wait = machine_wait_in(&copy->machine, next, 1);
    copy->op = op;
    copy->op.wake = io_wake_machine;
    copy->op.context = &copy->machine;
    copy->op.owner = &copy->machine.owner;
    io_submit(copy->io, &copy->op);
    return wait;
}

static int open_from(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    return start(copy, OPEN_TO,
        (struct io_op){.kind = IO_OPEN,
            .fd = IO_FD_NONE,
            .path = copy->from_path,
            .open_flags = IO_OPEN_READ,
            .ret_handle = &copy->from});
}

static int open_to(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    if (copy->op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->op.result));
    return start(copy, READ,
        (struct io_op){.kind = IO_OPEN,
            .fd = IO_FD_NONE,
            .path = copy->to_path,
            .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
            .ret_handle = &copy->to});
}

static int read_more(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    if (copy->op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->op.result));
    copy->iov = (struct iovec){copy->buffer, sizeof(copy->buffer)};
    return start(copy, FILLED,
        (struct io_op){.kind = IO_READ,
            .fd = copy->from.fd,
            .offset = copy->offset,
            .iov = &copy->iov,
            .iov_count = 1});
}

static int filled(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    if (copy->op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->op.result));
    copy->filled = (size_t)copy->op.result;
    copy->written = 0;
    return copy->filled > 0 ? WRITE : SYNC;
}

static int write_more(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    copy->iov = (struct iovec){copy->buffer + copy->written, copy->filled - copy->written};
    return start(copy, WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .fd = copy->to.fd,
            .offset = copy->offset,
            .iov = &copy->iov,
            .iov_count = 1});
}

static int written(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    if (copy->op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->op.result));
    copy->written += (size_t)copy->op.result;
    copy->offset += (uint64_t)copy->op.result;
    return copy->written < copy->filled ? WRITE : READ;
}

static int sync_it(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    return start(copy, SYNCED, (struct io_op){.kind = IO_SYNC, .fd = copy->to.fd});
}

static int synced(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    if (copy->op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->op.result));
    return UNWIND;
}

static int unwind(struct machine *machine)
{
    struct copy *copy = copy_of(machine);
    io_handle_close(copy->io, &copy->to);
    io_handle_close(copy->io, &copy->from);
    return DONE;
}

static int done(struct machine *machine)
{
    owner_close(&machine->owner);
    copy_of(machine)->is_done = true;
    return STAGE_END;
}

static const struct stage stages[] = {
    [OPEN_FROM] = {"open_from", open_from, BIT(OPEN_TO), 0},
    [OPEN_TO] = {"open_to", open_to, BIT(READ), 0},
    [READ] = {"read", read_more, BIT(FILLED), 0},
    [FILLED] = {"filled", filled, BIT(WRITE) | BIT(SYNC), 0},
    [WRITE] = {"write", write_more, BIT(WRITTEN), 0},
    [WRITTEN] = {"written", written, BIT(WRITE) | BIT(READ), 0},
    [SYNC] = {"sync", sync_it, BIT(SYNCED), 0},
    [SYNCED] = {"synced", synced, 0, 0},
    [UNWIND] = {"unwind", unwind, BIT(DONE), 0},
    [DONE] = {"done", done, 0, 0},
};
static const struct machine_kind copy_kind = {"copy", stages, ARRAY_LEN(stages), UNWIND, DONE};

void copy_start(struct copy *copy, struct io *io, const char *from_path, const char *to_path)
{
    *copy = (struct copy){.io = io,
        .from_path = from_path,
        .to_path = to_path,
        .from = IO_HANDLE_NONE,
        .to = IO_HANDLE_NONE};
    machine_start(&copy->machine, &copy_kind, &io->run, DIRECTION_OWN);
}
