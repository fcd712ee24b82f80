#include "disk/single_fill.h"

#include "base/crc.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Zeros run through the CRC's register leave its inverted start shifted. */
uint32_t fill_zeros_crc(uint64_t size)
{
    return crc32_combine(UINT32_MAX, 0, size) ^ UINT32_MAX;
}

static void group_begin(struct single_fill *fill, uint32_t group)
{
    fill->group = group;
    fill->clean = 0;
    memset(fill->page, 0, BLOCKS_PAGE_SIZE);
}

void fill_begin(
    struct single_fill *fill, uint8_t *page, uint64_t size, uint32_t crc, uint32_t partial_entry)
{
    bool is_partial = size % BLOCK_SIZE != 0;
    *fill = (struct single_fill){
        .page = page,
        .begin = size,
        .position = size,
        .begin_crc = crc,
        .crc = crc,
        .block_crc = is_partial ? partial_entry : 0,
    };
    struct blocks_entry_place place = blocks_entry_place(size / BLOCK_SIZE);
    group_begin(fill, place.group);
    fill->clean = place.index + is_partial;
}

/* The next group begins with the first byte that is taken into it. */
static uint64_t room_in_group(struct single_fill *fill)
{
    if (fill_is_group_full(fill))
        group_begin(fill, fill->group + 1);
    return (fill->group + 1) * FILL_GROUP_SIZE - fill->position;
}

/* `size` bytes, with checksum `crc`, have come to the block at position. */
static void block_add(struct single_fill *fill, uint32_t crc, uint32_t size)
{
    bool is_start = fill->position % BLOCK_SIZE == 0;
    uint64_t block = fill->position / BLOCK_SIZE;
    fill->block_crc = is_start ? crc : crc32_combine(fill->block_crc, crc, size);
    fill->crc = crc32_combine(fill->crc, crc, size);
    fill->position += size;
    blocks_page_put(fill->page, (uint32_t)(block % BLOCKS_PER_GROUP), fill->block_crc);
    if (block == fill->begin / BLOCK_SIZE)
        fill->partial_crc = fill->block_crc;
}

struct span fill_take(struct single_fill *fill, struct span *content, uint64_t *ret_offset)
{
    CHECK(content->size > 0);
    struct span piece = span_of(content->data, least(content->size, room_in_group(fill)));
    *content = span_of(content->data + piece.size, content->size - piece.size);
    *ret_offset = blocks_file_offset(fill->position);
    for (size_t at = 0; at < piece.size;) {
        uint32_t size = (uint32_t)least(piece.size - at, BLOCK_SIZE - fill->position % BLOCK_SIZE);
        block_add(fill, crc32_update(0, piece.data + at, size), size);
        at += size;
    }
    return piece;
}

uint64_t fill_take_zeros(struct single_fill *fill, uint64_t size)
{
    uint64_t taken = least(size, room_in_group(fill));
    uint32_t whole = fill_zeros_crc(BLOCK_SIZE);
    for (uint64_t at = 0; at < taken;) {
        uint32_t piece = (uint32_t)least(taken - at, BLOCK_SIZE - fill->position % BLOCK_SIZE);
        block_add(fill, piece == BLOCK_SIZE ? whole : fill_zeros_crc(piece), piece);
        at += piece;
    }
    return taken;
}

uint32_t fill_fresh_crc(const struct single_fill *fill)
{
    return fill->crc ^ crc32_combine(fill->begin_crc, 0, fill->position - fill->begin);
}

bool fill_is_group_full(const struct single_fill *fill)
{
    return fill->position == (fill->group + 1) * FILL_GROUP_SIZE;
}

bool fill_flush(struct single_fill *fill, struct span *ret_bytes, uint64_t *ret_offset)
{
    uint64_t first = (uint64_t)fill->group * BLOCKS_PER_GROUP;
    uint64_t count = blocks_count(fill->position);
    uint32_t end = count > first ? (uint32_t)(count - first) : 0;
    if (end <= fill->clean)
        return false;
    /* a page that begins here is written whole, so that no old bytes are in it */
    size_t from = fill->clean == 0 ? 0 : BLOCKS_PAGE_HEADER_SIZE + 4 * (size_t)fill->clean;
    size_t to = fill->clean == 0 ? BLOCKS_PAGE_SIZE : BLOCKS_PAGE_HEADER_SIZE + 4 * (size_t)end;
    *ret_bytes = span_of(fill->page + from, to - from);
    *ret_offset = blocks_entry_place(first).page_offset + from;
    fill->clean = end;
    return true;
}
