#include "tests/bench/limits.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/prng.h"

enum { OBJECT_SIZE = 4096, BATCH = 32, LOG_SIZE = 64 << 20 };

struct disk {
    const struct cell *cell;
    struct prng prng;
    int log_fd;
    uint64_t at;
    uint8_t *buffer;
    unsigned objects; /* of one step */
};

/* ---- steps ---- */

static void read_page(struct disk *disk, int fd)
{
    uint64_t page = prng_below(&disk->prng, disk->cell->data->size / PAGE);
    CHECK(pread(fd, disk->buffer, PAGE, (off_t)(page * PAGE)) == PAGE);
}

static void append_sync(struct disk *disk)
{
    CHECK(pwrite(disk->log_fd, disk->buffer, OBJECT_SIZE, (off_t)disk->at) == OBJECT_SIZE);
    CHECK(fdatasync(disk->log_fd) == 0);
    disk->at += OBJECT_SIZE;
}

static void append_direct(struct disk *disk)
{
    struct iovec iov = {disk->buffer, (size_t)disk->objects * OBJECT_SIZE};
    if (disk->at + iov.iov_len > LOG_SIZE)
        disk->at = 0;
    CHECK(pwritev2(disk->log_fd, &iov, 1, (off_t)disk->at, RWF_DSYNC) == (ssize_t)iov.iov_len);
    disk->at += iov.iov_len;
}

static void step(struct disk *disk)
{
    switch (disk->cell->work) {
    case WORK_READ:
        return read_page(disk, disk->cell->data->fd);
    case WORK_COLD_READ:
        return read_page(disk, disk->cell->data->direct_fd);
    case WORK_APPEND_SYNC:
        return append_sync(disk);
    default:
        return append_direct(disk);
    }
}

/* ---- the loop ---- */

static void open_log(struct disk *disk)
{
    const char *directory = disk->cell->directory;
    if (disk->cell->work == WORK_APPEND_SYNC)
        disk->log_fd = log_file_open(directory, 0, 0, false);
    else
        disk->log_fd = log_file_open(directory, LOG_SIZE, O_DIRECT, true);
}

static void loop(struct disk *disk, struct result *ret)
{
    uint64_t begin = clock_ns(CLOCK_MONOTONIC), now = begin, before = begin;
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    while (now - begin < disk->cell->duration_ns) {
        step(disk);
        now = clock_ns(CLOCK_MONOTONIC);
        latency_add(&ret->latency, now - before);
        before = now;
        ret->count += disk->objects;
    }
    ret->duration_ns = now - begin;
    ret->server_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    ret->commits = ret->latency.count;
}

void disk_cell_run(const struct cell *cell, struct result *ret)
{
    struct disk disk = {.cell = cell, .objects = cell->work == WORK_APPEND_BATCHES ? BATCH : 1};
    size_t size = (size_t)BATCH * OBJECT_SIZE;
    bool is_read = cell->work == WORK_READ || cell->work == WORK_COLD_READ;
    pin_to(0);
    prng_init(&disk.prng, 2);
    disk.buffer = pages_new(size);
    if (!is_read)
        open_log(&disk);
    loop(&disk, ret);
    if (!is_read)
        (void)close(disk.log_fd);
    pages_free(disk.buffer, size);
}
