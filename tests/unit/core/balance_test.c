/* Balance: each policy as a table, and the defects W43, W44, W45 of the ancestor as tests. */
#include "core/balance.h"
#include "tests/lib/test.h"

enum { GB = 1 << 30 };

static const struct balance_candidate four[] = {
    {.id = 1, .load = 9, .free_bytes = 5ull * GB, .reserve_bytes = 1ull * GB, .is_usable = true},
    {.id = 3, .load = 2, .free_bytes = 9ull * GB, .reserve_bytes = 1ull * GB, .is_usable = true},
    {.id = 4, .load = 2, .free_bytes = 9ull * GB, .reserve_bytes = 1ull * GB, .is_usable = true},
    {.id = 8, .load = 4, .free_bytes = 7ull * GB, .reserve_bytes = 1ull * GB, .is_usable = true},
};

/* The ids of the ranking as decimal digits: "3481" is 3, 4, 8, 1. */
static const char *ranking(const struct balance_request *request,
    const struct balance_candidate *candidates, size_t count, struct balance_cursor *cursor)
{
    static char digits[17];
    uint32_t ranked[16];
    size_t ranked_count = balance_rank(request, candidates, count, cursor, ranked, 16);
    for (size_t i = 0; i < ranked_count; i++)
        digits[i] = (char)('0' + candidates[ranked[i]].id);
    digits[ranked_count] = '\0';
    return digits;
}

static const char *four_by(enum balance_policy policy, struct balance_cursor *cursor)
{
    return ranking(&(struct balance_request){.policy = policy, .master_id = 8}, four, 4, cursor);
}

TEST(each_policy_ranks_as_its_name_says)
{
    static const struct {
        enum balance_policy policy;
        const char *first, *second, *third;
    } table[] = {
        {BALANCE_LOOP, "1348", "3481", "4813"},
        {BALANCE_MAXDISK, "3481", "3481", "3481"},
        {BALANCE_TURN, "1348", "1348", "1348"},
        {BALANCE_MASTER, "8341", "8341", "8341"},
        {BALANCE_LOAD, "3481", "3481", "3481"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct balance_cursor cursor = {0};
        EXPECT_TEXT(four_by(table[i].policy, &cursor), table[i].first);
        EXPECT_TEXT(four_by(table[i].policy, &cursor), table[i].second);
        EXPECT_TEXT(four_by(table[i].policy, &cursor), table[i].third);
    }
}

TEST(loop_comes_round_and_ranks_alike_in_any_order_of_candidates)
{
    struct balance_cursor cursor = {0}, shuffled_cursor = {0};
    struct balance_candidate shuffled[] = {four[2], four[0], four[3], four[1]};
    struct balance_request request = {.policy = BALANCE_LOOP};
    for (int i = 0; i < 9; i++) {
        char expected[17];
        (void)snprintf(expected, sizeof expected, "%s", ranking(&request, four, 4, &cursor));
        EXPECT_TEXT(ranking(&request, shuffled, 4, &shuffled_cursor), expected);
    }
    EXPECT_TEXT(four_by(BALANCE_LOOP, &cursor), "3481");
}

TEST(loop_goes_on_by_id_when_members_come_and_go)
{
    struct balance_cursor cursor = {0};
    EXPECT_TEXT(four_by(BALANCE_LOOP, &cursor), "1348");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &cursor), "3481");
    struct balance_candidate without_three[] = {four[0], four[2], four[3]};
    struct balance_request request = {.policy = BALANCE_LOOP};
    EXPECT_TEXT(ranking(&request, without_three, 3, &cursor), "481");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &cursor), "8134");
}

TEST(turn_stays_until_its_choice_is_unusable_then_takes_the_next)
{
    struct balance_cursor cursor = {0};
    struct balance_candidate now[] = {four[0], four[1], four[2], four[3]};
    struct balance_request request = {.policy = BALANCE_TURN};
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "1348");
    now[0].is_usable = false;
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "348");
    now[0].is_usable = true;
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "3481");
    now[1].free_bytes = now[1].reserve_bytes;
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "481");
}

TEST(a_master_that_is_unusable_or_unknown_gives_way_to_the_one_with_most_room)
{
    struct balance_cursor cursor = {0};
    struct balance_candidate now[] = {four[0], four[1], four[2], four[3]};
    struct balance_request request = {.policy = BALANCE_MASTER, .master_id = 1};
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "1348");
    now[0].is_usable = false;
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "348");
    request.master_id = 77;
    EXPECT_TEXT(ranking(&request, now, 4, &cursor), "348");
}

