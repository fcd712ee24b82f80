#include "storage/check_files.h"

#include <stdio.h>

#include "base/crc.h"
#include "disk/chunkfile.h"
#include "disk/single.h"
#include "disk/slotmap.h"

static const char *id_of(const struct check *check, const struct slot_header *header,
    const struct place *home, char text[FID_TEXT_MAX])
{
    struct fid fid = {.identity = header->identity,
        .mount = home->mount,
        .stream = home->stream,
        .is_packed = home->kind == PLACE_PACKED,
        .is_mutable = (header->flags & SLOT_MUTABLE) || header->size > FID_SIZE_MAX,
        .chunk = home->chunk,
        .offset = home->offset,
        .slot_size = home->slot_size};
    memcpy(fid.group, check->image.identity.group, sizeof fid.group);
    if (!fid.is_mutable) {
        fid.size = header->size;
        fid.crc = header->content_crc;
    }
    (void)fid_format(&fid, text);
    return text;
}

/* ---- chunk files ---- */

struct chunk_walk {
    struct check *check;
    struct chunk_key key;
    struct chunk_header header;
    struct io_handle handle;
    struct slotmap map;
    char path[CHUNK_NAME_MAX];
};

static err_t read_chunk_header(struct chunk_walk *walk, bool *ret_is_good)
{
    struct check *check = walk->check;
    uint8_t bytes[CHUNK_HEADER_BYTES] = {0};
    size_t size;
    TRY(check_read(check, walk->handle.fd, bytes, sizeof bytes, 0, &size));
    const struct chunk_key *found = &walk->header.key;
    *ret_is_good = !err_is(chunk_header_decode(bytes, &walk->header))
                   && found->machine == walk->key.machine && found->mount == walk->key.mount
                   && found->stream == walk->key.stream && found->number == walk->key.number
                   && walk->header.chunk_size == check->image.shape.chunk_size;
    if (!*ret_is_good)
        check_note(check, CHECK_CHUNK_HEADER, walk->path, 0, "");
    return ERR_OK;
}

static err_t read_map(struct chunk_walk *walk, bool *ret_is_good)
{
    struct check *check = walk->check;
    uint32_t chunk_size = walk->header.chunk_size;
    size_t image_size = slotmap_image_size(chunk_size), size;
    TRY(check_read(
        check, walk->handle.fd, check->images, SLOTMAP_COPIES * image_size, chunk_size, &size));
    memset(check->images + size, 0, SLOTMAP_COPIES * image_size - size);
    struct span copies[SLOTMAP_COPIES] = {
        span_of(check->images, image_size), span_of(check->images + image_size, image_size)};
    struct slotmap_identity identity = {.origin = walk->key.machine,
        .chunk = walk->key.number,
        .chunk_size = chunk_size,
        .mount = walk->key.mount,
        .stream = walk->key.stream};
    *ret_is_good = !err_is(slotmap_load_newest(&walk->map, check->map_memory, &identity, copies));
    return ERR_OK;
}

static bool single_exists(struct check *check, const struct identity *identity)
{
    char path[SINGLE_PATH_MAX];
    struct io_stat stat;
    single_path(path, identity);
    return check_call(check,
               (struct io_op){
                   .kind = IO_STAT, .fd = check->root.fd, .path = path, .ret_stat = &stat})
           >= 0;
}

static bool slot_exists(
    struct check *check, const struct place *place, const struct identity *identity)
{
    struct chunk_key key = {place->machine, place->mount, place->stream, place->chunk};
    char path[CHUNK_NAME_MAX];
    uint8_t bytes[SLOT_META_MAX];
    struct io_handle handle = IO_HANDLE_NONE;
    struct chunk_header chunk;
    struct slot_header header;
    uint32_t need;
    size_t size = 0;
    chunk_path(path, &key);
    if (err_is(check_open(check, path, 0, &handle)))
        return false;
    bool is_there =
        !err_is(check_read(check, handle.fd, bytes, CHUNK_HEADER_BYTES, 0, &size))
        && size == CHUNK_HEADER_BYTES && !err_is(chunk_header_decode(bytes, &chunk))
        && !err_is(check_read(check, handle.fd, bytes, sizeof bytes, place->offset, &size))
        && !err_is(slot_meta_decode(span_of(bytes, size), chunk.seed, &header, &need))
        && (header.flags & SLOT_TARGET) && identity_equals(&header.identity, identity);
    io_handle_close(check->io, &handle);
    return is_there;
}

static bool content_is_good(const struct slot_header *header, struct span slot)
{
    uint32_t meta = slot_meta_size(header->slot_size, header->attributes_size);
    return meta + header->size <= slot.size
           && crc32_update(0, slot.data + meta, (size_t)header->size) == header->content_crc;
}

