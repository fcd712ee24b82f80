/* Every size: what was written is what is read, and the neighbours stay what they were. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

enum { NEIGHBOURS = 3 };

/* The last files written, each looked at after every write. */
struct row {
    struct fid fids[NEIGHBOURS];
    size_t sizes[NEIGHBOURS];
    unsigned marks[NEIGHBOURS], count;
};

static void row_add(struct stand *stand, struct row *row, size_t size, unsigned mark)
{
    if (row->count == NEIGHBOURS) {
        stand_remove(stand, &row->fids[0], true);
        row->count--;
        for (unsigned i = 0; i < row->count; i++) {
            row->fids[i] = row->fids[i + 1];
            row->sizes[i] = row->sizes[i + 1];
            row->marks[i] = row->marks[i + 1];
        }
    }
    row->fids[row->count] = stand_upload(stand, size, mark);
    row->sizes[row->count] = size;
    row->marks[row->count++] = mark;
}

static void row_expect(struct stand *stand, const struct row *row)
{
    for (unsigned i = 0; i < row->count; i++)
        stand_expect(stand, &row->fids[i], row->sizes[i], row->marks[i]);
}

TEST(every_size_up_to_4096_is_written_and_read_beside_its_neighbours)
{
    struct stand stand;
    struct row row = {0};
    stand_open(&stand, 1, NULL);
    for (size_t size = 0; size <= 4096; size++) {
        row_add(&stand, &row, size, (unsigned)size + 1);
        row_expect(&stand, &row);
    }
    stand_reopen(&stand);
    row_expect(&stand, &row);
    stand_close(&stand);
}

/* Sizes around everything that ends somewhere. */
static unsigned edges_of(const struct store_config *config, size_t *ret)
{
    size_t edges[] = {config->inline_max, config->single_min, config->piece_size, 65536, 131072,
        config->chunk_size - CHUNK_HEADER_SIZE, config->chunk_size, config->log_buffer_size};
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LEN(edges); i++)
        for (size_t by = 0; by < 5; by++)
            ret[count++] = edges[i] + by - 2;
    return count;
}

TEST(sizes_around_every_edge_are_written_and_read_beside_their_neighbours)
{
    struct stand stand;
    struct row row = {0};
    size_t sizes[64];
    stand_open(&stand, 2, NULL);
    unsigned count = edges_of(&stand.lab.options.store, sizes);
    for (unsigned i = 0; i < count; i++) {
        row_add(&stand, &row, sizes[i], i);
        row_expect(&stand, &row);
    }
    store_lab_kill(&stand.lab, true);
    EXPECT_OK(store_lab_boot(&stand.lab));
    row_expect(&stand, &row);
    stand_close(&stand);
}

/* Slots with block tables: single_min above 64 KiB. */
TEST(slots_with_block_tables_are_written_and_read_beside_their_neighbours)
{
    struct store_lab_options options;
    store_lab_options_small(&options);
    options.store.single_min = 160 * 1024;
    options.store.chunk_size = 512 * 1024;
    options.store.log_buffer_size = 192 * 1024;
    options.store.log_segment_size = 512 * 1024;
    struct stand stand;
    struct row row = {0};
    stand_open(&stand, 3, &options);
    unsigned mark = 0;
    for (size_t block = 1; block <= 2; block++) {
        for (size_t size = block * 65536 - 160; size <= block * 65536 + 160; size += 13) {
            row_add(&stand, &row, size, ++mark);
            row_expect(&stand, &row);
            stand_modify(&stand, &row.fids[row.count - 1], MODIFY_REPLACE, 0, size + 40, ++mark);
            row.sizes[row.count - 1] = size + 40;
            row.marks[row.count - 1] = mark;
            row_expect(&stand, &row);
        }
    }
    stand_close(&stand);
}

/* Grown byte by byte over its slack, over the target's slack, into a single file, and back home. */
TEST(a_file_that_grows_and_shrinks_byte_by_byte_harms_no_neighbour)
{
    struct stand stand;
    stand_open(&stand, 4, NULL);
    struct fid before = stand_upload(&stand, 700, 1);
    struct fid file = stand_upload(&stand, 100, 2);
    struct fid behind = stand_upload(&stand, 900, 3);
    uint32_t single_min = stand.lab.options.store.single_min;
    size_t ranges[][2] = {{100, 400}, {single_min - 20, single_min + 20}, {4090, 4100}, {90, 130}};
    for (size_t r = 0; r < ARRAY_LEN(ranges); r++) {
        for (size_t size = ranges[r][0]; size < ranges[r][1]; size++) {
            stand_modify(&stand, &file, MODIFY_REPLACE, 0, size, (unsigned)size);
            stand_expect(&stand, &file, size, (unsigned)size);
            stand_expect(&stand, &before, 700, 1);
            stand_expect(&stand, &behind, 900, 3);
        }
    }
    stand_reopen(&stand);
    stand_expect(&stand, &file, 129, 129);
    stand_close(&stand);
}
