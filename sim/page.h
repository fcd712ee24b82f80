/* Private to content.c and content_disk.c: pages of a file, and ranges cut into pages.
 *
 * A page owns its buffers; where the cache and the disk agree they share one. */
#ifndef CAIRN_SIM_PAGE_H
#define CAIRN_SIM_PAGE_H

#include "sim/content.h"

#define SIM_ALL_SECTORS 0xffu

/* The sectors of a page that the bytes [from, to) of it touch. */
static inline uint8_t sim_sectors_touched(uint64_t from, uint64_t to)
{
    uint64_t first = from / SIM_SECTOR_SIZE;
    uint64_t end = (to + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
    return (
        uint8_t)((SIM_ALL_SECTORS << first) & (SIM_ALL_SECTORS >> (SIM_SECTORS_PER_PAGE - end)));
}

/* The sectors that [from, to) covers whole. */
static inline uint8_t sim_sectors_covered(uint64_t from, uint64_t to)
{
    uint64_t first = (from + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
    uint64_t end = to / SIM_SECTOR_SIZE;
    if (first >= end)
        return 0;
    return (
        uint8_t)((SIM_ALL_SECTORS << first) & (SIM_ALL_SECTORS >> (SIM_SECTORS_PER_PAGE - end)));
}

/* One page's part of a range. */
struct sim_part {
    uint64_t page;
    uint64_t from, to; /* bytes within the page */
};

static inline struct sim_part sim_part_at(uint64_t offset, uint64_t size)
{
    uint64_t from = offset % SIM_PAGE_SIZE;
    uint64_t left = SIM_PAGE_SIZE - from;
    return (struct sim_part){offset / SIM_PAGE_SIZE, from, from + (size < left ? size : left)};
}

#define SIM_EACH_PART(part, offset, size)                                              \
    for (uint64_t part_done = 0; part_done < (size); part_done = (size))               \
        for (struct sim_part part = sim_part_at((offset), (size)); part_done < (size); \
             part_done += part.to - part.from,                                         \
                             part = sim_part_at((offset) + part_done, (size)-part_done))

/* Dirty sectors that were written at or before `sequence`. */
static inline uint8_t sim_sectors_before(const struct sim_page *page, uint64_t sequence)
{
    uint8_t sectors = 0;
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++)
        if (page->sequence[i] <= sequence)
            sectors |= (uint8_t)BIT(i);
    return sectors & page->dirty;
}

/** NULL: nothing there but zeros. */
struct sim_group *sim_group_get(const struct sim_content *content, uint64_t page);
struct sim_page *sim_page_get(const struct sim_content *content, uint64_t index);
struct sim_page *sim_page_make(struct sim_content *content, uint64_t index);
/** The page and its buffers. */
void sim_page_free(struct sim_content *content, struct sim_page *page);
/** Link or unlink by what the page is now; a page that says nothing more is freed. */
void sim_page_settle(struct sim_content *content, struct sim_page *page);

bool sim_page_is_allocated(const struct sim_content *content, uint64_t index);
void sim_page_set_allocated(struct sim_content *content, uint64_t index, bool is_allocated);

/** A buffer of its own with the bytes of `from`; NULL: zeros. */
uint8_t *sim_page_buffer(struct sim_content *content, const uint8_t *from);
/** Let an image be `buffer`, which the page now owns. */
void sim_page_set_cache(struct sim_content *content, struct sim_page *page, uint8_t *buffer);
void sim_page_set_durable(struct sim_content *content, struct sim_page *page, uint8_t *buffer);

/** Sectors from the cache to the disk image; no flags change. */
void sim_page_store(struct sim_content *content, struct sim_page *page, uint8_t sectors);
/** The disk holds `sectors` as the cache shows them. */
void sim_page_sync(struct sim_content *content, struct sim_page *page, uint8_t sectors);

/** Zeros in the cache; whole pages are no longer allocated. */
void sim_content_zero(struct sim_content *content, uint64_t offset, uint64_t size);

#endif
