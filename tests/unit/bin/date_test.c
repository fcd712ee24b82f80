/* Dates out are dates in. */
#include "bin/date.h"
#include "bin/parse.h"
#include "tests/lib/test.h"

TEST(known_points_in_time_read_as_people_write_them)
{
    char text[DATE_TEXT_MAX];
    EXPECT_TEXT(date_format(0, text), "1970-01-01T00:00:00.000Z");
    EXPECT_TEXT(date_format(UINT64_C(1709209815123456789), text), "2024-02-29T12:30:15.123Z");
}

TEST(every_day_of_two_centuries_comes_back)
{
    char text[DATE_TEXT_MAX];
    for (uint64_t day = 0; day < 73000; day++) {
        uint64_t ns = day * UINT64_C(86400000000000), back;
        date_format(ns, text);
        text[19] = '\0'; /* without the milliseconds */
        EXPECT(parse_time(text, 0, &back) && back == ns);
    }
}
