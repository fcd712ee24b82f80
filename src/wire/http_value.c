#include "wire/http.h"

/* ---- reading: a cursor over a value ---- */

static bool skip_text(struct span *in, const char *text)
{
    size_t size = strlen(text);
    if (in->size < size || memcmp(in->data, text, size) != 0)
        return false;
    *in = span_of(in->data + size, in->size - size);
    return true;
}

static void skip_spaces(struct span *in)
{
    while (in->size > 0 && (in->data[0] == ' ' || in->data[0] == '\t'))
        *in = span_of(in->data + 1, in->size - 1);
}

/* At least one digit, no overflow. */
static bool take_number(struct span *in, uint64_t *ret)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; i < in->size && in->data[i] >= '0' && in->data[i] <= '9'; i++) {
        if (i == 19)
            return false;
        number = number * 10 + (in->data[i] - '0');
    }
    *in = span_of(in->data + i, in->size - i);
    if (i > 0)
        *ret = number;
    return i > 0;
}

/* ---- ranges ---- */

/* One of "a-b", "a-", "-n". False: no byte range. *ret_is_met: it touches the content. */
static bool take_range(struct span *in, uint64_t total, struct http_range *ret, bool *ret_is_met)
{
    uint64_t first, last = UINT64_MAX;
    if (skip_text(in, "-")) {
        if (!take_number(in, &last))
            return false;
        *ret_is_met = last > 0 && total > 0;
        *ret = (struct http_range){last < total ? total - last : 0, total - 1};
        return true;
    }
    if (!take_number(in, &first) || !skip_text(in, "-"))
        return false;
    if (take_number(in, &last) && last < first)
        return false;
    *ret_is_met = first < total;
    *ret = (struct http_range){first, last < total ? last : total - 1};
    return true;
}

int http_range_parse(struct span value, uint64_t total, struct http_range ret[HTTP_RANGES_MAX])
{
    int count = 0;
    if (!skip_text(&value, "bytes="))
        return -1;
    for (unsigned i = 0; i < HTTP_RANGES_MAX; i++) {
        struct http_range range;
        bool is_met;
        skip_spaces(&value);
        if (!take_range(&value, total, &range, &is_met))
            return -1;
        if (is_met)
            ret[count++] = range;
        skip_spaces(&value);
        if (value.size == 0)
            return count;
        if (!skip_text(&value, ","))
            return -1;
    }
    return -1;
}

bool http_content_range_parse(struct span value, struct http_range *ret, uint64_t *ret_total)
{
    *ret_total = UINT64_MAX;
    if (!skip_text(&value, "bytes ") || !take_number(&value, &ret->first) || !skip_text(&value, "-")
        || !take_number(&value, &ret->last) || !skip_text(&value, "/"))
        return false;
    if (!skip_text(&value, "*") && !take_number(&value, ret_total))
        return false;
    return value.size == 0 && ret->first <= ret->last && ret->last < *ret_total;
}

/* ---- dates ---- */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days since 1970 <-> year, month 1..12, day 1..31: H. Hinnant, "chrono-compatible low-level date
 * algorithms". */
