/* Reads the log of a stream at start-up, in order, telling where it ends and why.
 *
 *   | segment 4 | segment 5 | segment 6 ........ torn |        spare files have no valid header
 *          ^ checkpoint LSN   records from here on   ^ end
 *
 * The first batch that does not check ends the log, unless a later batch proves that it was durable
 * (it carries a durable LSN at or above): then it is rot, and is stepped over and counted.
 * Format and reasons: doc/disk-format.md section "Binlog". Uses io_call. */
#ifndef CAIRN_DISK_LOG_SCAN_H
#define CAIRN_DISK_LOG_SCAN_H

#include "disk/binlog.h"

struct log_scan {
    struct io *io;
    struct mem *mem;
    struct owner *owner;
    const struct io_handle *root;
    uint8_t stream;
    uint8_t storage_uuid[16], mount_uuid[16];
    uint32_t segment_size, buffer_size; /* bytes; a larger batch is read with a larger buffer */
    /* called for records at or below the `lsn` of log_scan_run that are read anyway. May be NULL */
    void (*skim)(void *context, const struct record *record);
    /* found by log_scan_open */
    struct log_segment files[LOG_SEGMENTS_MAX]; /* all files, by number; last_lsn as found */
    struct log_segment_header headers[LOG_SEGMENTS_MAX]; /* number 0: a spare */
    uint32_t count;
    /* found by log_scan_run */
    uint64_t lsn_next;   /* behind the last record */
    uint64_t end_number; /* segment that holds the end of the log; 0: there is no log */
    uint64_t end_offset; /* bytes of it that count */
    bool is_torn;        /* something stood behind the end and was cut */
    uint64_t rotten;     /* batches stepped over */
    uint64_t records;
};

/** List the segments and read their headers. Errors: FOREIGN (a segment of another storage or mount
 * point), FORMAT (a later version wrote one), BUSY (more files than LOG_SEGMENTS_MAX), IO, NO_RESOURCE. */
MUST err_t log_scan_open(struct log_scan *scan);

/** Visit every record with an LSN above `lsn`, in order. `visit` may be NULL. An error of visit ends
 * the scan. Errors: CORRUPT (records between `lsn` and the log's beginning are missing), IO,
 * NO_RESOURCE, those of visit. */
MUST err_t log_scan_run(struct log_scan *scan, uint64_t lsn,
    err_t (*visit)(void *context, const struct record *record), void *context);

/** After log_scan_run: which files are the log, for those who read it later: their first and last LSNs
 * (files[].first_lsn, last_lsn); that of the others is 0. */
void log_scan_chain(struct log_scan *scan);

#endif
