#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/socket.h"
#include "tests/unit/io/fixture.h"

static const struct backend_options plain_options = {.entries = 64};

static struct io_op transfer_op(
    struct fixture *fixture, enum io_kind kind, int fd, struct iovec *iov, unsigned iov_count)
{
    struct io_op op = fixture_op(fixture, kind, fd);
    op.iov = iov;
    op.iov_count = iov_count;
    return op;
}

static int64_t connect_result(struct fixture *fixture, const char *address_text)
{
    struct io_address address;
    struct io_handle handle = IO_HANDLE_NONE;
    EXPECT_OK(io_address_parse(address_text, &address));
    struct io_op op = fixture_op(fixture, IO_CONNECT, IO_FD_NONE);
    op.address = &address;
    op.ret_handle = &handle;
    int64_t result = fixture_run(fixture, &op);
    EXPECT(io_call(fixture->io, &op) < 0 || result >= 0);
    io_handle_close(fixture->io, &handle);
    return result;
}

TEST(what_is_sent_is_received)
{
    struct fixture fixture;
    struct io_handle near, far;
    char hello[5] = "hello", world[6] = " world", got[16] = {0};
    struct iovec out[2] = {{hello, 5}, {world, 6}}, in = {got, sizeof got};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = transfer_op(&fixture, IO_RECV, far.fd, &in, 1);
    io_submit(fixture.io, &recv);
    io_turn(fixture.io, false);
    struct io_op send = transfer_op(&fixture, IO_SEND, near.fd, out, 2);
    EXPECT_EQ(fixture_run(&fixture, &send), 11);
    fixture_wait(&fixture, &recv);
    EXPECT_EQ(recv.result, 11);
    EXPECT_TEXT(got, "hello world");
    send.iov_count = 1;
    EXPECT_EQ(io_call(fixture.io, &send), 5);
    EXPECT_EQ(io_call(fixture.io, &recv), 5);
    io_handle_close(fixture.io, &near);
    EXPECT_EQ(fixture_run(&fixture, &recv), 0); /* the peer closed */
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(sending_to_a_peer_that_is_gone_is_an_error_and_no_signal)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1] = {0};
    struct iovec iov = {byte, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    io_handle_close(fixture.io, &far);
    struct io_op send = transfer_op(&fixture, IO_SEND, near.fd, &iov, 1);
    int64_t result = 0;
    for (unsigned i = 0; i < 100 && result >= 0; i++)
        result = fixture_run(&fixture, &send);
    EXPECT(result == -EPIPE || result == -ECONNRESET);
    EXPECT(io_call(fixture.io, &send) < 0);
    io_handle_close(fixture.io, &near);
    fixture_close(&fixture);
}

TEST(a_shutdown_ends_the_pending_receive_with_0)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = transfer_op(&fixture, IO_RECV, near.fd, &iov, 1);
    io_submit(fixture.io, &recv);
    io_turn(fixture.io, false);
    EXPECT(io_op_is_out(&recv));
    struct io_op shutdown = fixture_op(&fixture, IO_SHUTDOWN, near.fd);
    EXPECT_EQ(fixture_run(&fixture, &shutdown), 0);
    fixture_wait(&fixture, &recv);
    EXPECT_EQ(recv.result, 0);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

static void expect_tuned(int fd)
{
    int no_delay = 0;
    char control[16] = {0};
    socklen_t size = sizeof no_delay, control_size = sizeof control - 1;
    EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    EXPECT(no_delay != 0);
    EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, &control_size), 0);
    EXPECT(strcmp(control, "cubic") == 0 || strcmp(control, "reno") == 0);
    EXPECT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

