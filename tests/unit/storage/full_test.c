/* A disk that is full: a clear answer, everything else goes on, and room comes back. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

enum { FILES_MAX = 4000 };

static void open_small(struct stand *stand, uint64_t seed, uint64_t capacity)
{
    struct store_lab_options options;
    store_lab_options_small(&options);
    options.disk.capacity = capacity;
    options.reserve_bytes = 128 * 1024;
    stand_open(stand, seed, &options);
}

static unsigned fill_up(struct stand *stand, size_t size, struct fid *fids)
{
    unsigned count = 0;
    err_t err = ERR_OK;
    while (count < FILES_MAX && !err_is(err)) {
        err = stand_try_upload(stand, size, count, &fids[count]);
        count += !err_is(err);
    }
    EXPECT_ERR(err, NO_SPACE);
    return count;
}

TEST(a_full_disk_refuses_uploads_and_nothing_else)
{
    struct stand stand;
    static struct fid fids[FILES_MAX + 1];
    open_small(&stand, 1, 3 << 20);
    unsigned count = fill_up(&stand, 3000, fids);
    EXPECT(count > 100);
    for (unsigned i = 0; i < count; i++)
        stand_expect(&stand, &fids[i], 3000, i);
    for (unsigned i = 0; i < count; i += 2)
        stand_modify(&stand, &fids[i], MODIFY_WRITE, 100, 2000, i + 1);
    for (unsigned i = 0; i < count; i += 2) {
        stand_remove(&stand, &fids[i], true);
        EXPECT_ERR(stand_find_err(&stand, &fids[i]), NOT_FOUND);
    }
    unsigned again = fill_up(&stand, 3000, fids + count);
    EXPECT(again > count / 3);
    for (unsigned i = 1; i < count; i += 2)
        stand_expect(&stand, &fids[i], 3000, i);
    stand_reopen(&stand);
    for (unsigned i = 1; i < count; i += 2)
        stand_expect(&stand, &fids[i], 3000, i);
    for (unsigned i = 0; i < again; i++)
        stand_expect(&stand, &fids[count + i], 3000, i);
    stand_close(&stand);
}

/* Physically full, without any reserve: what needs no new block goes on for as long as it likes. */
TEST(modify_in_place_and_delete_go_on_when_not_one_block_is_left)
{
    struct stand stand;
    stand_open(&stand, 2, NULL);
    struct fid fids[20];
    for (unsigned i = 0; i < 20; i++)
        fids[i] = stand_upload(&stand, 1000, i);
    sim_mount_faults(stand.lab.node, STORE_LAB_PATH)->is_full = true;
    for (unsigned round = 0; round < 400; round++)
        stand_modify(&stand, &fids[round % 10], MODIFY_REPLACE, 0, 1000, round);
    for (unsigned i = 10; i < 20; i++)
        stand_remove(&stand, &fids[i], true);
    for (unsigned i = 0; i < 10; i++)
        stand_expect(&stand, &fids[i], 1000, 390 + i);
    sim_mount_faults(stand.lab.node, STORE_LAB_PATH)->is_full = false;
    stand_close(&stand);
}

static uint64_t free_bytes(struct stand *stand)
{
    struct io *io = sim_loop_new(stand->world, stand->lab.node, 0);
    struct owner owner;
    struct io_handle handle = IO_HANDLE_NONE;
    struct io_stat stat = {0};
    owner_open(&owner, "space", DIRECTION_OWN, 0);
    struct io_op op = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = STORE_LAB_PATH,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &handle,
        .owner = &owner};
    EXPECT(io_call(io, &op) >= 0);
    op = (struct io_op){.kind = IO_SPACE, .fd = handle.fd, .ret_stat = &stat, .owner = &owner};
    EXPECT_EQ(io_call(io, &op), 0);
    io_handle_close(io, &handle);
    owner_close(&owner);
    sim_loop_free(io);
    return stat.allocated;
}

/* A few files of all kinds, then all of them gone; closed, so that a checkpoint has dropped what is
 * empty. */
static void rounds(struct stand *stand, unsigned count)
{
    struct prng prng;
    prng_init(&prng, count);
    struct fid fids[8] = {0};
    bool is_there[8] = {false};
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (unsigned)prng_below(&prng, 8);
        size_t size = prng_chance(&prng, 20000) ? 30000 : prng_below(&prng, 9000);
        if (is_there[at])
            stand_remove(stand, &fids[at], true);
        fids[at] = stand_upload(stand, size, i);
        is_there[at] = true;
    }
    for (unsigned at = 0; at < 8; at++)
        if (is_there[at])
            stand_remove(stand, &fids[at], true);
}

TEST(a_hundred_thousand_rounds_of_upload_and_delete_end_with_the_space_they_began_with)
{
    struct stand stand;
    open_small(&stand, 3, 4 << 20);
    rounds(&stand, 1000);
    EXPECT(store_lab_close(&stand.lab));
    uint64_t before = free_bytes(&stand);
    EXPECT_OK(store_lab_boot(&stand.lab));
    rounds(&stand, 100000);
    EXPECT(store_lab_close(&stand.lab));
    uint64_t after = free_bytes(&stand);
    uint64_t chunk = stand.lab.options.store.chunk_size + 2 * SLOTMAP_IMAGE_ALIGN;
    EXPECT(after + chunk >= before && before + chunk >= after);
    EXPECT_OK(store_lab_boot(&stand.lab));
    stand_close(&stand);
}
