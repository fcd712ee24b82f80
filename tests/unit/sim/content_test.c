/* The two images of a file, against a plain model: an array of bytes per image. */
#include "sim/content.h"
#include "tests/lib/test.h"

enum { SIZE_MAX_HERE = 5 * SIM_PAGE_SIZE };

struct model {
    uint8_t now[SIZE_MAX_HERE];
    uint64_t size;
};

struct rig {
    struct sim_blocks pages;
    struct sim_content content;
    struct prng prng;
    struct model model;
    uint32_t writeback_per_million;
};

static void rig_open(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){.pages.size = SIM_PAGE_SIZE};
    sim_content_init(&rig->content, &rig->pages);
    prng_init(&rig->prng, seed);
}

static void rig_close(struct rig *rig)
{
    sim_content_clear(&rig->content);
    sim_blocks_clear(&rig->pages);
}

static void rig_write(struct rig *rig)
{
    uint8_t data[SIZE_MAX_HERE];
    uint64_t offset = prng_below(&rig->prng, SIZE_MAX_HERE);
    uint64_t size = 1 + prng_below(&rig->prng, SIZE_MAX_HERE - offset);
    if (prng_chance(&rig->prng, 300000)) { /* whole pages, often of zeros */
        offset -= offset % SIM_PAGE_SIZE;
        size = SIM_PAGE_SIZE;
    }
    memset(data, (int)prng_below(&rig->prng, 3), size);
    sim_content_write(&rig->content, offset, data, size, &rig->prng, rig->writeback_per_million);
    memcpy(rig->model.now + offset, data, size);
    if (offset + size > rig->model.size)
        rig->model.size = offset + size;
}

static void rig_resize(struct rig *rig)
{
    uint64_t size = prng_below(&rig->prng, SIZE_MAX_HERE + 1);
    sim_content_resize(&rig->content, size);
    if (size < rig->model.size)
        memset(rig->model.now + size, 0, SIZE_MAX_HERE - size);
    rig->model.size = size;
}

static void rig_punch(struct rig *rig)
{
    uint64_t offset = prng_below(&rig->prng, SIZE_MAX_HERE);
    uint64_t size = prng_below(&rig->prng, SIZE_MAX_HERE - offset) + 1;
    sim_content_punch(&rig->content, offset, size);
    memset(rig->model.now + offset, 0, size);
}

static void rig_change(struct rig *rig)
{
    switch (prng_below(&rig->prng, 4)) {
    case 0:
        rig_resize(rig);
        return;
    case 1:
        rig_punch(rig);
        return;
    default:
        rig_write(rig);
    }
}

static void expect_equal(const struct rig *rig, const struct model *model)
{
    uint8_t data[SIZE_MAX_HERE];
    EXPECT_EQ(rig->content.size, model->size);
    sim_content_read(&rig->content, 0, data, SIZE_MAX_HERE);
    for (size_t i = 0; i < SIZE_MAX_HERE; i++)
        EXPECT(data[i] == (i < model->size ? model->now[i] : 0));
}

static const struct sim_loss lose_all = {.keep_per_million = 0};
static const struct sim_loss keep_all = {.keep_per_million = 1000000};
static const struct sim_loss keep_half = {.keep_per_million = 500000};

TEST(the_cache_reads_what_was_written_resized_and_punched)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        rig.writeback_per_million = 100000;
        for (int i = 0; i < 30; i++) {
            rig_change(&rig);
            expect_equal(&rig, &rig.model);
        }
        rig_close(&rig);
    }
}

TEST(a_crash_that_loses_all_leaves_the_state_of_the_last_sync)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        for (int i = 0; i < 5; i++)
            rig_change(&rig);
        struct model synced = rig.model;
        struct sim_snapshot snapshot = sim_content_sync_begin(&rig.content);
        for (int i = 0; i < 5; i++) /* overwrites what the sync covers while it is in flight */
            rig_change(&rig);
        sim_content_sync_end(&rig.content, &snapshot);
        sim_content_crash(&rig.content, &lose_all, &rig.prng);
        expect_equal(&rig, &synced);
        rig_close(&rig);
    }
}

TEST(a_crash_that_keeps_all_leaves_the_last_state)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        for (int i = 0; i < 10; i++)
            rig_change(&rig);
        sim_content_crash(&rig.content, &keep_all, &rig.prng);
        expect_equal(&rig, &rig.model);
        rig_close(&rig);
    }
}

TEST(a_crash_leaves_each_sector_as_it_was_or_as_it_was_written)
{
    bool saw_old = false, saw_new = false;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        uint8_t data[SIM_PAGE_SIZE];
        rig_open(&rig, seed);
        memset(data, 1, sizeof(data));
        sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
        struct sim_snapshot snapshot = sim_content_sync_begin(&rig.content);
        sim_content_sync_end(&rig.content, &snapshot);
        memset(data, 2, sizeof(data));
        sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
        sim_content_crash(&rig.content, &keep_half, &rig.prng);
        sim_content_read(&rig.content, 0, data, sizeof(data));
        for (size_t i = 0; i < sizeof(data); i++) {
            EXPECT(data[i] == data[i - i % SIM_SECTOR_SIZE]); /* never torn without a sync */
            saw_old |= data[i] == 1;
            saw_new |= data[i] == 2;
        }
        rig_close(&rig);
    }
    EXPECT(saw_old && saw_new);
}