TEST(both_ends_are_tuned_and_close_on_exec)
{
    struct fixture fixture;
    struct io_handle near, far;
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    expect_tuned(near.fd);
    expect_tuned(far.fd);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(an_accepted_connection_names_its_peer)
{
    struct fixture fixture;
    struct io_handle listener, near = IO_HANDLE_NONE, far = IO_HANDLE_NONE;
    struct io_address address, peer = {.family = 0};
    fixture_open(&fixture, &plain_options);
    fixture_listen(&fixture, &listener, &address);
    EXPECT(address.port != 0);
    struct io_op connect = fixture_op(&fixture, IO_CONNECT, IO_FD_NONE);
    connect.address = &address;
    connect.ret_handle = &near;
    EXPECT(io_call(fixture.io, &connect) >= 0);
    struct io_op accept = fixture_op(&fixture, IO_ACCEPT, listener.fd);
    accept.ret_handle = &far;
    accept.address = &peer;
    EXPECT(fixture_run(&fixture, &accept) >= 0);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    EXPECT_EQ(getsockname(near.fd, (struct sockaddr *)&own, &size), 0);
    EXPECT(peer.family == 4 && io_address_is_loopback(&peer));
    EXPECT_EQ(peer.port, ntohs(own.sin_port));
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    io_handle_close(fixture.io, &listener);
    fixture_close(&fixture);
}

TEST(a_connection_to_a_closed_port_is_refused)
{
    struct fixture fixture;
    struct io_handle listener;
    struct io_address address;
    char text[IO_ADDRESS_TEXT_MAX];
    fixture_open(&fixture, &plain_options);
    fixture_listen(&fixture, &listener, &address);
    io_handle_close(fixture.io, &listener);
    EXPECT_EQ(connect_result(&fixture, io_address_format(&address, text)), -ECONNREFUSED);
    fixture_close(&fixture);
}

TEST(an_address_without_a_family_is_refused)
{
    struct fixture fixture;
    struct io_address address = {.family = 0};
    struct io_handle handle = IO_HANDLE_NONE;
    fixture_open(&fixture, &plain_options);
    for (enum io_kind kind = IO_LISTEN; kind <= IO_CONNECT; kind++) {
        if (kind == IO_ACCEPT)
            continue;
        struct io_op op = fixture_op(&fixture, kind, IO_FD_NONE);
        op.address = &address;
        op.ret_handle = &handle;
        EXPECT_EQ(fixture_run(&fixture, &op), -EAFNOSUPPORT);
        EXPECT_EQ(io_call(fixture.io, &op), -EAFNOSUPPORT);
    }
    fixture_close(&fixture);
}

static int64_t listen_as(struct fixture *fixture, struct io_handle *ret, struct io_address *address,
    uint16_t index, uint16_t count)
{
    *ret = IO_HANDLE_NONE;
    struct io_op op = fixture_op(fixture, IO_LISTEN, IO_FD_NONE);
    op.address = address;
    op.ret_handle = ret;
    op.listen_index = index;
    op.listen_count = count;
    return fixture_run(fixture, &op);
}

TEST(listeners_of_one_group_share_a_port_and_strangers_do_not)
{
    struct fixture fixture;
    struct io_handle listeners[3], stranger;
    struct io_address address;
    fixture_open(&fixture, &plain_options);
    EXPECT_OK(io_address_parse("127.0.0.1:0", &address));
    for (uint16_t i = 0; i < 3; i++)
        EXPECT(listen_as(&fixture, &listeners[i], &address, i, 3) >= 0);
    EXPECT_EQ(listen_as(&fixture, &stranger, &address, 0, 3), -EADDRINUSE);
    EXPECT_EQ(listen_as(&fixture, &stranger, &address, 0, 1), -EADDRINUSE);
    for (uint16_t i = 0; i < 3; i++)
        io_handle_close(fixture.io, &listeners[i]);
    fixture_close(&fixture);
}

/* Connects from `cpu`; the listener of that CPU must have the connection. */
static void connect_from(
    struct fixture *fixture, size_t cpu, struct io_address *address, struct io_handle *listeners)
{
    struct io_handle near = IO_HANDLE_NONE, far = IO_HANDLE_NONE;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    struct io_op connect = fixture_op(fixture, IO_CONNECT, IO_FD_NONE);
    connect.address = address;
    connect.ret_handle = &near;
    EXPECT(io_call(fixture->io, &connect) >= 0);
    struct io_op accept = fixture_op(fixture, IO_ACCEPT, listeners[cpu % 2].fd);
    accept.ret_handle = &far;
    accept.deadline_ns = io_now(fixture->io) + UINT64_C(5000000000);
    EXPECT(fixture_run(fixture, &accept) >= 0);
    io_handle_close(fixture->io, &near);
    io_handle_close(fixture->io, &far);
}

TEST(a_connection_goes_to_the_listener_of_its_processor)
{
    struct fixture fixture;
    struct io_handle listeners[2];
    struct io_address address;
    cpu_set_t before;
    EXPECT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    fixture_open(&fixture, &plain_options);
    EXPECT_OK(io_address_parse("127.0.0.1:0", &address));
    for (uint16_t i = 0; i < 2; i++)
        EXPECT(listen_as(&fixture, &listeners[i], &address, i, 2) >= 0);
    for (unsigned i = 0; i < 20; i++)
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &before))
                connect_from(&fixture, cpu, &address, listeners);
    EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    io_handle_close(fixture.io, &listeners[0]);
    io_handle_close(fixture.io, &listeners[1]);
    fixture_close(&fixture);
}

