/* Quantiles of durations. */
#include "bin/latency.h"
#include "tests/lib/test.h"

TEST(quantiles_are_right_to_two_percent)
{
    static struct latency latency;
    latency = (struct latency){0};
    for (uint64_t i = 1; i <= 100000; i++)
        latency_add(&latency, i * 1000);
    uint64_t half = latency_quantile(&latency, 500), most = latency_quantile(&latency, 990);
    EXPECT(half >= 50000000 && half < 51000000);
    EXPECT(most >= 99000000 && most <= 100000000);
    EXPECT_EQ(latency_quantile(&latency, 1000), 100000000);
}

TEST(small_and_huge_values_have_their_place)
{
    static struct latency latency;
    latency = (struct latency){0};
    EXPECT_EQ(latency_quantile(&latency, 500), 0);
    latency_add(&latency, 0);
    EXPECT_EQ(latency_quantile(&latency, 1000), 0);
    latency_add(&latency, UINT64_MAX);
    EXPECT_EQ(latency_quantile(&latency, 500), 0);
    EXPECT(latency_quantile(&latency, 1000) == UINT64_MAX);
}

TEST(one_value_is_every_quantile)
{
    static struct latency latency;
    latency = (struct latency){0};
    latency_add(&latency, 12345);
    EXPECT_EQ(latency_quantile(&latency, 1), 12345);
    EXPECT_EQ(latency_quantile(&latency, 999), 12345);
}