static void judge_slot(
    struct chunk_walk *walk, const struct slot_header *header, struct span slot, uint32_t offset)
{
    struct check *check = walk->check;
    struct place home = {.kind = PLACE_PACKED,
        .mount = walk->key.mount,
        .stream = walk->key.stream,
        .machine = walk->key.machine,
        .chunk = walk->key.number,
        .offset = offset,
        .slot_size = header->slot_size};
    char id[FID_TEXT_MAX] = "";
    const char *name =
        id_of(check, header, header->flags & SLOT_TARGET ? &header->other : &home, id);
    if (header->flags & SLOT_FORWARDED) {
        bool is_there = header->other.kind == PLACE_PACKED
                            ? slot_exists(check, &header->other, &header->identity)
                            : single_exists(check, &header->identity);
        if (!is_there)
            check_note(check, CHECK_TARGET_MISSING, walk->path, offset, name);
    } else if (!content_is_good(header, slot)) {
        check_note(check, CHECK_SLOT_CONTENT, walk->path, offset, name);
    }
}

static err_t check_slot(struct chunk_walk *walk, const struct slotmap_slot *slot)
{
    struct check *check = walk->check;
    struct slot_header header;
    uint32_t need;
    size_t size;
    uint32_t wanted = slot->size < CHECK_BUFFER ? slot->size : CHECK_BUFFER;
    TRY(check_read(check, walk->handle.fd, check->buffer, wanted, slot->offset, &size));
    struct span bytes = span_of(check->buffer, size);
    check->counts.slots++;
    if (err_is(slot_meta_decode(bytes, walk->header.seed, &header, &need))) {
        if (check->counts.log_records == 0)
            check_note(check, CHECK_SLOT_HEADER, walk->path, slot->offset, "");
        else
            check->counts.pending++; /* whose it is only the log knows */
        return ERR_OK;
    }
    if (check_is_pending(check, header.identity.clock) || (header.flags & SLOT_DELETED))
        return ERR_OK;
    if (!(header.flags & SLOT_TARGET)) {
        check->counts.live_files++;
        check->counts.live_bytes += header.size;
    }
    judge_slot(walk, &header, bytes, slot->offset);
    return ERR_OK;
}

static err_t check_slots(struct chunk_walk *walk)
{
    struct slotmap_summary summary = slotmap_summarise(&walk->map);
    struct slotmap_slot slot;
    walk->check->counts.free_bytes += summary.free_bytes;
    walk->check->counts.fresh_bytes += summary.fresh_bytes;
    for (uint32_t at = 0; slotmap_next(&walk->map, at, &slot); at = slot.offset + slot.size)
        if (slot.kind == SLOTMAP_LIVE)
            TRY(check_slot(walk, &slot));
    return ERR_OK;
}

static err_t check_open_chunk(struct chunk_walk *walk)
{
    bool is_good = false;
    TRY(read_chunk_header(walk, &is_good));
    if (!is_good)
        return ERR_OK;
    TRY(read_map(walk, &is_good));
    if (is_good)
        return check_slots(walk);
    if (walk->check->counts.log_records == 0) /* else it may have been made behind the checkpoint */
        check_note(walk->check, CHECK_CHUNK_MAP, walk->path, walk->header.chunk_size, "");
    return ERR_OK;
}

static err_t check_chunk(struct check *check, uint8_t stream, uint32_t number)
{
    const struct mount_identity *identity = &check->image.identity;
    struct chunk_walk walk = {.check = check,
        .key = {identity->machine, identity->index, stream, number},
        .handle = IO_HANDLE_NONE};
    chunk_path(walk.path, &walk.key);
    err_t err = check_open(check, walk.path, 0, &walk.handle);
    if (err_has(err, ERR_CODE_NOT_FOUND)) {
        check_note(check, CHECK_CHUNK_MISSING, walk.path, 0, "");
        return ERR_OK;
    }
    TRY(err);
    check->counts.chunks++;
    err = check_open_chunk(&walk);
    io_handle_close(check->io, &walk.handle);
    if (!err_has(err, ERR_CODE_IO))
        return err;
    check_note(check, CHECK_UNREADABLE, walk.path, 0, "");
    return ERR_OK;
}

struct orphan_walk {
    struct check *check;
    uint8_t stream;
};

static void see_chunk(void *context, const char *name, bool is_directory)
{
    struct orphan_walk *walk = context;
    struct check *check = walk->check;
    struct chunk_key key;
    char path[CHUNK_NAME_MAX + 256];
    if (is_directory || !chunk_name_parse(name, &key) || key.stream != walk->stream
        || key.machine != check->image.identity.machine)
        return;
    bool is_known = check->has_checkpoint && check->table.entries
                    && chunk_table_find(&check->table, 0, key.number);
    if (is_known || check->counts.log_records > 0)
        return;
    (void)snprintf(path, sizeof path, "chunks/%s", name);
    check_note(check, CHECK_CHUNK_ORPHAN, path, 0, "");
}

