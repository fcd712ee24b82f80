/* Content that is laid down front to back: how it is split around checksum pages, the checksums of
 * its blocks, and which entries are still to be written. Pure.
 *
 * It begins at the start of a file or behind the committed end of one. In the second case the entry
 * of the block that was partial is kept apart: on disk it covers committed bytes until the change is
 * committed. The entries of all other blocks are nobody's yet and may be written at any time. */
#ifndef CAIRN_DISK_SINGLE_FILL_H
#define CAIRN_DISK_SINGLE_FILL_H

#include "disk/blocks.h"

#define FILL_GROUP_SIZE ((uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE) /* of content */

struct single_fill {
    uint8_t *page;     /* BLOCKS_PAGE_SIZE, lent: checksum page of the group that is being filled */
    uint64_t begin;    /* content offset where it began */
    uint64_t position; /* content offset behind what was taken so far */
    uint32_t begin_crc; /* of the content [0, begin) */
    uint32_t crc;       /* of the content [0, position) */
    uint32_t block_crc; /* of the block that is being filled, from its start */
    uint32_t group;
    uint32_t clean;       /* entries of the group below this index need not be written */
    uint32_t partial_crc; /* the new entry of the block that was partial at begin */
};

/** At `size` bytes of content with checksum `crc`; `partial_entry`: of the last block, if partial. */
void fill_begin(
    struct single_fill *fill, uint8_t *page, uint64_t size, uint32_t crc, uint32_t partial_entry);

/** Take a piece from the front of `content` (not empty): as much as lies in one piece in the file.
 * It is to be written at *ret_offset of the file. */
struct span fill_take(struct single_fill *fill, struct span *content, uint64_t *ret_offset);
/** Take up to `size` zeros, at most to the end of the group; returns how many. */
uint64_t fill_take_zeros(struct single_fill *fill, uint64_t size);

/** The checksum of what was taken. */
uint32_t fill_fresh_crc(const struct single_fill *fill);
/** The checksum of `size` zeros. */
uint32_t fill_zeros_crc(uint64_t size);

/** Is the group full? Then its entries are to be written before more is taken. */
bool fill_is_group_full(const struct single_fill *fill);
/** Entries that were not written yet: *ret_bytes goes to *ret_offset of the file. False: none. Each
 * is told once, so ask only at the end of a group and of the content. */
bool fill_flush(struct single_fill *fill, struct span *ret_bytes, uint64_t *ret_offset);

/** Was a block partial at begin, and did it grow? Then its entry belongs in the record. */
static inline bool fill_has_partial(const struct single_fill *fill)
{
    return fill->begin % BLOCK_SIZE != 0 && fill->position > fill->begin;
}

#endif
