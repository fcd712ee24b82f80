/* Metrics: counters, gauges and latency histograms, as members of one struct per loop and role,
 * described by one table. Loops count without locks; for a reader their structs are merged.
 *
 *   struct storage_metrics { uint64_t finds; struct histogram find_ns; };
 *   static const struct metric table[] = {
 *       {METRIC_AT_COUNTER(struct storage_metrics, finds), "cairn_finds_total", "files found"},
 *       {METRIC_AT_LATENCY(struct storage_metrics, find_ns), "cairn_find_seconds", "..."}};
 */
#ifndef CAIRN_BASE_METRIC_H
#define CAIRN_BASE_METRIC_H

#include "base/text.h"

/* Buckets as in an HDR histogram: 0..15 one each, then 16 per power of two, so that a value is
 * known to 1/16 (6 %) over the whole range of 64 bits. 7.6 KiB. */
enum { HISTOGRAM_STEPS = 16, HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * (64 - 4 + 1) };

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* 0 while count is 0 */
    uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/** The value below or at which `per_million` of all lie (500000: median), up to 1/16 too high and
 * never above the maximum; 0 if empty. */
uint64_t histogram_quantile(const struct histogram *histogram, uint32_t per_million);

enum metric_kind {
    METRIC_COUNTER,   /* uint64_t: grows; merged by adding */
    METRIC_GAUGE,     /* uint64_t: a state; merged by adding */
    METRIC_GAUGE_MAX, /* uint64_t: a state; merged by taking the greatest */
    METRIC_LATENCY    /* struct histogram of ns; shown in seconds */
};

struct metric {
    enum metric_kind kind;
    size_t offset;
    const char *name; /* as Prometheus likes it: cairn_uploads_total */
    const char *help;
    const char *labels; /* "op=\"find\"", or NULL */
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
#define METRIC_AT_GAUGE_MAX(s, m) METRIC_AT(METRIC_GAUGE_MAX, uint64_t, s, m)
#define METRIC_AT_LATENCY(s, m) METRIC_AT(METRIC_LATENCY, struct histogram, s, m)

/** Merge the struct at `from` into the one at `into`; both are described by `table`. */
void metric_merge(const struct metric *table, size_t count, void *into, const void *from);

/** Prometheus text exposition format 0.0.4; latencies as summaries with quantiles 0.5, 0.9, 0.99,
 * 0.999. Metrics of one name must stand together in the table. */
void metric_print(const struct metric *table, size_t count, const void *values, struct text *text);

#endif
