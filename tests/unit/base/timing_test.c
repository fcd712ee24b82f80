/* Durations in buckets: the right one at every edge. */
#include "base/timing.h"
#include "tests/lib/test.h"

TEST(a_duration_lies_at_most_at_the_top_of_its_bucket)
{
    for (size_t i = 0; i + 1 < TIMING_BUCKETS; i++) {
        struct timing timing = {0};
        timing_add(&timing, timing_top_ns(i));
        EXPECT_EQ(timing.buckets[i], 1);
        timing_add(&timing, timing_top_ns(i) + 1);
        EXPECT_EQ(timing.buckets[i + 1], 1);
        EXPECT_EQ(timing.sum_ns, 2 * timing_top_ns(i) + 1);
    }
}

TEST(the_first_bucket_begins_at_nothing_and_the_last_has_no_top)
{
    struct timing timing = {0};
    timing_add(&timing, 0);
    EXPECT_EQ(timing.buckets[0], 1);
    timing_add(&timing, UINT64_MAX);
    EXPECT_EQ(timing.buckets[TIMING_BUCKETS - 1], 1);
    EXPECT_EQ(timing_top_ns(TIMING_BUCKETS - 1), UINT64_MAX);
    EXPECT_EQ(timing_count(&timing), 2);
}
