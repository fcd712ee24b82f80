/* A stream: the log of one storage's own changes with the chunk files it allocates in, on one mount
 * point. Owned by one loop; every change of a file goes through the stream that its id names, at a
 * mirror through the one that its home's source is mapped to (sources: disk/source.h).
 *
 *   change of a file:   file_lock -> [stream_reserve] -> (content to fresh space, synced)
 *                       -> binlog_append -> committed -> apply -> binlog_release -> file_unlock
 *
 * What the stream knows of its chunks changes when a record is durable, in log order (on_commit), so
 * that it is a function of checkpoint and log.
 *
 * New slots are given out in one chunk at a time, the *active* one, whose slot map is in memory:
 *
 *   made anew, or reopened because much of it is free -> active -> sealing (its last reservations
 *   end) -> its map is written, both copies -> only its entry in the chunk table is kept
 *
 * Reopening reads the map and the headers of its live slots (a delete marks the header, and the map
 * only while the chunk is active), then takes a checkpoint: no record before it can be re-applied
 * over a new tenant. What is freed while a chunk is active is found when it is reopened. */
#ifndef CAIRN_DISK_STREAM_H
#define CAIRN_DISK_STREAM_H

#include "disk/binlog.h"
#include "disk/chunk_table.h"
#include "disk/chunkfile.h"
#include "disk/clock.h"
#include "disk/lock.h"
#include "disk/log_tail.h"
#include "disk/single.h"
#include "disk/slotmap.h"
#include "disk/source.h"
#include "disk/space.h"
#include "disk/tombstone.h"

struct stream;

/** What the other members of the group know of this stream (RECALL): it goes on behind that. */
struct stream_floor {
    uint64_t incarnation, lsn; /* of its records */
    uint32_t chunk;            /* the highest number of its chunks */
};

struct stream_options {
    struct io *io;
    struct mem *mem;
    struct chunk_files *files;    /* of the loop */
    const struct io_handle *root; /* mount point directory */
    struct id_clock *clock;       /* of the storage */
    uint32_t machine;
    uint8_t storage_uuid[16], mount_uuid[16];
    uint8_t mount, stream;
    uint64_t incarnation;      /* of the storage at this start; raised when a tail was cut */
    struct stream_floor floor; /* zeros: nobody knows more than the disk */
    uint32_t chunk_size;       /* bytes, valid for slotmap */
    uint32_t log_segment_size, log_buffer_size, log_segment_count_max;
    uint32_t
        log_ring_size; /* bytes, a multiple of 8: what was committed last, for log_tail; 0: none */
    bool retains_log;  /* nothing is recycled before stream_retain() says so (budget permitting) */
    uint32_t free_slot_count;  /* free slots of a reopened chunk that are kept in memory */
    uint32_t chunk_count_max;  /* chunk files that fit the disk */
    uint32_t source_count_max; /* streams known, itself included; 0: SOURCE_COUNT_DEFAULT */
    uint64_t reserve_bytes;    /* of the file system, not for uploads */
    uint64_t checkpoint_bytes; /* of log, after which a checkpoint is taken */
    /* an empty mirrored chunk is kept so long after its last record: its origin may be filling it */
    uint64_t mirror_idle_ns;
    /* a write failed: the mount point is to be fenced */
    void (*on_fence)(struct stream *stream, err_t err);
    /* the stream is about to know a source, at recovery before any file of it is looked for; an error
     * refuses it. May be NULL */
    err_t (*on_source)(struct stream *stream, const struct source_key *key);
    /* a record of an upload is durable. Recovery calls it as well, for what it replays and for what it
     * reads behind the checkpoint on its way. May be NULL */
    void (*on_upload)(struct stream *stream, const struct record *record);
    void *context; /* the caller's */
};

/** A chunk that takes new slots at its end. */
struct active_chunk {
    struct chunk_ref ref; /* file NULL: none */
    struct slotmap map;   /* of what is committed */
    void *map_memory;
    uint32_t number;
    uint32_t reserve_end; /* slots up to here are given out or were used before, bytes */
    uint32_t outstanding; /* reservations that are neither committed nor cancelled */
    /* Its map is being written by a checkpoint, or by the maker: one at a time. Before a copy is
     * written the other one is made durable, so that a power loss never takes both. */
    bool is_being_mapped, is_being_sealed;
};

