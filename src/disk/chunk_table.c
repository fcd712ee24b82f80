#include "disk/chunk_table.h"

#include <string.h>

#include "disk/slotmap.h"

err_t chunk_table_init(
    struct chunk_table *table, struct mem *mem, struct owner *owner, uint32_t capacity)
{
    *table = (struct chunk_table){.mem = mem, .capacity = capacity, .next_number = 1};
    void *block;
    TRY(mem_take(mem, owner, sizeof(struct chunk_entry) * capacity, 0, &block));
    table->entries = block;
    return ERR_OK;
}

void chunk_table_fini(struct chunk_table *table)
{
    mem_give(table->mem, table->entries);
    *table = (struct chunk_table){0};
}

/* Index of the first entry that is not before (source, number). */
static uint32_t lower_bound(const struct chunk_table *table, uint16_t source, uint32_t number)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct chunk_entry *entry = &table->entries[middle];
        bool is_before = entry->source != source ? entry->source < source : entry->number < number;
        if (is_before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_entry(const struct chunk_table *table, uint32_t at, uint16_t source, uint32_t number)
{
    return at < table->count && table->entries[at].source == source
           && table->entries[at].number == number;
}

struct chunk_entry *chunk_table_find(struct chunk_table *table, uint16_t source, uint32_t number)
{
    uint32_t at = lower_bound(table, source, number);
    return is_entry(table, at, source, number) ? &table->entries[at] : NULL;
}

struct chunk_entry *chunk_table_add(struct chunk_table *table, uint16_t source, uint32_t number)
{
    uint32_t at = lower_bound(table, source, number);
    if (is_entry(table, at, source, number))
        return &table->entries[at];
    if (table->count == table->capacity)
        return NULL;
    memmove(&table->entries[at + 1], &table->entries[at],
        sizeof(struct chunk_entry) * (table->count - at));
    table->count++;
    table->entries[at] = (struct chunk_entry){.source = source, .number = number};
    if (source == 0 && table->next_number <= number)
        table->next_number = number + 1;
    return &table->entries[at];
}

struct chunk_entry *chunk_table_next_of_any(
    struct chunk_table *table, uint16_t source, uint32_t number)
{
    uint32_t at = lower_bound(table, source, number);
    return at < table->count ? &table->entries[at] : NULL;
}

struct chunk_entry *chunk_table_next(struct chunk_table *table, uint16_t source, uint32_t number)
{
    struct chunk_entry *entry = chunk_table_next_of_any(table, source, number);
    return entry && entry->source == source ? entry : NULL;
}

void chunk_table_hope(struct chunk_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entries[i].fit_max == 0)
            table->entries[i].fit_max = table->entries[i].free_bytes;
}

void chunk_table_mark_all_dirty(struct chunk_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        table->entries[i].is_dirty = true;
}

void chunk_table_mark_idle(struct chunk_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        table->entries[i].is_idle = table->entries[i].live_count == 0;
}

void chunk_table_feed(struct chunk_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        table->entries[i].is_starved = false;
}

void chunk_table_remove(struct chunk_table *table, struct chunk_entry *entry)
{
    CHECK(entry >= table->entries && entry < table->entries + table->count);
    size_t behind = (size_t)(table->entries + table->count - entry) - 1;
    memmove(entry, entry + 1, sizeof *entry * behind);
    table->count--;
}

void chunk_entry_take(struct chunk_entry *entry, uint32_t offset, uint32_t size)
{
    uint32_t end = entry->end > CHUNK_HEADER_SIZE ? entry->end : CHUNK_HEADER_SIZE;
    entry->live_count++;
    entry->is_idle = false;
    uint32_t slot_end = offset + size;
    uint32_t reused_end = slot_end < end ? slot_end : end;
    if (offset > end) { /* a gap */
        entry->free_bytes += offset - end;
    } else {
        uint32_t reused = reused_end - offset; /* of the space below the end, which was free */
        entry->free_bytes -= reused < entry->free_bytes ? reused : entry->free_bytes;
    }
    if (slot_end > end)
        entry->end = slot_end;
}

void chunk_entry_give(struct chunk_entry *entry, uint32_t size)
{
    if (entry->live_count > 0)
        entry->live_count--;
    entry->free_bytes += size;
    if (entry->fit_max < size)
        entry->fit_max = size;
}

void chunk_entry_take_mirrored(struct chunk_entry *entry, uint32_t offset, uint32_t size)
{
    entry->live_count++;
    if (entry->end < offset + size)
        entry->end = offset + size;
}

void chunk_entry_give_mirrored(struct chunk_entry *entry)
{
    if (entry->live_count > 0)
        entry->live_count--;
}

void chunk_entry_touch_mirrored(struct chunk_entry *entry, uint64_t now_ns)
{
    entry->is_idle = entry->has_remains = false;
    entry->youngest_birth = 0;
    entry->touched_ns = now_ns;
}

enum { ENTRY_UNMAPPED = 1 };

/* 0 number u32 | 4 end u32 | 8 live u32 | 12 free u32 | 16 source u16 | 18 flags u16 | 20 zero u32
 * 24 sum u64 | 32 count u64 */
void chunk_table_encode(const struct chunk_table *table, struct writer *w)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct chunk_entry *entry = &table->entries[i];
        write_u32(w, entry->number);
        write_u32(w, entry->end);
        write_u32(w, entry->live_count);
        write_u32(w, entry->free_bytes);
        write_u16(w, entry->source);
        write_u16(w, entry->is_unmapped ? ENTRY_UNMAPPED : 0);
        write_u32(w, 0);
        write_u64(w, entry->digest.sum);
        write_u64(w, entry->digest.count);
    }
}

static void entry_decode_rest(struct chunk_entry *entry, struct reader *r)
{
    entry->source = read_u16(r);
    entry->is_unmapped = read_u16(r) & ENTRY_UNMAPPED;
    (void)read_u32(r);
    entry->digest.sum = read_u64(r);
    entry->digest.count = read_u64(r);
}

err_t chunk_table_decode(
    struct chunk_table *table, uint32_t format, uint32_t sources, uint32_t count, struct reader *r)
{
    if (count > table->capacity)
        return ERR(BUSY, 0);
    CHECK(table->count == 0);
    struct chunk_entry last = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct chunk_entry image = {.number = read_u32(r)};
        image.end = read_u32(r);
        image.live_count = read_u32(r);
        image.free_bytes = read_u32(r);
        if (format > 1)
            entry_decode_rest(&image, r);
        bool is_sorted =
            image.source != last.source ? image.source > last.source : image.number > last.number;
        if (r->failed || !is_sorted || image.source >= sources || image.number == 0)
            return ERR(CORRUPT, 0);
        struct chunk_entry *entry = chunk_table_add(table, image.source, image.number);
        CHECK(entry != NULL);
        image.fit_max = image.free_bytes;
        *entry = image;
        last = image;
    }
    return r->failed ? ERR(CORRUPT, 0) : ERR_OK;
}
