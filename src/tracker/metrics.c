/* The metrics of a tracker (doc/metrics.md): what it was asked, and how it sees storages and groups. */
#include "base/units.h"
#include "doors/metrics_page.h"
#include "tracker/internal.h"

enum { LABELS_MAX = 64, STORAGE_ROWS_SIZE = 1024, GROUP_ROWS_SIZE = 512 };

size_t tracker_metrics_size(const struct registry_tables *tables)
{
    return METRICS_PAGE_COMMON_SIZE + tables->storages_max * (size_t)STORAGE_ROWS_SIZE
           + tables->groups_max * (size_t)GROUP_ROWS_SIZE;
}

/* ---- what it was asked ---- */

static const struct metric counter_rows[] = {
    {METRIC_AT_COUNTER(struct tracker_counters, heartbeats), "cairn_tracker_heartbeats_total",
        "heartbeats of storages", NULL},
    {METRIC_AT_COUNTER(struct tracker_counters, heartbeats_refused),
        "cairn_tracker_heartbeats_refused_total", "of them, refused", NULL},
    {METRIC_AT_COUNTER(struct tracker_counters, queries), "cairn_tracker_queries_total",
        "questions for storages to go to, by door", "door=\"native\""},
    {METRIC_AT_COUNTER(struct tracker_counters, fastdfs_requests), "cairn_tracker_queries_total",
        "", "door=\"fastdfs\""},
    {METRIC_AT_COUNTER(struct tracker_counters, http_requests), "cairn_tracker_queries_total", "",
        "door=\"http\""},
    {METRIC_AT_COUNTER(struct tracker_counters, queries_refused),
        "cairn_tracker_queries_refused_total", "of them, answered with an error, by door",
        "door=\"native\""},
    {METRIC_AT_COUNTER(struct tracker_counters, fastdfs_refused),
        "cairn_tracker_queries_refused_total", "", "door=\"fastdfs\""},
    {METRIC_AT_COUNTER(struct tracker_counters, http_refused),
        "cairn_tracker_queries_refused_total", "", "door=\"http\""},
};

/* ---- storages ---- */

struct storage_values {
    uint64_t free_bytes, total_bytes, load, mounts_online, mounts_total, heard_ago_ns;
    uint64_t lag_records, lag_ns;
    bool is_alive, is_running, is_draining;
};
static const struct metric storage_rows[] = {
    {METRIC_AT_GAUGE_BOOL(struct storage_values, is_alive), "cairn_storage_alive",
        "do its heartbeats come?", NULL},
    {METRIC_AT_GAUGE_BOOL(struct storage_values, is_running), "cairn_storage_running",
        "are clients sent to it?", NULL},
    {METRIC_AT_GAUGE_BOOL(struct storage_values, is_draining), "cairn_storage_draining",
        "is it being emptied by an operator?", NULL},
    {METRIC_AT_GAUGE_NS(struct storage_values, heard_ago_ns), "cairn_storage_heard_ago_seconds",
        "since its last heartbeat", NULL},
    {METRIC_AT_GAUGE(struct storage_values, free_bytes), "cairn_storage_free_bytes",
        "room for uploads, as it says", NULL},
    {METRIC_AT_GAUGE(struct storage_values, total_bytes), "cairn_storage_total_bytes",
        "size of its mount points", NULL},
    {METRIC_AT_GAUGE(struct storage_values, load), "cairn_storage_load",
        "requests in flight, as it says", NULL},
    {METRIC_AT_GAUGE(struct storage_values, mounts_online), "cairn_storage_mounts_online",
        "mount points that take part", NULL},
    {METRIC_AT_GAUGE(struct storage_values, mounts_total), "cairn_storage_mounts",
        "mount points of its configuration", NULL},
    {METRIC_AT_GAUGE(struct storage_values, lag_records), "cairn_storage_lag_records",
        "records of its group that it lacks, as it says", NULL},
    {METRIC_AT_GAUGE_NS(struct storage_values, lag_ns), "cairn_storage_lag_seconds",
        "how long ago it had all of them", NULL},
};

