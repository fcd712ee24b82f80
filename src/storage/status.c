#include "storage/status.h"

#include "base/json.h"
#include "base/units.h"
#include "doors/ops_page.h"
#include "sight/report.h"
#include "storage/internal.h"
#include "storage/native_op.h"

/* ---- sums over the loops ---- */

struct storage_counters report_sum_counters(const struct storage *storage)
{
    struct storage_counters sum = {0};
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        const struct storage_counters *one = &storage->reports[i].counters;
        sum.uploads += one->uploads;
        sum.finds += one->finds;
        sum.modifies += one->modifies;
        sum.deletes += one->deletes;
        sum.stats += one->stats;
        sum.lists += one->lists;
        sum.refused += one->refused;
        sum.bytes_in += one->bytes_in;
        sum.bytes_out += one->bytes_out;
    }
    return sum;
}

struct storage_mount_report report_sum_mount(const struct storage *storage, uint32_t position)
{
    struct storage_mount_report sum = {0};
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        const struct storage_mount_report *one = &storage->reports[i].mounts[position];
        if (one->streams > 0 && (sum.streams == 0 || one->checkpoint_ns < sum.checkpoint_ns))
            sum.checkpoint_ns = one->checkpoint_ns;
        sum.streams += one->streams;
        sum.live_files += one->live_files;
        sum.reusable_bytes += one->reusable_bytes;
        sum.chunks += one->chunks;
        sum.log_bytes += one->log_bytes;
        sum.log_commits += one->log_commits;
        sum.log_records += one->log_records;
        sum.checkpoints += one->checkpoints;
        timing_merge(&sum.commits, &one->commits);
        sum.lost_chunks += one->lost_chunks;
        sum.rotten_batches += one->rotten_batches;
        sum.replayed += one->replayed;
        sum.torn_streams += one->torn_streams;
        sum.full_streams += one->full_streams;
    }
    return sum;
}

/* ---- parts ---- */

static void write_uuid(struct json *json, const struct nonce *uuid)
{
    char hex[2 * sizeof uuid->bytes + 1];
    struct text text;
    text_init(&text, hex, sizeof hex);
    for (size_t i = 0; i < sizeof uuid->bytes; i++)
        text_add(&text, "%02x", uuid->bytes[i]);
    json_text(json, "uuid", hex);
}

static void write_head(struct json *json, const struct storage *storage)
{
    const struct storage_config *config = &storage->config;
    struct io *io = storage->loops[0].io;
    json_number(json, "schema_version", STORAGE_STATUS_SCHEMA);
    json_text(json, "role", "storage");
    json_number(json, "machine", config->machine_number);
    write_uuid(json, &storage->uuid);
    json_text(json, "group", config->group);
    json_text(json, "pool", config->pool);
    json_text(json, "address", storage->address);
    json_text(json, "http_address", storage->http_address);
    json_text(json, "state", storage_state_name(storage->state));
    json_number(json, "started", storage->started_wall_ns / NS_PER_S);
    json_number(json, "now", io_wall(io) / NS_PER_S);
    json_number(json, "uptime", (io_now(io) - storage->started_ns) / NS_PER_S);
    json_number(json, "incarnation", storage->mounts.incarnation);
}

static void write_member(struct json *json, const struct storage *storage, uint32_t index)
{
    const struct roster_member *it = &storage->membership.roster.all[index];
    const struct contact *contact = &storage->contacts.all[index];
    char address[IO_ADDRESS_TEXT_MAX] = "";
    if (it->member.address.family != 0)
        (void)io_address_format(&it->member.address, address);
    json_begin_object(json, NULL);
    json_number(json, "machine", it->member.machine);
    json_text(json, "address", address);
    json_text(json, "state", storage_state_name(it->member.state));
    json_bool(json, "alive", it->member.is_alive);
    json_bool(json, "removed", it->member.is_removed);
    json_bool(json, "draining", it->is_draining);
    json_bool(json, "connected", contact->is_introduced);
    json_bool(json, "caught_up", contact->is_caught_up);
    json_number(json, "lag_records", contact->lag_records);
    json_bool(json, "number_is_taken", it->clash_ns > 0);
    json_end(json);
}

