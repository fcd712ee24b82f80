/* The simulated network, as two nodes see it. */
#include "sim/net.h"

#include "sim/sweep.h"
#include "tests/unit/sim/lab.h"

enum { SECOND = 1000000000, PORT = 7000 };

struct waiter {
    struct io_op op;
    struct iovec iov;
    int64_t result;
    bool is_awake;
};

static void woken(struct io_op *op)
{
    struct waiter *waiter = op->context;
    waiter->is_awake = true;
    waiter->result = op->result;
}

static bool is_awake(void *context)
{
    return ((struct waiter *)context)->is_awake;
}

/* Two nodes; `a` connects to `b`. */
struct pair {
    struct sim_world *world;
    struct lab a, b;
    struct io_handle listener, near, far;
    struct io_address address, seen;
};

static void submit(struct lab *lab, struct waiter *waiter, struct io_op op)
{
    *waiter = (struct waiter){.op = op, .iov = waiter->iov};
    waiter->op.owner = &lab->owner;
    waiter->op.wake = woken;
    waiter->op.context = waiter;
    io_submit(lab->io, &waiter->op);
}

static int64_t wait_for(struct lab *lab, struct waiter *waiter)
{
    EXPECT(sim_world_run_until(lab->world, is_awake, waiter, UINT64_C(200) * SECOND));
    return waiter->result;
}

static int64_t run(struct lab *lab, struct io_op op)
{
    struct waiter waiter = {0};
    submit(lab, &waiter, op);
    return wait_for(lab, &waiter);
}

static struct io_op on_bytes(enum io_kind kind, int fd, struct iovec *iov)
{
    return (struct io_op){.kind = kind, .fd = fd, .iov = iov, .iov_count = 1};
}

static int64_t send_text(struct lab *lab, int fd, const char *text)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    return run(lab, on_bytes(IO_SEND, fd, &iov));
}

static int64_t receive(struct lab *lab, int fd, char *text, size_t size)
{
    struct iovec iov = {text, size};
    return run(lab, on_bytes(IO_RECV, fd, &iov));
}

static struct io_op connect_op(struct io_handle *handle, struct io_address *address)
{
    *handle = IO_HANDLE_NONE;
    return (struct io_op){
        .kind = IO_CONNECT, .fd = IO_FD_NONE, .address = address, .ret_handle = handle};
}

static int64_t listen_at(struct lab *lab, struct io_handle *handle, struct io_address *address,
    uint16_t index, uint16_t count)
{
    *handle = IO_HANDLE_NONE;
    return lab_call(lab, (struct io_op){.kind = IO_LISTEN,
                             .fd = IO_FD_NONE,
                             .address = address,
                             .ret_handle = handle,
                             .listen_index = index,
                             .listen_count = count});
}

static struct io_op accept_op(int fd, struct io_handle *handle, struct io_address *address)
{
    *handle = IO_HANDLE_NONE;
    return (struct io_op){.kind = IO_ACCEPT, .fd = fd, .address = address, .ret_handle = handle};
}

static void pair_world(struct pair *pair, struct sim_world *world)
{
    *pair = (struct pair){
        .world = world, .listener = IO_HANDLE_NONE, .near = IO_HANDLE_NONE, .far = IO_HANDLE_NONE};
    struct lab *labs[] = {&pair->a, &pair->b};
    for (size_t i = 0; i < 2; i++) {
        labs[i]->world = world;
        labs[i]->node = sim_node_new(world, i ? "b" : "a", NULL);
        lab_boot(labs[i]);
    }
    pair->address = sim_node_address(pair->b.node, PORT);
}

/* A network without surprises. */
static void make_calm(struct sim_world *world)
{
    *sim_world_net(world) = (struct sim_net_options){.delay_ns = 100000,
        .stall_max_ns = UINT64_C(5) * SECOND,
        .window = 65536,
        .segment_size_max = 65536};
}

