/* Each operation on files as a program sees it. */
#include "tests/unit/sim/lab.h"

#define RW (IO_OPEN_READ | IO_OPEN_WRITE)
#define NEW (RW | IO_OPEN_CREATE)

TEST(open_tells_why_it_can_not)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    EXPECT_EQ(lab_open(&lab, &handle, "/d/a", RW), -ENOENT);
    EXPECT_EQ(lab_open(&lab, &handle, "/elsewhere/a", NEW), -ENOENT);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/x/a", NEW), -ENOENT);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/../a", NEW), -EXDEV);
    EXPECT_EQ(lab_open(&lab, &handle, "/d", RW), -EISDIR);
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    io_handle_close(lab.io, &handle);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/a", NEW | IO_OPEN_EXCLUSIVE), -EEXIST);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/a", IO_OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/a/b", RW), -ENOTDIR);
    sim_node_fd_limit(lab.node, 0);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/a", RW), -EMFILE);
    EXPECT_EQ(lab_open(&lab, &handle, "/d/b", NEW), -EMFILE);
    EXPECT_EQ(sim_file_size(lab.node, "/d/b"), -ENOENT);
    lab_free(&lab);
}

TEST(reads_and_writes_follow_the_open_mode)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    char byte = 'x';
    EXPECT(lab_open(&lab, &handle, "/d/a", IO_OPEN_WRITE | IO_OPEN_CREATE) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 3, &byte, 1), 1);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, &byte, 1), -EBADF);
    io_handle_close(lab.io, &handle);
    EXPECT(lab_open(&lab, &handle, "/d/a", IO_OPEN_READ) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, &byte, 1), -EBADF);
    EXPECT_EQ(lab_on(&lab, IO_RESIZE, handle.fd, 0, 9), -EINVAL);
    EXPECT_EQ(lab_on(&lab, IO_PUNCH, handle.fd, 0, 9), -EBADF);
    char data[8] = {0};
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, sizeof(data)), 4);
    EXPECT(data[0] == 0 && data[3] == 'x');
    EXPECT_EQ(lab_read(&lab, handle.fd, 4, data, sizeof(data)), 0);
    io_handle_close(lab.io, &handle);
    EXPECT_EQ(lab_read(&lab, 3, 0, data, 1), -EBADF);
    EXPECT(lab_open(&lab, &handle, "/d", IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), -EISDIR);
    io_handle_close(lab.io, &handle);
    ledger_check_empty(&lab.io->ledger);
    lab_free(&lab);
}

TEST(direct_transfers_demand_alignment_and_see_the_page_cache)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle direct, cached;
    static _Alignas(4096) char data[1024];
    EXPECT(lab_open(&lab, &direct, "/d/a", NEW | IO_OPEN_DIRECT) >= 0);
    EXPECT(lab_open(&lab, &cached, "/d/a", RW) >= 0);
    EXPECT_EQ(lab_write(&lab, direct.fd, 0, data, 100), -EINVAL);
    EXPECT_EQ(lab_write(&lab, direct.fd, 100, data, 512), -EINVAL);
    EXPECT_EQ(lab_write(&lab, direct.fd, 0, data + 1, 512), -EINVAL);
    EXPECT_EQ(lab_write(&lab, direct.fd, 0, data, 512), 512);
    EXPECT_EQ(lab_write(&lab, cached.fd, 7, "z", 1), 1);
    EXPECT_EQ(lab_read(&lab, direct.fd, 0, data, 512), 512);
    EXPECT_EQ(data[7], 'z');
    sim_mount_options(lab.node, "/d")->direct_alignment = 4096;
    EXPECT_EQ(lab_write(&lab, direct.fd, 0, data, 512), -EINVAL);
    io_handle_close(lab.io, &direct);
    io_handle_close(lab.io, &cached);
    sim_mount_options(lab.node, "/d")->refuses_direct = true;
    EXPECT_EQ(lab_open(&lab, &direct, "/d/a", RW | IO_OPEN_DIRECT), -EINVAL);
    lab_free(&lab);
}

