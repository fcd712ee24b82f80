/* A stream alone on a simulated disk, as a mirror uses it: received records, mirrored chunks. */
#ifndef CAIRN_TESTS_DISK_STREAM_BENCH_H
#define CAIRN_TESTS_DISK_STREAM_BENCH_H

#include "disk/mirror_chunk.h"
#include "sim/disk.h"
#include "storage/apply.h"
#include "tests/lib/test.h"

enum { BENCH_MACHINE = 7, BENCH_PEER = 9, BENCH_CHUNK = 64 << 10, BENCH_SEED = 0x5eed };

struct stream_bench {
    struct sim_world *world;
    struct sim_node *node;
    struct io *io; /* NULL: no process */
    struct mem mem;
    struct owner owner;
    struct io_handle root;
    struct chunk_files files;
    struct id_clock clock;
    struct stream_options options; /* may be changed before a boot */
    struct stream stream;
    bool has_files, has_stream, is_fenced;
};

void bench_init(struct stream_bench *bench, uint64_t seed);
void bench_free(struct stream_bench *bench);
/** False: it crashed in the middle, and is buried. Other failures fail the test. */
bool bench_boot(struct stream_bench *bench);
/** The same; the stream refuses. Errors: why, those of stream_open. */
MUST err_t bench_boot_refused(struct stream_bench *bench);
void bench_kill(struct stream_bench *bench, bool loses_power);
/** An orderly end; false: it crashed in the middle. */
bool bench_close(struct stream_bench *bench);
bool bench_is_up(const struct stream_bench *bench);
/** Turn the world until there is a new checkpoint. */
void bench_checkpoint(struct stream_bench *bench);

/** Something done to the stream: hold a mirrored chunk (if it has a seed), append a record (if it has a
 * kind), apply it. */
struct bench_job {
    struct machine machine;
    struct stream_bench *bench;
    struct chunk_key key;
    uint32_t seed;
    struct record record;
    uint32_t reserve_size; /* of an own slot, for the record's home */
    err_t err;
    bool is_over, keeps_ref;
    struct mirror_chunk chunk;
    struct chunk_ref ref;
    struct reservation reservation;
    struct log_append append;
    struct packed_apply apply;
};
void bench_start(struct stream_bench *bench, struct bench_job *job);
/** Until it is over, or the node is down. */
void bench_wait(struct stream_bench *bench, struct bench_job *job);

/** Number `number` of the peer's stream. */
struct chunk_key bench_key(uint32_t number);
struct source_key bench_source(void);

/** A record of the peer that puts a file of 100 bytes, filled with `fill`, into slot `index` of its
 * chunk 1: an upload (version 1.9), or above that a replace. `meta` and `content` are kept by the job. */
struct bench_file {
    struct bench_job job;
    struct slot_header header;
    uint8_t meta[SLOT_META_MAX], content[100];
};
void bench_file_init(struct stream_bench *bench, struct bench_file *file, uint32_t index,
    uint64_t version, uint8_t fill);
uint64_t bench_file_digest(const struct bench_file *file);
/** Is it on disk as the peer made it? */
bool bench_file_is_there(struct stream_bench *bench, const struct bench_file *file);

#endif
