/* What one loop of a storage holds of the disks: its streams, its open chunk files, its work buffers.
 * One per loop, nothing shared but the id clock. A file belongs to the loop that owns the stream which
 * its id names, or which keeps that stream's files if it is another storage's (route.h): changes happen
 * there only (store_owner_loop tells); reads happen on any loop.
 *
 *   store_init -> store_open_stream ... (recovery) -> operations -> store_close */
#ifndef CAIRN_STORAGE_STORE_H
#define CAIRN_STORAGE_STORE_H

#include "base/pool.h"
#include "disk/stream.h"
#include "storage/members.h"
#include "storage/recent.h"
#include "storage/route.h"
#include "wire/fid.h"

enum {
    STORE_MOUNTS_MAX = 256,
    STORE_STREAMS_MAX = 256, /* of one mount point */
    /* beside the content itself, a work buffer has room for headers, checksum pages and one block */
    STORE_WORK_EXTRA = 4 * BLOCKS_PAGE_SIZE + 2 * BLOCK_SIZE,
    STORE_MODIFY_EXTRA = SINGLE_CHANGE_BUFFER + BLOCKS_PAGE_SIZE,
    STORE_EVICTIONS = 4,
    STORE_SMALL_SIZE = 16 * 1024, /* a small buffer: finds of slots up to this size */
};

struct store_config {
    uint32_t machine;
    uint8_t storage_uuid[16];
    char group[GROUP_NAME_MAX + 1];
    uint32_t inline_max; /* bytes: contents up to this travel in the log record */
    uint32_t single_min; /* bytes: larger contents are single files; at most SLOT_SIZE_MAX / 4 */
    uint32_t piece_size; /* bytes of content that a download hands out at a time */
    uint32_t chunk_size, log_segment_size, log_buffer_size, log_segment_count_max;
    uint32_t log_ring_size; /* bytes of each stream's log that are kept in memory for followers */
    bool retains_log;       /* there are followers: stream_options.retains_log */
    uint32_t free_slot_count;
    uint32_t recent_count;     /* uploads whose nonces are remembered */
    uint32_t chunk_file_count; /* descriptors kept open for chunk files */
    uint32_t small_buffer_count, work_buffer_count, modify_buffer_count;
    uint64_t checkpoint_bytes;
    uint64_t mirror_idle_ns; /* stream_options.mirror_idle_ns */
    uint32_t slack_default;  /* for mutable files, as in UPLOAD */
    uint16_t loop_index, loop_count;
};

struct store_mount {
    struct io_handle root; /* this loop's handle of the directory */
    bool is_there;
    bool is_fenced;
    err_t cause; /* of the fence */
    uint8_t mount_uuid[16];
    uint8_t stream_count; /* fixed at format */
    uint64_t incarnation;
    uint64_t total_bytes, free_bytes, reserve_bytes; /* refreshed by the role */
    struct stream *streams[STORE_STREAMS_MAX]; /* those that this loop owns; NULL: another loop's */
};

struct intake_fetch;

struct store {
    struct io *io;
    struct mem *mem;
    struct id_clock *clock; /* of the storage */
    struct store_config config;
    struct owner owner;
    struct chunk_files files;
    struct store_mount *mounts;    /* STORE_MOUNTS_MAX */
    struct store_routes routes;    /* which stream keeps what; fixed before files are served */
    const struct members *members; /* of the group; NULL: no others are known */
    struct pool small_buffers, work_buffers;
    struct pool modify_buffers; /* taken before a work buffer, never behind one */
    uint32_t stream_cursor;     /* uploads go round robin over the streams of a mount point */
    struct list intakes;        /* struct intake: that hold their file's lock, oldest first */
    struct pool evictions;      /* struct intake: for tenants whose slot is taken */
    /* Bring a whole file from another storage and apply it; fetch->done is called later. NULL: no
     * storage can be asked. */
    void (*fetch)(struct intake_fetch *fetch);
    void *fetch_context;
    uint32_t running;     /* operations in flight */
    struct recent recent; /* uploads that are durable, by nonce */
    struct list uploads;  /* struct upload: under way, with a nonce */
    struct list asks;     /* struct upload_ask: wait for one of these to end (retry.h) */
    /* a mount point was fenced on this loop: the role tells the others */
    void (*on_fence)(void *context, uint8_t mount, err_t err);
    void *context;
    uint64_t corrupt_reads; /* contents that did not match their checksum, after a second look */
};

