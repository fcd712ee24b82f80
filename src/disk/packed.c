#include "disk/packed.h"

static bool is_packed(const struct place *place)
{
    return place->kind == PLACE_PACKED;
}

static void plan_content(
    const struct record *record, struct span meta, struct packed_write *writes, unsigned *count)
{
    if (!(record->flags & RECORD_INLINE) || record->content_size == 0)
        return;
    const struct place *place = record->flags & RECORD_AT_TARGET ? &record->target : &record->home;
    if (!is_packed(place))
        return;
    struct packed_write *last = *count > 0 ? &writes[*count - 1] : NULL;
    if (last && last->place == place && record->content_offset == 0) {
        last->spans[last->span_count++] = record->content; /* right behind its meta */
        return;
    }
    writes[(*count)++] = (struct packed_write){.place = place,
        .offset = place->offset + meta.size + record->content_offset,
        .span_count = 1,
        .spans = {record->content}};
}

static void plan_meta(
    const struct place *place, struct span meta, struct packed_write *writes, unsigned *count)
{
    if (!is_packed(place) || meta.size == 0)
        return;
    writes[(*count)++] = (struct packed_write){
        .place = place, .offset = place->offset, .span_count = 1, .spans = {meta}};
}

static void plan_tombstone(const struct place *place, struct packed_write *writes, unsigned *count)
{
    if (is_packed(place))
        writes[(*count)++] =
            (struct packed_write){.place = place, .offset = place->offset, .is_tombstone = true};
}

unsigned packed_plan(const struct record *record, struct packed_write *writes)
{
    unsigned count = 0;
    if (record->kind == RECORD_DELETE) {
        plan_tombstone(&record->home, writes, &count);
    } else if (record->flags & RECORD_AT_TARGET) {
        plan_meta(&record->home, record->home_meta, writes, &count);
        plan_meta(&record->target, record->target_meta, writes, &count);
        plan_content(record, record->target_meta, writes, &count);
    } else {
        plan_meta(&record->home, record->home_meta, writes, &count);
        plan_content(record, record->home_meta, writes, &count);
    }
    if (record->flags & RECORD_FREES)
        plan_tombstone(&record->freed, writes, &count);
    CHECK(count <= PACKED_WRITES_MAX);
    return count;
}

uint32_t packed_tombstone(
    const struct record *record, const struct place *place, uint32_t seed, uint8_t *ret)
{
    struct slot_header header = {.identity = record->identity,
        .version = record->version,
        .birth = {place->birth, place->machine},
        .nonce = record->nonce,
        .modify_ns = record->time_ns,
        .slot_size = place->slot_size,
        .flags = SLOT_DELETED};
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE] = {0};
    return slot_meta_encode(&header, NULL, table, seed, ret);
}