TEST(cursors_of_different_pools_do_not_disturb_each_other)
{
    struct balance_cursor images = {0}, logs = {0};
    EXPECT_TEXT(four_by(BALANCE_LOOP, &images), "1348");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &images), "3481");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &logs), "1348");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &images), "4813");
    EXPECT_TEXT(four_by(BALANCE_LOOP, &logs), "3481");
}

TEST(free_below_the_reserve_is_no_room_and_not_a_huge_one)
{
    struct balance_candidate now[] = {
        {.id = 1, .free_bytes = 10, .reserve_bytes = 11, .is_usable = true},
        {.id = 2, .free_bytes = 12, .reserve_bytes = 11, .is_usable = true},
    };
    EXPECT_EQ(balance_room(&now[0]), 0);
    for (unsigned policy = 0; policy < BALANCE_COUNT; policy++) {
        struct balance_cursor cursor = {0};
        struct balance_request request = {.policy = (enum balance_policy)policy, .master_id = 1};
        EXPECT_TEXT(ranking(&request, now, 2, &cursor), "2");
    }
}

TEST(room_for_the_size_is_needed_exactly)
{
    struct balance_candidate one = {
        .id = 1, .free_bytes = 100, .reserve_bytes = 40, .is_usable = true};
    struct balance_cursor cursor = {0};
    uint32_t index;
    EXPECT(balance_pick(&(struct balance_request){.size_bytes = 60}, &one, 1, &cursor, &index));
    EXPECT(!balance_pick(&(struct balance_request){.size_bytes = 61}, &one, 1, &cursor, &index));
    EXPECT(!balance_pick(
        &(struct balance_request){.size_bytes = UINT64_MAX}, &one, 1, &cursor, &index));
    one.free_bytes = one.reserve_bytes;
    EXPECT(!balance_pick(&(struct balance_request){0}, &one, 1, &cursor, &index));
}

TEST(nothing_fit_leaves_cursor_and_result_alone)
{
    struct balance_candidate now[] = {four[0], four[1]};
    now[0].is_usable = now[1].is_usable = false;
    for (unsigned policy = 0; policy < BALANCE_COUNT; policy++) {
        struct balance_cursor cursor = {.next_id = 5};
        uint32_t index = 99;
        struct balance_request request = {.policy = (enum balance_policy)policy, .master_id = 1};
        EXPECT(!balance_pick(&request, now, 2, &cursor, &index));
        EXPECT(!balance_pick(&request, NULL, 0, &cursor, &index));
        EXPECT_EQ(cursor.next_id, 5);
        EXPECT_EQ(index, 99);
    }
}

TEST(a_short_ranking_is_the_head_of_the_long_one)
{
    for (unsigned policy = 0; policy < BALANCE_COUNT; policy++) {
        struct balance_cursor long_cursor = {.next_id = 4}, short_cursor = {.next_id = 4};
        struct balance_request request = {.policy = (enum balance_policy)policy, .master_id = 8};
        uint32_t all[4], head[2];
        EXPECT_EQ(balance_rank(&request, four, 4, &long_cursor, all, 4), 4);
        EXPECT_EQ(balance_rank(&request, four, 4, &short_cursor, head, 2), 2);
        EXPECT_EQ(head[0], all[0]);
        EXPECT_EQ(head[1], all[1]);
        EXPECT_EQ(long_cursor.next_id, short_cursor.next_id);
    }
}

TEST(the_highest_id_does_not_stop_the_loop)
{
    struct balance_candidate now[] = {
        {.id = 0, .free_bytes = 1, .is_usable = true},
        {.id = UINT32_MAX, .free_bytes = 1, .is_usable = true},
    };
    struct balance_cursor cursor = {0};
    struct balance_request request = {.policy = BALANCE_LOOP};
    static const uint32_t expected[] = {0, 1, 0, 1, 0};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        uint32_t index;
        EXPECT(balance_pick(&request, now, 2, &cursor, &index));
        EXPECT_EQ(index, expected[i]);
    }
}

TEST(policies_are_parsed_by_their_printed_names)
{
    for (unsigned i = 0; i < BALANCE_COUNT; i++) {
        enum balance_policy policy = BALANCE_COUNT;
        EXPECT(balance_policy_parse(
            span_of_text(balance_policy_name((enum balance_policy)i)), &policy));
        EXPECT_EQ(policy, i);
    }
    enum balance_policy policy = BALANCE_TURN;
    EXPECT(!balance_policy_parse(span_of_text("Loop"), &policy));
    EXPECT(!balance_policy_parse(span_of_text(""), &policy));
    EXPECT_EQ(policy, BALANCE_TURN);
}
