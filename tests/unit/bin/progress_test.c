/* The progress bar: what it says, and when it keeps quiet. */
#include "base/units.h"
#include "bin/progress.h"
#include "tests/lib/test.h"

static const char *drawn(const struct progress *progress)
{
    static char line[PROGRESS_WIDTH + 1];
    struct text text;
    text_init(&text, line, sizeof line);
    progress_format(progress, &text);
    return line;
}

TEST(a_known_total_gives_a_bar_and_the_time_left)
{
    struct progress progress = {.bytes_done = 50 * MIB,
        .bytes_total = 100 * MIB,
        .rate = (double)(10 * MIB),
        .files_done = 3,
        .files_total = 9};
    EXPECT_TEXT(
        drawn(&progress), "[##########----------]  50 %  50 MiB  10 MiB/s  3/9 files  ETA 5.0 s");
}

TEST(an_unknown_total_gives_amount_and_rate)
{
    struct progress progress = {.bytes_done = 5 * MIB, .rate = (double)MIB};
    EXPECT_TEXT(drawn(&progress), "5 MiB  1 MiB/s");
}

TEST(more_than_announced_is_not_more_than_all)
{
    struct progress progress = {.bytes_done = 300, .bytes_total = 100};
    EXPECT(strstr(drawn(&progress), "100 %") != NULL);
}

TEST(nothing_is_drawn_in_the_first_second_nor_without_a_terminal)
{
    static char screen[1024];
    FILE *to = fmemopen(screen, sizeof screen, "w");
    struct progress progress;
    progress_init(&progress, to, true);
    progress_tick(&progress, NS_PER_S);
    progress.bytes_done = MIB;
    progress_tick(&progress, 2 * NS_PER_S - 1);
    EXPECT_EQ(progress.drawn_ns, 0);
    progress_tick(&progress, 2 * NS_PER_S);
    EXPECT(progress.drawn_ns > 0 && screen[0] == '\r');
    progress_clear(&progress);
    EXPECT_EQ(progress.drawn_ns, 0);
    (void)fclose(to);
    progress_init(&progress, stderr, false);
    progress_tick(&progress, NS_PER_S);
    progress_tick(&progress, 9 * NS_PER_S);
    EXPECT_EQ(progress.drawn_ns, 0);
}
