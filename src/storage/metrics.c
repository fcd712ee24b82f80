#include "storage/metrics.h"

#include "base/units.h"
#include "doors/metrics_page.h"
#include "storage/internal.h"

enum { MOUNT_LABEL_MAX = 24 };

/* ---- what clients asked ---- */

static const struct metric counter_rows[] = {
    {METRIC_AT_COUNTER(struct storage_counters, uploads), "cairn_served_total",
        "requests that succeeded, by verb, of all doors", "verb=\"upload\""},
    {METRIC_AT_COUNTER(struct storage_counters, finds), "cairn_served_total", "", "verb=\"find\""},
    {METRIC_AT_COUNTER(struct storage_counters, modifies), "cairn_served_total", "",
        "verb=\"modify\""},
    {METRIC_AT_COUNTER(struct storage_counters, deletes), "cairn_served_total", "",
        "verb=\"delete\""},
    {METRIC_AT_COUNTER(struct storage_counters, stats), "cairn_served_total", "", "verb=\"stat\""},
    {METRIC_AT_COUNTER(struct storage_counters, lists), "cairn_served_total", "", "verb=\"list\""},
    {METRIC_AT_COUNTER(struct storage_counters, refused), "cairn_refused_total",
        "requests that were answered with an error", NULL},
    {METRIC_AT_COUNTER(struct storage_counters, bytes_in), "cairn_content_bytes_total",
        "bytes of content that came from clients (in) and went to them (out)", "way=\"in\""},
    {METRIC_AT_COUNTER(struct storage_counters, bytes_out), "cairn_content_bytes_total", "",
        "way=\"out\""},
};

static const struct metric door_rows[] = {
    {METRIC_AT_GAUGE(struct storage_door_report, connections), "cairn_connections",
        "connections that are open, by door", NULL},
    {METRIC_AT_GAUGE(struct storage_door_report, connections_max), "cairn_connections_limit",
        "how many may be open, by door; 0: it is closed", NULL},
    {METRIC_AT_COUNTER(struct storage_door_report, accepted), "cairn_connections_accepted_total",
        "connections that came, by door", NULL},
    {METRIC_AT_COUNTER(struct storage_door_report, refused), "cairn_connections_refused_total",
        "connections that were refused because too many were open, by door", NULL},
};

static void write_doors(const struct storage *storage, struct text *text)
{
    static const char *const labels[STORAGE_DOORS_COUNT] = {
        "door=\"native\"", "door=\"http\"", "door=\"fastdfs\""};
    struct storage_door_report sums[STORAGE_DOORS_COUNT] = {0};
    struct metric_object objects[STORAGE_DOORS_COUNT];
    for (size_t door = 0; door < STORAGE_DOORS_COUNT; door++) {
        for (uint16_t i = 0; i < storage->loop_count; i++) {
            const struct storage_door_report *one = &storage->reports[i].doors[door];
            sums[door].connections += one->connections;
            sums[door].connections_max += one->connections_max;
            sums[door].accepted += one->accepted;
            sums[door].refused += one->refused;
        }
        objects[door] = (struct metric_object){&sums[door], labels[door]};
    }
    metric_print(door_rows, ARRAY_LEN(door_rows), objects, STORAGE_DOORS_COUNT, text);
}

/* ---- the storage as a whole ---- */

