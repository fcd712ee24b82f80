#include "bin/top_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

const char *const top_verb_names[TOP_VERBS] = {
    "upload", "find", "modify", "delete", "stat", "list"};

/* ---- one line: name{labels} value ---- */

enum { LABELS_MAX = 256, NAME_MAX = 64, VALUE_MAX = 32 };

struct line {
    char name[NAME_MAX], labels[LABELS_MAX];
    double value;
};

static bool copy(char *to, size_t capacity, const char *from, size_t size)
{
    if (size >= capacity)
        return false;
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

/* False: a comment, or longer than any that we look for. */
static bool line_parse(struct line *line, const char *text, size_t size)
{
    const char *end = text + size, *value = end;
    while (value > text && value[-1] != ' ')
        value--;
    if (size == 0 || text[0] == '#' || value == text)
        return false;
    size_t name_size = 0;
    while (text + name_size < value - 1 && text[name_size] != '{')
        name_size++;
    const char *labels = text + name_size;
    char number[VALUE_MAX];
    if (!copy(line->name, NAME_MAX, text, name_size)
        || !copy(line->labels, LABELS_MAX, labels, (size_t)(value - 1 - labels))
        || !copy(number, sizeof number, value, (size_t)(end - value)))
        return false;
    line->value = strtod(number, NULL);
    return true;
}

static bool has_label(const struct line *line, const char *key, const char *value)
{
    char wanted[NAME_MAX];
    (void)snprintf(wanted, sizeof wanted, "%s=\"%s\"", key, value);
    return strstr(line->labels, wanted) != NULL;
}

/* The value of a label without escapes, up to `capacity`. */
static bool label_of(const struct line *line, const char *key, char *ret, size_t capacity)
{
    char wanted[NAME_MAX];
    int size = snprintf(wanted, sizeof wanted, "%s=\"", key);
    const char *at = strstr(line->labels, wanted);
    return at && copy(ret, capacity, at + size, strcspn(at + size, "\""));
}

/* ---- plain numbers ---- */

static const struct {
    const char *name, *key, *value; /* a label that it must have; NULL: any */
    bool is_largest;                /* of several; else their sum */
    size_t offset;
} fields[] = {
#define SUM(name, member)                                            \
    {                                                                \
        name, NULL, NULL, false, offsetof(struct top_sample, member) \
    }
#define SUM_OF(name, key, value, member)                             \
    {                                                                \
        name, key, value, false, offsetof(struct top_sample, member) \
    }
#define LARGEST(name, member)                                       \
    {                                                               \
        name, NULL, NULL, true, offsetof(struct top_sample, member) \
    }
    SUM("cairn_time_seconds", time),
    SUM_OF("cairn_content_bytes_total", "way", "in", bytes_in),
    SUM_OF("cairn_content_bytes_total", "way", "out", bytes_out),
    SUM("cairn_peer_sent_bytes_total", sent),
    SUM("cairn_connections", connections),
    SUM("cairn_requests_in_flight", in_flight),
    SUM("cairn_files", files),
    SUM("cairn_corrupt_reads_total", corrupt),
    SUM("cairn_compare_remaining", differing),
    LARGEST("cairn_peer_lag_seconds", lag),
    LARGEST("cairn_peer_lag_records", lag_records),
    SUM_OF("cairn_held", "kind", "fd", descriptors),
    SUM("cairn_descriptor_limit", descriptor_limit),
    SUM("cairn_memory_bytes", memory),
    SUM("cairn_memory_budget_bytes", memory_budget),
    SUM("cairn_cpu_seconds_total", cpu),
#undef SUM
#undef SUM_OF
#undef LARGEST
};

static void take_field(struct top_sample *sample, const struct line *line)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(line->name, fields[i].name) != 0
            || (fields[i].key && !has_label(line, fields[i].key, fields[i].value)))
            continue;
        double *to = (double *)(void *)((char *)sample + fields[i].offset);
        *to = fields[i].is_largest ? (line->value > *to ? line->value : *to) : *to + line->value;
    }
}

/* ---- histograms ---- */

static void take_bucket(struct timing *timing, const struct line *line)
{
    char text[VALUE_MAX];
    if (!label_of(line, "le", text, sizeof text))
        return;
    size_t bucket = 0;
    double top_ns = strtod(text, NULL) * (double)NS_PER_S; /* the last one: infinite */
    while (bucket < TIMING_BUCKETS - 1 && (double)timing_top_ns(bucket) + 0.5 < top_ns)
        bucket++;
    bool is_count = line->value >= 0 && line->value < 0x1p63;
    timing->buckets[bucket] = is_count ? (uint64_t)line->value : 0;
}

/* From "how many at most so long" to "how many in this bucket". */
static void split_buckets(struct timing *timing)
{
    for (size_t i = TIMING_BUCKETS - 1; i > 0; i--)
        timing->buckets[i] -= timing->buckets[i] > timing->buckets[i - 1] ? timing->buckets[i - 1]
                                                                          : timing->buckets[i];
}

static void take_verb(struct top_sample *sample, const struct line *line)
{
    for (size_t verb = 0; verb < TOP_VERBS; verb++) {
        if (!has_label(line, "kind", top_verb_names[verb]))
            continue;
        if (strcmp(line->name, "cairn_operation_seconds_bucket") == 0)
            take_bucket(&sample->verbs[verb], line);
        else if (strcmp(line->name, "cairn_operations_total") == 0
                 && !has_label(line, "result", "ok"))
            sample->errors += line->value;
    }
}

