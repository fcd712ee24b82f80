/* The states of a storage: for each of them, which facts lead where. */
#include "core/readiness.h"

#include "tests/lib/test.h"

static struct readiness readiness;
static struct readiness_effects effects;

static void step(const struct readiness_facts *facts)
{
    readiness_step(&readiness, facts, &effects);
}

/* From the start with these facts; then it listens. */
static void start(struct readiness_facts facts)
{
    facts.can_fill = true;
    readiness_init(&readiness);
    step(&facts);
    if (effects.may_open) {
        facts.is_listening = true;
        step(&facts);
    }
}

/* What a storage whose disks are new finds. */
static const struct {
    struct readiness_facts facts;
    uint8_t state;
    enum readiness_wait wait;
} starts[] = {
    /* disks that were used before, nobody known: at once, trackers or not */
    {{.trackers = 2}, STATE_RUNNING, READINESS_WAITS_NOT},
    {{.trackers = 0}, STATE_RUNNING, READINESS_WAITS_NOT},
    /* new disks: somebody must have said that nobody else is there */
    {{.has_unfilled = true, .is_all_new = true, .trackers = 2}, STATE_INITING,
        READINESS_WAITS_FOR_TRACKER},
    {{.has_unfilled = true, .is_all_new = true, .trackers = 2, .trackers_answered = 1},
        STATE_RUNNING, READINESS_WAITS_NOT},
    {{.has_unfilled = true, .is_all_new = true, .trackers = 2, .is_alone = true}, STATE_RUNNING,
        READINESS_WAITS_NOT},
    {{.has_unfilled = true, .is_all_new = true}, STATE_RUNNING, READINESS_WAITS_NOT},
    /* one more disk of a storage that has always been alone */
    {{.has_unfilled = true, .trackers = 1}, STATE_RUNNING, READINESS_WAITS_NOT},
    /* new disks in a group with members: they are asked first */
    {{.has_unfilled = true, .members = 2, .pending = 1, .recalled = 1}, STATE_INITING,
        READINESS_WAITS_FOR_MEMBERS},
    {{.has_unfilled = true, .members = 2}, STATE_INITING, READINESS_WAITS_FOR_A_MEMBER},
    {{.has_unfilled = true, .members = 2, .is_alone = true}, STATE_DSYNCING,
        READINESS_WAITS_FOR_FILLING},
    {{.has_unfilled = true, .members = 2, .recalled = 1}, STATE_DSYNCING,
        READINESS_WAITS_FOR_FILLING},
    {{.has_unfilled = true, .members = 2, .recalled = 1, .is_outcast = true}, STATE_INITING,
        READINESS_WAITS_FOR_OPERATOR},
    /* used disks in a group with members: those that can be reached are followed first */
    {{.members = 2, .pending = 2}, STATE_CSYNCING, READINESS_WAITS_FOR_MEMBERS},
    {{.members = 2, .recalled = 2, .behind = 1}, STATE_CSYNCING, READINESS_WAITS_TO_CATCH_UP},
    {{.members = 2, .recalled = 2}, STATE_RUNNING, READINESS_WAITS_NOT},
    {{.members = 2}, STATE_RUNNING, READINESS_WAITS_NOT}, /* all were given up */
    {{.members = 2, .recalled = 1, .is_lost = true}, STATE_DSYNCING, READINESS_WAITS_FOR_FILLING},
    {{.is_outcast = true}, STATE_INITING, READINESS_WAITS_FOR_OPERATOR},
};

TEST(each_start_leads_where_the_table_says)
{
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        start(starts[i].facts);
        if (readiness.state != starts[i].state || readiness.wait != starts[i].wait)
            (void)fprintf(stderr, "  start %zu\n", i);
        EXPECT_EQ(readiness.state, starts[i].state);
        EXPECT_EQ(readiness.wait, starts[i].wait);
    }
}

