/* What the tests of single files share: a mount point on any backend, a log that survives what the
 * process does not, a model of the content, and one machine that does every operation as a storage
 * would: prepare, commit, apply, close. */
#ifndef CAIRN_TESTS_SINGLE_BENCH_H
#define CAIRN_TESTS_SINGLE_BENCH_H

#include "disk/single.h"
#include "sim/disk.h"
#include "tests/lib/test.h"

enum { BENCH_RECORDS_MAX = 256, BENCH_STREAM = 3, BENCH_MACHINE = 7, COPY_BUFFER = 3 * BLOCK_SIZE };

struct model {
    uint8_t *data;          /* CONTENT_MAX bytes */
    uint64_t size, written; /* behind `written` there are zeros: never touched, they cost nothing */
    struct version version;
    bool exists;
};

/** A file with its committed content; lives on when the process dies. */
struct bench {
    struct sim_world *world; /* NULL: a real backend */
    struct sim_node *node;
    struct io *io;
    struct owner owner;
    struct io_handle root;
    struct single_mount mount;
    struct single_dirty dirty;
    struct identity identity;
    struct model model;
    uint64_t content_max;
    uint64_t counter;                   /* of versions */
    struct span log[BENCH_RECORDS_MAX]; /* committed since the last checkpoint */
    uint32_t log_count;
    uint32_t survey_count;
};

enum job_kind {
    JOB_UPLOAD,   /* content */
    JOB_REPLACE,  /* content */
    JOB_PATCH,    /* content at offset, out of place */
    JOB_WRITE,    /* content at offset */
    JOB_APPEND,   /* content */
    JOB_TRUNCATE, /* size */
    JOB_DELETE,
    JOB_CHECKPOINT,
    JOB_TRIM, /* open a change and abandon it */
    JOB_READ, /* [offset, offset + size), into `out` */
    JOB_KIND_COUNT
};

struct job {
    struct machine machine;
    struct bench *bench;
    enum job_kind kind;
    uint64_t offset, size;
    struct span content;
    size_t piece;     /* contents go in pieces of this size; 0: whole. JOB_READ: whole blocks */
    bool is_given_up; /* abandon when it is prepared */
    struct span attributes;
    uint8_t *out; /* JOB_READ: content_max + BLOCK_SIZE bytes */
    struct version version;
    struct single_writer writer;
    struct single_reader reader;
    struct single_change change;
    struct single_copy copy;
    struct single_entry entry;
    uint64_t at;
    bool is_committed, is_done;
    err_t err;
    _Alignas(8) uint8_t page[BLOCKS_PAGE_SIZE];
    uint8_t reader_buffer[SINGLE_READER_BUFFER];
    uint8_t change_buffer[SINGLE_CHANGE_BUFFER];
    uint8_t copy_buffer[COPY_BUFFER];
};

/** A simulated mount point; options NULL: drawn from the seed. */
void bench_open_sim(struct bench *bench, struct sim_world *world,
    const struct sim_disk_options *options, uint64_t content_max);
/** On `root` of a real backend; directories are made. */
void bench_open(struct bench *bench, struct io *io, struct io_handle *root, uint64_t content_max);
/** Gives back all but the world. */
void bench_close(struct bench *bench);

/** The process is gone: begin again on what is on disk, and recover. */
void bench_reboot(struct bench *bench);
void bench_recover(struct bench *bench);
/** False: the node went down meanwhile. */
bool bench_try_recover(struct bench *bench);

/** `job` begins; bench_step turns the world by one operation. */
void bench_begin_job(struct bench *bench, struct job *job);
void bench_step(struct bench *bench);
/** Run `job` until it has ended or the node is down; returns whether it has ended. The model follows
 * at the commit. Frees nothing. */
bool bench_run(struct bench *bench, struct job *job);
/** The same, on a fresh job; ended well. */
void bench_do(struct bench *bench, struct job *job);

/** The file reads as the model says, byte by byte, and its header's checksum is right. */
void bench_verify(struct bench *bench);
/** Names in new/. */
unsigned bench_count_new(struct bench *bench);
struct job *job_new(enum job_kind kind);
/** Bytes that depend on the seed; test frees. */
uint8_t *bytes_new(uint64_t seed, size_t size);

#endif
