/* Bounded text: what fits is there, what does not is told. */
#include "base/text.h"
#include "base/units.h"
#include "tests/lib/test.h"

static char buffer[256];

static struct text empty(void)
{
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    return text;
}

TEST(text_is_appended_until_the_buffer_is_full_and_the_cut_is_told)
{
    char small[8];
    struct text text;
    text_init(&text, small, sizeof small);
    text_add(&text, "%s-%d", "abc", 12);
    EXPECT_TEXT(small, "abc-12");
    EXPECT(!text.is_cut);
    text_add(&text, "%s", "xyz");
    EXPECT_TEXT(small, "abc-12x");
    EXPECT(text.is_cut);
    text_cut_to(&text, 3);
    EXPECT_TEXT(small, "abc");
    text_add_span(&text, span_of_text("defghi"));
    EXPECT_TEXT(small, "abcdefg");
}

TEST(an_exact_fit_is_no_cut)
{
    char small[4];
    struct text text;
    text_init(&text, small, sizeof small);
    text_add_span(&text, span_of_text("abc"));
    EXPECT(!text.is_cut);
    text_add_char(&text, 'd');
    EXPECT(text.is_cut);
    EXPECT_TEXT(small, "abc");
}

static const char *size_text(uint64_t size)
{
    struct text text = empty();
    text_add_size(&text, size);
    return buffer;
}

TEST(sizes_read_well)
{
    EXPECT_TEXT(size_text(0), "0 B");
    EXPECT_TEXT(size_text(1023), "1023 B");
    EXPECT_TEXT(size_text(64 * KIB), "64 KiB");
    EXPECT_TEXT(size_text(GIB + 256 * MIB), "1.2 GiB");
    EXPECT_TEXT(size_text(GIB - 1), "1023 MiB");
    EXPECT_TEXT(size_text(UINT64_MAX), "15.9 EiB");
}

static const char *duration_text(uint64_t ns)
{
    struct text text = empty();
    text_add_duration(&text, ns);
    return buffer;
}

TEST(durations_read_well)
{
    EXPECT_TEXT(duration_text(0), "0 ns");
    EXPECT_TEXT(duration_text(999), "999 ns");
    EXPECT_TEXT(duration_text(1500), "1.5 us");
    EXPECT_TEXT(duration_text(1500 * NS_PER_US), "1.5 ms");
    EXPECT_TEXT(duration_text(12 * NS_PER_S), "12.0 s");
    EXPECT_TEXT(duration_text(185 * NS_PER_S), "3m05s");
    EXPECT_TEXT(duration_text(2 * NS_PER_HOUR + 7 * NS_PER_MINUTE), "2h07m");
    EXPECT_TEXT(duration_text(4 * NS_PER_DAY + 11 * NS_PER_HOUR), "4d11h");
}

static const char *json(const char *data, size_t size)
{
    struct text text = empty();
    text_add_json(&text, span_of(data, size));
    return buffer;
}

TEST(json_text_is_always_valid_json)
{
    EXPECT_TEXT(json("a\"b\\c\n", 6), "a\\\"b\\\\c\\u000a");
    EXPECT_TEXT(json("\0x", 2), "\\u0000x");
    EXPECT_TEXT(json("\xc3\xa4", 2), "\xc3\xa4");
    EXPECT_TEXT(json("\xe2\x82\xac", 3), "\xe2\x82\xac");
    EXPECT_TEXT(json("\xf0\x9f\x98\x80", 4), "\xf0\x9f\x98\x80");
    EXPECT_TEXT(json("\xc3", 1), "\xef\xbf\xbd");
    EXPECT_TEXT(json("\xc0\x80", 2), "\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_TEXT(json("\xed\xa0\x80", 3), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_TEXT(json("\xf5\x80\x80\x80", 4), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static const char *quoted(const char *data, size_t size)
{
    struct text text = empty();
    text_add_quoted(&text, span_of(data, size));
    return buffer;
}

TEST(log_values_are_quoted_only_where_needed)
{
    EXPECT_TEXT(quoted("m001", 4), "m001");
    EXPECT_TEXT(quoted("", 0), "\"\"");
    EXPECT_TEXT(quoted("a b", 3), "\"a b\"");
    EXPECT_TEXT(quoted("a=b", 3), "\"a=b\"");
    EXPECT_TEXT(quoted("a\n\"\\\xff", 5), "\"a\\x0a\\\"\\\\\\xff\"");
}
