/* Loops: completions, timers, messages, cancellation, time. */
#include "tests/unit/sim/lab.h"

#define NEW (IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE)

enum { SECOND = 1000000000 };

struct waiter {
    struct io_op op;
    int64_t result;
    unsigned wakes, *order, place;
};

static void woken(struct io_op *op)
{
    struct waiter *waiter = op->context;
    waiter->wakes++;
    waiter->result = op->result;
    if (waiter->order)
        waiter->place = ++*waiter->order;
}

static void submit(struct lab *lab, struct waiter *waiter, struct io_op op)
{
    waiter->op = op;
    waiter->op.owner = &lab->owner;
    waiter->op.wake = woken;
    waiter->op.context = waiter;
    io_submit(lab->io, &waiter->op);
}

static bool is_awake(void *context)
{
    return ((struct waiter *)context)->wakes > 0;
}

TEST(an_operation_completes_later_and_never_inside_submit)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle = IO_HANDLE_NONE;
    struct waiter waiter = {0};
    submit(&lab, &waiter,
        (struct io_op){.kind = IO_OPEN,
            .fd = IO_FD_NONE,
            .path = "/d/a",
            .open_flags = NEW,
            .ret_handle = &handle});
    EXPECT_EQ(waiter.wakes, 0);
    EXPECT(io_op_is_out(&waiter.op));
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT_EQ(waiter.wakes, 1);
    EXPECT(handle.fd >= 0 && !io_op_is_out(&waiter.op));
    io_handle_close(lab.io, &handle);
    ledger_check_empty(&lab.io->ledger);
    sim_loop_free(lab.io);
    EXPECT(sim_node_is_down(lab.node));
    lab_free(&lab);
}

TEST(a_caller_that_turns_its_own_loop_steps_the_world)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    submit(&lab, &waiter, (struct io_op){.kind = IO_TIMER, .deadline_ns = 5 * UINT64_C(1000000)});
    while (!waiter.wakes)
        io_turn(lab.io, true);
    EXPECT_EQ(waiter.result, 0);
    EXPECT(io_now(lab.io) >= 5 * UINT64_C(1000000));
    lab_free(&lab);
}

TEST(independent_operations_complete_in_different_orders)
{
    unsigned first_wins = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct waiter waiters[2] = {0};
        struct io_stat stat;
        unsigned order = 0;
        for (size_t i = 0; i < 2; i++) {
            waiters[i].order = &order;
            submit(&lab, &waiters[i],
                (struct io_op){.kind = IO_STAT, .fd = IO_FD_NONE, .path = "/d", .ret_stat = &stat});
        }
        sim_world_run_for(lab.world, SECOND);
        EXPECT_EQ(order, 2);
        first_wins += waiters[0].place == 1;
        lab_free(&lab);
    }
    EXPECT(first_wins > 20 && first_wins < 80);
}

TEST(timers_fire_at_their_time_in_their_order)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiters[3] = {0};
    unsigned order = 0;
    static const uint64_t deadlines[] = {3000000, 1000000, 2000000};
    for (size_t i = 0; i < 3; i++) {
        waiters[i].order = &order;
        submit(&lab, &waiters[i], (struct io_op){.kind = IO_TIMER, .deadline_ns = deadlines[i]});
    }
    sim_world_run_for(lab.world, 1000000 - 1);
    EXPECT_EQ(order, 0);
    sim_world_run_for(lab.world, SECOND);
    EXPECT_EQ(waiters[0].place, 3);
    EXPECT_EQ(waiters[1].place, 1);
    EXPECT_EQ(waiters[2].place, 2);
    lab_free(&lab);
}

TEST(a_cancelled_operation_comes_home_cancelled_or_as_it_happened)
{
    unsigned cancelled = 0, happened = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        struct waiter waiter = {0};
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        struct iovec iov = {"x", 1};
        submit(&lab, &waiter,
            (struct io_op){.kind = IO_WRITE, .fd = handle.fd, .iov = &iov, .iov_count = 1});
        io_cancel(lab.io, &waiter.op);
        EXPECT_EQ(waiter.wakes, 0);
        EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
        EXPECT_EQ(sim_file_size(lab.node, "/d/a"), waiter.result == 1 ? 1 : 0);
        EXPECT(waiter.result == 1 || waiter.result == -ECANCELED);
        cancelled += waiter.result == -ECANCELED;
        happened += waiter.result == 1;
        sim_world_run_for(lab.world, SECOND);
        EXPECT_EQ(waiter.wakes, 1);
        lab_free(&lab);
    }
    EXPECT(cancelled > 20 && happened > 20);
}

TEST(a_cancelled_sync_gives_no_promise)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        struct waiter waiter = {0};
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        EXPECT_EQ(lab_write(&lab, handle.fd, 0, "x", 1), 1);
        submit(&lab, &waiter, (struct io_op){.kind = IO_SYNC, .fd = handle.fd});
        io_cancel(lab.io, &waiter.op);
        EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
        EXPECT_EQ(sim_file_range_is_durable(lab.node, "/d/a", 0, 1), waiter.result == 0);
        lab_free(&lab);
    }
}

TEST(a_cancelled_timer_does_not_fire)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    submit(&lab, &waiter, (struct io_op){.kind = IO_TIMER, .deadline_ns = SECOND});
    io_cancel(lab.io, &waiter.op);
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND / 2));
    EXPECT_EQ(waiter.result, -ECANCELED);
    lab_free(&lab);
}