struct reservation {
    struct list link; /* in stream->space_waiters */
    struct machine *machine;
    struct held held; /* HELD_SPACE */
    struct place place;
    struct chunk_ref ref; /* of the chunk, for as long as the reservation lasts */
    err_t err;
    enum { RESERVE_NONE, RESERVE_WAITING, RESERVE_DONE } state;
};

enum {
    STREAM_PUNCH_MIN =
        64 * 1024, /* smaller free slots keep their blocks until they are used again */
    STREAM_PUNCHES = 256,
};

/** A large slot that became free: its blocks go back to the file system at the checkpoint behind it. */
struct freed_slot {
    uint32_t chunk, offset, size;
    uint64_t lsn;
};

/** Who wants to know that the log has moved. Embedded by whoever does. */
struct stream_watcher {
    struct list link;
    void (*moved)(struct stream_watcher *watcher);
};

/** The clock of an id whose upload is under way; embedded in the operation. All zero: none. */
struct clock_hold {
    struct list link; /* in stream->held_clocks */
    uint64_t clock;
};

enum stream_state { STREAM_CLOSED, STREAM_OPEN, STREAM_FAILED };
enum stream_closing { /* what the close waits for */
    STREAM_CLOSING_NOT,
    STREAM_CLOSING_MAKER,
    STREAM_CLOSING_CHECKPOINT,
    STREAM_CLOSING_LOG,
};

struct stream {
    struct stream_options options;
    struct owner owner;
    enum stream_state state;
    err_t failure;
    struct binlog log;
    struct chunk_table chunks;
    struct source_table sources;               /* [0]: the stream itself */
    struct active_chunk active, sealing, next; /* next: made or reopened ahead of need */
    struct active_chunk making;                /* not yet ready; number 0: its map is not loaded */
    struct space space, next_space;            /* free slots inside `active` and `next` */
    struct single_mount single_mount;
    struct single_dirty singles;
    struct tombstones tombstones;
    uint32_t tombstone_holds; /* while not 0, no copy of a chunk is dropped */
    struct lock_table locks;
    struct freed_slot
        punches[STREAM_PUNCHES]; /* ring, oldest first; what finds no room keeps its blocks */
    uint32_t punch_first, punch_count;
    struct list space_waiters; /* struct reservation */
    struct list mirror_chunks; /* struct mirror_chunk: being made */
    uint64_t lease;            /* ids up to here may be issued */
    bool is_lease_out;
    bool is_full;                  /* the last attempt to make a chunk failed, because of: */
    err_t full_cause;              /* NO_SPACE, or a refusal that passes */
    uint32_t wanted_size;          /* of the slot that somebody waits for, bytes */
    uint64_t live_count;           /* files whose home is in this stream's own space */
    struct maker *maker;           /* see maker.h */
    struct checkpoint *checkpoint; /* see checkpoint.h */
    struct log_tail tail;          /* see log_tail.h */
    uint8_t *ring_memory;
    struct machine watch; /* tells the watchers, from the run queue; see stream_watch.c */
    struct list watchers; /* struct stream_watcher */
    bool is_watch_idle;
    bool
        tells_applied; /* a watcher waits for a record to be applied: it is told of the next, once */
    struct list held_clocks; /* struct clock_hold, ascending */
    uint64_t watermark;      /* at the durable end of the log; never goes back */
    enum stream_closing closing;
    uint64_t lost_chunks, rotten_batches, replayed; /* found at start */
    bool was_torn, has_lost_state;                  /* the floor was above what was found */
};

/** Open: recover from checkpoint and log (recover.c), begin a new log segment, ask for a checkpoint.
 * Uses io_call: start-up only. Until stream_is_ready() ids may be refused with BUSY.
 * Rot below the durable end of the log and lost chunk files are counted (rotten_batches, lost_chunks).
 * Errors: CORRUPT (records are missing before the log's beginning, a record or a chunk's header is
 * damaged), FORMAT, FOREIGN, IO, NO_SPACE, BUSY/NO_RESOURCE. */
MUST err_t stream_open(struct stream *stream, const struct stream_options *options);

/** The first lease of ids is durable, or the stream has failed (stream->failure). */
bool stream_is_ready(const struct stream *stream);