struct totals {
    uint64_t total_bytes, free_bytes, files, operations, corrupt_reads;
    uint64_t descriptor_budget, memory_budget, trackers, lag_records, lag_ns, filled, to_fill;
};
static const struct metric total_rows[] = {
    {METRIC_AT_GAUGE(struct totals, operations), "cairn_requests_in_flight",
        "requests that are being served", NULL},
    {METRIC_AT_GAUGE(struct totals, files), "cairn_files",
        "files that were stored here first; mirrors do not count them again", NULL},
    {METRIC_AT_GAUGE(struct totals, total_bytes), "cairn_space_total_bytes",
        "size of all mount points", NULL},
    {METRIC_AT_GAUGE(struct totals, free_bytes), "cairn_space_free_bytes",
        "room for uploads, above the reserve, with what chunks can reuse", NULL},
    {METRIC_AT_COUNTER(struct totals, corrupt_reads), "cairn_corrupt_reads_total",
        "reads that met damaged content", NULL},
    {METRIC_AT_GAUGE(struct totals, descriptor_budget), "cairn_descriptor_budget",
        "descriptors that this storage may need at most, by the sums of its start", NULL},
    {METRIC_AT_GAUGE(struct totals, memory_budget), "cairn_memory_budget_bytes",
        "memory by the sums of its start", NULL},
    {METRIC_AT_GAUGE(struct totals, trackers), "cairn_trackers_welcome",
        "trackers that answered the last heartbeats", NULL},
    {METRIC_AT_GAUGE(struct totals, lag_records), "cairn_lag_records",
        "records of the other members that are not here yet", NULL},
    {METRIC_AT_GAUGE_NS(struct totals, lag_ns), "cairn_lag_seconds",
        "how long ago this storage had all that the other members have", NULL},
    {METRIC_AT_GAUGE(struct totals, filled), "cairn_rebuild_files_done",
        "files gone through by the rebuild that runs; 0 of 0: none", NULL},
    {METRIC_AT_GAUGE(struct totals, to_fill), "cairn_rebuild_files",
        "files that it has to go through", NULL},
};

static void write_totals(const struct storage *storage, struct text *text)
{
    struct totals totals = {.descriptor_budget = storage->budget.descriptor_sum,
        .memory_budget = storage->budget.memory_sum,
        .trackers = heartbeat_welcome_count(
            &storage->heartbeat, 5 * storage->config.heartbeat_interval_ns)};
    struct contacts_sums sums;
    contacts_sum(&storage->contacts, true, io_now(storage->loops[0].io), &sums);
    totals.lag_records = sums.lag_records;
    totals.lag_ns = sums.lag_ns;
    storage_space(storage, &totals.total_bytes, &totals.free_bytes);
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        totals.files += report_sum_mount(storage, i).live_files;
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        totals.operations += storage->reports[i].operations;
        totals.corrupt_reads += storage->reports[i].corrupt_reads;
    }
    if (storage->filling.progress && storage->state == STATE_DSYNCING)
        storage->filling.progress(storage, &totals.filled, &totals.to_fill);
    metric_print(
        total_rows, ARRAY_LEN(total_rows), &(struct metric_object){&totals, NULL}, 1, text);
}

static const struct metric state_row = {
    METRIC_GAUGE, 0, "cairn_state", "1 for the state that the storage is in", NULL};

static void write_state(const struct storage *storage, struct text *text)
{
    metric_begin(&state_row, text);
    for (unsigned state = STATE_INITING; state <= STATE_CLOSED; state++)
        metric_sample(&state_row, storage->state == state, text, "state=\"%s\"",
            storage_state_name((uint8_t)state));
}

/* ---- mount points ---- */

