#include "storage/unit_walk.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WALK_BEGIN,
    WALK_CHUNK,
    WALK_SCAN,
    WALK_READ,
    WALK_FORWARD,
    WALK_LIST,
    WALK_NAME,
    WALK_OPENED,
    WALK_HEADER,
    WALK_UNWIND,
    WALK_DONE,
    WALK_STAGES
};

static struct unit_walk *walk_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct unit_walk, machine);
}

struct fid unit_fid(
    const struct store *store, const struct identity *identity, const struct place *home)
{
    struct fid fid = {.identity = *identity,
        .mount = home->mount,
        .stream = home->stream,
        .is_packed = home->kind == PLACE_PACKED,
        .is_mutable = true,
        .chunk = home->chunk,
        .offset = home->offset,
        .slot_size = home->slot_size};
    memcpy(fid.group, store->config.group, sizeof fid.group);
    return fid;
}

static void tell_damage(struct unit_walk *walk, const struct unit_file *file, err_t err)
{
    if (walk->see_damage)
        walk->see_damage(walk, file, err);
}

/* ---- chunks ---- */

static struct slotmap *map_of(const struct unit_walk *walk)
{
    bool is_own = walk->source.machine == walk->store->config.machine;
    struct active_chunk *active =
        is_own ? stream_active_of(walk->stream, (uint32_t)walk->unit) : NULL;
    return active ? &active->map : NULL;
}

static int walk_begin(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (unit_is_bucket(walk->unit))
        return WALK_LIST;
    struct chunk_key key = {
        walk->source.machine, walk->source.mount, walk->source.stream, (uint32_t)walk->unit};
    walk->at = walk->cursor < CHUNK_HEADER_SIZE ? CHUNK_HEADER_SIZE : (uint32_t)walk->cursor;
    if (chunk_acquire(&walk->store->files, &key, &walk->ref, machine))
        return WALK_CHUNK;
    return machine_wait_in(machine, WALK_CHUNK, 1);
}

static int walk_chunk(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (!walk->ref.file) {
        walk->at = 0;
        bool is_absent = err_has(walk->ref.err, ERR_CODE_NOT_FOUND);
        return is_absent ? WALK_UNWIND : machine_fail(machine, walk->ref.err);
    }
    struct chunk_entry *entry = stream_chunk_find(walk->stream, &walk->ref.key);
    walk->end = walk->store->config.chunk_size;
    if (!entry || entry->end < walk->end)
        walk->end = entry ? entry->end : 0;
    return WALK_SCAN;
}

static int read_window(struct unit_walk *walk)
{
    size_t left = walk->end - walk->at;
    int wait = machine_wait_in(&walk->machine, WALK_READ, 1);
    walk->window_at = walk->at;
    walk->window_size = 0;
    walk->iov =
        (struct iovec){walk->memory->window, left < UNIT_WALK_WINDOW ? left : UNIT_WALK_WINDOW};
    walk->op = (struct io_op){.kind = IO_READ,
        .fd = walk->ref.file->handle.fd,
        .offset = walk->at,
        .iov = &walk->iov,
        .iov_count = 1,
        .owner = &walk->machine.owner,
        .wake = io_wake_machine,
        .context = &walk->machine};
    io_submit(walk->store->io, &walk->op);
    return wait;
}

/* The header at walk->at. PARTIAL: the window must move there. CORRUPT: none. */
static err_t look(const struct unit_walk *walk, struct slot_header *ret)
{
    uint32_t need;
    if (walk->window_size == 0 || walk->at < walk->window_at
        || walk->at >= walk->window_at + walk->window_size)
        return ERR(PARTIAL, 0);
    size_t at = (size_t)(walk->at - walk->window_at);
    struct span bytes = span_of(walk->memory->window + at, walk->window_size - at);
    err_t err = slot_meta_decode(bytes, walk->ref.file->header.seed, ret, &need);
    return err_has(err, ERR_CODE_PARTIAL) && at == 0 ? ERR(CORRUPT, 0) : err;
}

static struct place slot_place(const struct unit_walk *walk, const struct slot_header *header)
{
    return (struct place){.kind = PLACE_PACKED,
        .mount = walk->source.mount,
        .stream = walk->source.stream,
        .machine = walk->source.machine,
        .chunk = (uint32_t)walk->unit,
        .offset = walk->at,
        .slot_size = header->slot_size};
}

static uint64_t birth_of(const struct slot_header *header)
{
    return header->birth.counter > 0 ? header->birth.counter : header->identity.clock;
}