static void take_storage(
    const struct registry_storage *storage, uint64_t now_ns, struct storage_values *ret)
{
    bool is_alive = storage->life == REGISTRY_ALIVE;
    *ret = (struct storage_values){.free_bytes = storage->free_bytes,
        .total_bytes = storage->total_bytes,
        .load = storage->load,
        .mounts_online = storage->mounts_online,
        .mounts_total = storage->mounts_total,
        .heard_ago_ns = now_ns - storage->heard_ns,
        .lag_records = storage->lag_records,
        .lag_ns = storage->lag_ns,
        .is_alive = is_alive,
        .is_running = is_alive && registry_is_running(storage),
        .is_draining = (storage->flags & MEMBER_DRAINING) != 0};
}

/* Names of groups and pools hold nothing that has to be escaped: the registry lets no such in. */
static void write_storages(const struct registry *registry, uint64_t now_ns, struct text *text)
{
    const struct registry_tables *tables = &registry->tables;
    char labels[LABELS_MAX];
    for (size_t row = 0; row < ARRAY_LEN(storage_rows); row++) {
        metric_begin(&storage_rows[row], text);
        for (uint32_t i = 0; i < tables->storages_max; i++) {
            const struct registry_storage *storage = &tables->storages[i];
            struct storage_values values;
            struct text label;
            if (storage->machine == 0)
                continue;
            take_storage(storage, now_ns, &values);
            text_init(&label, labels, sizeof labels);
            text_add(&label, "storage=\"m%03u\",of=\"%s\"", storage->machine,
                tables->groups[storage->group].name);
            metric_print_sample(&storage_rows[row], &(struct metric_object){&values, labels}, text);
        }
    }
}

/* ---- groups ---- */

static const struct {
    struct metric metric;
    bool is_wide; /* uint64_t, else uint32_t */
    size_t offset;
} group_rows[] = {
    {{METRIC_GAUGE, 0, "cairn_group_members", "storages of the group that are known", NULL}, false,
        offsetof(struct registry_summary, members)},
    {{METRIC_GAUGE, 0, "cairn_group_alive", "of them, those whose heartbeats come", NULL}, false,
        offsetof(struct registry_summary, alive)},
    {{METRIC_GAUGE, 0, "cairn_group_running", "of them, those that clients are sent to", NULL},
        false, offsetof(struct registry_summary, running)},
    {{METRIC_GAUGE, 0, "cairn_group_free_bytes", "room for uploads: the least of its members'",
         NULL},
        true, offsetof(struct registry_summary, free_bytes)},
    {{METRIC_GAUGE, 0, "cairn_group_total_bytes", "size: the least of its members'", NULL}, true,
        offsetof(struct registry_summary, total_bytes)},
};

static uint64_t number_at(const struct registry_summary *summary, size_t offset, bool is_wide)
{
    uint64_t wide;
    uint32_t narrow;
    if (is_wide)
        memcpy(&wide, (const char *)summary + offset, sizeof wide);
    else
        memcpy(&narrow, (const char *)summary + offset, sizeof narrow);
    return is_wide ? wide : narrow;
}

static void write_groups(const struct registry *registry, struct text *text)
{
    const struct registry_tables *tables = &registry->tables;
    for (size_t row = 0; row < ARRAY_LEN(group_rows); row++) {
        metric_begin(&group_rows[row].metric, text);
        for (uint32_t i = 0; i < tables->groups_max; i++) {
            struct registry_summary summary;
            if (tables->groups[i].name[0] == '\0')
                continue;
            registry_summarize_group(registry, i, &summary);
            metric_sample(&group_rows[row].metric,
                number_at(&summary, group_rows[row].offset, group_rows[row].is_wide), text,
                "of=\"%s\",in_pool=\"%s\"", tables->groups[i].name,
                tables->pools[tables->groups[i].pool].name);
        }
    }
}

/* ---- all of it ---- */

void tracker_write_metrics(const struct tracker *tracker, struct text *text)
{
    struct loop_sample sample;
    struct metrics_head head = {.role = "tracker",
        .version = CAIRN_VERSION,
        .group = "",
        .pool = "",
        .started_wall_ns = tracker->started_wall_ns,
        .now_wall_ns = io_wall(tracker->io)};
    loop_sample_take(&sample, tracker->io, tracker->mem);
    metrics_write_head(&head, text);
    metric_print(counter_rows, ARRAY_LEN(counter_rows),
        &(struct metric_object){&tracker->counters, NULL}, 1, text);
    write_storages(&tracker->registry, io_now(tracker->io), text);
    write_groups(&tracker->registry, text);
    if (tracker->config.shares_loop)
        return;
    metrics_write_loops(&sample, 1, text);
    metrics_write_deeds(&tracker->io->run.deeds, text);
}
