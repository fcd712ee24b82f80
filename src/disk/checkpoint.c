#include "disk/checkpoint.h"

#include <errno.h>
#include <stdio.h>

#include "base/crc.h"
#include "disk/maker.h"
#include "disk/stream.h"

enum {
    CHECKPOINT_SLEEP,
    CHECKPOINT_SNAPSHOT,
    CHECKPOINT_APPLIED,
    CHECKPOINT_MAP,
    CHECKPOINT_MAP_STORE,
    CHECKPOINT_MAP_WRITE,
    CHECKPOINT_MAPPED,
    CHECKPOINT_CHUNK,
    CHECKPOINT_CHUNK_SYNC,
    CHECKPOINT_CHUNK_SYNCED,
    CHECKPOINT_SINGLES,
    CHECKPOINT_OPEN,
    CHECKPOINT_WRITE,
    CHECKPOINT_WRITTEN,
    CHECKPOINT_SYNCED,
    CHECKPOINT_FINISH,
    CHECKPOINT_PUNCH,
    CHECKPOINT_PUNCH_HELD,
    CHECKPOINT_PUNCHED,
    CHECKPOINT_DROP,
    CHECKPOINT_DROPPED,
    CHECKPOINT_MIRRORS,
    CHECKPOINT_UNWIND,
    CHECKPOINT_SLEEP_OVER,
    CHECKPOINT_DONE,
    CHECKPOINT_STAGES
};

#define CHECKPOINT_RETRY_NS UINT64_C(200000000)

/* ---- the file: 0 magic | 4 CRC of bytes 8 to the last entry | 8 format u32 | 12 machine u32 | 16 mount, stream, clean, 0
 * 20 next chunk u32 | 24 generation | 32 LSN | 40 incarnation | 48 lease | 56 live count
 * 64 source count u32 | 68 bytes of all entries u32 | 72 active chunk u32 | 76 chunk size u32
 * 80 chunk count u32 | 84 sealing chunk u32 | 88 storage uuid | 104 mount uuid | 120 next chunk u32
 * zeros up to 160 | sources | chunks ---- */

void checkpoint_seal(uint8_t *bytes, size_t size, const struct checkpoint_header *header)
{
    memset(bytes, 0, CHECKPOINT_HEADER_SIZE);
    put_u32(bytes, CHECKPOINT_MAGIC);
    put_u32(bytes + 8, CHECKPOINT_FORMAT);
    put_u32(bytes + 12, header->machine);
    bytes[16] = header->mount;
    bytes[17] = header->stream;
    bytes[18] = header->is_clean;
    put_u32(bytes + 20, header->next_chunk);
    put_u64(bytes + 24, header->generation);
    put_u64(bytes + 32, header->lsn);
    put_u64(bytes + 40, header->incarnation);
    put_u64(bytes + 48, header->lease);
    put_u64(bytes + 56, header->live_count);
    put_u32(bytes + 64, header->source_count);
    put_u32(bytes + 68, (uint32_t)(size - CHECKPOINT_HEADER_SIZE));
    put_u32(bytes + 72, header->active_chunk);
    put_u32(bytes + 76, header->chunk_size);
    put_u32(bytes + 80, header->chunk_count);
    put_u32(bytes + 84, header->sealing_chunk);
    put_u32(bytes + 120, header->next_chunk_ready);
    memcpy(bytes + 88, header->storage_uuid, 16);
    memcpy(bytes + 104, header->mount_uuid, 16);
    put_u32(bytes + 4, crc32_update(0, bytes + 8, size - 8));
}

/* Bytes that the CRC covers to, of any format that there is or will be. */
static uint64_t sealed_size(const uint8_t *bytes)
{
    if (get_u32(bytes + 8) == 1)
        return CHECKPOINT_HEADER_SIZE + (uint64_t)get_u32(bytes + 80) * CHUNK_ENTRY_IMAGE_SIZE_1;
    return CHECKPOINT_HEADER_SIZE + (uint64_t)get_u32(bytes + 68);
}

static bool counts_fit(const struct checkpoint_header *header, uint64_t size)
{
    return header->format == 1
           || size == checkpoint_image_size(header->source_count, header->chunk_count);
}

