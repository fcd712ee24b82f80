#include "disk/maker.h"

#include <errno.h>

enum {
    MAKER_PICK,
    MAKER_SEAL,
    MAKER_SEAL_WRITE,
    MAKER_SEALED,
    MAKER_SPACE,
    MAKER_CREATE,
    MAKER_ALLOCATE,
    MAKER_HEADER,
    MAKER_SYNC,
    MAKER_SYNC_DIRECTORY,
    MAKER_ACQUIRE,
    MAKER_READ_MAP,
    MAKER_LOAD_MAP,
    MAKER_SCAN,
    MAKER_SCANNED,
    MAKER_COVER,
    MAKER_STORE,
    MAKER_STORED,
    MAKER_ACTIVATE,
    MAKER_ACTIVATED,
    MAKER_FULL,
    MAKER_UNWIND,
    MAKER_UNLINKED,
    MAKER_DONE,
    MAKER_STAGES
};

static struct maker *maker_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct maker, machine);
}

static struct io_op maker_op(struct maker *maker, enum io_kind kind, int fd)
{
    return (struct io_op){.kind = kind, .fd = fd, .owner = &maker->machine.owner};
}

static int maker_submit(struct maker *maker, int next, struct io_op op)
{
    int wait = machine_wait_in(&maker->machine, next, 1);
    op.wake = io_wake_machine;
    op.context = &maker->machine;
    maker->op = op;
    io_submit(maker->stream->options.io, &maker->op);
    return wait;
}

static int maker_write(struct maker *maker, int next, int fd, void *data, size_t size, uint64_t at)
{
    maker->iov = (struct iovec){data, size};
    struct io_op op = maker_op(maker, IO_WRITE, fd);
    op.iov = &maker->iov;
    op.iov_count = 1;
    op.offset = at;
    return maker_submit(maker, next, op);
}

void maker_kick(struct stream *stream)
{
    struct maker *maker = stream->maker;
    if (!maker->is_idle)
        return;
    maker->is_idle = false;
    machine_arrive(&maker->machine);
}

static int maker_sleep(struct maker *maker)
{
    maker->key.number = 0;
    if (maker->stream->closing != STREAM_CLOSING_NOT)
        return MAKER_UNWIND; /* nobody kicks it again */
    maker->is_idle = true;
    return machine_wait_in(&maker->machine, MAKER_PICK, 1);
}

/* Who waits for space hears why there is none. */
static int maker_give_up(struct maker *maker, err_t cause)
{
    struct stream *stream = maker->stream;
    stream->is_full = true;
    stream->full_cause = cause;
    stream_serve_waiters(stream);
    return maker_sleep(maker);
}

/* ---- what to do next ---- */

static bool next_is_needed(const struct stream *stream)
{
    if (stream->next.ref.file)
        return false;
    return !stream->active.ref.file || !list_is_empty(&stream->space_waiters)
           || stream->active.reserve_end > stream->options.chunk_size / 4 * 3;
}

/* The chunk with the most free bytes, at least `free_min`, that may take a slot of the size asked for. */
static struct chunk_entry *find_to_reopen(struct stream *stream, uint32_t free_min)
{
    struct chunk_entry *best = NULL;
    uint32_t best_bytes = 0;
    for (uint32_t i = 0; i < stream->chunks.count; i++) {
        struct chunk_entry *entry = &stream->chunks.entries[i];
        if (entry->source != 0)
            break; /* own chunks come first */
        uint32_t end = entry->end > CHUNK_HEADER_SIZE ? entry->end : CHUNK_HEADER_SIZE;
        uint32_t tail = stream->options.chunk_size - end;
        uint32_t bytes = entry->free_bytes + tail;
        bool fits = entry->fit_max >= stream->wanted_size || tail >= stream->wanted_size;
        if (bytes < free_min || bytes <= best_bytes || !fits || entry->is_lost || entry->is_bad
            || entry->is_starved || entry->is_unmapped || stream_active_of(stream, entry->number))
            continue;
        best = entry;
        best_bytes = bytes;
    }
    return best;
}

static struct chunk_key maker_key(const struct stream *stream, uint32_t number)
{
    return (struct chunk_key){
        stream->options.machine, stream->options.mount, stream->options.stream, number};
}