static void civil_of_days(uint64_t days_since, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t z = days_since + 719468;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

static uint64_t days_of_civil(unsigned year, unsigned month, unsigned day)
{
    unsigned y = year - (month <= 2);
    unsigned era = y / 400, yoe = y - era * 400;
    unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (uint64_t)era * 146097 + doe - 719468;
}

static void put_number(char *at, unsigned width, unsigned number)
{
    for (; width > 0; number /= 10)
        at[--width] = (char)('0' + number % 10);
}

void http_date_format(uint64_t seconds, char ret[HTTP_DATE_SIZE + 1])
{
    static const uint64_t MAX = 253402300799; /* the last second of 9999 */
    unsigned year, month, day;
    if (seconds > MAX)
        seconds = MAX;
    uint64_t since = seconds / 86400;
    unsigned second = (unsigned)(seconds % 86400);
    civil_of_days(since, &year, &month, &day);
    memcpy(ret, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_SIZE + 1);
    memcpy(ret, days + (since + 4) % 7 * 3, 3);
    put_number(ret + 5, 2, day);
    memcpy(ret + 8, months + (month - 1) * 3, 3);
    put_number(ret + 12, 4, year);
    put_number(ret + 17, 2, second / 3600);
    put_number(ret + 20, 2, second / 60 % 60);
    put_number(ret + 23, 2, second % 60);
}

static bool take_month(struct span *in, unsigned *ret)
{
    for (unsigned i = 0; i < 12; i++)
        if (in->size >= 3 && memcmp(in->data, months + i * 3, 3) == 0) {
            *in = span_of(in->data + 3, in->size - 3);
            *ret = i + 1;
            return true;
        }
    return false;
}

static bool take_time(struct span *in, uint64_t *ret)
{
    uint64_t hour, minute, second;
    if (!take_number(in, &hour) || !skip_text(in, ":") || !take_number(in, &minute)
        || !skip_text(in, ":") || !take_number(in, &second))
        return false;
    *ret = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

static bool date_is(uint64_t year, unsigned month, uint64_t day, uint64_t time, uint64_t *ret)
{
    if (year < 1970 || year > 9999 || day < 1 || day > 31)
        return false;
    *ret = days_of_civil((unsigned)year, month, (unsigned)day) * 86400 + time;
    return true;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun, 06 Nov 1994 08:49:37 GMT": behind the comma. */
static bool parse_with_comma(struct span in, uint64_t *ret)
{
    uint64_t day, year, time;
    unsigned month;
    skip_spaces(&in);
    if (!take_number(&in, &day))
        return false;
    bool is_old = skip_text(&in, "-");
    if ((!is_old && !skip_text(&in, " ")) || !take_month(&in, &month)
        || !skip_text(&in, is_old ? "-" : " ") || !take_number(&in, &year) || !skip_text(&in, " ")
        || !take_time(&in, &time) || !skip_text(&in, " GMT"))
        return false;
    if (is_old && year < 100)
        year += year < 70 ? 2000 : 1900;
    return in.size == 0 && date_is(year, month, day, time, ret);
}

/* "Sun Nov  6 08:49:37 1994": behind the day's name. */
static bool parse_asctime(struct span in, uint64_t *ret)
{
    uint64_t day, year, time;
    unsigned month;
    if (!skip_text(&in, " ") || !take_month(&in, &month) || !skip_text(&in, " "))
        return false;
    skip_spaces(&in);
    return take_number(&in, &day) && skip_text(&in, " ") && take_time(&in, &time)
           && skip_text(&in, " ") && take_number(&in, &year) && in.size == 0
           && date_is(year, month, day, time, ret);
}

bool http_date_parse(struct span value, uint64_t *ret)
{
    const uint8_t *comma = memchr(value.data, ',', value.size);
    if (comma)
        return parse_with_comma(
            span_of(comma + 1, value.size - (size_t)(comma - value.data) - 1), ret);
    return value.size > 3 && parse_asctime(span_of(value.data + 3, value.size - 3), ret);
}

/* ---- entity tags ---- */

bool http_tag_matches(struct span value, struct span tag, bool is_strong)
{
    if (span_equals_text(value, "*"))
        return true;
    while (value.size > 0) {
        skip_spaces(&value);
        bool is_weak = skip_text(&value, "W/");
        if (value.size == 0 || value.data[0] != '"')
            return false;
        const uint8_t *end = memchr(value.data + 1, '"', value.size - 1);
        if (!end)
            return false;
        size_t size = (size_t)(end - value.data) + 1;
        if (size == tag.size && memcmp(value.data, tag.data, size) == 0 && !(is_weak && is_strong))
            return true;
        value = span_of(value.data + size, value.size - size);
        skip_spaces(&value);
        if (value.size > 0 && !skip_text(&value, ","))
            return false;
    }
    return false;
}

/* ---- queries, escapes, parameters ---- */

struct span http_query_find(struct span query, const char *name)
{
    size_t size = strlen(name);
    while (query.size > 0) {
        const uint8_t *end = memchr(query.data, '&', query.size);
        struct span pair = span_of(query.data, end ? (size_t)(end - query.data) : query.size);
        if (pair.size >= size && memcmp(pair.data, name, size) == 0) {
            if (pair.size == size)
                return span_of(pair.data + size, 0);
            if (pair.data[size] == '=')
                return span_of(pair.data + size + 1, pair.size - size - 1);
        }
        size_t skip = pair.size + (end ? 1 : 0);
        query = span_of(query.data + skip, query.size - skip);
    }
    return span_of(NULL, 0);
}

bool http_number(struct span text, uint64_t *ret)
{
    return take_number(&text, ret) && text.size == 0;
}

bool http_query_number(struct span query, const char *name, uint64_t *ret, err_t *ret_err)
{
    struct span value = http_query_find(query, name);
    *ret_err = ERR_OK;
    if (!value.data)
        return false;
    if (!http_number(value, ret))
        *ret_err = ERR(USAGE, 0);
    return true;
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

err_t http_decode(struct span value, bool is_query, char *ret, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < value.size; i++, at++) {
        int c = value.data[i];
        if (c == '%') {
            int high = i + 2 < value.size ? hex_of(value.data[i + 1]) : -1;
            int low = i + 2 < value.size ? hex_of(value.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR(USAGE, 0);
            c = high << 4 | low;
            i += 2;
        } else if (c == '+' && is_query) {
            c = ' ';
        }
        if (c == 0 || at + 1 >= size)
            return ERR(USAGE, 0);
        ret[at] = (char)c;
    }
    ret[at] = '\0';
    return ERR_OK;
}

/* The value at the start of `in`, quoted or a token, into ret. */
static bool copy_parameter(struct span in, char *ret, size_t size)
{
    size_t at = 0;
    bool is_quoted = skip_text(&in, "\"");
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        if (is_quoted ? c == '"' : c == ';' || c == ' ' || c == '\t' || c == ',')
            break;
        if (is_quoted && c == '\\' && i + 1 < in.size)
            c = in.data[++i];
        if (at + 1 >= size || c == 0)
            return false;
        ret[at++] = (char)c;
    }
    ret[at] = '\0';
    return true;
}

bool http_parameter(struct span value, const char *name, char *ret, size_t size)
{
    size_t length = strlen(name);
    bool is_quoted = false;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] == '"')
            is_quoted = !is_quoted;
        else if (value.data[i] == '\\' && is_quoted)
            i++;
        if (is_quoted || value.data[i] != ';')
            continue;
        struct span rest = span_of(value.data + i + 1, value.size - i - 1);
        skip_spaces(&rest);
        if (rest.size > length && memcmp(rest.data, name, length) == 0 && rest.data[length] == '=')
            return copy_parameter(
                span_of(rest.data + length + 1, rest.size - length - 1), ret, size);
    }
    return false;
}