err_t checkpoint_open(struct span bytes, struct checkpoint_header *ret)
{
    if (bytes.size < CHECKPOINT_HEADER_SIZE || get_u32(bytes.data) != CHECKPOINT_MAGIC)
        return ERR(CORRUPT, 0);
    uint64_t size = sealed_size(bytes.data);
    if (size > bytes.size
        || get_u32(bytes.data + 4) != crc32_update(0, bytes.data + 8, (size_t)size - 8))
        return ERR(CORRUPT, 0);
    uint32_t format = get_u32(bytes.data + 8);
    if (format == 0 || format > CHECKPOINT_FORMAT)
        return ERR(FORMAT, 0);
    const uint8_t *p = bytes.data;
    struct checkpoint_header header = {.format = format,
        .machine = get_u32(p + 12),
        .mount = p[16],
        .stream = p[17],
        .is_clean = p[18] != 0,
        .next_chunk = get_u32(p + 20),
        .generation = get_u64(p + 24),
        .lsn = get_u64(p + 32),
        .incarnation = get_u64(p + 40),
        .lease = get_u64(p + 48),
        .live_count = get_u64(p + 56),
        .active_chunk = get_u32(p + 72),
        .chunk_size = get_u32(p + 76),
        .source_count = format > 1 ? get_u32(p + 64) : 0,
        .chunk_count = get_u32(p + 80),
        .sealing_chunk = get_u32(p + 84),
        .next_chunk_ready = get_u32(p + 120)};
    memcpy(header.storage_uuid, p + 88, 16);
    memcpy(header.mount_uuid, p + 104, 16);
    if (!counts_fit(&header, size))
        return ERR(CORRUPT, 0);
    *ret = header;
    return ERR_OK;
}

void checkpoint_path(char path[CHECKPOINT_NAME_MAX], uint8_t stream, uint64_t generation)
{
    (void)snprintf(path, CHECKPOINT_NAME_MAX, "ckpt/%02x.%u", stream, (unsigned)(generation & 1));
}

void checkpoint_snapshot(struct checkpoint *checkpoint, uint64_t lsn, bool is_clean)
{
    struct stream *stream = checkpoint->stream;
    struct writer w = {
        checkpoint->image, checkpoint->image_capacity, CHECKPOINT_HEADER_SIZE, false};
    source_table_encode(&stream->sources, &w);
    chunk_table_encode(&stream->chunks, &w);
    CHECK(!w.failed);
    uint64_t lease = is_clean ? atomic_load(&stream->options.clock->last) : stream->lease;
    struct checkpoint_header header = {.generation = checkpoint->generation + 1,
        .lsn = lsn,
        .incarnation = stream->options.incarnation,
        .lease = lease,
        .live_count = stream->live_count,
        .machine = stream->options.machine,
        .mount = stream->options.mount,
        .stream = stream->options.stream,
        .is_clean = is_clean,
        .next_chunk = stream->chunks.next_number,
        .active_chunk = stream->active.ref.file ? stream->active.number : 0,
        .sealing_chunk = stream->sealing.ref.file ? stream->sealing.number : 0,
        .next_chunk_ready = stream->next.ref.file ? stream->next.number : 0,
        .chunk_size = stream->options.chunk_size,
        .source_count = stream->sources.count,
        .chunk_count = stream->chunks.count};
    memcpy(header.storage_uuid, stream->options.storage_uuid, 16);
    memcpy(header.mount_uuid, stream->options.mount_uuid, 16);
    checkpoint_seal(checkpoint->image, w.size, &header);
    checkpoint->image_size = w.size;
    checkpoint->lsn = lsn;
}

/* ---- asking ---- */

static struct checkpoint *checkpoint_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct checkpoint, machine);
}

static void checkpoint_wake(struct checkpoint *checkpoint)
{
    if (!checkpoint->is_idle)
        return;
    checkpoint->is_idle = false;
    machine_arrive(&checkpoint->machine);
}

void checkpoint_request(struct checkpoint *checkpoint)
{
    checkpoint->is_wanted = true;
    checkpoint_wake(checkpoint);
}

void checkpoint_wait(
    struct checkpoint *checkpoint, struct checkpoint_waiter *waiter, struct machine *machine)
{
    waiter->machine = machine;
    waiter->err = ERR_OK;
    list_push_back(&checkpoint->waiting, &waiter->link);
    checkpoint_request(checkpoint);
}

void checkpoint_finish(struct checkpoint *checkpoint)
{
    checkpoint->is_last = true;
    checkpoint_request(checkpoint);
}