/** Close, in parts: begin, turn the loop until it is quiet (nothing is under way, a last checkpoint is
 * taken), end: everything is given back. The caller has ended all operations. A failed stream closes
 * without a checkpoint. */
void stream_close_begin(struct stream *stream);
MUST bool stream_close_is_quiet(struct stream *stream);
void stream_close_end(struct stream *stream);

/** The next id clock. True: *ret_err is OK and *ret is there, or *ret_err says why not. False: the lease
 * is used up (the clock ran a minute ahead); call again when `machine` has arrived, by when its
 * renewal may be durable. `waiter` is for binlog_wait_cancel().
 * Errors: OFFLINE, BUSY (the clock is at its end). */
MUST bool stream_take_clock(struct stream *stream, struct log_waiter *waiter,
    struct machine *machine, uint64_t *ret, err_t *ret_err);

/** The id clock just taken is that of a file whose upload is under way: the watermark stays below it
 * until stream_release_clock: its record is appended (if that is before it is durable and told: is durable),
 * or the operation unwinds. To be called before
 * anything else is done on the stream. */
void stream_hold_clock(struct stream *stream, struct clock_hold *hold, uint64_t clock);
/** Nothing to do if none is held. */
void stream_release_clock(struct clock_hold *hold);
/** Is this id held? What is acknowledged from memory is, until it is durable: other storages must not see
 * it, or it would be there after we have lost it. */
bool stream_holds_clock(const struct stream *stream, uint64_t clock);

/** The watermark that belongs into a record which is appended now (before anything else happens):
 * every id at or below it that was born in this stream has its upload before this record in the log, or
 * is this record's, or will never have one. Ids taken later are above it, also after a crash. */
uint64_t stream_watermark_stamp(struct stream *stream);
/** The same at the durable end of the log: for who has read everything up to stream->log.lsn_durable
 * (for who has not, the watermark of the last own record read counts, see struct record). Never goes
 * back; moves on with the wall clock while nothing happens, by leases (so ask again and again). */
uint64_t stream_watermark(struct stream *stream);

/** watcher->moved is called when the durable LSN has moved, retained records were given up, or the
 * stream has failed: soon, once for many, from the run queue (never inside a commit). It may read, watch,
 * unwatch and start machines. */
void stream_watch(struct stream *stream, struct stream_watcher *watcher);
/** Nothing to do if it does not watch. */
void stream_unwatch(struct stream_watcher *watcher);

/** Keep records above `lsn` while the log budget allows; UINT64_MAX: nothing. May go up or down. */
static inline void stream_retain(struct stream *stream, uint64_t lsn)
{
    binlog_retain(&stream->log, lsn);
}
/** The budget was needed: records above the retained LSN are gone (log_tail_first tells from where on the
 * log goes). */
bool stream_retain_is_broken(const struct stream *stream);

/** Reserve a slot of `size` bytes. True: reservation->err tells, or reservation->place and ->ref are
 * there. False: call again when `machine` has arrived. A new reservation is all zero.
 * Errors: NO_SPACE, OFFLINE. */
MUST bool stream_reserve(
    struct stream *stream, struct reservation *reservation, uint32_t size, struct machine *machine);
/** The slot was committed (its record is in the log), or is not wanted: either way the reservation
 * ends. Nothing to do if there is none. */
void stream_reserve_end(struct stream *stream, struct reservation *reservation, bool is_committed);

/** A chunk file was written: to be called when the write has ended, since a checkpoint that began to
 * sync the file before then took the mark and not the bytes. Nothing to do for a chunk that the table
 * does not know: nothing of it counts yet. */
void stream_mark_dirty(struct stream *stream, const struct chunk_key *key);

/** The key of a packed place's chunk file. */
static inline struct chunk_key chunk_key_of(const struct place *place)
{
    return (struct chunk_key){place->machine, place->mount, place->stream, place->chunk};
}

/** The key of an entry's chunk file. */
static inline struct chunk_key stream_chunk_key(
    const struct stream *stream, const struct chunk_entry *entry)
{
    const struct source_key *key = &stream->sources.all[entry->source].key;
    return (struct chunk_key){key->machine, key->mount, key->stream, entry->number};
}

