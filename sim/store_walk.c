#include "sim/store_walk.h"

#include <stdarg.h>

#include "base/crc.h"
#include "disk/checkpoint.h"
#include "disk/maker.h"
#include "sim/mem.h"

__attribute__((format(printf, 2, 3))) static void fail(
    struct store_walk *walk, const char *format, ...)
{
    if (walk->failure[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(walk->failure, sizeof walk->failure, format, arguments);
    va_end(arguments);
}

static int64_t read_all(struct store_walk *walk, const char *path, uint8_t **ret)
{
    int64_t size = sim_file_size(walk->lab->node, path);
    *ret = NULL;
    if (size < 0)
        return size;
    *ret = sim_alloc((size_t)size + 1);
    return sim_file_read(walk->lab->node, path, 0, *ret, (uint64_t)size);
}

/* ---- digests, counted again ---- */

/* The unit of a home at this store: a chunk, or a bucket of single files (chunk 0). */
static void count_again(
    struct store_walk *walk, const struct place *home, const struct slot_header *content)
{
    uint32_t chunk = home->kind == PLACE_PACKED ? home->chunk : 0;
    uint32_t bucket = chunk > 0 ? 0 : source_bucket(&content->identity);
    struct store_unit *unit = NULL;
    for (uint32_t i = 0; i < walk->unit_count; i++)
        if (walk->units[i].stream == home->stream && walk->units[i].chunk == chunk
            && walk->units[i].bucket == bucket)
            unit = &walk->units[i];
    if (!unit && walk->unit_count < STORE_WALK_UNITS) {
        unit = &walk->units[walk->unit_count++];
        *unit = (struct store_unit){.stream = home->stream, .chunk = chunk, .bucket = bucket};
    }
    if (!unit) {
        fail(walk, "more units than the walk has room for");
        return;
    }
    uint64_t digest =
        file_digest(&content->identity, content->version, content->size, content->content_crc);
    digest_add(&unit->digest, digest, 1);
}

static void compare_digest(struct store_walk *walk, unsigned stream, uint32_t chunk,
    uint32_t bucket, const struct digest *told)
{
    struct digest counted = {0};
    for (uint32_t i = 0; i < walk->unit_count; i++)
        if (walk->units[i].stream == stream && walk->units[i].chunk == chunk
            && walk->units[i].bucket == bucket)
            counted = walk->units[i].digest;
    if (!digest_equals(&counted, told))
        fail(walk, "stream %u chunk %u bucket %u: digest %llx of %llu files, on disk %llx of %llu",
            stream, chunk, bucket, (unsigned long long)told->sum, (unsigned long long)told->count,
            (unsigned long long)counted.sum, (unsigned long long)counted.count);
}

static void compare_digests(struct store_walk *walk, struct stream *stream)
{
    unsigned index = stream->options.stream;
    for (uint32_t i = 0; i < stream->chunks.count; i++)
        if (stream->chunks.entries[i].source == 0)
            compare_digest(walk, index, stream->chunks.entries[i].number, 0,
                &stream->chunks.entries[i].digest);
    for (uint32_t i = 0; i < SOURCE_BUCKETS; i++)
        compare_digest(walk, index, 0, i, &stream->sources.all[0].singles[i]);
}

/* ---- uploads that were never answered and live ---- */

static struct model_file *adopt(
    struct store_walk *walk, const struct slot_header *header, const struct place *place)
{
    LIST_EACH (node, &walk->model->uploads) {
        struct model_upload *upload = CONTAINER_OF(node, struct model_upload, link);
        if (!identity_equals(&upload->identity, &header->identity))
            continue;
        struct fid fid = {.identity = header->identity,
            .stream = upload->stream,
            .is_packed = place != NULL,
            .is_mutable = upload->is_mutable};
        memcpy(fid.group, walk->lab->options.store.group, sizeof fid.group);
        if (!fid.is_mutable) {
            fid.size = header->size;
            fid.crc = header->content_crc;
        }
        if (place) {
            fid.chunk = place->chunk;
            fid.offset = place->offset;
            fid.slot_size = place->slot_size;
        }
        struct model_file *file = store_model_uploaded(
            walk->model, &fid, upload->content, upload->is_mutable, false, upload->metadata_size);
        list_remove(&upload->link);
        model_content_unref(upload->content);
        sim_free(upload);
        return file;
    }
    return NULL;
}

/* ---- chunk files ---- */

struct chunk_walk {
    struct store_walk *walk;
    struct stream *stream;
    uint32_t number;
    uint8_t *bytes;
    uint64_t size;
    struct chunk_header header;
    struct slotmap map;
    void *map_memory;
    bool is_in_memory; /* the map is the stream's own */
    uint32_t live_count, live_bytes;
};

static bool decode_at(const struct chunk_walk *chunk, uint32_t offset, struct slot_header *ret)
{
    uint32_t need;
    if (get_u32(chunk->bytes + offset) != SLOT_MAGIC)
        return false;
    struct span bytes = span_of(chunk->bytes + offset, (size_t)(chunk->size - offset));
    return !err_is(slot_meta_decode(bytes, chunk->header.seed, ret, &need));
}

static void see_home(struct chunk_walk *chunk, const struct slot_header *header, uint32_t offset)
{
    struct store_walk *walk = chunk->walk;
    struct model_file *file = store_model_find(walk->model, &header->identity);
    struct place place = {.kind = PLACE_PACKED,
        .chunk = chunk->number,
        .offset = offset,
        .slot_size = header->slot_size};
    if (!file)
        file = adopt(walk, header, &place);
    if (!file || !file->current.content) {
        fail(walk, "chunk %u offset %u: clock %llx lives and %s", chunk->number, offset,
            (unsigned long long)header->identity.clock,
            file ? "was deleted" : "was never acknowledged");
        return;
    }
    if (!file->fid.is_packed || file->fid.chunk != chunk->number || file->fid.offset != offset
        || file->fid.slot_size != header->slot_size
        || file->fid.stream != chunk->stream->options.stream)
        fail(walk, "chunk %u offset %u: home of clock %llx, whose id points elsewhere",
            chunk->number, offset, (unsigned long long)header->identity.clock);
    file->seen_home++;
    if (header->flags & SLOT_FORWARDED)
        return;
    file->seen_content++;
    place.stream = chunk->stream->options.stream;
    count_again(walk, &place, header);
}

static void see_target(struct chunk_walk *chunk, const struct slot_header *header, uint32_t offset)
{
    struct store_walk *walk = chunk->walk;
    struct model_file *file = store_model_find(walk->model, &header->identity);
    if (!file || !file->current.content)
        fail(walk, "chunk %u offset %u: target of clock %llx, which does not exist", chunk->number,
            offset, (unsigned long long)header->identity.clock);
    else
        file->seen_content++;
    count_again(walk, &header->other, header);
}

static void see_slot(struct chunk_walk *chunk, const struct slotmap_slot *slot)
{
    struct slot_header header;
    struct store_walk *walk = chunk->walk;
    if (!decode_at(chunk, slot->offset, &header)) {
        fail(walk, "chunk %u offset %u: live, and its header is bad", chunk->number, slot->offset);
        return;
    }
    if (header.slot_size != slot->size) {
        fail(walk, "chunk %u offset %u: header says %u bytes, map %u", chunk->number, slot->offset,
            header.slot_size, slot->size);
        return;
    }
    if (header.flags & SLOT_DELETED) { /* found when the chunk is reopened */
        return;
    }
    chunk->live_count++;
    chunk->live_bytes += slot->size;
    walk->live_bytes += slot->size;
    if (header.flags & SLOT_TARGET)
        see_target(chunk, &header, slot->offset);
    else
        see_home(chunk, &header, slot->offset);
}

/* A live header that no live slot begins with would be found by its id. */
static void see_free(struct chunk_walk *chunk, uint32_t from, uint32_t to)
{
    struct slot_header header;
    for (uint32_t at = from; at < to; at += SLOT_UNIT)
        if (decode_at(chunk, at, &header) && !(header.flags & SLOT_DELETED))
            fail(chunk->walk, "chunk %u offset %u: free space with a live header of clock %llx",
                chunk->number, at, (unsigned long long)header.identity.clock);
}

static void walk_slots(struct chunk_walk *chunk)
{
    struct slotmap_slot slot;
    uint32_t at = CHUNK_HEADER_SIZE;
    for (; slotmap_next(&chunk->map, at, &slot); at = slot.offset + slot.size) {
        if (slot.kind == SLOTMAP_LIVE)
            see_slot(chunk, &slot);
        else
            see_free(chunk, slot.offset, slot.offset + slot.size);
    }
    see_free(chunk, at, chunk->header.chunk_size);
}

static void compare_entry(struct chunk_walk *chunk, const struct chunk_entry *entry)
{
    uint32_t used = entry->end > CHUNK_HEADER_SIZE ? entry->end - CHUNK_HEADER_SIZE : 0;
    if (entry->live_count != chunk->live_count)
        fail(chunk->walk, "chunk %u: table says %u live slots, headers %u", entry->number,
            entry->live_count, chunk->live_count);
    if (entry->free_bytes != used - chunk->live_bytes)
        fail(chunk->walk, "chunk %u: table says %u free bytes below %u, headers %u", entry->number,
            entry->free_bytes, entry->end, used - chunk->live_bytes);
}

static bool load_map(struct chunk_walk *chunk)
{
    struct active_chunk *active = stream_active_of(chunk->stream, chunk->number);
    bool is_making = active == &chunk->stream->making;
    chunk->is_in_memory = active != NULL && !is_making;
    if (chunk->is_in_memory) {
        chunk->map = active->map;
        return true;
    }
    uint32_t chunk_size = chunk->header.chunk_size;
    struct slotmap_identity identity = {.origin = chunk->header.key.machine,
        .chunk = chunk->number,
        .chunk_size = chunk_size,
        .mount = chunk->header.key.mount,
        .stream = chunk->header.key.stream};
    if (is_making && chunk->stream->maker->is_new) {
        slotmap_init(&chunk->map, chunk->map_memory, &identity);
        return true;
    }
    size_t size = slotmap_image_size(chunk_size);
    struct span copies[SLOTMAP_COPIES];
    for (size_t i = 0; i < SLOTMAP_COPIES; i++) {
        uint64_t from = chunk_size + i * size;
        copies[i] = span_of(chunk->bytes + from, from + size <= chunk->size ? size : 0);
    }
    return !err_is(slotmap_load_newest(&chunk->map, chunk->map_memory, &identity, copies));
}

static void walk_chunk(struct store_walk *walk, struct stream *stream, struct chunk_entry *entry)
{
    struct chunk_walk chunk = {.walk = walk, .stream = stream, .number = entry->number};
    char path[CHUNK_NAME_MAX + 8] = STORE_LAB_PATH "/";
    struct chunk_key key = {
        stream->options.machine, stream->options.mount, stream->options.stream, entry->number};
    chunk_path(path + strlen(path), &key);
    int64_t size = read_all(walk, path, &chunk.bytes);
    chunk.size = size > 0 ? (uint64_t)size : 0;
    if (size < CHUNK_HEADER_SIZE || err_is(chunk_header_decode(chunk.bytes, &chunk.header))) {
        fail(walk, "chunk %u: %s", entry->number, size < 0 ? "no file" : "its header is bad");
    } else {
        chunk.map_memory = sim_alloc(slotmap_memory_size(chunk.header.chunk_size));
        if (load_map(&chunk)) {
            walk_slots(&chunk);
            compare_entry(&chunk, entry);
        } else {
            fail(walk, "chunk %u: neither copy of its map is good", entry->number);
        }
        sim_free(chunk.map_memory);
    }
    walk->disk_bytes += chunk.size;
    walk->chunk_count++;
    sim_free(chunk.bytes);
}

/* ---- files by name ---- */

static void see_single(struct store_walk *walk, const char *path)
{
    uint8_t bytes[SINGLE_META_MAX];
    struct slot_header header;
    int64_t size = sim_file_size(walk->lab->node, path);
    uint64_t head_size = size < SINGLE_META_MAX ? (uint64_t)size : SINGLE_META_MAX;
    bool is_good = size > 0 && sim_file_read(walk->lab->node, path, 0, bytes, head_size) > 0
                   && !err_is(single_meta_decode(span_of(bytes, head_size), NULL, &header));
    if (!is_good) {
        fail(walk, "%s: its header is bad", path);
        return;
    }
    if (header.flags & SLOT_CHANGING)
        fail(walk, "%s: its header is still marked", path);
    if (header.flags & SLOT_DELETED)
        return;
    walk->disk_bytes += (uint64_t)size;
    walk->live_bytes += (uint64_t)size;
    struct model_file *file = store_model_find(walk->model, &header.identity);
    if (!file)
        file = adopt(walk, &header, NULL);
    if (!file || !file->current.content) {
        fail(walk, "%s: lives and %s", path, file ? "was deleted" : "was never acknowledged");
        return;
    }
    file->seen_home += file->fid.is_packed ? 0 : 1;
    file->seen_content++;
    count_again(walk, &header.other, &header);
}

static bool is_chunk_known(struct store_walk *walk, const struct chunk_key *key)
{
    struct stream *stream = store_lab_stream(walk->lab, key->stream);
    return !stream || chunk_table_find(&stream->chunks, 0, key->number)
           || stream->maker->key.number == key->number
           || stream->checkpoint->at_number == key->number; /* being dropped */
}

static void see_file(void *context, const char *path, uint64_t size)
{
    struct store_walk *walk = context;
    const char *inner = path + strlen(STORE_LAB_PATH "/");
    struct chunk_key key;
    (void)size;
    if (strncmp(inner, "singles/", 8) == 0)
        see_single(walk, path);
    if (strncmp(inner, "new/", 4) == 0 && !walk->has_faults)
        fail(walk, "%s was left behind", path);
    if (strncmp(inner, "chunks/", 7) == 0 && !walk->has_faults
        && (!chunk_name_parse(inner + 7, &key) || !is_chunk_known(walk, &key)))
        fail(walk, "%s belongs to nobody", path);
}

/* Who takes a slot is younger than all who had it before: mirrors go by that. */
static void compare_births(struct store_walk *walk, const struct model_file *file)
{
    const struct fid *fid = &file->fid;
    LIST_EACH (node, &walk->model->files) {
        const struct model_file *other = CONTAINER_OF(node, struct model_file, link);
        const struct fid *dead = &other->fid;
        bool overlaps = other != file && dead->is_packed && dead->stream == fid->stream
                        && dead->chunk == fid->chunk && dead->offset < fid->offset + fid->slot_size
                        && fid->offset < dead->offset + dead->slot_size;
        if (overlaps && dead->identity.clock > fid->identity.clock)
            fail(walk, "chunk %u offset %u: clock %llx lives where clock %llx was before it",
                fid->chunk, fid->offset, (unsigned long long)fid->identity.clock,
                (unsigned long long)dead->identity.clock);
    }
}

static void compare_files(struct store_walk *walk)
{
    LIST_EACH (node, &walk->model->files) {
        const struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        unsigned expected = file->current.content ? 1 : 0;
        if (expected == 1 && file->fid.is_packed)
            compare_births(walk, file);
        if (file->seen_home != expected || file->seen_content != expected)
            fail(walk, "clock %llx: %u homes and %u contents on disk, should be %u",
                (unsigned long long)file->fid.identity.clock, file->seen_home, file->seen_content,
                expected);
    }
}

bool store_walk(
    struct store_walk *walk, struct store_lab *lab, struct store_model *model, bool has_faults)
{
    *walk = (struct store_walk){.lab = lab, .model = model, .has_faults = has_faults};
    walk->units = sim_alloc(sizeof *walk->units * STORE_WALK_UNITS);
    LIST_EACH (node, &model->files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        file->seen_home = file->seen_content = 0;
    }
    for (unsigned i = 0; i < lab->options.stream_count; i++) {
        struct stream *stream = store_lab_stream(lab, i);
        for (uint32_t k = 0; stream && k < stream->chunks.count; k++) {
            if (stream->chunks.entries[k].source == 0)
                walk_chunk(walk, stream, &stream->chunks.entries[k]);
        }
    }
    sim_node_each_file(lab->node, see_file, walk);
    compare_files(walk);
    for (unsigned i = 0; i < lab->options.stream_count; i++)
        if (store_lab_stream(lab, i))
            compare_digests(walk, store_lab_stream(lab, i));
    sim_free(walk->units);
    return walk->failure[0] == '\0';
}