TEST(nothing_is_opened_twice_and_it_listens_before_it_goes_on)
{
    struct readiness_facts facts = {0};
    readiness_init(&readiness);
    step(&facts);
    EXPECT(effects.may_open && effects.has_changed);
    EXPECT_EQ(readiness.state, STATE_ACCEPTING);
    step(&facts);
    EXPECT(!effects.may_open && !effects.has_changed);
    EXPECT_EQ(readiness.state, STATE_ACCEPTING);
    facts.is_listening = true;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_RUNNING);
    EXPECT(!effects.is_filled); /* they were not new */
}

TEST(new_disks_of_a_storage_that_is_alone_count_as_filled)
{
    start((struct readiness_facts){.has_unfilled = true, .is_all_new = true});
    EXPECT_EQ(readiness.state, STATE_RUNNING);
    EXPECT(effects.is_filled);
}

TEST(filling_begins_once_and_ends_in_catching_up)
{
    struct readiness_facts facts = {.has_unfilled = true, .members = 1, .recalled = 1, .behind = 1};
    start(facts);
    EXPECT(effects.begin_fill && !effects.is_filled);
    facts.is_listening = facts.can_fill = true;
    step(&facts);
    EXPECT(!effects.begin_fill && !effects.has_changed);
    facts.is_filling_over = true;
    step(&facts);
    EXPECT(effects.is_filled);
    EXPECT_EQ(readiness.state, STATE_DSYNCED);
    facts.has_unfilled = facts.is_filling_over = false;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_CSYNCING);
    EXPECT_EQ(readiness.wait, READINESS_WAITS_TO_CATCH_UP);
    facts.behind = 0;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_RUNNING);
}

TEST(where_nobody_can_fill_new_disks_they_are_followed_up_from_the_beginning)
{
    struct readiness_facts facts = {.has_unfilled = true, .members = 1, .recalled = 1};
    readiness_init(&readiness);
    step(&facts);
    facts.is_listening = true;
    facts.behind = 1;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_CSYNCING);
    facts.behind = 0;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_RUNNING);
}

TEST(an_earlier_filling_that_is_over_says_nothing_of_the_next)
{
    struct readiness_facts facts = {
        .members = 1, .recalled = 1, .is_lost = true, .is_filling_over = true};
    start(facts);
    EXPECT_EQ(readiness.state, STATE_DSYNCING);
    EXPECT(effects.begin_fill && !effects.is_filled);
}

TEST(who_runs_goes_on_running_when_others_come_lag_or_go)
{
    struct readiness_facts facts = {.members = 1, .recalled = 1, .is_listening = true};
    start(facts);
    facts.members = 5;
    facts.pending = 3;
    facts.behind = 2;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_RUNNING);
    EXPECT(!effects.has_changed);
}

TEST(a_running_storage_that_lost_state_is_filled_again)
{
    struct readiness_facts facts = {.members = 1, .recalled = 1, .is_listening = true};
    start(facts);
    facts.is_lost = facts.can_fill = true;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_DSYNCING);
    EXPECT(effects.begin_fill);
}

TEST(a_running_storage_that_was_removed_takes_nothing_more)
{
    struct readiness_facts facts = {.members = 1, .recalled = 1, .is_listening = true};
    start(facts);
    facts.is_outcast = true;
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_CSYNCING);
    EXPECT_EQ(readiness.wait, READINESS_WAITS_FOR_OPERATOR);
    step(&facts);
    EXPECT_EQ(readiness.state, STATE_CSYNCING);
}

TEST(it_closes_from_every_state_and_stays_closed)
{
    for (uint8_t state = STATE_INITING; state < STATE_CLOSING; state++) {
        readiness = (struct readiness){.state = state};
        step(&(struct readiness_facts){.is_closing = true});
        EXPECT_EQ(readiness.state, STATE_CLOSING);
        step(&(struct readiness_facts){.is_listening = true});
        EXPECT_EQ(readiness.state, STATE_CLOSING);
    }
}

TEST(every_wait_has_a_sentence)
{
    for (int wait = READINESS_WAITS_NOT + 1; wait < READINESS_WAIT_COUNT; wait++)
        EXPECT(strlen(readiness_wait_text((enum readiness_wait)wait)) > 20);
    EXPECT_TEXT(readiness_wait_text(READINESS_WAITS_NOT), "");
}
