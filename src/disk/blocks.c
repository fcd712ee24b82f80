#include "disk/blocks.h"

#include "base/crc.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t blocks_count(uint64_t content_size)
{
    CHECK(content_size <= BLOCKS_CONTENT_MAX);
    return (content_size + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

uint32_t blocks_size_at(uint64_t content_size, uint64_t block)
{
    if (block >= blocks_count(content_size))
        return 0;
    return (uint32_t)least(content_size - block * BLOCK_SIZE, BLOCK_SIZE);
}

void blocks_compute(struct span content, uint32_t *ret_table)
{
    for (uint64_t block = 0; block < blocks_count(content.size); block++)
        ret_table[block] =
            crc32_update(0, content.data + block * BLOCK_SIZE, blocks_size_at(content.size, block));
}

uint32_t blocks_combine(
    uint32_t crc, const uint32_t *table, uint64_t first, uint64_t count, uint64_t content_size)
{
    uint32_t factor = crc32_factor(BLOCK_SIZE);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t size = blocks_size_at(content_size, first + i);
        crc = size == BLOCK_SIZE ? crc32_combine_by(crc, table[i], factor)
                                 : crc32_combine(crc, table[i], size);
    }
    return crc;
}

struct blocks_range blocks_covering(uint64_t content_size, uint64_t from, uint64_t to)
{
    CHECK(content_size <= BLOCKS_CONTENT_MAX);
    to = least(to, content_size);
    if (from >= to)
        return (struct blocks_range){0};
    uint64_t first = from / BLOCK_SIZE, count = (to - 1) / BLOCK_SIZE + 1 - first;
    return (struct blocks_range){
        .first = first,
        .count = count,
        .begin = first * BLOCK_SIZE,
        .end = least((first + count) * BLOCK_SIZE, content_size),
    };
}

err_t blocks_verify(
    const struct blocks_range *range, const uint32_t *table, const uint8_t *data, uint64_t *ret_bad)
{
    uint64_t size = range->end - range->begin;
    CHECK(range->count == blocks_count(size));
    for (uint64_t i = 0; i < range->count; i++) {
        if (crc32_update(0, data + i * BLOCK_SIZE, blocks_size_at(size, i)) == table[i])
            continue;
        if (ret_bad)
            *ret_bad = range->first + i;
        return ERR(CORRUPT, 0);
    }
    return ERR_OK;
}

bool blocks_edit_at(const struct blocks_change *change, uint64_t n, struct blocks_edit *ret)
{
    uint64_t end = change->offset + change->size;
    CHECK(change->offset <= change->old_size && end <= BLOCKS_CONTENT_MAX);
    uint64_t block = change->offset / BLOCK_SIZE + n, begin = block * BLOCK_SIZE;
    if (change->size == 0 || begin >= end)
        return false;
    uint64_t from = begin > change->offset ? begin : change->offset;
    uint64_t to = least(end, begin + BLOCK_SIZE);
    uint64_t new_size = change->old_size > end ? change->old_size : end;
    struct blocks_edit edit = {
        .block = block,
        .old_size = blocks_size_at(change->old_size, block),
        .new_size = blocks_size_at(new_size, block),
        .at = (uint32_t)(from - begin),
        .size = (uint32_t)(to - from),
        .data_at = from - change->offset,
    };
    edit.needs_old = edit.at > 0 || edit.size < edit.old_size;
    *ret = edit;
    return true;
}

err_t blocks_edit_apply(const struct blocks_edit *edit, const uint8_t *old, const uint8_t *data,
    uint32_t entry, uint32_t *ret_entry)
{
    const uint8_t *bytes = data + edit->data_at;
    if (!edit->needs_old) {
        *ret_entry = crc32_update(0, bytes, edit->size);
        return ERR_OK;
    }
    CHECK(edit->at <= edit->old_size);
    uint32_t before = crc32_update(0, old, edit->at);
    if (crc32_update(before, old + edit->at, edit->old_size - edit->at) != entry)
        return ERR(CORRUPT, 0);
    uint32_t crc = crc32_update(before, bytes, edit->size);
    uint32_t after = edit->at + edit->size;
    if (after < edit->old_size)
        crc = crc32_update(crc, old + after, edit->old_size - after);
    *ret_entry = crc;
    return ERR_OK;
}

err_t blocks_cut(
    const uint8_t *old, uint32_t old_size, uint32_t new_size, uint32_t entry, uint32_t *ret_entry)
{
    CHECK(new_size > 0 && new_size <= old_size && old_size <= BLOCK_SIZE);
    uint32_t crc = crc32_update(0, old, new_size);
    if (crc32_update(crc, old + new_size, old_size - new_size) != entry)
        return ERR(CORRUPT, 0);
    *ret_entry = crc;
    return ERR_OK;
}

static const uint64_t group_content_size = (uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE;

uint64_t blocks_file_offset(uint64_t content_offset)
{
    CHECK(content_offset <= BLOCKS_CONTENT_MAX);
    uint64_t pages = 2 + content_offset / group_content_size; /* the header, a page per group */
    return pages * BLOCKS_PAGE_SIZE + content_offset;
}

uint64_t blocks_file_size(uint64_t content_size)
{
    return content_size == 0 ? BLOCKS_PAGE_SIZE : blocks_file_offset(content_size - 1) + 1;
}

struct blocks_entry_place blocks_entry_place(uint64_t block)
{
    uint64_t group = block / BLOCKS_PER_GROUP;
    return (struct blocks_entry_place){
        .page_offset = blocks_file_offset(group * group_content_size) - BLOCKS_PAGE_SIZE,
        .group = (uint32_t)group,
        .index = (uint32_t)(block % BLOCKS_PER_GROUP),
    };
}

bool blocks_extent_next(uint64_t from, uint64_t to, struct blocks_extent *ret)
{
    if (from >= to)
        return false;
    uint64_t group_end = (from / group_content_size + 1) * group_content_size;
    *ret = (struct blocks_extent){from, blocks_file_offset(from), least(to, group_end) - from};
    return true;
}

/* A checksum page; the entries follow the header. */
struct page_header {
    uint32_t magic;
    uint32_t group;
    uint32_t crc; /* of the whole page with this field 0, started with the file's seed */
    uint8_t reserved[20];
};
_Static_assert(sizeof(struct page_header) == BLOCKS_PAGE_HEADER_SIZE, "page header");
_Static_assert(offsetof(struct page_header, crc) == 8, "page header");
_Static_assert(BLOCKS_PER_GROUP == 1016, "entries of a page");

static uint32_t page_crc(const uint8_t *page, uint32_t seed)
{
    static const uint8_t zero[4];
    size_t at = offsetof(struct page_header, crc), after = at + sizeof zero;
    uint32_t crc = crc32_update(seed, page, at);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, page + after, BLOCKS_PAGE_SIZE - after);
}

void blocks_page_seal(uint8_t page[BLOCKS_PAGE_SIZE], uint32_t group, uint32_t seed)
{
    struct page_header header = {.magic = BLOCKS_PAGE_MAGIC, .group = group};
    memcpy(page, &header, sizeof header);
    put_u32(page + offsetof(struct page_header, crc), page_crc(page, seed));
}

err_t blocks_page_verify(const uint8_t page[BLOCKS_PAGE_SIZE], uint32_t group, uint32_t seed)
{
    struct page_header header;
    memcpy(&header, page, sizeof header);
    if (header.magic != BLOCKS_PAGE_MAGIC || header.group != group
        || header.crc != page_crc(page, seed))
        return ERR(CORRUPT, 0);
    return ERR_OK;
}

void blocks_page_put(uint8_t page[BLOCKS_PAGE_SIZE], uint32_t index, uint32_t entry)
{
    CHECK(index < BLOCKS_PER_GROUP);
    put_u32(page + BLOCKS_PAGE_HEADER_SIZE + 4 * (size_t)index, entry);
}

uint32_t blocks_page_get(const uint8_t page[BLOCKS_PAGE_SIZE], uint32_t index)
{
    CHECK(index < BLOCKS_PER_GROUP);
    return get_u32(page + BLOCKS_PAGE_HEADER_SIZE + 4 * (size_t)index);
}
