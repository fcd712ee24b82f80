/* The book of members: joining, clashes of numbers, removal for ever, what is kept. */
#include "storage/roster.h"

#include "base/units.h"
#include "tests/lib/test.h"

static struct roster roster;
static const struct nonce own_uuid = {{0xee}};

static void set_up(void)
{
    roster_init(&roster, 100, &own_uuid, MEMBERS_MAX);
}

static struct member_entry entry_of(uint32_t machine, uint8_t uuid, uint8_t flags)
{
    static char addresses[256][32];
    (void)snprintf(addresses[machine], sizeof addresses[machine], "10.0.0.%u:7710", machine);
    return (struct member_entry){.machine = machine,
        .uuid = {{uuid}},
        .state = STATE_RUNNING,
        .flags = flags,
        .address = span_of_text(addresses[machine])};
}

static enum roster_news tell(uint32_t machine, uint8_t uuid, uint8_t flags)
{
    struct member_entry entry = entry_of(machine, uuid, flags);
    return roster_tell(&roster, &entry, false, NS_PER_S);
}

/* As it would be after a restart. */
static void keep_and_load(void)
{
    struct members_image image;
    roster_store(&roster, &image);
    EXPECT(members_image_is_valid(&image));
    set_up();
    roster_load(&roster, &image, NS_PER_S);
}

TEST(who_holds_something_becomes_a_member_and_is_kept)
{
    struct members members;
    set_up();
    uint64_t number = roster.number;
    EXPECT_EQ(tell(1, 1, MEMBER_ALIVE), ROSTER_JOINED);
    EXPECT(roster.is_unsaved && roster.number > number);
    EXPECT_EQ(tell(1, 1, MEMBER_ALIVE), ROSTER_SAME);
    EXPECT_EQ(tell(100, 0xee, MEMBER_ALIVE), ROSTER_SAME); /* itself */
    EXPECT_EQ(tell(2, 2, MEMBER_ALIVE | MEMBER_NEW), ROSTER_SAME);
    EXPECT_EQ(roster_member_count(&roster), 1);
    roster_copy(&roster, &members);
    EXPECT_EQ(members.count, 1);
    EXPECT(members.all[0].is_alive && members.all[0].state == STATE_RUNNING);
    EXPECT_EQ(members.all[0].address.port, 7710);
    keep_and_load();
    roster_copy(&roster, &members);
    EXPECT_EQ(members.count, 1);
    EXPECT_EQ(members.all[0].machine, 1);
    EXPECT_EQ(members.all[0].uuid.bytes[0], 1);
    EXPECT_EQ(members.all[0].address.bytes[3], 1);
    EXPECT(!members.all[0].is_alive); /* not heard of since */
}

TEST(silence_makes_nobody_leave)
{
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    uint64_t number = roster.number;
    roster_age(&roster, 5 * NS_PER_S, 5 * NS_PER_S);
    EXPECT(roster.all[0].member.is_alive && roster.number == number);
    roster_age(&roster, 6 * NS_PER_S, 5 * NS_PER_S);
    EXPECT(!roster.all[0].member.is_alive && roster.number > number);
    EXPECT_EQ(roster_member_count(&roster), 1);
}

TEST(a_number_belongs_to_one_uuid)
{
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    EXPECT_EQ(tell(1, 2, MEMBER_ALIVE), ROSTER_CLASH);
    EXPECT_EQ(tell(1, 2, MEMBER_ALIVE), ROSTER_SAME); /* told once */
    EXPECT_EQ(tell(1, 3, MEMBER_ALIVE), ROSTER_CLASH);
    EXPECT_EQ(roster.all[0].member.uuid.bytes[0], 1);
    EXPECT(roster.all[0].clash_ns > 0);
    EXPECT_EQ(roster.all[0].clash_uuid.bytes[0], 3);
}