TEST(a_sync_covers_only_what_was_written_before_it)
{
    struct rig rig;
    uint8_t data[2] = {1, 2}, read;
    rig_open(&rig, 1);
    sim_content_write(&rig.content, 0, &data[0], 1, &rig.prng, 0);
    struct sim_snapshot snapshot = sim_content_sync_begin(&rig.content);
    sim_content_write(&rig.content, 0, &data[1], 1, &rig.prng, 0);
    sim_content_sync_end(&rig.content, &snapshot);
    EXPECT(!sim_content_range_is_durable(&rig.content, 0, 1));
    sim_content_crash(&rig.content, &lose_all, &rig.prng);
    sim_content_read(&rig.content, 0, &read, 1);
    EXPECT_EQ(read, 1);
    rig_close(&rig);
}

TEST(after_a_failed_sync_the_next_one_heals_nothing)
{
    bool saw_loss = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rig rig;
        uint8_t data[SIM_PAGE_SIZE];
        rig_open(&rig, seed);
        memset(data, 1, sizeof(data));
        sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
        struct sim_snapshot snapshot = sim_content_sync_begin(&rig.content);
        sim_content_sync_fail(&rig.content, &snapshot, &rig.prng);
        snapshot = sim_content_sync_begin(&rig.content);
        sim_content_sync_end(&rig.content, &snapshot);
        sim_content_read(&rig.content, 0, data, sizeof(data));
        EXPECT_EQ(data[SIM_PAGE_SIZE - 1], 1); /* the cache still shows it */
        bool is_durable = sim_content_range_is_durable(&rig.content, 0, sizeof(data));
        sim_content_crash(&rig.content, &keep_all, &rig.prng);
        sim_content_read(&rig.content, 0, data, sizeof(data));
        bool is_whole = true;
        for (size_t i = 0; i < sizeof(data); i++)
            is_whole &= data[i] == 1;
        EXPECT_EQ(is_durable, is_whole);
        saw_loss |= !is_whole;
        rig_close(&rig);
    }
    EXPECT(saw_loss);
}

TEST(sixty_four_mebibytes_of_zeros_take_no_pages)
{
    struct rig rig;
    rig_open(&rig, 1);
    uint8_t *zeros = calloc(1, 1 << 20);
    for (uint64_t at = 0; at < 64; at++)
        sim_content_write(&rig.content, at << 20, zeros, 1 << 20, &rig.prng, 0);
    free(zeros);
    EXPECT_EQ(rig.content.size, 64 << 20);
    EXPECT_EQ(rig.content.pages_allocated, (64 << 20) / SIM_PAGE_SIZE);
    for (size_t i = 0; i < rig.content.group_count; i++)
        for (size_t j = 0; rig.content.groups[i] && j < SIM_GROUP_PAGES; j++)
            EXPECT(rig.content.groups[i]->pages[j] == NULL);
    sim_content_punch(&rig.content, 4096, 4096);
    EXPECT_EQ(rig.content.pages_allocated, (64 << 20) / SIM_PAGE_SIZE - 1);
    rig_close(&rig);
}

TEST(a_bad_sector_is_bad_until_it_is_written_whole)
{
    struct rig rig;
    uint8_t data[SIM_SECTOR_SIZE] = {1};
    rig_open(&rig, 1);
    sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
    sim_content_make_bad(&rig.content, 10, 1);
    EXPECT(sim_content_range_is_bad(&rig.content, 0, 1, false));
    EXPECT(sim_content_range_is_bad(&rig.content, 0, 1, true));
    EXPECT(!sim_content_range_is_bad(&rig.content, 0, SIM_SECTOR_SIZE, true));
    EXPECT(!sim_content_range_is_bad(&rig.content, SIM_SECTOR_SIZE, 1, false));
    sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
    EXPECT(!sim_content_range_is_bad(&rig.content, 0, 1, false));
    rig_close(&rig);
}

TEST(rot_shows_in_the_cache_where_it_is_clean_and_is_overwritten_where_it_is_dirty)
{
    struct rig rig;
    uint8_t data[SIM_PAGE_SIZE], noise = 9;
    rig_open(&rig, 1);
    memset(data, 1, sizeof(data));
    sim_content_write(&rig.content, 0, data, sizeof(data), &rig.prng, 0);
    struct sim_snapshot snapshot = sim_content_sync_begin(&rig.content);
    sim_content_sync_end(&rig.content, &snapshot);
    sim_content_write(&rig.content, 0, data, SIM_SECTOR_SIZE, &rig.prng, 0);
    sim_content_corrupt(&rig.content, 5, &noise, 1);    /* dirty */
    sim_content_corrupt(&rig.content, 1000, &noise, 1); /* clean */
    sim_content_read(&rig.content, 0, data, sizeof(data));
    EXPECT_EQ(data[5], 1);
    EXPECT_EQ(data[1000], 9);
    snapshot = sim_content_sync_begin(&rig.content);
    sim_content_sync_end(&rig.content, &snapshot);
    sim_content_crash(&rig.content, &lose_all, &rig.prng);
    sim_content_read(&rig.content, 0, data, sizeof(data));
    EXPECT_EQ(data[5], 1);
    EXPECT_EQ(data[1000], 9);
    rig_close(&rig);
}
