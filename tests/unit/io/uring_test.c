/* What the io_uring backend alone has: its ring, its own descriptors, older kernels. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/units.h"
#include "io/uring_internal.h"
#include "tests/unit/io/fixture.h"

static const struct uring_options plain_options = {.entries = 64};
static const struct uring_options old_options = {.entries = 64, .conservative = true};

TEST(what_is_written_is_read_back_on_an_older_kernel)
{
    struct fixture fixture;
    struct io_handle file;
    char bytes[16] = {0};
    struct iovec iov = {(char[]){"stone"}, 5}, in = {bytes, 5};
    fixture_open_uring(&fixture, &old_options);
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    struct io_op op = fixture_op(&fixture, IO_WRITE, file.fd);
    op.iov = &iov;
    op.iov_count = 1;
    for (op.write_flags = 0; op.write_flags <= IO_WRITE_DSYNC; op.write_flags++)
        EXPECT_EQ(fixture_run(&fixture, &op), 5);
    op = fixture_op(&fixture, IO_RESIZE, file.fd);
    op.size = 4;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    op = fixture_op(&fixture, IO_READ, file.fd);
    op.iov = &in;
    op.iov_count = 1;
    EXPECT_EQ(fixture_run(&fixture, &op), 4);
    EXPECT_TEXT(bytes, "ston");
    op = fixture_op(&fixture, IO_SYNC, fixture.directory.fd);
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

/* Sends a byte to itself although the n-th entry, or n entries in a row, are refused. */
static void echo_with_refusals(struct fixture *fixture, struct io_handle *ends, unsigned count)
{
    char out[1] = {'x'}, in[2];
    struct iovec iovs[3] = {{out, 1}, {&in[0], 1}, {&in[1], 1}};
    struct io_op send = fixture_op(fixture, IO_SEND, ends[0].fd);
    struct io_op recvs[2], dropped = fixture_op(fixture, IO_RECV, ends[0].fd);
    send.iov = &iovs[0];
    dropped.iov = &iovs[1];
    send.iov_count = dropped.iov_count = 1;
    uring_of(fixture->io)->entries_refused = count;
    io_submit(fixture->io, &dropped);
    io_cancel(fixture->io, &dropped); /* in the backlog, or its cancellation is */
    for (unsigned i = 0; i < 2; i++) {
        recvs[i] = fixture_op(fixture, IO_RECV, ends[1].fd);
        recvs[i].iov = &iovs[1 + i];
        recvs[i].iov_count = 1;
        io_submit(fixture->io, &recvs[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        EXPECT_EQ(fixture_run(fixture, &send), 1);
    for (unsigned i = 0; i < 2; i++) {
        fixture_wait(fixture, &recvs[i]);
        EXPECT(recvs[i].result == 1 && in[i] == 'x');
    }
    fixture_wait(fixture, &dropped);
    EXPECT_EQ(dropped.result, -ECANCELED);
    EXPECT_EQ(uring_of(fixture->io)->entries_refused, 0);
}

TEST(operations_wait_for_a_free_entry_and_none_is_lost)
{
    struct fixture fixture;
    struct io_handle ends[2];
    fixture_open_uring(&fixture, &plain_options);
    fixture_connect(&fixture, &ends[0], &ends[1]);
    for (unsigned count = 0; count < 12; count++)
        echo_with_refusals(&fixture, ends, count);
    io_handle_close(fixture.io, &ends[0]);
    io_handle_close(fixture.io, &ends[1]);
    fixture_close(&fixture);
}

TEST(a_cancellation_waits_for_a_free_entry)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open_uring(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    for (unsigned i = 0; i < 2; i++) {
        struct io_op recv = fixture_op(&fixture, IO_RECV, near.fd);
        recv.iov = &iov;
        recv.iov_count = 1;
        recv.deadline_ns = i == 0 ? 0 : io_now(fixture.io) + NS_PER_MS;
        io_submit(fixture.io, &recv);
        uring_of(fixture.io)->entries_refused = 3;
        if (i == 0)
            io_cancel(fixture.io, &recv);
        fixture_wait(&fixture, &recv);
        EXPECT_EQ(recv.result, i == 0 ? -ECANCELED : -ETIME);
    }
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(an_operation_can_end_while_its_cancellation_waits_for_an_entry)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1] = {'x'};
    struct iovec iov = {byte, 1};
    fixture_open_uring(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = fixture_op(&fixture, IO_RECV, far.fd);
    struct io_op send = fixture_op(&fixture, IO_SEND, near.fd);
    recv.iov = send.iov = &iov;
    recv.iov_count = send.iov_count = 1;
    for (unsigned i = 0; i < 2; i++) { /* twice: the first leaves nothing behind */
        io_submit(fixture.io, &recv);
        io_turn(fixture.io, false);
        EXPECT_EQ(io_call(fixture.io, &send), 1);
        uring_of(fixture.io)->entries_refused = 2;
        io_cancel(fixture.io, &recv);
        fixture_wait(&fixture, &recv);
        EXPECT_EQ(recv.result, 1);
    }
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(the_backend_accounts_for_its_own_descriptors_and_memory)
{
    struct fixture fixture;
    fixture_open_uring(&fixture, &plain_options);
    const struct ledger *own = uring_io_own(fixture.io);
    EXPECT_EQ(own->count[HELD_FD], 2);
    EXPECT_EQ(own->count[HELD_MAP], 1);
    EXPECT_EQ(fixture_fd_count(),
        fixture.fds_before + (int)own->count[HELD_FD] + (int)fixture.io->ledger.count[HELD_FD]);
    fixture_close(&fixture);
}

TEST(without_io_uring_there_is_an_error_and_a_sentence)
{
    struct rlimit before, none;
    struct io *io = NULL;
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t more = 0; more < 2; more++) {
        int next = dup(0);
        (void)close(next);
        none = (struct rlimit){(rlim_t)next + more, before.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        err_t err = uring_io_new(&plain_options, &io);
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        EXPECT_ERR(err, NO_RESOURCE);
        EXPECT(strstr(uring_explain(err), "ulimit -n") != NULL);
        EXPECT(io == NULL);
    }
    EXPECT(strstr(uring_explain(ERR(UNSUPPORTED, ENOSYS)), "Linux 5.15") != NULL);
    EXPECT(strstr(uring_explain(ERR(UNSUPPORTED, EPERM)), "io_uring") != NULL);
    EXPECT(strstr(uring_explain(ERR(NO_RESOURCE, ENOMEM)), "RLIMIT_MEMLOCK") != NULL);
    EXPECT(strstr(uring_explain(ERR(UNSUPPORTED, EINVAL)), "too old") != NULL);
    EXPECT_ERR(uring_io_new(&(struct uring_options){.entries = 1 << 20}, &io), UNSUPPORTED);
}
