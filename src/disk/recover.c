/* Opening a stream: what its checkpoint says, and every record behind it applied again.
 *
 *   checkpoint (newest good one of two) -> chunk table -> log_scan: redo each record, in log order,
 *   physically -> what was given out and never committed is wiped -> orphans go -> a checkpoint of all
 *   that -> log begins a new segment -> machines start -> lease durable
 *
 * Everything here may be interrupted by a crash at any point and done again. */
#include "disk/recover.h"

#include <errno.h>

#include "disk/checkpoint.h"
#include "disk/log_scan.h"
#include "disk/maker.h"
#include "disk/packed.h"
#include "disk/recount.h"

struct recovery {
    struct stream *stream;
    struct log_scan scan;
    struct checkpoint_header header; /* generation 0: there is no checkpoint */
    struct single_redo singles;
    uint32_t
        recent[3];   /* chunks that were sealing, active and next when the log ended, newest last */
    uint8_t *images; /* both copies of a slot map */
    size_t image_size;
    bool has_losses;    /* digests say less than the checkpoint and the log */
    bool lacks_digests; /* records were applied that do not tell what digests change by */
};

/* ---- small helpers around io_call ---- */

static int64_t recovery_call(struct recovery *recovery, struct io_op op)
{
    op.owner = &recovery->stream->owner;
    return io_call(recovery->stream->options.io, &op);
}

