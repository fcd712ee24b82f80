/* Block tables and the layout of single files: around every edge of block and group. */
#include "base/crc.h"
#include "base/prng.h"
#include "disk/blocks.h"
#include "tests/lib/test.h"

enum { BLOCKS = 11, CONTENT = BLOCKS * BLOCK_SIZE, NEAR = 3 };

static const uint64_t group_size = (uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE;
static uint8_t content[CONTENT], changed[CONTENT], data[CONTENT];
static uint32_t table[BLOCKS], table_after[BLOCKS];

static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)prng_next(&prng);
}

/* A number within NEAR of a multiple of the block size, 0 .. 10 blocks. */
static uint64_t near_edge(struct prng *prng)
{
    uint64_t at = prng_below(prng, BLOCKS) * BLOCK_SIZE + prng_below(prng, 2 * NEAR + 1);
    return at < NEAR ? 0 : at - NEAR;
}

TEST(counts_and_sizes_agree_around_every_edge)
{
    for (uint64_t k = 0; k <= 10; k++)
        for (int d = -NEAR; d <= NEAR; d++) {
            uint64_t size = k * BLOCK_SIZE + (uint64_t)d, sum = 0, block = 0;
            if (k == 0 && d < 0)
                continue;
            for (; blocks_size_at(size, block) > 0; block++)
                sum += blocks_size_at(size, block);
            EXPECT_EQ(sum, size);
            EXPECT_EQ(block, blocks_count(size));
            EXPECT_EQ(block, k + (d > 0));
        }
}

TEST(block_checksums_combine_into_the_checksum_of_the_content)
{
    struct prng prng;
    prng_init(&prng, 1);
    fill(content, CONTENT, 2);
    for (int i = 0; i < 200; i++) {
        uint64_t size = near_edge(&prng), count = blocks_count(size);
        blocks_compute(span_of(content, size), table);
        uint32_t whole = crc32_update(0, content, size);
        EXPECT_EQ(blocks_combine(0, table, 0, count, size), whole);
        uint64_t part = prng_below(&prng, count + 1); /* in two goes, as over two pages */
        uint32_t crc = blocks_combine(0, table, 0, part, size);
        EXPECT_EQ(blocks_combine(crc, table + part, part, count - part, size), whole);
    }
}

TEST(a_range_is_covered_by_the_fewest_whole_blocks)
{
    struct prng prng;
    prng_init(&prng, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t size = near_edge(&prng), from = near_edge(&prng), to = near_edge(&prng);
        struct blocks_range range = blocks_covering(size, from, to);
        uint64_t end = to < size ? to : size;
        if (from >= end) {
            EXPECT_EQ(range.count, 0);
            EXPECT_EQ(range.begin, range.end);
            continue;
        }
        EXPECT_EQ(range.begin, range.first * BLOCK_SIZE);
        EXPECT(range.begin <= from && from < range.begin + BLOCK_SIZE);
        EXPECT(range.end >= end && range.end < end + BLOCK_SIZE && range.end <= size);
        EXPECT(range.end % BLOCK_SIZE == 0 || range.end == size);
        EXPECT_EQ(range.count, blocks_count(range.end - range.begin));
    }
}

TEST(a_range_verifies_and_names_the_first_bad_block)
{
    struct prng prng;
    prng_init(&prng, 4);
    fill(content, CONTENT, 5);
    for (int i = 0; i < 100; i++) {
        uint64_t size = near_edge(&prng);
        struct blocks_range range = blocks_covering(size, near_edge(&prng), near_edge(&prng));
        blocks_compute(span_of(content, size), table);
        const uint8_t *bytes = content + range.begin;
        EXPECT_OK(blocks_verify(&range, table + range.first, bytes, NULL));
        if (range.count == 0)
            continue;
        uint64_t at = range.begin + prng_below(&prng, range.end - range.begin), bad = 0;
        content[at] ^= 1;
        EXPECT_ERR(blocks_verify(&range, table + range.first, bytes, &bad), CORRUPT);
        EXPECT_ERR(blocks_verify(&range, table + range.first, bytes, NULL), CORRUPT);
        EXPECT_EQ(bad, at / BLOCK_SIZE);
        content[at] ^= 1;
    }
}

