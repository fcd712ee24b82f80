/* How the rows of a census grow: samples of one, ten and sixty minutes, slopes that single outliers do
 * not move, and the judgement: is this a leak? Pure.
 *
 *   each minute:  5 s  | . . . . . . . . . . . . .   13 samples
 *   ten minutes:  60 s | . . . . . . . . . . .       11
 *   an hour:      5 m  | . . . . . . . . . . . . .   13
 *
 * A leak is a place where things that were to be held for a request are late, where late ones only
 * become more, and faster than what there is to do (connections and operations in flight) does: what
 * comes and goes with the load is none. It stays one until half of it has been given back. */
#ifndef CAIRN_SIGHT_GROWTH_H
#define CAIRN_SIGHT_GROWTH_H

#include "sight/census.h"

enum {
    GROWTH_SPANS = 3,
    GROWTH_SAMPLES = 13,
    GROWTH_LEAK_SAMPLES = 4, /* steps of 5 s that late things must become more over */
    GROWTH_LEAK_LEAST = 6,   /* more late things than before, at least */
    GROWTH_FORSAKEN_SAMPLES = 4,
};

struct growth_sample {
    uint64_t at_ns;
    uint32_t count, late;
    uint32_t load;
};

/** Newest last; `count` of them. */
struct growth_ring {
    struct growth_sample samples[GROWTH_SAMPLES];
    uint8_t count;
};

struct growth_series {
    struct census_key key; /* site NULL: free */
    struct growth_ring rings[GROWTH_SPANS];
    uint64_t seen;           /* number of the newest step that had this row */
    uint32_t forsaken_steps; /* for so many steps running there were forsaken ones */
    uint32_t leak_base;      /* late ones when it was called a leak; 0: it is none */
    bool is_told;            /* the log has it */
};

struct growth {
    uint64_t steps;
    uint32_t count;
    struct growth_series series[CENSUS_ROWS];
    uint16_t places[CENSUS_PLACES];
};

/** A new census; `load`: connections and operations in flight. Every 5 s. */
void growth_step(struct growth *growth, const struct census *census, uint64_t load);

/** NULL: not seen yet. */
const struct growth_series *growth_find(const struct growth *growth, const struct census_key *key);

/** Things per minute, times 1000; over the span 0 (a minute), 1 (ten), 2 (an hour), or as much of it as
 * there is. The median of the slopes between all pairs of samples. */
int64_t growth_per_minute(const struct growth_series *series, unsigned span);
/** The same of those that are late. */
int64_t growth_late_per_minute(const struct growth_series *series, unsigned span);

static inline bool growth_is_leak(const struct growth_series *series)
{
    return series->leak_base > 0;
}
static inline bool growth_is_forsaken(const struct growth_series *series)
{
    return series->forsaken_steps >= GROWTH_FORSAKEN_SAMPLES;
}

#endif
