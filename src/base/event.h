/* Structured log lines for operators: an event name and key=value, into a sink.
 *
 *   WARN mirror_lagging machine=m001 op=push direction=sync-send peer=m002 origin=m001 lag=3m05s
 *
 * Own machine, the object's origin, direction and peer are separate fields, taken from the owner.
 * A line is built on the stack: no allocation. A site that repeats itself is limited; the next line
 * that it gets through says how many were suppressed.
 *
 *   EVENT(log, WARN, "mirror_lagging", owner, EVENT_DURATION("lag", ns), EVENT_ERR(err)); */
#ifndef CAIRN_BASE_EVENT_H
#define CAIRN_BASE_EVENT_H

#include "base/bytes.h"
#include "base/ledger.h"

enum event_level { EVENT_DEBUG, EVENT_INFO, EVENT_WARN, EVENT_ERROR, EVENT_LEVEL_COUNT };

const char *event_level_name(enum event_level level); /* "WARN" */

enum {
    EVENT_LINE_MAX = 2048, /* bytes; longer lines are cut */
    EVENT_SITES = 64,      /* sites watched at a time by the limit */
    EVENT_SITE_LINES = 10, /* lines per site and window */
    EVENT_WINDOW_S = 10,
};

struct event_site {
    const struct site *site; /* NULL: free */
    uint64_t window_ns;      /* begin of the present window */
    uint32_t lines;          /* in this window */
    uint64_t suppressed;     /* since the last line that got through */
};

/** Where lines go. One per loop; the sink sees whole lines, without a newline. */
struct event_log {
    void (*write)(void *context, enum event_level level, struct span line);
    void *context;
    enum event_level level; /* less than this is dropped */
    bool is_json;           /* lines are JSON objects */
    uint32_t machine;       /* own machine number; 0: none (tracker, client) */
    const uint64_t *now_ns; /* of the loop: for the limit. NULL: no limit */
    struct event_site sites[EVENT_SITES];
    uint64_t suppressed; /* in total */
};

enum event_field_kind {
    EVENT_FIELD_NUMBER,
    EVENT_FIELD_TEXT,
    EVENT_FIELD_SIZE,
    EVENT_FIELD_DURATION,
    EVENT_FIELD_MACHINE,
    EVENT_FIELD_ERR
};

struct event_field {
    const char *key; /* static text; EVENT_ERR: none */
    enum event_field_kind kind;
    uint64_t number;
    struct span text; /* any bytes; borrowed for the call */
    err_t err;
};

#define EVENT_NUMBER(name, value)                                              \
    {                                                                          \
        .key = (name), .kind = EVENT_FIELD_NUMBER, .number = (uint64_t)(value) \
    }
#define EVENT_SIZE(name, bytes)                                    \
    {                                                              \
        .key = (name), .kind = EVENT_FIELD_SIZE, .number = (bytes) \
    }
#define EVENT_DURATION(name, ns)                                    \
    {                                                               \
        .key = (name), .kind = EVENT_FIELD_DURATION, .number = (ns) \
    }
#define EVENT_MACHINE(name, id)                                    \
    {                                                              \
        .key = (name), .kind = EVENT_FIELD_MACHINE, .number = (id) \
    }
#define EVENT_SPAN(name, span)                                  \
    {                                                           \
        .key = (name), .kind = EVENT_FIELD_TEXT, .text = (span) \
    }
#define EVENT_TEXT(name, value)                                              \
    {                                                                        \
        .key = (name), .kind = EVENT_FIELD_TEXT, .text = span_of_text(value) \
    }
/** err=NO_SPACE os=28 at=src/disk/commit.c:120: the site is where the error was born. */
#define EVENT_ERR(value)                                      \
    {                                                         \
        .key = "err", .kind = EVENT_FIELD_ERR, .err = (value) \
    }

/** A log that writes to `write`, level INFO, no limit until `now_ns` is set. */
void event_log_init(struct event_log *log,
    void (*write)(void *context, enum event_level level, struct span line), void *context);

/** Write one line; `owner` may be NULL. Nothing is done when the level is below the log's. */
void event_write(struct event_log *log, enum event_level level, const char *name,
    const struct owner *owner, const struct event_field *fields, size_t count,
    const struct site *site);

#define EVENT(log, level, name, owner, ...)                                                       \
    event_write((log), EVENT_##level, (name), (owner), (const struct event_field[]){__VA_ARGS__}, \
        sizeof((const struct event_field[]){__VA_ARGS__}) / sizeof(struct event_field), SITE())

#endif
