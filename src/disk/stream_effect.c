/* What durable records do to the stream's tables: chunk table, sources, digests, slot maps. */
#include "disk/stream.h"

struct active_chunk *stream_active_of(struct stream *stream, uint32_t number)
{
    struct active_chunk *all[] = {
        &stream->active, &stream->sealing, &stream->next, &stream->making};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->ref.file && all[i]->number == number)
            return all[i];
    return NULL;
}

static void effect_take_own(struct stream *stream, const struct place *place)
{
    struct chunk_entry *entry = chunk_table_add(&stream->chunks, 0, place->chunk);
    CHECK(entry != NULL); /* capacity covers the disk; recovery checks before */
    chunk_entry_take(entry, place->offset, place->slot_size);
    struct active_chunk *active = stream_active_of(stream, place->chunk);
    if (active) {
        err_t err = slotmap_force_allocate(&active->map, place->offset, place->slot_size);
        CHECK(!err_is(err));
    }
}

static bool place_is_own(const struct stream *stream, const struct place *place)
{
    struct source_key key = source_key_of(place);
    return source_key_equals(&key, &stream->sources.all[0].key);
}

static struct chunk_entry *entry_of(struct stream *stream, const struct place *place)
{
    struct chunk_key key = chunk_key_of(place);
    return stream_chunk_find(stream, &key);
}

/* Own slots that somebody else fills were lost, and are brought back. */
static bool is_brought_back(const struct stream *stream, const struct record *record)
{
    const struct source_key maker = {record->origin, record->mount, record->stream};
    return record->kind == RECORD_FULL || !source_key_equals(&maker, &stream->sources.all[0].key);
}

static void effect_take(
    struct stream *stream, const struct record *record, const struct place *place)
{
    if (place->kind != PLACE_PACKED)
        return;
    if (place_is_own(stream, place)) {
        effect_take_own(stream, place);
        if (is_brought_back(stream, record))
            entry_of(stream, place)->is_unmapped = true;
        return;
    }
    struct chunk_entry *entry = entry_of(stream, place);
    if (!entry)
        return;
    chunk_entry_take_mirrored(entry, place->offset, place->slot_size);
    chunk_entry_touch_mirrored(entry, io_now(stream->options.io));
}

static void note_for_punching(struct stream *stream, const struct place *place, uint64_t lsn)
{
    if (place->slot_size < STREAM_PUNCH_MIN || stream->punch_count == STREAM_PUNCHES)
        return;
    uint32_t at = (stream->punch_first + stream->punch_count++) % STREAM_PUNCHES;
    stream->punches[at] = (struct freed_slot){place->chunk, place->offset, place->slot_size, lsn};
}

/* Only the allocator's own slots become free; what it frees, all forget. */
static void effect_give(struct stream *stream, const struct place *place, uint64_t lsn)
{
    struct chunk_entry *entry = place->kind == PLACE_PACKED ? entry_of(stream, place) : NULL;
    if (!entry)
        return;
    if (entry->source != 0) {
        chunk_entry_give_mirrored(entry);
        chunk_entry_touch_mirrored(entry, io_now(stream->options.io));
        return;
    }
    chunk_entry_give(entry, place->slot_size);
    note_for_punching(stream, place, lsn);
    struct active_chunk *active = stream_active_of(stream, place->chunk);
    if (active) {
        err_t err = slotmap_force_release(&active->map, place->offset, place->slot_size);
        CHECK(!err_is(err));
    }
}

/* A delete of a file that was not here, or not any more, frees nothing. */
static bool deletes_live(const struct record *record)
{
    return record->kind == RECORD_DELETE
           && (!(record->flags & RECORD_EXTENDED) || record->live_delta < 0);
}

/* A file whose content lies elsewhere came with its home. */
static bool brings_home(const struct record *record)
{
    return record->flags & RECORD_EXTENDED && record->flags & RECORD_AT_TARGET
           && record->live_delta > 0;
}

/* A tombstone for a file that was not here: what comes late looks for it. */
static void effect_reach(struct stream *stream, const struct place *place)
{
    struct chunk_entry *entry = place->kind == PLACE_PACKED ? entry_of(stream, place) : NULL;
    if (!entry || entry->source == 0)
        return;
    if (entry->end < place->offset + place->slot_size)
        entry->end = place->offset + place->slot_size;
    chunk_entry_touch_mirrored(entry, io_now(stream->options.io));
}

