#include "bin/date.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"

struct date {
    uint64_t year, month, day;
};

/* Days since 1970-01-01 -> Gregorian date (H. Hinnant, civil_from_days). */
static struct date date_of_days(uint64_t days)
{
    days += 719468;
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t shifted = (5 * day_of_year + 2) / 153; /* 0 is March */
    uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    return (struct date){
        year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

const char *date_format(uint64_t time_ns, char text[DATE_TEXT_MAX])
{
    struct date date = date_of_days(time_ns / NS_PER_DAY);
    uint64_t second = time_ns % NS_PER_DAY / NS_PER_S;
    (void)snprintf(text, DATE_TEXT_MAX,
        "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64
        ".%03" PRIu64 "Z",
        date.year, date.month, date.day, second / 3600, second / 60 % 60, second % 60,
        time_ns % NS_PER_S / NS_PER_MS);
    return text;
}
