/* The plain loops that a machine can do, to compare Cairn with in the same run: what is left when a
 * file store is nothing but a socket, a read or a write, and a checksum.
 *
 *   limits.c         options, what is measured, output
 *   limits_net.c     one cell with a network: starts servers and clients, watches the clock
 *   limits_server.c  the server's loop        limits_client.c  the clients' loop
 *   limits_put.c     what the server does with an upload: group commit
 *   limits_disk.c    the loops without a network
 *   limits_file.c    files and memory
 *
 * Request on the wire: 32 bytes (offset, size, checksum of the body, zero), then for uploads the
 * body. Answer: the same 32 bytes, then for downloads the body. */
#ifndef CAIRN_TESTS_BENCH_LIMITS_H
#define CAIRN_TESTS_BENCH_LIMITS_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/units.h"
#include "bin/latency.h"

enum {
    HEAD_SIZE = 32,
    PAGE = 4096,
    SUM_BLOCK = 64 << 10,   /* that has a checksum of its own */
    PIECE_SIZE = 256 << 10, /* of a large body: received, then written; read, then sent */
    INLINE_MAX = SUM_BLOCK, /* larger uploads go to a file, without a log */
    THREADS_MAX = 8,
    CONNECTIONS_MAX = 1024,
};

enum work {
    WORK_GET,      /* pread, checksum verified, send */
    WORK_SENDFILE, /* the bytes never pass the server: no checksum */
    WORK_PUT_MEMORY,
    WORK_PUT_DURABLE,    /* large ones: through the page cache, fdatasync */
    WORK_PUT_DIRECT,     /* large ones only: O_DIRECT, fdatasync */
    WORK_READ,           /* pread of a cached page */
    WORK_COLD_READ,      /* O_DIRECT, queue depth 1 */
    WORK_APPEND_SYNC,    /* append to a growing file, fdatasync */
    WORK_APPEND_DIRECT,  /* O_DIRECT, RWF_DSYNC, into a zeroed file; one object for each write */
    WORK_APPEND_BATCHES, /* the same, 32 objects for each write */
    WORK_COUNT,
};

/* The file that is read: random bytes from a fixed seed, in the page cache, with the checksum of
 * each page and of each block. */
struct data_file {
    int fd, direct_fd; /* buffered; O_DIRECT */
    uint64_t size;
    uint32_t *page_crcs, *block_crcs;
};

struct cell {
    enum work work;
    uint64_t size;
    unsigned client_count, thread_count; /* threads of the server, and of the clients */
    unsigned in_flight;                  /* commits at the same time */
    bool client_checks;                  /* clients copy and verify; otherwise they throw away */
    uint64_t duration_ns;
    const char *directory;
    const struct data_file *data;
};

struct result {
    uint64_t count, duration_ns, server_cpu_ns, commits;
    struct latency latency;
};

/* ---- limits_file.c ---- */

/** Make, or find again, the file `data` in `directory`, bring it into the page cache and compute
 * its checksums. */
void data_file_open(struct data_file *file, const char *directory, uint64_t size);
void data_file_close(struct data_file *file);
void data_file_remove(const char *directory);

/** A new file without a name; zeroed: its blocks are written, not only allocated. */
int log_file_open(const char *directory, uint64_t size, int flags, bool is_zeroed);

/** Zeroed memory, aligned to pages, huge pages where the kernel has them. */
void *pages_new(size_t size);
void pages_free(void *pages, size_t size);

uint64_t clock_ns(clockid_t clock);
/** Return when CLOCK_MONOTONIC has reached `until_ns`. */
void wait_until(uint64_t until_ns);
void pin_to(unsigned cpu);

/** Whether `size` bytes at `body`, from `offset` of the file, are what was written. Whole pages (up
 * to a page) or whole blocks. */
bool data_file_verify(
    const struct data_file *file, uint64_t offset, const uint8_t *body, size_t size);

/* ---- limits_disk.c, limits_net.c ---- */

