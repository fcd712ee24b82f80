#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/io/fixture.h"

static const struct backend_options plain_options = {.entries = 64};
enum { NS_PER_MS = 1000000 };

TEST(a_nop_ends_in_the_next_turn_and_not_inside_submit)
{
    struct fixture fixture;
    fixture_open(&fixture, &plain_options);
    fixture.woken = 0;
    struct io_op op = fixture_op(&fixture, IO_NOP, IO_FD_NONE);
    io_submit(fixture.io, &op);
    EXPECT_EQ(fixture.woken, 0);
    io_turn(fixture.io, false);
    EXPECT_EQ(fixture.woken, 1);
    EXPECT_EQ(op.result, 0);
    fixture_close(&fixture);
}

TEST(timers_end_in_the_order_of_their_deadlines_and_not_before)
{
    enum { COUNT = 40 };
    struct fixture fixture;
    struct io_op ops[COUNT];
    fixture_open(&fixture, &plain_options);
    uint64_t begin_ns = io_now(fixture.io);
    fixture.woken = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        ops[i] = fixture_op(&fixture, IO_TIMER, IO_FD_NONE);
        ops[i].deadline_ns = begin_ns + (i * 7 % COUNT) * NS_PER_MS / 4;
        io_submit(fixture.io, &ops[i]);
    }
    while (fixture.woken < COUNT) {
        io_turn(fixture.io, true);
        for (unsigned i = 0; i < COUNT; i++) {
            bool is_due = ops[i].deadline_ns <= io_now(fixture.io);
            EXPECT(io_op_is_out(&ops[i]) || is_due);
        }
    }
    EXPECT(io_now(fixture.io) >= begin_ns + (COUNT - 1) * NS_PER_MS / 4);
    fixture_close(&fixture);
}

/* Cancels what waits for something that never comes; `op` is out. */
static void expect_cancelled(struct fixture *fixture, struct io_op *op)
{
    io_turn(fixture->io, false);
    EXPECT(io_op_is_out(op));
    io_cancel(fixture->io, op);
    io_cancel(fixture->io, op); /* once more: nothing */
    EXPECT(io_op_is_out(op));
    fixture_wait(fixture, op);
    EXPECT_EQ(op->result, -ECANCELED);
    io_cancel(fixture->io, op); /* after its end: nothing */
}