err_t check_chunks(struct check *check, uint8_t stream)
{
    for (uint32_t i = 0; check->has_checkpoint && i < check->table.count; i++)
        if (check->table.entries[i].source == 0)
            TRY(check_chunk(check, stream, check->table.entries[i].number));
    return check_list(check, "chunks", see_chunk, &(struct orphan_walk){check, stream});
}

/* ---- single files ---- */

struct single_walk {
    struct check *check;
    unsigned directory;
    err_t err;
};

static err_t check_blocks(
    struct check *check, int fd, const struct slot_header *header, bool *ret_is_good)
{
    uint8_t page[BLOCKS_PAGE_SIZE];
    uint32_t group = UINT32_MAX;
    size_t size;
    *ret_is_good = true;
    uint64_t count = blocks_count(header->size);
    uint32_t crc = 0;
    for (uint64_t block = 0; block < count; block++) {
        struct blocks_entry_place place = blocks_entry_place(block);
        uint32_t block_size = blocks_size_at(header->size, block);
        if (place.group != group)
            TRY(check_read(check, fd, page, sizeof page, place.page_offset, &size));
        group = place.group;
        TRY(check_read(check, fd, check->buffer, block_size,
            blocks_file_offset(block * (uint64_t)BLOCK_SIZE), &size));
        uint32_t found = crc32_update(0, check->buffer, size);
        *ret_is_good &= size == block_size && found == blocks_page_get(page, place.index);
        crc = crc32_combine(crc, found, block_size);
    }
    *ret_is_good &= crc == header->content_crc;
    return ERR_OK;
}

static err_t check_single(
    struct check *check, const char *path, int fd, const struct identity *identity)
{
    uint8_t bytes[SINGLE_META_MAX];
    struct slot_header header;
    char id[FID_TEXT_MAX] = "";
    size_t size;
    bool is_good;
    TRY(check_read(check, fd, bytes, sizeof bytes, 0, &size));
    if (check_is_pending(check, identity->clock))
        return ERR_OK;
    if (err_is(single_meta_decode(span_of(bytes, size), identity, &header))) {
        check_note(check, CHECK_SINGLE_HEADER, path, 0, "");
        return ERR_OK;
    }
    if (header.flags & SLOT_DELETED)
        return ERR_OK;
    if (header.other.kind == PLACE_SINGLE) { /* else its home is a slot, which counts */
        check->counts.live_files++;
        check->counts.live_bytes += header.size;
    }
    TRY(check_blocks(check, fd, &header, &is_good));
    if (!is_good || header.flags & SLOT_CHANGING) /* marked, and no record to end it */
        check_note(check, CHECK_SINGLE_CONTENT, path, 0, id_of(check, &header, &header.other, id));
    return ERR_OK;
}

static void see_single(void *context, const char *name, bool is_directory)
{
    struct single_walk *walk = context;
    struct check *check = walk->check;
    struct identity identity;
    char path[SINGLE_PATH_MAX + 256], wanted[SINGLE_PATH_MAX];
    struct io_handle handle = IO_HANDLE_NONE;
    unsigned origin;
    unsigned long long clock;
    if (err_is(walk->err))
        return;
    (void)snprintf(path, sizeof path, "singles/%02x/%s", walk->directory, name);
    bool is_name = !is_directory && sscanf(name, "%6x-%14llx", &origin, &clock) == 2;
    if (is_name) {
        identity = (struct identity){.clock = clock, .origin = origin};
        single_path(wanted, &identity);
        is_name = strcmp(wanted, path) == 0;
    }
    if (!is_name) {
        check_note(check, CHECK_ORPHAN, path, 0, "");
        return;
    }
    check->counts.singles++;
    err_t err = check_open(check, path, 0, &handle);
    if (!err_is(err))
        err = check_single(check, path, handle.fd, &identity);
    io_handle_close(check->io, &handle);
    if (err_has(err, ERR_CODE_IO))
        check_note(check, CHECK_UNREADABLE, path, 0, "");
    else
        walk->err = err;
}

static void see_new(void *context, const char *name, bool is_directory)
{
    struct single_walk *walk = context;
    char path[SINGLE_PATH_MAX + 256];
    (void)is_directory;
    (void)snprintf(path, sizeof path, "new/%02x/%s", walk->directory, name);
    if (walk->check->counts.log_records == 0)
        check_note(walk->check, CHECK_ORPHAN, path, 0, "");
}

err_t check_singles(struct check *check)
{
    struct single_walk walk = {.check = check};
    char path[SINGLE_DIRECTORY_MAX];
    for (walk.directory = 0; walk.directory < SINGLE_DIRECTORIES; walk.directory++) {
        single_directory_path(path, (uint8_t)walk.directory);
        TRY(check_list(check, path, see_single, &walk));
        TRY(walk.err);
    }
    for (walk.directory = 0; walk.directory < check->image.shape.stream_count; walk.directory++) {
        single_new_directory_path(path, (uint8_t)walk.directory);
        TRY(check_list(check, path, see_new, &walk));
    }
    return ERR_OK;
}
