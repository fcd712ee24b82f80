/* The swarm of the cluster: from a seed a cluster with drawn shapes, clients with random operations,
 * faults, and a model of what each reader may see. Lives of two phases: faults and operations; then
 * all is healed, and within a bound everybody runs, all mirrors hold the same, and what was promised
 * is there. In the end everybody stops in order, and nothing is held. */
#ifndef CAIRN_SIM_CLUSTER_SWARM_H
#define CAIRN_SIM_CLUSTER_SWARM_H

#include <stdio.h>

#include "sim/cluster_fault.h"

enum { CLUSTER_SWARM_FAILURE = 1600, CLUSTER_SWARM_TEXT = 900 };

struct cluster_swarm_options {
    uint64_t seed;
    FILE *trace;         /* NULL: none */
    bool is_verbose;     /* the trace has every operation of the seam, too */
    bool has_bad_disks;  /* they are emptied, and rot */
    bool has_no_mirrors; /* clients keep to the origin of a file; copies are not compared */
};

struct cluster_swarm_result {
    char failure[CLUSTER_SWARM_FAILURE]; /* empty: all is well */
    char options[CLUSTER_SWARM_TEXT];    /* of the cluster */
    uint64_t hash;                       /* of everything that happened */
    uint64_t io_count, operations, succeeded, reads, boots, virtual_ns;
    uint64_t faults[CLUSTER_FAULT_COUNT];
    struct sim_notes story; /* its last lines */
};

void cluster_swarm_run(
    const struct cluster_swarm_options *options, struct cluster_swarm_result *ret);

#endif
