/* What of a file is on disk: syncs, damage, power loss. */
#include <string.h>

#include "sim/page.h"

struct sim_snapshot sim_content_sync_begin(struct sim_content *content)
{
    content->syncs++;
    content->sync_sequence = content->sequence;
    return (struct sim_snapshot){content->sequence, content->size, content->size_sequence};
}

static void size_sync(struct sim_content *content, uint64_t size, uint64_t sequence)
{
    if (sequence < content->durable_size_sequence)
        return;
    content->durable_size = size;
    content->durable_size_sequence = sequence;
}

static void allocation_sync(struct sim_content *content)
{
    if (!content->allocation_changed)
        return;
    for (size_t i = 0; i < content->group_count; i++) {
        struct sim_group *group = content->groups[i];
        if (group)
            memcpy(group->allocated_durable, group->allocated, sizeof(group->allocated));
    }
    content->allocation_changed = false;
}

void sim_content_sync_end(struct sim_content *content, const struct sim_snapshot *snapshot)
{
    CHECK(content->syncs > 0);
    content->syncs--;
    LIST_EACH_SAFE (node, &content->unclean) {
        struct sim_page *page = CONTAINER_OF(node, struct sim_page, link);
        sim_page_sync(content, page, sim_sectors_before(page, snapshot->sequence));
    }
    size_sync(content, snapshot->size, snapshot->size_sequence);
    allocation_sync(content);
}

void sim_content_sync_fail(
    struct sim_content *content, const struct sim_snapshot *snapshot, struct prng *prng)
{
    CHECK(content->syncs > 0);
    content->syncs--;
    LIST_EACH_SAFE (node, &content->unclean) {
        struct sim_page *page = CONTAINER_OF(node, struct sim_page, link);
        uint8_t covered = sim_sectors_before(page, snapshot->sequence);
        uint8_t stored = (uint8_t)(prng_next(prng) & covered);
        sim_page_store(content, page, stored);
        page->dirty &= (uint8_t)~covered;
        page->lost |= (uint8_t)(covered & ~stored);
        sim_page_settle(content, page);
    }
}

void sim_content_sync_abandon(struct sim_content *content)
{
    CHECK(content->syncs > 0);
    content->syncs--;
}

void sim_content_sync_range(struct sim_content *content, uint64_t offset, uint64_t size)
{
    SIM_EACH_PART(part, offset, size)
    {
        struct sim_page *page = sim_page_get(content, part.page);
        if (page)
            sim_page_sync(content, page, page->dirty & sim_sectors_touched(part.from, part.to));
    }
    size_sync(content, content->size, content->size_sequence);
    allocation_sync(content);
}

bool sim_content_range_is_durable(const struct sim_content *content, uint64_t offset, uint64_t size)
{
    bool size_is_durable =
        content->durable_size == content->size
        || (offset + size <= content->size && offset + size <= content->durable_size);
    SIM_EACH_PART(part, offset, size)
    {
        const struct sim_page *page = sim_page_get(content, part.page);
        if (page && ((page->dirty | page->lost) & sim_sectors_touched(part.from, part.to)))
            return false;
    }
    return size_is_durable;
}

bool sim_content_range_is_bad(
    const struct sim_content *content, uint64_t offset, uint64_t size, bool partial_only)
{
    SIM_EACH_PART(part, offset, size)
    {
        const struct sim_page *page = sim_page_get(content, part.page);
        uint8_t sectors = sim_sectors_touched(part.from, part.to);
        if (partial_only)
            sectors &= (uint8_t)~sim_sectors_covered(part.from, part.to);
        if (page && (page->bad & sectors))
            return true;
    }
    return false;
}

void sim_content_make_bad(struct sim_content *content, uint64_t offset, uint64_t size)
{
    SIM_EACH_PART(part, offset, size)
    sim_page_make(content, part.page)->bad |= sim_sectors_touched(part.from, part.to);
}

