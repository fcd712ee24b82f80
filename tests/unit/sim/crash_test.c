/* What a crash leaves, over many seeds, and the canary: a journal that forgets to sync must lose
 * data in some seed, one that syncs in none. */
#include "tests/unit/sim/lab.h"

#define RW (IO_OPEN_READ | IO_OPEN_WRITE)
#define NEW (RW | IO_OPEN_CREATE)

enum { SEEDS = 300 };

static void file_new(struct lab *lab, struct io_handle *handle, const char *path, char fill)
{
    char data[4096];
    memset(data, fill, sizeof(data));
    EXPECT(lab_open(lab, handle, path, NEW) >= 0);
    for (size_t done = 0; done < sizeof(data);) {
        int64_t size = lab_write(lab, handle->fd, done, data + done, sizeof(data) - done);
        EXPECT(size > 0);
        done += (size_t)size;
    }
}

TEST(synced_bytes_under_a_synced_name_survive_every_power_loss)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_drawn(seed);
        struct io_handle handle;
        char data[4096] = {0};
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT(!sim_file_range_is_durable(lab.node, "/d/a", 0, 4096));
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        EXPECT(sim_file_range_is_durable(lab.node, "/d/a", 0, 4096));
        lab_power_cycle(&lab);
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 0, data, sizeof(data)), 4096);
        for (size_t i = 0; i < sizeof(data); i++)
            EXPECT(data[i] == 'a');
        lab_free(&lab);
    }
}

TEST(a_kill_keeps_what_was_written_and_closes_what_was_open)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    char data[4096] = {0};
    file_new(&lab, &handle, "/d/a", 'a');
    sim_node_kill(lab.node);
    EXPECT(sim_node_is_down(lab.node));
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), -EIO); /* nobody is there to do it */
    lab_boot(&lab);
    EXPECT_EQ(sim_node_fd_count(lab.node), 0);
    EXPECT_EQ(sim_file_read(lab.node, "/d/a", 0, data, sizeof(data)), 4096);
    EXPECT(data[0] == 'a' && data[4095] == 'a');
    lab_free(&lab);
}

TEST(unsynced_bytes_may_be_lost_may_stay_and_may_mix)
{
    unsigned lost = 0, whole = 0, mixed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        char data[4096], other[4096];
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        memset(other, 'b', sizeof(other));
        EXPECT_EQ(lab_write(&lab, handle.fd, 0, other, sizeof(other)), 4096);
        lab_power_cycle(&lab);
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 0, data, sizeof(data)), 4096);
        unsigned b = 0;
        for (size_t i = 0; i < sizeof(data); i++) {
            EXPECT(data[i] == data[i - i % 512]); /* torn only in flight */
            b += data[i] == 'b';
        }
        lost += b == 0;
        whole += b == 4096;
        mixed += b > 0 && b < 4096;
        lab_free(&lab);
    }
    EXPECT(lost > 0 && whole > 0 && mixed > 0);
}

TEST(a_new_name_may_vanish_until_its_directory_is_synced)
{
    unsigned vanished = 0, stayed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        lab_power_cycle(&lab);
        int64_t size = sim_file_size(lab.node, "/d/a");
        EXPECT(size == 4096 || size == -ENOENT);
        vanished += size == -ENOENT;
        stayed += size == 4096;
        lab_free(&lab);
    }
    EXPECT(vanished > 0 && stayed > 0);
}

TEST(some_disks_make_the_name_durable_with_the_file)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        sim_mount_options(lab.node, "/d")->sync_makes_name_durable = true;
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        lab_power_cycle(&lab);
        EXPECT_EQ(sim_file_size(lab.node, "/d/a"), 4096);
        lab_free(&lab);
    }
}

/* a is replaced by b: afterwards there is the old a or the new one, never neither. */
TEST(a_rename_is_atomic_and_durable_after_the_directory_sync)
{
    unsigned old = 0, new = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_drawn(seed);
        struct io_handle a, b;
        file_new(&lab, &a, "/d/a", 'a');
        file_new(&lab, &b, "/d/b", 'b');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, a.fd, 0, 0), 0);
        EXPECT_EQ(lab_on(&lab, IO_SYNC, b.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/b", "/d/a", 0), 0);
        bool syncs = seed % 2;
        EXPECT(!sim_file_range_is_durable(lab.node, "/d/a", 0, 4096));
        if (syncs)
            EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        EXPECT_EQ(sim_file_range_is_durable(lab.node, "/d/a", 0, 4096), syncs);
        lab_power_cycle(&lab);
        char byte = 0;
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 9, &byte, 1), 1);
        EXPECT(byte == 'b' || (byte == 'a' && !syncs));
        EXPECT_EQ(sim_file_size(lab.node, "/d/b"), byte == 'b' ? -ENOENT : 4096);
        old += byte == 'a';
        new += byte == 'b' && !syncs;
        lab_free(&lab);
    }
    EXPECT(old > 0 && new > 0);
}

