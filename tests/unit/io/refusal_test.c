/* A small operation that acquires (copy a file), swept over every refusal of the ledger. */
#include <errno.h>

#include "tests/unit/io/fixture.h"

enum { COPY_OPEN, COPY_OPENED, COPY_READ, COPY_WRITTEN, COPY_UNWIND, COPY_DONE };

struct copy {
    struct machine machine;
    struct fixture *fixture;
    struct io_op from_op, to_op;
    struct io_handle from, to;
    char bytes[64];
    struct iovec iov;
    unsigned ended;
    err_t err;
};

static struct io_op copy_op(struct copy *copy, enum io_kind kind, int fd)
{
    return (struct io_op){.wake = io_wake_machine,
        .context = &copy->machine,
        .owner = &copy->machine.owner,
        .kind = kind,
        .fd = fd};
}

static int copy_open(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    int directory = copy->fixture->directory.fd;
    copy->from_op = copy_op(copy, IO_OPEN, directory);
    copy->from_op.path = "from";
    copy->from_op.open_flags = IO_OPEN_READ;
    copy->from_op.ret_handle = &copy->from;
    copy->to_op = copy_op(copy, IO_OPEN, directory);
    copy->to_op.path = "to";
    copy->to_op.open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE;
    copy->to_op.ret_handle = &copy->to;
    int wait = machine_wait_in(machine, COPY_OPENED, 2);
    io_submit(copy->fixture->io, &copy->from_op);
    io_submit(copy->fixture->io, &copy->to_op);
    return wait;
}

static int copy_opened(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    if (copy->from_op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->from_op.result));
    if (copy->to_op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->to_op.result));
    copy->iov = (struct iovec){copy->bytes, sizeof copy->bytes};
    copy->from_op = copy_op(copy, IO_READ, copy->from.fd);
    copy->from_op.iov = &copy->iov;
    copy->from_op.iov_count = 1;
    int wait = machine_wait_in(machine, COPY_READ, 1);
    io_submit(copy->fixture->io, &copy->from_op);
    return wait;
}

static int copy_read(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    if (copy->from_op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->from_op.result));
    copy->iov.iov_len = (size_t)copy->from_op.result;
    copy->to_op = copy_op(copy, IO_WRITE, copy->to.fd);
    copy->to_op.iov = &copy->iov;
    copy->to_op.iov_count = 1;
    int wait = machine_wait_in(machine, COPY_WRITTEN, 1);
    io_submit(copy->fixture->io, &copy->to_op);
    return wait;
}

static int copy_written(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    if (copy->to_op.result < 0)
        return machine_fail(machine, ERR_RESULT(copy->to_op.result));
    return COPY_UNWIND;
}

static int copy_unwind(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    io_handle_close(copy->fixture->io, &copy->to);
    io_handle_close(copy->fixture->io, &copy->from);
    return COPY_DONE;
}

static int copy_done(struct machine *machine)
{
    struct copy *copy = CONTAINER_OF(machine, struct copy, machine);
    owner_close(&machine->owner);
    copy->err = machine->err;
    copy->ended++;
    return STAGE_END;
}

static const struct stage stages[] = {
    [COPY_OPEN] = {"open", copy_open, BIT(COPY_OPENED), 0},
    [COPY_OPENED] = {"opened", copy_opened, BIT(COPY_READ), 0},
    [COPY_READ] = {"read", copy_read, BIT(COPY_WRITTEN), 0},
    [COPY_WRITTEN] = {"written", copy_written, 0, 0},
    [COPY_UNWIND] = {"unwind", copy_unwind, BIT(COPY_DONE), 0},
    [COPY_DONE] = {"done", copy_done, 0, 0},
};
static const struct machine_kind kind = {"copy", stages, 6, COPY_UNWIND, COPY_DONE};

static err_t copy_run(struct fixture *fixture)
{
    struct copy copy = {.fixture = fixture, .from = IO_HANDLE_NONE, .to = IO_HANDLE_NONE};
    machine_start(&copy.machine, &kind, &fixture->io->run, DIRECTION_OWN);
    for (unsigned turns = 0; copy.ended == 0; turns++) {
        EXPECT(turns < 1000);
        io_turn(fixture->io, true);
    }
    EXPECT_EQ(copy.ended, 1);
    return copy.err;
}

static void write_from(struct fixture *fixture)
{
    struct io_handle file;
    char bytes[6] = "stones";
    struct iovec iov = {bytes, sizeof bytes};
    fixture_file(fixture, "from", IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    struct io_op op = fixture_op(fixture, IO_WRITE, file.fd);
    op.iov = &iov;
    op.iov_count = 1;
    EXPECT_EQ(fixture_run(fixture, &op), 6);
    io_handle_close(fixture->io, &file);
}

static void sweep(bool for_ever)
{
    struct fixture fixture;
    fixture_open(&fixture, &(struct backend_options){.entries = 8});
    write_from(&fixture);
    unsigned refused = 0;
    uint64_t fds = fixture.io->ledger.count[HELD_FD];
    for (uint64_t n = 1;; n++) {
        fixture.io->ledger.refusal = (struct refusal){.countdown = n, .for_ever = for_ever};
        err_t err = copy_run(&fixture);
        bool has_fired = fixture.io->ledger.refusal.fired;
        EXPECT_EQ(fixture.io->ledger.count[HELD_FD], fds);
        EXPECT_EQ(fixture.io->ledger.count[HELD_OP], 0);
        EXPECT_EQ(err_is(err), has_fired);
        if (!has_fired)
            break;
        EXPECT_ERR(err, NO_RESOURCE);
        EXPECT_EQ(err.os, ENOBUFS);
        refused++;
    }
    EXPECT_EQ(refused, 4); /* two opens, a read, a write */
    fixture_close(&fixture);
}

TEST(a_copy_survives_every_refusal_without_a_leak)
{
    sweep(false);
}

TEST(a_copy_survives_refusals_that_last_without_a_leak)
{
    sweep(true);
}

TEST(a_refused_operation_keeps_its_kind_for_the_next_try)
{
    struct fixture fixture;
    struct io_stat space;
    fixture_open(&fixture, &(struct backend_options){.entries = 8});
    struct io_op op = fixture_op(&fixture, IO_SPACE, fixture.directory.fd);
    op.ret_stat = &space;
    fixture.io->ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT_EQ(fixture_run(&fixture, &op), -ENOBUFS);
    EXPECT_EQ(op.kind, IO_SPACE);
    fixture.io->ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT_EQ(io_call(fixture.io, &op), -ENOBUFS);
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    fixture_close(&fixture);
}
