#include "storage/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk/maker.h"
#include "storage/config.h"

enum {
    LIST_STEP,
    LIST_CHUNK,
    LIST_MAP,
    LIST_SLOT,
    LIST_READ,
    LIST_DIRECTORY,
    LIST_SINGLE,
    LIST_OPENED,
    LIST_HEADER,
    LIST_UNWIND,
    LIST_DONE,
    LIST_STAGES
};

enum { CURSOR_VERSION = 1, ENTRY_SIZE_MAX = 2 + FID_TEXT_MAX + 8 + 8 + 12 };

static struct list_walk *walk_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct list_walk, machine);
}

/* ---- the cursor ---- */

err_t list_cursor_decode(
    struct span bytes, const struct storage_config *config, struct list_cursor *ret)
{
    *ret = (struct list_cursor){.area = LIST_PACKED};
    if (bytes.size == 0)
        return ERR_OK;
    struct reader r = {.data = bytes.data, .size = bytes.size};
    uint8_t version = read_u8(&r), area = read_u8(&r);
    ret->position = read_u8(&r);
    ret->stream = read_u8(&r);
    ret->chunk = read_u32(&r);
    ret->offset = read_u32(&r);
    ret->directory = read_u16(&r);
    ret->clock = read_u64(&r);
    ret->area = area == LIST_SINGLES ? LIST_SINGLES : LIST_PACKED;
    bool is_ours = !r.failed && bytes.size == LIST_CURSOR_SIZE && version == CURSOR_VERSION
                   && area == ret->area && ret->position < config->mount_count
                   && ret->directory < SINGLE_DIRECTORIES;
    return is_ours ? ERR_OK : ERR(USAGE, 0);
}

void list_cursor_encode(const struct list_cursor *cursor, uint8_t *ret)
{
    struct writer w = {.data = ret, .capacity = LIST_CURSOR_SIZE};
    write_u8(&w, CURSOR_VERSION);
    write_u8(&w, (uint8_t)cursor->area);
    write_u8(&w, cursor->position);
    write_u8(&w, cursor->stream);
    write_u32(&w, cursor->chunk);
    write_u32(&w, cursor->offset);
    write_u16(&w, cursor->directory);
    write_u64(&w, cursor->clock);
    write_u16(&w, 0);
    CHECK(!w.failed && w.size == LIST_CURSOR_SIZE);
}

uint16_t list_loop(const struct list_cursor *cursor, uint16_t loop_count)
{
    return cursor->area == LIST_PACKED ? (uint16_t)(cursor->stream % loop_count) : 0;
}

/* ---- memory ---- */

uint64_t list_memory_bytes(uint32_t chunk_size)
{
    return SLOTMAP_COPIES * (uint64_t)slotmap_image_size(chunk_size)
           + slotmap_memory_size(chunk_size) + LIST_WINDOW + LIST_NAMES * sizeof(struct list_name);
}

static err_t take(struct list_memory *memory, struct owner *owner, uint32_t chunk_size)
{
    void *block;
    memory->image_size = slotmap_image_size(chunk_size);
    TRY(mem_take(memory->mem, owner, SLOTMAP_COPIES * memory->image_size, 0, &block));
    memory->images = block;
    TRY(mem_take(memory->mem, owner, slotmap_memory_size(chunk_size), 0, &memory->map));
    TRY(mem_take(memory->mem, owner, LIST_WINDOW, 0, &block));
    memory->window = block;
    TRY(mem_take(memory->mem, owner, LIST_NAMES * sizeof(struct list_name), 0, &block));
    memory->names = block;
    return ERR_OK;
}

err_t list_memory_init(
    struct list_memory *memory, struct mem *mem, struct owner *owner, uint32_t chunk_size)
{
    *memory = (struct list_memory){.mem = mem};
    err_t err = take(memory, owner, chunk_size);
    if (err_is(err))
        list_memory_fini(memory);
    return err;
}

