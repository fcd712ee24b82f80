#include "bin/parse.h"

#include "storage/config.h"

#include "wire/msg.h"

/* Digits at the front of `text`; returns what follows, NULL if there are none or too many. */
static const char *take_digits(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    if (at == text)
        return NULL;
    *ret = value;
    return at;
}

bool parse_number(const char *text, uint64_t *ret)
{
    uint64_t value;
    const char *rest = take_digits(text, &value);
    if (!rest || *rest != '\0')
        return false;
    *ret = value;
    return true;
}

bool parse_machine(const char *text, uint64_t *ret)
{
    uint32_t machine;
    if (!machine_parse(text, &machine))
        return false;
    *ret = machine;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool parse_with_unit(
    const char *text, const struct unit *units, size_t unit_count, uint64_t *ret)
{
    uint64_t value;
    const char *rest = take_digits(text, &value);
    if (!rest)
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        if (value > UINT64_MAX / units[i].factor)
            return false;
        *ret = value * units[i].factor;
        return true;
    }
    return false;
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1}, {"B", 1}, {"k", 1u << 10}, {"K", 1u << 10},
        {"KiB", 1u << 10}, {"M", 1u << 20}, {"MiB", 1u << 20}, {"G", 1u << 30}, {"GiB", 1u << 30},
        {"T", 1ull << 40}, {"TiB", 1ull << 40}, {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000},
        {"TB", 1000000000000}};
    return parse_with_unit(text, units, ARRAY_LEN(units), ret_bytes);
}

static const uint64_t second_ns = 1000000000;

bool parse_duration(const char *text, uint64_t *ret_ns)
{
    static const struct unit units[] = {{"", 1000000000}, {"ms", 1000000}, {"s", 1000000000},
        {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000}};
    return parse_with_unit(text, units, ARRAY_LEN(units), ret_ns);
}

bool parse_range(const char *text, struct byte_range *ret)
{
    uint64_t first, last;
    const char *rest = take_digits(text, &first);
    if (!rest || *rest != '-')
        return false;
    if (rest[1] == '\0') {
        *ret = (struct byte_range){first, 0};
        return true;
    }
    if (!parse_number(rest + 1, &last) || last < first || last == UINT64_MAX)
        return false;
    *ret = (struct byte_range){first, last - first + 1};
    return true;
}

bool parse_slack(const char *text, uint32_t *ret)
{
    uint64_t value;
    const char *rest = take_digits(text, &value);
    if (rest && strcmp(rest, "%") == 0 && value <= 1000) {
        *ret = (uint32_t)value;
        return true;
    }
    if (!parse_size(text, &value) || value > 1u << 30)
        return false;
    *ret = value == 0 ? 0 : (uint32_t)value | SLACK_IS_BYTES;
    return true;
}

bool parse_version(const char *text, struct version *ret)
{
    uint64_t counter, machine;
    const char *rest = take_digits(text, &counter);
    if (!rest || *rest != '.' || !parse_number(rest + 1, &machine) || machine > UINT32_MAX)
        return false;
    *ret = (struct version){counter, (uint32_t)machine};
    return true;
}

/* Exactly `count` digits, and then one of `ends`, or with may_end the end of the text. */
static const char *take_field(
    const char *at, int count, const char *ends, bool may_end, uint64_t *ret)
{
    uint64_t value = 0;
    if (!at)
        return NULL;
    for (int i = 0; i < count; i++, at++) {
        if (*at < '0' || *at > '9')
            return NULL;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (*at == '\0' ? !may_end : strchr(ends, *at) == NULL)
        return NULL;
    *ret = value;
    return at;
}

/* Days from 1970-01-01, Gregorian calendar (H. Hinnant, days_from_civil), for years >= 1970. */
static uint64_t days_of_date(uint64_t year, uint64_t month, uint64_t day)
{
    year -= month <= 2;
    uint64_t era = year / 400, year_of_era = year % 400;
    uint64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    uint64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool parse_date(const char *text, uint64_t *ret_ns)
{
    uint64_t year, month, day, hour = 0, minute = 0, second = 0;
    const char *at = take_field(text, 4, "-", false, &year);
    at = take_field(at ? at + 1 : NULL, 2, "-", false, &month);
    at = take_field(at ? at + 1 : NULL, 2, "T ", true, &day);
    if (at && *at != '\0') {
        at = take_field(at + 1, 2, ":", false, &hour);
        at = take_field(at ? at + 1 : NULL, 2, ":Z", true, &minute);
        if (at && *at == ':')
            at = take_field(at + 1, 2, "Z", true, &second);
    }
    if (!at || (*at != '\0' && strcmp(at, "Z") != 0) || year < 1970 || year > 2500 || month < 1
        || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    uint64_t seconds = days_of_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_ns = seconds * second_ns;
    return true;
}

bool parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
    uint64_t value;
    if (parse_number(text, &value)) {
        if (value > UINT64_MAX / second_ns)
            return false;
        *ret_ns = value * second_ns;
        return true;
    }
    if (parse_duration(text, &value)) {
        *ret_ns = value < now_ns ? now_ns - value : 0;
        return true;
    }
    return parse_date(text, ret_ns);
}

bool parse_ack(const char *text, uint8_t *ret)
{
    static const char *const names[] = {"memory", "local", "one", "all"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *ret = (uint8_t)(ACK_MEMORY + i);
        return true;
    }
    return false;
}