static int maker_reopen(struct maker *maker, const struct chunk_entry *entry)
{
    maker->is_new = false;
    maker->key = maker_key(maker->stream, entry->number);
    return MAKER_ACQUIRE;
}

static int maker_pick(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    maker->key.number = 0;
    if (stream->closing != STREAM_CLOSING_NOT)
        return MAKER_UNWIND;
    if (stream->state == STREAM_FAILED)
        return maker_sleep(maker);
    if (stream->sealing.ref.file && stream->sealing.outstanding == 0
        && !stream->sealing.is_being_mapped) {
        maker->copy = 0;
        return MAKER_SEAL;
    }
    if (!next_is_needed(stream))
        return maker_sleep(maker);
    struct chunk_entry *entry = find_to_reopen(stream, stream->options.chunk_size / 4);
    if (entry)
        return maker_reopen(maker, entry);
    maker->is_new = true;
    maker->tried_drop = false;
    return MAKER_SPACE;
}

/* ---- seal ---- */

static int maker_seal(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    struct active_chunk *full = &stream->sealing;
    full->is_being_sealed = true;
    if (maker->copy < SLOTMAP_COPIES)
        return maker_submit(
            maker, MAKER_SEAL_WRITE, maker_op(maker, IO_SYNC, full->ref.file->handle.fd));
    stream_mark_dirty(stream, &full->ref.key);
    full->is_being_sealed = false;
    chunk_release(stream->options.files, &full->ref);
    maker->sealed++;
    checkpoint_seal_ended(stream->checkpoint);
    stream_serve_waiters(stream);
    return MAKER_PICK;
}

static int maker_seal_write(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct active_chunk *full = &maker->stream->sealing;
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    maker->copy++;
    maker->done = 0;
    unsigned place = slotmap_store(&full->map, maker->images);
    uint64_t at = maker->stream->options.chunk_size + place * maker->image_size;
    return maker_write(
        maker, MAKER_SEALED, full->ref.file->handle.fd, maker->images, maker->image_size, at);
}

static int maker_sealed(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result <= 0)
        return machine_fail(
            machine, maker->op.result < 0 ? ERR_RESULT(maker->op.result) : ERR(IO, EIO));
    maker->done += (size_t)maker->op.result;
    if (maker->done == maker->image_size)
        return MAKER_SEAL;
    struct active_chunk *full = &maker->stream->sealing;
    uint64_t at = maker->op.offset + (uint64_t)maker->op.result;
    return maker_write(maker, MAKER_SEALED, full->ref.file->handle.fd, maker->images + maker->done,
        maker->image_size - maker->done, at);
}

/* ---- make ---- */

static uint64_t chunk_file_size(const struct maker *maker)
{
    return maker->stream->options.chunk_size + SLOTMAP_COPIES * (uint64_t)maker->image_size;
}

static int maker_space(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct io_op op = maker_op(maker, IO_SPACE, maker->stream->options.root->fd);
    op.ret_stat = &maker->space;
    return maker_submit(maker, MAKER_CREATE, op);
}

static int maker_create(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    if (maker->space.allocated < stream->options.reserve_bytes + chunk_file_size(maker)
        || stream->chunks.count == stream->chunks.capacity)
        return MAKER_FULL;
    maker->key = maker_key(stream, stream->chunks.next_number++);
    chunk_path(maker->path, &maker->key);
    struct io_op op = maker_op(maker, IO_OPEN, stream->options.root->fd);
    op.path = maker->path;
    op.open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE;
    op.handle_life = LIFE_SEGMENT;
    op.ret_handle = &maker->handle;
    return maker_submit(maker, MAKER_ALLOCATE, op);
}

static int maker_allocate(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    maker->is_created = true;
    struct io_op op = maker_op(maker, IO_ALLOCATE, maker->handle.fd);
    op.size = chunk_file_size(maker);
    return maker_submit(maker, MAKER_HEADER, op);
}

static int maker_header(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    struct chunk_header header = {.key = maker->key,
        .chunk_size = stream->options.chunk_size,
        .seed = (uint32_t)io_random(stream->options.io),
        .created_ns = io_wall(stream->options.io)};
    memcpy(header.storage_uuid, stream->options.storage_uuid, 16);
    memset(maker->page, 0, LOG_PAGE);
    chunk_header_encode(&header, maker->page);
    maker->done = 0;
    return maker_write(maker, MAKER_SYNC, maker->handle.fd, maker->page, LOG_PAGE, 0);
}

