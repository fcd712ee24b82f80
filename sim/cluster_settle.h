/* When all is healed: does every storage hold the same, and what was promised? Asked of each storage
 * alone, file by file. */
#ifndef CAIRN_SIM_CLUSTER_SETTLE_H
#define CAIRN_SIM_CLUSTER_SETTLE_H

#include "sim/cluster_work.h"

enum { CLUSTER_SETTLE_TEXT = 600 };

struct cluster_settle {
    struct cluster *cluster;
    struct cluster_model *model;
    struct cluster_skills skills;
    bool is_damaged;                   /* and there are no mirrors: what is damaged may stay so */
    char failure[CLUSTER_SETTLE_TEXT]; /* of the last attempt */
};

/** Wait until all storages run and hold the same of every file of the model, at most for `max_ns` of
 * virtual time; then every file is settled in the model. Nobody may be operating. False: failure. */
bool cluster_settle(struct cluster_settle *settle, uint64_t max_ns);

#endif
