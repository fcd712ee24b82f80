/* Values of HTTP headers: ranges, dates, tags, queries, escapes, parameters. */
#include "wire/http.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static struct http_range ranges[HTTP_RANGES_MAX];

static int range(const char *value, uint64_t total)
{
    return http_range_parse(span_of_text(value), total, ranges);
}

static void expect_range(int i, uint64_t first, uint64_t last)
{
    EXPECT_EQ(ranges[i].first, first);
    EXPECT_EQ(ranges[i].last, last);
}

TEST(ranges_are_cut_to_the_content)
{
    EXPECT_EQ(range("bytes=0-99", 1000), 1);
    expect_range(0, 0, 99);
    EXPECT_EQ(range("bytes=900-2000", 1000), 1);
    expect_range(0, 900, 999);
    EXPECT_EQ(range("bytes=999-", 1000), 1);
    expect_range(0, 999, 999);
    EXPECT_EQ(range("bytes=-5", 1000), 1);
    expect_range(0, 995, 999);
    EXPECT_EQ(range("bytes=-5000", 1000), 1);
    expect_range(0, 0, 999);
    EXPECT_EQ(range("bytes=0-0, 5-6 ,-1", 1000), 3);
    expect_range(0, 0, 0);
    expect_range(1, 5, 6);
    expect_range(2, 999, 999);
}

TEST(ranges_that_cannot_be_met_are_left_out)
{
    EXPECT_EQ(range("bytes=1000-", 1000), 0);
    EXPECT_EQ(range("bytes=-0", 1000), 0);
    EXPECT_EQ(range("bytes=0-", 0), 0);
    EXPECT_EQ(range("bytes=-1", 0), 0);
    EXPECT_EQ(range("bytes=2000-3000,1-2", 1000), 1);
    expect_range(0, 1, 2);
}

TEST(what_is_no_byte_range_is_ignored)
{
    static const char *const bad[] = {"", "bytes", "bytes=", "bytes=a-b", "bytes=5-4", "items=0-1",
        "bytes=0-1;2-3", "bytes=0-1,", "bytes=--1", "bytes=1", "bytes=99999999999999999999-",
        "bytes=0-1 2-3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(range(bad[i], 1000), -1);
    char many[200] = "bytes=0-1";
    for (int i = 0; i < HTTP_RANGES_MAX; i++)
        strcat(many, ",0-1");
    EXPECT_EQ(range(many, 1000), -1);
}

TEST(content_ranges)
{
    struct http_range r;
    uint64_t total;
    EXPECT(http_content_range_parse(span_of_text("bytes 10-19/100"), &r, &total));
    EXPECT(r.first == 10 && r.last == 19 && total == 100);
    EXPECT(http_content_range_parse(span_of_text("bytes 10-19/*"), &r, &total));
    EXPECT_EQ(total, UINT64_MAX);
    static const char *const bad[] = {"bytes 10-19", "bytes 19-10/100", "bytes 10-100/100",
        "bytes */100", "bytes=10-19/100", "bytes 10-19/100x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT(!http_content_range_parse(span_of_text(bad[i]), &r, &total));
}

TEST(dates_are_written_and_read)
{
    char date[HTTP_DATE_SIZE + 1];
    uint64_t seconds;
    http_date_format(784111777, date);
    EXPECT_TEXT(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date_format(0, date);
    EXPECT_TEXT(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(951782400, date);
    EXPECT_TEXT(date, "Tue, 29 Feb 2000 00:00:00 GMT");
    struct prng prng;
    prng_init(&prng, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t expected = prng_below(&prng, UINT64_C(253402300799));
        http_date_format(expected, date);
        EXPECT(http_date_parse(span_of_text(date), &seconds));
        EXPECT_EQ(seconds, expected);
    }
}

TEST(obsolete_dates_are_read)
{
    uint64_t seconds = 0;
    EXPECT(http_date_parse(span_of_text("Sunday, 06-Nov-94 08:49:37 GMT"), &seconds));
    EXPECT_EQ(seconds, 784111777u);
    EXPECT(http_date_parse(span_of_text("Sun Nov  6 08:49:37 1994"), &seconds));
    EXPECT_EQ(seconds, 784111777u);
    static const char *const bad[] = {"", "x", "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 1900 08:49:37 GMT"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT(!http_date_parse(span_of_text(bad[i]), &seconds));
}

TEST(entity_tags_match_strongly_or_weakly)
{
    struct span tag = span_of_text("\"3.1\"");
    EXPECT(http_tag_matches(span_of_text("*"), tag, true));
    EXPECT(http_tag_matches(span_of_text("\"a\", \"3.1\""), tag, true));
    EXPECT(http_tag_matches(span_of_text("W/\"3.1\""), tag, false));
    EXPECT(!http_tag_matches(span_of_text("W/\"3.1\""), tag, true));
    EXPECT(!http_tag_matches(span_of_text("\"3.2\""), tag, true));
    EXPECT(!http_tag_matches(span_of_text("3.1"), tag, true));
    EXPECT(!http_tag_matches(span_of_text("\"3.1"), tag, true));
    EXPECT(!http_tag_matches(span_of_text(""), tag, true));
    EXPECT(!http_tag_matches(span_of_text("\"a\" \"3.1\""), tag, true));
}

TEST(queries_and_escapes)
{
    char value[16];
    struct span query = span_of_text("ab=1&a=x%20y+z&flag&e=");
    EXPECT_OK(http_decode(http_query_find(query, "a"), true, value, sizeof value));
    EXPECT_TEXT(value, "x y z");
    EXPECT_OK(http_decode(span_of_text("a+%C3%a4"), false, value, sizeof value));
    EXPECT_TEXT(value, "a+\xc3\xa4");
    EXPECT(http_query_find(query, "flag").data != NULL);
    EXPECT_EQ(http_query_find(query, "flag").size, 0u);
    EXPECT_EQ(http_query_find(query, "e").size, 0u);
    EXPECT(http_query_find(query, "b").data == NULL);
    EXPECT_ERR(http_decode(span_of_text("%2"), true, value, sizeof value), USAGE);
    EXPECT_ERR(http_decode(span_of_text("%zz"), true, value, sizeof value), USAGE);
    EXPECT_ERR(http_decode(span_of_text("a%00"), true, value, sizeof value), USAGE);
    EXPECT_ERR(http_decode(span_of_text("1234567890123456"), true, value, sizeof value), USAGE);
    EXPECT_OK(http_decode(span_of_text("123456789012%41"), true, value, sizeof value));
    EXPECT_TEXT(value, "123456789012A");
}

TEST(parameters_of_a_header)
{
    char value[32];
    struct span header = span_of_text("form-data; name=\"a;b\\\"c\"; filename=x.png; boundary=q");
    EXPECT(http_parameter(header, "name", value, sizeof value));
    EXPECT_TEXT(value, "a;b\"c");
    EXPECT(http_parameter(header, "filename", value, sizeof value));
    EXPECT_TEXT(value, "x.png");
    EXPECT(http_parameter(header, "boundary", value, sizeof value));
    EXPECT(!http_parameter(header, "form-data", value, sizeof value));
    EXPECT(!http_parameter(header, "file", value, sizeof value));
    EXPECT(!http_parameter(header, "filename", value, 5));
}