void checkpoint_seal_ended(struct checkpoint *checkpoint)
{
    if (!checkpoint->waits_for_seal)
        return;
    checkpoint->waits_for_seal = false;
    machine_arrive(&checkpoint->machine);
}

bool checkpoint_is_running(const struct checkpoint *checkpoint)
{
    return list_is_linked(&checkpoint->machine.link);
}

void checkpoint_log_moved(struct checkpoint *checkpoint)
{
    struct stream *stream = checkpoint->stream;
    if (checkpoint->waits_for_log
        && (binlog_applied_lsn(&stream->log) >= checkpoint->lsn
            || stream->state == STREAM_FAILED)) {
        checkpoint->waits_for_log = false;
        machine_arrive(&checkpoint->machine);
    }
    if (binlog_bytes_since_checkpoint(&stream->log) >= stream->options.checkpoint_bytes
        && !checkpoint->is_wanted && checkpoint->is_idle)
        checkpoint_request(checkpoint);
}

static bool chunk_is_droppable(const struct stream *stream, const struct chunk_entry *entry)
{
    const struct active_chunk *all[] = {
        &stream->active, &stream->sealing, &stream->next, &stream->making};
    if (entry->source != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->ref.file && all[i]->ref.key.number == entry->number)
            return false;
    if (stream->maker->key.number == entry->number)
        return false; /* it is being reopened */
    return entry->live_count == 0 && entry->digest.count == 0;
}

bool checkpoint_would_drop(const struct checkpoint *checkpoint)
{
    const struct chunk_table *chunks = &checkpoint->stream->chunks;
    for (uint32_t i = 0; i < chunks->count; i++)
        if (chunk_is_droppable(checkpoint->stream, &chunks->entries[i])
            || mirror_drop_may(checkpoint->stream, &chunks->entries[i]))
            return true;
    return false;
}

void checkpoint_tend(struct checkpoint *checkpoint)
{
    uint64_t now = io_now(checkpoint->stream->options.io);
    if (checkpoint->is_idle && now - checkpoint->last_ns >= CHECKPOINT_TEND_NS
        && checkpoint_would_drop(checkpoint))
        checkpoint_request(checkpoint);
}

/* ---- the machine ---- */

static int checkpoint_submit(struct checkpoint *checkpoint, int next, struct io_op op)
{
    int wait = machine_wait_in(&checkpoint->machine, next, 1);
    op.owner = &checkpoint->machine.owner;
    op.wake = io_wake_machine;
    op.context = &checkpoint->machine;
    checkpoint->op = op;
    io_submit(checkpoint->stream->options.io, &checkpoint->op);
    return wait;
}

static int checkpoint_sleep(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->is_wanted || checkpoint->is_last)
        return CHECKPOINT_SNAPSHOT;
    checkpoint->is_idle = true;
    return machine_wait_in(machine, CHECKPOINT_SLEEP, 1);
}

static int checkpoint_take_snapshot(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    checkpoint->is_wanted = false;
    for (struct list *node; (node = list_pop_front(&checkpoint->waiting)) != NULL;)
        list_push_back(&checkpoint->joined, node);
    if (stream->state == STREAM_FAILED)
        return machine_fail(machine, stream->failure);
    checkpoint->is_final = checkpoint->is_last;
    checkpoint_snapshot(checkpoint, stream->log.lsn_durable, checkpoint->is_final);
    chunk_table_mark_idle(
        &stream->chunks); /* what emptied them is applied when it is time to drop */
    if (binlog_applied_lsn(&stream->log) >= checkpoint->lsn)
        return CHECKPOINT_APPLIED;
    checkpoint->waits_for_log = true;
    return machine_wait_in(machine, CHECKPOINT_APPLIED, 1);
}

static int checkpoint_applied(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->stream->state == STREAM_FAILED)
        return machine_fail(machine, checkpoint->stream->failure);
    checkpoint->map_index = 0;
    checkpoint->at_source = 0;
    checkpoint->at_number = 0;
    return CHECKPOINT_MAP;
}

/* The maps of the chunks that take new slots: recovery loads them and applies the records behind this
 * checkpoint. They may be newer than the snapshot: the last record about a slot decides. */
static struct active_chunk *map_to_write(struct checkpoint *checkpoint)
{
    struct stream *stream = checkpoint->stream;
    struct active_chunk *all[] = {&stream->active, &stream->sealing, &stream->next};
    while (checkpoint->map_index < ARRAY_LEN(all)) {
        struct active_chunk *chunk = all[checkpoint->map_index++];
        if (chunk->ref.file)
            return chunk;
    }
    return NULL;
}

