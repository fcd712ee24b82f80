#include "disk/stream.h"

#include "disk/checkpoint.h"
#include "disk/layout.h"
#include "disk/maker.h"
#include "disk/recover.h"
#include "io/drill.h"

void stream_fail(struct stream *stream, err_t err)
{
    if (stream->state == STREAM_FAILED)
        return;
    stream->state = STREAM_FAILED;
    stream->failure = err;
    stream->options.on_fence(stream, err);
    stream_serve_waiters(stream);
    binlog_withdraw(&stream->log, err);
    stream_watch_kick(stream);
}

/* ---- reservations ---- */

void stream_scan_space(struct space *space, const struct active_chunk *chunk)
{
    while (space->chunk_count > 0)
        space_chunk_forget(space, space->chunks[0].number);
    bool has_room = space_chunk_scan(space, chunk->number, &chunk->map);
    CHECK(has_room);
}

static bool take_inside(struct stream *stream, uint32_t size, struct place *ret)
{
    struct space_slot slot;
    uint32_t taken;
    if (!space_take(&stream->space, size, &slot, &taken))
        return false;
    struct slotmap_extent rest = {slot.offset + taken, slot.size - taken};
    space_allocated(&stream->space, &slot, &rest);
    *ret = (struct place){.offset = slot.offset, .slot_size = taken};
    return true;
}

static bool take_at_end(struct stream *stream, uint32_t size, struct place *ret)
{
    struct active_chunk *active = &stream->active;
    if (stream->options.chunk_size - active->reserve_end < size)
        return false;
    *ret = (struct place){.offset = active->reserve_end, .slot_size = size};
    active->reserve_end += size;
    if (active->reserve_end > stream->options.chunk_size / 4 * 3)
        maker_kick(stream);
    return true;
}

bool stream_change_chunk(struct stream *stream)
{
    if (!stream->next.ref.file || stream->sealing.ref.file)
        return false;
    struct active_chunk full = stream->active;
    stream->active = stream->next;
    stream->next = stream->sealing; /* nothing in it but its memory */
    stream->sealing = full;
    struct space space = stream->space;
    stream->space = stream->next_space;
    stream->next_space = space;
    maker_kick(stream);
    return true;
}

/* What does not fit is remembered, so that the chunk is not reopened for it again and again. */
static bool reserve_in_active(struct stream *stream, uint32_t size, struct place *ret)
{
    if (!stream->active.ref.file)
        return false;
    if (take_inside(stream, size, ret) || take_at_end(stream, size, ret))
        return true;
    struct chunk_entry *entry = chunk_table_find(&stream->chunks, 0, stream->active.number);
    if (entry && entry->fit_max >= size)
        entry->fit_max = size - SLOT_UNIT;
    return false;
}

static void reservation_hold(struct stream *stream, struct reservation *r, struct machine *machine)
{
    struct active_chunk *active = &stream->active;
    r->place.kind = PLACE_PACKED;
    r->place.machine = stream->options.machine;
    r->place.mount = stream->options.mount;
    r->place.stream = stream->options.stream;
    r->place.chunk = active->number;
    r->state = RESERVE_DONE;
    active->outstanding++;
    chunk_ref_copy(&r->ref, &active->ref);
    ledger_enter(&stream->options.io->ledger, &r->held, .kind = HELD_SPACE, .life = LIFE_REQUEST,
        .size = r->place.slot_size, .handle = r->place.offset, .owner = &machine->owner);
}

static bool reservation_fail(struct reservation *r, err_t err)
{
    r->err = err;
    r->state = RESERVE_NONE;
    return true;
}

bool stream_reserve(
    struct stream *stream, struct reservation *r, uint32_t size, struct machine *machine)
{
    CHECK(size % SLOT_UNIT == 0 && size <= stream->options.chunk_size - CHUNK_HEADER_SIZE);
    CHECK(r->state != RESERVE_DONE && !list_is_linked(&r->link));
    bool has_waited = r->state == RESERVE_WAITING;
    r->err = ERR_OK;
    if (stream->state != STREAM_OPEN)
        return reservation_fail(r, ERR(OFFLINE, 0));
    bool is_there = reserve_in_active(stream, size, &r->place);
    if (!is_there && stream_change_chunk(stream))
        is_there = reserve_in_active(stream, size, &r->place);
    if (is_there) {
        reservation_hold(stream, r, machine);
        return true;
    }
    if (has_waited && stream->is_full && !stream->next.ref.file && !stream->sealing.ref.file)
        return reservation_fail(r, stream->full_cause);
    r->state = RESERVE_WAITING;
    r->machine = machine;
    list_push_back(&stream->space_waiters, &r->link);
    stream->wanted_size = size;
    maker_kick(stream);
    return false;
}