/* ---- mount points ---- */

static const struct {
    const char *name;
    size_t offset;
} mount_fields[] = {
    {"cairn_mount_online", offsetof(struct top_mount, online)},
    {"cairn_mount_total_bytes", offsetof(struct top_mount, total)},
    {"cairn_mount_free_bytes", offsetof(struct top_mount, free)},
    {"cairn_mount_reserve_bytes", offsetof(struct top_mount, reserve)},
    {"cairn_mount_reusable_bytes", offsetof(struct top_mount, reusable)},
    {"cairn_mount_files", offsetof(struct top_mount, files)},
    {"cairn_mount_log_bytes", offsetof(struct top_mount, log_bytes)},
};

static struct top_mount *mount_at(struct top_sample *sample, const struct line *line)
{
    char text[VALUE_MAX];
    if (!label_of(line, "mount", text, sizeof text))
        return NULL;
    unsigned index = (unsigned)strtoul(text, NULL, 10);
    for (unsigned i = 0; i < sample->mount_count; i++)
        if (sample->mounts[i].index == index)
            return &sample->mounts[i];
    if (sample->mount_count == TOP_MOUNTS_MAX)
        return NULL;
    struct top_mount *mount = &sample->mounts[sample->mount_count++];
    mount->index = index;
    return mount;
}

static void take_mount(struct top_sample *sample, const struct line *line)
{
    struct top_mount *mount = mount_at(sample, line);
    if (!mount)
        return;
    if (strcmp(line->name, "cairn_mount_commit_seconds_bucket") == 0)
        take_bucket(&mount->commits, line);
    for (size_t i = 0; i < ARRAY_LEN(mount_fields); i++)
        if (strcmp(line->name, mount_fields[i].name) == 0)
            *(double *)(void *)((char *)mount + mount_fields[i].offset) = line->value;
}

/* ---- all of it ---- */

static void take_line(struct top_sample *sample, const struct line *line)
{
    if (strncmp(line->name, "cairn_mount_", 12) == 0)
        take_mount(sample, line);
    else if (strncmp(line->name, "cairn_operation", 15) == 0)
        take_verb(sample, line);
    else if (strcmp(line->name, "cairn_state") == 0 && line->value > 0)
        (void)label_of(line, "state", sample->state, sizeof sample->state);
    else
        take_field(sample, line);
}

bool top_sample_parse(struct top_sample *sample, const char *text)
{
    struct line line;
    *sample = (struct top_sample){0};
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        if (line_parse(&line, text, size))
            take_line(sample, &line);
        text += size + (text[size] == '\n');
    }
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        split_buckets(&sample->verbs[verb]);
    for (unsigned i = 0; i < sample->mount_count; i++)
        split_buckets(&sample->mounts[i].commits);
    return sample->time > 0 && sample->state[0] != '\0';
}

/* ---- differences and sums ---- */

static double grown(double before, double after)
{
    return after > before ? after - before : 0;
}

static void timing_since(struct timing *timing, const struct timing *before)
{
    for (size_t i = 0; i < TIMING_BUCKETS; i++)
        timing->buckets[i] -=
            timing->buckets[i] < before->buckets[i] ? timing->buckets[i] : before->buckets[i];
}

void top_sample_since(
    struct top_sample *ret, const struct top_sample *before, const struct top_sample *after)
{
    *ret = *after;
    ret->time = grown(before->time, after->time);
    ret->errors = grown(before->errors, after->errors);
    ret->bytes_in = grown(before->bytes_in, after->bytes_in);
    ret->bytes_out = grown(before->bytes_out, after->bytes_out);
    ret->sent = grown(before->sent, after->sent);
    ret->cpu = grown(before->cpu, after->cpu);
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        timing_since(&ret->verbs[verb], &before->verbs[verb]);
    for (unsigned i = 0; i < ret->mount_count; i++)
        for (unsigned k = 0; k < before->mount_count; k++)
            if (before->mounts[k].index == ret->mounts[i].index)
                timing_since(&ret->mounts[i].commits, &before->mounts[k].commits);
}

void top_sample_add(struct top_sample *sum, const struct top_sample *one)
{
    sum->time = one->time > sum->time ? one->time : sum->time;
    sum->errors += one->errors;
    sum->bytes_in += one->bytes_in;
    sum->bytes_out += one->bytes_out;
    sum->sent += one->sent;
    sum->connections += one->connections;
    sum->in_flight += one->in_flight;
    sum->files += one->files;
    sum->corrupt += one->corrupt;
    sum->differing += one->differing;
    sum->lag = one->lag > sum->lag ? one->lag : sum->lag;
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        timing_merge(&sum->verbs[verb], &one->verbs[verb]);
}

uint64_t top_quantile_ns(const struct timing *timing, double part)
{
    double rank = part * (double)timing_count(timing), seen = 0;
    if (rank <= 0)
        return 0;
    for (size_t i = 0; i < TIMING_BUCKETS; i++) {
        double here = (double)timing->buckets[i];
        if (seen + here >= rank && here > 0) {
            double bottom = i == 0 ? 0 : (double)timing_top_ns(i - 1);
            double top = i == TIMING_BUCKETS - 1 ? 2 * bottom : (double)timing_top_ns(i);
            return (uint64_t)(bottom + (top - bottom) * (rank - seen) / here);
        }
        seen += here;
    }
    return timing_top_ns(TIMING_BUCKETS - 2);
}