void list_memory_fini(struct list_memory *memory)
{
    CHECK(!memory->is_taken);
    mem_give(memory->mem, memory->names);
    mem_give(memory->mem, memory->window);
    mem_give(memory->mem, memory->map);
    mem_give(memory->mem, memory->images);
    *memory = (struct list_memory){0};
}

/* ---- entries ---- */

static bool is_full(const struct list_walk *walk)
{
    return walk->count >= walk->count_max || walk->page.capacity - walk->page.size < ENTRY_SIZE_MAX;
}

static bool is_enough(const struct list_walk *walk)
{
    return is_full(walk) || walk->slots >= LIST_SLOTS || walk->chunks >= LIST_CHUNKS
           || walk->directories >= LIST_DIRECTORIES;
}

static void add_entry(
    struct list_walk *walk, const struct slot_header *header, const struct place *home)
{
    struct fid fid = {.identity = header->identity,
        .mount = home->mount,
        .stream = home->stream,
        .is_packed = home->kind == PLACE_PACKED,
        .is_mutable = (header->flags & SLOT_MUTABLE) || header->size > FID_SIZE_MAX,
        .chunk = home->chunk,
        .offset = home->offset,
        .slot_size = home->slot_size};
    if (header->modify_ns < walk->since_ns)
        return;
    memcpy(fid.group, walk->store->config.group, sizeof fid.group);
    if (!fid.is_mutable) {
        fid.size = header->size;
        fid.crc = header->content_crc;
    }
    char id[FID_TEXT_MAX];
    size_t size = fid_format(&fid, id);
    write_text(&walk->page, span_of(id, size));
    write_u64(&walk->page, header->size);
    write_u64(&walk->page, header->modify_ns);
    write_u64(&walk->page, header->version.counter);
    write_u32(&walk->page, header->version.machine);
    CHECK(!walk->page.failed);
    walk->count++;
}

static bool is_home(const struct slot_header *header)
{
    return !(header->flags & (SLOT_DELETED | SLOT_TARGET));
}

/* ---- where to ---- */

static struct store_mount *mount_of(const struct list_walk *walk)
{
    uint8_t index = walk->config->mount[walk->cursor.position].index;
    return &walk->store->mounts[index];
}

/* The stream at the cursor; NULL: none that could be walked. */
static struct stream *stream_of(const struct list_walk *walk)
{
    struct store_mount *mount = mount_of(walk);
    struct stream *stream = mount->streams[walk->cursor.stream];
    return mount->is_there && !mount->is_fenced && stream && stream->state == STREAM_OPEN ? stream
                                                                                          : NULL;
}

static int go_on(struct list_walk *walk, const struct list_cursor *next)
{
    walk->cursor = *next;
    return LIST_STEP;
}

static int next_mount(struct list_walk *walk)
{
    struct list_cursor next = {
        .area = LIST_PACKED, .position = (uint8_t)(walk->cursor.position + 1)};
    walk->is_over = walk->cursor.position + 1u >= walk->config->mount_count;
    return walk->is_over ? LIST_UNWIND : go_on(walk, &next);
}

static int next_stream(struct list_walk *walk)
{
    const struct store_mount *mount = mount_of(walk);
    struct list_cursor next = {.area = LIST_PACKED,
        .position = walk->cursor.position,
        .stream = (uint8_t)(walk->cursor.stream + 1)};
    if (!mount->is_there || mount->is_fenced)
        return next_mount(walk);
    if (walk->cursor.stream + 1u < mount->stream_count)
        return go_on(walk, &next);
    next = (struct list_cursor){.area = LIST_SINGLES, .position = walk->cursor.position};
    return go_on(walk, &next);
}

static int next_directory(struct list_walk *walk)
{
    struct list_cursor next = {.area = LIST_SINGLES,
        .position = walk->cursor.position,
        .directory = (uint16_t)(walk->cursor.directory + 1)};
    return next.directory < SINGLE_DIRECTORIES ? go_on(walk, &next) : next_mount(walk);
}

static int next_chunk(struct list_walk *walk)
{
    if (walk->is_held)
        chunk_release(&walk->store->files, &walk->ref);
    walk->is_held = false;
    walk->window_size = 0;
    walk->cursor.chunk++;
    walk->cursor.offset = 0;
    return LIST_STEP;
}

