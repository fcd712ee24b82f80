#include "storage/placement.h"
#include "tests/lib/test.h"

static struct store store;
static struct store_mount mounts[STORE_MOUNTS_MAX];
static struct storage_config config;
static struct balance_cursor cursor;

static void set_up(uint32_t count)
{
    memset(mounts, 0, sizeof mounts);
    config = (struct storage_config){.balance = BALANCE_LOOP, .mount_count = count};
    cursor = (struct balance_cursor){0};
    store = (struct store){.mounts = mounts};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t index = (uint8_t)(10 * i);
        config.mount[i] = (struct storage_mount_config){.path = "/d", .index = index};
        mounts[index].is_there = true;
        mounts[index].free_bytes = 1000 * (i + 1);
        mounts[index].reserve_bytes = 100;
    }
}

static int picked(uint64_t size, bool is_packed)
{
    uint8_t mount = 255;
    err_t err = placement_pick(&store, &config, &cursor, size, is_packed, &mount);
    return err_is(err) ? -err.code : mount;
}

TEST(loop_goes_round_by_index)
{
    set_up(3);
    EXPECT_EQ(picked(10, true), 0);
    EXPECT_EQ(picked(10, true), 10);
    EXPECT_EQ(picked(10, true), 20);
    EXPECT_EQ(picked(10, true), 0);
}

TEST(maxdisk_and_master_do_as_they_say)
{
    set_up(3);
    config.balance = BALANCE_MAXDISK;
    EXPECT_EQ(picked(10, true), 20);
    config.balance = BALANCE_MASTER;
    config.master_mount = 10;
    EXPECT_EQ(picked(10, true), 10);
    mounts[10].is_fenced = true;
    EXPECT_EQ(picked(10, true), 20);
}

TEST(a_mount_point_that_is_fenced_or_missing_takes_nothing)
{
    set_up(3);
    mounts[0].is_fenced = true;
    mounts[20].is_there = false;
    EXPECT_EQ(picked(10, true), 10);
    EXPECT_EQ(picked(10, true), 10);
    mounts[10].is_fenced = true;
    EXPECT_EQ(picked(10, true), -ERR_CODE_OFFLINE);
}

TEST(the_reserve_is_left_alone_by_single_files_and_slots_are_sought_all_the_same)
{
    set_up(2);
    EXPECT_EQ(picked(1000, false), 10);
    EXPECT_EQ(picked(1901, false), -ERR_CODE_NO_SPACE);
    EXPECT_EQ(picked(1901, true), 10);
    mounts[0].free_bytes = mounts[10].free_bytes = 50;
    EXPECT_EQ(picked(0, false), -ERR_CODE_NO_SPACE);
    EXPECT_EQ(picked(0, true), 0);
}