TEST(short_transfers_do_less_but_never_nothing)
{
    struct lab lab = lab_new(1, NULL);
    sim_mount_options(lab.node, "/d")->short_per_million = 1000000;
    struct io_handle handle;
    static _Alignas(4096) char data[4096];
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    for (int i = 0; i < 50; i++) {
        int64_t size = lab_write(&lab, handle.fd, 0, data, 100);
        EXPECT(size >= 1 && size < 100);
        size = lab_read(&lab, handle.fd, 0, data, 1);
        EXPECT_EQ(size, 1);
    }
    io_handle_close(lab.io, &handle);
    EXPECT(lab_open(&lab, &handle, "/d/a", RW | IO_OPEN_DIRECT) >= 0);
    for (int i = 0; i < 50; i++) {
        int64_t size = lab_write(&lab, handle.fd, 0, data, 4096);
        EXPECT(size >= 512 && size < 4096 && size % 512 == 0);
    }
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_full_disk_writes_what_fits_and_then_says_so)
{
    struct sim_disk_options options = {.capacity = 4 * 4096, .write_ns = 1000};
    struct lab lab = lab_new(1, &options);
    struct io_handle handle;
    struct io_stat stat;
    char data[4096 * 5];
    memset(data, 1, sizeof(data));
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 10, data, sizeof(data)), 4 * 4096 - 10);
    EXPECT_EQ(lab_write(&lab, handle.fd, 4 * 4096, data, 1), -ENOSPC);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, 4096), 4096); /* in place: no new block */
    EXPECT_EQ(lab_on(&lab, IO_ALLOCATE, handle.fd, 4 * 4096, 1), -ENOSPC);
    struct io_op space = {.kind = IO_SPACE, .fd = handle.fd, .ret_stat = &stat};
    EXPECT_EQ(lab_call(&lab, space), 0);
    EXPECT_EQ(stat.allocated, 0);
    EXPECT_EQ(lab_on(&lab, IO_PUNCH, handle.fd, 0, 4096), 0);
    EXPECT_EQ(lab_call(&lab, space), 0);
    EXPECT_EQ(stat.allocated, 4096);
    EXPECT_EQ(lab_on(&lab, IO_ALLOCATE, handle.fd, 4 * 4096, 100), 0);
    EXPECT_EQ(sim_file_size(lab.node, "/d/a"), 4 * 4096 + 100);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/a", NULL, 0), 0);
    EXPECT_EQ(lab_call(&lab, space), 0);
    EXPECT_EQ(stat.allocated, 0); /* lives until its last close */
    io_handle_close(lab.io, &handle);
    EXPECT(lab_open(&lab, &handle, "/d/b", NEW) >= 0);
    EXPECT_EQ(lab_on(&lab, IO_ALLOCATE, handle.fd, 0, 4 * 4096), 0);
    io_handle_close(lab.io, &handle);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/b", NULL, 0), 0);
    EXPECT(lab_open(&lab, &handle, "/d", IO_OPEN_READ) >= 0);
    space.fd = handle.fd;
    EXPECT_EQ(lab_call(&lab, space), 0);
    EXPECT_EQ(stat.allocated, 4 * 4096);
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_removed_file_lives_until_its_last_close)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    char data[4] = {0};
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "abc", 3), 3);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/a", NULL, 0), 0);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/a", NULL, 0), -ENOENT);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 3), 3);
    EXPECT_TEXT(data, "abc");
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(rename_replaces_an_open_file)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle a, b;
    char data[2] = {0};
    EXPECT(lab_open(&lab, &a, "/d/a", NEW) >= 0);
    EXPECT(lab_open(&lab, &b, "/d/b", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, a.fd, 0, "a", 1), 1);
    EXPECT_EQ(lab_write(&lab, b.fd, 0, "b", 1), 1);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/a", "/d/b", 0), 0);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/a", "/d/b", 0), -ENOENT);
    EXPECT_EQ(sim_file_read(lab.node, "/d/b", 0, data, 1), 1);
    EXPECT_TEXT(data, "a");
    EXPECT_EQ(lab_read(&lab, b.fd, 0, data, 1), 1);
    EXPECT_TEXT(data, "b");
    io_handle_close(lab.io, &a);
    io_handle_close(lab.io, &b);
    lab_free(&lab);
}