static void reservation_end(struct stream *stream, const struct reservation *r, bool is_committed)
{
    struct active_chunk *active = stream_active_of(stream, r->place.chunk);
    CHECK(active != NULL && active->outstanding > 0);
    active->outstanding--;
    uint32_t end = r->place.offset + r->place.slot_size;
    if (!is_committed && active->reserve_end == end)
        active->reserve_end = r->place.offset;
    else if (!is_committed && active == &stream->active)
        space_released(&stream->space, active->number, r->place.slot_size,
            &(struct slotmap_release){.merged = {r->place.offset, r->place.slot_size}});
    if (active == &stream->sealing)
        maker_kick(stream);
}

void stream_reserve_end(struct stream *stream, struct reservation *r, bool is_committed)
{
    if (list_is_linked(&r->link))
        list_remove(&r->link);
    if (r->state == RESERVE_DONE) {
        reservation_end(stream, r, is_committed);
        ledger_release(&stream->options.io->ledger, &r->held, HELD_SPACE);
        if (DRILL_IS_ON(stream->options.io, SPACE))
            DRILL_LEAK_SPACE(stream->options.io, &stream->owner, r->place.slot_size);
        chunk_release(stream->options.files, &r->ref);
    }
    r->state = RESERVE_NONE;
}

void stream_serve_waiters(struct stream *stream)
{
    struct list served;
    list_init(&served);
    for (struct list *node; (node = list_pop_front(&stream->space_waiters)) != NULL;)
        list_push_back(&served, node);
    for (struct list *node; (node = list_pop_front(&served)) != NULL;)
        machine_arrive(CONTAINER_OF(node, struct reservation, link)->machine);
}

/* ---- open and close ---- */

static void on_log_commit(void *context, const struct record *record)
{
    struct stream *stream = context;
    stream_take_effect(stream, record);
    stream_note_watermark(stream, record);
    stream_tell_upload(stream, record);
}

static void on_log_batch(void *context, uint64_t first_lsn, struct span records)
{
    struct stream *stream = context;
    log_tail_commit(&stream->tail, first_lsn, records);
    stream_watch_kick(stream);
}

static void on_log_retention_broken(void *context)
{
    stream_watch_kick(context);
}

static void on_log_moved(void *context)
{
    struct stream *stream = context;
    checkpoint_log_moved(stream->checkpoint);
    if (stream->tells_applied)
        stream_watch_kick(stream);
}

static void on_log_failure(void *context, err_t err)
{
    stream_fail(context, err);
    on_log_moved(context);
}

static void on_log_pressure(void *context)
{
    struct stream *stream = context;
    checkpoint_request(stream->checkpoint);
}

static err_t stream_take_memory(struct stream *stream)
{
    const struct stream_options *options = &stream->options;
    struct mem *mem = options->mem;
    void *block;
    TRY(chunk_table_init(&stream->chunks, mem, &stream->owner, options->chunk_count_max));
    TRY(source_table_init(&stream->sources, mem, &stream->owner, options->source_count_max));
    const struct source_key own = {options->machine, options->mount, options->stream};
    CHECK(source_table_add(&stream->sources, &own) == stream->sources.all);
    TRY(space_init(&stream->space, mem, &stream->owner, options->free_slot_count, 1));
    TRY(space_init(&stream->next_space, mem, &stream->owner, options->free_slot_count, 1));
    struct active_chunk *all[] = {
        &stream->active, &stream->sealing, &stream->next, &stream->making};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        TRY(mem_take(mem, &stream->owner, slotmap_memory_size(options->chunk_size), 0, &block));
        all[i]->map_memory = block;
    }
    if (options->log_ring_size > 0) {
        TRY(mem_take(mem, &stream->owner, options->log_ring_size, 0, &block));
        stream->ring_memory = block;
    }
    TRY(mem_take(mem, &stream->owner, sizeof(struct maker), 0, &block));
    stream->maker = block;
    TRY(mem_take(mem, &stream->owner, sizeof(struct checkpoint), 0, &block));
    stream->checkpoint = block;
    TRY(maker_init(stream->maker, stream));
    return checkpoint_init(stream->checkpoint, stream);
}

