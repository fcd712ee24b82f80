#include "disk/slotmap.h"

#include "base/crc.h"

/* The image's header; all numbers little endian. The bitmaps follow: starts, then frees, each
 * rounded up to 8 bytes; then zeros up to SLOTMAP_IMAGE_ALIGN. */
struct image_header {
    uint8_t magic[8];
    uint32_t format;
    uint32_t crc; /* CRC-32 of the whole image with this field 0 */
    uint32_t origin;
    uint32_t chunk;
    uint64_t generation;
    uint32_t chunk_size;
    uint32_t tail; /* bytes */
    uint32_t live_count;
    uint32_t live_units;
    uint32_t free_count;
    uint32_t free_units;
    uint8_t mount;
    uint8_t stream;
    uint8_t reserved[6]; /* 0 */
};
_Static_assert(sizeof(struct image_header) == SLOTMAP_IMAGE_HEADER_SIZE, "image header");
_Static_assert(offsetof(struct image_header, crc) == 12, "image header");
_Static_assert(offsetof(struct image_header, origin) == 16, "image header");
_Static_assert(offsetof(struct image_header, generation) == 24, "image header");
_Static_assert(offsetof(struct image_header, chunk_size) == 32, "image header");
_Static_assert(offsetof(struct image_header, live_count) == 40, "image header");
_Static_assert(offsetof(struct image_header, mount) == 56, "image header");

static const uint8_t image_magic[8] = {'C', 'A', 'I', 'R', 'N', 'M', 'A', 'P'};

enum { FIRST = CHUNK_HEADER_SIZE / SLOT_UNIT, NOWHERE = UINT32_MAX };

static bool bit_is_set(const uint64_t *words, uint32_t at)
{
    return (words[at / 64] >> (at % 64) & 1) != 0;
}

static void bit_set(uint64_t *words, uint32_t at)
{
    words[at / 64] |= UINT64_C(1) << (at % 64);
}