TEST(an_unlink_may_come_undone_until_the_directory_sync)
{
    unsigned came_back = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_drawn(seed);
        struct io_handle handle;
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        io_handle_close(lab.io, &handle);
        EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/a", NULL, 0), 0);
        bool syncs = seed % 2;
        if (syncs)
            EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        lab_power_cycle(&lab);
        int64_t size = sim_file_size(lab.node, "/d/a");
        EXPECT(size == -ENOENT || (size == 4096 && !syncs));
        came_back += size == 4096;
        lab_free(&lab);
    }
    EXPECT(came_back > 0);
}

TEST(a_directory_that_was_not_synced_takes_its_files_along)
{
    unsigned gone = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/x", NULL, 0), 0);
        file_new(&lab, &handle, "/d/x/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d/x"), 0);
        EXPECT(!sim_file_range_is_durable(lab.node, "/d/x/a", 0, 1));
        if (seed % 2)
            EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        lab_power_cycle(&lab);
        int64_t size = sim_file_size(lab.node, "/d/x/a");
        EXPECT(size == 4096 || (size == -ENOENT && seed % 2 == 0));
        gone += size == -ENOENT;
        lab_free(&lab);
    }
    EXPECT(gone > 0);
}

TEST(a_dsync_write_is_durable_when_it_is_complete)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        char data[2000], read[2000];
        memset(data, 'x', sizeof(data));
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        EXPECT_EQ(lab_write_dsync(&lab, handle.fd, 300, data, sizeof(data)), 2000);
        EXPECT(sim_file_range_is_durable(lab.node, "/d/a", 0, 2300));
        lab_power_cycle(&lab);
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 300, read, sizeof(read)), 2000);
        EXPECT(memcmp(data, read, sizeof(data)) == 0);
        lab_free(&lab);
    }
}

TEST(after_a_failed_sync_a_retry_succeeds_and_a_crash_shows_the_loss)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        sim_mount_faults(lab.node, "/d")->sync_error_per_million = 1000000;
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), -EIO);
        sim_mount_faults(lab.node, "/d")->sync_error_per_million = 0;
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        bool is_durable = sim_file_range_is_durable(lab.node, "/d/a", 0, 4096);
        lab_power_cycle(&lab);
        char data[4096] = {0};
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 0, data, sizeof(data)), 4096);
        bool is_whole = true;
        for (size_t i = 0; i < sizeof(data); i += 512)
            is_whole &= data[i] == 'a';
        EXPECT_EQ(is_durable, is_whole);
        lost += !is_whole;
        lab_free(&lab);
    }
    EXPECT(lost > SEEDS / 2);
}

static void forget(struct io_op *op)
{
    op->context = NULL;
}

TEST(a_write_in_flight_may_be_torn_by_a_power_loss)
{
    unsigned torn = 0, torn_often = 0, noisy = 0, none = 0, whole = 0;
    for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
        struct lab lab = lab_drawn(seed);
        struct io_handle handle;
        char data[4096], other[4096];
        file_new(&lab, &handle, "/d/a", 'a');
        EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
        EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
        memset(other, 'b', sizeof(other));
        struct iovec iov = {other + 100, 3000};
        struct io_op op = {.kind = IO_WRITE,
            .fd = handle.fd,
            .offset = 100,
            .iov = &iov,
            .iov_count = 1,
            .write_flags = IO_WRITE_DSYNC,
            .owner = &lab.owner,
            .wake = forget};
        io_submit(lab.io, &op);
        lab_power_cycle(&lab);
        EXPECT_EQ(sim_file_read(lab.node, "/d/a", 0, data, sizeof(data)), 4096);
        unsigned b = 0, noise = 0, tears = 0;
        for (size_t i = 0; i < sizeof(data); i++) {
            if (i < 100 || i >= 3100) /* bytes outside the write never change */
                EXPECT(data[i] == 'a');
            b += data[i] == 'b';
            noise += data[i] != 'a' && data[i] != 'b';
            tears += i > 100 && i < 3100 && i % 512 != 0 && data[i] != data[i - 1];
        }
        torn += tears == 1 && noise == 0;
        torn_often += tears > 1 && noise == 0;
        noisy += noise > 0;
        none += b + noise == 0;
        whole += b == 3000;
        EXPECT(noise == 0 || sim_mount_options(lab.node, "/d")->garbles);
        lab_free(&lab);
    }
    EXPECT(torn > 0 && torn_often > 0 && noisy > 0 && none > 0 && whole > 0);
}

