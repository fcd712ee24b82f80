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

/* Index of the first entry with a number not below `number`. */
static uint32_t lower_bound(const struct chunk_table *table, uint32_t number)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->entries[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct chunk_entry *chunk_table_find(struct chunk_table *table, uint32_t number)
{
    uint32_t at = lower_bound(table, number);
    bool is_there = at < table->count && table->entries[at].number == number;
    return is_there ? &table->entries[at] : NULL;
}

struct chunk_entry *chunk_table_add(struct chunk_table *table, uint32_t number)
{
    uint32_t at = lower_bound(table, number);
    if (at < table->count && table->entries[at].number == number)
        return &table->entries[at];
    if (table->count == table->capacity)
        return NULL;
    memmove(&table->entries[at + 1], &table->entries[at],
        sizeof(struct chunk_entry) * (table->count - at));
    table->count++;
    table->entries[at] = (struct chunk_entry){.number = number};
    if (table->next_number <= number)
        table->next_number = number + 1;
    return &table->entries[at];
}

struct chunk_entry *chunk_table_next(struct chunk_table *table, uint32_t number)
{
    uint32_t at = lower_bound(table, number);
    return at < table->count ? &table->entries[at] : NULL;
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

void chunk_table_encode(const struct chunk_table *table, struct writer *w)
{
    for (uint32_t i = 0; i < table->count; i++) {
        write_u32(w, table->entries[i].number);
        write_u32(w, table->entries[i].end);
        write_u32(w, table->entries[i].live_count);
        write_u32(w, table->entries[i].free_bytes);
    }
}

err_t chunk_table_decode(struct chunk_table *table, uint32_t count, struct reader *r)
{
    if (count > table->capacity)
        return ERR(BUSY, 0);
    CHECK(table->count == 0);
    for (uint32_t i = 0, last = 0; i < count; i++) {
        uint32_t number = read_u32(r);
        if (r->failed || number <= last)
            return ERR(CORRUPT, 0);
        struct chunk_entry *entry = chunk_table_add(table, number);
        CHECK(entry != NULL);
        entry->end = read_u32(r);
        entry->live_count = read_u32(r);
        entry->free_bytes = read_u32(r);
        entry->fit_max = entry->free_bytes;
        last = number;
    }
    return r->failed ? ERR(CORRUPT, 0) : ERR_OK;
}