static void write_members(struct json *json, const struct storage *storage)
{
    const struct storage_filling *filling = &storage->filling;
    uint64_t done = 0, all = 0;
    struct contacts_sums sums;
    contacts_sum(&storage->contacts, true, io_now(storage->loops[0].io), &sums);
    json_text(json, "waits", readiness_wait_text(storage->ready.readiness.wait));
    json_bool(json, "draining", storage->membership.roster.is_draining);
    json_number(json, "lag_records", sums.lag_records);
    json_number(json, "lag_ms", sums.lag_ns / NS_PER_MS);
    if (filling->progress && storage->state == STATE_DSYNCING)
        filling->progress(storage, &done, &all);
    uint64_t took_ns = io_now(storage->loops[0].io) - storage->reconcile.shown.started_ns;
    json_number(json, "filled_files", done);
    json_number(json, "files_to_fill", all);
    json_number(json, "fill_left_ms",
        done > 0 ? (uint64_t)((double)took_ns / (double)done * (double)(all - done)) / NS_PER_MS
                 : 0);
    json_begin_array(json, "members");
    for (uint32_t i = 0; i < storage->membership.roster.count; i++)
        write_member(json, storage, i);
    json_end(json);
}

/* The newest comparison with the other members. */
static void write_compared(struct json *json, const struct storage *storage)
{
    const struct reconcile_sums *sums = &storage->reconcile.shown;
    json_begin_object(json, "compared");
    json_number(json, "pass", storage->reconcile.pass);
    json_number(json, "units", sums->units);
    json_number(json, "differed", sums->differed);
    json_number(json, "remaining", sums->remaining);
    json_number(json, "members_failed", sums->members_failed);
    json_number(json, "files_failed", sums->failed);
    json_number(json, "damaged", sums->damaged);
    json_number(json, "healed", sums->healed);
    json_end(json);
}

static void write_cpu(struct json *json, const struct storage *storage)
{
    uint64_t user_ns = 0, system_ns = 0;
    if (storage->options.cpu_time)
        storage->options.cpu_time(storage->options.context, &user_ns, &system_ns);
    json_number(json, "cpu_user_ns", user_ns);
    json_number(json, "cpu_system_ns", system_ns);
}

static void write_totals(struct json *json, const struct storage *storage)
{
    uint64_t total, room, live_files = 0, connections = 0, operations = 0;
    storage_space(storage, &total, &room);
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        live_files += report_sum_mount(storage, i).live_files;
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        connections += storage->reports[i].connections;
        operations += storage->reports[i].operations;
    }
    json_number(json, "total", total);
    json_number(json, "free", room);
    json_number(json, "live_files", live_files);
    json_number(json, "connections", connections);
    json_number(json, "operations", operations);
    json_number(json, "mounts_online", mounts_online(&storage->mounts));
    json_number(json, "trackers_welcome",
        heartbeat_welcome_count(&storage->heartbeat, 5 * storage->config.heartbeat_interval_ns));
}

static void write_budget(struct json *json, const struct storage_budget *budget)
{
    json_begin_object(json, "budget");
    json_number(json, "descriptor_limit", budget->descriptor_limit);
    json_number(json, "descriptor_sum", budget->descriptor_sum);
    json_bool(json, "is_shrunk", budget->is_shrunk);
    json_begin_object(json, "descriptors");
    for (int i = 0; i < STORAGE_DESCRIPTORS_COUNT; i++)
        json_number(
            json, storage_descriptors_name((enum storage_descriptors)i), budget->descriptors[i]);
    json_end(json);
    json_number(json, "memory_sum", budget->memory_sum);
    json_begin_object(json, "memory");
    for (int i = 0; i < STORAGE_MEMORIES_COUNT; i++)
        json_number(json, storage_memories_name((enum storage_memories)i), budget->memory[i]);
    json_end(json);
    json_end(json);
}