TEST(a_write_in_flight_may_be_applied_in_part_by_a_kill)
{
    unsigned none = 0, part = 0, whole = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        char data[1000];
        memset(data, 'a', sizeof(data));
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        struct iovec iov = {data, sizeof(data)};
        struct io_op op = {.kind = IO_WRITE,
            .fd = handle.fd,
            .iov = &iov,
            .iov_count = 1,
            .owner = &lab.owner,
            .wake = forget,
            .context = &lab};
        io_submit(lab.io, &op);
        sim_node_kill(lab.node);
        int64_t size = sim_file_size(lab.node, "/d/a");
        none += size == 0;
        part += size > 0 && size < 1000;
        whole += size == 1000;
        sim_world_run_for(lab.world, 1000000000);
        EXPECT(op.context == &lab); /* never wakes */
        lab_free(&lab);
    }
    EXPECT(none > 0 && part > 0 && whole > 0);
}

enum { RECORDS = 8, RECORD_SIZE = 100 };

/* Append records of a fixed size, each acknowledged; then the power goes. Returns how many
 * acknowledged records are missing or wrong. */
static unsigned journal_losses(uint64_t seed, bool syncs)
{
    struct lab lab = lab_drawn(seed);
    sim_mount_options(lab.node, "/d")->short_per_million = 0;
    struct io_handle handle;
    char record[RECORD_SIZE];
    unsigned losses = 0;
    EXPECT(lab_open(&lab, &handle, "/d/journal", NEW) >= 0);
    EXPECT_EQ(lab_sync_directory(&lab, "/d"), 0);
    for (int i = 0; i < RECORDS; i++) {
        memset(record, 'A' + i, sizeof(record));
        uint64_t at = (uint64_t)i * RECORD_SIZE;
        EXPECT_EQ(lab_write(&lab, handle.fd, at, record, RECORD_SIZE), RECORD_SIZE);
        if (syncs)
            EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
    }
    lab_power_cycle(&lab);
    for (int i = 0; i < RECORDS; i++) {
        uint64_t at = (uint64_t)i * RECORD_SIZE;
        int64_t size = sim_file_read(lab.node, "/d/journal", at, record, RECORD_SIZE);
        losses += size != RECORD_SIZE || record[0] != 'A' + i || record[RECORD_SIZE - 1] != 'A' + i;
    }
    lab_free(&lab);
    return losses;
}

TEST(canary_a_journal_without_sync_loses_data)
{
    unsigned seeds = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        seeds += journal_losses(seed, false) > 0;
    EXPECT(seeds > SEEDS / 2);
}

TEST(a_journal_with_sync_loses_nothing)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        EXPECT_EQ(journal_losses(seed, true), 0);
}

TEST(a_crash_can_be_set_after_each_disk_operation)
{
    uint64_t last = 0;
    for (uint64_t nth = 1;; nth++) {
        struct lab lab = lab_drawn(nth);
        struct io_handle handle;
        sim_world_crash_at(lab.world, lab.node, nth, SIM_CRASH_POWER);
        int64_t synced = -1;
        if (lab_open(&lab, &handle, "/d/a", NEW) >= 0 && lab_write(&lab, handle.fd, 0, "x", 1) == 1
            && lab_sync_directory(&lab, "/d") == 0)
            synced = lab_on(&lab, IO_SYNC, handle.fd, 0, 0);
        bool crashed = sim_node_is_down(lab.node);
        EXPECT_EQ(sim_node_disk_op_count(lab.node), crashed ? nth : nth - 1);
        EXPECT(crashed || synced == 0);
        EXPECT(!crashed || synced == -1 || synced == -EIO);
        lab_free(&lab);
        last = nth;
        if (!crashed)
            break;
    }
    EXPECT_EQ(last, 6); /* open, write, open, sync, sync; then a run without a crash */
}

TEST(a_replaced_disk_is_empty_and_a_swapped_one_is_the_other)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    sim_mount_new(lab.node, "/e", NULL);
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    sim_node_kill(lab.node);
    sim_mount_swap(lab.node, "/d", lab.node, "/e");
    EXPECT_EQ(sim_file_size(lab.node, "/d/a"), -ENOENT);
    EXPECT_EQ(sim_file_size(lab.node, "/e/a"), 0);
    sim_mount_replace(lab.node, "/e");
    EXPECT_EQ(sim_file_size(lab.node, "/e/a"), -ENOENT);
    lab_boot(&lab);
    EXPECT(lab_open(&lab, &handle, "/e/a", NEW) >= 0);
    lab_free(&lab);
}