static void pair_connect(struct pair *pair)
{
    struct waiter accepted = {0}, connected = {0};
    EXPECT(listen_at(&pair->b, &pair->listener, &pair->address, 0, 1) >= 0);
    submit(&pair->b, &accepted, accept_op(pair->listener.fd, &pair->far, &pair->seen));
    submit(&pair->a, &connected, connect_op(&pair->near, &pair->address));
    EXPECT(wait_for(&pair->a, &connected) >= 0);
    EXPECT(wait_for(&pair->b, &accepted) >= 0);
}

static void pair_new(struct pair *pair, uint64_t seed)
{
    pair_world(pair, sim_world_new(seed));
    make_calm(pair->world);
    pair_connect(pair);
}

static void pair_free(struct pair *pair)
{
    sim_world_free(pair->world);
}

TEST(bytes_arrive_in_order_whatever_the_network_does)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct pair pair;
        pair_world(&pair, sim_world_new(seed));
        sim_world_net(pair.world)->loss_per_million *= 3;
        pair_connect(&pair);
        enum { SIZE = 20000 };
        static uint8_t out[SIZE], in[SIZE];
        struct waiter sender = {0}, receiver = {0};
        size_t sent = 0, received = 0;
        for (size_t i = 0; i < SIZE; i++)
            out[i] = (uint8_t)(i * 31 + i / 256);
        sender.is_awake = receiver.is_awake = true;
        while (received < SIZE) {
            if (sender.is_awake && sent < SIZE) {
                sender.iov = (struct iovec){out + sent, SIZE - sent};
                submit(&pair.a, &sender, on_bytes(IO_SEND, pair.near.fd, &sender.iov));
            }
            if (receiver.is_awake) {
                receiver.iov = (struct iovec){in + received, SIZE - received};
                submit(&pair.b, &receiver, on_bytes(IO_RECV, pair.far.fd, &receiver.iov));
            }
            EXPECT(sim_world_step(pair.world));
            if (sender.is_awake && sent < SIZE) {
                EXPECT(sender.result > 0);
                sent += (size_t)sender.result;
            }
            if (receiver.is_awake) {
                EXPECT(receiver.result > 0);
                received += (size_t)receiver.result;
            }
        }
        EXPECT(memcmp(in, out, SIZE) == 0);
        pair_free(&pair);
    }
}

TEST(the_accepting_side_learns_the_address_of_its_peer)
{
    struct pair pair;
    pair_new(&pair, 1);
    struct io_address host = sim_node_address(pair.a.node, 0);
    EXPECT(memcmp(pair.seen.bytes, host.bytes, 16) == 0);
    EXPECT(pair.seen.port >= 32768);
    EXPECT_EQ(sim_net_connection_count(pair.world), 1);
    io_handle_close(pair.a.io, &pair.near);
    io_handle_close(pair.b.io, &pair.far);
    EXPECT_EQ(sim_net_connection_count(pair.world), 0);
    pair_free(&pair);
}

TEST(a_connect_to_nobody_is_refused)
{
    struct pair pair;
    struct io_handle handle;
    pair_world(&pair, sim_world_new(1));
    make_calm(pair.world);
    EXPECT_EQ(run(&pair.a, connect_op(&handle, &pair.address)), -ECONNREFUSED);
    struct io_address nowhere = {.family = 4, .bytes = {10, 9, 9, 9}, .port = PORT};
    EXPECT_EQ(run(&pair.a, connect_op(&handle, &nowhere)), -ECONNREFUSED);
    pair_free(&pair);
}

