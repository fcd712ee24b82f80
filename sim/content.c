#include "sim/content.h"

#include <string.h>

#define ALL_SECTORS 0xffu

static uint64_t minimum(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* The sectors of a page that the bytes [from, to) of it touch. */
static uint8_t sectors_touched(uint64_t from, uint64_t to)
{
    uint64_t first = from / SIM_SECTOR_SIZE;
    uint64_t end = (to + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
    return (uint8_t)((ALL_SECTORS << first) & (ALL_SECTORS >> (SIM_SECTORS_PER_PAGE - end)));
}

/* The sectors that [from, to) covers whole. */
static uint8_t sectors_covered(uint64_t from, uint64_t to)
{
    uint64_t first = (from + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
    uint64_t end = to / SIM_SECTOR_SIZE;
    if (first >= end)
        return 0;
    return (uint8_t)((ALL_SECTORS << first) & (ALL_SECTORS >> (SIM_SECTORS_PER_PAGE - end)));
}

/* One page's part of a range. */
struct part {
    uint64_t page;
    uint64_t from, to; /* bytes within the page */
};

static struct part part_at(uint64_t offset, uint64_t size)
{
    uint64_t from = offset % SIM_PAGE_SIZE;
    return (struct part){offset / SIM_PAGE_SIZE, from, from + minimum(size, SIM_PAGE_SIZE - from)};
}

#define EACH_PART(part, offset, size)                                          \
    for (uint64_t part_done = 0; part_done < (size); part_done = (size))       \
        for (struct part part = part_at((offset), (size)); part_done < (size); \
             part_done += part.to - part.from,                                 \
                         part = part_at((offset) + part_done, (size)-part_done))

static struct sim_group *group_get(const struct sim_content *content, uint64_t page)
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

static struct sim_page *page_get(const struct sim_content *content, uint64_t index)
{
    struct sim_group *group = group_get(content, index);
    return group ? group->pages[index % SIM_GROUP_PAGES] : NULL;
}

static struct sim_page *page_make(struct sim_content *content, uint64_t index)
{
    struct sim_page **slot = &group_make(content, index)->pages[index % SIM_GROUP_PAGES];
    if (!*slot) {
        *slot = SIM_NEW(struct sim_page);
        (*slot)->index = index;
    }
    return *slot;
}

static bool page_is_allocated(const struct sim_content *content, uint64_t index)
{
    struct sim_group *group = group_get(content, index);
    uint64_t bit = index % SIM_GROUP_PAGES;
    return group && (group->allocated[bit / 64] >> (bit % 64) & 1);
}

static void page_set_allocated(struct sim_content *content, uint64_t index, bool is_allocated)
{
    if (page_is_allocated(content, index) == is_allocated)
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

static uint8_t *buffer_copy(struct sim_content *content, const uint8_t *from)
{
    uint8_t *buffer = sim_blocks_take(content->buffers);
    if (from)
        memcpy(buffer, from, SIM_PAGE_SIZE);
    else
        memset(buffer, 0, SIM_PAGE_SIZE);
    return buffer;
}

/* Let the cache be `buffer`, which the page now owns. */
static void page_set_cache(struct sim_content *content, struct sim_page *page, uint8_t *buffer)
{
    if (page->cache != page->durable)
        buffer_give(content, page->cache);
    page->cache = buffer;
}

static void page_set_durable(struct sim_content *content, struct sim_page *page, uint8_t *buffer)
{
    if (page->durable != page->cache)
        buffer_give(content, page->durable);
    page->durable = buffer;
}

/* Link or unlink by what the page is now; a page that says nothing more is freed. */
static void page_settle(struct sim_content *content, struct sim_page *page)
{
    bool is_unclean = (page->dirty | page->lost) != 0;
    if (is_unclean && !list_is_linked(&page->link))
        list_push_back(&content->unclean, &page->link);
    if (!is_unclean && list_is_linked(&page->link))
        list_remove(&page->link);
    if (is_unclean || page->bad || page->cache || page->durable)
        return;
    group_get(content, page->index)->pages[page->index % SIM_GROUP_PAGES] = NULL;
    sim_free(page);
}

/* Sectors from the cache to the disk image; no flags change. */
static void page_store(struct sim_content *content, struct sim_page *page, uint8_t sectors)
{
    if (sectors == 0 || page->cache == page->durable)
        return;
    if (!page->durable)
        page->durable = buffer_copy(content, NULL);
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

/* The disk holds `sectors` as the cache shows them. */
static void page_sync(struct sim_content *content, struct sim_page *page, uint8_t sectors)
{
    if (page->dirty == sectors && page->lost == 0)
        page_set_durable(content, page, page->cache); /* no difference is left: share */
    else
        page_store(content, page, sectors);
    page->dirty &= (uint8_t)~sectors;
    page_settle(content, page);
}

void sim_content_init(struct sim_content *content, struct sim_blocks *buffers)
{
    *content = (struct sim_content){.buffers = buffers};
    list_init(&content->unclean);
}

static void page_free(struct sim_content *content, struct sim_page *page)
{
    page_set_cache(content, page, NULL);
    page_set_durable(content, page, NULL);
    page->dirty = page->lost = page->bad = 0;
    page_settle(content, page);
}

void sim_content_clear(struct sim_content *content)
{
    for (size_t g = 0; g < content->group_count; g++) {
        struct sim_group *group = content->groups[g];
        for (size_t i = 0; group && i < SIM_GROUP_PAGES; i++)
            if (group->pages[i])
                page_free(content, group->pages[i]);
        sim_free(group);
    }
    sim_free(content->groups);
    sim_content_init(content, content->buffers);
}

static void image_read(const struct sim_content *content, uint64_t offset, uint8_t *ret_data,
    uint64_t size, bool is_durable)
{
    EACH_PART(part, offset, size)
    {
        const struct sim_page *page = page_get(content, part.page);
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
    EACH_PART(part, offset, size)
    {
        if (page_is_allocated(content, part.page))
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

static uint8_t sectors_before(const struct sim_page *page, uint64_t sequence)
{
    uint8_t sectors = 0;
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++)
        if (page->sequence[i] <= sequence)
            sectors |= (uint8_t)BIT(i);
    return sectors & page->dirty;
}

/* Sectors about to change may have reached the disk as they were: surely if a sync that covers
 * them is in flight, else by chance (no prng: not). */
static void page_write_back(struct sim_content *content, struct sim_page *page, uint8_t sectors,
    struct prng *prng, uint32_t per_million)
{
    if (!(sectors & page->dirty))
        return;
    if (content->syncs > 0)
        page_store(content, page, sectors & sectors_before(page, content->sync_sequence));
    if (prng && prng_chance(prng, per_million))
        page_store(content, page, sectors & page->dirty);
}

static void page_mark_dirty(
    struct sim_content *content, struct sim_page *page, uint64_t from, uint64_t to)
{
    uint8_t sectors = sectors_touched(from, to);
    for (unsigned i = 0; i < SIM_SECTORS_PER_PAGE; i++)
        if (sectors & BIT(i))
            page->sequence[i] = content->sequence;
    page->dirty |= sectors;
    page->lost &= (uint8_t)~sectors;
    page->bad &= (uint8_t)~sectors_covered(from, to);
    page_settle(content, page);
}

/* data NULL: zeros. */
static void page_write(struct sim_content *content, struct sim_page *page, const struct part *part,
    const uint8_t *data)
{
    size_t size = (size_t)(part->to - part->from);
    if (size == SIM_PAGE_SIZE) {
        bool is_owned = page->cache && page->cache != page->durable;
        if (!data || is_zero(data, size))
            page_set_cache(content, page, NULL);
        else if (is_owned)
            memcpy(page->cache, data, size);
        else
            page->cache = memcpy(sim_blocks_take(content->buffers), data, size);
    } else {
        if (!page->cache || page->cache == page->durable)
            page->cache = buffer_copy(content, page->cache);
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
    EACH_PART(part, offset, size)
    {
        const uint8_t *from = data + part_done;
        page_set_allocated(content, part.page, true);
        struct sim_page *page = page_get(content, part.page);
        if (!page && is_zero(from, (size_t)(part.to - part.from)))
            continue; /* zeros over zeros: both images agree */
        page = page_make(content, part.page);
        page_write_back(
            content, page, sectors_touched(part.from, part.to), prng, writeback_per_million);
        page_write(content, page, &part, from);
    }
    if (offset + size > content->size)
        content_set_size(content, offset + size);
}

void sim_content_allocate(struct sim_content *content, uint64_t offset, uint64_t size)
{
    content->sequence++;
    EACH_PART(part, offset, size)
    page_set_allocated(content, part.page, true);
    if (offset + size > content->size)
        content_set_size(content, offset + size);
}

static void range_zero(struct sim_content *content, uint64_t offset, uint64_t size)
{
    EACH_PART(part, offset, size)
    {
        if (part.to - part.from == SIM_PAGE_SIZE)
            page_set_allocated(content, part.page, false);
        if (!group_get(content, part.page)) { /* skip to the next group */
            uint64_t left = SIM_GROUP_PAGES - part.page % SIM_GROUP_PAGES - 1;
            part_done += minimum(left * SIM_PAGE_SIZE, size - part_done - (part.to - part.from));
            continue;
        }
        struct sim_page *page = page_get(content, part.page);
        if (!page)
            continue;
        page_write_back(content, page, sectors_touched(part.from, part.to), NULL, 0);
        page_write(content, page, &part, NULL);
    }
}

void sim_content_punch(struct sim_content *content, uint64_t offset, uint64_t size)
{
    content->sequence++;
    if (offset >= content->size)
        return;
    range_zero(content, offset, minimum(size, content->size - offset));
}

void sim_content_resize(struct sim_content *content, uint64_t size)
{
    content->sequence++;
    if (size < content->size) {
        uint64_t pages = (content->size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE;
        range_zero(content, size, pages * SIM_PAGE_SIZE - size);
    }
    content_set_size(content, size);
}

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
        page_sync(content, page, sectors_before(page, snapshot->sequence));
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
        uint8_t covered = sectors_before(page, snapshot->sequence);
        uint8_t stored = (uint8_t)(prng_next(prng) & covered);
        page_store(content, page, stored);
        page->dirty &= (uint8_t)~covered;
        page->lost |= (uint8_t)(covered & ~stored);
        page_settle(content, page);
    }
}

void sim_content_sync_abandon(struct sim_content *content)
{
    CHECK(content->syncs > 0);
    content->syncs--;
}

void sim_content_sync_range(struct sim_content *content, uint64_t offset, uint64_t size)
{
    EACH_PART(part, offset, size)
    {
        struct sim_page *page = page_get(content, part.page);
        if (page)
            page_sync(content, page, page->dirty & sectors_touched(part.from, part.to));
    }
    size_sync(content, content->size, content->size_sequence);
    allocation_sync(content);
}

bool sim_content_range_is_durable(const struct sim_content *content, uint64_t offset, uint64_t size)
{
    bool size_is_durable =
        content->durable_size == content->size
        || (offset + size <= content->size && offset + size <= content->durable_size);
    EACH_PART(part, offset, size)
    {
        const struct sim_page *page = page_get(content, part.page);
        if (page && ((page->dirty | page->lost) & sectors_touched(part.from, part.to)))
            return false;
    }
    return size_is_durable;
}

bool sim_content_range_is_bad(
    const struct sim_content *content, uint64_t offset, uint64_t size, bool partial_only)
{
    EACH_PART(part, offset, size)
    {
        const struct sim_page *page = page_get(content, part.page);
        uint8_t sectors = sectors_touched(part.from, part.to);
        if (partial_only)
            sectors &= (uint8_t)~sectors_covered(part.from, part.to);
        if (page && (page->bad & sectors))
            return true;
    }
    return false;
}

void sim_content_make_bad(struct sim_content *content, uint64_t offset, uint64_t size)
{
    EACH_PART(part, offset, size)
    page_make(content, part.page)->bad |= sectors_touched(part.from, part.to);
}

void sim_content_corrupt(
    struct sim_content *content, uint64_t offset, const uint8_t *data, uint64_t size)
{
    EACH_PART(part, offset, size)
    {
        struct sim_page *page = page_make(content, part.page);
        uint8_t unclean = page->dirty | page->lost;
        if (!page->durable)
            page->durable = buffer_copy(content, NULL);
        if (unclean == 0)
            page_set_cache(content, page, page->durable);
        else if (!page->cache)
            page->cache = buffer_copy(content, NULL);
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
        page->durable = buffer_copy(content, NULL);
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
            page_store(content, page, (uint8_t)BIT(i));
    }
    page->dirty = page->lost = 0;
    page_set_cache(content, page, page->durable);
    page_settle(content, page);
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
        range_zero(content, content->size, end - content->size);
    content->size_sequence = ++content->sequence;
    struct sim_snapshot all = sim_content_sync_begin(content);
    sim_content_sync_end(content, &all);
}
