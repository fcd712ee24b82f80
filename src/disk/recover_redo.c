/* Recovery: one record applied again. */
#include "disk/packed.h"
#include "disk/recover_parts.h"

bool recovery_is_own(const struct stream *stream, const struct place *place)
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
    bool is_own = place && recovery_is_own(stream, place)
                  && source_key_equals(&maker, &stream->sources.all[0].key);
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
    chunk_table_find(&stream->chunks, 0, place->chunk)->is_touched = true;
    err_t err = recovery_use_chunk(recovery, place->chunk);
    return err_has(err, ERR_CODE_NOT_FOUND) ? ERR_OK : err;
}

/* What a record says of a file lies in a live slot. The map knows that, unless it had to be rebuilt
 * from headers, one of which was torn by this very change. */
static void redo_touch(struct recovery *recovery, const struct place *place)
{
    struct stream *stream = recovery->stream;
    struct active_chunk *active =
        recovery_is_own(stream, place) ? stream_active_of(stream, place->chunk) : NULL;
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

err_t recovery_redo_record(void *context, const struct record *record)
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
    stream_tell_upload(stream, record);
    TRY(redo_packed(recovery, record));
    return single_redo(&recovery->singles, record);
}