TEST(ports_are_assigned_and_guarded)
{
    struct pair pair;
    struct io_handle first, second, third;
    pair_world(&pair, sim_world_new(1));
    struct io_address any = {.family = 4}, same, foreign = sim_node_address(pair.a.node, 0);
    EXPECT(listen_at(&pair.b, &first, &any, 0, 1) >= 0);
    EXPECT(any.port >= 20000);
    same = sim_node_address(pair.b.node, any.port);
    EXPECT_EQ(listen_at(&pair.b, &second, &same, 0, 1), -EADDRINUSE);
    EXPECT_EQ(listen_at(&pair.b, &second, &foreign, 0, 1), -EADDRNOTAVAIL);
    struct io_address loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    EXPECT(listen_at(&pair.b, &second, &loopback, 0, 1) >= 0);
    EXPECT(loopback.port != any.port);
    EXPECT_EQ(run(&pair.a, connect_op(&third, &loopback)), -ECONNREFUSED); /* its own loopback */
    io_handle_close(pair.b.io, &first);
    EXPECT(listen_at(&pair.b, &first, &same, 0, 1) >= 0);
    sim_node_fd_limit(pair.b.node, 0);
    EXPECT_EQ(listen_at(&pair.b, &third, &same, 0, 1), -EMFILE);
    EXPECT_EQ(run(&pair.b, connect_op(&third, &same)), -EMFILE);
    pair_free(&pair);
}

TEST(loops_that_listen_together_share_the_connections)
{
    struct pair pair;
    pair_world(&pair, sim_world_new(5));
    make_calm(pair.world);
    struct lab other = pair.b;
    other.io = sim_loop_new(pair.world, pair.b.node, 1);
    struct io_handle listeners[2], accepted[2] = {IO_HANDLE_NONE, IO_HANDLE_NONE}, near[30];
    EXPECT(listen_at(&pair.b, &listeners[0], &pair.address, 0, 2) >= 0);
    EXPECT(listen_at(&other, &listeners[1], &pair.address, 1, 2) >= 0);
    unsigned count[2] = {0};
    struct waiter waiters[2] = {0};
    struct lab *labs[2] = {&pair.b, &other};
    for (size_t i = 0; i < 2; i++)
        submit(labs[i], &waiters[i], accept_op(listeners[i].fd, &accepted[i], NULL));
    for (size_t i = 0; i < ARRAY_LEN(near); i++) {
        EXPECT(run(&pair.a, connect_op(&near[i], &pair.address)) >= 0);
        sim_world_run_for(pair.world, SECOND);
        for (size_t j = 0; j < 2; j++) {
            if (!waiters[j].is_awake)
                continue;
            EXPECT(waiters[j].result >= 0);
            count[j]++;
            io_handle_close(labs[j]->io, &accepted[j]);
            submit(labs[j], &waiters[j], accept_op(listeners[j].fd, &accepted[j], NULL));
        }
    }
    EXPECT_EQ(count[0] + count[1], ARRAY_LEN(near));
    EXPECT(count[0] > 5 && count[1] > 5);
    pair_free(&pair);
}

TEST(an_orderly_close_is_read_as_the_end_after_the_last_byte)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10] = {0};
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "bye"), 3);
    io_handle_close(pair.a.io, &pair.near);
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, sizeof(text)), 3);
    EXPECT_TEXT(text, "bye");
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, sizeof(text)), 0);
    EXPECT_EQ(send_text(&pair.b, pair.far.fd, "hello?"), 6); /* nobody has said no yet */
    sim_world_run_for(pair.world, SECOND);
    EXPECT_EQ(send_text(&pair.b, pair.far.fd, "hello?"), -ECONNRESET);
    pair_free(&pair);
}

TEST(a_close_with_unread_bytes_resets_the_peer)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "x"), 1);
    sim_world_run_for(pair.world, SECOND);
    io_handle_close(pair.b.io, &pair.far);
    EXPECT_EQ(receive(&pair.a, pair.near.fd, text, sizeof(text)), -ECONNRESET);
    pair_free(&pair);
}

TEST(shutdown_ends_pending_receives)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    struct waiter waiter = {.iov = {text, sizeof(text)}};
    submit(&pair.a, &waiter, on_bytes(IO_RECV, pair.near.fd, &waiter.iov));
    sim_world_run_for(pair.world, SECOND);
    EXPECT(!waiter.is_awake);
    EXPECT_EQ(run(&pair.a, (struct io_op){.kind = IO_SHUTDOWN, .fd = pair.near.fd}), 0);
    EXPECT_EQ(wait_for(&pair.a, &waiter), 0);
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "x"), -EPIPE);
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, sizeof(text)), 0);
    pair_free(&pair);
}