TEST(directories_are_made_moved_and_removed_by_their_rules)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/x", NULL, 0), 0);
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/x", NULL, 0), -EEXIST);
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/y/z", NULL, 0), -ENOENT);
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/x/y", NULL, 0), 0);
    EXPECT(lab_open(&lab, &handle, "/d/x/y/f", NEW) >= 0);
    io_handle_close(lab.io, &handle);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/x/y", NULL, IO_OPEN_DIRECTORY), -ENOTEMPTY);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/x/y", NULL, 0), -EISDIR);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/x/y/f", NULL, IO_OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/x", "/d/x/y/z", 0), -EINVAL);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/x/y/f", "/d/x/y", 0), -ENOTEMPTY);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/x/y", "/d/x/y/f", 0), -EINVAL);
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/w", NULL, 0), 0);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/w", "/d/x/y", 0), -ENOTEMPTY);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/x/y/f", "/d/w", 0), -EISDIR);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/x/y", "/d/w", 0), 0);
    EXPECT_EQ(sim_file_size(lab.node, "/d/w/f"), 0);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d/x", NULL, IO_OPEN_DIRECTORY), 0);
    EXPECT_EQ(lab_named(&lab, IO_UNLINK, "/d", NULL, IO_OPEN_DIRECTORY), -EBUSY);
    lab_free(&lab);
}

TEST(paths_lead_beneath_their_directory_only)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle directory, file = IO_HANDLE_NONE;
    EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/x", NULL, 0), 0);
    EXPECT(lab_open(&lab, &directory, "/d/x", IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
    struct io_op open = {.kind = IO_OPEN,
        .fd = directory.fd,
        .open_flags = NEW,
        .ret_handle = &file,
        .path = "../a"};
    EXPECT_EQ(lab_call(&lab, open), -EXDEV);
    open.path = "/d/a";
    EXPECT_EQ(lab_call(&lab, open), -EXDEV);
    open.path = "./a";
    EXPECT(lab_call(&lab, open) >= 0);
    EXPECT_EQ(sim_file_size(lab.node, "/d/x/a"), 0);
    open.fd = file.fd;
    open.path = "b";
    EXPECT_EQ(lab_call(&lab, open), -ENOTDIR);
    char name[300];
    memset(name, 'n', sizeof(name));
    name[299] = '\0';
    open.fd = directory.fd;
    open.path = name;
    EXPECT_EQ(lab_call(&lab, open), -ENAMETOOLONG);
    io_handle_close(lab.io, &file);
    io_handle_close(lab.io, &directory);
    lab_free(&lab);
}

TEST(a_mount_beneath_a_mount_is_another_disk)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    sim_mount_new(lab.node, "/d/e", NULL);
    EXPECT(lab_open(&lab, &handle, "/d/e/a", NEW) >= 0);
    io_handle_close(lab.io, &handle);
    EXPECT_EQ(lab_named(&lab, IO_RENAME, "/d/e/a", "/d/a", 0), -EXDEV);
    EXPECT_EQ(sim_file_size(lab.node, "/d/e/a"), 0);
    lab_free(&lab);
}

