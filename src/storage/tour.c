/* The tour: loop 0 sends a message through all loops. On its way out it tells them which mount points
 * are fenced and how much room is left; on its way home it brings their counters. */
#include "disk/checkpoint.h"
#include "storage/internal.h"

/* ---- at each loop ---- */

/* Room for small files that costs the disk nothing more. */
static uint64_t reusable_bytes(const struct stream *stream)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < stream->chunks.count; i++) {
        const struct chunk_entry *chunk = &stream->chunks.entries[i];
        sum += chunk->is_lost ? 0 : chunk->free_bytes + stream->options.chunk_size - chunk->end;
    }
    return sum;
}

static void take_stream(struct storage_mount_report *to, const struct stream *stream)
{
    const struct binlog *log = &stream->log;
    uint64_t checkpoint_ns = stream->checkpoint ? stream->checkpoint->last_ns : 0;
    bool is_first = to->streams++ == 0;
    to->live_files += stream->live_count;
    to->reusable_bytes += reusable_bytes(stream);
    to->chunks += stream->chunks.count;
    to->log_bytes += binlog_bytes_since_checkpoint(log);
    to->log_commits += log->commit_count;
    to->log_records += log->record_count;
    timing_merge(&to->commits, &log->commit_timing);
    to->checkpoints += stream->checkpoint ? stream->checkpoint->count : 0;
    if (is_first || checkpoint_ns < to->checkpoint_ns)
        to->checkpoint_ns = checkpoint_ns;
    to->lost_chunks += stream->lost_chunks;
    to->rotten_batches += stream->rotten_batches;
    to->replayed += stream->replayed;
    to->torn_streams += stream->was_torn;
    to->full_streams += stream->is_full;
    if (stream->options.incarnation > to->incarnation)
        to->incarnation = stream->options.incarnation;
}

static void report_mount(struct storage_mount_report *to, const struct store_mount *mount)
{
    *to = (struct storage_mount_report){0};
    for (unsigned i = 0; i < mount->stream_count; i++)
        if (mount->streams[i] && mount->streams[i]->state == STREAM_OPEN)
            take_stream(to, mount->streams[i]);
}

static void report_door(struct storage_door_report *to, const struct acceptor *acceptor)
{
    *to = (struct storage_door_report){.connections = acceptor->connection_count,
        .connections_max = acceptor->config.connection_max,
        .accepted = acceptor->listener.accepted,
        .refused = acceptor->listener.refused};
}

static void report_scrub(struct storage_scrub_report *to, const struct scrub *scrub)
{
    const struct scrub_sums *last = &scrub->last;
    *to = (struct storage_scrub_report){.passes = scrub->pass,
        .files = scrub->sums.files,
        .bytes = scrub->sums.bytes,
        .last_files = last->files,
        .last_bytes = last->bytes,
        .last_damaged = last->damaged,
        .last_repaired = last->repaired,
        .last_suspects = last->suspects,
        .last_duration_ns = last->ended_ns - last->started_ns,
        .is_running = scrub->is_running};
}

static void report_loop(struct storage_loop *loop, struct storage_loop_report *to)
{
    const struct storage_config *config = &loop->storage->config;
    to->counters = loop->counters;
    to->connections = loop->server.acceptor.connection_count;
    to->requests = (uint32_t)(loop->server.requests.count - loop->server.requests.free_count);
    to->operations = loop->store.running;
    to->accepted = loop->server.acceptor.listener.accepted;
    to->connections_refused = loop->server.acceptor.listener.refused;
    to->corrupt_reads = loop->store.corrupt_reads;
    loop_sample_take(&to->sample, loop->io, &loop->mem);
    report_door(&to->doors[STORAGE_DOOR_NATIVE], &loop->server.acceptor);
    report_door(&to->doors[STORAGE_DOOR_HTTP], &loop->http.server.exchange.acceptor);
    report_door(&to->doors[STORAGE_DOOR_FASTDFS], &loop->fdfs.server.exchange.acceptor);
    report_scrub(&to->scrub, &loop->scrub);
    to->deeds = loop->io->run.deeds;
    if (loop->is_push_open)
        pushes_report(&loop->pushes);
    to->pushes = loop->pushes.reports;
    to->push_count = loop->is_push_open ? loop->pushes.report_count : 0;
    for (uint32_t i = 0; i < config->mount_count; i++)
        report_mount(&to->mounts[i], &loop->store.mounts[config->mount[i].index]);
}

