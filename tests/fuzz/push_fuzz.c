/* The body of a PUSH, as a hostile member would make it. Input: { flags u8, bytes }: entries; with flag 1
 * a body follows, with flag 2 the checksums of records are made right, so that what is in them is looked
 * at. Whatever passes intake_check names only places, sizes and headers that an intake relies on. */
#include <stdlib.h>

#include "base/crc.h"
#include "storage/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SELF = 9, CHUNK_SIZE = 1 << 20 };

static void expect_slot(const struct place *place)
{
    if (place->kind != PLACE_PACKED)
        return;
    CHECK(place->chunk > 0 && place->offset >= CHUNK_HEADER_SIZE);
    CHECK((uint64_t)place->offset + place->slot_size <= CHUNK_SIZE);
}

static void expect_usable(const struct entry *entry, bool has_body)
{
    const struct record *record = &entry->record;
    bool at_target = record->flags & RECORD_AT_TARGET;
    const struct place *place = at_target ? &record->target : &record->home;
    CHECK(record->origin != SELF && record->origin != 0);
    CHECK(record->home.machine == record->identity.origin);
    expect_slot(&record->home);
    if (record->kind == RECORD_DELETE)
        return;
    expect_slot(place);
    CHECK(record->total_size <= BLOCKS_CONTENT_MAX);
    if (place->kind != PLACE_PACKED)
        return;
    struct slot_header header;
    uint32_t need;
    struct span meta = at_target ? record->target_meta : record->home_meta;
    err_t err =
        slot_meta_decode(meta, at_target ? entry->target_seed : entry->home_seed, &header, &need);
    CHECK(!err_is(err));
    CHECK(header.size == record->total_size && header.slot_size == place->slot_size);
    CHECK(record->flags & RECORD_INLINE ? record->content.size == header.size : has_body);
}

/* Bytes of the entry at the front, whose checksum is made right. */
static void mend(uint8_t *bytes, size_t size)
{
    if (size < ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE)
        return;
    uint32_t all = get_u32(bytes);
    uint8_t *record = bytes + ENTRY_HEADER_SIZE;
    if (all < ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE || all > size)
        return;
    put_u32(record, all - ENTRY_HEADER_SIZE);
    put_u32(record + 4, crc32_update(0, record + 8, all - ENTRY_HEADER_SIZE - 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t flags = data[0];
    uint8_t *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    for (size_t at = 0; at < size - 1;) {
        struct entry entry;
        const char *why = NULL;
        size_t took;
        if (flags & 2)
            mend(copy + at, size - 1 - at);
        if (err_is(entry_decode(span_of(copy + at, size - 1 - at), &entry, &took)))
            break;
        if (!err_is(intake_check(&entry, SELF, CHUNK_SIZE, flags & 1, &why)))
            expect_usable(&entry, flags & 1);
        else
            CHECK(why != NULL);
        at += took;
    }
    free(copy);
    return 0;
}