static void bit_clear(uint64_t *words, uint32_t at)
{
    words[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

/* The first set bit in [from, limit), or `limit`. */
static uint32_t bits_next(const uint64_t *words, uint32_t from, uint32_t limit)
{
    if (from >= limit)
        return limit;
    uint32_t index = from / 64, last = (limit - 1) / 64;
    uint64_t word = words[index] & (UINT64_MAX << (from % 64));
    while (word == 0 && index < last)
        word = words[++index];
    if (word == 0)
        return limit;
    uint32_t at = index * 64 + (uint32_t)__builtin_ctzll(word);
    return at < limit ? at : limit;
}

/* The last set bit at or before `from`, or NOWHERE. */
static uint32_t bits_previous(const uint64_t *words, uint32_t from)
{
    uint32_t index = from / 64;
    uint64_t word = words[index] & (UINT64_MAX >> (63 - from % 64));
    while (word == 0 && index > 0)
        word = words[--index];
    return word == 0 ? NOWHERE : index * 64 + 63 - (uint32_t)__builtin_clzll(word);
}

bool chunk_size_is_valid(uint64_t chunk_size)
{
    return chunk_size >= CHUNK_SIZE_MIN && chunk_size <= CHUNK_SIZE_MAX
           && chunk_size % SLOT_UNIT == 0;
}

static size_t bitmap_size(uint32_t chunk_size)
{
    CHECK(chunk_size_is_valid(chunk_size));
    return ((size_t)chunk_size / SLOT_UNIT + 63) / 64 * 8;
}

size_t slotmap_memory_size(uint32_t chunk_size)
{
    return 2 * bitmap_size(chunk_size);
}

size_t slotmap_image_size(uint32_t chunk_size)
{
    size_t size = SLOTMAP_IMAGE_HEADER_SIZE + slotmap_memory_size(chunk_size);
    return (size + SLOTMAP_IMAGE_ALIGN - 1) / SLOTMAP_IMAGE_ALIGN * SLOTMAP_IMAGE_ALIGN;
}

void slotmap_init(struct slotmap *map, void *memory, const struct slotmap_identity *identity)
{
    size_t size = bitmap_size(identity->chunk_size);
    CHECK((uintptr_t)memory % 8 == 0);
    memset(memory, 0, 2 * size);
    uint64_t *words = memory;
    *map = (struct slotmap){
        .identity = *identity,
        .starts = words,
        .frees = words + size / 8,
        .unit_count = identity->chunk_size / SLOT_UNIT,
        .tail = FIRST,
    };
}

struct range {
    uint32_t begin, end;
};

static struct slotmap_extent extent_of(struct range range)
{
    return (struct slotmap_extent){
        range.begin * SLOT_UNIT,
        (range.end - range.begin) * SLOT_UNIT,
    };
}

static bool unit_is_in_slot(const struct slotmap *map, uint32_t unit)
{
    return unit >= FIRST && unit < map->tail;
}

static struct range slot_at_start(const struct slotmap *map, uint32_t begin)
{
    return (struct range){begin, bits_next(map->starts, begin + 1, map->tail)};
}

/* The slot, live or free, that holds `unit`: slots cover [FIRST, tail) without gaps. */
static struct range slot_around(const struct slotmap *map, uint32_t unit)
{
    CHECK(unit_is_in_slot(map, unit));
    return slot_at_start(map, bits_previous(map->starts, unit));
}

static bool begins(const struct slotmap *map, uint32_t unit, bool is_free)
{
    return unit_is_in_slot(map, unit) && bit_is_set(map->starts, unit)
           && bit_is_set(map->frees, unit) == is_free;
}

static void slot_add(struct slotmap *map, struct range range, bool is_free)
{
    CHECK(range.begin < range.end && !bit_is_set(map->starts, range.begin));
    bit_set(map->starts, range.begin);
    if (is_free) {
        bit_set(map->frees, range.begin);
        map->free_count++;
        map->free_units += range.end - range.begin;
    } else {
        map->live_count++;
        map->live_units += range.end - range.begin;
    }
}

static void slot_drop(struct slotmap *map, struct range range)
{
    CHECK(bit_is_set(map->starts, range.begin));
    bit_clear(map->starts, range.begin);
    if (bit_is_set(map->frees, range.begin)) {
        bit_clear(map->frees, range.begin);
        map->free_count--;
        map->free_units -= range.end - range.begin;
    } else {
        map->live_count--;
        map->live_units -= range.end - range.begin;
    }
}

/* Turn a live slot into free space: one with its free neighbours, or fresh. */
static struct slotmap_release slot_release(struct slotmap *map, struct range slot)
{
    struct slotmap_release done = {0};
    struct range merged = slot;
    slot_drop(map, slot);
    if (slot.begin > FIRST) {
        struct range before = slot_around(map, slot.begin - 1);
        before.end = slot.begin; /* the dropped slot is not to be taken for a part of it */
        if (bit_is_set(map->frees, before.begin)) {
            done.before = extent_of(before);
            slot_drop(map, before);
            merged.begin = before.begin;
        }
    }
    if (slot.end < map->tail && bit_is_set(map->frees, slot.end)) {
        struct range after = slot_at_start(map, slot.end);
        done.after = extent_of(after);
        slot_drop(map, after);
        merged.end = after.end;
    }
    if (merged.end == map->tail) {
        map->tail = merged.begin;
    } else {
        slot_add(map, merged, true);
        done.merged = extent_of(merged);
    }
    return done;
}

uint32_t slotmap_fresh_size(const struct slotmap *map)
{
    return (map->unit_count - map->tail) * SLOT_UNIT;
}

err_t slotmap_allocate_tail(struct slotmap *map, uint32_t size, uint32_t *ret_offset)
{
    CHECK(size > 0 && size % SLOT_UNIT == 0);
    if (size > slotmap_fresh_size(map))
        return ERR(NO_SPACE, 0);
    struct range range = {map->tail, map->tail + size / SLOT_UNIT};
    map->tail = range.end;
    slot_add(map, range, false);
    *ret_offset = range.begin * SLOT_UNIT;
    return ERR_OK;
}

err_t slotmap_allocate_free(struct slotmap *map, uint32_t offset, uint32_t size, uint32_t *ret_size,
    struct slotmap_extent *ret_rest)
{
    CHECK(size > 0 && size % SLOT_UNIT == 0);
    uint32_t begin = offset / SLOT_UNIT, count = size / SLOT_UNIT;
    if (offset % SLOT_UNIT != 0 || !begins(map, begin, true))
        return ERR(NO_SPACE, 0);
    struct range slot = slot_at_start(map, begin);
    if (slot.end - slot.begin < count)
        return ERR(NO_SPACE, 0);
    slot_drop(map, slot);
    struct range rest = {begin + count, slot.end};
    if ((rest.end - rest.begin) * SLOT_UNIT < SLOT_REMAINDER_MIN)
        rest.begin = rest.end;
    else
        slot_add(map, rest, true);
    slot.end = rest.begin;
    slot_add(map, slot, false);
    *ret_size = extent_of(slot).size;
    *ret_rest = rest.begin < rest.end ? extent_of(rest) : (struct slotmap_extent){0};
    return ERR_OK;
}

err_t slotmap_release(struct slotmap *map, uint32_t offset, struct slotmap_release *ret)
{
    uint32_t begin = offset / SLOT_UNIT;
    if (offset % SLOT_UNIT != 0 || !begins(map, begin, false))
        return ERR(NOT_FOUND, 0);
    *ret = slot_release(map, slot_at_start(map, begin));
    return ERR_OK;
}

/* Ranges come from the log: judged, not CHECKed. */
static err_t range_from_bytes(
    const struct slotmap *map, uint32_t offset, uint32_t size, struct range *ret)
{
    uint64_t end = (uint64_t)offset + size;
    if (offset < CHUNK_HEADER_SIZE || size == 0 || offset % SLOT_UNIT != 0 || size % SLOT_UNIT != 0
        || end > map->identity.chunk_size)
        return ERR(CORRUPT, 0);
    *ret = (struct range){offset / SLOT_UNIT, (uint32_t)(end / SLOT_UNIT)};
    return ERR_OK;
}

static void range_clear_live(struct slotmap *map, struct range range)
{
    uint32_t at = range.begin;
    while (at < range.end && at < map->tail) {
        struct range slot = slot_around(map, at);
        at = slot.end;
        if (!bit_is_set(map->frees, slot.begin))
            (void)slot_release(map, slot);
    }
}

err_t slotmap_force_release(struct slotmap *map, uint32_t offset, uint32_t size)
{
    struct range range;
    TRY(range_from_bytes(map, offset, size, &range));
    range_clear_live(map, range);
    return ERR_OK;
}

/* With no live slot in the way the range is either beyond the tail, or inside one free slot: were it
 * across the tail, the last slot would be free, and such a slot is given to the tail. */
err_t slotmap_force_allocate(struct slotmap *map, uint32_t offset, uint32_t size)
{
    struct range range;
    TRY(range_from_bytes(map, offset, size, &range));
    range_clear_live(map, range);
    if (range.begin >= map->tail) {
        struct range gap = {map->tail, range.begin};
        map->tail = range.end;
        if (gap.begin < gap.end)
            slot_add(map, gap, true);
    } else {
        struct range around = slot_around(map, range.begin);
        CHECK(bit_is_set(map->frees, around.begin) && range.end <= around.end);
        slot_drop(map, around);
        if (around.begin < range.begin)
            slot_add(map, (struct range){around.begin, range.begin}, true);
        if (range.end < around.end)
            slot_add(map, (struct range){range.end, around.end}, true);
    }
    slot_add(map, range, false);
    return ERR_OK;
}

static struct slotmap_slot slot_of(const struct slotmap *map, struct range range)
{
    struct slotmap_extent extent = extent_of(range);
    return (struct slotmap_slot){extent.offset, extent.size,
        bit_is_set(map->frees, range.begin) ? SLOTMAP_FREE : SLOTMAP_LIVE};
}

struct slotmap_slot slotmap_query(const struct slotmap *map, uint64_t offset)
{
    uint64_t unit = offset / SLOT_UNIT;
    if (unit >= map->tail || unit < FIRST)
        return (struct slotmap_slot){.kind = SLOTMAP_NONE};
    struct slotmap_slot slot = slot_of(map, slot_around(map, (uint32_t)unit));
    if (slot.offset != offset)
        slot.kind = SLOTMAP_INSIDE;
    return slot;
}

static bool next_in(
    const struct slotmap *map, const uint64_t *words, uint32_t from, struct slotmap_slot *ret)
{
    uint32_t unit = from / SLOT_UNIT + (from % SLOT_UNIT != 0);
    uint32_t begin = bits_next(words, unit, map->tail);
    if (begin >= map->tail)
        return false;
    *ret = slot_of(map, slot_at_start(map, begin));
    return true;
}

bool slotmap_next(const struct slotmap *map, uint32_t from, struct slotmap_slot *ret)
{
    return next_in(map, map->starts, from, ret);
}

bool slotmap_next_free(const struct slotmap *map, uint32_t from, struct slotmap_slot *ret)
{
    return next_in(map, map->frees, from, ret);
}

struct slotmap_summary slotmap_summarise(const struct slotmap *map)
{
    struct slotmap_summary summary = {
        .live_bytes = (uint64_t)map->live_units * SLOT_UNIT,
        .free_bytes = (uint64_t)map->free_units * SLOT_UNIT,
        .fresh_bytes = slotmap_fresh_size(map),
        .live_count = map->live_count,
        .free_count = map->free_count,
    };
    struct slotmap_slot slot = {0};
    for (uint32_t from = 0; slotmap_next_free(map, from, &slot); from = slot.offset + slot.size)
        if (slot.size > summary.largest_free)
            summary.largest_free = slot.size;
    return summary;
}

unsigned slotmap_store(struct slotmap *map, uint8_t *image)
{
    size_t memory_size = slotmap_memory_size(map->identity.chunk_size);
    size_t image_size = slotmap_image_size(map->identity.chunk_size);
    struct image_header header = {
        .format = SLOTMAP_FORMAT,
        .origin = map->identity.origin,
        .chunk = map->identity.chunk,
        .generation = ++map->generation,
        .chunk_size = map->identity.chunk_size,
        .tail = map->tail * SLOT_UNIT,
        .live_count = map->live_count,
        .live_units = map->live_units,
        .free_count = map->free_count,
        .free_units = map->free_units,
        .mount = map->identity.mount,
        .stream = map->identity.stream,
    };
    memcpy(header.magic, image_magic, sizeof image_magic);
    memset(image, 0, image_size);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, map->starts, memory_size / 2);
    memcpy(image + sizeof header + memory_size / 2, map->frees, memory_size / 2);
    put_u32(image + offsetof(struct image_header, crc), crc32_update(0, image, image_size));
    return (unsigned)(map->generation % SLOTMAP_COPIES);
}

static uint32_t image_crc(struct span image)
{
    static const uint8_t zero[4];
    size_t at = offsetof(struct image_header, crc), after = at + sizeof zero;
    uint32_t crc = crc32_update(0, image.data, at);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, image.data + after, image.size - after);
}