static void expect_edits_give_the_table(const struct blocks_change *change)
{
    uint64_t end = change->offset + change->size;
    uint64_t new_size = end > change->old_size ? end : change->old_size, written = 0, n = 0;
    memcpy(changed, content, change->old_size);
    memcpy(changed + change->offset, data, change->size);
    blocks_compute(span_of(content, change->old_size), table);
    struct blocks_edit edit;
    for (; blocks_edit_at(change, n, &edit); n++) {
        const uint8_t *old = edit.needs_old ? content + edit.block * BLOCK_SIZE : NULL;
        EXPECT_OK(blocks_edit_apply(&edit, old, data, table[edit.block], &table[edit.block]));
        EXPECT_EQ(edit.new_size, blocks_size_at(new_size, edit.block));
        written += edit.size;
    }
    EXPECT_EQ(written, change->size);
    blocks_compute(span_of(changed, new_size), table_after);
    EXPECT(memcmp(table, table_after, blocks_count(new_size) * sizeof table[0]) == 0);
}

TEST(edits_lead_to_the_table_of_the_changed_content)
{
    struct prng prng;
    prng_init(&prng, 6);
    fill(content, CONTENT, 7);
    fill(data, CONTENT, 8);
    for (int i = 0; i < 1000; i++) {
        struct blocks_change change = {.old_size = near_edge(&prng)};
        do
            change.offset = near_edge(&prng);
        while (change.offset > change.old_size);
        change.size = near_edge(&prng);
        if (prng_chance(&prng, 500000))
            change.size = prng_below(&prng, 20);
        if (change.offset + change.size <= CONTENT)
            expect_edits_give_the_table(&change);
    }
}

TEST(only_blocks_that_keep_old_bytes_need_them)
{
    static const struct {
        struct blocks_change change;
        bool needs[3];
        int count;
    } cases[] = {
        {{0, 0, 10}, {false}, 1},
        {{10, 0, 10}, {false}, 1},
        {{10, 0, 9}, {true}, 1},
        {{10, 10, 5}, {true}, 1},
        {{BLOCK_SIZE, BLOCK_SIZE, 5}, {false}, 1},
        {{2 * BLOCK_SIZE, 0, 2 * BLOCK_SIZE}, {false, false}, 2},
        {{3 * BLOCK_SIZE, 1, 2 * BLOCK_SIZE}, {true, false, true}, 3},
        {{10, 10, 0}, {false}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct blocks_edit edit;
        for (int n = 0; n < cases[i].count; n++) {
            EXPECT(blocks_edit_at(&cases[i].change, (uint64_t)n, &edit));
            EXPECT_EQ(edit.needs_old, cases[i].needs[n]);
        }
        EXPECT(!blocks_edit_at(&cases[i].change, (uint64_t)cases[i].count, &edit));
    }
}

TEST(damaged_old_bytes_are_not_sealed_by_an_edit_or_a_cut)
{
    fill(content, BLOCK_SIZE, 9);
    blocks_compute(span_of(content, 1000), table);
    struct blocks_change change = {1000, 400, 100};
    struct blocks_edit edit;
    EXPECT(blocks_edit_at(&change, 0, &edit));
    static const size_t places[] = {0, 399, 400, 499, 500, 999};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        uint32_t entry = 77;
        content[places[i]] ^= 0x10;
        EXPECT_ERR(blocks_edit_apply(&edit, content, data, table[0], &entry), CORRUPT);
        EXPECT_ERR(blocks_cut(content, 1000, 450, table[0], &entry), CORRUPT);
        EXPECT_EQ(entry, 77);
        content[places[i]] ^= 0x10;
    }
    EXPECT_OK(blocks_cut(content, 1000, 450, table[0], &table[0]));
    EXPECT_EQ(table[0], crc32_update(0, content, 450));
    EXPECT_OK(blocks_cut(content, 450, 450, table[0], &table[0]));
}