TEST(a_connection_that_met_itself_is_recognised)
{
    struct fixture fixture;
    struct io_handle near, far;
    struct io_address name;
    union socket_address own;
    socklen_t size = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_OK(io_address_parse("127.0.0.1:0", &name));
    size = socket_address_encode(&name, &own);
    EXPECT_EQ(bind(fd, &own.any, size), 0);
    size = sizeof own;
    EXPECT_EQ(getsockname(fd, &own.any, &size), 0);
    EXPECT_EQ(connect(fd, &own.any, size), 0); /* nobody listens: it met itself */
    socket_address_decode(&own, &name);
    EXPECT(socket_met_itself(fd, &name));
    (void)close(fd);
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    size = sizeof own;
    EXPECT_EQ(getpeername(near.fd, &own.any, &size), 0);
    socket_address_decode(&own, &name);
    EXPECT(!socket_met_itself(near.fd, &name));
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

TEST(ipv6_connections_work)
{
    struct fixture fixture;
    struct io_handle listener, near = IO_HANDLE_NONE;
    struct io_address address;
    fixture_open(&fixture, &plain_options);
    EXPECT_OK(io_address_parse("[::1]:0", &address));
    EXPECT(listen_as(&fixture, &listener, &address, 0, 1) >= 0);
    EXPECT(address.family == 6 && address.port != 0);
    struct io_op connect = fixture_op(&fixture, IO_CONNECT, IO_FD_NONE);
    connect.address = &address;
    connect.ret_handle = &near;
    EXPECT(fixture_run(&fixture, &connect) >= 0);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &listener);
    fixture_close(&fixture);
}

TEST(a_call_with_a_deadline_gives_up)
{
    struct fixture fixture;
    struct io_handle near, far;
    char byte[1];
    struct iovec iov = {byte, 1};
    fixture_open(&fixture, &plain_options);
    fixture_connect(&fixture, &near, &far);
    struct io_op recv = transfer_op(&fixture, IO_RECV, near.fd, &iov, 1);
    recv.deadline_ns = io_now(fixture.io) + 1000000;
    EXPECT_EQ(io_call(fixture.io, &recv), -ETIME);
    io_handle_close(fixture.io, &near);
    io_handle_close(fixture.io, &far);
    fixture_close(&fixture);
}

enum { CONNECTION_COUNT = 300, ROUND_COUNT = 5 };

TEST(many_connections_echo_at_once)
{
    static struct io_handle near[CONNECTION_COUNT], far[CONNECTION_COUNT];
    static struct io_op sends[CONNECTION_COUNT], recvs[CONNECTION_COUNT];
    static uint32_t out[CONNECTION_COUNT], in[CONNECTION_COUNT];
    static struct iovec out_iov[CONNECTION_COUNT], in_iov[CONNECTION_COUNT];
    struct fixture fixture;
    fixture_open(&fixture, &plain_options);
    for (unsigned i = 0; i < CONNECTION_COUNT; i++) {
        fixture_connect(&fixture, &near[i], &far[i]);
        out_iov[i] = (struct iovec){&out[i], sizeof out[i]};
        in_iov[i] = (struct iovec){&in[i], sizeof in[i]};
    }
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        for (unsigned i = 0; i < CONNECTION_COUNT; i++) {
            out[i] = i * 1000 + round;
            recvs[i] = transfer_op(&fixture, IO_RECV, far[i].fd, &in_iov[i], 1);
            sends[i] = transfer_op(&fixture, IO_SEND, near[i].fd, &out_iov[i], 1);
            io_submit(fixture.io, &recvs[i]);
            io_submit(fixture.io, &sends[i]);
        }
        for (unsigned i = 0; i < CONNECTION_COUNT; i++) {
            fixture_wait(&fixture, &recvs[i]);
            fixture_wait(&fixture, &sends[i]);
            EXPECT_EQ(in[i], i * 1000 + round);
        }
    }
    for (unsigned i = 0; i < CONNECTION_COUNT; i++) {
        io_handle_close(fixture.io, &near[i]);
        io_handle_close(fixture.io, &far[i]);
    }
    fixture_close(&fixture);
}
