/* Opening a stream: what its checkpoint says, and every record behind it applied again.
 *
 *   checkpoint (newest good one of two) -> chunk table -> log_scan: redo each record, in log order,
 *   physically -> what was given out and never committed is wiped -> orphans go -> a checkpoint of all
 *   that -> log begins a new segment -> machines start -> lease durable
 *
 * Everything here may be interrupted by a crash at any point and done again. */
#include "disk/recover.h"

#include <errno.h>

#include "disk/recount.h"
#include "disk/recover_parts.h"

/* ---- small helpers around io_call ---- */

int64_t recovery_call(struct recovery *recovery, struct io_op op)
{
    op.owner = &recovery->stream->owner;
    return io_call(recovery->stream->options.io, &op);
}

err_t recovery_write(
    struct recovery *recovery, int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        struct iovec iov = {(void *)(uintptr_t)(data + done), size - done};
        int64_t result = recovery_call(recovery,
            (struct io_op){
                .kind = IO_WRITE, .fd = fd, .iov = &iov, .iov_count = 1, .offset = offset + done});
        if (result <= 0)
            return result < 0 ? ERR_RESULT(result) : ERR(IO, EIO);
        done += (size_t)result;
    }
    return ERR_OK;
}

err_t recovery_read(struct recovery *recovery, int fd, uint8_t *into, size_t size, uint64_t offset,
    size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        struct iovec iov = {into + done, size - done};
        int64_t result = recovery_call(recovery,
            (struct io_op){
                .kind = IO_READ, .fd = fd, .iov = &iov, .iov_count = 1, .offset = offset + done});
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        done += (size_t)result;
    }
    *ret_size = done;
    return ERR_OK;
}

/* ---- checkpoint ---- */

static bool header_is_ours(const struct stream *stream, const struct checkpoint_header *header)
{
    const struct stream_options *options = &stream->options;
    return memcmp(header->storage_uuid, options->storage_uuid, 16) == 0
           && memcmp(header->mount_uuid, options->mount_uuid, 16) == 0
           && header->stream == options->stream && header->machine == options->machine;
}

/* Read copy `copy` into checkpoint->image. Errors: CORRUPT also when it is not there. */
static err_t read_checkpoint(
    struct recovery *recovery, unsigned copy, struct checkpoint_header *ret)
{
    struct stream *stream = recovery->stream;
    struct checkpoint *checkpoint = stream->checkpoint;
    char path[CHECKPOINT_NAME_MAX];
    checkpoint_path(path, stream->options.stream, copy);
    struct io_handle handle = IO_HANDLE_NONE;
    int64_t result = recovery_call(recovery, (struct io_op){.kind = IO_OPEN,
                                                 .fd = stream->options.root->fd,
                                                 .path = path,
                                                 .open_flags = IO_OPEN_READ,
                                                 .ret_handle = &handle});
    if (result == -ENOENT)
        return ERR(CORRUPT, 0);
    if (result < 0)
        return ERR_RESULT(result);
    size_t size;
    err_t err =
        recovery_read(recovery, handle.fd, checkpoint->image, checkpoint->image_capacity, 0, &size);
    io_handle_close(stream->options.io, &handle);
    TRY(err);
    TRY(checkpoint_open(span_of(checkpoint->image, size), ret));
    if (!header_is_ours(stream, ret))
        return ERR(FOREIGN, 0);
    return ret->chunk_size == stream->options.chunk_size ? ERR_OK : ERR(FORMAT, 0);
}