static int maker_sync(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result <= 0)
        return machine_fail(
            machine, maker->op.result < 0 ? ERR_RESULT(maker->op.result) : ERR(IO, EIO));
    maker->done += (size_t)maker->op.result;
    if (maker->done < LOG_PAGE)
        return maker_write(maker, MAKER_SYNC, maker->handle.fd, maker->page + maker->done,
            LOG_PAGE - maker->done, maker->done);
    return maker_submit(maker, MAKER_SYNC_DIRECTORY, maker_op(maker, IO_SYNC, maker->handle.fd));
}

static int maker_sync_directory(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    io_handle_close(maker->stream->options.io, &maker->handle);
    return maker_submit(maker, MAKER_ACQUIRE, maker_op(maker, IO_SYNC, maker->directory.fd));
}

/* ---- both: hold the file, know its map ---- */

static int maker_acquire(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    if (maker->is_new && maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    if (chunk_acquire(stream->options.files, &maker->key, &stream->making.ref, machine))
        return MAKER_READ_MAP;
    return machine_wait_in(machine, MAKER_READ_MAP, 1);
}

static struct slotmap_identity map_identity(const struct maker *maker)
{
    return (struct slotmap_identity){.origin = maker->key.machine,
        .chunk = maker->key.number,
        .chunk_size = maker->stream->options.chunk_size,
        .mount = maker->key.mount,
        .stream = maker->key.stream};
}

static int maker_read_map(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    struct active_chunk *making = &stream->making;
    if (!making->ref.file)
        return machine_fail(machine, making->ref.err);
    making->outstanding = 0;
    if (maker->is_new) {
        struct slotmap_identity identity = map_identity(maker);
        slotmap_init(&making->map, making->map_memory, &identity);
        making->number = maker->key.number;
        making->reserve_end = CHUNK_HEADER_SIZE;
        stream_scan_space(&stream->next_space, making);
        if (!chunk_table_add(&stream->chunks, 0, making->number))
            return machine_fail(machine, ERR(NO_SPACE, 0));
        maker->is_created = false; /* a checkpoint drops it if it comes to nothing */
        return MAKER_ACTIVATE;
    }
    maker->done = 0;
    maker->op.result = 0;
    return MAKER_LOAD_MAP;
}

static int maker_load_map(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct active_chunk *making = &maker->stream->making;
    size_t size = SLOTMAP_COPIES * maker->image_size;
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    maker->done += (size_t)maker->op.result;
    bool at_end = maker->done > 0 && maker->op.result == 0;
    if (maker->done < size && !at_end) {
        maker->iov = (struct iovec){maker->images + maker->done, size - maker->done};
        struct io_op op = maker_op(maker, IO_READ, making->ref.file->handle.fd);
        op.iov = &maker->iov;
        op.iov_count = 1;
        op.offset = maker->stream->options.chunk_size + maker->done;
        return maker_submit(maker, MAKER_LOAD_MAP, op);
    }
    struct slotmap_identity identity = map_identity(maker);
    struct span copies[SLOTMAP_COPIES] = {span_of(maker->images, maker->image_size),
        span_of(maker->images + maker->image_size, maker->image_size)};
    err_t err = slotmap_load_newest(&making->map, making->map_memory, &identity, copies);
    if (err_is(err))
        return machine_fail(machine, err);
    making->number = maker->key.number;
    maker->scan_at = CHUNK_HEADER_SIZE;
    maker->window_at = UINT32_MAX;
    return MAKER_SCAN;
}

/* ---- reopen: which of the slots that the map calls live were deleted since ---- */

static bool header_is_deleted(struct span bytes, uint32_t seed)
{
    struct slot_header header;
    uint32_t need;
    err_t err = slot_meta_decode(bytes, seed, &header, &need);
    return !err_is(err) && (header.flags & SLOT_DELETED);
}

/* Look at the live slots whose headers lie in the window that was read. */
static void scan_window(struct maker *maker, uint32_t size)
{
    struct active_chunk *making = &maker->stream->making;
    struct slotmap_slot slot;
    while (slotmap_next(&making->map, maker->scan_at, &slot)
           && slot.offset + SLOT_META_MAX <= maker->window_at + size) {
        struct span bytes = span_of(maker->window + (slot.offset - maker->window_at),
            maker->window_at + size - slot.offset);
        maker->scan_at = slot.offset + slot.size;
        if (slot.kind == SLOTMAP_LIVE && header_is_deleted(bytes, making->ref.file->header.seed)) {
            err_t err = slotmap_force_release(&making->map, slot.offset, slot.size);
            CHECK(!err_is(err));
        }
    }
}

static int maker_scan(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    struct active_chunk *making = &stream->making;
    struct slotmap_slot slot;
    if (slotmap_next(&making->map, maker->scan_at, &slot)) {
        maker->scan_at = maker->window_at = slot.offset;
        maker->iov = (struct iovec){maker->window, MAKER_WINDOW};
        struct io_op op = maker_op(maker, IO_READ, making->ref.file->handle.fd);
        op.iov = &maker->iov;
        op.iov_count = 1;
        op.offset = slot.offset;
        return maker_submit(maker, MAKER_SCANNED, op);
    }
    making->reserve_end = making->map.tail * SLOT_UNIT; /* the checkpoint to come covers it */
    if (making->reserve_end < CHUNK_HEADER_SIZE)
        making->reserve_end = CHUNK_HEADER_SIZE;
    stream_scan_space(&stream->next_space, making);
    struct io_op op = maker_op(maker, IO_ALLOCATE, making->ref.file->handle.fd);
    op.size = chunk_file_size(maker); /* blocks that were given back are needed again */
    return maker_submit(maker, MAKER_COVER, op);
}

/* Out of space here is no failure: the free slots of this chunk can't be used now. */
static int maker_cover(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    struct stream *stream = maker->stream;
    struct active_chunk *making = &stream->making;
    unsigned copy = slotmap_store(&making->map, maker->images);
    maker->map_at = stream->options.chunk_size + copy * (uint64_t)maker->image_size;
    maker->done = 0;
    return maker_submit(maker, MAKER_STORE, maker_op(maker, IO_SYNC, making->ref.file->handle.fd));
}

/* What was found free is written down before it is given out: a map that calls it live still would
 * make a slot that was overwritten look damaged. */
static int maker_store(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result < 0)
        return machine_fail(machine, ERR_RESULT(maker->op.result));
    stream_mark_dirty(maker->stream, &maker->key);
    return maker_write(maker, MAKER_STORED, maker->stream->making.ref.file->handle.fd,
        maker->images + maker->done, maker->image_size - maker->done, maker->map_at + maker->done);
}

