/* What a storage has heard of the ids of one stream: which of them it would know if they lived. Pure.
 *
 *   clock   1 ......... gap_first xxxxx gap_last ......... watermark | not heard yet
 *
 * An id that is covered and not here was deleted, or never was: that is a proof, for whoever still has
 * the file, too. In the gap something may have been missed: records that no log has any more, a disk
 * that was lost. One gap is kept; two are made one that covers both, which costs proofs, never files.
 * doc/decisions/0025-coverage.md. */
#ifndef CAIRN_WIRE_COVERAGE_H
#define CAIRN_WIRE_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

struct coverage {
    uint64_t watermark;           /* heard of up to here */
    uint64_t gap_first, gap_last; /* but for these, both inclusive; gap_last 0: no gap */
};

static inline bool coverage_has(const struct coverage *coverage, uint64_t clock)
{
    bool is_in_gap = clock >= coverage->gap_first && clock <= coverage->gap_last;
    return clock <= coverage->watermark && !is_in_gap;
}

/** Is everything up to `clock` covered? */
static inline bool coverage_has_all(const struct coverage *coverage, uint64_t clock)
{
    bool is_beyond_gap = coverage->gap_last == 0 || coverage->gap_first > clock;
    return clock <= coverage->watermark && is_beyond_gap;
}

static inline bool coverage_equals(const struct coverage *a, const struct coverage *b)
{
    return a->watermark == b->watermark && a->gap_first == b->gap_first
           && a->gap_last == b->gap_last;
}

/** Is all that is covered here covered by the other one, too? */
bool coverage_is_within(const struct coverage *coverage, const struct coverage *other);

/** Of these something may have been missed. first > last: nothing. */
void coverage_lose(struct coverage *coverage, uint64_t first, uint64_t last);

/** All files that the other one has were taken over from it: what either had heard of is covered. */
void coverage_merge(struct coverage *coverage, const struct coverage *other);

#endif