/* Homes that are live or deleted; what a target's header says is told by its home. */
static bool is_home(const struct unit_walk *walk, const struct slot_header *header)
{
    bool is_target = (header->flags & SLOT_TARGET) || header->birth.counter > 0;
    return !is_target && !(header->flags & SLOT_STALE)
           && header->identity.origin == walk->source.machine;
}

static void take_file(
    struct unit_walk *walk, const struct slot_header *header, const struct place *home)
{
    walk->file = (struct unit_file){.identity = header->identity,
        .version = header->version,
        .size = header->size,
        .crc = header->content_crc,
        .home = *home};
    if (header->flags & SLOT_DELETED)
        walk->file.flags |= UNIT_FILE_DELETED;
}

static bool tell(struct unit_walk *walk)
{
    walk->is_enough = !walk->see(walk, &walk->file);
    return !walk->is_enough;
}

static int look_up_forward(struct unit_walk *walk)
{
    struct fid fid = unit_fid(walk->store, &walk->file.identity, &walk->file.home);
    int wait = machine_wait_in(&walk->machine, WALK_FORWARD, 1);
    object_open_identity(&walk->object, walk->store, &fid, false, &walk->machine);
    return wait;
}

/* What a tombstone covers holds nothing older than its last tenant. */
static void note_free(struct unit_walk *walk, const struct slot_header *header)
{
    uint32_t end = walk->at + header->slot_size;
    if (walk->at >= walk->free_end)
        walk->free_birth = 0;
    if (end > walk->free_end)
        walk->free_end = end;
    if (birth_of(header) > walk->free_birth)
        walk->free_birth = birth_of(header);
}

static bool is_left_over(const struct unit_walk *walk, const struct slot_header *header)
{
    return walk->at < walk->free_end && birth_of(header) < walk->free_birth;
}

/* One good header at walk->at: the next stage, or WALK_SCAN. */
static int see_header(struct unit_walk *walk, const struct slot_header *header)
{
    struct place home = slot_place(walk, header);
    uint32_t step = SLOT_UNIT;
    if (header->slot_size == 0 || (uint64_t)walk->at + header->slot_size > walk->end
        || is_left_over(walk, header) || (walk->is_dead_land && !(header->flags & SLOT_DELETED))) {
        walk->at += SLOT_UNIT;
        return WALK_SCAN;
    }
    if (!(header->flags & SLOT_DELETED))
        step = header->slot_size;
    if (is_home(walk, header)) {
        take_file(walk, header, &home);
        if ((header->flags & SLOT_FORWARDED) && !(header->flags & SLOT_DELETED))
            return look_up_forward(walk);
        if (!tell(walk))
            return WALK_UNWIND;
    }
    if (header->flags & SLOT_DELETED)
        note_free(walk, header);
    walk->at += step;
    return WALK_SCAN;
}

/* Is there a place at walk->at or behind where a slot may begin? Where the map says that nothing lives,
 * only tombstones count: what looks live is not committed. */
static bool find_slot(struct unit_walk *walk)
{
    const struct slotmap *map = map_of(walk);
    walk->is_dead_land = false;
    if (walk->at >= walk->end || !map)
        return walk->at < walk->end;
    struct slotmap_slot slot = slotmap_query(map, walk->at);
    bool is_begin = slot.kind == SLOTMAP_LIVE;
    if (slot.kind == SLOTMAP_INSIDE) {
        struct slotmap_slot around = slotmap_query(map, slot.offset);
        if (around.kind == SLOTMAP_LIVE) { /* its header could not be read */
            walk->at = slot.offset + slot.size;
            return find_slot(walk);
        }
    }
    walk->is_dead_land = !is_begin;
    return true;
}

static int walk_scan(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    struct slot_header header;
    while (find_slot(walk)) {
        err_t err = look(walk, &header);
        if (err_has(err, ERR_CODE_PARTIAL))
            return read_window(walk);
        if (err_is(err)) {
            walk->at += SLOT_UNIT;
            continue;
        }
        int next = see_header(walk, &header);
        if (next != WALK_SCAN)
            return next;
    }
    walk->at = 0;
    return WALK_UNWIND;
}

static int walk_read(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (walk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(walk->op.result));
    walk->window_size = (size_t)walk->op.result;
    if (walk->window_size > 0)
        return WALK_SCAN;
    walk->at = 0; /* the file is shorter than its header says */
    return WALK_UNWIND;
}

