/* What the metrics of every role have in common: who it is, what its loops hold, did and turned. A loop takes
 * its sample on its own thread; whoever writes the page has the samples of all. */
#ifndef CAIRN_DOORS_METRICS_PAGE_H
#define CAIRN_DOORS_METRICS_PAGE_H

#include "base/mem.h"
#include "base/metric.h"
#include "io/io.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The families written here: 64 kinds of operations with 24 buckets of 90 bytes each, and some. */
enum { METRICS_PAGE_COMMON_SIZE = 192 * 1024 };

/** What one loop tells of itself; plain numbers. */
struct loop_sample {
    uint64_t held[HELD_COUNT], held_max[HELD_COUNT], held_bytes[HELD_COUNT], held_limit[HELD_COUNT];
    int64_t fd_max;
    uint64_t memory, memory_max;
    uint64_t turns, machines,
        ready; /* in flight, with what rests; those that wait for their turn */
};

/** On the loop of `io`. `mem`: its memory. */
void loop_sample_take(struct loop_sample *sample, const struct io *io, const struct mem *mem);

struct metrics_head {
    const char *role, *version, *group, *pool; /* "" none */
    uint32_t machine;                          /* 0 none */
    uint64_t started_wall_ns, now_wall_ns;
    uint64_t cpu_user_ns, cpu_system_ns;
    uint64_t descriptor_limit; /* 0: not known */
};

void metrics_write_head(const struct metrics_head *head, struct text *text);
/** Ledger, memory and turns of `count` loops. */
void metrics_write_loops(const struct loop_sample *samples, size_t count, struct text *text);
/** What machines did (base/deeds.h). */
void metrics_write_deeds(const struct deeds *deeds, struct text *text);

#endif
