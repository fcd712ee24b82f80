/* A node with one disk and one loop, and calls on it in one line each. */
#ifndef CAIRN_TESTS_SIM_LAB_H
#define CAIRN_TESTS_SIM_LAB_H

#include <errno.h>

#include "sim/disk.h"
#include "tests/lib/test.h"

struct lab {
    struct sim_world *world;
    struct sim_node *node;
    struct io *io;
    struct owner owner;
};

static inline void lab_boot(struct lab *lab)
{
    lab->io = sim_loop_new(lab->world, lab->node, 0);
    owner_open(&lab->owner, "lab", DIRECTION_OWN, 0);
}

/* options NULL: a disk without surprises. */
static inline struct lab lab_new(uint64_t seed, const struct sim_disk_options *options)
{
    static const struct sim_disk_options plain = {.capacity = 64 << 20,
        .direct_alignment = 512,
        .read_ns = 50000,
        .write_ns = 4000,
        .sync_ns = 200000,
        .meta_ns = 10000};
    struct lab lab = {.world = sim_world_new(seed)};
    lab.node = sim_node_new(lab.world, "s1", NULL);
    sim_mount_new(lab.node, "/d", options ? options : &plain);
    lab_boot(&lab);
    return lab;
}

/* A disk whose manners are drawn from the seed. */
static inline struct lab lab_drawn(uint64_t seed)
{
    struct sim_disk_options options;
    struct prng prng;
    prng_init(&prng, seed);
    sim_disk_options_draw(&options, &prng);
    return lab_new(seed, &options);
}

static inline void lab_free(struct lab *lab)
{
    sim_world_free(lab->world);
}

static inline int64_t lab_call(struct lab *lab, struct io_op op)
{
    op.owner = &lab->owner;
    return io_call(lab->io, &op);
}

static inline int64_t lab_open(
    struct lab *lab, struct io_handle *handle, const char *path, uint32_t flags)
{
    *handle = IO_HANDLE_NONE;
    return lab_call(lab, (struct io_op){.kind = IO_OPEN,
                             .fd = IO_FD_NONE,
                             .path = path,
                             .open_flags = flags,
                             .ret_handle = handle});
}

static inline int64_t lab_write(
    struct lab *lab, int fd, uint64_t offset, const void *data, size_t size)
{
    struct iovec iov = {(void *)(uintptr_t)data, size};
    return lab_call(lab,
        (struct io_op){.kind = IO_WRITE, .fd = fd, .offset = offset, .iov = &iov, .iov_count = 1});
}

static inline int64_t lab_write_dsync(
    struct lab *lab, int fd, uint64_t offset, const void *data, size_t size)
{
    struct iovec iov = {(void *)(uintptr_t)data, size};
    return lab_call(lab, (struct io_op){.kind = IO_WRITE,
                             .fd = fd,
                             .offset = offset,
                             .iov = &iov,
                             .iov_count = 1,
                             .write_flags = IO_WRITE_DSYNC});
}

static inline int64_t lab_read(struct lab *lab, int fd, uint64_t offset, void *data, size_t size)
{
    struct iovec iov = {data, size};
    return lab_call(lab,
        (struct io_op){.kind = IO_READ, .fd = fd, .offset = offset, .iov = &iov, .iov_count = 1});
}

static inline int64_t lab_on(
    struct lab *lab, enum io_kind kind, int fd, uint64_t offset, uint64_t size)
{
    return lab_call(lab, (struct io_op){.kind = kind, .fd = fd, .offset = offset, .size = size});
}

static inline int64_t lab_named(
    struct lab *lab, enum io_kind kind, const char *path, const char *path_to, uint32_t flags)
{
    return lab_call(lab,
        (struct io_op){
            .kind = kind, .fd = IO_FD_NONE, .path = path, .path_to = path_to, .open_flags = flags});
}

static inline int64_t lab_sync_directory(struct lab *lab, const char *path)
{
    struct io_handle handle;
    int64_t result = lab_open(lab, &handle, path, IO_OPEN_READ | IO_OPEN_DIRECTORY);
    if (result >= 0)
        result = lab_on(lab, IO_SYNC, handle.fd, 0, 0);
    io_handle_close(lab->io, &handle);
    return result;
}

static inline void lab_power_cycle(struct lab *lab)
{
    sim_node_power_loss(lab->node);
    lab_boot(lab);
}

#endif