static int maker_stored(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result <= 0)
        return machine_fail(
            machine, maker->op.result < 0 ? ERR_RESULT(maker->op.result) : ERR(IO, EIO));
    maker->done += (size_t)maker->op.result;
    stream_mark_dirty(maker->stream, &maker->key);
    if (maker->done < maker->image_size)
        return MAKER_STORE;
    int wait = machine_wait_in(machine, MAKER_ACTIVATE, 1);
    checkpoint_wait(maker->stream->checkpoint, &maker->checkpoint, machine);
    return wait;
}

static int maker_scanned(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    if (maker->op.result <= 0)
        return machine_fail(
            machine, maker->op.result < 0 ? ERR_RESULT(maker->op.result) : ERR(CORRUPT, 0));
    uint32_t before = maker->scan_at;
    scan_window(maker, (uint32_t)maker->op.result);
    if (maker->scan_at == before) { /* a short read, or the last slot: leave it as the map has it */
        struct slotmap_slot slot = slotmap_query(&maker->stream->making.map, before);
        maker->scan_at += slot.size;
    }
    return MAKER_SCAN;
}

/* ---- activate ---- */

static int maker_activate(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    if (!maker->is_new && err_is(maker->checkpoint.err))
        return machine_fail(machine, maker->checkpoint.err);
    struct record record = {.kind = RECORD_ACTIVATE,
        .time_ns = io_wall(stream->options.io),
        .home = {.kind = PLACE_PACKED,
            .machine = maker->key.machine,
            .mount = maker->key.mount,
            .stream = maker->key.stream,
            .chunk = maker->key.number}};
    if (!binlog_has_room(&stream->log, record_size(&record))) {
        int wait = machine_wait_in(machine, MAKER_ACTIVATE, 1);
        binlog_wait(&stream->log, &maker->log_waiter, machine);
        return wait;
    }
    err_t err = binlog_append(&stream->log, &maker->append, &record, machine);
    if (err_is(err))
        return machine_fail(machine, err);
    return machine_wait_in(machine, MAKER_ACTIVATED, 1);
}