err_t slotmap_image_verify(
    struct span image, const struct slotmap_identity *identity, uint64_t *ret_generation)
{
    struct image_header header;
    if (image.size != slotmap_image_size(identity->chunk_size))
        return ERR(CORRUPT, 0);
    memcpy(&header, image.data, sizeof header);
    if (memcmp(header.magic, image_magic, sizeof image_magic) != 0)
        return ERR(CORRUPT, 0);
    if (header.crc != image_crc(image))
        return ERR(CORRUPT, 0);
    if (header.format != SLOTMAP_FORMAT)
        return ERR(FORMAT, 0);
    if (header.origin != identity->origin || header.chunk != identity->chunk
        || header.chunk_size != identity->chunk_size || header.mount != identity->mount
        || header.stream != identity->stream)
        return ERR(CORRUPT, 0);
    *ret_generation = header.generation;
    return ERR_OK;
}

/* Count the slots of a map whose bits and tail were read; false if they can't be a map's: the bits
 * outside [FIRST, tail) must be clear, and no free slot may lie beside another or at the tail. */
static bool slots_recount(struct slotmap *map)
{
    uint32_t bit_count = (map->unit_count + 63) / 64 * 64;
    if (map->tail < FIRST || map->tail > map->unit_count)
        return false;
    if (bits_next(map->starts, 0, FIRST) != FIRST
        || bits_next(map->starts, map->tail, bit_count) != bit_count)
        return false;
    for (uint32_t i = 0; i < bit_count / 64; i++)
        if ((map->frees[i] & ~map->starts[i]) != 0)
            return false;
    bool was_free = false;
    for (struct range slot = {FIRST, FIRST}; slot.end < map->tail;) {
        slot = slot_at_start(map, slot.end);
        bool is_free = bit_is_set(map->frees, slot.begin);
        if (!bit_is_set(map->starts, slot.begin) || (is_free && was_free))
            return false;
        *(is_free ? &map->free_count : &map->live_count) += 1;
        *(is_free ? &map->free_units : &map->live_units) += slot.end - slot.begin;
        was_free = is_free;
    }
    return !was_free;
}