static int checkpoint_map(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    struct active_chunk *chunk = map_to_write(checkpoint);
    if (!chunk)
        return CHECKPOINT_CHUNK;
    if (chunk->is_being_sealed) {
        checkpoint->map_index--;
        checkpoint->waits_for_seal = true;
        return machine_wait_in(machine, CHECKPOINT_MAP, 1);
    }
    chunk->is_being_mapped = true;
    chunk_ref_copy(&checkpoint->ref, &chunk->ref);
    stream_mark_dirty(stream, &chunk->ref.key);
    return checkpoint_submit(checkpoint, CHECKPOINT_MAP_STORE,
        (struct io_op){.kind = IO_SYNC, .fd = checkpoint->ref.file->handle.fd});
}

static int checkpoint_map_store(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    if (checkpoint->op.result < 0)
        return machine_fail(machine, ERR_RESULT(checkpoint->op.result));
    struct active_chunk *chunk = stream_active_of(stream, checkpoint->ref.key.number);
    CHECK(chunk != NULL);
    unsigned copy = slotmap_store(&chunk->map, checkpoint->map_image);
    checkpoint->map_at = stream->options.chunk_size
                         + copy * (uint64_t)slotmap_image_size(stream->options.chunk_size);
    checkpoint->written = 0;
    return CHECKPOINT_MAP_WRITE;
}

static int checkpoint_map_write(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    size_t size = slotmap_image_size(checkpoint->stream->options.chunk_size);
    checkpoint->iov =
        (struct iovec){checkpoint->map_image + checkpoint->written, size - checkpoint->written};
    return checkpoint_submit(checkpoint, CHECKPOINT_MAPPED,
        (struct io_op){.kind = IO_WRITE,
            .fd = checkpoint->ref.file->handle.fd,
            .iov = &checkpoint->iov,
            .iov_count = 1,
            .offset = checkpoint->map_at + checkpoint->written});
}

/* The chunk may be sealed again; the maker may have waited for that. */
static void checkpoint_release_map(struct checkpoint *checkpoint)
{
    struct stream *stream = checkpoint->stream;
    struct active_chunk *chunk =
        checkpoint->ref.file ? stream_active_of(stream, checkpoint->ref.key.number) : NULL;
    chunk_release(stream->options.files, &checkpoint->ref);
    if (!chunk || !chunk->is_being_mapped)
        return;
    chunk->is_being_mapped = false;
    maker_kick(stream);
}

static int checkpoint_mapped(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->op.result <= 0)
        return machine_fail(
            machine, checkpoint->op.result < 0 ? ERR_RESULT(checkpoint->op.result) : ERR(IO, EIO));
    checkpoint->written += (size_t)checkpoint->op.result;
    if (checkpoint->written < slotmap_image_size(checkpoint->stream->options.chunk_size))
        return CHECKPOINT_MAP_WRITE;
    checkpoint_release_map(checkpoint);
    return CHECKPOINT_MAP;
}

/* Chunks whose file is gone have nothing to be synced. */
static struct chunk_entry *next_dirty(struct checkpoint *checkpoint)
{
    struct chunk_table *chunks = &checkpoint->stream->chunks;
    struct chunk_entry *entry =
        chunk_table_next_of_any(chunks, checkpoint->at_source, checkpoint->at_number);
    while (entry && (!entry->is_dirty || entry->is_lost))
        entry = chunk_table_next_of_any(chunks, entry->source, entry->number + 1);
    return entry;
}

/* Every chunk written since its last sync, mirrored ones as well: a walk by source and number, since
 * the table may change meanwhile. */
static int checkpoint_chunk(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    struct chunk_entry *entry = next_dirty(checkpoint);
    if (!entry) {
        int wait = machine_wait_in(machine, CHECKPOINT_SINGLES, 1);
        single_dirty_sync(&stream->singles, machine);
        return wait;
    }
    entry->is_dirty = false;
    checkpoint->at_source = entry->source;
    checkpoint->at_number = entry->number + 1;
    struct chunk_key key = stream_chunk_key(stream, entry);
    if (chunk_acquire(stream->options.files, &key, &checkpoint->ref, machine))
        return CHECKPOINT_CHUNK_SYNC;
    return machine_wait_in(machine, CHECKPOINT_CHUNK_SYNC, 1);
}

