#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "io/loop.h"
#include "io/mailbox.h"
#include "tests/unit/io/fixture.h"

enum { ROUND_COUNT = 10000, LOOP_COUNT = 2 };

/* A ball that two loops post to each other. */
struct game {
    struct loop_group group;
    struct io_message ball;
    unsigned hits; /* travels with the ball: no lock, the mailbox orders it */
    unsigned hits_max;
    bool is_over[LOOP_COUNT]; /* each its loop's own */
    struct io_message whistle[LOOP_COUNT];
    int cpus[LOOP_COUNT];
};

static void whistle_hear(struct io *here, struct io_message *message)
{
    struct game *game = here->role;
    (void)message;
    game->is_over[here->loop_index] = true;
}

static void ball_hit(struct io *here, struct io_message *ball)
{
    struct game *game = here->role;
    uint16_t other = 1 - here->loop_index;
    if (++game->hits < game->hits_max) {
        io_post(here, loop_group_io(&game->group, other), ball);
        return;
    }
    for (uint16_t i = 0; i < LOOP_COUNT; i++) {
        game->whistle[i].deliver = whistle_hear;
        io_post(here, loop_group_io(&game->group, i), &game->whistle[i]);
    }
}

static void play(struct io *io, uint16_t loop_index, void *context)
{
    struct game *game = context;
    io->role = game;
    if (loop_index == 0)
        io_post(io, loop_group_io(&game->group, 1), &game->ball);
    while (!game->is_over[loop_index])
        io_turn(io, true);
    game->cpus[loop_index] = sched_getcpu();
}

static void game_play(bool first_here, bool pin)
{
    struct game game = {.ball = {.deliver = ball_hit}, .hits_max = ROUND_COUNT};
    int fds = fixture_fd_count();
    struct loop_group_options options = {
        .count = LOOP_COUNT, .entries = 16, .first_here = first_here, .pin = pin};
    EXPECT_OK(loop_group_start(&game.group, &options, play, &game));
    loop_group_join(&game.group);
    EXPECT_EQ(game.hits, ROUND_COUNT);
    EXPECT_EQ(fixture_fd_count(), fds);
    cpu_set_t allowed;
    EXPECT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (pin && CPU_COUNT(&allowed) >= LOOP_COUNT)
        EXPECT(game.cpus[0] != game.cpus[1]);
}

TEST(two_loops_pass_ten_thousand_messages)
{
    game_play(false, false);
}

TEST(pinned_loops_run_on_processors_of_their_own)
{
    game_play(false, true);
}

TEST(the_first_loop_can_run_on_the_calling_thread)
{
    game_play(true, false);
}

/* Many messages from several loops to one: all come, and those of one sender in its order. */
enum { SENDER_COUNT = 3, BATCH_COUNT = 2000 };

struct numbered {
    struct io_message message;
    uint16_t sender;
    unsigned number;
};

struct flood {
    struct loop_group group;
    struct numbered messages[SENDER_COUNT][BATCH_COUNT];
    unsigned next[SENDER_COUNT];
    unsigned received;
    bool is_in_order;
};

static void numbered_take(struct io *here, struct io_message *message)
{
    struct flood *flood = here->role;
    struct numbered *numbered = CONTAINER_OF(message, struct numbered, message);
    flood->is_in_order = flood->is_in_order && flood->next[numbered->sender]++ == numbered->number;
    flood->received++;
}

static void flood_send(struct io *io, struct flood *flood, uint16_t sender)
{
    for (unsigned i = 0; i < BATCH_COUNT; i++) {
        struct numbered *numbered = &flood->messages[sender][i];
        *numbered = (struct numbered){{.deliver = numbered_take}, sender, i};
        io_post(io, loop_group_io(&flood->group, SENDER_COUNT), &numbered->message);
    }
}

static void flood_run(struct io *io, uint16_t loop_index, void *context)
{
    struct flood *flood = context;
    io->role = flood;
    if (loop_index < SENDER_COUNT)
        flood_send(io, flood, loop_index);
    else
        while (flood->received < SENDER_COUNT * BATCH_COUNT)
            io_turn(io, true);
}

TEST(messages_of_one_sender_arrive_in_the_order_posted)
{
    static struct flood flood;
    flood.is_in_order = true;
    struct loop_group_options options = {.count = SENDER_COUNT + 1, .entries = 16};
    EXPECT_OK(loop_group_start(&flood.group, &options, flood_run, &flood));
    loop_group_join(&flood.group);
    EXPECT_EQ(flood.received, SENDER_COUNT * BATCH_COUNT);
    EXPECT(flood.is_in_order);
}