TEST(content_and_checksum_pages_tile_a_single_file)
{
    uint64_t end = BLOCKS_PAGE_SIZE; /* of what is known to be covered */
    for (uint64_t block = 0; block < 3 * BLOCKS_PER_GROUP + 2; block++) {
        struct blocks_entry_place place = blocks_entry_place(block);
        EXPECT_EQ(place.group, block / BLOCKS_PER_GROUP);
        EXPECT_EQ(place.index, block % BLOCKS_PER_GROUP);
        if (place.index == 0) {
            EXPECT_EQ(place.page_offset, end);
            end += BLOCKS_PAGE_SIZE;
        }
        uint64_t begin = block * BLOCK_SIZE;
        EXPECT_EQ(blocks_file_offset(begin), end);
        EXPECT_EQ(blocks_file_offset(begin + BLOCK_SIZE - 1), end + BLOCK_SIZE - 1);
        EXPECT_EQ(blocks_file_size(begin + 1), end + 1);
        EXPECT_EQ(blocks_file_size(begin + BLOCK_SIZE), end + BLOCK_SIZE);
        end += BLOCK_SIZE;
    }
    EXPECT_EQ(blocks_file_size(0), BLOCKS_PAGE_SIZE);
    EXPECT(blocks_file_size(BLOCKS_CONTENT_MAX) > BLOCKS_CONTENT_MAX);
}

static uint64_t near_group_edge(struct prng *prng)
{
    uint64_t at = prng_below(prng, 4) * group_size + prng_below(prng, 2 * NEAR + 1);
    return at < NEAR ? 0 : at - NEAR;
}

TEST(extents_of_a_range_are_its_bytes_in_order_and_avoid_the_pages)
{
    struct prng prng;
    prng_init(&prng, 10);
    for (int i = 0; i < 10000; i++) {
        uint64_t from = near_group_edge(&prng), to = near_group_edge(&prng), at = from, extents = 0;
        struct blocks_extent extent;
        for (; blocks_extent_next(at, to, &extent); at += extent.size, extents++) {
            EXPECT_EQ(extent.content_offset, at);
            EXPECT_EQ(extent.file_offset, blocks_file_offset(at));
            uint64_t last = at + extent.size - 1;
            EXPECT_EQ(extent.file_offset + extent.size - 1, blocks_file_offset(last));
        }
        EXPECT_EQ(at, from < to ? to : from);
        EXPECT_EQ(extents, from < to ? (to - 1) / group_size - from / group_size + 1 : 0);
    }
}

TEST(a_checksum_page_passes_only_whole_at_its_place_and_in_its_file)
{
    uint8_t page[BLOCKS_PAGE_SIZE] = {0};
    for (uint32_t i = 0; i < BLOCKS_PER_GROUP; i++)
        blocks_page_put(page, i, i * 2654435761u);
    blocks_page_seal(page, 5, 99);
    EXPECT_OK(blocks_page_verify(page, 5, 99));
    EXPECT_EQ(blocks_page_get(page, 1015), 1015 * 2654435761u);
    EXPECT_EQ(get_u32(page + 32 + 4 * 7), 7 * 2654435761u);
    EXPECT_ERR(blocks_page_verify(page, 4, 99), CORRUPT);
    EXPECT_ERR(blocks_page_verify(page, 5, 98), CORRUPT);
    for (size_t i = 0; i < sizeof page; i++) {
        page[i] ^= 4;
        EXPECT_ERR(blocks_page_verify(page, 5, 99), CORRUPT);
        page[i] ^= 4;
    }
    put_u32(page, BLOCKS_PAGE_MAGIC + 1); /* another kind of page with a good checksum */
    put_u32(page + 8, 0);
    put_u32(page + 8, crc32_update(99, page, sizeof page));
    EXPECT_ERR(blocks_page_verify(page, 5, 99), CORRUPT);
}
