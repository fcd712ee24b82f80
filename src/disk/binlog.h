/* The binlog of one stream: append -> group commit -> durable. The log is the truth.
 *
 *   append ------> [filling buffer] --seal--> [writing, O_DIRECT + DSYNC] --> committed: machines arrive
 *                        ^                                                   |
 *                        `---------- buffer free again <--- binlog_release --'   (each append applied)
 *
 * One commit is in flight at a time; the next takes everything that waited meanwhile (no timers).
 * The bytes of a record stay in its buffer until binlog_release(), so that it can be applied to the
 * chunk from there. Segments are zeroed ahead and recycled; when none is free, appends wait for a
 * checkpoint. After a failed write nothing more is accepted: the mount point is to be fenced.
 *
 * Format: doc/disk-format.md section "Binlog". */
#ifndef CAIRN_DISK_BINLOG_H
#define CAIRN_DISK_BINLOG_H

#include "base/mem.h"
#include "io/io.h"
#include "wire/record.h"

enum {
    LOG_BUFFER_COUNT = 4,
    LOG_SEGMENTS_MAX = 64,
    LOG_SEGMENTS_MIN = 3, /* current, next, and one to recycle: kept on a full disk */
    LOG_NAME_MAX = 40,
};

struct log_buffer {
    uint8_t *data; /* aligned to LOG_PAGE */
    size_t used;   /* bytes, batch header included */
    uint64_t first_lsn;
    uint32_t record_count;
    uint32_t unreleased; /* appends that still need the bytes */
    bool is_committed;
    struct list appends; /* that wait for the commit */
};

/** One record on its way; embedded in the operation. */
struct log_append {
    struct list link;
    struct machine *machine;   /* arrives when the commit has ended */
    struct log_buffer *buffer; /* NULL: nothing appended */
    err_t err;                 /* OUTCOME_UNKNOWN if the commit failed */
    struct record record;      /* as stored; spans valid until binlog_release() */
};

struct log_waiter {
    struct list link;
    struct machine *machine; /* arrives when there may be room again: try again */
};

/** A segment file that exists. */
struct log_segment {
    uint64_t number;
    uint64_t last_lsn;  /* 0 while unused, UINT64_MAX while current or made ready */
    uint64_t first_lsn; /* 0: it is not part of the log */
};

struct binlog_options {
    struct io *io;
    struct mem *mem;
    const struct io_handle *root; /* mount point directory */
    uint32_t segment_size;        /* bytes, multiple of 1 MiB in production, of LOG_PAGE at least */
    uint32_t buffer_size;         /* bytes, multiple of LOG_PAGE: the largest batch */
    uint32_t segment_count_max;   /* the log budget: LOG_SEGMENTS_MIN .. LOG_SEGMENTS_MAX */
    struct log_segment_header identity; /* uuids, machine, mount, stream, incarnation */
    /* called for each record of a batch when it is durable, in log order */
    void (*on_commit)(void *context, const struct record *record);
    /* called behind these, once for the batch: its records, encoded one behind the other. May be NULL */
    void (*on_batch)(void *context, uint64_t first_lsn, struct span records);
    /* called when a batch is durable or a record was released: the applied LSN may have moved */
    void (*on_moved)(void *context);
    /* called once when a write fails: fence the mount point */
    void (*on_failure)(void *context, err_t err);
    /* called when segments run short: take a checkpoint */
    void (*on_pressure)(void *context);
    /* called when segments above the retained LSN had to be recycled. May be NULL */
    void (*on_retention_broken)(void *context);
    void *context;
    bool retains; /* nothing is recycled before binlog_retain() says so, while the budget allows */
};

struct binlog {
    struct binlog_options options;
    struct owner owner;
    struct machine commit;  /* seals and writes batches */
    struct machine prepare; /* makes the next segment ready */
    struct io_op commit_op, prepare_op;
    struct iovec commit_iov[2], prepare_iov;
    struct log_segment_header segment; /* current */
    struct io_handle handle, next_handle, directory;
    uint64_t offset; /* where the next batch goes, bytes */
    uint64_t next_number;
    uint64_t renamed_from; /* number that the next segment's file had before; 0: none */
    bool is_partial, is_next_ready, is_direct, is_closing, prepare_idle, commit_idle;
    uint8_t *segment_page; /* LOG_PAGE, aligned */
    uint8_t *zeros;        /* for zeroing new segments */
    uint64_t zeroed;       /* progress, bytes */
    char name[LOG_NAME_MAX], name_to[LOG_NAME_MAX], directory_name[LOG_NAME_MAX];
    struct log_buffer buffers[LOG_BUFFER_COUNT];
    struct log_buffer *filling, *writing;
    size_t write_size, written;
    uint64_t write_offset;
    bool write_switches; /* the write begins a new segment */
    struct list waiters; /* struct log_waiter */
    uint64_t lsn_next;
    uint64_t lsn_durable;
    uint64_t lsn_checkpoint;
    uint64_t lsn_retained; /* records above it are kept while the budget allows; UINT64_MAX: none */
    struct log_segment segments[LOG_SEGMENTS_MAX];
    uint32_t segment_count;
    err_t failure;
    uint64_t commit_count, byte_count, record_count; /* for status */
    struct timing commit_timing;                     /* of durable writes of the log */
    uint64_t commit_began_ns;
};