static int list_step(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    const struct store_config *config = &walk->store->config;
    if (is_enough(walk) || list_loop(&walk->cursor, config->loop_count) != config->loop_index)
        return LIST_UNWIND;
    if (walk->cursor.area == LIST_SINGLES)
        return LIST_DIRECTORY;
    struct stream *stream = stream_of(walk);
    struct chunk_entry *entry =
        stream ? chunk_table_next(&stream->chunks, 0, walk->cursor.chunk) : NULL;
    if (!entry)
        return next_stream(walk);
    if (entry->number != walk->cursor.chunk)
        walk->cursor.offset = 0;
    walk->cursor.chunk = entry->number;
    struct chunk_key key = {.machine = config->machine,
        .mount = stream->options.mount,
        .stream = stream->options.stream,
        .number = entry->number};
    walk->ref = (struct chunk_ref){0};
    walk->is_held = true;
    if (chunk_acquire(&walk->store->files, &key, &walk->ref, machine))
        return LIST_CHUNK;
    return machine_wait_in(machine, LIST_CHUNK, 1);
}

/* ---- slots ---- */

static int read_at(struct list_walk *walk, int next, void *into, size_t size, uint64_t at)
{
    int wait = machine_wait_in(&walk->machine, next, 1);
    walk->iov = (struct iovec){into, size};
    walk->op = (struct io_op){.kind = IO_READ,
        .fd = walk->area_fd,
        .offset = at,
        .iov = &walk->iov,
        .iov_count = 1,
        .owner = &walk->machine.owner,
        .wake = io_wake_machine,
        .context = &walk->machine};
    io_submit(walk->store->io, &walk->op);
    return wait;
}

static struct slotmap *map_of(struct list_walk *walk)
{
    struct stream *stream = stream_of(walk);
    if (!stream)
        return NULL;
    struct active_chunk *active = stream_active_of(stream, walk->cursor.chunk);
    if (active)
        return &active->map;
    return walk->map_chunk == walk->cursor.chunk ? &walk->map : NULL;
}

static int list_chunk(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    if (err_is(walk->ref.err) || !walk->ref.file) {
        walk->is_held = false;
        return next_chunk(walk);
    }
    walk->area_fd = walk->ref.file->handle.fd;
    if (map_of(walk))
        return LIST_SLOT;
    walk->chunks++;
    walk->map_chunk = 0;
    return read_at(walk, LIST_MAP, walk->memory->images, SLOTMAP_COPIES * walk->memory->image_size,
        walk->store->config.chunk_size);
}

/* A map that is damaged in both copies is made again by the scrub; until then it is passed over. */
static int list_map(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    const struct store_config *config = &walk->store->config;
    size_t size = walk->memory->image_size;
    struct span copies[SLOTMAP_COPIES] = {
        span_of(walk->memory->images, size), span_of(walk->memory->images + size, size)};
    struct slotmap_identity identity = {.origin = config->machine,
        .chunk = walk->cursor.chunk,
        .chunk_size = config->chunk_size,
        .mount = walk->ref.key.mount,
        .stream = walk->ref.key.stream};
    bool is_read = walk->op.result == (int64_t)(SLOTMAP_COPIES * size);
    if (!is_read || err_is(slotmap_load_newest(&walk->map, walk->memory->map, &identity, copies)))
        return next_chunk(walk);
    walk->map_chunk = walk->cursor.chunk;
    return LIST_SLOT;
}

/* The header at `offset` from the window. PARTIAL: the window must move there. */
static err_t look_at(struct list_walk *walk, uint32_t offset, struct slot_header *ret)
{
    uint32_t need;
    if (walk->window_size == 0 || offset < walk->window_at
        || offset >= walk->window_at + walk->window_size)
        return ERR(PARTIAL, 0);
    size_t at = (size_t)(offset - walk->window_at);
    struct span bytes = span_of(walk->memory->window + at, walk->window_size - at);
    err_t err = slot_meta_decode(bytes, walk->ref.file->header.seed, ret, &need);
    bool begins_here = at == 0;
    return err_has(err, ERR_CODE_PARTIAL) && begins_here ? ERR(CORRUPT, 0) : err;
}