err_t slotmap_load(
    struct slotmap *map, void *memory, const struct slotmap_identity *identity, struct span image)
{
    uint64_t generation;
    TRY(slotmap_image_verify(image, identity, &generation));
    struct image_header header;
    memcpy(&header, image.data, sizeof header);
    struct slotmap loaded;
    slotmap_init(&loaded, memory, identity);
    memcpy(memory, image.data + sizeof header, slotmap_memory_size(identity->chunk_size));
    loaded.generation = generation;
    loaded.tail = header.tail / SLOT_UNIT;
    if (header.tail % SLOT_UNIT != 0 || !slots_recount(&loaded))
        return ERR(CORRUPT, 0);
    if (loaded.live_count != header.live_count || loaded.live_units != header.live_units
        || loaded.free_count != header.free_count || loaded.free_units != header.free_units)
        return ERR(CORRUPT, 0);
    *map = loaded;
    return ERR_OK;
}

err_t slotmap_load_newest(struct slotmap *map, void *memory,
    const struct slotmap_identity *identity, struct span copies[SLOTMAP_COPIES])
{
    uint64_t generations[SLOTMAP_COPIES] = {0};
    err_t errs[SLOTMAP_COPIES];
    for (unsigned i = 0; i < SLOTMAP_COPIES; i++)
        errs[i] = slotmap_image_verify(copies[i], identity, &generations[i]);
    unsigned newest = generations[1] > generations[0];
    if (!err_is(errs[newest]))
        errs[newest] = slotmap_load(map, memory, identity, copies[newest]);
    if (!err_is(errs[newest]))
        return ERR_OK;
    if (!err_is(errs[!newest]))
        return slotmap_load(map, memory, identity, copies[!newest]);
    return errs[newest];
}