/** Bytes of a work buffer. */
static inline size_t store_work_size(const struct store_config *config)
{
    uint32_t content =
        config->single_min > config->piece_size ? config->single_min : config->piece_size;
    return content + STORE_WORK_EXTRA;
}

/** Bytes of a modify buffer: the new content behind what single files need. */
static inline size_t store_modify_size(const struct store_config *config)
{
    return STORE_MODIFY_EXTRA + config->single_min;
}

/** Take memory and pools. Errors: BUSY, NO_RESOURCE. Nothing is held on failure. */
MUST err_t store_init(struct store *store, struct io *io, struct mem *mem, struct id_clock *clock,
    const struct store_config *config);

struct store_mount_options {
    uint8_t index;
    const char *path; /* absolute */
    uint8_t mount_uuid[16];
    uint8_t stream_count;
    uint64_t incarnation;
    uint64_t reserve_bytes;
    uint32_t chunk_count_max;          /* of one stream */
    const struct stream_floor *floors; /* [stream_count]; NULL: none */
    bool does_not_wait;                /* return before the streams are ready: stream_is_ready() */
};

/** Open the directory and every stream of it that this loop owns (stream index modulo loop_count):
 * recovery. Start-up only. Errors: those of stream_open; what was opened stays until store_close. */
MUST err_t store_open_mount(struct store *store, const struct store_mount_options *options);

/** Close all streams (checkpoints) and give everything back. CHECKs that nothing runs. The loop turns
 * inside. */
void store_close(struct store *store);
/** The same in parts: begin, turn the loop until it is quiet, end. */
void store_close_begin(struct store *store);
MUST bool store_close_is_quiet(struct store *store);
void store_close_end(struct store *store);

/** Mount point `index` is ours and cannot be opened: what is on it is OFFLINE, not unknown. */
void store_leave_out(struct store *store, uint8_t index, err_t err);

/** The stream that keeps the file of this id, and the loop that owns it. */
struct stream_place store_place_of(const struct store *store, const struct fid *fid);
uint16_t store_owner_loop(const struct store *store, const struct fid *fid);

/** A stream of this loop. Errors: OFFLINE. CHECKs that this loop owns it. */
MUST err_t store_stream_at(
    struct store *store, const struct stream_place *place, struct stream **ret);
/** The stream of this id on this loop. Errors: NOT_FOUND (no such mount point or stream), OFFLINE
 * (fenced), WRONG_NODE (the group is not ours, or no storage of it has this origin's number). CHECKs
 * that this loop owns it. */
MUST err_t store_stream_of(struct store *store, const struct fid *fid, struct stream **ret);
/** The same checks for a read on any loop. Errors: WRONG_NODE, NOT_FOUND, OFFLINE. */
MUST err_t store_check_id(const struct store *store, const struct fid *fid);

/** A stream of mount point `mount` on this loop for an upload. Errors: OFFLINE, NOT_FOUND. */
MUST err_t store_stream_for_upload(struct store *store, uint8_t mount, struct stream **ret);

/** Does a delete of this single file leave a tombstone? Changes of it that were made before may come yet:
 * from the stream where it was born (after a restart: again), or from a third storage. */
bool store_keeps_tombstone(
    struct stream *stream, const struct identity *identity, const struct place *home);

/** Fence `mount` on this loop: its operations end with OFFLINE from now on. */
void store_fence(struct store *store, uint8_t mount, err_t err);

#endif
