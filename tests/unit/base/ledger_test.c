/* The ledger: what is held is counted, refused when it must be, and misuse is caught at the spot. */
#include "base/ledger.h"
#include "tests/lib/test.h"

static struct ledger ledger;
static struct owner owner;

static void set_up(void)
{
    ledger_init(&ledger);
    owner_open(&owner, "test", DIRECTION_REBUILD, 5);
}

TEST(an_entry_knows_its_site_owner_size_and_birth)
{
    set_up();
    struct held held = {0};
    ledger.now_ns = 77;
    EXPECT_OK(ledger_acquire(&ledger, &held, .kind = HELD_FD, .life = LIFE_SEGMENT, .size = 3,
        .handle = 9, .owner = &owner));
    EXPECT(strstr(held.site->file, "ledger_test.c") != NULL);
    EXPECT(held.owner == &owner);
    EXPECT_EQ(held.born_ns, 77);
    EXPECT_EQ(held.life, LIFE_SEGMENT);
    EXPECT_EQ(ledger.count[HELD_FD], 1);
    EXPECT_EQ(ledger.bytes[HELD_FD], 3);
    EXPECT_EQ(ledger.fd_max, 9);
    EXPECT_EQ(owner.held, 1);
    ledger_release(&ledger, &held, HELD_FD);
    EXPECT(!held_is_held(&held));
    EXPECT_EQ(ledger.bytes[HELD_FD], 0);
    EXPECT_EQ(ledger.count_max[HELD_FD], 1);
    owner_close(&owner);
    ledger_check_empty(&ledger);
}

TEST(the_limit_of_a_kind_refuses_the_next_and_only_of_that_kind)
{
    set_up();
    struct held a = {0}, b = {0}, c = {0};
    ledger.limit[HELD_CONN] = 1;
    EXPECT_OK(ledger_acquire(&ledger, &a, .kind = HELD_CONN, .owner = &owner));
    EXPECT_ERR(ledger_acquire(&ledger, &b, .kind = HELD_CONN, .owner = &owner), BUSY);
    EXPECT(!held_is_held(&b));
    EXPECT_OK(ledger_acquire(&ledger, &c, .kind = HELD_TIMER, .owner = &owner));
    ledger_enter(
        &ledger, &b, .kind = HELD_CONN, .owner = &owner); /* what exists is never refused */
    EXPECT_EQ(ledger.count[HELD_CONN], 2);
    ledger_release(&ledger, &b, HELD_CONN);
    ledger_release(&ledger, &a, HELD_CONN);
    ledger_release(&ledger, &c, HELD_TIMER);
}

static int refused_of_four(bool for_ever)
{
    int mask = 0;
    set_up();
    ledger.refusal = (struct refusal){.countdown = 2, .for_ever = for_ever};
    for (int i = 0; i < 4; i++) {
        struct held held = {0};
        if (err_is(ledger_acquire(&ledger, &held, .kind = HELD_MEM, .owner = &owner)))
            mask |= 1 << i;
        else
            ledger_release(&ledger, &held, HELD_MEM);
    }
    EXPECT_EQ(ledger.refusal.seen, 4);
    EXPECT(ledger.refusal.fired);
    return mask;
}

TEST(an_injected_refusal_fails_the_nth_acquisition_once_or_for_ever)
{
    EXPECT_EQ(refused_of_four(false), 2);
    EXPECT_EQ(refused_of_four(true), 2 + 4 + 8);
}

TEST(an_entry_can_pass_to_another_owner)
{
    set_up();
    struct held held = {0};
    struct owner other;
    owner_open(&other, "other", DIRECTION_CLIENT, 0);
    EXPECT_OK(ledger_acquire(&ledger, &held, .kind = HELD_SLOT, .owner = &owner));
    ledger_pass(&held, &other);
    owner_close(&owner);
    EXPECT_EQ(other.held, 1);
    ledger_release(&ledger, &held, HELD_SLOT);
    owner_close(&other);
}

static struct held shared;
static void release_as_map(void *context)
{
    ledger_release(context, &shared, HELD_MAP);
}
static void release_as_fd(void *context)
{
    ledger_release(context, &shared, HELD_FD);
}
static void acquire_again(void *context)
{
    (void)!err_is(ledger_acquire(context, &shared, .kind = HELD_FD, .owner = &owner));
}
static void close_owner(void *context)
{
    owner_close(context);
}
static void check_empty(void *context)
{
    ledger_check_empty(context);
}

TEST(releasing_as_another_kind_or_twice_and_ending_while_holding_are_caught)
{
    set_up();
    shared = (struct held){0};
    EXPECT_OK(ledger_acquire(&ledger, &shared, .kind = HELD_FD, .owner = &owner));
    EXPECT(test_fails_check(release_as_map, &ledger));
    EXPECT(test_fails_check(acquire_again, &ledger));
    EXPECT(test_fails_check(close_owner, &owner));
    EXPECT(test_fails_check(check_empty, &ledger));
    ledger_release(&ledger, &shared, HELD_FD);
    EXPECT(test_fails_check(release_as_fd, &ledger));
    ledger_check_empty(&ledger);
}

TEST(every_kind_direction_and_life_has_a_name)
{
    for (int i = 0; i < HELD_COUNT; i++)
        EXPECT(held_kind_name((enum held_kind)i)[0] != '\0');
    for (int i = 0; i < DIRECTION_COUNT; i++)
        EXPECT(direction_name((enum direction)i)[0] != '\0');
    for (int i = 0; i < LIFE_COUNT; i++)
        EXPECT(life_name((enum life)i)[0] != '\0');
    EXPECT_TEXT(direction_name(DIRECTION_SYNC_RECV), "sync-recv");
}