TEST(what_waits_can_be_cancelled)
{
    struct fixture fixture;
    struct io_handle listener, near, far, accepted = IO_HANDLE_NONE;
    struct io_address address;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    fixture_listen(&fixture, &listener, &address);

    struct io_op recv = fixture_op(&fixture, IO_RECV, near.fd);
    recv.iov = &iov;
    recv.iov_count = 1;
    io_submit(fixture.io, &recv);
    expect_cancelled(&fixture, &recv);

    struct io_op accept = fixture_op(&fixture, IO_ACCEPT, listener.fd);
    accept.ret_handle = &accepted;
    io_submit(fixture.io, &accept);
    expect_cancelled(&fixture, &accept);
    EXPECT_EQ(accepted.fd, IO_FD_NONE);

    struct io_op timer = fixture_op(&fixture, IO_TIMER, IO_FD_NONE);
    timer.deadline_ns = UINT64_MAX;
    io_submit(fixture.io, &timer);
    expect_cancelled(&fixture, &timer);

    io_handle_close(fixture.io, &listener);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(an_operation_that_is_cancelled_while_it_completes_ends_once_as_it_happened)
{
    struct fixture fixture;
    struct io_handle near, far;
    char out[1] = {'x'}, in[1];
    struct iovec out_iov = {out, 1}, in_iov = {in, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    unsigned seen[2] = {0, 0}; /* cancelled, received */
    for (unsigned i = 0; i < 200; i++) {
        struct io_op recv = fixture_op(&fixture, IO_RECV, far.fd);
        struct io_op send = fixture_op(&fixture, IO_SEND, near.fd);
        recv.iov = &in_iov;
        send.iov = &out_iov;
        recv.iov_count = send.iov_count = 1;
        fixture.woken = 0;
        bool is_cancelled_first = i % 2 == 0;
        io_submit(fixture.io, &recv);
        if (is_cancelled_first)
            io_cancel(fixture.io, &recv);
        io_submit(fixture.io, &send);
        if (i % 4 == 1)
            io_turn(fixture.io, true); /* its completion may be there, undelivered */
        io_cancel(fixture.io, &recv);
        fixture_wait(&fixture, &recv);
        fixture_wait(&fixture, &send);
        EXPECT_EQ(fixture.woken, 2);
        EXPECT(recv.result == 1 || recv.result == -ECANCELED);
        seen[recv.result == 1]++;
        if (recv.result != 1)
            EXPECT_EQ(io_call(fixture.io, &recv), 1); /* not a byte is lost */
    }
    EXPECT(seen[0] > 0 && seen[1] > 0);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(a_deadline_ends_a_receive_and_one_that_is_met_does_not)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1] = {0};
    struct iovec iov = {byte, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = fixture_op(&fixture, IO_RECV, far.fd);
    recv.iov = &iov;
    recv.iov_count = 1;
    recv.deadline_ns = io_now(fixture.io) + 2 * NS_PER_MS;
    EXPECT_EQ(fixture_run(&fixture, &recv), -ETIME);
    EXPECT(io_now(fixture.io) >= recv.deadline_ns);

    recv.deadline_ns = io_now(fixture.io) + UINT64_C(60000) * NS_PER_MS;
    io_submit(fixture.io, &recv);
    struct io_op send = fixture_op(&fixture, IO_SEND, near.fd);
    send.iov = &iov;
    send.iov_count = 1;
    EXPECT_EQ(fixture_run(&fixture, &send), 1);
    fixture_wait(&fixture, &recv);
    EXPECT_EQ(recv.result, 1);

    recv.deadline_ns = 1; /* has passed already */
    EXPECT_EQ(fixture_run(&fixture, &recv), -ETIME);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(five_thousand_operations_at_once_all_end)
{
    enum { COUNT = 5000 };
    static struct io_op ops[COUNT];
    static struct iovec iovs[COUNT];
    static char bytes[COUNT];
    struct fixture fixture;
    struct io_handle file;
    fixture_open(&fixture, &(struct backend_options){.entries = 8});
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    for (unsigned i = 0; i < COUNT; i++)
        bytes[i] = (char)(i % 251);
    struct iovec all = {bytes, COUNT};
    struct io_op write = fixture_op(&fixture, IO_WRITE, file.fd);
    write.iov = &all;
    write.iov_count = 1;
    EXPECT_EQ(fixture_run(&fixture, &write), COUNT);
    memset(bytes, 0, COUNT);
    fixture.woken = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        iovs[i] = (struct iovec){&bytes[i], 1};
        ops[i] = fixture_op(&fixture, IO_READ, file.fd);
        ops[i].iov = &iovs[i];
        ops[i].iov_count = 1;
        ops[i].offset = i;
        io_submit(fixture.io, &ops[i]);
    }
    while (fixture.woken < COUNT)
        io_turn(fixture.io, true);
    for (unsigned i = 0; i < COUNT; i++)
        EXPECT(ops[i].result == 1 && bytes[i] == (char)(i % 251));
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(a_thousand_waiting_receives_can_be_cancelled_through_a_small_ring)
{
    enum { COUNT = 1000 };
    static struct io_op ops[COUNT];
    static char bytes[COUNT];
    static struct iovec iovs[COUNT];
    struct fixture fixture;
    struct io_handle near, far;
    fixture_open(&fixture, &(struct backend_options){.entries = 4});
    fixture_connect(&fixture, &near, &far);
    fixture.woken = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        iovs[i] = (struct iovec){&bytes[i], 1};
        ops[i] = fixture_op(&fixture, IO_RECV, near.fd);
        ops[i].iov = &iovs[i];
        ops[i].iov_count = 1;
        io_submit(fixture.io, &ops[i]);
    }
    for (unsigned i = 0; i < COUNT; i++)
        io_cancel(fixture.io, &ops[i]);
    while (fixture.woken < COUNT)
        io_turn(fixture.io, true);
    for (unsigned i = 0; i < COUNT; i++)
        EXPECT_EQ(ops[i].result, -ECANCELED);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(without_a_free_descriptor_the_operation_fails_and_the_loop_goes_on)
{
    struct fixture fixture;
    struct io_handle listener, accepted = IO_HANDLE_NONE;
    struct io_address address;
    struct rlimit before;
    fixture_open(&fixture, &plain_options);
    fixture_listen(&fixture, &listener, &address);
    struct io_op nop = fixture_op(&fixture, IO_NOP, IO_FD_NONE);
    EXPECT_EQ(fixture_run(&fixture, &nop), 0);
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(fixture.directory.fd); /* the lowest free number */
    (void)close(next);

    struct io_handle near = IO_HANDLE_NONE;
    struct rlimit one_more = {(rlim_t)next + 1, before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &one_more), 0);
    struct io_op connect = fixture_op(&fixture, IO_CONNECT, IO_FD_NONE);
    connect.address = &address;
    connect.ret_handle = &near;
    EXPECT(fixture_run(&fixture, &connect) >= 0);
    struct io_op accept = fixture_op(&fixture, IO_ACCEPT, listener.fd);
    accept.ret_handle = &accepted;
    EXPECT_EQ(fixture_run(&fixture, &accept), -EMFILE);
    struct io_handle file = IO_HANDLE_NONE;
    struct io_op open = fixture_op(&fixture, IO_OPEN, fixture.directory.fd);
    open.path = "f";
    open.open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE;
    open.ret_handle = &file;
    EXPECT_EQ(fixture_run(&fixture, &open), -EMFILE);
    struct io_op again = connect;
    again.ret_handle = &file;
    EXPECT_EQ(fixture_run(&fixture, &again), -EMFILE);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

    EXPECT(fixture_run(&fixture, &accept) >= 0); /* the connection was not lost */
    io_handle_close(fixture.io, &accepted);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &listener);
    fixture_close(&fixture);
}

TEST(random_numbers_differ_and_clocks_run)
{
    struct fixture fixture;
    fixture_open(&fixture, &plain_options);
    uint64_t ones = 0, zeros = 0, last = io_random(fixture.io);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t next = io_random(fixture.io);
        EXPECT(next != last);
        last = next;
        ones |= next;
        zeros |= ~next;
    }
    EXPECT(ones == UINT64_MAX && zeros == UINT64_MAX);
    EXPECT(io_now(fixture.io) > 0);
    EXPECT(io_wall(fixture.io) > UINT64_C(1600000000) * 1000000000);
    fixture_close(&fixture);
}
