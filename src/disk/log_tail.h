/* Reads the records of a running stream's log, in LSN order, for those who follow it.
 *
 *   log_read_open -> { log_tail_read -> (machine arrives) -> use buffer[0, size) -> lsn = lsn_next } -> log_read_close
 *
 *   oldest segment ... | current segment ....| durable
 *        ^ log_tail_first      [ ring: what was committed last ]
 *
 * What is in the ring is copied at once; what is older comes from the segments (O_DIRECT, up to a
 * buffer per read). Readers stand where they like; one that is behind the ring reads from disk until
 * it is in it again. The ring is filled only while there is a reader.
 *
 * A batch counts only if its CRC, keyed with salt, number and incarnation of its segment, is right
 * and its LSN is the one expected. Segments end where the next one begins (cut tails are never
 * looked at), and one that was recycled meanwhile is known by its number: see log_scan.h and
 * doc/disk-format.md section "Binlog". Nothing allocates. */
#ifndef CAIRN_DISK_LOG_TAIL_H
#define CAIRN_DISK_LOG_TAIL_H

#include "disk/binlog.h"
#include "disk/log_ring.h"

struct log_tail {
    struct binlog *log;
    struct log_ring ring;
    struct list readers;
    uint64_t disk_reads, ring_reads; /* answers with records, for status */
};

/** A reader. Fill `lsn`; `buffer` and `capacity` are set by log_read_open. */
struct log_read {
    struct list link;
    struct log_tail *tail;
    uint64_t lsn; /* in: records from this one on */
    uint8_t *buffer;
    size_t capacity;
    err_t err;
    size_t size; /* out: bytes of whole records at the start of buffer, as in the log; 0: none */
    uint64_t lsn_next; /* out: where to go on */
    /* its own */
    struct owner owner; /* of the handle, from log_read_open to log_read_close */
    struct machine machine;
    struct machine *caller; /* NULL: no read is under way */
    struct log_ring_cursor cursor;
    struct io_handle handle;
    struct log_segment_header segment; /* of the file that is open */
    uint64_t offset, offset_lsn; /* the batch that stands at offset should begin with this LSN */
    uint64_t last_lsn;           /* of the segment, as far as it is durable */
    uint64_t limit;              /* bytes of the file that may be read */
    size_t window, got;          /* bytes to read at a time; read so far */
    uint32_t refusals;           /* bad places of the disk met in this read */
    bool is_seeking;             /* rot was met: the next good batch is looked for */
    bool is_whole;               /* the window is one batch */
    struct io_op op;
    struct iovec iov;
    struct io_stat stat;
    char path[LOG_NAME_MAX];
};

/** `ring_memory` (ring_size bytes, a multiple of 8; may be 0) is the caller's and stays. */
void log_tail_init(
    struct log_tail *tail, struct binlog *log, uint8_t *ring_memory, size_t ring_size);
/** CHECKs that there are no readers. */
void log_tail_fini(struct log_tail *tail);
/** A batch is durable: to be called from binlog_options.on_batch. */
void log_tail_commit(struct log_tail *tail, uint64_t first_lsn, struct span records);

/** Begin to follow. `buffer`: aligned to LOG_PAGE; `capacity`: a multiple of it, at least the log's
 * buffer_size. Both stay until log_read_close. */
void log_read_open(struct log_read *read, struct log_tail *tail, uint8_t *buffer, size_t capacity);
/** CHECKs that no read is under way. Nothing to do if it was not opened. */
void log_read_close(struct log_read *read);

/** Whole records, encoded as in the log, from read->lsn on, that are durable. True: done; false: the
 * same when `machine` arrives. Then read->err, or read->size (0: nothing durable there yet) and
 * read->lsn_next. Records that were read are the caller's to decode (record_decode) until the next read.
 * Errors: NOT_FOUND (pruned: the log begins at log_tail_first()), CORRUPT (rot, or a batch larger than
 * the capacity: records from lsn to before lsn_next cannot be read; go on there), IO, NO_RESOURCE,
 * BUSY (refused: lsn_next is lsn). */
MUST bool log_tail_read(struct log_tail *tail, struct log_read *read, struct machine *machine);

/** The oldest LSN that can be read; behind the durable end if there is none. */
uint64_t log_tail_first(const struct log_tail *tail);

#endif