static void write_held(struct json *json, const struct storage *storage)
{
    uint64_t memory = 0, memory_max = 0;
    int64_t fd_max = 0;
    json_begin_object(json, "held");
    for (int kind = 0; kind < HELD_COUNT; kind++) {
        uint64_t now = 0, max = 0;
        for (uint16_t i = 0; i < storage->loop_count; i++) {
            now += storage->reports[i].sample.held[kind];
            max += storage->reports[i].sample.held_max[kind];
        }
        json_begin_object(json, held_kind_name((enum held_kind)kind));
        json_number(json, "now", now);
        json_number(json, "max", max);
        json_end(json);
    }
    json_end(json);
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        memory += storage->reports[i].sample.memory;
        memory_max += storage->reports[i].sample.memory_max;
        if (storage->reports[i].sample.fd_max > fd_max)
            fd_max = storage->reports[i].sample.fd_max;
    }
    json_number(json, "fd_max", (uint64_t)fd_max);
    json_begin_object(json, "memory");
    json_number(json, "now", memory);
    json_number(json, "max", memory_max);
    json_end(json);
}

static void write_streams(
    struct json *json, const struct storage_mount_report *sum, uint64_t now_ns)
{
    bool has_checkpoint = sum->checkpoint_ns > 0 && sum->checkpoint_ns <= now_ns;
    json_number(json, "live_files", sum->live_files);
    json_number(json, "reusable", sum->reusable_bytes);
    json_number(json, "chunks", sum->chunks);
    json_number(json, "streams", sum->streams);
    json_number(json, "full_streams", sum->full_streams);
    json_number(json, "log_bytes", sum->log_bytes);
    json_number(json, "log_commits", sum->log_commits);
    json_number(json, "log_records", sum->log_records);
    json_number(json, "checkpoints", sum->checkpoints);
    json_number(
        json, "checkpoint_age_ms", has_checkpoint ? (now_ns - sum->checkpoint_ns) / NS_PER_MS : 0);
    json_number(json, "lost_chunks", sum->lost_chunks);
    json_number(json, "rotten_batches", sum->rotten_batches);
    json_number(json, "torn_streams", sum->torn_streams);
    json_number(json, "replayed", sum->replayed);
}

static void write_mount(struct json *json, const struct storage *storage, uint32_t position)
{
    const struct storage_mount_config *config = &storage->config.mount[position];
    const struct storage_mount *it = &storage->mounts.all[position];
    const struct mount *mount = &it->mount;
    bool is_fenced = it->is_open && err_is(mount->fenced);
    const char *state =
        err_is(it->err) && !is_fenced ? "out" : mount_state_name(mount_state(mount));
    struct storage_mount_report sum = report_sum_mount(storage, position);
    json_begin_object(json, NULL);
    json_number(json, "index", config->index);
    json_text(json, "path", config->path);
    json_text(json, "state", state);
    json_text(json, "why", it->why);
    json_number(json, "total", mount->total_bytes);
    json_number(json, "free", mount->free_bytes);
    json_number(json, "reserve", mount->reserve_bytes);
    json_number(json, "room", err_is(it->err) ? 0 : mount_free_for_upload(mount));
    json_number(json, "epoch", mount->image.status.epoch);
    write_streams(json, &sum, io_now(storage->loops[0].io));
    json_end(json);
}

static void write_counters(struct json *json, const struct storage *storage)
{
    struct storage_counters sum = report_sum_counters(storage);
    uint64_t corrupt = 0;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        corrupt += storage->reports[i].corrupt_reads;
    json_begin_object(json, "counters");
    json_number(json, "uploads", sum.uploads);
    json_number(json, "finds", sum.finds);
    json_number(json, "modifies", sum.modifies);
    json_number(json, "deletes", sum.deletes);
    json_number(json, "stats", sum.stats);
    json_number(json, "lists", sum.lists);
    json_number(json, "refused", sum.refused);
    json_number(json, "bytes_in", sum.bytes_in);
    json_number(json, "bytes_out", sum.bytes_out);
    json_end(json);
    json_number(json, "corrupt_reads", corrupt);
}

static void write_loop(struct json *json, const struct storage_loop_report *report, uint16_t index)
{
    json_begin_object(json, NULL);
    json_number(json, "index", index);
    json_number(json, "connections", report->connections);
    json_number(json, "accepted", report->accepted);
    json_number(json, "connections_refused", report->connections_refused);
    json_number(json, "requests", report->requests);
    json_number(json, "operations", report->operations);
    json_number(json, "memory", report->sample.memory);
    json_begin_object(json, "held");
    for (int kind = 0; kind < HELD_COUNT; kind++)
        json_number(json, held_kind_name((enum held_kind)kind), report->sample.held[kind]);
    json_end(json);
    json_end(json);
}

