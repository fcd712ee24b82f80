/* Metrics: numbers as members of a struct, described by a table of rows, printed as Prometheus reads them.
 * A row is a family; several objects of one kind (mount points, mirrors) are samples of it, told apart by
 * labels.
 *
 *   struct disk { uint64_t free_bytes; struct timing sync; };
 *   static const struct metric table[] = {
 *       {METRIC_AT_GAUGE(struct disk, free_bytes), "cairn_disk_free_bytes", "room left"},
 *       {METRIC_AT_TIMING(struct disk, sync), "cairn_disk_sync_seconds", "durable writes"}};
 *   metric_print(table, 2, (struct metric_object[]){{&a, "mount=\"0\""}, {&b, "mount=\"1\""}}, 2, &text);
 *
 * doc/metrics.md has a row for every family; a test compares it with what servers tell. */
#ifndef CAIRN_BASE_METRIC_H
#define CAIRN_BASE_METRIC_H

#include "base/text.h"
#include "base/timing.h"

enum metric_kind {
    METRIC_COUNTER,    /* uint64_t: grows */
    METRIC_GAUGE,      /* uint64_t: a state */
    METRIC_COUNTER_NS, /* uint64_t of ns that grows; shown in seconds */
    METRIC_GAUGE_NS,   /* uint64_t of ns; shown in seconds */
    METRIC_GAUGE_BOOL, /* bool: 0 or 1 */
    METRIC_TIMING,     /* struct timing; shown as a histogram of seconds */
    METRIC_KIND_COUNT
};

struct metric {
    enum metric_kind kind;
    size_t offset;
    const char *name; /* as Prometheus likes it: cairn_uploads_total */
    const char *help;
    const char *labels; /* "verb=\"find\"", or NULL */
};

struct metric_object {
    const void *values; /* the struct that the table describes */
    const char *labels; /* of this object, or NULL */
};

#define METRIC_AT(metric_kind_, c_type, struct_type, member)                                    \
    (metric_kind_), offsetof(struct_type, member)                                               \
                        + 0                                                                     \
                              * sizeof(char[__builtin_types_compatible_p(                       \
                                                __typeof__(((struct_type *)0)->member), c_type) \
                                                ? 1                                             \
                                                : -1])
#define METRIC_AT_COUNTER(s, m) METRIC_AT(METRIC_COUNTER, uint64_t, s, m)
#define METRIC_AT_GAUGE(s, m) METRIC_AT(METRIC_GAUGE, uint64_t, s, m)
#define METRIC_AT_COUNTER_NS(s, m) METRIC_AT(METRIC_COUNTER_NS, uint64_t, s, m)
#define METRIC_AT_GAUGE_NS(s, m) METRIC_AT(METRIC_GAUGE_NS, uint64_t, s, m)
#define METRIC_AT_GAUGE_BOOL(s, m) METRIC_AT(METRIC_GAUGE_BOOL, bool, s, m)
#define METRIC_AT_TIMING(s, m) METRIC_AT(METRIC_TIMING, struct timing, s, m)

/** Prometheus text exposition format 0.0.4. Every family of the table gets its HELP and TYPE, also without
 * objects. Rows of one name must stand together. What finds no room sets text->is_cut. */
void metric_print(const struct metric *table, size_t count, const struct metric_object *objects,
    size_t object_count, struct text *text);

/** The sample of one object in one row, without HELP and TYPE. */
void metric_print_sample(
    const struct metric *metric, const struct metric_object *object, struct text *text);

/* ---- families whose samples are not members of a struct ---- */

/** HELP and TYPE of `metric`; its kind tells the type, its offset means nothing. */
void metric_begin(const struct metric *metric, struct text *text);
/** One sample; the row's own labels and these ("" none). METRIC_..._NS: shown in seconds. */
void metric_sample(const struct metric *metric, uint64_t value, struct text *text,
    const char *labels, ...) __attribute__((format(printf, 4, 5)));
void metric_sample_timing(const struct metric *metric, const struct timing *timing,
    struct text *text, const char *labels, ...) __attribute__((format(printf, 4, 5)));
/** Append `value` as the value of a label stands between its quotes: \ " and line feeds escaped. */
void metric_add_label_value(struct text *text, const char *value);

#endif