struct mount_values {
    struct storage_mount_report sums;
    uint64_t total_bytes, free_bytes, reserve_bytes, checkpoint_age_ns, full_streams;
    bool is_online;
};
static const struct metric mount_rows[] = {
    {METRIC_AT_GAUGE_BOOL(struct mount_values, is_online), "cairn_mount_online",
        "does the mount point take part? 0: it was refused or failed", NULL},
    {METRIC_AT_GAUGE(struct mount_values, total_bytes), "cairn_mount_total_bytes",
        "size of its file system", NULL},
    {METRIC_AT_GAUGE(struct mount_values, free_bytes), "cairn_mount_free_bytes",
        "what the file system has left", NULL},
    {METRIC_AT_GAUGE(struct mount_values, reserve_bytes), "cairn_mount_reserve_bytes",
        "what is kept free of it", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.reusable_bytes), "cairn_mount_reusable_bytes",
        "room in chunks that are there", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.live_files), "cairn_mount_files",
        "of them, those of the mount point", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.chunks), "cairn_mount_chunks", "chunk files", NULL},
    {METRIC_AT_GAUGE(struct mount_values, full_streams), "cairn_mount_full_streams",
        "streams that find no room for another chunk", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.log_bytes), "cairn_mount_log_bytes",
        "log that a restart would read: since the last checkpoint", NULL},
    {METRIC_AT_COUNTER(struct mount_values, sums.log_commits), "cairn_mount_commits_total",
        "durable writes of the logs", NULL},
    {METRIC_AT_COUNTER(struct mount_values, sums.log_records), "cairn_mount_records_total",
        "records in them", NULL},
    {METRIC_AT_TIMING(struct mount_values, sums.commits), "cairn_mount_commit_seconds",
        "how long durable writes of the logs took: the disk's sync latency", NULL},
    {METRIC_AT_COUNTER(struct mount_values, sums.checkpoints), "cairn_mount_checkpoints_total",
        "checkpoints", NULL},
    {METRIC_AT_GAUGE_NS(struct mount_values, checkpoint_age_ns),
        "cairn_mount_checkpoint_age_seconds",
        "since the last checkpoint of the stream that waits longest", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.lost_chunks), "cairn_mount_lost_chunks",
        "chunk files that are gone and should be there", NULL},
    {METRIC_AT_GAUGE(struct mount_values, sums.rotten_batches), "cairn_mount_rotten_batches",
        "damaged batches that recovery stepped over", NULL},
};

static void take_mount(const struct storage *storage, uint32_t position, struct mount_values *ret)
{
    const struct storage_mount *it = &storage->mounts.all[position];
    uint64_t now_ns = io_now(storage->loops[0].io);
    *ret = (struct mount_values){.sums = report_sum_mount(storage, position),
        .total_bytes = it->mount.total_bytes,
        .free_bytes = it->mount.free_bytes,
        .reserve_bytes = it->mount.reserve_bytes,
        .is_online = !err_is(it->err) && !err_is(it->mount.fenced)};
    ret->full_streams = ret->sums.full_streams;
    if (ret->sums.checkpoint_ns > 0 && ret->sums.checkpoint_ns <= now_ns)
        ret->checkpoint_age_ns = now_ns - ret->sums.checkpoint_ns;
}

static const struct metric mount_info = {
    METRIC_GAUGE, 0, "cairn_mount_info", "always 1; the label says where the mount point is", NULL};

static void write_mount_info(const struct storage *storage, struct text *text)
{
    metric_begin(&mount_info, text);
    for (uint32_t i = 0; i < storage->mounts.count; i++) {
        const struct storage_mount_config *config = &storage->config.mount[i];
        text_add(text, "%s{mount=\"%u\",path=\"", mount_info.name, config->index);
        metric_add_label_value(text, config->path);
        text_add(text, "\"} 1\n");
    }
}

/* Family by family, as Prometheus wants them: each mount point is looked at once per family. */
static void write_mounts(const struct storage *storage, struct text *text)
{
    char labels[MOUNT_LABEL_MAX];
    write_mount_info(storage, text);
    for (size_t row = 0; row < ARRAY_LEN(mount_rows); row++) {
        metric_begin(&mount_rows[row], text);
        for (uint32_t i = 0; i < storage->mounts.count; i++) {
            struct mount_values values;
            struct text label;
            take_mount(storage, i, &values);
            text_init(&label, labels, sizeof labels);
            text_add(&label, "mount=\"%u\"", storage->config.mount[i].index);
            metric_print_sample(&mount_rows[row], &(struct metric_object){&values, labels}, text);
        }
    }
}

/* ---- members and mirrors ---- */

