/* Recovery: the chunk files of the stream, their slot maps, and the table. */
#include <errno.h>

#include "disk/recover_parts.h"

/* ---- slot maps of chunks that take new slots: the two last used are kept loaded ---- */

static struct slotmap_identity map_identity(const struct stream *stream, uint32_t number)
{
    return (struct slotmap_identity){.origin = stream->options.machine,
        .chunk = number,
        .chunk_size = stream->options.chunk_size,
        .mount = stream->options.mount,
        .stream = stream->options.stream};
}

err_t recovery_store_map(struct recovery *recovery, struct active_chunk *chunk)
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
err_t recovery_use_chunk(struct recovery *recovery, uint32_t number)
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
        err_t err = recovery_store_map(recovery, &freed);
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

/* Records are missing, and with them slots that were taken: what their chunks have free is not known, and
 * the chunks take no new slots. Those that lost records may have taken: the ones that the log touches; if
 * its end is missing, any. Nothing is wiped then: it may be all that is left of a file. */
static void give_up_maps(struct recovery *recovery)
{
    struct stream *stream = recovery->stream;
    struct chunk_entry *entry = chunk_table_next(&stream->chunks, 0, 0);
    for (; entry; entry = chunk_table_next(&stream->chunks, 0, entry->number + 1))
        entry->is_unmapped |= entry->is_touched || recovery->has_lost_state;
    uint32_t named[] = {recovery->header.sealing_chunk, recovery->header.next_chunk_ready,
        recovery->header.active_chunk, recovery->recent[0], recovery->recent[1],
        recovery->recent[2]};
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if ((entry = chunk_table_find(&stream->chunks, 0, named[i])) != NULL)
            entry->is_unmapped = true;
    chunk_release(stream->options.files, &stream->sealing.ref);
    chunk_release(stream->options.files, &stream->active.ref);
}

/* The chunks that took new slots when the log ended, and those that the checkpoint names. */
err_t recovery_settle_chunks(struct recovery *recovery)
{
    if (recovery->has_lost_state || recovery->scan.rotten > 0) {
        give_up_maps(recovery);
        return ERR_OK;
    }
    struct stream *stream = recovery->stream;
    uint32_t named[] = {recovery->header.sealing_chunk, recovery->header.next_chunk_ready,
        recovery->header.active_chunk, stream->sealing.ref.file ? stream->sealing.number : 0,
        recovery->recent[0], recovery->recent[2], recovery->recent[1],
        stream->active.ref.file ? stream->active.number : 0};
    bool is_clean = recovery->header.is_clean && recovery->scan.records == 0;
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        if (named[i] == 0 || !chunk_table_find(&stream->chunks, 0, named[i]))
            continue;
        err_t err = recovery_use_chunk(recovery, named[i]);
        if (err_has(err, ERR_CODE_NOT_FOUND))
            continue;
        TRY(err);
        if (!is_clean)
            TRY(wipe_free(recovery, stream_active_of(stream, named[i])));
    }
    if (stream->sealing.ref.file) {
        TRY(recovery_store_map(recovery, &stream->sealing));
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
    recovery_lose(recovery, &recovery->stream->sources.all[entry->source]);
    entry->digest = none;
    recovery->stream->lost_chunks++;
}

/* A copy is dropped only when the kept watermark has passed all that was born in it (mirror_drop.h). */
static void forget_dropped(struct stream *stream, struct chunk_entry *entry)
{
    struct source *source = &stream->sources.all[entry->source];
    if (source->gone_birth < source->kept_coverage.watermark)
        source->gone_birth = source->kept_coverage.watermark;
    chunk_table_remove(&stream->chunks, entry);
}

/* Chunk files against the table: orphans go; a missing one in which nothing lives was dropped. */
err_t recovery_sweep_chunks(struct recovery *recovery)
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
            forget_dropped(stream, entry);
        else
            note_lost(recovery, entry);
    }
    return ERR_OK;
}
