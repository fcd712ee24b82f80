/* Any bytes as a slot map image, as they are and with their checksum made good: what loads must be a
 * map, that is, survive every operation and come back from its own image. */
#include <stdlib.h>

#include "base/crc.h"
#include "disk/slotmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL = 64 << 10 };
static const struct slotmap_identity identity = {1, 1, SMALL, 0, 0};

static void use(struct slotmap *map)
{
    struct slotmap_slot slot = {0};
    struct slotmap_release done;
    uint64_t walked = CHUNK_HEADER_SIZE;
    for (uint32_t from = 0; slotmap_next(map, from, &slot); from = slot.offset + slot.size) {
        CHECK(slot.offset == walked && slotmap_query(map, slot.offset).kind == slot.kind);
        walked += slot.size;
    }
    CHECK(walked + slotmap_fresh_size(map) == SMALL);
    for (uint32_t at = CHUNK_HEADER_SIZE; at + 2048 <= SMALL; at += 4096 - 64) {
        CHECK(!err_is(slotmap_force_allocate(map, at, 2048)));
        CHECK(!err_is(slotmap_force_release(map, at + 1024, 64)));
    }
    while (slotmap_next(map, 0, &slot))
        CHECK(!err_is(slotmap_release(
            map, slot.kind == SLOTMAP_LIVE ? slot.offset : slot.offset + slot.size, &done)));
    CHECK(slotmap_summarise(map).fresh_bytes == SMALL - CHUNK_HEADER_SIZE);
}

static void load(const uint8_t *image, size_t size)
{
    uint64_t memory[SMALL / SLOT_UNIT / 64 * 2], memory_again[SMALL / SLOT_UNIT / 64 * 2];
    uint8_t again[4096];
    struct slotmap map, copy;
    if (err_is(slotmap_load(&map, memory, &identity, span_of(image, size))))
        return;
    (void)slotmap_store(&map, again);
    CHECK(!err_is(slotmap_load(&copy, memory_again, &identity, span_of(again, sizeof again))));
    CHECK(memcmp(memory, memory_again, sizeof memory) == 0);
    use(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size);
    uint8_t image[4096] = {0};
    memcpy(image, data, size < sizeof image ? size : sizeof image);
    put_u32(image + 12, 0);
    put_u32(image + 12, crc32_update(0, image, sizeof image));
    load(image, sizeof image);
    return 0;
}