TEST(a_receive_in_flight_keeps_a_closed_connection_open)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    struct waiter waiter = {.iov = {text, sizeof(text)}};
    submit(&pair.a, &waiter, on_bytes(IO_RECV, pair.near.fd, &waiter.iov));
    io_handle_close(pair.a.io, &pair.near);
    EXPECT_EQ(send_text(&pair.b, pair.far.fd, "late"), 4);
    EXPECT_EQ(wait_for(&pair.a, &waiter), 4);
    pair_free(&pair);
}

TEST(a_full_window_makes_the_sender_wait)
{
    struct pair pair;
    pair_new(&pair, 1);
    sim_world_net(pair.world)->window = 4;
    char text[10] = {0};
    struct waiter waiter = {.iov = {"more", 4}};
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "window"), 4);
    submit(&pair.a, &waiter, on_bytes(IO_SEND, pair.near.fd, &waiter.iov));
    sim_world_run_for(pair.world, SECOND);
    EXPECT(!waiter.is_awake);
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, sizeof(text)), 4);
    EXPECT_TEXT(text, "wind");
    EXPECT_EQ(wait_for(&pair.a, &waiter), 4);
    pair_free(&pair);
}

TEST(deadlines_and_cancels_end_what_waits)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    struct iovec iov = {text, sizeof(text)};
    struct io_op op = on_bytes(IO_RECV, pair.far.fd, &iov);
    op.deadline_ns = io_now(pair.b.io) + SECOND;
    EXPECT_EQ(run(&pair.b, op), -ETIME);
    EXPECT(io_now(pair.b.io) >= op.deadline_ns);
    struct waiter waiter = {0};
    op.deadline_ns = 0;
    submit(&pair.b, &waiter, op);
    sim_world_run_for(pair.world, SECOND);
    io_cancel(pair.b.io, &waiter.op);
    EXPECT_EQ(wait_for(&pair.b, &waiter), -ECANCELED);
    for (int i = 0; i < 20; i++) { /* before it had a chance to wait */
        struct io_handle handle;
        submit(&pair.b, &waiter, accept_op(pair.listener.fd, &handle, NULL));
        io_cancel(pair.b.io, &waiter.op);
        EXPECT_EQ(wait_for(&pair.b, &waiter), -ECANCELED);
    }
    op.deadline_ns = sim_world_now(pair.world) + SECOND;
    submit(&pair.b, &waiter, op); /* a deadline that is not needed */
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "now"), 3);
    EXPECT_EQ(wait_for(&pair.b, &waiter), 3);
    pair_free(&pair);
}

TEST(a_cancelled_connect_leaves_no_connection)
{
    unsigned cancelled = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pair pair;
        pair_new(&pair, seed);
        struct io_handle handle;
        struct waiter waiter = {0};
        submit(&pair.a, &waiter, connect_op(&handle, &pair.address));
        sim_world_run_for(pair.world, seed * 10000);
        if (waiter.is_awake) {
            pair_free(&pair);
            break;
        }
        io_cancel(pair.a.io, &waiter.op);
        EXPECT_EQ(wait_for(&pair.a, &waiter), -ECANCELED);
        EXPECT_EQ(handle.fd, IO_FD_NONE);
        cancelled++;
        io_handle_close(pair.b.io, &pair.listener);
        io_handle_close(pair.a.io, &pair.near);
        io_handle_close(pair.b.io, &pair.far);
        sim_world_run_for(pair.world, SECOND);
        EXPECT_EQ(sim_net_connection_count(pair.world), 0);
        pair_free(&pair);
    }
    EXPECT(cancelled > 5);
}