static void stream_give_back(struct stream *stream)
{
    struct mem *mem = stream->options.mem;
    struct active_chunk *all[] = {
        &stream->active, &stream->sealing, &stream->next, &stream->making};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        chunk_release(stream->options.files, &all[i]->ref);
        mem_give(mem, all[i]->map_memory);
    }
    if (stream->checkpoint)
        checkpoint_fini(stream->checkpoint);
    if (stream->maker)
        maker_fini(stream->maker);
    log_tail_fini(&stream->tail);
    mem_give(mem, stream->ring_memory);
    mem_give(mem, stream->checkpoint);
    mem_give(mem, stream->maker);
    space_fini(&stream->space);
    space_fini(&stream->next_space);
    chunk_table_fini(&stream->chunks);
    source_table_fini(&stream->sources);
    owner_close(&stream->owner);
}

static err_t stream_open_log(struct stream *stream, const struct binlog_position *position)
{
    const struct stream_options *options = &stream->options;
    struct binlog_options log = {.io = options->io,
        .mem = options->mem,
        .root = options->root,
        .segment_size = options->log_segment_size,
        .buffer_size = options->log_buffer_size,
        .segment_count_max = options->log_segment_count_max,
        .identity = {.incarnation = options->incarnation,
            .machine = options->machine,
            .mount = options->mount,
            .stream = options->stream},
        .on_commit = on_log_commit,
        .on_batch = on_log_batch,
        .on_retention_broken = on_log_retention_broken,
        .retains = options->retains_log,
        .on_moved = on_log_moved,
        .on_failure = on_log_failure,
        .on_pressure = on_log_pressure,
        .context = stream};
    memcpy(log.identity.storage_uuid, options->storage_uuid, 16);
    memcpy(log.identity.mount_uuid, options->mount_uuid, 16);
    return binlog_open(&stream->log, &log, position);
}

static err_t stream_set_up(struct stream *stream)
{
    struct binlog_position position;
    uint64_t generation = 0;
    TRY(layout_make(
        stream->options.io, &stream->owner, stream->options.root, stream->options.stream));
    TRY(stream_take_memory(stream));
    TRY(stream_recover(stream, &position, &generation));
    TRY(stream_open_log(stream, &position));
    log_tail_init(&stream->tail, &stream->log, stream->ring_memory, stream->options.log_ring_size);
    stream->state = STREAM_OPEN;
    stream_watch_start(stream);
    checkpoint_start(stream->checkpoint, generation);
    maker_start(stream->maker);
    checkpoint_request(stream->checkpoint);
    stream_renew_lease(stream);
    return ERR_OK;
}

err_t stream_open(struct stream *stream, const struct stream_options *options)
{
    *stream = (struct stream){.options = *options};
    if (stream->options.source_count_max == 0)
        stream->options.source_count_max = SOURCE_COUNT_DEFAULT;
    owner_open(&stream->owner, "stream", DIRECTION_OWN, io_now(options->io));
    list_init(&stream->space_waiters);
    list_init(&stream->watchers);
    list_init(&stream->held_clocks);
    list_init(&stream->mirror_chunks);
    lock_table_init(&stream->locks);
    stream->single_mount = (struct single_mount){options->io, options->root, options->stream};
    single_dirty_init(&stream->singles, &stream->single_mount);
    err_t err = stream_set_up(stream);
    if (err_is(err))
        stream_give_back(stream);
    return err;
}

bool stream_is_ready(const struct stream *stream)
{
    return stream->state != STREAM_OPEN || !stream->is_lease_out;
}

void stream_close_begin(struct stream *stream)
{
    CHECK(list_is_empty(&stream->space_waiters));
    for (uint32_t i = 1; i < stream->sources.count; i++)
        stream_position_log(stream, &stream->sources.all[i]);
    stream->closing = STREAM_CLOSING_MAKER;
    maker_kick(stream);
}

bool stream_close_is_quiet(struct stream *stream)
{
    switch (stream->closing) {
    case STREAM_CLOSING_NOT:
        UNREACHABLE("stream_close_begin was not called");
    case STREAM_CLOSING_MAKER:
        if (list_is_linked(&stream->maker->machine.link) || !binlog_is_idle(&stream->log)
            || stream->tombstones.is_running)
            return false;
        stream->closing = STREAM_CLOSING_CHECKPOINT;
        checkpoint_finish(stream->checkpoint);
        return false;
    case STREAM_CLOSING_CHECKPOINT:
        if (checkpoint_is_running(stream->checkpoint))
            return false;
        stream->closing = STREAM_CLOSING_LOG;
        binlog_close_begin(&stream->log);
        stream_watch_stop(stream);
        return false;
    case STREAM_CLOSING_LOG:
        return binlog_is_quiet(&stream->log) && !list_is_linked(&stream->watch.link);
    }
    return false;
}

void stream_close_end(struct stream *stream)
{
    CHECK(stream->closing == STREAM_CLOSING_LOG);
    binlog_close_end(&stream->log);
    stream->state = STREAM_CLOSED;
    stream_give_back(stream);
}