void disk_cell_run(const struct cell *cell, struct result *ret);
void net_cell_run(const struct cell *cell, struct result *ret);

/* ---- a loop on a ring; what ended is named by a pointer and a tag in its low bits ---- */

enum tag { TAG_RECV, TAG_SEND, TAG_ACCEPT, TAG_STOP, TAG_COMMIT, TAG_PIECE, TAG_MASK = 7 };

static inline struct io_uring_sqe *ring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (!sqe) {
        CHECK(io_uring_submit(ring) >= 0);
        sqe = io_uring_get_sqe(ring);
        CHECK(sqe);
    }
    return sqe;
}

/** Say what has ended, when it ends. After the prep function, which sets all else. */
static inline void sqe_name(struct io_uring_sqe *sqe, const void *of, enum tag tag)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)of | tag);
}

static inline void *cqe_of(const struct io_uring_cqe *cqe)
{
    return (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
}

static inline enum tag cqe_tag(const struct io_uring_cqe *cqe)
{
    return (enum tag)(cqe->user_data & TAG_MASK);
}

/** A ring for the calling thread alone. */
void ring_open(struct io_uring *ring);

/* ---- limits_server.c ---- */

struct conn {
    _Alignas(64) int fd;
    uint32_t crc;
    uint64_t got, sent;   /* bytes of the request, and of the answer's body, so far */
    uint64_t file_offset; /* download: where it is; upload: where it goes */
    uint8_t *head;        /* HEAD_SIZE bytes, then at a page's start the body or a piece of it */
    struct conn *next;    /* in a commit */
};

/* Uploads that become durable by one write. */
struct commit {
    _Alignas(64) uint8_t *staging;
    size_t staged;
    struct conn *first, **last;
    bool is_busy;
};

enum { COMMITS_MAX = 16 };

struct server {
    const struct cell *cell;
    unsigned cpu;
    int listener, stop_fd, log_fd;
    atomic_bool is_ready;
    pthread_t thread;
    struct io_uring ring;
    uint64_t stop_value;
    bool is_stopped;
    struct conn *conns;
    unsigned conn_count;
    uint8_t *buffers;
    uint8_t *scratch; /* as a connection's buffer; the pieces of large answers pass through it */
    size_t buffer_size;
    struct commit commits[COMMITS_MAX];
    struct commit *open;
    size_t staging_size;
    uint64_t log_size, log_at;
    _Atomic uint64_t commit_count; /* the main thread reads it */
};

/** The thread: accepts and answers until stop_fd has something to read. */
void *server_run(void *server);
/** Wait for the next bytes of the request. */
void conn_receive(struct server *server, struct conn *conn);
/** Answer an upload. */
void conn_acknowledge(struct server *server, struct conn *conn);

static inline bool work_is_put(enum work work)
{
    return work >= WORK_PUT_MEMORY && work <= WORK_PUT_DIRECT;
}

/* ---- limits_put.c ---- */

void puts_open(struct server *server);
void puts_close(struct server *server);
/** Bytes of the request have come. */
void put_received(struct server *server, struct conn *conn, size_t size);
/** A piece of a large upload has been written past the page cache. */
void put_written(struct server *server, struct conn *conn, int result);
/** Start the next commit if one may start; the end of each turn of the loop. */
void puts_commit(struct server *server);
void puts_committed(struct server *server, struct commit *commit, int result);

/* ---- limits_client.c ---- */

struct load {
    const struct cell *cell;
    unsigned cpu, port;
    unsigned conn_count;
    uint64_t seed;
    uint64_t begin_ns, end_ns; /* what ends between them counts */
    pthread_t thread;
    atomic_bool is_ready;
    pthread_barrier_t *start, *leave;
    uint64_t count;
    struct latency latency;
};

/** The thread: connects, waits for `start`, runs one request after the other on each connection
 * until end_ns, waits for `leave`. */
void *load_run(void *load);

#endif