static err_t recovery_write(
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

static err_t recovery_read(struct recovery *recovery, int fd, uint8_t *into, size_t size,
    uint64_t offset, size_t *ret_size)
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

static err_t recovery_sync(struct recovery *recovery, int fd)
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

/* ---- slot maps of chunks that take new slots: the two last used are kept loaded ---- */

static struct slotmap_identity map_identity(const struct stream *stream, uint32_t number)
{
    return (struct slotmap_identity){.origin = stream->options.machine,
        .chunk = number,
        .chunk_size = stream->options.chunk_size,
        .mount = stream->options.mount,
        .stream = stream->options.stream};
}

static err_t store_map(struct recovery *recovery, struct active_chunk *chunk)
{
    struct stream *stream = recovery->stream;
    for (unsigned i = 0; i < SLOTMAP_COPIES; i++) {
        TRY(recovery_sync(
            recovery, chunk->ref.file->handle.fd)); /* a power loss never takes both */
        unsigned copy = slotmap_store(&chunk->map, recovery->images);
        uint64_t at = stream->options.chunk_size + copy * (uint64_t)recovery->image_size;
        TRY(recovery_write(
            recovery, chunk->ref.file->handle.fd, recovery->images, recovery->image_size, at));
    }
    stream_mark_dirty(stream, &chunk->ref.key);
    return ERR_OK;
}

/* No image is good (none was written yet, or both are damaged): the headers tell. */
static err_t rebuild_map(struct recovery *recovery, struct active_chunk *chunk, uint32_t number)
{
    struct stream *stream = recovery->stream;
    struct slotmap_identity identity = map_identity(stream, number);
    slotmap_init(&chunk->map, chunk->map_memory, &identity);
    struct chunk_entry *entry = chunk_table_find(&stream->chunks, 0, number);
    uint32_t end = entry ? entry->end : 0;
    for (uint32_t at = CHUNK_HEADER_SIZE; at < end;) {
        uint8_t bytes[SLOT_META_MAX];
        struct slot_header header;
        size_t size;
        uint32_t need;
        TRY(recovery_read(recovery, chunk->ref.file->handle.fd, bytes, sizeof bytes, at, &size));
        err_t err =
            slot_meta_decode(span_of(bytes, size), chunk->ref.file->header.seed, &header, &need);
        if (err_is(err) || header.slot_size == 0 || header.slot_size > end - at) {
            at += SLOT_UNIT;
            continue;
        }
        if (!(header.flags & SLOT_DELETED))
            TRY(slotmap_force_allocate(&chunk->map, at, header.slot_size));
        at += header.slot_size;
    }
    return ERR_OK;
}

static err_t load_map(struct recovery *recovery, struct active_chunk *chunk, uint32_t number)
{
    struct stream *stream = recovery->stream;
    struct slotmap_identity identity = map_identity(stream, number);
    size_t size = 0;
    TRY(recovery_read(recovery, chunk->ref.file->handle.fd, recovery->images,
        SLOTMAP_COPIES * recovery->image_size, stream->options.chunk_size, &size));
    memset(recovery->images + size, 0, SLOTMAP_COPIES * recovery->image_size - size);
    struct span copies[SLOTMAP_COPIES] = {span_of(recovery->images, recovery->image_size),
        span_of(recovery->images + recovery->image_size, recovery->image_size)};
    err_t err = slotmap_load_newest(&chunk->map, chunk->map_memory, &identity, copies);
    if (!err_has(err, ERR_CODE_CORRUPT))
        return err;
    return rebuild_map(recovery, chunk, number);
}

/* Make `number` the active chunk of the replay; the one before becomes `sealing`, the one before that
 * is stored. Errors: NOT_FOUND (no such file). */
static err_t use_chunk(struct recovery *recovery, uint32_t number)
{
    struct stream *stream = recovery->stream;
    if (stream_active_of(stream, number))
        return ERR_OK;
    struct chunk_ref ref;
    struct chunk_key key = {
        stream->options.machine, stream->options.mount, stream->options.stream, number};
    TRY(chunk_acquire_now(stream->options.files, &key, &ref));
    struct active_chunk freed = stream->sealing;
    if (freed.ref.file) {
        err_t err = store_map(recovery, &freed);
        chunk_release(stream->options.files, &freed.ref);
        stream->sealing.ref.file = NULL;
        if (err_is(err)) {
            chunk_release(stream->options.files, &ref);
            return err;
        }
    }
    stream->sealing = stream->active;
    stream->active =
        (struct active_chunk){.ref = ref, .map_memory = freed.map_memory, .number = number};
    return load_map(recovery, &stream->active, number);
}

/* ---- redo ---- */

static bool is_ours(const struct stream *stream, const struct place *place)
{
    return place->kind == PLACE_PACKED && place->machine == stream->options.machine
           && place->mount == stream->options.mount && place->stream == stream->options.stream;
}

static bool place_is_sane(const struct stream *stream, const struct place *place)
{
    return place->kind != PLACE_PACKED
           || (place->offset >= CHUNK_HEADER_SIZE && place->offset % SLOT_UNIT == 0
               && place->slot_size > 0 && place->slot_size <= stream->options.chunk_size
               && place->offset <= stream->options.chunk_size - place->slot_size);
}

static err_t redo_write(
    struct recovery *recovery, const struct record *record, const struct packed_write *write)
{
    struct stream *stream = recovery->stream;
    struct chunk_ref ref;
    struct chunk_key key = chunk_key_of(write->place);
    err_t err = chunk_acquire_now(stream->options.files, &key, &ref);
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return ERR_OK; /* dropped since, or lost: recover_check tells */
    TRY(err);
    int fd = ref.file->handle.fd;
    uint64_t offset = write->offset;
    if (write->is_tombstone) {
        uint8_t meta[SLOT_META_MAX];
        uint32_t size = packed_tombstone(record, write->place, ref.file->header.seed, meta);
        err = recovery_write(recovery, fd, meta, size, offset);
    }
    for (unsigned i = 0; i < write->span_count && !err_is(err); i++) {
        err = recovery_write(recovery, fd, write->spans[i].data, write->spans[i].size, offset);
        offset += write->spans[i].size;
    }
    chunk_release(stream->options.files, &ref);
    stream_mark_dirty(stream, &key);
    return err;
}

static err_t redo_packed(struct recovery *recovery, const struct record *record)
{
    struct packed_write writes[PACKED_WRITES_MAX];
    unsigned count = packed_plan(record, writes);
    for (unsigned i = 0; i < count; i++)
        TRY(redo_write(recovery, record, &writes[i]));
    return ERR_OK;
}

static err_t enter_place(struct stream *stream, const struct place *place)
{
    struct source_key source_key = source_key_of(place);
    struct chunk_key key = chunk_key_of(place);
    struct source *source;
    struct chunk_entry *entry;
    if (place->kind == PLACE_NONE)
        return ERR_OK;
    return place->kind == PLACE_PACKED ? stream_chunk_add(stream, &key, &entry)
                                       : stream_source_add(stream, &source_key, &source);
}

/* The tables know what the record's effects name. */
static err_t redo_tables(struct recovery *recovery, const struct record *record)
{
    struct stream *stream = recovery->stream;
    if (record->kind == RECORD_LEASE)
        return ERR_OK;
    if (record->kind == RECORD_POSITION) {
        const struct source_key key = {record->origin, record->mount, record->stream};
        struct source *source;
        return stream_source_add(stream, &key, &source);
    }
    TRY(enter_place(stream, &record->home));
    return record->flags & RECORD_AT_TARGET ? enter_place(stream, &record->target) : ERR_OK;
}

static void note_activated(struct recovery *recovery, uint32_t number)
{
    if (recovery->recent[2] == number)
        return; /* the checkpoint names it already */
    recovery->recent[0] = recovery->recent[1];
    recovery->recent[1] = recovery->recent[2];
    recovery->recent[2] = number;
}

/* The stream itself took a slot, or a chunk for new slots; not: somebody brought a file back. */
static const struct place *place_allocated(const struct stream *stream, const struct record *record)
{
    const struct source_key maker = {record->origin, record->mount, record->stream};
    const struct place *place = NULL;
    if (record->kind == RECORD_ACTIVATE)
        place = &record->home;
    else if (record->flags & RECORD_TAKES && record->kind != RECORD_FULL)
        place = record->flags & RECORD_AT_TARGET ? &record->target : &record->home;
    bool is_own =
        place && is_ours(stream, place) && source_key_equals(&maker, &stream->sources.all[0].key);
    return is_own ? place : NULL;
}

static err_t redo_maps(struct recovery *recovery, const struct record *record)
{
    struct stream *stream = recovery->stream;
    const struct place *place = place_allocated(stream, record);
    if (!place)
        return ERR_OK;
    if (record->kind == RECORD_ACTIVATE)
        note_activated(recovery, place->chunk);
    err_t err = use_chunk(recovery, place->chunk);
    return err_has(err, ERR_CODE_NOT_FOUND) ? ERR_OK : err;
}

/* What a record says of a file lies in a live slot. The map knows that, unless it had to be rebuilt
 * from headers, one of which was torn by this very change. */
static void redo_touch(struct recovery *recovery, const struct place *place)
{
    struct stream *stream = recovery->stream;
    struct active_chunk *active =
        is_ours(stream, place) ? stream_active_of(stream, place->chunk) : NULL;
    if (active) {
        err_t err = slotmap_force_allocate(&active->map, place->offset, place->slot_size);
        CHECK(!err_is(err)); /* place_is_sane */
    }
}

static void redo_live(struct recovery *recovery, const struct record *record)
{
    if (!record_is_change(record) || record->kind == RECORD_DELETE)
        return;
    redo_touch(recovery, &record->home);
    if (record->flags & RECORD_AT_TARGET)
        redo_touch(recovery, &record->target);
}

static err_t redo_record(void *context, const struct record *record)
{
    struct recovery *recovery = context;
    struct stream *stream = recovery->stream;
    if (!place_is_sane(stream, &record->target) || !place_is_sane(stream, &record->freed)
        || (record->kind != RECORD_ACTIVATE && !place_is_sane(stream, &record->home)))
        return ERR(CORRUPT, 0);
    TRY(redo_tables(recovery, record));
    TRY(redo_maps(recovery, record));
    redo_live(recovery, record);
    recovery->lacks_digests |= record_is_change(record) && !(record->flags & RECORD_EXTENDED);
    stream_take_effect(stream, record);
    TRY(redo_packed(recovery, record));
    return single_redo(&recovery->singles, record);
}

static err_t survey_visit(void *context, const struct record *record)
{
    single_survey_record(context, record);
    return ERR_OK;
}

static err_t survey_log(void *context, struct single_survey *survey)
{
    struct recovery *recovery = context;
    struct log_scan again = recovery->scan;
    return log_scan_run(&again, recovery->header.lsn, survey_visit, survey);
}

/* ---- after the replay ---- */

/* Slots that were given out and never committed may hold headers of uploads that were acknowledged
 * from memory and are lost: they must not be found. Whatever the map calls free reads as zeros. */
static err_t wipe_range(struct recovery *recovery, int fd, uint32_t offset, uint32_t size)
{
    if (size == 0)
        return ERR_OK;
    struct io_op op = {.kind = IO_PUNCH, .fd = fd, .offset = offset, .size = size};
    int64_t result = recovery_call(recovery, op);
    if (result < 0)
        return ERR_RESULT(result);
    op.kind = IO_ALLOCATE;
    result = recovery_call(recovery, op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t wipe_free(struct recovery *recovery, struct active_chunk *chunk)
{
    int fd = chunk->ref.file->handle.fd;
    struct slotmap_slot slot;
    for (uint32_t at = CHUNK_HEADER_SIZE; slotmap_next_free(&chunk->map, at, &slot);
         at = slot.offset + slot.size)
        TRY(wipe_range(recovery, fd, slot.offset, slot.size));
    uint32_t tail = chunk->map.tail * SLOT_UNIT;
    if (tail < CHUNK_HEADER_SIZE)
        tail = CHUNK_HEADER_SIZE;
    stream_mark_dirty(recovery->stream, &chunk->ref.key);
    return wipe_range(recovery, fd, tail, recovery->stream->options.chunk_size - tail);
}

/* The chunks that took new slots when the log ended, and those that the checkpoint names. */
static err_t settle_chunks(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    uint32_t named[] = {recovery->header.sealing_chunk, recovery->header.next_chunk_ready,
        recovery->header.active_chunk, stream->sealing.ref.file ? stream->sealing.number : 0,
        recovery->recent[0], recovery->recent[2], recovery->recent[1],
        stream->active.ref.file ? stream->active.number : 0};
    bool is_clean = recovery->header.is_clean && recovery->scan.records == 0;
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        if (named[i] == 0 || !chunk_table_find(&stream->chunks, 0, named[i]))
            continue;
        err_t err = use_chunk(recovery, named[i]);
        if (err_has(err, ERR_CODE_NOT_FOUND))
            continue;
        TRY(err);
        if (!is_clean)
            TRY(wipe_free(recovery, stream_active_of(stream, named[i])));
    }
    if (stream->sealing.ref.file) {
        TRY(store_map(recovery, &stream->sealing));
        chunk_release(stream->options.files, &stream->sealing.ref);
    }
    return ERR_OK;
}

enum { SWEEP_ORPHANS = 16 };

struct sweep {
    struct stream *stream;
    struct chunk_key orphans[SWEEP_ORPHANS]; /* what does not fit is found by the next look */
    uint32_t count;
};

/* A chunk file of this stream that no record names was made and never used. A mirrored one that is not
 * known here is kept: another stream of this mount point may know it, and if it was made for a record
 * that was never committed, the next record for it finds it there. */
static void sweep_entry(void *context, const char *name, bool is_directory)
{
    struct sweep *sweep = context;
    struct stream *stream = sweep->stream;
    struct chunk_key key;
    if (is_directory || !chunk_name_parse(name, &key))
        return;
    const struct source_key source = {key.machine, key.mount, key.stream};
    bool is_own = source_key_equals(&source, &stream->sources.all[0].key);
    if (is_own && stream->chunks.next_number <= key.number)
        stream->chunks.next_number = key.number + 1;
    struct chunk_entry *entry = stream_chunk_find(stream, &key);
    if (entry)
        entry->is_lost = false;
    else if (is_own && sweep->count < SWEEP_ORPHANS)
        sweep->orphans[sweep->count++] = key;
}

static err_t sweep_unlink(struct recovery *recovery, const struct chunk_key *key)
{
    struct stream *stream = recovery->stream;
    char path[CHUNK_NAME_MAX];
    chunk_path(path, key);
    chunk_forget(stream->options.files, key);
    int64_t result = recovery_call(
        recovery, (struct io_op){.kind = IO_UNLINK, .fd = stream->options.root->fd, .path = path});
    return result < 0 && result != -ENOENT ? ERR_RESULT(result) : ERR_OK;
}

/* One look at all chunk files: unlinks the orphans it met; *ret_count: how many. */
static err_t sweep_look(struct recovery *recovery, uint32_t *ret_count)
{
    struct stream *stream = recovery->stream;
    struct sweep sweep = {.stream = stream};
    for (uint32_t i = 0; i < stream->chunks.count; i++)
        stream->chunks.entries[i].is_lost = true;
    int64_t result = recovery_call(recovery, (struct io_op){.kind = IO_LIST,
                                                 .fd = stream->maker->directory.fd,
                                                 .each_entry = sweep_entry,
                                                 .context = &sweep});
    if (result < 0)
        return ERR_RESULT(result);
    for (uint32_t i = 0; i < sweep.count; i++)
        TRY(sweep_unlink(recovery, &sweep.orphans[i]));
    *ret_count = sweep.count;
    return ERR_OK;
}

/* The copy of a chunk whose homes belong to another stream may lie on another mount point. */
static err_t sweep_elsewhere(struct recovery *recovery, struct chunk_entry *entry)
{
    struct stream *stream = recovery->stream;
    struct chunk_key key = stream_chunk_key(stream, entry);
    struct chunk_ref ref;
    err_t err = chunk_acquire_now(stream->options.files, &key, &ref);
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return ERR_OK;
    TRY(err);
    chunk_release(stream->options.files, &ref);
    entry->is_lost = false;
    return ERR_OK;
}

/* What lived in a lost chunk is not here any more: its digest says so, and it is repaired from others. */
static void note_lost(struct recovery *recovery, struct chunk_entry *entry)
{
    const struct digest none = {0};
    recovery->has_losses |= !digest_equals(&entry->digest, &none);
    entry->digest = none;
    recovery->stream->lost_chunks++;
}

/* Chunk files against the table: orphans go; a missing one in which nothing lives was dropped. */
static err_t sweep_chunks(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    uint32_t orphans = 0;
    do
        TRY(sweep_look(recovery, &orphans));
    while (orphans > 0);
    for (uint32_t i = stream->chunks.count; i-- > 0;) {
        struct chunk_entry *entry = &stream->chunks.entries[i];
        if (entry->is_lost && entry->source != 0)
            TRY(sweep_elsewhere(recovery, entry));
        if (!entry->is_lost)
            continue;
        if (entry->live_count == 0 && entry->digest.count == 0)
            chunk_table_remove(&stream->chunks, entry);
        else
            note_lost(recovery, entry);
    }
    return ERR_OK;
}

/* ---- all of it ---- */

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

static err_t replay(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    TRY(load_checkpoint(recovery));
    TRY(log_scan_open(&recovery->scan));
    TRY(sync_log_end(recovery));
    TRY(log_scan_run(&recovery->scan, recovery->header.lsn, redo_record, recovery));
    TRY(single_redo_finish(&recovery->singles));
    TRY(settle_chunks(recovery));
    TRY(sweep_chunks(recovery));
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
        TRY(store_map(recovery, &stream->active));
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
    for (uint32_t i = 1; i < stream->sources.count; i++) {
        struct source *source = &stream->sources.all[i];
        source->incarnation = source->logged_incarnation = source->kept_incarnation;
        source->lsn = source->logged_lsn = source->kept_lsn;
        source->watermark = source->kept_watermark;
    }
}

err_t stream_recover(struct stream *stream, struct binlog_position *ret, uint64_t *ret_generation)
{
    struct recovery recovery;
    recovery_init(&recovery, stream);
    TRY(replay(&recovery));
    struct log_scan *scan = &recovery.scan;
    bool is_clean = recovery.header.is_clean && scan->records == 0 && !scan->is_torn;
    uint64_t incarnation = recovery.header.incarnation + (is_clean ? 0 : 1);
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