struct member_values {
    uint64_t lag_records, lag_bytes, lag_ns, records_sent, bytes_sent, left_out;
    bool is_alive, is_connected, is_caught_up;
};
static const struct metric member_rows[] = {
    {METRIC_AT_GAUGE_BOOL(struct member_values, is_alive), "cairn_peer_alive",
        "do trackers say that this member of the group lives?", NULL},
    {METRIC_AT_GAUGE_BOOL(struct member_values, is_connected), "cairn_peer_connected",
        "is this storage connected to it?", NULL},
    {METRIC_AT_GAUGE_BOOL(struct member_values, is_caught_up), "cairn_peer_followed",
        "has this storage been as far as the member was, since its start?", NULL},
    {METRIC_AT_GAUGE(struct member_values, lag_records), "cairn_peer_lag_records",
        "records of this storage that the peer does not hold yet", NULL},
    {METRIC_AT_GAUGE(struct member_values, lag_bytes), "cairn_peer_lag_bytes",
        "their bytes in the log", NULL},
    {METRIC_AT_GAUGE_NS(struct member_values, lag_ns), "cairn_peer_lag_seconds",
        "age of the oldest of them", NULL},
    {METRIC_AT_COUNTER(struct member_values, records_sent), "cairn_peer_sent_records_total",
        "records that were pushed to it", NULL},
    {METRIC_AT_COUNTER(struct member_values, bytes_sent), "cairn_peer_sent_bytes_total",
        "bytes that were pushed to it", NULL},
    {METRIC_AT_COUNTER(struct member_values, left_out), "cairn_peer_superseded_total",
        "records whose content was not here any more: a newer version followed", NULL},
};

static void take_member(const struct storage *storage, uint32_t index, struct member_values *ret)
{
    const struct roster_member *it = &storage->membership.roster.all[index];
    const struct contact *contact = &storage->contacts.all[index];
    struct push_lag_sum lag =
        push_lag_of_mirror(storage->reports, storage->loop_count, it->member.machine);
    *ret = (struct member_values){.lag_records = lag.records,
        .lag_bytes = lag.bytes,
        .lag_ns = lag.ns,
        .is_alive = it->member.is_alive,
        .is_connected = contact->is_introduced,
        .is_caught_up = contact->is_caught_up};
    for (uint16_t i = 0; i < storage->loop_count; i++)
        for (uint32_t k = 0; k < storage->reports[i].push_count; k++) {
            const struct push_report *push = &storage->reports[i].pushes[k];
            if (push->machine != it->member.machine)
                continue;
            ret->records_sent += push->records_sent;
            ret->bytes_sent += push->bytes_sent;
            ret->left_out += push->left_out;
        }
}

static void write_members(const struct storage *storage, struct text *text)
{
    struct member_values values[MEMBERS_MAX];
    struct metric_object objects[MEMBERS_MAX];
    char labels[MEMBERS_MAX][24];
    uint32_t count = 0;
    for (uint32_t i = 0; i < storage->membership.roster.count; i++) {
        const struct roster_member *it = &storage->membership.roster.all[i];
        struct text label;
        if (it->member.is_removed)
            continue;
        take_member(storage, i, &values[count]);
        text_init(&label, labels[count], sizeof labels[count]);
        text_add(&label, "peer=\"m%03u\"", it->member.machine);
        objects[count] = (struct metric_object){&values[count], labels[count]};
        count++;
    }
    metric_print(member_rows, ARRAY_LEN(member_rows), objects, count, text);
}

static const struct metric position_row = {METRIC_GAUGE, 0, "cairn_peer_position",
    "number (LSN) of the newest record that the peer holds, by stream of this storage", NULL};

static void write_positions(const struct storage *storage, struct text *text)
{
    uint32_t count = 0;
    metric_begin(&position_row, text);
    for (uint16_t i = 0; i < storage->loop_count; i++)
        for (uint32_t k = 0; k < storage->reports[i].push_count; k++) {
            const struct push_report *push = &storage->reports[i].pushes[k];
            if (count++ < PUSH_REPORT_DETAILS_MAX)
                metric_sample(&position_row, push->held_lsn, text,
                    "peer=\"m%03u\",mount=\"%u\",stream=\"%u\"", push->machine, push->mount,
                    push->stream);
        }
}

/* ---- scrub and comparison ---- */

