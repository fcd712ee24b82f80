/* A binlog that runs on a simulated disk, with its tail, and records whose bytes follow from LSN and
 * incarnation: whatever is read can be judged. */
#ifndef CAIRN_TESTS_DISK_LOG_BENCH_H
#define CAIRN_TESTS_DISK_LOG_BENCH_H

#include "disk/log_scan.h"
#include "disk/log_tail.h"

#include "tests/unit/sim/lab.h"

enum {
    BENCH_SEGMENT = 64 * 1024,
    BENCH_BUFFER = 16 * 1024,
    BENCH_LSNS = 20000,
};

struct log_bench {
    struct lab lab;
    struct mem mem;
    struct io_handle root;
    struct binlog log;
    struct log_tail tail;
    uint8_t *ring;
    size_t ring_size;
    uint32_t segment_count_max;
    bool retains, is_open;
    uint64_t incarnation;
    uint64_t appended;           /* the last LSN given out */
    uint8_t made_by[BENCH_LSNS]; /* incarnation that made the durable record of each LSN */
    unsigned pressures, broken, failures;
};

struct bench_reader {
    struct log_read read;
    struct machine machine; /* waits for the read */
    bool is_waiting;
    uint8_t *buffer;
    uint64_t lsn;           /* the next one expected */
    uint64_t records, lost; /* seen; reported as lost */
};

void log_bench_init(struct log_bench *bench, uint64_t seed, size_t ring_size);
/** Recover and open. Errors: those of log_scan_run and binlog_open. */
MUST err_t log_bench_open(struct log_bench *bench);
/** Nothing may be under way, no reader open. */
void log_bench_close(struct log_bench *bench);
/** The process dies; what it held is freed. Readers are gone. */
void log_bench_crash(struct log_bench *bench, bool loses_power);
void log_bench_free(struct log_bench *bench);

/** Append `count` records of about `size` bytes and turn until they are durable. */
void log_bench_write(struct log_bench *bench, unsigned count, uint32_t size);
/** Append one if there is room; nobody waits. */
bool log_bench_append(struct log_bench *bench, uint32_t size);
/** Everything durable is covered by a checkpoint. */
void log_bench_checkpoint(struct log_bench *bench);
void log_bench_turn(struct log_bench *bench);

void bench_reader_open(struct bench_reader *reader, struct log_bench *bench, uint64_t lsn);
void bench_reader_close(struct bench_reader *reader, struct log_bench *bench);
/** Begin a read; it may be done at once. */
void bench_reader_begin(struct bench_reader *reader, struct log_bench *bench);
/** One read, to its end. Judges what it gave. Errors: those of log_tail_read. */
MUST err_t bench_reader_read(struct bench_reader *reader, struct log_bench *bench);
/** Judge a read that is over: every record is the one written, in order; moves reader->lsn behind what was
 * read or lost. False: something is wrong. */
bool bench_reader_judge(struct bench_reader *reader, const struct log_bench *bench);
/** Read to the durable end; the first error ends it. Errors: those of log_tail_read. */
MUST err_t bench_reader_drain(struct bench_reader *reader, struct log_bench *bench);

#endif