static void count_message(struct io *here, struct io_message *message)
{
    (void)message;
    ++*(unsigned *)here->role;
}

TEST(a_loop_can_post_to_itself)
{
    struct fixture fixture;
    unsigned count = 0;
    struct io_message messages[2] = {{.deliver = count_message}, {.deliver = count_message}};
    fixture_open(&fixture, &(struct backend_options){.entries = 8});
    fixture.io->role = &count;
    io_post(fixture.io, fixture.io, &messages[0]);
    io_post(fixture.io, fixture.io, &messages[1]);
    EXPECT_EQ(count, 0);
    io_turn(fixture.io, true);
    EXPECT_EQ(count, 2);
    fixture_close(&fixture);
}

/* The last message of a loop that ends right after: its wake-up must not be lost. */
struct parting {
    struct loop_group group;
    struct io_message hello, farewell;
    bool has_heard[LOOP_COUNT]; /* each its loop's own */
};

static void hear(struct io *here, struct io_message *message)
{
    struct parting *parting = here->role;
    (void)message;
    parting->has_heard[here->loop_index] = true;
}

static void part(struct io *io, uint16_t loop_index, void *context)
{
    struct parting *parting = context;
    struct io *other = loop_group_io(&parting->group, 1 - loop_index);
    io->role = parting;
    if (loop_index == 1)
        io_post(io, other, &parting->hello);
    while (!parting->has_heard[loop_index])
        io_turn(io, true);
    if (loop_index == 1)
        return;
    while (!fixture_is_asleep(other))
        (void)sched_yield();
    io_post(io, other, &parting->farewell);
}

TEST(the_last_message_of_a_loop_wakes_its_receiver)
{
    struct parting parting = {.hello = {.deliver = hear}, .farewell = {.deliver = hear}};
    struct loop_group_options options = {.count = LOOP_COUNT, .entries = 8};
    EXPECT_OK(loop_group_start(&parting.group, &options, part, &parting));
    loop_group_join(&parting.group);
    EXPECT(parting.has_heard[0] && parting.has_heard[1]);
}

static void *post_from_outside(void *context)
{
    static struct io_message message = {.deliver = count_message};
    struct io *io = context;
    while (!fixture_is_asleep(io))
        (void)sched_yield();
    io_post(io, io, &message);
    return NULL;
}

TEST(a_thread_without_a_loop_can_post)
{
    struct io *io;
    pthread_t thread;
    unsigned count = 0;
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 8}, &io));
    fixture_refuse_entry(io); /* to be woken, the loop needs an entry: it tries again */
    io->role = &count;
    EXPECT_EQ(pthread_create(&thread, NULL, post_from_outside, io), 0);
    io_turn(io, true); /* sleeps until it comes */
    EXPECT_EQ(count, 1);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    io->backend->free(io);
}

TEST(only_the_first_message_to_a_sleeper_asks_for_a_wake)
{
    struct mailbox mailbox;
    struct io_message messages[3];
    mailbox_init(&mailbox);
    EXPECT(mailbox_sleep(&mailbox));
    EXPECT(mailbox_push(&mailbox, &messages[0]));
    EXPECT(!mailbox_push(&mailbox, &messages[1]));
    mailbox_awake(&mailbox);
    EXPECT(!mailbox_push(&mailbox, &messages[2]));
    EXPECT(!mailbox_sleep(&mailbox)); /* there is something to do */
    struct io_message *message = mailbox_take(&mailbox);
    EXPECT(message == &messages[0] && message->next == &messages[1]);
    EXPECT(messages[1].next == &messages[2] && messages[2].next == NULL);
    EXPECT(mailbox_take(&mailbox) == NULL);
}

TEST(a_group_that_cannot_be_made_holds_nothing)
{
    struct game game = {.hits = 0};
    int fds = fixture_fd_count();
    struct loop_group_options options = {
        .count = LOOP_COUNT, .entries = 1 << 20, .backend = BACKEND_IO_URING};
    EXPECT_ERR(loop_group_start(&game.group, &options, play, &game), UNSUPPORTED);
    EXPECT_EQ(fixture_fd_count(), fds);
}
