#include "wire/entry.h"

size_t entry_size(const struct record *record)
{
    return ENTRY_HEADER_SIZE + record_size(record);
}

void entry_encode(const struct entry *entry, struct writer *w)
{
    size_t size = entry_size(&entry->record);
    if (w->failed || w->capacity - w->size < size) {
        w->failed = true; /* all of it or nothing */
        return;
    }
    uint8_t *header = writer_take(w, ENTRY_HEADER_SIZE);
    put_u32(header, (uint32_t)size);
    put_u32(header + 4, entry->home_seed);
    put_u32(header + 8, entry->target_seed);
    put_u32(header + 12, 0);
    record_encode(&entry->record, w, NULL);
}

err_t entry_decode(struct span bytes, struct entry *ret, size_t *ret_size)
{
    *ret_size = ENTRY_HEADER_SIZE;
    if (bytes.size < ENTRY_HEADER_SIZE)
        return ERR(PARTIAL, 0);
    size_t size = get_u32(bytes.data), record_size;
    if (size < ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE || size > ENTRY_SIZE_MAX)
        return ERR(PROTOCOL, 0);
    *ret_size = size;
    if (bytes.size < size)
        return ERR(PARTIAL, 0);
    struct entry entry = {get_u32(bytes.data + 4), get_u32(bytes.data + 8), {0}};
    TRY(record_decode(span_of(bytes.data + ENTRY_HEADER_SIZE, size - ENTRY_HEADER_SIZE),
        &entry.record, &record_size));
    if (record_size != size - ENTRY_HEADER_SIZE)
        return ERR(CORRUPT, 0);
    *ret = entry;
    return ERR_OK;
}