static int checkpoint_chunk_sync(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (!checkpoint->ref.file)
        return machine_fail(machine, checkpoint->ref.err);
    return checkpoint_submit(checkpoint, CHECKPOINT_CHUNK_SYNCED,
        (struct io_op){.kind = IO_SYNC, .fd = checkpoint->ref.file->handle.fd});
}

static int checkpoint_chunk_synced(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    chunk_release(checkpoint->stream->options.files, &checkpoint->ref);
    if (checkpoint->op.result < 0)
        return machine_fail(machine, ERR_RESULT(checkpoint->op.result));
    return CHECKPOINT_CHUNK;
}

/* A sync that failed is told once, perhaps to an upload: what it covered is lost, and the syncs of this
 * checkpoint that came later know nothing of it. So nothing is written down once the stream failed. */
static int checkpoint_singles(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    if (err_is(stream->singles.chain.err))
        return machine_fail(machine, stream->singles.chain.err);
    if (checkpoint->stream->state == STREAM_FAILED)
        return machine_fail(machine, checkpoint->stream->failure);
    checkpoint_path(checkpoint->path, stream->options.stream, checkpoint->generation + 1);
    checkpoint->written = 0;
    return checkpoint_submit(checkpoint, CHECKPOINT_OPEN,
        (struct io_op){.kind = IO_OPEN,
            .fd = stream->options.root->fd,
            .path = checkpoint->path,
            .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
            .ret_handle = &checkpoint->handle});
}

static int checkpoint_opened(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    return checkpoint->op.result < 0 ? machine_fail(machine, ERR_RESULT(checkpoint->op.result))
                                     : CHECKPOINT_WRITE;
}

static int checkpoint_write(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->stream->state == STREAM_FAILED)
        return machine_fail(machine, checkpoint->stream->failure);
    checkpoint->iov = (struct iovec){
        checkpoint->image + checkpoint->written, checkpoint->image_size - checkpoint->written};
    return checkpoint_submit(checkpoint, CHECKPOINT_WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .fd = checkpoint->handle.fd,
            .iov = &checkpoint->iov,
            .iov_count = 1,
            .offset = checkpoint->written});
}

static int checkpoint_written(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->op.result <= 0)
        return machine_fail(
            machine, checkpoint->op.result < 0 ? ERR_RESULT(checkpoint->op.result) : ERR(IO, EIO));
    checkpoint->written += (size_t)checkpoint->op.result;
    if (checkpoint->written < checkpoint->image_size)
        return CHECKPOINT_WRITE;
    return checkpoint_submit(checkpoint, CHECKPOINT_SYNCED,
        (struct io_op){.kind = IO_SYNC, .fd = checkpoint->handle.fd});
}

static int checkpoint_synced(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    io_handle_close(checkpoint->stream->options.io, &checkpoint->handle);
    if (checkpoint->op.result < 0)
        return machine_fail(machine, ERR_RESULT(checkpoint->op.result));
    return checkpoint_submit(checkpoint, CHECKPOINT_FINISH,
        (struct io_op){.kind = IO_SYNC, .fd = checkpoint->directory.fd});
}

static void checkpoint_tell(struct checkpoint *checkpoint, err_t err)
{
    for (struct list *node; (node = list_pop_front(&checkpoint->joined)) != NULL;) {
        struct checkpoint_waiter *waiter = CONTAINER_OF(node, struct checkpoint_waiter, link);
        waiter->err = err;
        machine_arrive(waiter->machine);
    }
}

static int checkpoint_succeed(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (checkpoint->op.result < 0)
        return machine_fail(machine, ERR_RESULT(checkpoint->op.result));
    if (checkpoint->stream->state == STREAM_FAILED)
        return machine_fail(machine, checkpoint->stream->failure);
    chunk_table_feed(&checkpoint->stream->chunks);
    checkpoint->generation++;
    checkpoint->count++;
    checkpoint->last_ns = io_now(checkpoint->stream->options.io);
    checkpoint->at_number = 0;
    tombstones_kick(checkpoint->stream);
    binlog_set_checkpoint(&checkpoint->stream->log, checkpoint->lsn);
    return CHECKPOINT_PUNCH;
}

/* Large slots that were freed before this checkpoint give their blocks back: no record behind it
 * writes there again. Not in chunks that take new slots; reopening one allocates its blocks first. A
 * punch that fails costs space, nothing else. */