err_t recovery_sync(struct recovery *recovery, int fd)
{
    int64_t result = recovery_call(recovery, (struct io_op){.kind = IO_SYNC, .fd = fd});
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* What was read may be in the page cache only, if the process was killed. Nothing may be built on it
 * (segments recycled, answers given) before it is on disk. */
static err_t sync_path(struct recovery *recovery, const char *path)
{
    struct io_handle handle = IO_HANDLE_NONE;
    int64_t result = recovery_call(recovery, (struct io_op){.kind = IO_OPEN,
                                                 .fd = recovery->stream->options.root->fd,
                                                 .path = path,
                                                 .open_flags = IO_OPEN_READ,
                                                 .ret_handle = &handle});
    if (result < 0)
        return ERR_RESULT(result);
    err_t err = recovery_sync(recovery, handle.fd);
    io_handle_close(recovery->stream->options.io, &handle);
    return err;
}

static err_t sync_checkpoint(struct recovery *recovery, uint64_t copy)
{
    char path[CHECKPOINT_NAME_MAX];
    checkpoint_path(path, recovery->stream->options.stream, copy);
    TRY(sync_path(recovery, path));
    return recovery_sync(recovery, recovery->stream->checkpoint->directory.fd);
}

/* The last batch may have been on its way when the process ended. It must not be applied before it is
 * durable: a power loss could leave its effects and take it. It is in the last segment that was begun. */
static err_t sync_log_end(struct recovery *recovery)
{
    char path[LOG_NAME_MAX];
    uint64_t last = 0;
    for (uint32_t i = 0; i < recovery->scan.count; i++)
        if (recovery->scan.headers[i].number > last)
            last = recovery->scan.headers[i].number;
    if (last == 0)
        return ERR_OK;
    binlog_segment_path(path, recovery->stream->options.stream, last);
    return sync_path(recovery, path);
}

static bool is_missing(err_t err)
{
    return err_has(err, ERR_CODE_CORRUPT);
}

static err_t load_checkpoint(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    struct checkpoint_header headers[2];
    err_t errs[2];
    for (unsigned copy = 0; copy < 2; copy++) {
        errs[copy] = read_checkpoint(recovery, copy, &headers[copy]);
        if (err_is(errs[copy]) && !is_missing(errs[copy]))
            return errs[copy];
    }
    if (err_is(errs[0]) && err_is(errs[1]))
        return ERR_OK; /* a new stream, or the log is there from its beginning */
    unsigned newest = err_is(errs[0]) ? 1 : 0;
    if (!err_is(errs[0]) && !err_is(errs[1]) && headers[1].generation > headers[0].generation)
        newest = 1;
    TRY(read_checkpoint(recovery, newest, &recovery->header));
    TRY(sync_checkpoint(recovery, newest));
    const struct checkpoint_header *header = &recovery->header;
    struct reader r = {stream->checkpoint->image, stream->checkpoint->image_capacity,
        CHECKPOINT_HEADER_SIZE, false};
    if (header->format > 1)
        TRY(source_table_decode(&stream->sources, header->source_count, &r));
    for (uint32_t i = 1; i < stream->sources.count; i++)
        TRY(stream_tell_source(stream, &stream->sources.all[i].key));
    TRY(chunk_table_decode(
        &stream->chunks, header->format, stream->sources.count, header->chunk_count, &r));
    if (stream->chunks.next_number < header->next_chunk)
        stream->chunks.next_number = header->next_chunk;
    stream->live_count = header->live_count;
    stream->lease = header->lease;
    recovery->recent[0] = header->sealing_chunk;
    recovery->recent[1] = header->active_chunk;
    recovery->recent[2] = header->next_chunk_ready;
    return ERR_OK;
}

/* ---- all of it ---- */

static err_t survey_visit(void *context, const struct record *record)
{
    single_survey_record(context, record);
    return ERR_OK;
}

static err_t survey_log(void *context, struct single_survey *survey)
{
    struct recovery *recovery = context;
    struct log_scan again = recovery->scan;
    again.skim = NULL;
    return log_scan_run(&again, recovery->header.lsn, survey_visit, survey);
}

/* Digests are older than what tells of them, or records are missing: what is there is counted. */
static err_t settle_digests(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    bool is_old = recovery->header.generation > 0 && recovery->header.format == 1;
    if (!is_old && !recovery->lacks_digests && recovery->scan.rotten == 0)
        return ERR_OK;
    recovery->has_losses = true;
    return stream_recount(stream, stream->maker->window, MAKER_WINDOW);
}

/* What the other members know of this stream: LSNs and chunk numbers go on behind that. If it is more
 * than what was found here, records were lost. The checkpoint to come says it, before anything is
 * appended. */
static void apply_floors(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    const struct stream_floor *floor = &stream->options.floor;
    recovery->has_lost_state = floor->lsn >= recovery->scan.lsn_next
                               || floor->chunk >= stream->chunks.next_number
                               || floor->incarnation > recovery->header.incarnation;
    recovery->has_losses |= recovery->has_lost_state;
    if (recovery->scan.lsn_next <= floor->lsn)
        recovery->scan.lsn_next = floor->lsn + 1;
    if (stream->chunks.next_number <= floor->chunk)
        stream->chunks.next_number = floor->chunk + 1;
}

/* All ids that may have been given out. */
static void lose_own(struct stream *stream)
{
    struct source *own = stream->sources.all;
    uint64_t wall = id_clock_of_wall(io_wall(stream->options.io));
    uint64_t last = atomic_load(&stream->options.clock->last);
    uint64_t clock = last > wall ? last : wall;
    if (clock < stream->lease)
        clock = stream->lease;
    id_clock_raise(stream->options.clock, clock);
    own->lost_clock = clock;
    coverage_lose(&own->kept_coverage, 1, clock);
}

void recovery_lose(struct recovery *recovery, struct source *source)
{
    struct stream *stream = recovery->stream;
    if (source == stream->sources.all)
        lose_own(stream);
    else
        coverage_lose(&source->kept_coverage, 1, source->kept_coverage.watermark);
}

/* What is not here tells nothing when records are missing, or when the stream is new: its disk may have
 * taken the place of another one. */
static void note_losses(struct recovery *recovery)
{
    struct source_table *sources = &recovery->stream->sources;
    bool is_new = recovery->header.generation == 0 && recovery->scan.records == 0;
    if (is_new || recovery->has_lost_state || recovery->scan.rotten > 0)
        recovery_lose(recovery, &sources->all[0]);
    for (uint32_t i = 1; recovery->scan.rotten > 0 && i < sources->count; i++)
        recovery_lose(recovery, &sources->all[i]);
}

static void skim_record(void *context, const struct record *record)
{
    struct recovery *recovery = context;
    stream_tell_upload(recovery->stream, record);
}

static err_t replay(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    TRY(load_checkpoint(recovery));
    TRY(log_scan_open(&recovery->scan));
    TRY(sync_log_end(recovery));
    TRY(log_scan_run(&recovery->scan, recovery->header.lsn, recovery_redo_record, recovery));
    TRY(single_redo_finish(&recovery->singles));
    apply_floors(recovery);
    note_losses(recovery);
    TRY(recovery_settle_chunks(recovery));
    TRY(recovery_sweep_chunks(recovery));
    TRY(settle_digests(recovery));
    TRY(single_clean_new(&stream->single_mount, &stream->owner, NULL, NULL, NULL));
    stream->replayed = recovery->scan.records;
    stream->rotten_batches = recovery->scan.rotten;
    stream->was_torn = recovery->scan.is_torn;
    return ERR_OK;
}

static void recovery_init(struct recovery *recovery, struct stream *stream)
{
    const struct stream_options *options = &stream->options;
    *recovery = (struct recovery){.stream = stream,
        .scan = {.io = options->io,
            .mem = options->mem,
            .owner = &stream->owner,
            .root = options->root,
            .skim = skim_record,
            .stream = options->stream,
            .segment_size = options->log_segment_size,
            .buffer_size = options->log_buffer_size},
        .singles = {.mount = &stream->single_mount,
            .owner = &stream->owner,
            .dirty = &stream->singles,
            .survey = survey_log},
        .images = stream->maker->images,
        .image_size = stream->maker->image_size};
    recovery->singles.context = recovery;
    memcpy(recovery->scan.storage_uuid, options->storage_uuid, 16);
    memcpy(recovery->scan.mount_uuid, options->mount_uuid, 16);
}

/* ---- a checkpoint at its end: the log may begin anew in the space of the old one, and every slot
 * that is free may be given out ---- */

static err_t sync_chunks(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    for (uint32_t i = 0; i < stream->chunks.count; i++) {
        struct chunk_entry *entry = &stream->chunks.entries[i];
        struct chunk_key key = stream_chunk_key(stream, entry);
        struct chunk_ref ref;
        if (!entry->is_dirty || entry->is_lost)
            continue;
        TRY(chunk_acquire_now(stream->options.files, &key, &ref));
        err_t err = recovery_sync(recovery, ref.file->handle.fd);
        chunk_release(stream->options.files, &ref);
        TRY(err);
        entry->is_dirty = false;
    }
    return ERR_OK;
}

static err_t write_checkpoint(struct recovery *recovery, uint64_t generation)
{
    struct stream *stream = recovery->stream;
    struct checkpoint *checkpoint = stream->checkpoint;
    struct io_handle handle = IO_HANDLE_NONE;
    char path[CHECKPOINT_NAME_MAX];
    checkpoint_path(path, stream->options.stream, generation);
    int64_t result = recovery_call(recovery, (struct io_op){.kind = IO_OPEN,
                                                 .fd = stream->options.root->fd,
                                                 .path = path,
                                                 .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
                                                 .ret_handle = &handle});
    if (result < 0)
        return ERR_RESULT(result);
    err_t err = recovery_write(recovery, handle.fd, checkpoint->image, checkpoint->image_size, 0);
    if (!err_is(err))
        err = recovery_sync(recovery, handle.fd);
    io_handle_close(stream->options.io, &handle);
    return err_is(err) ? err : recovery_sync(recovery, checkpoint->directory.fd);
}

static err_t take_checkpoint(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    if (stream->active.ref.file)
        TRY(recovery_store_map(recovery, &stream->active));
    TRY(sync_chunks(recovery));
    TRY(single_dirty_sync_now(&stream->singles, &stream->owner));
    stream->checkpoint->generation = recovery->header.generation;
    checkpoint_snapshot(stream->checkpoint, recovery->scan.lsn_next - 1, false);
    TRY(write_checkpoint(recovery, recovery->header.generation + 1));
    recovery->header.generation++;
    recovery->header.lsn = recovery->scan.lsn_next - 1;
    return ERR_OK;
}

static void enter_space(struct stream *stream)
{
    struct active_chunk *active = &stream->active;
    if (!active->ref.file)
        return;
    active->reserve_end = active->map.tail * SLOT_UNIT;
    if (active->reserve_end < CHUNK_HEADER_SIZE)
        active->reserve_end = CHUNK_HEADER_SIZE;
    stream_scan_space(&stream->space, active);
}

/* Followers go on where they were kept. */
static void settle_sources(struct stream *stream, uint64_t lsn)
{
    struct source *own = stream->sources.all;
    own->lsn = own->kept_lsn = lsn;
    own->coverage = own->kept_coverage;
    for (uint32_t i = 1; i < stream->sources.count; i++) {
        struct source *source = &stream->sources.all[i];
        source->incarnation = source->logged_incarnation = source->kept_incarnation;
        source->lsn = source->logged_lsn = source->kept_lsn;
        source->coverage = source->kept_coverage;
    }
}

err_t stream_recover(struct stream *stream, struct binlog_position *ret, uint64_t *ret_generation)
{
    struct recovery recovery;
    recovery_init(&recovery, stream);
    TRY(replay(&recovery));
    struct log_scan *scan = &recovery.scan;
    bool is_clean = recovery.header.is_clean && scan->records == 0 && !scan->is_torn
                    && !recovery.has_lost_state;
    stream->has_lost_state = recovery.has_lost_state;
    uint64_t incarnation = recovery.header.incarnation + (is_clean ? 0 : 1);
    if (recovery.has_lost_state && incarnation <= stream->options.floor.incarnation)
        incarnation = stream->options.floor.incarnation + 1;
    if (stream->options.incarnation < incarnation)
        stream->options.incarnation = incarnation;
    id_clock_raise(stream->options.clock, stream->lease);
    settle_sources(stream, scan->lsn_next - 1);
    if (!is_clean || recovery.has_losses)
        TRY(take_checkpoint(&recovery));
    enter_space(stream);
    *ret = (struct binlog_position){.lsn_next = scan->lsn_next,
        .lsn_checkpoint = recovery.header.lsn,
        .previous_number = scan->end_number,
        .previous_end = scan->end_offset,
        .segment_count = scan->count};
    log_scan_chain(scan);
    memcpy(ret->segments, scan->files, sizeof ret->segments);
    *ret_generation = recovery.header.generation;
    return ERR_OK;
}
