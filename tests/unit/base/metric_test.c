/* The text that a scraper reads. */
#include "base/metric.h"
#include "base/units.h"
#include "tests/lib/test.h"

struct disk {
    uint64_t written, free_bytes, age_ns, busy_ns;
    struct timing sync;
    bool is_online;
};
static const struct metric table[] = {
    {METRIC_AT_COUNTER(struct disk, written), "cairn_bytes_total", "bytes", "way=\"in\""},
    {METRIC_AT_COUNTER(struct disk, free_bytes), "cairn_bytes_total", "bytes", "way=\"out\""},
    {METRIC_AT_GAUGE_NS(struct disk, age_ns), "cairn_age_seconds", "age", NULL},
    {METRIC_AT_COUNTER_NS(struct disk, busy_ns), "cairn_busy_seconds_total", "busy", NULL},
    {METRIC_AT_GAUGE_BOOL(struct disk, is_online), "cairn_online", "is it there", NULL},
};

static char data[16384];

static struct text *empty_text(void)
{
    static struct text text;
    text_init(&text, data, sizeof data);
    return &text;
}

TEST(each_family_is_named_once_and_every_object_is_a_sample)
{
    struct disk a = {.written = 5, .free_bytes = 2, .age_ns = 1500 * NS_PER_MS, .is_online = true};
    struct disk b = {.written = 6, .busy_ns = 7};
    struct metric_object objects[] = {{&a, NULL}, {&b, "mount=\"1\""}};
    metric_print(table, ARRAY_LEN(table), objects, 2, empty_text());
    EXPECT_TEXT(data, "# HELP cairn_bytes_total bytes\n"
                      "# TYPE cairn_bytes_total counter\n"
                      "cairn_bytes_total{way=\"in\"} 5\n"
                      "cairn_bytes_total{way=\"in\",mount=\"1\"} 6\n"
                      "cairn_bytes_total{way=\"out\"} 2\n"
                      "cairn_bytes_total{way=\"out\",mount=\"1\"} 0\n"
                      "# HELP cairn_age_seconds age\n"
                      "# TYPE cairn_age_seconds gauge\n"
                      "cairn_age_seconds 1.500000000\n"
                      "cairn_age_seconds{mount=\"1\"} 0.000000000\n"
                      "# HELP cairn_busy_seconds_total busy\n"
                      "# TYPE cairn_busy_seconds_total counter\n"
                      "cairn_busy_seconds_total 0.000000000\n"
                      "cairn_busy_seconds_total{mount=\"1\"} 0.000000007\n"
                      "# HELP cairn_online is it there\n"
                      "# TYPE cairn_online gauge\n"
                      "cairn_online 1\n"
                      "cairn_online{mount=\"1\"} 0\n");
}

TEST(a_family_without_objects_is_named_all_the_same)
{
    metric_print(&table[2], 1, NULL, 0, empty_text());
    EXPECT_TEXT(data, "# HELP cairn_age_seconds age\n# TYPE cairn_age_seconds gauge\n");
}

TEST(a_timing_is_a_histogram_whose_buckets_add_up)
{
    static const struct metric metric = {
        METRIC_AT_TIMING(struct disk, sync), "cairn_sync_seconds", "syncs", NULL};
    struct disk disk = {.is_online = true};
    timing_add(&disk.sync, 10);
    timing_add(&disk.sync, 20000);
    timing_add(&disk.sync, 100 * NS_PER_S);
    metric_print(&metric, 1, &(struct metric_object){&disk, "m=\"1\""}, 1, empty_text());
    EXPECT(strstr(data, "# TYPE cairn_sync_seconds histogram\n"
                        "cairn_sync_seconds_bucket{m=\"1\",le=\"0.000016384\"} 1\n"
                        "cairn_sync_seconds_bucket{m=\"1\",le=\"0.000032768\"} 2\n"));
    EXPECT(strstr(data, "cairn_sync_seconds_bucket{m=\"1\",le=\"68.719476736\"} 2\n"
                        "cairn_sync_seconds_bucket{m=\"1\",le=\"+Inf\"} 3\n"
                        "cairn_sync_seconds_sum{m=\"1\"} 100.000020010\n"
                        "cairn_sync_seconds_count{m=\"1\"} 3\n"));
    metric_sample_timing(&metric, &disk.sync, empty_text(), "%s", "");
    EXPECT(strstr(data, "cairn_sync_seconds_bucket{le=\"0.000016384\"} 1\n"));
}

TEST(a_sample_has_the_labels_of_its_row_and_its_own)
{
    struct text *text = empty_text();
    metric_sample(&table[0], 7, text, "peer=\"m%03u\"", 2);
    metric_sample(&table[2], 7, text, "%s", "");
    EXPECT_TEXT(data, "cairn_bytes_total{way=\"in\",peer=\"m002\"} 7\n"
                      "cairn_age_seconds 0.000000007\n");
}

TEST(the_value_of_a_label_cannot_break_its_quotes)
{
    metric_add_label_value(empty_text(), "/a\"b\\c\nd");
    EXPECT_TEXT(data, "/a\\\"b\\\\c\\nd");
}

TEST(what_finds_no_room_is_noticed)
{
    char small[40];
    struct text text;
    text_init(&text, small, sizeof small);
    metric_begin(&table[0], &text);
    EXPECT(text.is_cut);
}
