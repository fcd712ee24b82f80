#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/signal.h"
#include "tests/unit/io/fixture.h"

static const struct backend_options plain_options = {.entries = 16};

struct heard {
    unsigned count[SIGNAL_WISH_RELOAD + 1];
    bool ends_at_first;
};

static void hear(struct signal_watch *watch, enum signal_wish wish)
{
    struct heard *heard = watch->context;
    heard->count[wish]++;
    if (heard->ends_at_first)
        signal_unwatch(watch);
}

static void wait_for(struct fixture *fixture, const unsigned *count, unsigned wanted)
{
    for (unsigned turns = 0; *count < wanted; turns++) {
        EXPECT(turns < 1000);
        io_turn(fixture->io, true);
    }
}

static void wait_until_idle(struct fixture *fixture, const struct signal_watch *watch)
{
    for (unsigned turns = 0; !signal_watch_is_idle(watch); turns++) {
        EXPECT(turns < 1000);
        io_turn(fixture->io, true);
    }
}

TEST(each_signal_is_heard_as_its_wish)
{
    struct fixture fixture;
    struct signal_watch watch;
    struct heard heard = {.count = {0, 0}};
    signal_block();
    fixture_open(&fixture, &plain_options);
    EXPECT_OK(signal_watch(fixture.io, &watch, hear, &heard));
    io_turn(fixture.io, false);
    EXPECT_EQ(kill(getpid(), SIGTERM), 0);
    wait_for(&fixture, &heard.count[SIGNAL_WISH_END], 1);
    EXPECT_EQ(kill(getpid(), SIGHUP), 0);
    wait_for(&fixture, &heard.count[SIGNAL_WISH_RELOAD], 1);
    EXPECT_EQ(kill(getpid(), SIGINT), 0);
    wait_for(&fixture, &heard.count[SIGNAL_WISH_END], 2);
    signal_unwatch(&watch);
    signal_unwatch(&watch); /* once more: nothing */
    wait_until_idle(&fixture, &watch);
    EXPECT(heard.count[SIGNAL_WISH_END] == 2 && heard.count[SIGNAL_WISH_RELOAD] == 1);
    fixture_close(&fixture);
}

TEST(a_watch_can_end_in_its_callback)
{
    struct fixture fixture;
    struct signal_watch watch;
    struct heard heard = {.ends_at_first = true};
    signal_block();
    fixture_open(&fixture, &plain_options);
    EXPECT_OK(signal_watch(fixture.io, &watch, hear, &heard));
    EXPECT_EQ(kill(getpid(), SIGTERM), 0);
    wait_until_idle(&fixture, &watch);
    EXPECT_EQ(heard.count[SIGNAL_WISH_END], 1);
    fixture_close(&fixture);
}

TEST(a_refusal_loses_no_signal)
{
    struct fixture fixture;
    struct signal_watch watch;
    struct heard heard = {.count = {0, 0}};
    signal_block();
    fixture_open(&fixture, &plain_options);
    fixture.io->ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT_OK(signal_watch(fixture.io, &watch, hear, &heard));
    EXPECT(fixture.io->ledger.refusal.fired);
    EXPECT_EQ(kill(getpid(), SIGHUP), 0);
    wait_for(&fixture, &heard.count[SIGNAL_WISH_RELOAD], 1);
    signal_unwatch(&watch);
    wait_until_idle(&fixture, &watch);
    fixture_close(&fixture);
}

TEST(a_watch_without_a_descriptor_is_refused)
{
    struct fixture fixture;
    struct signal_watch watch;
    fixture_open(&fixture, &plain_options);
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {3, before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    err_t err = signal_watch(fixture.io, &watch, hear, NULL);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_ERR(err, NO_RESOURCE);
    fixture_close(&fixture);
}

/* A signal that comes while two loops run goes to the loop that watches. */
struct two {
    struct loop_group group;
    struct heard heard;
    struct io_message stop[2];
    bool is_over[2];
};

static void two_stop(struct io *here, struct io_message *message)
{
    struct two *two = here->role;
    (void)message;
    two->is_over[here->loop_index] = true;
}

static void two_run(struct io *io, uint16_t loop_index, void *context)
{
    struct two *two = context;
    struct signal_watch watch;
    io->role = two;
    if (loop_index == 0) {
        EXPECT_OK(signal_watch(io, &watch, hear, &two->heard));
        (void)kill(getpid(), SIGTERM);
        while (two->heard.count[SIGNAL_WISH_END] == 0)
            io_turn(io, true);
        signal_unwatch(&watch);
        while (!signal_watch_is_idle(&watch))
            io_turn(io, true);
        io_post(io, loop_group_io(&two->group, 1), &two->stop[1]);
        return;
    }
    while (!two->is_over[loop_index])
        io_turn(io, true);
}

TEST(with_two_loops_the_one_that_watches_hears)
{
    static struct two two = {.stop = {[1] = {.deliver = two_stop}}};
    signal_block();
    struct loop_group_options options = {.count = 2, .entries = 16, .first_here = true};
    EXPECT_OK(loop_group_start(&two.group, &options, two_run, &two));
    loop_group_join(&two.group);
    EXPECT_EQ(two.heard.count[SIGNAL_WISH_END], 1);
}
