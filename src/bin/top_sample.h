/* What `cairn top` reads of one storage: its metrics (doc/metrics.md) as numbers, and what happened between two
 * readings. Pure. */
#ifndef CAIRN_BIN_TOP_SAMPLE_H
#define CAIRN_BIN_TOP_SAMPLE_H

#include "base/timing.h"

enum top_verb { TOP_UPLOAD, TOP_FIND, TOP_MODIFY, TOP_DELETE, TOP_STAT, TOP_LIST, TOP_VERBS };
enum { TOP_MOUNTS_MAX = 16, TOP_STATE_MAX = 16 };

extern const char *const top_verb_names[TOP_VERBS];

struct top_mount {
    unsigned index;
    double online, total, free, reserve, reusable, files, log_bytes; /* bytes */
    struct timing commits; /* buckets: how many, not added up */
};

struct top_sample {
    char state[TOP_STATE_MAX]; /* "running" */
    double time;               /* seconds, the server's clock */
    struct timing verbs[TOP_VERBS];
    double errors;                    /* of these verbs */
    double bytes_in, bytes_out, sent; /* content; to mirrors */
    double connections, in_flight, files, corrupt, differing;
    double lag, lag_records; /* of the mirror that is furthest behind: seconds, records */
    double descriptors, descriptor_limit, memory, memory_budget, cpu; /* bytes; seconds */
    struct top_mount mounts[TOP_MOUNTS_MAX];
    unsigned mount_count; /* more are left out */
};

/** Read the text of a storage. False: it is not one. */
MUST bool top_sample_parse(struct top_sample *sample, const char *text);

/** What happened from `before` to `after`: counters become differences (0 where the server has been started
 * anew), the rest is as in `after`; time: seconds between them. */
void top_sample_since(
    struct top_sample *ret, const struct top_sample *before, const struct top_sample *after);

/** Add `one` to a sum over storages; lag: the largest. */
void top_sample_add(struct top_sample *sum, const struct top_sample *one);

/** The duration below which `part` (0.5, 0.99) of them lie, ns; 0 if there is none. Within a bucket they are
 * taken to lie evenly. */
uint64_t top_quantile_ns(const struct timing *timing, double part);

#endif
