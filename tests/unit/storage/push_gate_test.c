/* Window and rate of pushes, and the memory of how far the log had come when. */
#include "base/units.h"
#include "storage/push_gate.h"
#include "storage/push_lag.h"
#include "tests/lib/test.h"

static uint64_t at(unsigned hour, unsigned minute)
{
    return (20000 * UINT64_C(86400) + hour * 3600 + minute * 60) * NS_PER_S;
}

TEST(a_window_is_two_times_of_day_or_nothing)
{
    static const char *const bad[] = {"22:00", "22:00-", "24:01-01:00", "1:00-02:00", "22:60-23:00",
        "22:00-23:00 ", "ab:00-01:00", "-", "22:00-25:00"};
    struct push_window window = {1, 2};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!push_window_parse(bad[i], &window));
    EXPECT_EQ(window.begin_s, 1); /* untouched */
    EXPECT(push_window_parse("", &window));
    EXPECT(push_window_is_open(&window, at(3, 0)));
    EXPECT(push_window_parse("22:30-24:00", &window));
    EXPECT_EQ(window.end_s, 86400);
}

TEST(a_window_is_open_from_its_begin_to_its_end_also_over_midnight)
{
    struct push_window window;
    EXPECT(push_window_parse("09:00-17:30", &window));
    EXPECT(!push_window_is_open(&window, at(8, 59)) && push_window_is_open(&window, at(9, 0)));
    EXPECT(push_window_is_open(&window, at(17, 29)) && !push_window_is_open(&window, at(17, 30)));
    EXPECT(push_window_parse("22:00-06:00", &window));
    EXPECT(push_window_is_open(&window, at(23, 59)) && push_window_is_open(&window, at(0, 0)));
    EXPECT(push_window_is_open(&window, at(5, 59)) && !push_window_is_open(&window, at(6, 0)));
    EXPECT(!push_window_is_open(&window, at(21, 59)));
}

TEST(a_rate_lets_through_what_it_says_whatever_the_size_of_a_piece)
{
    static const uint64_t sizes[] = {1000, 262144, 3000000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct push_rate rate;
        uint64_t sent = 0;
        push_rate_init(&rate, 1000000, 5);
        for (uint64_t now_ns = 5; now_ns < 100 * NS_PER_S; now_ns += 700 * NS_PER_US)
            while (push_rate_allows(&rate, now_ns)) {
                push_rate_spend(&rate, sizes[i]);
                sent += sizes[i];
            }
        EXPECT(sent >= 100 * 990000 && sent <= 102 * 1000000 + sizes[i]);
    }
}

TEST(no_rate_is_no_limit_and_long_rests_are_not_saved_up)
{
    struct push_rate rate;
    push_rate_init(&rate, 0, 0);
    push_rate_spend(&rate, UINT32_MAX);
    EXPECT(push_rate_allows(&rate, 0));
    push_rate_init(&rate, 1000000, 0);
    EXPECT(push_rate_allows(&rate, 100 * NS_PER_DAY));
    push_rate_spend(&rate, 1000000);
    EXPECT(!push_rate_allows(&rate, 100 * NS_PER_DAY));
}

static struct push_lag lag;

static uint64_t lag_ns(uint64_t lsn, uint64_t now_ns)
{
    uint64_t ret_ns, bytes;
    push_lag_of(&lag, lsn, now_ns, &ret_ns, &bytes);
    return ret_ns;
}

TEST(lag_is_the_age_of_the_first_record_that_is_missing)
{
    lag = (struct push_lag){0};
    EXPECT_EQ(lag_ns(0, NS_PER_S), 0);
    for (uint64_t second = 1; second <= 20; second++)
        push_lag_note(&lag, second * NS_PER_S, second * 10, second * 1000);
    EXPECT_EQ(lag_ns(200, 30 * NS_PER_S), 0);
    EXPECT_EQ(lag_ns(199, 30 * NS_PER_S), 10 * NS_PER_S);
    EXPECT_EQ(lag_ns(50, 30 * NS_PER_S), 24 * NS_PER_S);
    uint64_t ns, bytes;
    push_lag_of(&lag, 55, 30 * NS_PER_S, &ns, &bytes);
    EXPECT_EQ(bytes, 20000 - 5500);
}

TEST(a_long_lag_is_known_less_exactly_but_never_too_small)
{
    lag = (struct push_lag){0};
    for (uint64_t i = 1; i <= 100000; i++)
        push_lag_note(&lag, i * NS_PER_S, i, i);
    for (uint64_t lsn = 1; lsn < 100000; lsn += 777) {
        uint64_t told = lag_ns(lsn, 100000 * NS_PER_S), right = (100000 - lsn - 1) * NS_PER_S;
        EXPECT(told >= right && told <= right + 10000 * NS_PER_S);
    }
    push_lag_forget(&lag, 100000); /* all is held: exact again */
    push_lag_note(&lag, 100001 * NS_PER_S, 100001, 100001);
    EXPECT_EQ(lag_ns(100000, 100002 * NS_PER_S), NS_PER_S);
}