static bool take_punch(struct stream *stream, uint64_t lsn, struct freed_slot *ret)
{
    while (stream->punch_count > 0 && stream->punches[stream->punch_first].lsn <= lsn) {
        *ret = stream->punches[stream->punch_first];
        stream->punch_first = (stream->punch_first + 1) % STREAM_PUNCHES;
        stream->punch_count--;
        if (chunk_table_find(&stream->chunks, 0, ret->chunk)
            && !stream_active_of(stream, ret->chunk))
            return true;
    }
    return false;
}

static int checkpoint_punch(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    if (!take_punch(stream, checkpoint->lsn, &checkpoint->punch))
        return CHECKPOINT_DROP;
    struct chunk_key key = {stream->options.machine, stream->options.mount, stream->options.stream,
        checkpoint->punch.chunk};
    if (chunk_acquire(stream->options.files, &key, &checkpoint->ref, machine))
        return CHECKPOINT_PUNCH_HELD;
    return machine_wait_in(machine, CHECKPOINT_PUNCH_HELD, 1);
}

static int checkpoint_punch_held(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    const struct freed_slot *slot = &checkpoint->punch;
    uint32_t from = (slot->offset + SLOT_META_MAX + LOG_PAGE - 1) / LOG_PAGE * LOG_PAGE;
    uint32_t to = (slot->offset + slot->size) / LOG_PAGE * LOG_PAGE;
    if (!checkpoint->ref.file || from >= to || stream_active_of(checkpoint->stream, slot->chunk)) {
        chunk_release(checkpoint->stream->options.files, &checkpoint->ref);
        return CHECKPOINT_PUNCH;
    }
    return checkpoint_submit(checkpoint, CHECKPOINT_PUNCHED,
        (struct io_op){.kind = IO_PUNCH,
            .fd = checkpoint->ref.file->handle.fd,
            .offset = from,
            .size = to - from});
}

static int checkpoint_punched(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    chunk_release(checkpoint->stream->options.files, &checkpoint->ref);
    return CHECKPOINT_PUNCH;
}

/* Chunks in which nothing lives go. Records behind the checkpoint may still name them: recovery lets
 * them go by when a file is missing and nothing in it lives at the end. */
static int checkpoint_drop(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    struct chunk_entry *entry = chunk_table_next(&stream->chunks, 0, checkpoint->at_number);
    while (entry && !(entry->is_idle && chunk_is_droppable(stream, entry)))
        entry = chunk_table_next(&stream->chunks, 0, entry->number + 1);
    if (!entry) {
        int wait = machine_wait_in(machine, CHECKPOINT_MIRRORS, 1);
        mirror_drop_start(&checkpoint->mirrors, stream, checkpoint->map_image,
            slotmap_image_size(stream->options.chunk_size), machine);
        return wait;
    }
    checkpoint->at_number = entry->number;
    struct chunk_key key = stream_chunk_key(stream, entry);
    chunk_table_remove(&stream->chunks, entry);
    chunk_table_hope(&stream->chunks);
    chunk_forget(stream->options.files, &key);
    chunk_path(checkpoint->chunk_path, &key);
    return checkpoint_submit(checkpoint, CHECKPOINT_DROPPED,
        (struct io_op){
            .kind = IO_UNLINK, .fd = stream->options.root->fd, .path = checkpoint->chunk_path});
}

static int checkpoint_dropped(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    int64_t result = checkpoint->op.result;
    return result < 0 && result != -ENOENT ? machine_fail(machine, ERR_RESULT(result))
                                           : CHECKPOINT_DROP;
}

static int checkpoint_mirrors(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    if (err_is(checkpoint->mirrors.err))
        return machine_fail(machine, checkpoint->mirrors.err);
    checkpoint_tell(checkpoint, ERR_OK);
    stream_serve_waiters(checkpoint->stream);
    return checkpoint->is_final ? CHECKPOINT_UNWIND : CHECKPOINT_SLEEP;
}

/* A refusal of a descriptor or of space ends this attempt, not the stream: the log goes on until its
 * budget is used up, and the next attempt may succeed. A failed sync is final. */
static bool is_passing(err_t err)
{
    return err_has(err, ERR_CODE_NO_SPACE) || err_has(err, ERR_CODE_NO_RESOURCE)
           || err_has(err, ERR_CODE_BUSY);
}

