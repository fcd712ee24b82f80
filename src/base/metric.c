#include "base/metric.h"

#include "base/units.h"

enum { METRIC_LABELS_MAX = 512 };

void metric_begin(const struct metric *metric, struct text *text)
{
    static const char *const types[METRIC_KIND_COUNT] = {
        "counter", "gauge", "counter", "gauge", "gauge", "histogram"};
    text_add(text, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
        types[metric->kind]);
}

void metric_add_label_value(struct text *text, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            text_add_char(text, '\\');
        if (*value == '\n')
            text_add(text, "\\n");
        else
            text_add_char(text, *value);
    }
}

/* ---- samples ---- */

/* "a,b" of what is there; either may be NULL or empty. */
static void join_labels(struct text *to, const char *first, const char *second)
{
    bool has_first = first && first[0] != '\0', has_second = second && second[0] != '\0';
    text_add(to, "%s%s%s", has_first ? first : "", has_first && has_second ? "," : "",
        has_second ? second : "");
}

static void add_name(
    const struct metric *metric, const char *suffix, const char *labels, struct text *text)
{
    text_add(text, "%s%s", metric->name, suffix);
    if (labels[0] != '\0')
        text_add(text, "{%s}", labels);
    text_add_char(text, ' ');
}

static void add_seconds(uint64_t ns, struct text *text)
{
    text_add(text, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S),
        (unsigned long long)(ns % NS_PER_S));
}

static void add_sample(
    const struct metric *metric, uint64_t value, const char *labels, struct text *text)
{
    add_name(metric, "", labels, text);
    if (metric->kind == METRIC_COUNTER_NS || metric->kind == METRIC_GAUGE_NS)
        add_seconds(value, text);
    else
        text_add(text, "%llu", (unsigned long long)value);
    text_add_char(text, '\n');
}

static void add_bucket(const struct metric *metric, const char *labels, size_t bucket,
    uint64_t count, struct text *text)
{
    text_add(text, "%s_bucket{%s%sle=\"", metric->name, labels, labels[0] != '\0' ? "," : "");
    if (bucket == TIMING_BUCKETS - 1)
        text_add(text, "+Inf");
    else
        add_seconds(timing_top_ns(bucket), text);
    text_add(text, "\"} %llu\n", (unsigned long long)count);
}

static void add_timing(
    const struct metric *metric, const struct timing *timing, const char *labels, struct text *text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < TIMING_BUCKETS; i++) {
        count += timing->buckets[i];
        add_bucket(metric, labels, i, count, text);
    }
    add_name(metric, "_sum", labels, text);
    add_seconds(timing->sum_ns, text);
    text_add_char(text, '\n');
    add_name(metric, "_count", labels, text);
    text_add(text, "%llu\n", (unsigned long long)count);
}

/* The row's labels and those of the format. */
static void __attribute__((format(printf, 3, 0))) format_labels(
    char ret[METRIC_LABELS_MAX], const struct metric *metric, const char *format, va_list arguments)
{
    char more[METRIC_LABELS_MAX];
    struct text text;
    text_init(&text, more, sizeof more);
    text_add_list(&text, format, arguments);
    text_init(&text, ret, METRIC_LABELS_MAX);
    join_labels(&text, metric->labels, more);
}

void metric_sample(
    const struct metric *metric, uint64_t value, struct text *text, const char *labels, ...)
{
    char all[METRIC_LABELS_MAX];
    va_list arguments;
    va_start(arguments, labels);
    format_labels(all, metric, labels, arguments);
    va_end(arguments);
    add_sample(metric, value, all, text);
}

void metric_sample_timing(const struct metric *metric, const struct timing *timing,
    struct text *text, const char *labels, ...)
{
    char all[METRIC_LABELS_MAX];
    va_list arguments;
    va_start(arguments, labels);
    format_labels(all, metric, labels, arguments);
    va_end(arguments);
    add_timing(metric, timing, all, text);
}

/* ---- tables ---- */

void metric_print_sample(
    const struct metric *metric, const struct metric_object *object, struct text *text)
{
    const void *value = (const char *)object->values + metric->offset;
    char labels[METRIC_LABELS_MAX];
    struct text joined;
    uint64_t number;
    bool flag;
    text_init(&joined, labels, sizeof labels);
    join_labels(&joined, metric->labels, object->labels);
    switch (metric->kind) {
    case METRIC_TIMING:
        add_timing(metric, value, labels, text);
        break;
    case METRIC_GAUGE_BOOL:
        memcpy(&flag, value, sizeof flag);
        add_sample(metric, flag, labels, text);
        break;
    default:
        memcpy(&number, value, sizeof number);
        add_sample(metric, number, labels, text);
    }
}

void metric_print(const struct metric *table, size_t count, const struct metric_object *objects,
    size_t object_count, struct text *text)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(table[i - 1].name, table[i].name) != 0)
            metric_begin(&table[i], text);
        for (size_t k = 0; k < object_count; k++)
            metric_print_sample(&table[i], &objects[k], text);
    }
}