TEST(a_partition_stalls_and_a_heal_lets_everything_through)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10] = {0};
    struct waiter waiter = {.iov = {text, sizeof(text)}};
    submit(&pair.b, &waiter, on_bytes(IO_RECV, pair.far.fd, &waiter.iov));
    sim_net_partition(pair.a.node, pair.b.node);
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "hi"), 2);
    sim_world_run_for(pair.world, UINT64_C(2) * SECOND);
    EXPECT(!waiter.is_awake);
    sim_net_heal(pair.b.node, pair.a.node);
    EXPECT_EQ(wait_for(&pair.b, &waiter), 2);
    EXPECT_TEXT(text, "hi");
    pair_free(&pair);
}

TEST(a_long_partition_breaks_who_sends_and_leaves_who_listens_in_the_dark)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    struct waiter waiter = {.iov = {text, sizeof(text)}};
    submit(&pair.b, &waiter, on_bytes(IO_RECV, pair.far.fd, &waiter.iov));
    sim_net_partition(pair.a.node, pair.b.node);
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "hi"), 2);
    sim_world_run_for(pair.world, UINT64_C(20) * SECOND);
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "hi"), -ETIMEDOUT);
    EXPECT(!waiter.is_awake);
    struct io_handle handle;
    struct io_op op = connect_op(&handle, &pair.address);
    op.deadline_ns = io_now(pair.a.io) + SECOND;
    EXPECT_EQ(run(&pair.a, op), -ETIME);
    op = connect_op(&handle, &pair.address);
    EXPECT_EQ(run(&pair.a, op), -ETIMEDOUT);
    pair_free(&pair);
}

TEST(a_cut_goes_one_way)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10] = {0};
    struct waiter waiter = {.iov = {text, sizeof(text)}};
    sim_net_cut(pair.a.node, pair.b.node);
    EXPECT_EQ(send_text(&pair.b, pair.far.fd, "to a"), 4);
    EXPECT_EQ(receive(&pair.a, pair.near.fd, text, sizeof(text)), 4);
    submit(&pair.b, &waiter, on_bytes(IO_RECV, pair.far.fd, &waiter.iov));
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "to b"), 4);
    sim_world_run_for(pair.world, SECOND);
    EXPECT(!waiter.is_awake);
    sim_net_heal_all(pair.world);
    EXPECT_EQ(wait_for(&pair.b, &waiter), 4);
    pair_free(&pair);
}

TEST(a_clogged_link_delivers_when_it_is_free)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    sim_net_clog(pair.a.node, pair.b.node, UINT64_C(3) * SECOND);
    uint64_t before = sim_world_now(pair.world);
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "hi"), 2);
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, sizeof(text)), 2);
    EXPECT(sim_world_now(pair.world) - before >= UINT64_C(3) * SECOND);
    pair_free(&pair);
}

TEST(a_reset_breaks_both_ends)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[10];
    sim_net_reset(pair.b.node, pair.a.node);
    EXPECT_EQ(receive(&pair.a, pair.near.fd, text, sizeof(text)), -ECONNRESET);
    EXPECT_EQ(send_text(&pair.b, pair.far.fd, "x"), -ECONNRESET);
    struct pair other;
    pair_new(&other, 2);
    sim_world_net(other.world)->reset_per_million = 1000000;
    EXPECT_EQ(send_text(&other.a, other.near.fd, "x"), -ECONNRESET);
    EXPECT_EQ(receive(&other.b, other.far.fd, text, sizeof(text)), -ECONNRESET);
    pair_free(&other);
    pair_free(&pair);
}

TEST(a_corrupt_segment_differs_in_one_bit)
{
    struct pair pair;
    pair_new(&pair, 1);
    char text[4] = {0};
    sim_world_net(pair.world)->corrupt_per_million = 1000000;
    EXPECT_EQ(send_text(&pair.a, pair.near.fd, "abc"), 3);
    EXPECT_EQ(receive(&pair.b, pair.far.fd, text, 3), 3);
    unsigned bits = 0;
    for (size_t i = 0; i < 3; i++)
        bits += (unsigned)__builtin_popcount((unsigned)(text[i] ^ "abc"[i]) & 0xff);
    EXPECT_EQ(bits, 1);
    pair_free(&pair);
}

