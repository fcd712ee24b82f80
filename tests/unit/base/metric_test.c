/* Histograms against sorted values; merging; the text that a scraper reads. */
#include "base/metric.h"
#include "base/prng.h"
#include "base/units.h"
#include "tests/lib/test.h"

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

TEST(a_quantile_is_at_most_a_sixteenth_above_the_true_one)
{
    enum { COUNT = 5000 };
    static uint64_t values[COUNT];
    struct histogram histogram = {0};
    struct prng prng;
    prng_init(&prng, 8);
    for (int i = 0; i < COUNT; i++) {
        values[i] = prng_next(&prng) >> prng_below(&prng, 64);
        histogram_add(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare);
    for (uint32_t per_mille = 1; per_mille <= 1000; per_mille++) {
        uint64_t is = histogram_quantile(&histogram, per_mille * 1000);
        uint64_t should = values[per_mille * COUNT / 1000 - 1];
        EXPECT(is >= should && is - should <= should / 16);
    }
    EXPECT(histogram_quantile(&histogram, 1000000) == values[COUNT - 1]);
    EXPECT(histogram.min == values[0]);
}

TEST(the_least_and_the_greatest_number_have_a_bucket)
{
    struct histogram histogram = {0};
    EXPECT_EQ(histogram_quantile(&histogram, 500000), 0);
    histogram_add(&histogram, UINT64_MAX);
    EXPECT(histogram_quantile(&histogram, 500000) == UINT64_MAX);
    EXPECT_EQ(histogram.buckets[HISTOGRAM_BUCKETS - 1], 1);
    histogram_add(&histogram, 0);
    EXPECT_EQ(histogram_quantile(&histogram, 500000), 0);
    EXPECT_EQ(histogram.min, 0);
}

struct metrics {
    uint64_t finds, open, oldest_ns;
    struct histogram find_ns;
};
static const struct metric table[] = {
    {METRIC_AT_COUNTER(struct metrics, finds), "cairn_finds_total", "files found", NULL},
    {METRIC_AT_GAUGE(struct metrics, open), "cairn_held", "things held", "kind=\"fd\""},
    {METRIC_AT_GAUGE_MAX(struct metrics, oldest_ns), "cairn_held", "things held", "kind=\"age\""},
    {METRIC_AT_LATENCY(struct metrics, find_ns), "cairn_find_seconds", "time of a find", NULL},
};

TEST(the_metrics_of_several_loops_merge_into_one)
{
    static struct metrics a, b;
    a = (struct metrics){.finds = 3, .open = 1, .oldest_ns = 7};
    b = (struct metrics){.finds = 4, .open = 2, .oldest_ns = 5};
    histogram_add(&a.find_ns, 100);
    histogram_add(&b.find_ns, 10);
    histogram_add(&b.find_ns, 1000);
    metric_merge(table, ARRAY_LEN(table), &a, &b);
    EXPECT_EQ(a.finds, 7);
    EXPECT_EQ(a.open, 3);
    EXPECT_EQ(a.oldest_ns, 7);
    EXPECT_EQ(a.find_ns.count, 3);
    EXPECT_EQ(a.find_ns.sum, 1110);
    EXPECT_EQ(a.find_ns.min, 10);
    EXPECT_EQ(a.find_ns.max, 1000);
    static struct metrics empty;
    metric_merge(table, ARRAY_LEN(table), &empty, &a);
    EXPECT(memcmp(&empty, &a, sizeof a) == 0);
}

TEST(the_text_is_what_a_scraper_reads)
{
    static struct metrics metrics = {.finds = 5, .open = 2, .oldest_ns = 9};
    histogram_add(&metrics.find_ns, 1500 * NS_PER_MS);
    static char data[4096];
    struct text text;
    text_init(&text, data, sizeof data);
    metric_print(table, ARRAY_LEN(table), &metrics, &text);
    EXPECT_TEXT(data, "# HELP cairn_finds_total files found\n"
                      "# TYPE cairn_finds_total counter\n"
                      "cairn_finds_total 5\n"
                      "# HELP cairn_held things held\n"
                      "# TYPE cairn_held gauge\n"
                      "cairn_held{kind=\"fd\"} 2\n"
                      "cairn_held{kind=\"age\"} 9\n"
                      "# HELP cairn_find_seconds time of a find\n"
                      "# TYPE cairn_find_seconds summary\n"
                      "cairn_find_seconds{quantile=\"0.5\"} 1.500000000\n"
                      "cairn_find_seconds{quantile=\"0.9\"} 1.500000000\n"
                      "cairn_find_seconds{quantile=\"0.99\"} 1.500000000\n"
                      "cairn_find_seconds{quantile=\"0.999\"} 1.500000000\n"
                      "cairn_find_seconds_sum 1.500000000\n"
                      "cairn_find_seconds_count 1\n");
}