static int maker_activated(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    err_t err = maker->append.err;
    binlog_release(&stream->log, &maker->append);
    if (err_is(err))
        return machine_fail(machine, err);
    struct active_chunk empty = stream->next;
    stream->next = stream->making;
    stream->making = empty;
    stream->is_full = false;
    if (maker->is_new)
        maker->made++;
    else
        maker->reopened++;
    stream_serve_waiters(stream);
    return MAKER_PICK;
}

/* ---- no room for another chunk: use what is free in the old ones, drop empty ones ---- */

static int maker_full(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    struct chunk_entry *entry =
        find_to_reopen(stream, stream->wanted_size > 0 ? stream->wanted_size : SLOT_UNIT);
    if (entry)
        return maker_reopen(maker, entry);
    if (!maker->tried_drop && checkpoint_would_drop(stream->checkpoint)) {
        maker->tried_drop = true;
        int wait = machine_wait_in(machine, MAKER_SPACE, 1);
        checkpoint_wait(stream->checkpoint, &maker->checkpoint, machine);
        return wait;
    }
    return maker_give_up(maker, ERR(NO_SPACE, 0));
}

/* ---- ends ---- */

static int maker_unwind(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    io_handle_close(stream->options.io, &maker->handle);
    chunk_release(stream->options.files, &stream->making.ref);
    stream->making.number = 0;
    stream->sealing.is_being_sealed = false;
    checkpoint_seal_ended(stream->checkpoint);
    if (maker->is_created) {
        maker->is_created = false;
        chunk_forget(stream->options.files, &maker->key);
        struct io_op op = maker_op(maker, IO_UNLINK, stream->options.root->fd);
        op.path = maker->path;
        return maker_submit(maker, MAKER_UNLINKED, op);
    }
    maker->op.result = 0;
    return MAKER_UNLINKED;
}

/* A chunk whose map can't be read is left alone; a full disk is an answer; the rest ends the stream. */
static int maker_unlinked(struct machine *machine)
{
    struct maker *maker = maker_of(machine);
    struct stream *stream = maker->stream;
    err_t err = machine->err;
    machine->err = ERR_OK;
    if (!err_is(err))
        return MAKER_DONE; /* the stream closes */
    struct chunk_entry *entry = chunk_table_find(&stream->chunks, 0, maker->key.number);
    if (!maker->is_new && (err_has(err, ERR_CODE_CORRUPT) || err_has(err, ERR_CODE_FORMAT))) {
        if (entry)
            entry->is_bad = true;
        return MAKER_PICK;
    }
    if (!maker->is_new && entry && err_has(err, ERR_CODE_NO_SPACE)) {
        entry->is_starved = true; /* what was punched of it can't be had back now */
        return MAKER_PICK;
    }
    if (err_has(err, ERR_CODE_NO_SPACE))
        return MAKER_FULL;
    if (err_has(err, ERR_CODE_NO_RESOURCE) || err_has(err, ERR_CODE_BUSY)) {
        return maker_give_up(maker, err);
    }
    stream_fail(stream, err);
    return MAKER_PICK;
}

