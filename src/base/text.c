#include "base/text.h"

#include <stdio.h>

#include "base/units.h"

void text_init(struct text *text, char *data, size_t capacity)
{
    CHECK(capacity > 0);
    *text = (struct text){data, capacity, 0, false};
    data[0] = '\0';
}

void text_add_list(struct text *text, const char *format, va_list list)
{
    size_t room = text->capacity - text->size;
    int wanted = vsnprintf(text->data + text->size, room, format, list);
    CHECK(wanted >= 0);
    if ((size_t)wanted < room) {
        text->size += (size_t)wanted;
    } else {
        text->size = text->capacity - 1;
        text->is_cut = true;
    }
}

void text_add(struct text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    text_add_list(text, format, list);
    va_end(list);
}

void text_add_span(struct text *text, struct span span)
{
    size_t room = text->capacity - text->size - 1;
    size_t size = span.size;
    if (size > room) {
        size = room;
        text->is_cut = true;
    }
    if (size > 0)
        memcpy(text->data + text->size, span.data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void text_add_char(struct text *text, char c)
{
    text_add_span(text, span_of(&c, 1));
}

void text_add_size(struct text *text, uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t whole = size, rest = 0;
    while (whole >= 1024) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    uint64_t tenth = rest * 10 / 1024;
    if (unit == 0 || whole >= 100 || tenth == 0)
        text_add(text, "%llu %s", (unsigned long long)whole, units[unit]);
    else
        text_add(text, "%llu.%llu %s", (unsigned long long)whole, (unsigned long long)tenth,
            units[unit]);
}

static void text_add_tenths(struct text *text, uint64_t value, uint64_t unit, const char *name)
{
    text_add(text, "%llu.%llu %s", (unsigned long long)(value / unit),
        (unsigned long long)(value % unit * 10 / unit), name);
}

static void text_add_pair(
    struct text *text, uint64_t big, const char *big_name, uint64_t small, const char *small_name)
{
    text_add(text, "%llu%s%02llu%s", (unsigned long long)big, big_name, (unsigned long long)small,
        small_name);
}

void text_add_duration(struct text *text, uint64_t ns)
{
    uint64_t minutes = ns / NS_PER_MINUTE, hours = ns / NS_PER_HOUR, days = ns / NS_PER_DAY;
    if (ns < NS_PER_US)
        text_add(text, "%llu ns", (unsigned long long)ns);
    else if (ns < NS_PER_MS)
        text_add_tenths(text, ns, NS_PER_US, "us");
    else if (ns < NS_PER_S)
        text_add_tenths(text, ns, NS_PER_MS, "ms");
    else if (minutes == 0)
        text_add_tenths(text, ns, NS_PER_S, "s");
    else if (hours == 0)
        text_add_pair(text, minutes, "m", ns / NS_PER_S % 60, "s");
    else if (days == 0)
        text_add_pair(text, hours, "h", minutes % 60, "m");
    else
        text_add_pair(text, days, "d", hours % 24, "h");
}

/* Size of the UTF-8 character at `p`, 0 if it is none (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF). */
static size_t utf8_size(const uint8_t *p, size_t size)
{
    size_t wanted = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (wanted == 0 || wanted > size || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < wanted; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)
                  || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : wanted;
}

void text_add_json(struct text *text, struct span span)
{
    for (size_t at = 0; at < span.size;) {
        uint8_t c = span.data[at];
        size_t size = utf8_size(span.data + at, span.size - at);
        if (size == 0)
            text_add(text, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            text_add(text, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            text_add(text, "\\u%04x", c);
        else
            text_add_span(text, span_of(span.data + at, size));
        at += size > 0 ? size : 1;
    }
}

static bool is_plain(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

void text_add_quoted(struct text *text, struct span span)
{
    size_t plain = 0;
    while (plain < span.size && is_plain(span.data[plain]))
        plain++;
    if (plain == span.size && plain > 0) {
        text_add_span(text, span);
        return;
    }
    text_add_char(text, '"');
    for (size_t at = 0; at < span.size; at++) {
        uint8_t c = span.data[at];
        if (c == '"' || c == '\\')
            text_add(text, "\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            text_add(text, "\\x%02x", c);
        else
            text_add_char(text, (char)c);
    }
    text_add_char(text, '"');
}

void text_cut_to(struct text *text, size_t size)
{
    CHECK(size <= text->size);
    text->size = size;
    text->data[size] = '\0';
}
