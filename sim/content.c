/* The page cache of a file. */
#include "sim/content.h"

#include <string.h>

#include "sim/page.h"

static uint64_t minimum(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

void sim_content_init(struct sim_content *content, struct sim_blocks *buffers)
{
    *content = (struct sim_content){.buffers = buffers};
    list_init(&content->unclean);
}

void sim_content_clear(struct sim_content *content)
{
    for (size_t g = 0; g < content->group_count; g++) {
        struct sim_group *group = content->groups[g];
        for (size_t i = 0; group && i < SIM_GROUP_PAGES; i++)
            if (group->pages[i])
                sim_page_free(content, group->pages[i]);
        sim_free(group);
    }
    sim_free(content->groups);
    sim_content_init(content, content->buffers);
}

static void image_read(const struct sim_content *content, uint64_t offset, uint8_t *ret_data,
    uint64_t size, bool is_durable)
{
    SIM_EACH_PART(part, offset, size)
    {
        const struct sim_page *page = sim_page_get(content, part.page);
        const uint8_t *buffer = !page ? NULL : is_durable ? page->durable : page->cache;
        if (buffer)
            memcpy(ret_data + part_done, buffer + part.from, part.to - part.from);
        else
            memset(ret_data + part_done, 0, part.to - part.from);
    }
}

void sim_content_read(
    const struct sim_content *content, uint64_t offset, uint8_t *ret_data, uint64_t size)
{
    image_read(content, offset, ret_data, size, false);
}

void sim_content_read_durable(
    const struct sim_content *content, uint64_t offset, uint8_t *ret_data, uint64_t size)
{
    image_read(content, offset, ret_data, size, true);
}

uint64_t sim_content_fitting(
    const struct sim_content *content, uint64_t offset, uint64_t size, uint64_t pages)
{
    SIM_EACH_PART(part, offset, size)
    {
        if (sim_page_is_allocated(content, part.page))
            continue;
        if (pages == 0)
            return part_done;
        pages--;
    }
    return size;
}

static void content_set_size(struct sim_content *content, uint64_t size)
{
    if (size == content->size)
        return;
    content->size = size;
    content->size_sequence = content->sequence;
}

/* Sectors about to change may have reached the disk as they were: surely if a sync that covers
 * them is in flight, else by chance (no prng: not). */
static void page_write_back(struct sim_content *content, struct sim_page *page, uint8_t sectors,
    struct prng *prng, uint32_t per_million)
{
    if (!(sectors & page->dirty))
        return;
    if (content->syncs > 0)
        sim_page_store(content, page, sectors & sim_sectors_before(page, content->sync_sequence));
    if (prng && prng_chance(prng, per_million))
        sim_page_store(content, page, sectors & page->dirty);
}

static void page_mark_dirty(
    struct sim_content *content, struct sim_page *page, uint64_t from, uint64_t to)
{
    uint8_t sectors = sim_sectors_touched(from, to);
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++)
        if (sectors & BIT(i))
            page->sequence[i] = content->sequence;
    page->dirty |= sectors;
    page->lost &= (uint8_t)~sectors;
    page->bad &= (uint8_t)~sim_sectors_covered(from, to);
    sim_page_settle(content, page);
}

/* data NULL: zeros. */
static void page_write(struct sim_content *content, struct sim_page *page,
    const struct sim_part *part, const uint8_t *data)
{
    size_t size = (size_t)(part->to - part->from);
    if (size == SIM_PAGE_SIZE) {
        bool is_owned = page->cache && page->cache != page->durable;
        if (!data || is_zero(data, size))
            sim_page_set_cache(content, page, NULL);
        else if (is_owned)
            memcpy(page->cache, data, size);
        else
            page->cache = memcpy(sim_blocks_take(content->buffers), data, size);
    } else {
        if (!page->cache || page->cache == page->durable)
            page->cache = sim_page_buffer(content, page->cache);
        if (data)
            memcpy(page->cache + part->from, data, size);
        else
            memset(page->cache + part->from, 0, size);
    }
    page_mark_dirty(content, page, part->from, part->to);
}

void sim_content_write(struct sim_content *content, uint64_t offset, const uint8_t *data,
    uint64_t size, struct prng *prng, uint32_t writeback_per_million)
{
    content->sequence++;
    SIM_EACH_PART(part, offset, size)
    {
        const uint8_t *from = data + part_done;
        sim_page_set_allocated(content, part.page, true);
        struct sim_page *page = sim_page_get(content, part.page);
        if (!page && is_zero(from, (size_t)(part.to - part.from)))
            continue; /* zeros over zeros: both images agree */
        page = sim_page_make(content, part.page);
        page_write_back(
            content, page, sim_sectors_touched(part.from, part.to), prng, writeback_per_million);
        page_write(content, page, &part, from);
    }
    if (offset + size > content->size)
        content_set_size(content, offset + size);
}

void sim_content_allocate(struct sim_content *content, uint64_t offset, uint64_t size)
{
    content->sequence++;
    SIM_EACH_PART(part, offset, size)
    sim_page_set_allocated(content, part.page, true);
    if (offset + size > content->size)
        content_set_size(content, offset + size);
}

void sim_content_zero(struct sim_content *content, uint64_t offset, uint64_t size)
{
    SIM_EACH_PART(part, offset, size)
    {
        if (part.to - part.from == SIM_PAGE_SIZE)
            sim_page_set_allocated(content, part.page, false);
        if (!sim_group_get(content, part.page)) { /* skip to the next group */
            uint64_t left = SIM_GROUP_PAGES - part.page % SIM_GROUP_PAGES - 1;
            part_done += minimum(left * SIM_PAGE_SIZE, size - part_done - (part.to - part.from));
            continue;
        }
        struct sim_page *page = sim_page_get(content, part.page);
        if (!page)
            continue;
        page_write_back(content, page, sim_sectors_touched(part.from, part.to), NULL, 0);
        page_write(content, page, &part, NULL);
    }
}

void sim_content_punch(struct sim_content *content, uint64_t offset, uint64_t size)
{
    content->sequence++;
    if (offset >= content->size)
        return;
    sim_content_zero(content, offset, minimum(size, content->size - offset));
}

void sim_content_resize(struct sim_content *content, uint64_t size)
{
    content->sequence++;
    if (size < content->size) {
        uint64_t pages = (content->size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE;
        sim_content_zero(content, size, pages * SIM_PAGE_SIZE - size);
    }
    content_set_size(content, size);
}