static const struct metric scrub_rows[] = {
    {METRIC_AT_GAUGE(struct storage_scrub_report, is_running), "cairn_scrub_running",
        "loops whose pass runs", NULL},
    {METRIC_AT_COUNTER(struct storage_scrub_report, passes), "cairn_scrub_passes_total",
        "passes that began", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, files), "cairn_scrub_files",
        "files read by the pass that runs, or ran", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, bytes), "cairn_scrub_bytes", "their bytes", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, last_files), "cairn_scrub_last_files",
        "files read by the last whole pass", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, last_damaged), "cairn_scrub_last_damaged",
        "damaged files that it met", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, last_repaired), "cairn_scrub_last_repaired",
        "of them, repaired from a mirror", NULL},
    {METRIC_AT_GAUGE(struct storage_scrub_report, last_suspects), "cairn_scrub_last_suspects",
        "units whose files were not what their digest says", NULL},
    {METRIC_AT_GAUGE_NS(struct storage_scrub_report, last_duration_ns), "cairn_scrub_last_seconds",
        "how long the last whole pass took on the slowest loop", NULL},
};

static void write_scrub(const struct storage *storage, struct text *text)
{
    struct storage_scrub_report sum = {0};
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        const struct storage_scrub_report *one = &storage->reports[i].scrub;
        sum.is_running += one->is_running;
        sum.passes += one->passes;
        sum.files += one->files;
        sum.bytes += one->bytes;
        sum.last_files += one->last_files;
        sum.last_damaged += one->last_damaged;
        sum.last_repaired += one->last_repaired;
        sum.last_suspects += one->last_suspects;
        if (one->last_duration_ns > sum.last_duration_ns)
            sum.last_duration_ns = one->last_duration_ns;
    }
    metric_print(scrub_rows, ARRAY_LEN(scrub_rows), &(struct metric_object){&sum, NULL}, 1, text);
}

static const struct metric compare_rows[] = {
    {METRIC_AT_COUNTER(struct reconcile, pass), "cairn_compare_passes_total",
        "comparisons with the other members that began", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.units), "cairn_compare_units",
        "units compared by the newest", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.differed), "cairn_compare_differed",
        "of them, those that had to be gone through", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.remaining), "cairn_compare_remaining",
        "of them, still not equal afterwards", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.taken), "cairn_compare_taken",
        "files that it brought here", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.repaired), "cairn_compare_repaired",
        "of them, damaged here before", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.failed), "cairn_compare_failed",
        "files that it could not bring", NULL},
    {METRIC_AT_GAUGE(struct reconcile, shown.members_failed), "cairn_compare_members_failed",
        "members that it could not go through", NULL},
};

/* ---- all of it ---- */

void metrics_write(const struct storage *storage, struct text *text)
{
    const struct storage_options *options = &storage->options;
    struct metrics_head head = {.role = "storage",
        .version = CAIRN_VERSION,
        .group = storage->config.group,
        .pool = storage->config.pool,
        .machine = storage->config.machine_number,
        .started_wall_ns = storage->started_wall_ns,
        .now_wall_ns = io_wall(storage->loops[0].io),
        .descriptor_limit = options->descriptor_limit};
    if (options->cpu_time)
        options->cpu_time(options->context, &head.cpu_user_ns, &head.cpu_system_ns);
    struct storage_counters counters = report_sum_counters(storage);
    struct loop_sample samples[STORAGE_LOOPS_MAX];
    struct deeds deeds = {0};
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        samples[i] = storage->reports[i].sample;
        deeds_merge(&deeds, &storage->reports[i].deeds);
    }
    metrics_write_head(&head, text);
    write_state(storage, text);
    metric_print(
        counter_rows, ARRAY_LEN(counter_rows), &(struct metric_object){&counters, NULL}, 1, text);
    write_totals(storage, text);
    write_doors(storage, text);
    write_mounts(storage, text);
    write_members(storage, text);
    write_positions(storage, text);
    write_scrub(storage, text);
    metric_print(compare_rows, ARRAY_LEN(compare_rows),
        &(struct metric_object){&storage->reconcile, NULL}, 1, text);
    metrics_write_loops(samples, storage->loop_count, text);
    metrics_write_deeds(&deeds, text);
}
