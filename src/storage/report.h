/* What one loop of a storage tells of itself: copied home to loop 0 by the tour. Plain numbers. */
#ifndef CAIRN_STORAGE_REPORT_H
#define CAIRN_STORAGE_REPORT_H

#include "base/ledger.h"

/** Since the start. */
struct storage_counters {
    uint64_t uploads, finds, modifies, deletes, stats, lists; /* that succeeded */
    uint64_t refused;                                         /* answered with an error */
    uint64_t bytes_in, bytes_out;                             /* of content */
};

/** Of the streams of one mount point that the loop owns. */
struct storage_mount_report {
    uint64_t reusable_bytes; /* in chunks that are there: free slots, and what was never used */
    uint64_t live_files, chunks, log_bytes, log_commits, log_records;
    uint64_t checkpoints;
    uint64_t checkpoint_ns; /* of the oldest newest one, the loop's clock; 0: none yet */
    uint64_t lost_chunks, rotten_batches, replayed;
    uint64_t incarnation; /* highest */
    uint32_t streams, torn_streams, full_streams;
};

struct storage_loop_report {
    struct storage_counters counters;
    uint32_t connections, requests, operations;
    uint64_t accepted, connections_refused;
    uint64_t corrupt_reads;
    uint64_t held[HELD_COUNT], held_max[HELD_COUNT];
    int64_t fd_max;
    uint64_t memory, memory_max;
    struct storage_mount_report *mounts; /* by position in the configuration */
    const struct push_report *pushes; /* push_report.h; written by the loop while it is visited */
    uint32_t push_count;
};

#endif