/** Where the log goes on after recovery. */
struct binlog_position {
    uint64_t lsn_next;        /* 1 for a new stream */
    uint64_t previous_number; /* last segment of the log so far, 0: none */
    uint64_t previous_end;    /* bytes of it that count */
    uint64_t lsn_checkpoint;  /* segments whose last LSN is not above it may be recycled */
    struct log_segment segments[LOG_SEGMENTS_MAX]; /* files that exist, any order */
    uint32_t segment_count;
};

/** Open the log for appending: makes LOG_SEGMENTS_MIN segments exist, begins a new segment
 * (durable) behind `position`. Uses io_call: start-up only.
 * Errors: BUSY/NO_RESOURCE (memory, descriptors), NO_SPACE, IO. Nothing is held on failure. */
MUST err_t binlog_open(struct binlog *log, const struct binlog_options *options,
    const struct binlog_position *position);

/** Is there room for a record of this size now? If not: binlog_wait, then ask again. */
bool binlog_has_room(const struct binlog *log, size_t record_size);
void binlog_wait(struct binlog *log, struct log_waiter *waiter, struct machine *machine);
void binlog_wait_cancel(struct log_waiter *waiter);
/** Who waits looks again: there is room, or the stream takes nothing any more. */
void binlog_wake_waiters(struct binlog *log);

/** Append: assigns LSN and incarnation, and origin, mount and stream unless the record has an origin
 * (received records, positions), copies everything (the caller's spans are free again), and
 * lets `machine` arrive when the commit has ended (append->err). machine NULL: nobody waits
 * (memory acknowledgement, leases). CHECKs that there is room.
 * Errors: OFFLINE (the log failed before; nothing appended).
 * Owns: the append until binlog_release(). Durable: when it arrives with OK. */
MUST err_t binlog_append(struct binlog *log, struct log_append *append, const struct record *record,
    struct machine *machine);

/** The record has been applied (or never will be): its buffer may be reused. Call once per append,
 * after its commit has ended. Nothing to do if nothing was appended. */
void binlog_release(struct binlog *log, struct log_append *append);

/** The stream failed elsewhere: what is not yet on its way to disk is withdrawn (OUTCOME_UNKNOWN), and
 * nothing more is accepted. Nothing to do if the log failed before or is not open. */
void binlog_withdraw(struct binlog *log, err_t err);

/** For an append without a machine: true if its commit has ended (append->err tells), false: `machine`
 * arrives when it has. */
MUST bool binlog_commit_wait(
    struct binlog *log, struct log_append *append, struct machine *machine);

/** Append a record that nobody applies or waits for. Errors: OFFLINE. CHECKs room. */
MUST err_t binlog_append_detached(struct binlog *log, const struct record *record);

/** Every record up to here is committed and released: what a checkpoint may cover. */
uint64_t binlog_applied_lsn(const struct binlog *log);

/** Segments whose records are all <= lsn may be recycled. */
void binlog_set_checkpoint(struct binlog *log, uint64_t lsn);

/** Keep segments with records above `lsn` while the log budget allows, checkpoint or not; UINT64_MAX:
 * keep nothing. May go up or down. When nothing else is there to be recycled, appends go first:
 * the oldest of these segments is, and on_retention_broken tells. */
void binlog_retain(struct binlog *log, uint64_t lsn);

/** The LSN that the log begins with; behind its durable end if it holds nothing. */
uint64_t binlog_first_lsn(const struct binlog *log);
/** The segment that holds record `lsn`, which is durable; *ret_last: the last durable LSN in it. NULL:
 * it was recycled. */
const struct log_segment *binlog_segment_of(
    const struct binlog *log, uint64_t lsn, uint64_t *ret_last);

/** Bytes of log since `lsn_checkpoint`, roughly: for the checkpoint's decision. */
uint64_t binlog_bytes_since_checkpoint(const struct binlog *log);

bool binlog_is_idle(const struct binlog *log);
/** Close: CHECKs that it is idle or failed and that nobody waits. In parts: begin, turn the loop until
 * it is quiet, end. */
void binlog_close_begin(struct binlog *log);
bool binlog_is_quiet(const struct binlog *log);
void binlog_close_end(struct binlog *log);

/** "log/03/000000000000001f" */
void binlog_segment_path(char path[LOG_NAME_MAX], uint8_t stream, uint64_t number);
void binlog_directory_path(char path[LOG_NAME_MAX], uint8_t stream);

#endif