static void see_slot(
    struct list_walk *walk, const struct slotmap_slot *slot, const struct slot_header *header)
{
    struct place home = {.kind = PLACE_PACKED,
        .mount = walk->ref.key.mount,
        .stream = walk->ref.key.stream,
        .machine = walk->ref.key.machine,
        .chunk = walk->cursor.chunk,
        .offset = slot->offset,
        .slot_size = header->slot_size};
    if (is_home(header) && header->identity.origin == home.machine)
        add_entry(walk, header, &home);
}

static int list_slot(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    struct slotmap_slot slot;
    struct slot_header header;
    while (!is_enough(walk)) {
        const struct slotmap *map = map_of(walk);
        if (!map || !slotmap_next(map, walk->cursor.offset, &slot))
            return next_chunk(walk);
        if (slot.kind == SLOTMAP_LIVE) {
            err_t err = look_at(walk, slot.offset, &header);
            if (err_has(err, ERR_CODE_PARTIAL)) {
                walk->window_at = slot.offset;
                walk->window_size = 0;
                return read_at(walk, LIST_READ, walk->memory->window, LIST_WINDOW, walk->window_at);
            }
            walk->slots++;
            if (!err_is(err))
                see_slot(walk, &slot, &header);
        }
        walk->cursor.offset = slot.offset + slot.size;
    }
    return LIST_UNWIND;
}

static int list_read(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    if (walk->op.result <= 0)
        return next_chunk(walk);
    walk->window_size = (size_t)walk->op.result;
    return LIST_SLOT;
}

/* ---- single files ---- */

/* "00000a-0123456789ab1f", spelled as single_path() does. */
static bool single_name_parse(const char *name, struct list_name *ret)
{
    unsigned origin;
    unsigned long long clock;
    char path[SINGLE_PATH_MAX];
    if (sscanf(name, "%6x-%14llx", &origin, &clock) != 2)
        return false;
    *ret = (struct list_name){.clock = clock, .origin = origin};
    single_path(path, &(struct identity){.clock = clock, .origin = origin});
    const char *last = strrchr(path, '/');
    return last && strcmp(last + 1, name) == 0;
}

/* Keeps the LIST_NAMES smallest clocks behind the cursor's. */
static void see_name(void *context, const char *name, bool is_directory)
{
    struct list_walk *walk = context;
    struct list_name *names = walk->memory->names, found;
    if (is_directory || !single_name_parse(name, &found) || found.clock <= walk->cursor.clock)
        return;
    if (walk->name_count < LIST_NAMES) {
        names[walk->name_count++] = found;
        return;
    }
    uint32_t largest = 0;
    for (uint32_t i = 1; i < LIST_NAMES; i++)
        if (names[i].clock > names[largest].clock)
            largest = i;
    walk->has_more_names = true;
    if (found.clock < names[largest].clock)
        names[largest] = found;
}

static int compare_names(const void *a, const void *b)
{
    const struct list_name *x = a, *y = b;
    return x->clock < y->clock ? -1 : x->clock > y->clock;
}