static void effect_live(struct stream *stream, const struct record *record)
{
    int delta = record->live_delta;
    if (!(record->flags & RECORD_EXTENDED))
        delta = record->kind == RECORD_UPLOAD ? 1 : record->kind == RECORD_DELETE ? -1 : 0;
    if (record->home.kind != PLACE_NONE && place_is_own(stream, &record->home)
        && (delta > 0 || stream->live_count > 0))
        stream->live_count += (uint64_t)(int64_t)delta;
}

struct digest *stream_digest_of(
    struct stream *stream, const struct place *home, const struct identity *identity)
{
    if (home->kind == PLACE_PACKED) {
        struct chunk_entry *entry = entry_of(stream, home);
        return entry ? &entry->digest : NULL;
    }
    struct source_key key = source_key_of(home);
    struct source *source = source_table_find(&stream->sources, &key);
    return source ? &source->singles[source_bucket(identity)] : NULL;
}

static void effect_digest(struct stream *stream, const struct record *record)
{
    struct digest *digest = NULL;
    if (record->digest_delta != 0 || record->live_delta != 0)
        digest = stream_digest_of(stream, &record->home, &record->identity);
    if (!digest)
        return;
    digest_add(digest, record->digest_delta, record->live_delta);
    uint64_t now = io_now(stream->options.io);
    if (record->home.kind == PLACE_PACKED) {
        struct chunk_entry *entry = CONTAINER_OF(digest, struct chunk_entry, digest);
        entry->changed_ns = now;
        if (entry->source != 0)
            chunk_entry_touch_mirrored(entry, now);
        return;
    }
    struct source_key key = source_key_of(&record->home);
    source_table_find(&stream->sources, &key)->changed_ns[source_bucket(&record->identity)] = now;
}

static void effect_position(struct stream *stream, const struct record *record)
{
    const struct source_key key = {record->origin, record->mount, record->stream};
    struct source *source = source_table_find(&stream->sources, &key);
    if (!source || source == stream->sources.all)
        return;
    source->kept_incarnation = record->source_incarnation;
    source->kept_lsn = record->source_lsn;
    source->kept_coverage =
        (struct coverage){record->watermark, record->content_offset, record->total_size};
}

static void effect_lease(struct stream *stream, const struct record *record)
{
    if (stream->lease < record->watermark)
        stream->lease = record->watermark;
    stream->is_lease_out = false;
}

static void effect_own_position(struct stream *stream, const struct record *record)
{
    struct source *own = stream->sources.all;
    own->incarnation = own->kept_incarnation = record->incarnation;
    own->lsn = own->kept_lsn = record->lsn;
}

void stream_take_effect(struct stream *stream, const struct record *record)
{
    effect_own_position(stream, record);
    if (record->kind == RECORD_LEASE)
        effect_lease(stream, record);
    if (record->kind == RECORD_POSITION)
        effect_position(stream, record);
    if (!record_is_change(record))
        return;
    if (record->flags & RECORD_TAKES)
        effect_take(
            stream, record, record->flags & RECORD_AT_TARGET ? &record->target : &record->home);
    if (brings_home(record))
        effect_take(stream, record, &record->home);
    if (record->flags & RECORD_FREES)
        effect_give(stream, &record->freed, record->lsn);
    if (deletes_live(record))
        effect_give(stream, &record->home, record->lsn);
    else if (record->kind == RECORD_DELETE)
        effect_reach(stream, &record->home);
    effect_live(stream, record);
    effect_digest(stream, record);
    tombstones_note(stream, record);
}

/* ---- sources and chunks ---- */

struct source *stream_source_find(struct stream *stream, const struct source_key *key)
{
    return source_table_find(&stream->sources, key);
}

err_t stream_source_add(struct stream *stream, const struct source_key *key, struct source **ret)
{
    struct source *source = source_table_find(&stream->sources, key);
    if (!source) {
        TRY(stream_tell_source(stream, key));
        source = source_table_add(&stream->sources, key);
    }
    if (!source)
        return ERR(BUSY, 0);
    *ret = source;
    return ERR_OK;
}

