/* Checkpoints of a stream: everything up to an LSN stands in chunk and single files, durably, and what
 * the stream knows of its chunks is written down. Recovery begins behind it; log segments before it
 * are recycled; slots freed before it may be given out again.
 *
 *   snapshot (lsn = durable, table) -> wait until all of it is applied -> slot maps, sync of every
 *   dirty chunk and single file -> file ckpt/<stream>.<generation & 1>, synced -> blocks of large
 *   free slots and empty chunks are given back
 *
 * Format: doc/disk-format.md section "Checkpoints". */
#ifndef CAIRN_DISK_CHECKPOINT_H
#define CAIRN_DISK_CHECKPOINT_H

#include "disk/binlog.h"
#include "disk/chunkfile.h"
#include "disk/mirror_drop.h"
#include "disk/stream.h"

#define CHECKPOINT_TEND_NS UINT64_C(60000000000)

enum {
    CHECKPOINT_MAGIC = 0x31504343, /* "CCP1" */
    CHECKPOINT_FORMAT = 2,         /* 1: own chunks only, no sources, no digests; read as well */
    CHECKPOINT_HEADER_SIZE = 160,
    CHECKPOINT_NAME_MAX = 24,
};

struct checkpoint_header {
    uint32_t format; /* of what was read */
    uint64_t generation;
    uint64_t lsn; /* everything up to here is in it */
    uint64_t incarnation;
    uint64_t lease; /* ids up to here may have been issued */
    uint64_t live_count;
    uint32_t machine;
    uint8_t mount, stream;
    bool is_clean;         /* taken at a clean shutdown: nothing follows in the log */
    uint32_t next_chunk;   /* number never used */
    uint32_t active_chunk; /* number of the chunk that takes new slots, 0: none */
    uint32_t sealing_chunk, next_chunk_ready; /* the one before and the one after it, or 0 */
    uint32_t chunk_size;
    uint32_t source_count; /* entries that follow; 0 in format 1 */
    uint32_t chunk_count;  /* entries behind them */
    uint8_t storage_uuid[16], mount_uuid[16];
};

/** `bytes` has CHECKPOINT_HEADER_SIZE + entries; fills the header and the CRC over all `size`. */
void checkpoint_seal(uint8_t *bytes, size_t size, const struct checkpoint_header *header);
/** `bytes` may be longer. Errors: CORRUPT (never written, torn, damaged), FORMAT. */
MUST err_t checkpoint_open(struct span bytes, struct checkpoint_header *ret);
/** Where the chunk entries begin. */
static inline size_t checkpoint_chunks_at(const struct checkpoint_header *header)
{
    return CHECKPOINT_HEADER_SIZE + (size_t)header->source_count * SOURCE_IMAGE_SIZE;
}
/** Bytes of the largest checkpoint of a stream. */
static inline size_t checkpoint_image_size(uint32_t source_count_max, uint32_t chunk_count_max)
{
    return CHECKPOINT_HEADER_SIZE + (size_t)source_count_max * SOURCE_IMAGE_SIZE
           + (size_t)chunk_count_max * CHUNK_ENTRY_IMAGE_SIZE;
}
/** "ckpt/03.1" */
void checkpoint_path(char path[CHECKPOINT_NAME_MAX], uint8_t stream, uint64_t generation);

struct checkpoint_waiter {
    struct list link;
    struct machine *machine;
    err_t err;
};

struct checkpoint {
    struct machine machine;
    struct stream *stream;
    uint64_t generation; /* of the last good one */
    uint64_t lsn;        /* of the one under way */
    uint8_t *image;      /* header and table */
    size_t image_size, image_capacity, written;
    uint8_t *map_image;
    struct io_op op;
    struct iovec iov;
    struct io_handle handle, directory;
    struct chunk_ref ref;
    struct list joined;      /* struct checkpoint_waiter: told when the one under way is done */
    struct list waiting;     /* told when the next is done */
    uint32_t at_number;      /* chunk at which the walk goes on */
    uint16_t at_source;      /* of which source */
    uint64_t map_at;         /* where the map's image goes in the chunk file */
    struct freed_slot punch; /* being given back */
    struct mirror_drop mirrors;
    bool is_idle, is_wanted, waits_for_log, waits_for_seal;
    bool is_last, is_final; /* a last one is asked for; the one under way is it */
    uint32_t map_index;     /* which of the chunks that take new slots comes next */
    char path[CHECKPOINT_NAME_MAX], chunk_path[CHUNK_NAME_MAX];
    uint64_t count, last_ns; /* for status */
};

/** Take memory; both files are made and get their blocks. Errors: BUSY, NO_RESOURCE, NO_SPACE, IO. */
MUST err_t checkpoint_init(struct checkpoint *checkpoint, struct stream *stream);
/** Begin the machine; `generation` is the last good one on disk. */
void checkpoint_start(struct checkpoint *checkpoint, uint64_t generation);
/** Ask for one; it begins at once, or behind the one that runs. */
void checkpoint_request(struct checkpoint *checkpoint);
/** `machine` arrives when a checkpoint has ended that began after this call; waiter->err says how. */
void checkpoint_wait(
    struct checkpoint *checkpoint, struct checkpoint_waiter *waiter, struct machine *machine);
/** Are there chunks in which nothing lives? A checkpoint drops them. */
bool checkpoint_would_drop(const struct checkpoint *checkpoint);
/** Ask for one if it would drop something, and the last was a while ago: for who comes by now and then, so
 * that space is given back where little is written, too. */
void checkpoint_tend(struct checkpoint *checkpoint);
/** A last, clean one, after which the machine ends. */
void checkpoint_finish(struct checkpoint *checkpoint);
/** The log released something: the one under way may be waiting for it. */
void checkpoint_log_moved(struct checkpoint *checkpoint);
/** The maker has sealed a chunk, or given it up: the one under way may be waiting for it. */
void checkpoint_seal_ended(struct checkpoint *checkpoint);
bool checkpoint_is_running(const struct checkpoint *checkpoint);
void checkpoint_fini(struct checkpoint *checkpoint);

/** Write the snapshot of the stream's table into checkpoint->image; shared with recovery. */
void checkpoint_snapshot(struct checkpoint *checkpoint, uint64_t lsn, bool is_clean);

#endif
