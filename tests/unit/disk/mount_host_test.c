/* A mount point in a real directory, through io_uring and plain system calls. */
#include "disk/mount.h"
#include "tests/unit/io/fixture.h"

static const struct mount_identity identity = {
    .cluster_uuid = {1},
    .storage_uuid = {2},
    .machine = 1,
    .index = 0,
    .group = "g1",
};

static void remove_tree(struct fixture *fixture)
{
    static const char *const names[] = {
        "m/chunks", "m/singles", "m/new", "m/log", "m/ckpt", "m/cairn.mount", "m"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct io_op op = fixture_op(fixture, IO_UNLINK, fixture->directory.fd);
        op.path = names[i];
        op.open_flags = strcmp(names[i], "m/cairn.mount") == 0 ? 0 : IO_OPEN_DIRECTORY;
        EXPECT_EQ(io_call(fixture->io, &op), 0);
    }
}

struct waiter {
    struct mount_update update;
    err_t err;
    bool has_ended;
};

static void update_ended(struct mount_update *update, err_t err)
{
    struct waiter *waiter = CONTAINER_OF(update, struct waiter, update);
    waiter->err = err;
    waiter->has_ended = true;
}

static void update(struct fixture *fixture, struct mount *mount)
{
    struct waiter waiter = {.has_ended = false};
    EXPECT(mount_update_start(&waiter.update, mount, true, update_ended));
    for (unsigned turns = 0; !waiter.has_ended; turns++) {
        EXPECT(turns < 10000);
        io_turn(fixture->io, true);
    }
    EXPECT_OK(waiter.err);
}

TEST(a_mount_point_in_a_real_directory_is_formatted_locked_entered_and_updated)
{
    struct fixture fixture;
    struct mount mount, second;
    char path[80];
    fixture_open(&fixture, &(struct backend_options){.entries = 32});
    (void)snprintf(path, sizeof path, "%s/m", fixture.path);
    struct mount_format_options format = {
        path, identity, {2, 1 << 20, 64 << 10, 1 << 20, 0}, 0, false};
    struct mount_open_options options = {path, identity, 0};
    EXPECT_ERR(mount_open(&mount, fixture.io, &options), NOT_FOUND);
    EXPECT_OK(mount_format(&mount, fixture.io, &format));
    EXPECT_ERR(mount_format(&mount, fixture.io, &format), EXISTS);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        EXPECT_OK(mount_open(&mount, fixture.io, &options));
        EXPECT_ERR(mount_open(&second, fixture.io, &options), BUSY);
        EXPECT_EQ(second.refusal, MOUNT_LOCKED);
        EXPECT(mount.was_clean && !mount.copy_is_damaged);
        EXPECT_OK(mount_enter(&mount));
        EXPECT_EQ(mount.image.status.epoch, epoch);
        EXPECT_EQ(mount.image.status.expected_files, epoch - 1);
        mount.image.status.expected_files = epoch;
        update(&fixture, &mount);
        EXPECT(mount.total_bytes > 0 && mount_state(&mount) == MOUNT_STATE_ONLINE);
        EXPECT_OK(mount_finish(&mount));
        mount_close(&mount);
    }
    remove_tree(&fixture);
    fixture_close(&fixture);
}
