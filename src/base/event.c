#include "base/event.h"

#include "base/text.h"
#include "base/units.h"

const char *event_level_name(enum event_level level)
{
    static const char *const names[EVENT_LEVEL_COUNT] = {"DEBUG", "INFO", "WARN", "ERROR"};
    CHECK(level < EVENT_LEVEL_COUNT);
    return names[level];
}

void event_log_init(struct event_log *log,
    void (*write)(void *context, enum event_level level, struct span line), void *context)
{
    *log = (struct event_log){.write = write, .context = context, .level = EVENT_INFO};
}

/* The entry of `site`, or the one whose window is the oldest, taken over. */
static struct event_site *site_find(struct event_log *log, const struct site *site)
{
    struct event_site *oldest = &log->sites[0];
    for (size_t i = 0; i < EVENT_SITES; i++) {
        struct event_site *entry = &log->sites[i];
        if (entry->site == site)
            return entry;
        if (!entry->site || (oldest->site && entry->window_ns < oldest->window_ns))
            oldest = entry;
    }
    *oldest = (struct event_site){.site = site, .window_ns = *log->now_ns};
    return oldest;
}

/* May this site write now? Then *ret_suppressed is how many lines it lost before. */
static bool site_admits(struct event_log *log, const struct site *site, uint64_t *ret_suppressed)
{
    *ret_suppressed = 0;
    if (!log->now_ns)
        return true;
    struct event_site *entry = site_find(log, site);
    uint64_t now_ns = *log->now_ns;
    if (now_ns < entry->window_ns || now_ns - entry->window_ns >= EVENT_WINDOW_S * NS_PER_S) {
        entry->window_ns = now_ns;
        entry->lines = 0;
    }
    if (entry->lines >= EVENT_SITE_LINES) {
        entry->suppressed++;
        log->suppressed++;
        return false;
    }
    entry->lines++;
    *ret_suppressed = entry->suppressed;
    entry->suppressed = 0;
    return true;
}

/* A line in the making. */
struct line {
    struct text text;
    bool is_json;
};

static void add_key(struct line *line, const char *key)
{
    text_add(&line->text, line->is_json ? ",\"%s\":" : " %s=", key);
}

static void add_text(struct line *line, const char *key, struct span value)
{
    add_key(line, key);
    if (line->is_json) {
        text_add_char(&line->text, '"');
        text_add_json(&line->text, value);
        text_add_char(&line->text, '"');
    } else {
        text_add_quoted(&line->text, value);
    }
}

static void add_number(struct line *line, const char *key, uint64_t number)
{
    add_key(line, key);
    text_add(&line->text, "%llu", (unsigned long long)number);
}

static void add_machine(struct line *line, const char *key, uint64_t machine)
{
    add_key(line, key);
    const char *quote = line->is_json ? "\"" : "";
    text_add(&line->text, "%sm%03llu%s", quote, (unsigned long long)machine, quote);
}

static void add_duration(struct line *line, const char *key, uint64_t duration_ns)
{
    if (line->is_json) {
        add_number(line, key, duration_ns);
        return;
    }
    char data[32];
    struct text duration;
    text_init(&duration, data, sizeof data);
    text_add_duration(&duration, duration_ns);
    add_key(line, key);
    for (const char *c = data; *c; c++)
        if (*c != ' ')
            text_add_char(&line->text, *c);
}

static void add_err(struct line *line, err_t err)
{
    add_text(line, "err", span_of_text(err_name(err.code)));
    if (err.os != 0)
        add_number(line, "os", (uint64_t)err.os);
    if (!err.site)
        return;
    char data[256];
    struct text at;
    text_init(&at, data, sizeof data);
    text_add(&at, "%s:%d", err.site->file, err.site->line);
    add_text(line, "at", span_of_text(data));
}

static void add_field(struct line *line, const struct event_field *field)
{
    switch (field->kind) {
    case EVENT_FIELD_NUMBER:
    case EVENT_FIELD_SIZE:
        add_number(line, field->key, field->number);
        return;
    case EVENT_FIELD_TEXT:
        add_text(line, field->key, field->text);
        return;
    case EVENT_FIELD_DURATION:
        add_duration(line, field->key, field->number);
        return;
    case EVENT_FIELD_MACHINE:
        add_machine(line, field->key, field->number);
        return;
    case EVENT_FIELD_ERR:
        add_err(line, field->err);
        return;
    }
}

static void add_owner(struct line *line, const struct owner *owner)
{
    add_text(line, "op", span_of_text(owner->operation ? owner->operation : "ended"));
    add_text(line, "direction", span_of_text(direction_name(owner->direction)));
    if (owner->peer_machine != 0)
        add_machine(line, "peer", owner->peer_machine);
    if (owner->object_origin != 0)
        add_machine(line, "origin", owner->object_origin);
    if (owner->object_clock != 0)
        add_number(line, "object", owner->object_clock);
}

/* A JSON line that was cut would be no JSON: then the fields from the one that did not fit on are
 * left out, and "cut" says so. */
static void add_fields(struct line *line, const struct event_field *fields, size_t count)
{
    static const char marks[2][12] = {" cut=1", ",\"cut\":1"};
    size_t reserve = sizeof marks[1] + 1;
    line->text.capacity -= reserve;
    size_t fitting = line->text.size;
    for (size_t i = 0; i < count && !line->text.is_cut; i++) {
        add_field(line, &fields[i]);
        if (!line->text.is_cut)
            fitting = line->text.size;
    }
    line->text.capacity += reserve;
    if (line->text.is_cut) {
        text_cut_to(&line->text, fitting);
        text_add(&line->text, "%s", marks[line->is_json]);
    }
}

void event_write(struct event_log *log, enum event_level level, const char *name,
    const struct owner *owner, const struct event_field *fields, size_t count,
    const struct site *site)
{
    uint64_t suppressed;
    if (level < log->level || !site_admits(log, site, &suppressed))
        return;
    char data[EVENT_LINE_MAX];
    struct line line = {.is_json = log->is_json};
    text_init(&line.text, data, sizeof data);
    text_add(&line.text, log->is_json ? "{\"level\":\"%s\",\"event\":\"%s\"" : "%s %s",
        event_level_name(level), name);
    if (log->machine != 0)
        add_machine(&line, "machine", log->machine);
    if (owner)
        add_owner(&line, owner);
    if (suppressed > 0)
        add_number(&line, "suppressed", suppressed);
    add_fields(&line, fields, count);
    if (log->is_json)
        text_add_char(&line.text, '}');
    log->write(log->context, level, span_of(data, line.text.size));
}
