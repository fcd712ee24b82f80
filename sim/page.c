#include "sim/page.h"

#include <string.h>

struct sim_group *sim_group_get(const struct sim_content *content, uint64_t page)
{
    uint64_t index = page / SIM_GROUP_PAGES;
    return index < content->group_count ? content->groups[index] : NULL;
}

static struct sim_group *group_make(struct sim_content *content, uint64_t page)
{
    size_t index = (size_t)(page / SIM_GROUP_PAGES);
    if (index >= content->group_count) {
        size_t count = index + 1 < 2 * content->group_count ? 2 * content->group_count : index + 1;
        content->groups = sim_grow(content->groups, count * sizeof(struct sim_group *));
        memset(content->groups + content->group_count, 0,
            (count - content->group_count) * sizeof(struct sim_group *));
        content->group_count = count;
    }
    if (!content->groups[index])
        content->groups[index] = SIM_NEW(struct sim_group);
    return content->groups[index];
}

struct sim_page *sim_page_get(const struct sim_content *content, uint64_t index)
{
    struct sim_group *group = sim_group_get(content, index);
    return group ? group->pages[index % SIM_GROUP_PAGES] : NULL;
}

struct sim_page *sim_page_make(struct sim_content *content, uint64_t index)
{
    struct sim_page **slot = &group_make(content, index)->pages[index % SIM_GROUP_PAGES];
    if (!*slot) {
        *slot = SIM_NEW(struct sim_page);
        (*slot)->index = index;
    }
    return *slot;
}

bool sim_page_is_allocated(const struct sim_content *content, uint64_t index)
{
    struct sim_group *group = sim_group_get(content, index);
    uint64_t bit = index % SIM_GROUP_PAGES;
    return group && (group->allocated[bit / 64] >> (bit % 64) & 1);
}

void sim_page_set_allocated(struct sim_content *content, uint64_t index, bool is_allocated)
{
    if (sim_page_is_allocated(content, index) == is_allocated)
        return;
    uint64_t bit = index % SIM_GROUP_PAGES;
    group_make(content, index)->allocated[bit / 64] ^= UINT64_C(1) << (bit % 64);
    content->pages_allocated += is_allocated ? 1 : UINT64_MAX;
    content->allocation_changed = true;
}

static void buffer_give(struct sim_content *content, uint8_t *buffer)
{
    if (buffer)
        sim_blocks_give(content->buffers, buffer);
}

uint8_t *sim_page_buffer(struct sim_content *content, const uint8_t *from)
{
    uint8_t *buffer = sim_blocks_take(content->buffers);
    if (from)
        memcpy(buffer, from, SIM_PAGE_SIZE);
    else
        memset(buffer, 0, SIM_PAGE_SIZE);
    return buffer;
}

void sim_page_set_cache(struct sim_content *content, struct sim_page *page, uint8_t *buffer)
{
    if (page->cache != page->durable)
        buffer_give(content, page->cache);
    page->cache = buffer;
}

void sim_page_set_durable(struct sim_content *content, struct sim_page *page, uint8_t *buffer)
{
    if (page->durable != page->cache)
        buffer_give(content, page->durable);
    page->durable = buffer;
}

void sim_page_settle(struct sim_content *content, struct sim_page *page)
{
    bool is_unclean = (page->dirty | page->lost) != 0;
    if (is_unclean && !list_is_linked(&page->link))
        list_push_back(&content->unclean, &page->link);
    if (!is_unclean && list_is_linked(&page->link))
        list_remove(&page->link);
    if (is_unclean || page->bad || page->cache || page->durable)
        return;
    sim_group_get(content, page->index)->pages[page->index % SIM_GROUP_PAGES] = NULL;
    sim_free(page);
}

void sim_page_store(struct sim_content *content, struct sim_page *page, uint8_t sectors)
{
    if (sectors == 0 || page->cache == page->durable)
        return;
    if (!page->durable)
        page->durable = sim_page_buffer(content, NULL);
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++) {
        if (!(sectors & BIT(i)))
            continue;
        uint8_t *to = page->durable + (size_t)i * SIM_SECTOR_SIZE;
        if (page->cache)
            memcpy(to, page->cache + (size_t)i * SIM_SECTOR_SIZE, SIM_SECTOR_SIZE);
        else
            memset(to, 0, SIM_SECTOR_SIZE);
    }
}

void sim_page_sync(struct sim_content *content, struct sim_page *page, uint8_t sectors)
{
    if (page->dirty == sectors && page->lost == 0)
        sim_page_set_durable(content, page, page->cache); /* no difference is left: share */
    else
        sim_page_store(content, page, sectors);
    page->dirty &= (uint8_t)~sectors;
    sim_page_settle(content, page);
}

void sim_page_free(struct sim_content *content, struct sim_page *page)
{
    sim_page_set_cache(content, page, NULL);
    sim_page_set_durable(content, page, NULL);
    page->dirty = page->lost = page->bad = 0;
    sim_page_settle(content, page);
}