static void tend_mount(const struct store_mount *mount)
{
    for (unsigned i = 0; i < mount->stream_count; i++)
        if (mount->streams[i] && mount->streams[i]->state == STREAM_OPEN)
            checkpoint_tend(mount->streams[i]->checkpoint);
}

static void visit_loop(struct storage_loop *loop)
{
    struct storage *storage = loop->storage;
    if (!loop->is_store_open)
        return;
    loop->is_touring = true;
    for (uint32_t i = 0; i < storage->config.mount_count; i++) {
        const struct storage_tour_mount *told = &storage->tour.mounts[i];
        uint8_t index = storage->config.mount[i].index;
        struct store_mount *mount = &loop->store.mounts[index];
        mount->total_bytes = told->total_bytes;
        mount->free_bytes = told->free_bytes;
        if (err_is(told->err) && mount->is_there)
            store_fence(&loop->store, index, told->err);
        tend_mount(mount);
    }
    loop->is_touring = false;
    report_loop(loop, &storage->reports[loop->index]);
}

/* ---- at home ---- */

static void begin(struct storage *storage);

static void tell_waiters(struct storage *storage)
{
    struct storage_tour *tour = &storage->tour;
    LIST_EACH_SAFE (node, &tour->waiters) {
        struct storage_tour_waiter *waiter = CONTAINER_OF(node, struct storage_tour_waiter, link);
        if (waiter->number > tour->number)
            continue;
        list_remove(&waiter->link);
        waiter->toured(waiter);
    }
}

static void learn_incarnation(struct storage *storage)
{
    for (uint16_t i = 0; i < storage->loop_count; i++)
        for (uint32_t k = 0; k < storage->config.mount_count; k++)
            if (storage->reports[i].mounts[k].incarnation > storage->mounts.incarnation)
                storage->mounts.incarnation = storage->reports[i].mounts[k].incarnation;
}

static void come_home(struct storage *storage)
{
    struct storage_tour *tour = &storage->tour;
    tour->is_out = false;
    learn_incarnation(storage);
    tell_waiters(storage);
    if (tour->is_wanted)
        begin(storage);
}

static void travel(struct io *here, struct io_message *message)
{
    struct storage_tour *tour = CONTAINER_OF(message, struct storage_tour, message);
    struct storage *storage = tour->storage;
    if (tour->at == storage->loop_count) {
        come_home(storage);
        return;
    }
    struct storage_loop *loop = &storage->loops[tour->at++];
    visit_loop(loop);
    uint16_t next = tour->at == storage->loop_count ? 0 : tour->at;
    io_post(here, storage->loops[next].io, message);
}

static void begin(struct storage *storage)
{
    struct storage_tour *tour = &storage->tour;
    tour->storage = storage;
    tour->is_wanted = false;
    tour->is_out = true;
    tour->at = 0;
    tour->number++;
    for (uint32_t i = 0; i < storage->mounts.count; i++) {
        const struct storage_mount *it = &storage->mounts.all[i];
        tour->mounts[i] = (struct storage_tour_mount){.err = it->err,
            .total_bytes = it->mount.total_bytes,
            .free_bytes = it->mount.free_bytes};
    }
    tour->message.deliver = travel;
    io_post(storage->loops[0].io, storage->loops[0].io, &tour->message);
}

void tour_request(struct storage *storage)
{
    if (storage->tour.is_out)
        storage->tour.is_wanted = true;
    else
        begin(storage);
}

void tour_wait(struct storage *storage, struct storage_tour_waiter *waiter)
{
    waiter->number = storage->tour.number + 1;
    list_push_back(&storage->tour.waiters, &waiter->link);
    tour_request(storage);
}

void tour_on_fence_word(struct io *here, struct io_message *message)
{
    struct storage_fence_word *word = CONTAINER_OF(message, struct storage_fence_word, message);
    struct storage *storage = word->loop->storage;
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        if (word->positions[i / 64] >> (i % 64) & 1)
            mounts_fence(&storage->mounts, i, word->err);
    bool is_running = storage->verb == STORAGE_RUN && storage->answers == 0;
    if (is_running)
        tour_request(storage);
    word->message.deliver = word->acknowledged;
    io_post(here, word->loop->io, &word->message);
}
