#include "storage/push_gate.h"

#include "base/units.h"

enum { DAY_S = 24 * 60 * 60 };

/* "06:30" -> seconds; "24:00" is the end of the day. */
static const char *parse_time_of_day(const char *text, uint32_t *ret)
{
    uint32_t field[2];
    for (size_t i = 0; i < 2; i++) {
        if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
            return NULL;
        field[i] = (uint32_t)(text[0] - '0') * 10 + (uint32_t)(text[1] - '0');
        text += 2;
        if (i == 0 && *text++ != ':')
            return NULL;
    }
    *ret = field[0] * 3600 + field[1] * 60;
    return field[1] < 60 && *ret <= DAY_S ? text : NULL;
}

bool push_window_parse(const char *text, struct push_window *ret)
{
    struct push_window window = {0};
    if (*text != '\0') {
        text = parse_time_of_day(text, &window.begin_s);
        if (!text || *text++ != '-')
            return false;
        text = parse_time_of_day(text, &window.end_s);
        if (!text || *text != '\0')
            return false;
    }
    *ret = window;
    return true;
}

bool push_window_is_open(const struct push_window *window, uint64_t wall_ns)
{
    uint32_t now_s = (uint32_t)(wall_ns / NS_PER_S % DAY_S);
    if (window->begin_s == window->end_s)
        return true;
    if (window->begin_s < window->end_s)
        return now_s >= window->begin_s && now_s < window->end_s;
    return now_s >= window->begin_s || now_s < window->end_s;
}

void push_rate_init(struct push_rate *rate, uint64_t bytes_per_second, uint64_t now_ns)
{
    *rate = (struct push_rate){
        .rate = bytes_per_second, .tokens = (int64_t)bytes_per_second, .now_ns = now_ns};
}

bool push_rate_allows(struct push_rate *rate, uint64_t now_ns)
{
    if (rate->rate == 0)
        return true;
    uint64_t passed_ns = now_ns - rate->now_ns;
    /* less than a token would be lost at each look: wait until there are some */
    if (passed_ns >= NS_PER_MS || rate->tokens <= 0) {
        uint64_t whole_s = passed_ns / NS_PER_S, rest_ns = passed_ns % NS_PER_S;
        uint64_t grown = whole_s >= NS_PER_DAY / NS_PER_S
                             ? rate->rate
                             : whole_s * rate->rate + rest_ns * (rate->rate / 1000) / NS_PER_MS;
        if (grown > 0) {
            rate->tokens += (int64_t)grown;
            rate->now_ns = now_ns;
        }
    }
    if (rate->tokens > (int64_t)rate->rate)
        rate->tokens = (int64_t)rate->rate;
    return rate->tokens > 0;
}

void push_rate_spend(struct push_rate *rate, uint64_t size)
{
    if (rate->rate > 0)
        rate->tokens -= (int64_t)size;
}
