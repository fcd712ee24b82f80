/* The workload of the swarm of the cluster: random operations of clients, each judged by the model
 * when it ends. */
#ifndef CAIRN_SIM_CLUSTER_WORK_H
#define CAIRN_SIM_CLUSTER_WORK_H

#include "sim/cluster_call.h"
#include "sim/cluster_fault.h"

enum { CLUSTER_FLIGHTS_MAX = 8, CLUSTER_UNSURE_MAX = 8, CLUSTER_WORK_TEXT = 600 };

/** What storages can do by now: the swarm asks for no more. */
struct cluster_skills {
    bool has_mirrors; /* every storage of the group has every file */
    bool has_levels;  /* acknowledgements by one or all mirrors */
};

/** An operation in flight. */
struct cluster_flight {
    struct cluster_call *call; /* NULL: this place is free */
    struct cluster_file *file; /* all but uploads */
    struct cluster_change *change;
    struct cluster_answer answer;
    uint32_t machine; /* the only one that may answer; 0: any */
    uint32_t number;
    uint8_t client;
    bool is_mutable; /* upload */
};

/** A change of unknown outcome: asked for again later, with the same nonce. */
struct cluster_unsure {
    struct cluster_file *file; /* NULL: an upload */
    struct cluster_change *change;
    struct nonce nonce;
    bool is_mutable;
    uint8_t client;
};

struct cluster_work {
    struct cluster *cluster;
    struct cluster_model *model;
    struct cluster_faults *faults;
    struct cluster_skills skills;
    struct prng *prng;
    struct cluster_flight flights[CLUSTER_FLIGHTS_MAX];
    struct cluster_unsure unsure[CLUSTER_UNSURE_MAX];
    unsigned unsure_count;
    unsigned width; /* operations at one time */
    uint32_t number;
    uint64_t operations, succeeded, reads;
    char failure[CLUSTER_WORK_TEXT]; /* empty: all is well */
};

/** Begin one, if there is room. */
void cluster_work_begin(struct cluster_work *work);
/** Judge those that have ended; returns how many. */
unsigned cluster_work_judge(struct cluster_work *work);
unsigned cluster_work_in_flight(const struct cluster_work *work);
/** What is unknown is decided: nothing is asked for again. */
void cluster_work_forget_unsure(struct cluster_work *work);
/** Free what is left; every client is dead, or everything is judged. */
void cluster_work_free(struct cluster_work *work);

#endif