static int checkpoint_unwind(struct machine *machine)
{
    struct checkpoint *checkpoint = checkpoint_of(machine);
    struct stream *stream = checkpoint->stream;
    err_t err = machine->err;
    machine->err = ERR_OK;
    io_handle_close(stream->options.io, &checkpoint->handle);
    checkpoint_release_map(checkpoint);
    single_dirty_close(&stream->singles);
    checkpoint_tell(checkpoint, err);
    if (err_is(err)) {
        chunk_table_mark_all_dirty(&stream->chunks);
        if (!is_passing(err))
            stream_fail(stream, err);
    }
    if (checkpoint->is_last)
        return CHECKPOINT_DONE;
    if (!err_is(err) || !is_passing(err) || stream->state == STREAM_FAILED)
        return CHECKPOINT_SLEEP;
    return checkpoint_submit(checkpoint, CHECKPOINT_SLEEP_OVER,
        (struct io_op){.kind = IO_TIMER,
            .fd = IO_FD_NONE,
            .deadline_ns = io_now(stream->options.io) + CHECKPOINT_RETRY_NS});
}

/* The log may be waiting for this one: it is tried again. */
static int checkpoint_sleep_over(struct machine *machine)
{
    checkpoint_of(machine)->is_wanted = true;
    return CHECKPOINT_SLEEP;
}

static int checkpoint_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage checkpoint_stages[CHECKPOINT_STAGES] = {
    [CHECKPOINT_SLEEP] = {"sleep", checkpoint_sleep, BIT(CHECKPOINT_SNAPSHOT), STAGE_RESTS},
    [CHECKPOINT_SNAPSHOT] = {"snapshot", checkpoint_take_snapshot, BIT(CHECKPOINT_APPLIED), 0},
    [CHECKPOINT_APPLIED] = {"applied", checkpoint_applied, BIT(CHECKPOINT_MAP), 30000},
    [CHECKPOINT_MAP] = {"map", checkpoint_map, BIT(CHECKPOINT_MAP_STORE) | BIT(CHECKPOINT_CHUNK),
        60000},
    [CHECKPOINT_MAP_STORE] = {"map-store", checkpoint_map_store, BIT(CHECKPOINT_MAP_WRITE), 60000},
    [CHECKPOINT_MAP_WRITE] = {"map-write", checkpoint_map_write, BIT(CHECKPOINT_MAPPED), 0},
    [CHECKPOINT_MAPPED] = {"mapped", checkpoint_mapped,
        BIT(CHECKPOINT_MAP_WRITE) | BIT(CHECKPOINT_MAP), 5000},
    [CHECKPOINT_CHUNK] = {"chunk", checkpoint_chunk,
        BIT(CHECKPOINT_CHUNK_SYNC) | BIT(CHECKPOINT_SINGLES), 0},
    [CHECKPOINT_CHUNK_SYNC] = {"chunk-sync", checkpoint_chunk_sync, BIT(CHECKPOINT_CHUNK_SYNCED),
        5000},
    [CHECKPOINT_CHUNK_SYNCED] = {"chunk-synced", checkpoint_chunk_synced, BIT(CHECKPOINT_CHUNK),
        60000},
    [CHECKPOINT_SINGLES] = {"singles", checkpoint_singles, BIT(CHECKPOINT_OPEN), 60000},
    [CHECKPOINT_OPEN] = {"open", checkpoint_opened, BIT(CHECKPOINT_WRITE), 5000},
    [CHECKPOINT_WRITE] = {"write", checkpoint_write, BIT(CHECKPOINT_WRITTEN), 0},
    [CHECKPOINT_WRITTEN] = {"written", checkpoint_written,
        BIT(CHECKPOINT_WRITE) | BIT(CHECKPOINT_SYNCED), 5000},
    [CHECKPOINT_SYNCED] = {"synced", checkpoint_synced, BIT(CHECKPOINT_FINISH), 60000},
    [CHECKPOINT_FINISH] = {"finish", checkpoint_succeed, BIT(CHECKPOINT_PUNCH), 60000},
    [CHECKPOINT_PUNCH] = {"punch", checkpoint_punch,
        BIT(CHECKPOINT_PUNCH_HELD) | BIT(CHECKPOINT_DROP), 0},
    [CHECKPOINT_PUNCH_HELD] = {"punch-held", checkpoint_punch_held,
        BIT(CHECKPOINT_PUNCHED) | BIT(CHECKPOINT_PUNCH), 5000},
    [CHECKPOINT_PUNCHED] = {"punched", checkpoint_punched, BIT(CHECKPOINT_PUNCH), 5000},
    [CHECKPOINT_DROP] = {"drop", checkpoint_drop, BIT(CHECKPOINT_DROPPED) | BIT(CHECKPOINT_MIRRORS),
        0},
    [CHECKPOINT_DROPPED] = {"dropped", checkpoint_dropped, BIT(CHECKPOINT_DROP), 5000},
    [CHECKPOINT_MIRRORS] = {"mirrors", checkpoint_mirrors, BIT(CHECKPOINT_SLEEP), 60000},
    [CHECKPOINT_UNWIND] = {"unwind", checkpoint_unwind,
        BIT(CHECKPOINT_SLEEP) | BIT(CHECKPOINT_SLEEP_OVER) | BIT(CHECKPOINT_DONE), 0},
    [CHECKPOINT_SLEEP_OVER] = {"sleep-over", checkpoint_sleep_over, BIT(CHECKPOINT_SLEEP), 5000},
    [CHECKPOINT_DONE] = {"done", checkpoint_done, 0, 0},
};
static const struct machine_kind checkpoint_kind = {
    "checkpoint", checkpoint_stages, CHECKPOINT_STAGES, CHECKPOINT_UNWIND, CHECKPOINT_DONE};

