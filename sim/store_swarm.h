/* The swarm of the storage engine: from a seed a store with drawn sizes on a disk with drawn manners,
 * random operations, many at once, crashes after random I/O (in recovery, too), faults; after each
 * restart everything is compared with the reference model. */
#ifndef CAIRN_SIM_STORE_SWARM_H
#define CAIRN_SIM_STORE_SWARM_H

#include "sim/store_call.h"
#include "sim/store_model.h"
#include "sim/store_walk.h"

enum { STORE_SWARM_LARGE = 1000 };

enum store_swarm_fault {
    SWARM_FAULT_NONE,
    SWARM_FAULT_WRITE,   /* some writes end with EIO */
    SWARM_FAULT_READ,    /* some reads */
    SWARM_FAULT_SYNC,    /* some syncs; what they covered is lost */
    SWARM_FAULT_REFUSAL, /* one operation is refused, or all from it on */
    SWARM_FAULT_FULL,    /* the disk is full for a while */
    SWARM_FAULT_DESCRIPTORS,
    SWARM_FAULT_HELD, /* the ledger refuses an acquisition */
    SWARM_FAULT_COUNT
};

struct store_swarm_options {
    uint64_t seed;
    bool
        has_large; /* files of more than one checksum group; without it one seed in STORE_SWARM_LARGE */
    FILE *trace; /* NULL: none */
    /* canaries: mistakes that the swarm must find */
    const char *ignores_sync_of; /* syncs of what has this in its path do nothing; NULL: honest */
    bool acknowledges_early;     /* uploads are told as durable before their commit */
};

struct store_swarm_result {
    char failure[600]; /* empty: all is well */
    uint64_t hash;     /* of the trace */
    uint64_t io_count, operations, crashes, fences, boots;
};

void store_swarm_run(const struct store_swarm_options *options, struct store_swarm_result *ret);

#endif