err_t stream_tell_source(struct stream *stream, const struct source_key *key)
{
    bool is_heard = stream->options.on_source != NULL;
    return is_heard ? stream->options.on_source(stream, key) : ERR_OK;
}

static bool covers(const struct stream *stream, const struct source *source,
    const struct coverage *coverage, uint64_t clock)
{
    bool is_own = source == stream->sources.all;
    bool is_in_gap = clock >= coverage->gap_first && clock <= coverage->gap_last;
    return is_own ? !is_in_gap : coverage_has(coverage, clock);
}

bool stream_covers(struct stream *stream, const struct source_key *key, uint64_t clock)
{
    const struct source *source = stream_source_find(stream, key);
    return source && covers(stream, source, &source->coverage, clock);
}

bool stream_keeps_covering(struct stream *stream, const struct source_key *key, uint64_t clock)
{
    const struct source *source = stream_source_find(stream, key);
    return source && covers(stream, source, &source->kept_coverage, clock);
}

struct coverage stream_coverage(struct stream *stream, const struct source *source)
{
    struct coverage coverage = source->coverage;
    if (source == stream->sources.all)
        coverage.watermark = stream_watermark(stream);
    return coverage;
}

void stream_raise_coverage(
    struct stream *stream, struct source *source, const struct coverage *other)
{
    bool is_own = source == stream->sources.all;
    struct coverage coverage = stream_coverage(stream, source);
    coverage_merge(&coverage, other);
    if (is_own)
        coverage.watermark = source->coverage.watermark;
    source->coverage = coverage;
    if (is_own) /* kept with the next checkpoint */
        source->kept_coverage = coverage;
    else
        stream_position_log(stream, source);
}

void stream_lose_log(struct stream *stream)
{
    uint64_t clock = stream_watermark(stream);
    if (stream->sources.all[0].lost_clock < clock)
        stream->sources.all[0].lost_clock = clock;
}

void stream_position_log(struct stream *stream, struct source *source)
{
    struct record record = {.kind = RECORD_POSITION,
        .flags = RECORD_EXTENDED,
        .origin = source->key.machine,
        .mount = source->key.mount,
        .stream = source->key.stream,
        .time_ns = io_wall(stream->options.io),
        .watermark = source->coverage.watermark,
        .content_offset = source->coverage.gap_first,
        .total_size = source->coverage.gap_last,
        .source_incarnation = source->incarnation,
        .source_lsn = source->lsn};
    bool is_logged = source->logged_incarnation == source->incarnation
                     && source->logged_lsn == source->lsn
                     && coverage_equals(&source->kept_coverage, &source->coverage);
    if (is_logged || source == stream->sources.all || stream->state != STREAM_OPEN
        || !binlog_has_room(&stream->log, record_size(&record)))
        return;
    if (err_is(binlog_append_detached(&stream->log, &record)))
        return;
    source->logged_incarnation = source->incarnation;
    source->logged_lsn = source->lsn;
}

struct chunk_entry *stream_chunk_find(struct stream *stream, const struct chunk_key *key)
{
    const struct source_key source_key = {key->machine, key->mount, key->stream};
    struct source *source = source_table_find(&stream->sources, &source_key);
    return source ? chunk_table_find(
               &stream->chunks, source_index(&stream->sources, source), key->number)
                  : NULL;
}

err_t stream_chunk_add(struct stream *stream, const struct chunk_key *key, struct chunk_entry **ret)
{
    const struct source_key source_key = {key->machine, key->mount, key->stream};
    struct source *source;
    TRY(stream_source_add(stream, &source_key, &source));
    struct chunk_entry *entry =
        chunk_table_add(&stream->chunks, source_index(&stream->sources, source), key->number);
    if (!entry)
        return ERR(BUSY, 0);
    *ret = entry;
    return ERR_OK;
}

void stream_mark_dirty(struct stream *stream, const struct chunk_key *key)
{
    struct chunk_entry *entry = stream_chunk_find(stream, key);
    if (entry)
        entry->is_dirty = true;
}