/** The entry of a chunk file, own or mirrored. NULL: not known. Valid until the next add or remove. */
struct chunk_entry *stream_chunk_find(struct stream *stream, const struct chunk_key *key);
/** The same, made if need be, the source too. Errors: BUSY (a table is full). */
MUST err_t stream_chunk_add(
    struct stream *stream, const struct chunk_key *key, struct chunk_entry **ret);

/** A source that the stream knows; [0] is the stream itself. NULL: none. Valid until the stream closes. */
struct source *stream_source_find(struct stream *stream, const struct source_key *key);
/** The same, made if need be. Errors: BUSY (the table is full). */
MUST err_t stream_source_add(
    struct stream *stream, const struct source_key *key, struct source **ret);
/** Call on_source. Errors: its own. */
MUST err_t stream_tell_source(struct stream *stream, const struct source_key *key);
/** If a file with this id of the source lived, would it be here, or be known to be missing here? Else it
 * is not here because it was deleted or never was. Own ids are all known, but for those in the gap. */
bool stream_covers(struct stream *stream, const struct source_key *key, uint64_t clock);
/** The same of what a restart finds: what else tells of a delete may go then. */
bool stream_keeps_covering(struct stream *stream, const struct source_key *key, uint64_t clock);
/** What is covered of a source, to be told to others: [0] with its watermark. */
struct coverage stream_coverage(struct stream *stream, const struct source *source);
/** All files of the source were taken over from somebody who covers `other`. */
void stream_raise_coverage(
    struct stream *stream, struct source *source, const struct coverage *other);
/** Records of the log can't be read: who follows it may miss ids up to here. */
void stream_lose_log(struct stream *stream);
/** Log where the follower of `source` is (its incarnation, lsn, coverage): kept_* follow when that is
 * durable. Nothing to do if it has not moved, if there is no room in the log now, or for [0]. */
void stream_position_log(struct stream *stream, struct source *source);

/** Files are being brought that nothing known here may refuse but a tombstone (a repair, a comparison with
 * another storage): tombstones in mirrored chunks stay until as many calls of stream_let_tombstones. */
static inline void stream_hold_tombstones(struct stream *stream)
{
    stream->tombstone_holds++;
}
static inline void stream_let_tombstones(struct stream *stream)
{
    CHECK(stream->tombstone_holds > 0);
    stream->tombstone_holds--;
}

/** The digest of the unit of this home; NULL: there is none yet (nothing lives in it). */
struct digest *stream_digest_of(
    struct stream *stream, const struct place *home, const struct identity *identity);

/** A write failed: nothing more is accepted; tells on_fence once. */
void stream_fail(struct stream *stream, err_t err);

/** A record is durable: chunk table, sources, digests and maps follow. Also called by recovery, in log
 * order. The one place for own and received records. Chunks and sources that it names are in the
 * tables before it is appended (stream_chunk_add). */
void stream_take_effect(struct stream *stream, const struct record *record);

/** The log has something to tell its watchers. */
void stream_watch_kick(struct stream *stream);
/** Begin and end the machine that tells them: for stream_open and close. */
void stream_watch_start(struct stream *stream);
void stream_watch_stop(struct stream *stream);
/** A record is durable (or was, before this start): tells on_upload. */
static inline void stream_tell_upload(struct stream *stream, const struct record *record)
{
    if (record->kind == RECORD_UPLOAD && stream->options.on_upload)
        stream->options.on_upload(stream, record);
}

/** A record is durable: the watermark that it carries holds from here on. */
void stream_note_watermark(struct stream *stream, const struct record *record);
/** Renew the lease of ids, if that is not under way and there is room. */
void stream_renew_lease(struct stream *stream);

/** Try waiting reservations again (a chunk was made, slots became free). */
void stream_serve_waiters(struct stream *stream);

/** The chunk made ahead becomes the active one, if there is one and the one before is sealed. False: it
 * cannot be now. */
bool stream_change_chunk(struct stream *stream);

/** Enter the free slots of `chunk` into `space`, in place of what was there. */
void stream_scan_space(struct space *space, const struct active_chunk *chunk);

/** Is `number` active, sealing or next? NULL: no. */
struct active_chunk *stream_active_of(struct stream *stream, uint32_t number);

#endif