static err_t list_names(struct list_walk *walk)
{
    struct io *io = walk->store->io;
    struct io_handle handle = IO_HANDLE_NONE;
    single_directory_path(walk->path, (uint8_t)walk->cursor.directory);
    struct io_op open = {.kind = IO_OPEN,
        .fd = mount_of(walk)->root.fd,
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
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static int list_directory(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    const struct store_mount *mount = mount_of(walk);
    if (!mount->is_there || mount->is_fenced)
        return next_mount(walk);
    walk->name_count = walk->name_at = 0;
    walk->has_more_names = false;
    walk->directories++;
    err_t err = list_names(walk);
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return next_directory(walk);
    if (err_is(err))
        return machine_fail(machine, err);
    qsort(walk->memory->names, walk->name_count, sizeof(struct list_name), compare_names);
    return LIST_SINGLE;
}

static int list_single(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    if (is_full(walk))
        return LIST_UNWIND;
    if (walk->name_at == walk->name_count)
        return walk->has_more_names ? LIST_STEP : next_directory(walk);
    const struct list_name *name = &walk->memory->names[walk->name_at++];
    struct identity identity = {.clock = name->clock, .origin = name->origin};
    single_path(walk->path, &identity);
    walk->cursor.clock = name->clock;
    int wait = machine_wait_in(machine, LIST_OPENED, 1);
    walk->op = (struct io_op){.kind = IO_OPEN,
        .fd = mount_of(walk)->root.fd,
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

static int list_opened(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    if (walk->op.result == -ENOENT)
        return LIST_SINGLE; /* deleted meanwhile */
    if (walk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(walk->op.result));
    walk->area_fd = walk->handle.fd;
    return read_at(walk, LIST_HEADER, walk->memory->window, SINGLE_META_MAX, 0);
}

static int list_header(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    struct slot_header header;
    size_t size = walk->op.result > 0 ? (size_t)walk->op.result : 0;
    io_handle_close(walk->store->io, &walk->handle);
    walk->window_size = 0;
    walk->slots++;
    err_t err = single_meta_decode(span_of(walk->memory->window, size), NULL, &header);
    bool is_ours = header.other.kind == PLACE_SINGLE
                   && header.other.machine == walk->store->config.machine; /* mirrors list theirs */
    if (!err_is(err) && is_home(&header) && is_ours)
        add_entry(walk, &header, &header.other);
    return LIST_SINGLE;
}

/* ---- the way out ---- */

static int list_unwind(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    if (walk->is_held)
        chunk_release(&walk->store->files, &walk->ref);
    io_handle_close(walk->store->io, &walk->handle);
    walk->memory->is_taken = false;
    return LIST_DONE;
}

static int list_done(struct machine *machine)
{
    struct list_walk *walk = walk_of(machine);
    owner_close(&machine->owner);
    walk->store->running--;
    walk->done(walk);
    return STAGE_END;
}

static const struct stage list_stages[LIST_STAGES] = {
    [LIST_STEP] = {"step", list_step, BIT(LIST_STEP) | BIT(LIST_CHUNK) | BIT(LIST_DIRECTORY), 5000},
    [LIST_CHUNK] = {"chunk", list_chunk, BIT(LIST_STEP) | BIT(LIST_SLOT) | BIT(LIST_MAP), 5000},
    [LIST_MAP] = {"map", list_map, BIT(LIST_STEP) | BIT(LIST_SLOT), 5000},
    [LIST_SLOT] = {"slot", list_slot, BIT(LIST_STEP) | BIT(LIST_READ), 5000},
    [LIST_READ] = {"read", list_read, BIT(LIST_STEP) | BIT(LIST_SLOT), 5000},
    [LIST_DIRECTORY] = {"directory", list_directory, BIT(LIST_STEP) | BIT(LIST_SINGLE), 5000},
    [LIST_SINGLE] = {"single", list_single, BIT(LIST_STEP) | BIT(LIST_OPENED), 5000},
    [LIST_OPENED] = {"opened", list_opened, BIT(LIST_SINGLE) | BIT(LIST_HEADER), 5000},
    [LIST_HEADER] = {"header", list_header, BIT(LIST_SINGLE), 5000},
    [LIST_UNWIND] = {"unwind", list_unwind, BIT(LIST_DONE), 0},
    [LIST_DONE] = {"done", list_done, 0, 0},
};
static const struct machine_kind list_kind = {
    "list", list_stages, LIST_STAGES, LIST_UNWIND, LIST_DONE};

void list_start(struct list_walk *walk)
{
    CHECK(!walk->memory->is_taken);
    walk->memory->is_taken = true;
    walk->handle = IO_HANDLE_NONE;
    walk->store->running++;
    machine_start(&walk->machine, &list_kind, &walk->store->io->run, DIRECTION_CLIENT);
}
