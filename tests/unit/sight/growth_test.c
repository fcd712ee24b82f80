/* What is a leak, and what only comes and goes with the load. */
#include "sight/growth.h"
#include "tests/lib/test.h"

static const struct site place = {"src/x.c", "leaky", 7};
static struct growth growth;
static struct census census;

static void begin(void)
{
    memset(&growth, 0, sizeof growth);
    memset(&census, 0, sizeof census);
}

static const struct growth_series *step(
    unsigned number, uint64_t count, uint64_t late, uint64_t load)
{
    struct census_key key = {.site = &place, .operation = "find", .kind = HELD_SLOT};
    census_begin(&census, (uint64_t)number * 5 * NS_PER_S, 0);
    census.count = 1;
    census.rows[0] = (struct census_row){.key = key, .count = count, .late = late};
    growth_step(&growth, &census, load);
    return growth_find(&growth, &key);
}

TEST(late_things_that_only_become_more_are_a_leak_within_half_a_minute)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 5; i++)
        series = step(i, 10 * i, 10 * i, 4);
    EXPECT(growth_is_leak(series));
    EXPECT_EQ(growth_late_per_minute(series, 0), 120 * 1000);
}

TEST(what_grows_with_the_connections_is_no_leak)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 12; i++)
        series = step(i, 10 * i, 10 * i, 10 * i);
    EXPECT(!growth_is_leak(series));
}

TEST(what_comes_and_goes_is_no_leak)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 40; i++) {
        series = step(i, 30, i % 4 * 8, 4);
        EXPECT(!growth_is_leak(series));
    }
    EXPECT_EQ(growth_per_minute(series, 0), 0);
}

TEST(a_leak_stays_one_when_traffic_ends_and_is_over_when_it_was_given_back)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 6; i++)
        series = step(i, 10 * i, 10 * i, 4);
    for (unsigned i = 7; i <= 30; i++)
        series = step(i, 60, 60, 0);
    EXPECT(growth_is_leak(series));
    series = step(31, 3, 3, 0);
    EXPECT(!growth_is_leak(series));
}

TEST(one_outlier_does_not_move_the_slope)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 13; i++)
        series = step(i, i == 6 ? 5000 : 100 + i, 0, 4);
    EXPECT_EQ(growth_per_minute(series, 0), 12 * 1000);
}

TEST(slow_growth_shows_over_ten_minutes_and_an_hour)
{
    const struct growth_series *series = NULL;
    begin();
    for (unsigned i = 1; i <= 13 * 60; i++)
        series = step(i, 100 + i / 12, 0, 4);
    EXPECT(growth_per_minute(series, 1) > 900 && growth_per_minute(series, 1) < 1100);
    EXPECT(growth_per_minute(series, 2) > 900 && growth_per_minute(series, 2) < 1100);
}

TEST(forsaken_connections_count_when_they_stay)
{
    struct census_key key = {.site = &place, .operation = "connection", .kind = HELD_FD};
    begin();
    for (unsigned i = 1; i <= 8; i++) {
        census_begin(&census, (uint64_t)i * 5 * NS_PER_S, 0);
        census.count = 1;
        census.rows[0] = (struct census_row){.key = key, .count = 3, .forsaken = i != 4};
        growth_step(&growth, &census, 3);
        const struct growth_series *series = growth_find(&growth, &key);
        EXPECT_EQ(growth_is_forsaken(series), i == 8);
    }
}

TEST(rows_that_were_empty_for_an_hour_make_room)
{
    begin();
    (void)step(1, 5, 0, 0);
    struct census_key key = census.rows[0].key;
    for (unsigned i = 2; i < 800; i++) {
        census_begin(&census, (uint64_t)i * 5 * NS_PER_S, 0);
        growth_step(&growth, &census, 0);
    }
    EXPECT(growth_find(&growth, &key) == NULL);
    EXPECT_EQ(growth.count, 0);
}
