#include "tests/bench/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/prng.h"

enum { STEP_SIZE = 1 << 20 };

uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void wait_until(uint64_t until_ns)
{
    uint64_t expirations;
    struct itimerspec at = {
        .it_value = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(timer >= 0 && timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) == 0);
    CHECK(read(timer, &expirations, sizeof expirations) == sizeof expirations);
    (void)close(timer);
}

void pin_to(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        (void)fprintf(stderr, "limits: cannot pin a thread to CPU %u\n", cpu);
}

void *pages_new(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    (void)madvise(pages, size, MADV_HUGEPAGE);
    memset(pages, 0, size); /* faults now, not while measuring */
    return pages;
}

void pages_free(void *pages, size_t size)
{
    CHECK(munmap(pages, size) == 0);
}

void ring_open(struct io_uring *ring)
{
    unsigned flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER
                     | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    struct io_uring_params params = {.flags = flags, .cq_entries = 4096};
    int result = io_uring_queue_init_params(1024, ring, &params);
    if (result < 0) {
        (void)fprintf(stderr, "limits: io_uring: %s\n", strerror(-result));
        exit(1);
    }
}

/* ---- the file that is read ---- */

static void write_all(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)offset);
        if (written <= 0) {
            (void)fprintf(stderr, "limits: writing a file: %s\n", strerror(errno));
            exit(1);
        }
        bytes += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
}

static void fill(const struct data_file *file)
{
    struct prng prng;
    uint8_t *step = pages_new(STEP_SIZE);
    prng_init(&prng, 1);
    for (uint64_t offset = 0; offset < file->size; offset += STEP_SIZE) {
        for (size_t i = 0; i < STEP_SIZE; i += 8)
            put_u64(step + i, prng_next(&prng));
        write_all(file->fd, step, STEP_SIZE, offset);
    }
    CHECK(fdatasync(file->fd) == 0);
    pages_free(step, STEP_SIZE);
}

static void compute_crcs(struct data_file *file)
{
    uint8_t *block = pages_new(SUM_BLOCK);
    file->page_crcs = calloc(file->size / PAGE, sizeof *file->page_crcs);
    file->block_crcs = calloc(file->size / SUM_BLOCK, sizeof *file->block_crcs);
    CHECK(file->page_crcs && file->block_crcs);
    for (uint64_t offset = 0; offset < file->size; offset += SUM_BLOCK) {
        CHECK(pread(file->fd, block, SUM_BLOCK, (off_t)offset) == SUM_BLOCK);
        file->block_crcs[offset / SUM_BLOCK] = crc32_update(0, block, SUM_BLOCK);
        for (size_t at = 0; at < SUM_BLOCK; at += PAGE)
            file->page_crcs[(offset + at) / PAGE] = crc32_update(0, block + at, PAGE);
    }
    pages_free(block, SUM_BLOCK);
}

static void path_of(const char *directory, const char *name, char path[PATH_MAX])
{
    CHECK(snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX);
}

static int open_in(const char *directory, const char *name, int flags)
{
    char path[PATH_MAX];
    path_of(directory, name, path);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)fprintf(stderr, "limits: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    return fd;
}

void data_file_open(struct data_file *file, const char *directory, uint64_t size)
{
    struct stat stat;
    *file = (struct data_file){.size = round_up(size, STEP_SIZE)};
    file->fd = open_in(directory, "limits.data", O_RDWR | O_CREAT);
    file->direct_fd = open_in(directory, "limits.data", O_RDONLY | O_DIRECT);
    CHECK(fstat(file->fd, &stat) == 0);
    if ((uint64_t)stat.st_size != file->size) {
        CHECK(ftruncate(file->fd, 0) == 0);
        fill(file);
    }
    compute_crcs(file);
}

void data_file_close(struct data_file *file)
{
    free(file->page_crcs);
    free(file->block_crcs);
    (void)close(file->direct_fd);
    (void)close(file->fd);
}

void data_file_remove(const char *directory)
{
    char path[PATH_MAX];
    path_of(directory, "limits.data", path);
    (void)unlink(path);
}

bool data_file_verify(
    const struct data_file *file, uint64_t offset, const uint8_t *body, size_t size)
{
    const uint32_t *crcs = size < SUM_BLOCK ? file->page_crcs : file->block_crcs;
    size_t unit = size < SUM_BLOCK ? PAGE : SUM_BLOCK;
    for (size_t at = 0; at < size; at += unit)
        if (crc32_update(0, body + at, unit) != crcs[(offset + at) / unit])
            return false;
    return true;
}

/* ---- files that are written ---- */

int log_file_open(const char *directory, uint64_t size, int flags, bool is_zeroed)
{
    int fd = open_in(directory, ".", O_RDWR | O_TMPFILE | flags);
    if (size > 0 && fallocate(fd, 0, 0, (off_t)size) != 0) {
        (void)fprintf(stderr, "limits: %s: no room for a log: %s\n", directory, strerror(errno));
        exit(1);
    }
    if (is_zeroed) {
        uint8_t *zeros = pages_new(STEP_SIZE);
        for (uint64_t offset = 0; offset < size; offset += STEP_SIZE)
            write_all(fd, zeros, STEP_SIZE, offset);
        pages_free(zeros, STEP_SIZE);
    }
    CHECK(fsync(fd) == 0);
    return fd;
}
