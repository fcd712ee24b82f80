/* What the machines of one loop have done: of each kind, how many ended with which result, and how
 * long they took. Counted where a machine ends (stage.c), so that no kind can be forgotten. No locks:
 * the loop counts, a copy travels to who asks.
 *
 *   machine ends -> deed_add()      reader: rows, merged over the loops with deeds_merge()
 *
 * Limits: DEED_KINDS_MAX kinds in a program; those above are counted together as "other". */
#ifndef CAIRN_BASE_DEEDS_H
#define CAIRN_BASE_DEEDS_H

#include "base/err.h"

/* Bucket i holds what took at most 2^(14 + i) ns, 16.4 us to 68.7 s, and more than the
 * bucket before; the last one everything above. Powers of two: a count is one shift and one add, and
 * 24 buckets tell a quantile to a factor of two over the range that a disk or a network can have. */
enum { TIMING_BUCKETS = 24, TIMING_FIRST_BITS = 14 };

struct timing {
    uint64_t buckets[TIMING_BUCKETS];
    uint64_t sum_ns;
};

void timing_add(struct timing *timing, uint64_t duration_ns);
void timing_merge(struct timing *into, const struct timing *from);
uint64_t timing_count(const struct timing *timing);
/** The greatest duration of a bucket; UINT64_MAX of the last. */
uint64_t timing_top_ns(size_t bucket);

enum { DEED_KINDS_MAX = 64, DEED_CODES_MAX = 32 };

struct deed {
    const void *key;                  /* NULL: the row is free */
    const char *name;                 /* static text */
    uint64_t results[DEED_CODES_MAX]; /* by enum err_code; foreign codes count as FAILED */
    struct timing timing;
};

struct deeds {
    struct deed rows[DEED_KINDS_MAX]; /* found by hashing the key; free ones between */
};

/** Count one that ended with `code` after `duration_ns`. `key` names the kind: one address per kind. */
void deed_add(
    struct deeds *deeds, const void *key, const char *name, int32_t code, uint64_t duration_ns);
/** Add all rows of `from`. */
void deeds_merge(struct deeds *into, const struct deeds *from);
uint64_t deed_count(const struct deed *deed);

#endif