static int maker_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage maker_stages[MAKER_STAGES] = {
    [MAKER_PICK] = {"pick", maker_pick, BIT(MAKER_SEAL) | BIT(MAKER_SPACE) | BIT(MAKER_ACQUIRE),
        STAGE_RESTS},
    [MAKER_SEAL] = {"seal", maker_seal, BIT(MAKER_SEAL_WRITE) | BIT(MAKER_PICK), 0},
    [MAKER_SEAL_WRITE] = {"seal-write", maker_seal_write, BIT(MAKER_SEALED), 60000},
    [MAKER_SEALED] = {"sealed", maker_sealed, BIT(MAKER_SEAL), 5000},
    [MAKER_SPACE] = {"space", maker_space, BIT(MAKER_CREATE), 30000},
    [MAKER_CREATE] = {"create", maker_create, BIT(MAKER_ALLOCATE) | BIT(MAKER_FULL), 5000},
    [MAKER_ALLOCATE] = {"allocate", maker_allocate, BIT(MAKER_HEADER), 5000},
    [MAKER_HEADER] = {"header", maker_header, BIT(MAKER_SYNC), 5000},
    [MAKER_SYNC] = {"sync", maker_sync, BIT(MAKER_SYNC_DIRECTORY), 5000},
    [MAKER_SYNC_DIRECTORY] = {"sync-directory", maker_sync_directory, BIT(MAKER_ACQUIRE), 5000},
    [MAKER_ACQUIRE] = {"acquire", maker_acquire, BIT(MAKER_READ_MAP), 5000},
    [MAKER_READ_MAP] = {"read-map", maker_read_map, BIT(MAKER_LOAD_MAP) | BIT(MAKER_ACTIVATE),
        5000},
    [MAKER_LOAD_MAP] = {"load-map", maker_load_map, BIT(MAKER_SCAN), 5000},
    [MAKER_SCAN] = {"scan", maker_scan, BIT(MAKER_SCANNED) | BIT(MAKER_COVER), 5000},
    [MAKER_SCANNED] = {"scanned", maker_scanned, BIT(MAKER_SCAN), 5000},
    [MAKER_COVER] = {"cover", maker_cover, BIT(MAKER_STORE), 5000},
    [MAKER_STORE] = {"store", maker_store, BIT(MAKER_STORED), 0},
    [MAKER_STORED] = {"stored", maker_stored, BIT(MAKER_STORE) | BIT(MAKER_ACTIVATE), 60000},
    [MAKER_ACTIVATE] = {"activate", maker_activate, BIT(MAKER_ACTIVATED), 30000},
    [MAKER_ACTIVATED] = {"activated", maker_activated, BIT(MAKER_PICK), 5000},
    [MAKER_FULL] = {"full", maker_full, BIT(MAKER_ACQUIRE) | BIT(MAKER_SPACE) | BIT(MAKER_PICK),
        30000},
    [MAKER_UNWIND] = {"unwind", maker_unwind, BIT(MAKER_UNLINKED) | BIT(MAKER_DONE), 5000},
    [MAKER_UNLINKED] = {"unlinked", maker_unlinked,
        BIT(MAKER_PICK) | BIT(MAKER_FULL) | BIT(MAKER_DONE), 0},
    [MAKER_DONE] = {"done", maker_done, 0, 0},
};
static const struct machine_kind maker_kind = {
    "chunk-maker", maker_stages, MAKER_STAGES, MAKER_UNWIND, MAKER_DONE};

err_t maker_init(struct maker *maker, struct stream *stream)
{
    void *block;
    *maker = (struct maker){.stream = stream,
        .handle = IO_HANDLE_NONE,
        .directory = IO_HANDLE_NONE,
        .image_size = slotmap_image_size(stream->options.chunk_size)};
    TRY(mem_take(stream->options.mem, &stream->owner, LOG_PAGE, LOG_PAGE, &block));
    maker->page = block;
    TRY(mem_take(
        stream->options.mem, &stream->owner, SLOTMAP_COPIES * maker->image_size, 0, &block));
    maker->images = block;
    TRY(mem_take(stream->options.mem, &stream->owner, MAKER_WINDOW, 0, &block));
    maker->window = block;
    struct io_op op = {.kind = IO_OPEN,
        .fd = stream->options.root->fd,
        .path = "chunks",
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .handle_life = LIFE_PROCESS,
        .ret_handle = &maker->directory,
        .owner = &stream->owner};
    int64_t result = io_call(stream->options.io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

void maker_start(struct maker *maker)
{
    machine_start(&maker->machine, &maker_kind, &maker->stream->options.io->run, DIRECTION_OWN);
}

void maker_fini(struct maker *maker)
{
    CHECK(!list_is_linked(&maker->machine.link));
    struct stream *stream = maker->stream;
    if (!stream)
        return;
    io_handle_close(stream->options.io, &maker->directory);
    mem_give(stream->options.mem, maker->page);
    mem_give(stream->options.mem, maker->images);
    mem_give(stream->options.mem, maker->window);
}
