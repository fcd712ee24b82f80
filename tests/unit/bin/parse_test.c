/* Words of the command line: what is understood, and what is not understood by half. */
#include "base/units.h"
#include "bin/parse.h"
#include "tests/lib/test.h"
#include "wire/msg.h"

TEST(sizes_know_binary_and_decimal_units)
{
    uint64_t size = 7;
    EXPECT(parse_size("4096", &size) && size == 4096);
    EXPECT(parse_size("64K", &size) && size == 64 * KIB);
    EXPECT(parse_size("64KiB", &size) && size == 64 * KIB);
    EXPECT(parse_size("2kB", &size) && size == 2000);
    EXPECT(parse_size("3G", &size) && size == 3 * GIB);
}

TEST(what_is_no_size_leaves_the_result_alone)
{
    uint64_t size = 7;
    const char *bad[] = {"", "K", "-1", "1 K", "1X", "1Kx", "99999999999999999999", "20000000T"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!parse_size(bad[i], &size));
    EXPECT_EQ(size, 7);
}

TEST(durations_are_seconds_unless_they_say_otherwise)
{
    uint64_t ns;
    EXPECT(parse_duration("10", &ns) && ns == 10 * NS_PER_S);
    EXPECT(parse_duration("500ms", &ns) && ns == NS_PER_S / 2);
    EXPECT(parse_duration("2h", &ns) && ns == 2 * NS_PER_HOUR);
    EXPECT(!parse_duration("2w", &ns));
}

TEST(a_range_includes_both_ends_and_may_be_open)
{
    struct byte_range range;
    EXPECT(parse_range("0-0", &range) && range.offset == 0 && range.size == 1);
    EXPECT(parse_range("100-199", &range) && range.offset == 100 && range.size == 100);
    EXPECT(parse_range("5-", &range) && range.offset == 5 && range.size == 0);
    const char *bad[] = {"", "5", "-5", "9-8", "1-2-3", "a-b", "0-18446744073709551615"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!parse_range(bad[i], &range));
}

TEST(slack_is_percent_or_bytes)
{
    uint32_t slack;
    EXPECT(parse_slack("20%", &slack) && slack == 20);
    EXPECT(parse_slack("4K", &slack) && slack == (4096 | SLACK_IS_BYTES));
    EXPECT(parse_slack("0", &slack) && slack == 0);
    EXPECT(!parse_slack("1001%", &slack));
    EXPECT(!parse_slack("2G", &slack));
    EXPECT(!parse_slack("%", &slack));
}

TEST(a_version_is_counter_dot_machine)
{
    struct version version;
    EXPECT(parse_version("12.3", &version) && version.counter == 12 && version.machine == 3);
    EXPECT(!parse_version("12", &version));
    EXPECT(!parse_version("12.", &version));
    EXPECT(!parse_version("12.4294967296", &version));
}

TEST(a_time_is_a_date_a_number_or_so_long_ago)
{
    uint64_t ns;
    EXPECT(parse_time("1700000000", 0, &ns) && ns == 1700000000 * NS_PER_S);
    EXPECT(parse_time("1970-01-02", 0, &ns) && ns == NS_PER_DAY);
    EXPECT(parse_time("2024-02-29T12:30:15Z", 0, &ns) && ns == 1709209815 * NS_PER_S);
    EXPECT(parse_time("2000-03-01", 0, &ns) && ns == 951868800 * NS_PER_S);
    EXPECT(parse_time("2h", 3 * NS_PER_HOUR, &ns) && ns == NS_PER_HOUR);
    EXPECT(parse_time("2h", NS_PER_HOUR, &ns) && ns == 0);
    const char *bad[] = {
        "2024-13-01", "2024-02", "yesterday", "2024-02-29X", "2024-02-29T1:00", ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!parse_time(bad[i], 0, &ns));
}

TEST(acknowledgements_have_four_names)
{
    uint8_t ack;
    EXPECT(parse_ack("memory", &ack) && ack == ACK_MEMORY);
    EXPECT(parse_ack("all", &ack) && ack == ACK_ALL);
    EXPECT(!parse_ack("none", &ack));
}