TEST(a_deadline_ends_a_slow_operation)
{
    unsigned late = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        struct waiter waiter = {0};
        char byte = 'x';
        struct iovec iov = {&byte, 1};
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        sim_mount_faults(lab.node, "/d")->latency_factor = 100;
        uint64_t deadline_ns = io_now(lab.io) + 1000;
        submit(&lab, &waiter,
            (struct io_op){.kind = IO_WRITE,
                .fd = handle.fd,
                .iov = &iov,
                .iov_count = 1,
                .deadline_ns = deadline_ns});
        EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
        EXPECT(waiter.result == -ETIME || waiter.result == 1);
        EXPECT_EQ(sim_file_size(lab.node, "/d/a"), waiter.result == 1);
        late += waiter.result == -ETIME;
        lab_free(&lab);
    }
    EXPECT(late > 20);
}

TEST(a_refused_ring_entry_comes_home_as_a_completion)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    lab.io->ledger.refusal.countdown = 1;
    submit(&lab, &waiter, (struct io_op){.kind = IO_TIMER, .deadline_ns = 1});
    EXPECT_EQ(waiter.wakes, 0);
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT_EQ(waiter.result, -ENOBUFS);
    lab_free(&lab);
}

TEST(a_closed_descriptor_is_a_bad_one)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    submit(&lab, &waiter, (struct io_op){.kind = IO_SYNC, .fd = 77});
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT_EQ(waiter.result, -EBADF);
    lab_free(&lab);
}

TEST(an_operation_in_flight_keeps_its_file_open)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    struct waiter waiter = {0};
    struct iovec iov = {"x", 1};
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    submit(&lab, &waiter,
        (struct io_op){.kind = IO_WRITE, .fd = handle.fd, .iov = &iov, .iov_count = 1});
    io_handle_close(lab.io, &handle);
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT_EQ(waiter.result, 1);
    EXPECT_EQ(sim_file_size(lab.node, "/d/a"), 1);
    lab_free(&lab);
}

struct letter {
    struct io_message message;
    struct io *at;
    unsigned *count, place;
};

static void arrived(struct io *here, struct io_message *message)
{
    struct letter *letter = CONTAINER_OF(message, struct letter, message);
    letter->at = here;
    letter->place = ++*letter->count;
}

TEST(messages_reach_another_loop_in_the_order_posted)
{
    struct lab lab = lab_new(1, NULL);
    struct io *other = sim_loop_new(lab.world, lab.node, 1);
    struct letter letters[5];
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        letters[i] = (struct letter){.message.deliver = arrived, .count = &count};
        io_post(lab.io, other, &letters[i].message);
    }
    EXPECT_EQ(count, 0);
    sim_world_run_for(lab.world, SECOND);
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        EXPECT(letters[i].at == other);
        EXPECT_EQ(letters[i].place, i + 1);
    }
    lab_free(&lab);
}

TEST(a_message_waits_for_a_paused_process)
{
    struct lab lab = lab_new(1, NULL);
    unsigned count = 0;
    struct letter letter = {.message.deliver = arrived, .count = &count};
    io_post(lab.io, lab.io, &letter.message);
    sim_node_pause(lab.node, SECOND);
    sim_world_run_for(lab.world, SECOND / 2);
    EXPECT_EQ(count, 0);
    sim_world_run_for(lab.world, SECOND);
    EXPECT_EQ(count, 1);
    lab_free(&lab);
}

TEST(messages_to_a_dead_process_go_nowhere)
{
    struct lab lab = lab_new(1, NULL);
    struct io *other = sim_loop_new(lab.world, lab.node, 1);
    unsigned count = 0;
    struct letter letter = {.message.deliver = arrived, .count = &count};
    io_post(lab.io, other, &letter.message);
    sim_node_kill(lab.node);
    io_post(lab.io, other, &letter.message);
    sim_world_run_for(lab.world, SECOND);
    EXPECT_EQ(count, 0);
    lab_free(&lab);
}

TEST(a_paused_process_sees_its_completions_when_it_runs_again)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    submit(&lab, &waiter, (struct io_op){.kind = IO_TIMER, .deadline_ns = 1000000});
    sim_node_pause(lab.node, SECOND);
    EXPECT(!sim_world_run_until(lab.world, is_awake, &waiter, SECOND - 1));
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT(io_now(lab.io) >= SECOND);
    lab_free(&lab);
}

TEST(wall_clocks_jump_and_drift)
{
    struct lab lab = lab_new(1, NULL);
    uint64_t wall = io_wall(lab.io);
    sim_node_clock_set(lab.node, -3600 * (int64_t)SECOND, 1000);
    EXPECT_EQ(wall - io_wall(lab.io), UINT64_C(3600) * SECOND);
    sim_world_run_for(lab.world, UINT64_C(1000) * SECOND);
    EXPECT_EQ(wall - io_wall(lab.io), (UINT64_C(3600) - 1001) * SECOND);
    lab_free(&lab);
}

TEST(run_until_stops_at_its_bound)
{
    struct lab lab = lab_new(1, NULL);
    struct waiter waiter = {0};
    submit(&lab, &waiter, (struct io_op){.kind = IO_TIMER, .deadline_ns = SECOND});
    EXPECT(!sim_world_run_until(lab.world, is_awake, &waiter, SECOND / 2));
    EXPECT_EQ(sim_world_now(lab.world), SECOND / 2);
    EXPECT(sim_world_run_until(lab.world, is_awake, &waiter, SECOND));
    EXPECT(!sim_world_step(lab.world)); /* nothing will ever happen */
    lab_free(&lab);
}