static int walk_forward(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    const struct slot_header *header = &walk->object.header;
    err_t err = walk->object.err;
    if (!err_is(err)) {
        walk->file.version = header->version;
        walk->file.size = header->size;
        walk->file.crc = header->content_crc;
        if (walk->object.at_target)
            walk->file.flags |= UNIT_FILE_FORWARDED;
        if (walk->object.is_single)
            walk->file.flags |= UNIT_FILE_SINGLE;
    }
    object_close(&walk->object);
    if (err_has(err, ERR_CODE_CORRUPT))
        tell_damage(walk, &walk->file, err); /* moved on, or damage: the lock tells */
    else if (err_has(err, ERR_CODE_BUSY) || err_has(err, ERR_CODE_NO_RESOURCE)
             || err_has(err, ERR_CODE_IO) || err_has(err, ERR_CODE_OFFLINE))
        return machine_fail(machine, err);
    else if (!err_is(err) && !tell(walk))
        return WALK_UNWIND;
    walk->at += walk->file.home.slot_size;
    return WALK_SCAN;
}

/* ---- buckets ---- */

static void sift_down(uint64_t *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t largest = at, left = 2 * at + 1, right = left + 1;
        if (left < count && heap[left] > heap[largest])
            largest = left;
        if (right < count && heap[right] > heap[largest])
            largest = right;
        if (largest == at)
            return;
        uint64_t value = heap[at];
        heap[at] = heap[largest];
        heap[largest] = value;
        at = largest;
    }
}

static void sift_up(uint64_t *heap, uint32_t at)
{
    while (at > 0 && heap[at] > heap[(at - 1) / 2]) {
        uint64_t value = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = value;
        at = (at - 1) / 2;
    }
}

/* Keeps the smallest clocks from the cursor on: the heap's root is the largest of them. */
static void see_name(void *context, const char *name, bool is_directory)
{
    struct unit_walk *walk = context;
    uint64_t *names = walk->memory->names;
    struct identity found;
    if (is_directory || !single_final_name_parse(name, &found)
        || found.origin != walk->source.machine
        || found.clock % UNIT_BUCKETS != walk->unit - UNIT_BUCKET_FIRST
        || found.clock < walk->cursor)
        return;
    if (walk->name_count < UNIT_WALK_NAMES) {
        names[walk->name_count] = found.clock;
        sift_up(names, walk->name_count++);
        return;
    }
    walk->has_more_names = true;
    if (found.clock >= names[0])
        return;
    names[0] = found.clock;
    sift_down(names, walk->name_count, 0);
}