TEST(stat_tells_size_blocks_and_identity)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    struct io_stat by_name, by_handle;
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 5000, "x", 1), 1);
    EXPECT_EQ(lab_call(&lab,
                  (struct io_op){
                      .kind = IO_STAT, .fd = IO_FD_NONE, .path = "/d/a", .ret_stat = &by_name}),
        0);
    EXPECT_EQ(
        lab_call(&lab, (struct io_op){.kind = IO_STAT, .fd = handle.fd, .ret_stat = &by_handle}),
        0);
    EXPECT_EQ(by_name.size, 5001);
    EXPECT_EQ(by_name.allocated, 4096);
    EXPECT_EQ(by_name.inode, by_handle.inode);
    EXPECT(!by_name.is_directory);
    EXPECT_EQ(lab_call(&lab,
                  (struct io_op){
                      .kind = IO_STAT, .fd = IO_FD_NONE, .path = "/d/b", .ret_stat = &by_name}),
        -ENOENT);
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_lock_is_held_until_its_handle_closes)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle a, b;
    EXPECT(lab_open(&lab, &a, "/d/a", NEW) >= 0);
    EXPECT(lab_open(&lab, &b, "/d/a", RW) >= 0);
    EXPECT_EQ(lab_on(&lab, IO_LOCK, a.fd, 0, 0), 0);
    EXPECT_EQ(lab_on(&lab, IO_LOCK, a.fd, 0, 0), 0);
    EXPECT_EQ(lab_on(&lab, IO_LOCK, b.fd, 0, 0), -EWOULDBLOCK);
    io_handle_close(lab.io, &a);
    EXPECT_EQ(lab_on(&lab, IO_LOCK, b.fd, 0, 0), 0);
    sim_node_kill(lab.node);
    lab_boot(&lab);
    EXPECT(lab_open(&lab, &a, "/d/a", RW) >= 0);
    EXPECT_EQ(lab_on(&lab, IO_LOCK, a.fd, 0, 0), 0);
    lab_free(&lab);
}

static void collect_name(void *context, const char *name, bool is_directory)
{
    char *text = context;
    (void)strcat(text, name);
    if (is_directory)
        (void)strcat(text, "/");
}

TEST(a_listing_has_every_name_once_in_no_order)
{
    char first[32] = "";
    bool differs = false;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        char text[32] = "";
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        io_handle_close(lab.io, &handle);
        EXPECT(lab_open(&lab, &handle, "/d/b", NEW) >= 0);
        io_handle_close(lab.io, &handle);
        EXPECT_EQ(lab_named(&lab, IO_MKDIR, "/d/c", NULL, 0), 0);
        EXPECT(lab_open(&lab, &handle, "/d", IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
        EXPECT_EQ(
            lab_call(&lab,
                (struct io_op){
                    .kind = IO_LIST, .fd = handle.fd, .each_entry = collect_name, .context = text}),
            0);
        EXPECT_EQ(strlen(text), 4);
        EXPECT(strchr(text, 'a') && strchr(text, 'b') && strstr(text, "c/"));
        differs |= seed > 1 && strcmp(text, first) != 0;
        memcpy(first, text, sizeof(first));
        lab_free(&lab);
    }
    EXPECT(differs);
}

TEST(errors_that_are_switched_on_arrive)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    char data[512] = {1};
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, 512), 512);
    struct sim_disk_faults *faults = sim_mount_faults(lab.node, "/d");
    *faults = (struct sim_disk_faults){.read_error_per_million = 1000000};
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), -EIO);
    *faults = (struct sim_disk_faults){.write_error_per_million = 1000000};
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, 1), -EIO);
    *faults = (struct sim_disk_faults){.is_full = true};
    EXPECT_EQ(lab_write(&lab, handle.fd, 8192, data, 1), -ENOSPC);
    *faults = (struct sim_disk_faults){.is_offline = true};
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), -EIO);
    *faults = (struct sim_disk_faults){0};
    sim_file_make_bad(lab.node, "/d/a", 0, 1);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), -EIO);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, 1), -EIO); /* needs the rest of the sector */
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, 512), 512);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), 1);
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

struct damage {
    unsigned count;
    char path[64];
};

static void note_damage(
    void *context, struct sim_node *node, const char *path, uint64_t offset, uint64_t size)
{
    struct damage *damage = context;
    (void)node, (void)offset, (void)size;
    damage->count++;
    (void)snprintf(damage->path, sizeof(damage->path), "%s", path);
}

