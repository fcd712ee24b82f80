#include "base/metric.h"

#include "base/units.h"

/* Value v >= 16 with highest bit h: 16 buckets for each h, chosen by the 4 bits below it. */
static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (size_t)value;
    unsigned high = 63u - (unsigned)__builtin_clzll(value);
    return (size_t)(high - 3) * HISTOGRAM_STEPS + (size_t)(value >> (high - 4) & 15);
}

/* The greatest value of a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned high = (unsigned)(bucket / HISTOGRAM_STEPS) + 3;
    uint64_t bottom = UINT64_C(1) << high | (uint64_t)(bucket % HISTOGRAM_STEPS) << (high - 4);
    return bottom + ((UINT64_C(1) << (high - 4)) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->buckets[bucket_of(value)]++;
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->count++;
    histogram->sum += value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->sum += from->sum;
}

uint64_t histogram_quantile(const struct histogram *histogram, uint32_t per_million)
{
    CHECK(per_million <= 1000000);
    unsigned __int128 scaled = (unsigned __int128)histogram->count * per_million;
    uint64_t rank = (uint64_t)((scaled + 999999) / 1000000); /* how many lie at or below */
    uint64_t seen = 0;
    if (rank == 0)
        return histogram->min;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank)
            return bucket_top(i) < histogram->max ? bucket_top(i) : histogram->max;
    }
    return histogram->max;
}

void metric_merge(const struct metric *table, size_t count, void *into, const void *from)
{
    for (size_t i = 0; i < count; i++) {
        void *to = (char *)into + table[i].offset;
        const void *value = (const char *)from + table[i].offset;
        uint64_t *number = to, other;
        if (table[i].kind == METRIC_LATENCY) {
            histogram_merge(to, value);
            continue;
        }
        memcpy(&other, value, sizeof other);
        if (table[i].kind != METRIC_GAUGE_MAX)
            *number += other;
        else if (other > *number)
            *number = other;
    }
}

static void head_print(const struct metric *metric, struct text *text)
{
    static const char *const types[] = {"counter", "gauge", "gauge", "summary"};
    text_add(text, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
        types[metric->kind]);
}

static void seconds_print(uint64_t ns, struct text *text)
{
    text_add(text, "%llu.%09llu\n", (unsigned long long)(ns / NS_PER_S),
        (unsigned long long)(ns % NS_PER_S));
}

/* name_suffix{labels} */
static void name_print(const struct metric *metric, const char *suffix, struct text *text)
{
    text_add(text, "%s%s", metric->name, suffix);
    if (metric->labels)
        text_add(text, "{%s}", metric->labels);
    text_add_char(text, ' ');
}

static void summary_print(
    const struct metric *metric, const struct histogram *histogram, struct text *text)
{
    static const struct {
        const char *name;
        uint32_t per_million;
    } quantiles[] = {{"0.5", 500000}, {"0.9", 900000}, {"0.99", 990000}, {"0.999", 999000}};
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        text_add(text, "%s{%s%squantile=\"%s\"} ", metric->name,
            metric->labels ? metric->labels : "", metric->labels ? "," : "", quantiles[i].name);
        seconds_print(histogram_quantile(histogram, quantiles[i].per_million), text);
    }
    name_print(metric, "_sum", text);
    seconds_print(histogram->sum, text);
    name_print(metric, "_count", text);
    text_add(text, "%llu\n", (unsigned long long)histogram->count);
}

void metric_print(const struct metric *table, size_t count, const void *values, struct text *text)
{
    for (size_t i = 0; i < count; i++) {
        const void *value = (const char *)values + table[i].offset;
        if (i == 0 || strcmp(table[i - 1].name, table[i].name) != 0)
            head_print(&table[i], text);
        if (table[i].kind == METRIC_LATENCY) {
            summary_print(&table[i], value, text);
        } else {
            uint64_t number;
            memcpy(&number, value, sizeof number);
            name_print(&table[i], "", text);
            text_add(text, "%llu\n", (unsigned long long)number);
        }
    }
}