void storage_status_write(const struct storage *storage, struct writer *w)
{
    struct json json;
    json_begin(&json, w);
    json_begin_object(&json, NULL);
    write_head(&json, storage);
    write_members(&json, storage);
    write_compared(&json, storage);
    write_cpu(&json, storage);
    write_totals(&json, storage);
    write_budget(&json, &storage->budget);
    write_held(&json, storage);
    json_begin_array(&json, "mounts");
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        write_mount(&json, storage, i);
    json_end(&json);
    write_counters(&json, storage);
    push_status_write(&json, storage->reports, storage->loop_count);
    json_begin_array(&json, "loops");
    for (uint16_t i = 0; i < storage->loop_count; i++)
        write_loop(&json, &storage->reports[i], i);
    json_end(&json);
    json_end(&json);
}

/* ---- the verb ---- */

static void page_left(struct native_op *op, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    native_op_close(op);
}

void native_page_send(struct native_op *op, size_t size)
{
    op->piece.rest = span_of(op->page, size);
    op->piece.is_last = true;
    op->piece.left = page_left;
    struct writer fields = net_reply_begin(op->request);
    msg_status_reply_encode(&(struct msg_status_reply){.state = op->native->loop->state}, &fields);
    native_piece_send(op, MSG_STATUS_REPLY, &fields);
}

static void send_page(struct native_op *op, const struct writer *page)
{
    if (page->failed) {
        native_op_fail(op, ERR(TOO_LARGE, 0));
        return;
    }
    native_page_send(op, page->size);
}

static void toured(struct storage_tour_waiter *waiter)
{
    struct native_op *op = CONTAINER_OF(waiter, struct native_op, tour);
    struct writer page = {.data = op->page, .capacity = NATIVE_PAGE_SIZE};
    storage_status_write(op->native->loop->storage, &page);
    send_page(op, &page);
}

static void seen(struct sight_waiter *waiter)
{
    struct native_op *op = CONTAINER_OF(waiter, struct native_op, sight);
    struct writer page = {.data = op->page, .capacity = NATIVE_PAGE_SIZE};
    sight_write(&op->native->loop->storage->sight, op->question, "storage", &page);
    send_page(op, &page);
}

static void ask(struct native_op *op)
{
    struct storage *storage = op->native->loop->storage;
    op->tour.toured = toured;
    op->sight.seen = seen;
    if (op->question != SIGHT_ASKS_NOTHING)
        sight_ask(&storage->sight, &op->sight);
    else
        tour_wait(storage, &op->tour);
}

void native_status(struct native *native, struct net_request *request)
{
    struct storage_loop *loop = native->loop;
    struct msg_status msg;
    err_t err = msg_status_decode(request->meta, &msg);
    bool shows_resting = false;
    if (!err_is(err) && ops_page_is_asked(msg.what, &shows_resting)) {
        native_ops(native, request, shows_resting);
        return;
    }
    if (!err_is(err) && span_equals_text(msg.what, "metrics")) {
        native_metrics(native, request);
        return;
    }
    enum sight_question question = err_is(err) ? 0 : sight_question_of(msg.what);
    if (!err_is(err) && question == SIGHT_ASKS_NOTHING && msg.what.size > 0
        && !span_equals_text(msg.what, "status"))
        err = ERR(UNSUPPORTED, 0);
    if (err_is(err)) {
        native_refuse(loop, request, err);
        return;
    }
    if (loop->index != 0) {
        net_request_move(request, &loop->storage->loops[0].server);
        return;
    }
    struct native_op *op = native_op_open(native, request);
    if (op)
        op->page = pool_take(&native->pages, &native->owner);
    if (op && op->page) {
        op->question = (uint8_t)question;
        ask(op);
    } else if (op) {
        native_op_fail(op, ERR(BUSY, 0));
    } else {
        native_refuse(loop, request, ERR(BUSY, 0));
    }
}