TEST(a_lost_write_is_acknowledged_and_leaves_the_old_bytes)
{
    struct lab lab = lab_new(1, NULL);
    struct damage damage = {0};
    sim_world_observe(lab.world, &(struct sim_observer){.context = &damage, .damage = note_damage});
    struct io_handle handle;
    char data[2] = {0};
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "a", 1), 1);
    sim_mount_faults(lab.node, "/d")->lost_write_per_million = 1000000;
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "b", 1), 1);
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 1), 1);
    EXPECT_TEXT(data, "a");
    EXPECT_EQ(damage.count, 1);
    EXPECT_EQ(lab_write(&lab, handle.fd, 7, "b", 1), 1);
    EXPECT_EQ(sim_file_size(lab.node, "/d/a"), 8); /* the size is the file system's */
    EXPECT_TEXT(damage.path, "/d/a");
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_misdirected_write_lands_in_another_sector)
{
    bool landed = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct io_handle handle;
        char data[4096] = {0};
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        EXPECT_EQ(lab_write(&lab, handle.fd, 0, data, sizeof(data)), 4096);
        sim_mount_faults(lab.node, "/d")->misdirected_write_per_million = 1000000;
        EXPECT_EQ(lab_write(&lab, handle.fd, 0, "b", 1), 1);
        EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, sizeof(data)), 4096);
        for (size_t i = 512; i < sizeof(data); i += 512)
            landed |= data[i] == 'b';
        io_handle_close(lab.io, &handle);
        lab_free(&lab);
    }
    EXPECT(landed);
}

TEST(the_nth_operation_is_refused_once_or_for_ever)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    struct sim_refusal *refusal = sim_node_refusal(lab.node);
    *refusal = (struct sim_refusal){.countdown = 2, .kinds = BIT(IO_WRITE), .error = EDQUOT};
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "a", 1), 1);
    EXPECT_EQ(lab_on(&lab, IO_SYNC, handle.fd, 0, 0), 0);
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "b", 1), -EDQUOT);
    EXPECT_EQ(lab_write(&lab, handle.fd, 1, "c", 1), 1);
    EXPECT_EQ(refusal->seen, 3);
    EXPECT(refusal->fired);
    *refusal = (struct sim_refusal){.countdown = 1, .for_ever = true};
    EXPECT_EQ(lab_write(&lab, handle.fd, 0, "b", 1), -EIO);
    EXPECT_EQ(lab_on(&lab, IO_ALLOCATE, handle.fd, 0, 1), -ENOSPC);
    *refusal = (struct sim_refusal){0};
    char data[3] = {0};
    EXPECT_EQ(lab_read(&lab, handle.fd, 0, data, 2), 2);
    EXPECT_TEXT(data, "ac");
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_call_takes_virtual_time)
{
    struct lab lab = lab_new(1, NULL);
    struct io_handle handle;
    uint64_t before = io_now(lab.io), wall = io_wall(lab.io);
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT(io_now(lab.io) > before);
    EXPECT_EQ(io_wall(lab.io) - wall, io_now(lab.io) - before);
    sim_node_clock_set(lab.node, -5000000000, 0);
    EXPECT_EQ((int64_t)(io_wall(lab.io) - wall), (int64_t)(io_now(lab.io) - before) - 5000000000);
    io_handle_close(lab.io, &handle);
    lab_free(&lab);
}

TEST(a_slow_disk_takes_a_hundred_times_longer)
{
    uint64_t took[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct lab lab = lab_new(7, NULL);
        struct io_handle handle;
        EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
        sim_mount_faults(lab.node, "/d")->latency_factor = i ? 100 : 1;
        uint64_t before = io_now(lab.io);
        EXPECT_EQ(lab_write(&lab, handle.fd, 0, "a", 1), 1);
        took[i] = io_now(lab.io) - before;
        lab_free(&lab);
    }
    EXPECT(took[1] > 50 * took[0]);
}
