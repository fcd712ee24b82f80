/* What one loop of a storage tells of itself: copied home to loop 0 by the tour. Plain numbers. */
#ifndef CAIRN_STORAGE_REPORT_H
#define CAIRN_STORAGE_REPORT_H

#include "doors/metrics_page.h"

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
    struct timing commits; /* durable writes of the logs */
    uint64_t incarnation;  /* highest */
    uint32_t streams, torn_streams, full_streams;
};

/** Of one door. */
struct storage_door_report {
    uint64_t connections, connections_max, accepted, refused;
};
enum storage_doors {
    STORAGE_DOOR_NATIVE,
    STORAGE_DOOR_HTTP,
    STORAGE_DOOR_FASTDFS,
    STORAGE_DOORS_COUNT
};

/** Of the scrub of one loop: the pass that runs, and the last one that ended. */
struct storage_scrub_report {
    uint64_t passes;
    uint64_t files, bytes, last_files, last_bytes, last_damaged, last_repaired, last_suspects;
    uint64_t last_duration_ns;
    uint64_t is_running; /* 0, 1 */
};

struct storage_loop_report {
    struct storage_counters counters;
    uint32_t connections, requests; /* of the native protocol */
    uint32_t operations;            /* of all doors */
    uint64_t accepted, connections_refused;
    uint64_t corrupt_reads;
    struct loop_sample sample;
    struct storage_door_report doors[STORAGE_DOORS_COUNT];
    struct storage_scrub_report scrub;
    struct deeds deeds;
    struct storage_mount_report *mounts; /* by position in the configuration */
    const struct push_report *pushes; /* push_report.h; written by the loop while it is visited */
    uint32_t push_count;
};

#endif
