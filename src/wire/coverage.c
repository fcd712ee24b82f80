#include "wire/coverage.h"

struct range {
    uint64_t first, last; /* inclusive; first > last: empty */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool coverage_is_within(const struct coverage *coverage, const struct coverage *other)
{
    uint64_t gap_last = least(other->gap_last, coverage->watermark);
    bool has_gap = other->gap_last != 0 && other->gap_first <= gap_last;
    bool is_in_gap = coverage->gap_first <= other->gap_first && gap_last <= coverage->gap_last;
    return coverage->watermark <= other->watermark && (!has_gap || is_in_gap);
}

void coverage_lose(struct coverage *coverage, uint64_t first, uint64_t last)
{
    if (first > last || last == 0)
        return;
    bool has_gap = coverage->gap_last != 0;
    coverage->gap_first = has_gap ? least(coverage->gap_first, first) : first;
    coverage->gap_last = most(coverage->gap_last, last);
}

static struct range gap_of(const struct coverage *coverage)
{
    bool has_gap = coverage->gap_last != 0;
    return has_gap ? (struct range){coverage->gap_first, coverage->gap_last} : (struct range){1, 0};
}

static struct range tail_of(const struct coverage *coverage)
{
    bool is_all = coverage->watermark == UINT64_MAX;
    return is_all ? (struct range){1, 0} : (struct range){coverage->watermark + 1, UINT64_MAX};
}

static void lose_both(struct coverage *coverage, struct range a, struct range b)
{
    bool is_empty = a.first > a.last || b.first > b.last;
    if (!is_empty)
        coverage_lose(coverage, most(a.first, b.first), least(a.last, b.last));
}

/* Not covered is what neither covers: gap or tail of the one, and gap or tail of the other. Both tails
 * together are the tail of the result. */
void coverage_merge(struct coverage *coverage, const struct coverage *other)
{
    struct coverage both = {.watermark = most(coverage->watermark, other->watermark)};
    lose_both(&both, gap_of(coverage), gap_of(other));
    lose_both(&both, gap_of(coverage), tail_of(other));
    lose_both(&both, tail_of(coverage), gap_of(other));
    *coverage = both;
}
