/* The screen of `cairn top`: 80 columns, whatever the numbers. */
#include "bin/top_screen.h"

#include <string.h>

#include "base/units.h"
#include "tests/lib/test.h"

static char data[65536];
static struct top_row rows[3];

static const char *format(const struct top_screen *screen, size_t lines)
{
    struct text text;
    text_init(&text, data, sizeof data);
    top_screen_format(screen, lines, &text);
    return data;
}

static size_t longest_line(const char *text)
{
    size_t longest = 0;
    for (size_t size; *text != '\0'; text += size + (text[size] == '\n')) {
        size = strcspn(text, "\n");
        longest = size > longest ? size : longest;
    }
    return longest;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static struct top_screen screen_of(size_t count)
{
    return (struct top_screen){.health = "HEALTH_WARN",
        .colour = "",
        .plain = "",
        .clock = "20:13:38",
        .running = 2,
        .storages = 3,
        .free_bytes = 1000 * GIB,
        .total_bytes = 2000 * GIB,
        .rows = rows,
        .count = count};
}

/* Two that answer, with everything at `scale`; one that does not. */
static void fill(double scale)
{
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < 3; i++) {
        struct top_sample *since = &rows[i].since;
        (void)snprintf(rows[i].name, sizeof rows[i].name, "m%03zu", i + 1);
        rows[i].is_there = i < 2;
        *since = (struct top_sample){.state = "accepting", .time = 2, .errors = scale};
        since->bytes_in = since->bytes_out = since->sent = scale * 1e6;
        since->lag = since->lag_records = scale;
        since->descriptors = 250;
        since->descriptor_limit = 1000;
        since->cpu = 1;
        since->verbs[TOP_FIND].buckets[TIMING_BUCKETS - 2] = (uint64_t)scale;
        since->verbs[TOP_UPLOAD].buckets[3] = (uint64_t)scale;
        since->mount_count = 1;
        since->mounts[0] = (struct top_mount){.index = 255,
            .online = i == 0,
            .total = scale * 1e6,
            .free = scale * 1e5,
            .files = scale,
            .log_bytes = scale * 1e3,
            .commits.buckets[9] = (uint64_t)scale};
    }
}

TEST(no_line_is_longer_than_eighty_columns_whatever_the_numbers)
{
    static const double scales[] = {0, 1, 99, 1001, 123456, 9999999, 1e12};
    for (size_t i = 0; i < ARRAY_LEN(scales); i++) {
        struct top_screen screen = screen_of(3);
        fill(scales[i]);
        EXPECT(longest_line(format(&screen, 0)) <= TOP_COLUMNS);
    }
}

TEST(rates_latencies_lag_disks_and_budget_are_there)
{
    struct top_screen screen = screen_of(3);
    fill(2000);
    format(&screen, 0);
    EXPECT(strstr(data, "cairn top 20:13:38  HEALTH_WARN  2/3 running  "));
    EXPECT(strstr(data, "per second      2.0k      2.0k         0"));
    EXPECT(strstr(data, "\nm001   accepting   2.0k   1.0k "));
    EXPECT(strstr(data, " 25%    -   50%\n"));
    EXPECT(strstr(data, "\nm003   does not answer\n"));
    EXPECT(strstr(data, "\nm001/255 online "));
    EXPECT(strstr(data, "\nm002/255 OUT "));
    EXPECT(!strstr(data, "m003/255"));
    EXPECT(!strstr(data, "damage"));
    rows[0].since.corrupt = 3;
    EXPECT(strstr(format(&screen, 0), "damage     3 damaged reads"));
}

TEST(a_low_window_shows_what_fits_and_says_so)
{
    struct top_screen screen = screen_of(3);
    fill(5);
    size_t all = count_lines(format(&screen, 0));
    EXPECT_EQ(count_lines(format(&screen, 10)), 10);
    char last[80];
    (void)snprintf(last, sizeof last, "\nand %zu lines more: make the window higher\n", all - 9);
    EXPECT(strstr(data, last));
    EXPECT_EQ(count_lines(format(&screen, all)), all);
    EXPECT(!strstr(data, "lines more"));
}