void sim_content_corrupt(
    struct sim_content *content, uint64_t offset, const uint8_t *data, uint64_t size)
{
    SIM_EACH_PART(part, offset, size)
    {
        struct sim_page *page = sim_page_make(content, part.page);
        uint8_t unclean = page->dirty | page->lost;
        if (!page->durable)
            page->durable = sim_page_buffer(content, NULL);
        if (unclean == 0)
            sim_page_set_cache(content, page, page->durable);
        else if (!page->cache)
            page->cache = sim_page_buffer(content, NULL);
        for (uint64_t at = part.from; at < part.to; at++) {
            page->durable[at] = data[part_done + at - part.from];
            if (!(unclean & BIT(at / SIM_SECTOR_SIZE)))
                page->cache[at] = page->durable[at];
        }
    }
}

static uint64_t size_after_crash(
    const struct sim_content *content, const struct sim_loss *loss, struct prng *prng)
{
    uint64_t old = content->durable_size, new = content->size;
    if (old == new)
        return old;
    if (!prng_chance(prng, loss->keep_per_million))
        return old;
    bool is_whole = loss->keep_per_million >= 1000000 || new < old || prng_chance(prng, 500000);
    return is_whole ? new : old + prng_below(prng, new - old + 1);
}

/* A sector that was being written: its beginning is new, its end old. */
static void sector_tear(
    struct sim_content *content, struct sim_page *page, unsigned sector, struct prng *prng)
{
    if (!page->durable)
        page->durable = sim_page_buffer(content, NULL);
    size_t at = (size_t)sector * SIM_SECTOR_SIZE, size = (size_t)prng_below(prng, SIM_SECTOR_SIZE);
    if (page->cache)
        memcpy(page->durable + at, page->cache + at, size);
    else
        memset(page->durable + at, 0, size);
}

static void page_crash(struct sim_content *content, struct sim_page *page,
    const struct sim_loss *loss, struct prng *prng)
{
    bool keeps_page = prng_chance(prng, loss->keep_per_million);
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++) {
        if (!(page->dirty & BIT(i)))
            continue;
        bool keeps = loss->by_page ? keeps_page : prng_chance(prng, loss->keep_per_million);
        if (content->syncs > 0 && prng_chance(prng, loss->tear_per_million))
            sector_tear(content, page, i, prng);
        else if (keeps)
            sim_page_store(content, page, (uint8_t)BIT(i));
    }
    page->dirty = page->lost = 0;
    sim_page_set_cache(content, page, page->durable);
    sim_page_settle(content, page);
}

static void allocation_crash(struct sim_content *content, bool keeps)
{
    content->pages_allocated = 0;
    for (size_t g = 0; g < content->group_count; g++) {
        struct sim_group *group = content->groups[g];
        if (!group)
            continue;
        if (!keeps)
            memcpy(group->allocated, group->allocated_durable, sizeof(group->allocated));
        for (size_t i = 0; i < SIM_GROUP_PAGES; i++)
            if (group->pages[i] && group->pages[i]->cache)
                group->allocated[i / 64] |= UINT64_C(1) << (i % 64);
        for (size_t i = 0; i < ARRAY_LEN(group->allocated); i++)
            content->pages_allocated += (uint64_t)__builtin_popcountll(group->allocated[i]);
        memcpy(group->allocated_durable, group->allocated, sizeof(group->allocated));
    }
    content->allocation_changed = false;
}

void sim_content_crash(struct sim_content *content, const struct sim_loss *loss, struct prng *prng)
{
    bool is_settled = list_is_empty(&content->unclean) && !content->allocation_changed
                      && content->size == content->durable_size;
    content->syncs = is_settled ? 0 : content->syncs;
    if (is_settled)
        return;
    content->size = size_after_crash(content, loss, prng);
    LIST_EACH_SAFE (node, &content->unclean)
        page_crash(content, CONTAINER_OF(node, struct sim_page, link), loss, prng);
    content->syncs = 0;
    allocation_crash(
        content, !content->allocation_changed || prng_chance(prng, loss->keep_per_million));
    uint64_t end = content->group_count * SIM_GROUP_PAGES * (uint64_t)SIM_PAGE_SIZE;
    if (content->size < end) /* nothing beyond the end survives */
        sim_content_zero(content, content->size, end - content->size);
    content->size_sequence = ++content->sequence;
    struct sim_snapshot all = sim_content_sync_begin(content);
    sim_content_sync_end(content, &all);
}
