/* What the epoll backend alone has: watches of descriptors, and worker threads. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/units.h"
#include "io/plain.h"
#include "io/workers.h"
#include "tests/unit/io/fixture.h"

static const struct epoll_options one_worker = {.workers = 1};

static struct io_op transfer_op(
    struct fixture *fixture, enum io_kind kind, int fd, struct iovec *iov, unsigned iov_count)
{
    struct io_op op = fixture_op(fixture, kind, fd);
    op.iov = iov;
    op.iov_count = iov_count;
    op.offset = kind == IO_READ || kind == IO_WRITE ? IO_OFFSET_STREAM : 0;
    return op;
}

static void fill(struct fixture *fixture, struct io_op *send)
{
    for (;;) {
        io_submit(fixture->io, send);
        io_turn(fixture->io, false);
        io_turn(fixture->io, false);
        if (io_op_is_out(send))
            return;
        EXPECT(send->result > 0);
    }
}

TEST(a_send_without_room_waits_until_the_peer_reads)
{
    static char out[1 << 16], in[1 << 16];
    struct fixture fixture;
    struct io_handle near, far;
    struct iovec out_iov = {out, sizeof out}, in_iov = {in, sizeof in};
    fixture_open_epoll(&fixture, &one_worker);
    fixture_connect(&fixture, &near, &far);
    struct io_op send = transfer_op(&fixture, IO_SEND, near.fd, &out_iov, 1);
    struct io_op second = send;
    struct io_op recv = transfer_op(&fixture, IO_RECV, far.fd, &in_iov, 1);
    fill(&fixture, &send);
    io_submit(fixture.io, &second); /* keeps its place behind the first */
    for (unsigned i = 0; i < 10000 && io_op_is_out(&second); i++) {
        EXPECT(io_op_is_out(&send) || send.result > 0);
        EXPECT(fixture_run(&fixture, &recv) > 0);
        io_turn(fixture.io, false);
    }
    EXPECT(!io_op_is_out(&send) && send.result > 0);
    EXPECT(!io_op_is_out(&second) && second.result > 0);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(one_descriptor_can_be_waited_for_in_both_directions)
{
    static char out[1 << 16], in[1 << 16];
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1] = {'x'}, got[1] = {0};
    struct iovec out_iov = {out, sizeof out}, in_iov = {in, sizeof in};
    struct iovec byte_iov = {byte, 1}, got_iov = {got, 1};
    fixture_open_epoll(&fixture, &one_worker);
    fixture_connect(&fixture, &near, &far);
    struct io_op send = transfer_op(&fixture, IO_SEND, near.fd, &out_iov, 1);
    struct io_op hear = transfer_op(&fixture, IO_RECV, near.fd, &got_iov, 1);
    io_submit(fixture.io, &hear);
    fill(&fixture, &send);
    struct io_op say = transfer_op(&fixture, IO_SEND, far.fd, &byte_iov, 1);
    EXPECT_EQ(fixture_run(&fixture, &say), 1);
    fixture_wait(&fixture, &hear);
    EXPECT(hear.result == 1 && got[0] == 'x');
    EXPECT(io_op_is_out(&send)); /* still without room, and still waited for */
    struct io_op drain = transfer_op(&fixture, IO_RECV, far.fd, &in_iov, 1);
    while (io_op_is_out(&send))
        EXPECT(fixture_run(&fixture, &drain) > 0);
    EXPECT(send.result > 0);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(a_write_to_a_full_pipe_does_not_hold_up_the_loop)
{
    static char bytes[1 << 20];
    struct fixture fixture;
    struct iovec iovs[2] = {{bytes, 0}, {bytes, sizeof bytes}};
    int ends[2];
    fixture_open_epoll(&fixture, &one_worker);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    struct io_op write = transfer_op(&fixture, IO_WRITE, ends[1], iovs, 2);
    fill(&fixture, &write);
    EXPECT(read(ends[0], bytes, sizeof bytes) > 0);
    fixture_wait(&fixture, &write);
    EXPECT(write.result > 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    fixture_close(&fixture);
}

TEST(what_cannot_be_watched_is_always_ready)
{
    struct fixture fixture;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open_epoll(&fixture, &one_worker);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct io_op op = transfer_op(&fixture, IO_READ, fd, &iov, 1);
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    op = transfer_op(&fixture, IO_WRITE, fd, &iov, 1);
    EXPECT_EQ(fixture_run(&fixture, &op), 1);
    (void)close(fd);
    fixture_close(&fixture);
}

TEST(an_operation_that_waits_on_a_descriptor_ends_when_that_is_closed)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open_epoll(&fixture, &one_worker);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = transfer_op(&fixture, IO_RECV, near.fd, &iov, 1);
    io_submit(fixture.io, &recv);
    io_turn(fixture.io, false);
    io_handle_close(fixture.io, &near);
    fixture_wait(&fixture, &recv);
    EXPECT_EQ(recv.result, -ECANCELED);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

/* The number of a descriptor that waited here is closed elsewhere and given again. */
TEST(a_descriptor_that_moved_away_leaves_nothing_behind)
{
    struct fixture fixture;
    struct io_handle ends[2], again[2];
    char byte[1] = {'x'};
    struct iovec iov = {byte, 1};
    fixture_open_epoll(&fixture, &one_worker);
    fixture_connect(&fixture, &ends[0], &ends[1]);
    struct io_op recv = transfer_op(&fixture, IO_RECV, ends[0].fd, &iov, 1);
    io_submit(fixture.io, &recv);
    io_turn(fixture.io, false);
    io_cancel(fixture.io, &recv);
    fixture_wait(&fixture, &recv);
    int number = io_handle_release(fixture.io, &ends[0]);
    struct io_op send = transfer_op(&fixture, IO_SEND, ends[1].fd, &iov, 1);
    EXPECT_EQ(fixture_run(&fixture, &send), 1); /* fires nothing here */
    io_turn(fixture.io, false);
    (void)close(number); /* the other loop does */
    io_handle_close(fixture.io, &ends[1]);
    fixture_connect(&fixture, &again[0], &again[1]);
    for (unsigned i = 0; i < 2; i++) {
        recv = transfer_op(&fixture, IO_RECV, again[i].fd, &iov, 1);
        send = transfer_op(&fixture, IO_SEND, again[1 - i].fd, &iov, 1);
        io_submit(fixture.io, &recv);
        io_turn(fixture.io, false);
        EXPECT_EQ(fixture_run(&fixture, &send), 1);
        fixture_wait(&fixture, &recv);
        EXPECT_EQ(recv.result, 1);
    }
    io_handle_close(fixture.io, &again[0]);
    io_handle_close(fixture.io, &again[1]);
    fixture_close(&fixture);
}

/* The only worker opens a FIFO that nobody reads: what comes after it waits. */
TEST(what_waits_for_a_worker_can_be_cancelled_and_be_late)
{
    struct fixture fixture;
    struct io_handle fifo = IO_HANDLE_NONE;
    char path[96];
    fixture_open_epoll(&fixture, &one_worker);
    (void)snprintf(path, sizeof path, "%s/fifo", fixture.path);
    EXPECT_EQ(mkfifo(path, 0600), 0);
    struct io_op open_op = fixture_op(&fixture, IO_OPEN, fixture.directory.fd);
    open_op.path = "fifo";
    open_op.open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE;
    open_op.ret_handle = &fifo;
    io_submit(fixture.io, &open_op);
    struct io_op cancelled = fixture_op(&fixture, IO_SYNC, fixture.directory.fd);
    struct io_op late = cancelled, kept = cancelled;
    late.deadline_ns = io_now(fixture.io) + NS_PER_MS;
    io_submit(fixture.io, &cancelled);
    io_submit(fixture.io, &late);
    io_submit(fixture.io, &kept);
    io_cancel(fixture.io, &cancelled);
    fixture_wait(&fixture, &cancelled);
    EXPECT_EQ(cancelled.result, -ECANCELED);
    fixture_wait(&fixture, &late);
    EXPECT_EQ(late.result, -ETIME);
    EXPECT(io_op_is_out(&kept) && io_op_is_out(&open_op));
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    EXPECT(reader >= 0);
    io_cancel(fixture.io, &open_op);
    fixture_wait(&fixture, &open_op);
    EXPECT(open_op.result >= 0 || open_op.result == -ECANCELED);
    fixture_wait(&fixture, &kept);
    EXPECT_EQ(kept.result, 0);
    (void)close(reader);
    io_handle_close(fixture.io, &fifo);
    fixture_close(&fixture);
}

struct finished {
    _Atomic(unsigned) count;
    int64_t result;
};

static void finish(void *context, struct io_op *op, int64_t result)
{
    struct finished *finished = context;
    (void)op;
    finished->result = result;
    finished->count++;
}

TEST(a_worker_that_has_begun_is_not_interrupted)
{
    struct workers workers;
    struct finished finished = {.count = 0};
    char byte[1] = {'x'};
    struct iovec iov = {byte, 1};
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_OK(workers_start(&workers, 1, finish, &finished));
    struct io_op blocks = {.kind = IO_READ, .fd = ends[0], .offset = IO_OFFSET_STREAM};
    struct io_op waits = {.kind = IO_NOP};
    blocks.iov = &iov;
    blocks.iov_count = 1;
    workers_give(&workers, &blocks);
    workers_give(&workers, &waits);
    EXPECT(workers_take_back(&workers, &waits));
    EXPECT(!workers_take_back(&workers, &waits));
    EXPECT_EQ(write(ends[1], byte, 1), 1);
    while (workers_take_back(&workers, &blocks)) /* it had not even begun */
        workers_give(&workers, &blocks);
    workers_end(&workers);
    EXPECT(finished.count == 1 && finished.result == 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TEST(the_epoll_backend_accounts_for_its_own_descriptors_and_memory)
{
    struct fixture fixture;
    fixture_open_epoll(&fixture, &one_worker);
    const struct ledger *own = epoll_io_own(fixture.io);
    EXPECT_EQ(own->count[HELD_FD], 2);
    EXPECT_EQ(own->count[HELD_MAP], 1);
    EXPECT_EQ(fixture_fd_count(),
        fixture.fds_before + (int)own->count[HELD_FD] + (int)fixture.io->ledger.count[HELD_FD]);
    fixture_close(&fixture);
}

TEST(without_a_descriptor_there_is_no_epoll_backend)
{
    struct rlimit before, none;
    struct io *io = NULL;
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t more = 0; more < 2; more++) {
        int next = dup(0);
        (void)close(next);
        none = (struct rlimit){(rlim_t)next + more, before.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        err_t err = epoll_io_new(&one_worker, &io);
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        EXPECT_ERR(err, NO_RESOURCE);
        EXPECT(io == NULL);
    }
}