/* ---- life ---- */

/* Both files get their blocks at the start: on a full disk the log could not go on otherwise. */
static err_t reserve_file(struct checkpoint *checkpoint, uint64_t copy)
{
    struct stream *stream = checkpoint->stream;
    checkpoint_path(checkpoint->path, stream->options.stream, copy);
    struct io_op op = {.kind = IO_OPEN,
        .fd = stream->options.root->fd,
        .path = checkpoint->path,
        .open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE,
        .ret_handle = &checkpoint->handle,
        .owner = &stream->owner};
    int64_t result = io_call(stream->options.io, &op);
    if (result < 0)
        return ERR_RESULT(result);
    struct io_stat stat = {0};
    op = (struct io_op){
        .kind = IO_STAT, .fd = checkpoint->handle.fd, .ret_stat = &stat, .owner = &stream->owner};
    result = io_call(stream->options.io, &op);
    op = (struct io_op){.kind = IO_ALLOCATE,
        .fd = checkpoint->handle.fd,
        .size = checkpoint->image_capacity,
        .owner = &stream->owner};
    if (result >= 0 && stat.size < checkpoint->image_capacity)
        result = io_call(stream->options.io, &op);
    io_handle_close(stream->options.io, &checkpoint->handle);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

err_t checkpoint_init(struct checkpoint *checkpoint, struct stream *stream)
{
    *checkpoint = (struct checkpoint){
        .stream = stream, .handle = IO_HANDLE_NONE, .directory = IO_HANDLE_NONE};
    list_init(&checkpoint->joined);
    list_init(&checkpoint->waiting);
    checkpoint->image_capacity =
        checkpoint_image_size(stream->options.source_count_max, stream->options.chunk_count_max);
    void *block;
    struct mem *mem = stream->options.mem;
    TRY(mem_take(mem, &stream->owner, checkpoint->image_capacity, 0, &block));
    checkpoint->image = block;
    TRY(mem_take(mem, &stream->owner, slotmap_image_size(stream->options.chunk_size), 0, &block));
    checkpoint->map_image = block;
    struct io_op op = {.kind = IO_OPEN,
        .fd = stream->options.root->fd,
        .path = "ckpt",
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .handle_life = LIFE_PROCESS,
        .ret_handle = &checkpoint->directory,
        .owner = &stream->owner};
    int64_t result = io_call(stream->options.io, &op);
    if (result < 0)
        return ERR_RESULT(result);
    TRY(reserve_file(checkpoint, 0));
    return reserve_file(checkpoint, 1);
}

void checkpoint_start(struct checkpoint *checkpoint, uint64_t generation)
{
    checkpoint->generation = generation;
    machine_start(&checkpoint->machine, &checkpoint_kind, &checkpoint->stream->options.io->run,
        DIRECTION_OWN);
}

void checkpoint_fini(struct checkpoint *checkpoint)
{
    struct stream *stream = checkpoint->stream;
    if (!stream)
        return;
    CHECK(!checkpoint_is_running(checkpoint));
    io_handle_close(stream->options.io, &checkpoint->directory);
    mem_give(stream->options.mem, checkpoint->image);
    mem_give(stream->options.mem, checkpoint->map_image);
}