TEST(who_was_removed_never_comes_back_and_its_number_may_be_given_again)
{
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    tell(2, 2, MEMBER_ALIVE);
    EXPECT_ERR(roster_remove(&roster, 7), NOT_FOUND);
    EXPECT_OK(roster_remove(&roster, 1));
    EXPECT_ERR(roster_remove(&roster, 1), NOT_FOUND);
    EXPECT(roster.all[0].member.is_removed);
    EXPECT_EQ(roster_member_count(&roster), 1);
    EXPECT_EQ(tell(1, 1, MEMBER_ALIVE), ROSTER_OUTCAST);
    keep_and_load();
    EXPECT_EQ(roster.count, 1);
    EXPECT_EQ(tell(1, 1, MEMBER_ALIVE), ROSTER_OUTCAST);
    EXPECT_EQ(tell(1, 1, 0), ROSTER_SAME);
    EXPECT_EQ(tell(1, 9, MEMBER_ALIVE), ROSTER_JOINED);
    EXPECT_EQ(tell(1, 1, MEMBER_ALIVE), ROSTER_OUTCAST);
    EXPECT_EQ(roster_member_count(&roster), 2);
}

TEST(a_number_that_is_used_again_keeps_its_place_for_the_loops)
{
    struct members members;
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    tell(2, 2, MEMBER_ALIVE);
    EXPECT_OK(roster_remove(&roster, 1));
    EXPECT_EQ(tell(1, 9, MEMBER_ALIVE), ROSTER_REPLACED);
    roster_copy(&roster, &members);
    EXPECT_EQ(members.count, 2);
    EXPECT_EQ(members.all[0].uuid.bytes[0], 9);
    EXPECT(!members.all[0].is_removed);
}

TEST(a_removal_that_another_member_tells_counts_here_too)
{
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    EXPECT_EQ(tell(1, 1, MEMBER_REMOVED), ROSTER_CHANGED);
    EXPECT(roster.all[0].member.is_removed);
    EXPECT_EQ(tell(1, 1, MEMBER_REMOVED), ROSTER_SAME);
    EXPECT_EQ(tell(5, 5, MEMBER_REMOVED), ROSTER_CHANGED); /* never seen alive here */
    EXPECT_EQ(tell(5, 5, MEMBER_ALIVE), ROSTER_OUTCAST);
    EXPECT(!roster.is_outcast);
    EXPECT_EQ(tell(100, 0xdd, MEMBER_REMOVED), ROSTER_CHANGED); /* an earlier one of this number */
    EXPECT(!roster.is_outcast);
    EXPECT_EQ(tell(100, 0xee, MEMBER_REMOVED), ROSTER_CHANGED);
    EXPECT(roster.is_outcast);
}

TEST(a_table_that_is_full_takes_nobody_and_forgets_nobody)
{
    roster_init(&roster, 100, &own_uuid, 2);
    tell(1, 1, MEMBER_ALIVE);
    tell(2, 2, MEMBER_ALIVE);
    EXPECT_EQ(tell(3, 3, MEMBER_ALIVE), ROSTER_FULL);
    for (uint8_t i = 0; i < ROSTER_OUTCASTS_MAX; i++)
        EXPECT_EQ(tell(50, (uint8_t)(100 + i), MEMBER_REMOVED), ROSTER_CHANGED);
    EXPECT_EQ(tell(50, 99, MEMBER_REMOVED), ROSTER_FULL);
    EXPECT_ERR(roster_remove(&roster, 1), BUSY);
    EXPECT(!roster.all[0].member.is_removed);
    keep_and_load();
    EXPECT_EQ(roster_member_count(&roster), 2);
    EXPECT_EQ(roster.outcast_count, ROSTER_OUTCASTS_MAX);
}

TEST(only_the_living_move)
{
    set_up();
    tell(1, 1, MEMBER_ALIVE);
    struct member_entry stale = entry_of(1, 1, 0);
    stale.address = span_of_text("10.0.0.99:1");
    EXPECT_EQ(roster_tell(&roster, &stale, false, NS_PER_S), ROSTER_SAME);
    EXPECT_EQ(roster.all[0].member.address.bytes[3], 1);
    EXPECT_EQ(roster_tell(&roster, &stale, true, NS_PER_S), ROSTER_CHANGED); /* says it itself */
    EXPECT_EQ(roster.all[0].member.address.bytes[3], 99);
    stale.flags = MEMBER_ALIVE;
    stale.address = span_of_text("10.0.0.98:0"); /* does not listen yet */
    EXPECT_EQ(roster_tell(&roster, &stale, false, NS_PER_S), ROSTER_SAME);
}

TEST(draining_is_kept)
{
    set_up();
    roster.is_draining = true;
    keep_and_load();
    EXPECT(roster.is_draining);
}