TEST(peers_of_a_node_that_dies_see_the_end_a_reset_or_nothing)
{
    unsigned ends = 0, resets = 0, nothing = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct pair pair;
        pair_new(&pair, seed);
        char text[10];
        struct waiter waiter = {.iov = {text, sizeof(text)}};
        submit(&pair.a, &waiter, on_bytes(IO_RECV, pair.near.fd, &waiter.iov));
        if (seed % 2)
            sim_node_kill(pair.b.node);
        else
            sim_node_power_loss(pair.b.node);
        sim_world_run_for(pair.world, SECOND);
        nothing += !waiter.is_awake;
        ends += waiter.is_awake && waiter.result == 0;
        resets += waiter.is_awake && waiter.result == -ECONNRESET;
        if (!waiter.is_awake) { /* once it is up again it does not know the connection */
            lab_boot(&pair.b);
            EXPECT_EQ(send_text(&pair.a, pair.near.fd, "hello?"), 6);
            EXPECT_EQ(wait_for(&pair.a, &waiter), -ECONNRESET);
        }
        EXPECT_EQ(sim_node_fd_count(pair.b.node), 0);
        pair_free(&pair);
    }
    EXPECT(ends > 20 && resets > 20 && nothing > 50);
}

TEST(unaccepted_connections_are_reset_when_the_listener_closes)
{
    struct pair pair;
    pair_new(&pair, 1);
    struct io_handle handle;
    char text[10];
    EXPECT(run(&pair.a, connect_op(&handle, &pair.address)) >= 0);
    io_handle_close(pair.b.io, &pair.listener);
    EXPECT_EQ(receive(&pair.a, handle.fd, text, sizeof(text)), -ECONNRESET);
    pair_free(&pair);
}

TEST(the_wrong_kind_of_descriptor_is_told)
{
    struct pair pair;
    pair_new(&pair, 1);
    struct io_handle handle;
    char text[10];
    EXPECT_EQ(receive(&pair.a, 99, text, sizeof(text)), -EBADF);
    EXPECT_EQ(receive(&pair.b, pair.listener.fd, text, sizeof(text)), -ENOTSOCK);
    EXPECT_EQ(run(&pair.a, accept_op(pair.near.fd, &handle, NULL)), -EINVAL);
    EXPECT_EQ(run(&pair.a, (struct io_op){.kind = IO_SYNC, .fd = pair.near.fd}), -EINVAL);
    pair_free(&pair);
}

static void sweep_talk(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    struct pair pair;
    struct io_handle extra;
    char text[4];
    (void)context;
    pair_world(&pair, world);
    make_calm(world);
    pair_connect(&pair);
    sim_attempt_arm(attempt, pair.a.io);
    int64_t connected = run(&pair.a, connect_op(&extra, &pair.address));
    int64_t sent = send_text(&pair.a, pair.near.fd, "abc");
    int64_t ended = run(&pair.a, (struct io_op){.kind = IO_SHUTDOWN, .fd = pair.near.fd});
    bool fired = sim_attempt_disarm(attempt);
    EXPECT_EQ(connected < 0 || sent < 0 || ended < 0, fired);
    if (sent == 3)
        EXPECT_EQ(receive(&pair.b, pair.far.fd, text, 3), 3);
    io_handle_close(pair.a.io, &extra);
    io_handle_close(pair.a.io, &pair.near);
    io_handle_close(pair.b.io, &pair.far);
    io_handle_close(pair.b.io, &pair.listener);
    sim_world_run_for(world, SECOND);
    EXPECT_EQ(sim_net_connection_count(world), 0);
}

TEST(a_refused_network_operation_leaks_nothing)
{
    EXPECT_EQ(sim_sweep(&(struct sim_sweep){.seed = 1, .run = sweep_talk}), 16);
}
