/* The text of /metrics as numbers, and what happened between two readings. */
#include "bin/top_sample.h"

#include <string.h>

#include "base/units.h"
#include "tests/lib/test.h"

static const char text[] = "# HELP cairn_time_seconds the server's own clock, unix time\n"
                           "cairn_time_seconds 100.5\n"
                           "cairn_state{state=\"initing\"} 0\n"
                           "cairn_state{state=\"running\"} 1\n"
                           "cairn_content_bytes_total{way=\"in\"} 1000\n"
                           "cairn_content_bytes_total{way=\"out\"} 70\n"
                           "cairn_connections{door=\"native\"} 3\n"
                           "cairn_connections{door=\"http\"} 4\n"
                           "cairn_peer_lag_seconds{peer=\"m002\"} 0.5\n"
                           "cairn_peer_lag_seconds{peer=\"m003\"} 2.5\n"
                           "cairn_held{kind=\"fd\"} 25\n"
                           "cairn_held{kind=\"mem\"} 181\n"
                           "cairn_operations_total{kind=\"find\",result=\"ok\"} 9\n"
                           "cairn_operations_total{kind=\"find\",result=\"not_found\"} 1\n"
                           "cairn_operations_total{kind=\"object\",result=\"io\"} 50\n"
                           "cairn_operation_seconds_bucket{kind=\"find\",le=\"0.000016384\"} 4\n"
                           "cairn_operation_seconds_bucket{kind=\"find\",le=\"0.000032768\"} 4\n"
                           "cairn_operation_seconds_bucket{kind=\"find\",le=\"0.000065536\"} 10\n"
                           "cairn_operation_seconds_bucket{kind=\"find\",le=\"+Inf\"} 10\n"
                           "cairn_mount_info{mount=\"3\",path=\"/a b} 7\"} 1\n"
                           "cairn_mount_online{mount=\"3\"} 1\n"
                           "cairn_mount_free_bytes{mount=\"3\"} 4096\n"
                           "cairn_mount_commit_seconds_bucket{mount=\"3\",le=\"0.001048576\"} 2\n"
                           "cairn_mount_commit_seconds_bucket{mount=\"3\",le=\"+Inf\"} 2\n";

static struct top_sample sample, before, since;

/* The buckets between those of the text are not in it: their counts are 0, and splitting must not go
 * below that. */
TEST(metrics_become_numbers)
{
    EXPECT(top_sample_parse(&sample, text));
    EXPECT_TEXT(sample.state, "running");
    EXPECT(sample.time > 100.4 && sample.time < 100.6);
    EXPECT(sample.bytes_in > 999 && sample.bytes_in < 1001);
    EXPECT(sample.bytes_out > 69 && sample.bytes_out < 71);
    EXPECT(sample.connections > 6.9 && sample.connections < 7.1);
    EXPECT(sample.lag > 2.4 && sample.lag < 2.6);
    EXPECT(sample.descriptors > 24 && sample.descriptors < 26);
    EXPECT(sample.errors > 0.9 && sample.errors < 1.1);
    EXPECT_EQ(sample.verbs[TOP_FIND].buckets[0], 4);
    EXPECT_EQ(sample.verbs[TOP_FIND].buckets[1], 0);
    EXPECT_EQ(sample.verbs[TOP_FIND].buckets[2], 6);
    EXPECT_EQ(sample.mount_count, 1);
    EXPECT_EQ(sample.mounts[0].index, 3);
    EXPECT(sample.mounts[0].free > 4095 && sample.mounts[0].free < 4097);
    EXPECT_EQ(sample.mounts[0].commits.buckets[6], 2);
}

TEST(what_is_no_storage_is_refused)
{
    EXPECT(!top_sample_parse(&sample, ""));
    EXPECT(!top_sample_parse(&sample, "cairn_time_seconds 100\n"));
    EXPECT(!top_sample_parse(&sample, "{\"role\":\"tracker\"}\n\n   \n"));
    EXPECT(!top_sample_parse(&sample, "cairn_state{state=\"a-very-long-state-that-is-none\"} 1\n"));
}

TEST(counters_become_differences_and_states_stay)
{
    EXPECT(top_sample_parse(&before, text) && top_sample_parse(&sample, text));
    sample.time += 2;
    sample.bytes_in += 500;
    sample.verbs[TOP_FIND].buckets[2] += 7;
    sample.mounts[0].commits.buckets[6] += 3;
    top_sample_since(&since, &before, &sample);
    EXPECT(since.time > 1.9 && since.time < 2.1);
    EXPECT(since.bytes_in > 499 && since.bytes_in < 501);
    EXPECT_EQ(timing_count(&since.verbs[TOP_FIND]), 7);
    EXPECT_EQ(timing_count(&since.mounts[0].commits), 3);
    EXPECT(since.connections > 6.9);
}

TEST(a_server_that_was_started_anew_counts_nothing_below_zero)
{
    EXPECT(top_sample_parse(&before, text) && top_sample_parse(&sample, text));
    sample.bytes_in = 5;
    memset(&sample.verbs, 0, sizeof sample.verbs);
    top_sample_since(&since, &before, &sample);
    EXPECT(since.bytes_in < 0.5);
    EXPECT_EQ(timing_count(&since.verbs[TOP_FIND]), 0);
}

TEST(a_quantile_lies_in_its_bucket)
{
    struct timing timing = {0};
    EXPECT_EQ(top_quantile_ns(&timing, 0.5), 0);
    timing.buckets[1] = 50;
    timing.buckets[5] = 50;
    EXPECT(top_quantile_ns(&timing, 0.25) > timing_top_ns(0));
    EXPECT(top_quantile_ns(&timing, 0.25) <= timing_top_ns(1));
    EXPECT_EQ(top_quantile_ns(&timing, 0.5), timing_top_ns(1));
    EXPECT(top_quantile_ns(&timing, 0.99) > timing_top_ns(4));
    EXPECT(top_quantile_ns(&timing, 0.99) < timing_top_ns(5));
}