static int compare_clocks(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static err_t list_directory(struct unit_walk *walk, uint8_t directory)
{
    struct io *io = walk->store->io;
    struct io_handle handle = IO_HANDLE_NONE;
    single_directory_path(walk->path, directory);
    struct io_op open = {.kind = IO_OPEN,
        .fd = walk->stream->options.root->fd,
        .path = walk->path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &handle,
        .owner = &walk->machine.owner};
    int64_t result = io_call(io, &open);
    if (result >= 0) {
        struct io_op list = {.kind = IO_LIST,
            .fd = handle.fd,
            .each_entry = see_name,
            .context = walk,
            .owner = &walk->machine.owner};
        result = io_call(io, &list);
    }
    io_handle_close(io, &handle);
    return result < 0 && result != -ENOENT ? ERR_RESULT(result) : ERR_OK;
}

static int walk_list(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    walk->name_count = walk->name_at = 0;
    walk->has_more_names = false;
    for (uint32_t at = (uint32_t)(walk->unit - UNIT_BUCKET_FIRST); at < SINGLE_DIRECTORIES;
         at += UNIT_BUCKETS) {
        err_t err = list_directory(walk, (uint8_t)at);
        if (err_is(err))
            return machine_fail(machine, err);
    }
    qsort(walk->memory->names, walk->name_count, sizeof(uint64_t), compare_clocks);
    return WALK_NAME;
}

static int walk_name(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (walk->name_at == walk->name_count) {
        if (walk->has_more_names)
            return WALK_LIST;
        walk->cursor = 0;
        return WALK_UNWIND;
    }
    struct identity identity = {
        .clock = walk->memory->names[walk->name_at], .origin = walk->source.machine};
    single_path(walk->path, &identity);
    walk->cursor = identity.clock;
    int wait = machine_wait_in(machine, WALK_OPENED, 1);
    walk->op = (struct io_op){.kind = IO_OPEN,
        .fd = walk->stream->options.root->fd,
        .path = walk->path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = &walk->handle,
        .handle_life = LIFE_REQUEST,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(walk->store->io, &walk->op);
    return wait;
}

static int next_name(struct unit_walk *walk)
{
    walk->name_at++;
    walk->cursor++;
    return WALK_NAME;
}

static int walk_opened(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (walk->op.result == -ENOENT)
        return next_name(walk); /* deleted meanwhile */
    if (walk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(walk->op.result));
    int wait = machine_wait_in(machine, WALK_HEADER, 1);
    walk->iov = (struct iovec){walk->memory->window, SINGLE_META_MAX};
    walk->op = (struct io_op){.kind = IO_READ,
        .fd = walk->handle.fd,
        .iov = &walk->iov,
        .iov_count = 1,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(walk->store->io, &walk->op);
    return wait;
}

static bool is_of_this_source(const struct unit_walk *walk, const struct place *home)
{
    return home->kind == PLACE_SINGLE && home->machine == walk->source.machine
           && home->mount == walk->source.mount && home->stream == walk->source.stream;
}

static int walk_header(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    struct slot_header header;
    struct identity identity = {.clock = walk->cursor, .origin = walk->source.machine};
    int64_t result = walk->op.result;
    io_handle_close(walk->store->io, &walk->handle);
    if (result < 0)
        return machine_fail(machine, ERR_RESULT(result));
    err_t err =
        single_meta_decode(span_of(walk->memory->window, (size_t)result), &identity, &header);
    if (err_is(err)) { /* it may be another stream's: its header would tell */
        struct unit_file file = {.identity = identity, .flags = UNIT_FILE_SINGLE};
        tell_damage(walk, &file, err);
        return next_name(walk);
    }
    if (!is_of_this_source(walk, &header.other) || (header.flags & SLOT_STALE))
        return next_name(walk); /* another source's, or the target of a packed home */
    take_file(walk, &header, &header.other);
    walk->file.flags |= UNIT_FILE_SINGLE;
    return tell(walk) ? next_name(walk) : WALK_UNWIND;
}

/* ---- the way out ---- */

static int walk_unwind(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    if (!unit_is_bucket(walk->unit))
        walk->cursor = walk->at;
    object_close(&walk->object);
    chunk_release(&walk->store->files, &walk->ref);
    io_handle_close(walk->store->io, &walk->handle);
    return WALK_DONE;
}

static int walk_done(struct machine *machine)
{
    struct unit_walk *walk = walk_of(machine);
    owner_close(&machine->owner);
    walk->store->running--;
    walk->done(walk);
    return STAGE_END;
}

static const struct stage walk_stages[WALK_STAGES] = {
    [WALK_BEGIN] = {"begin", walk_begin, BIT(WALK_CHUNK) | BIT(WALK_LIST), 5000},
    [WALK_CHUNK] = {"chunk", walk_chunk, BIT(WALK_SCAN), 5000},
    [WALK_SCAN] = {"scan", walk_scan, BIT(WALK_READ) | BIT(WALK_FORWARD), 5000},
    [WALK_READ] = {"read", walk_read, BIT(WALK_SCAN), 5000},
    [WALK_FORWARD] = {"forward", walk_forward, BIT(WALK_SCAN), 5000},
    [WALK_LIST] = {"list", walk_list, BIT(WALK_NAME), 5000},
    [WALK_NAME] = {"name", walk_name, BIT(WALK_LIST) | BIT(WALK_OPENED), 5000},
    [WALK_OPENED] = {"opened", walk_opened, BIT(WALK_NAME) | BIT(WALK_HEADER), 5000},
    [WALK_HEADER] = {"header", walk_header, BIT(WALK_NAME), 5000},
    [WALK_UNWIND] = {"unwind", walk_unwind, BIT(WALK_DONE), 0},
    [WALK_DONE] = {"done", walk_done, 0, 0},
};
static const struct machine_kind walk_kind = {
    "unit-walk", walk_stages, WALK_STAGES, WALK_UNWIND, WALK_DONE};

void unit_walk_start(struct unit_walk *walk)
{
    walk->ref = (struct chunk_ref){0};
    walk->object.store = NULL;
    walk->handle = IO_HANDLE_NONE;
    walk->window_size = 0;
    walk->free_end = 0;
    walk->free_birth = 0;
    walk->at = 0;
    walk->is_enough = false;
    walk->store->running++;
    machine_start(&walk->machine, &walk_kind, &walk->store->io->run, DIRECTION_OWN);
}
