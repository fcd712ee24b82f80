/* One operation of a client of a simulated cluster, with its content in memory. The content of an
 * upload or modify goes out in pieces, some of them late. */
#ifndef CAIRN_SIM_CLUSTER_CALL_H
#define CAIRN_SIM_CLUSTER_CALL_H

#include "sim/cluster.h"
#include "sim/store_model.h"

struct cluster_call {
    struct cluster *cluster;
    void *context;
    bool is_done;
    err_t err;                  /* when it is done */
    char id[FID_TEXT_MAX];      /* of the file; upload: of the new one, when it is done */
    struct model_content *body; /* upload, modify; a reference of its own */
    size_t piece_max;           /* bytes of the body given at a time; 0: as many as fit */
    uint32_t late_per_million;  /* pieces that come late */
    uint64_t late_ns;
    uint8_t *found; /* find: the bytes that came */
    size_t found_size, found_capacity;
    bool was_cut_off; /* find: bytes came, then it ended with an error */
    /* its own */
    struct client_op op; /* request and, when it is done, reply */
    struct client_source source;
    struct client_sink sink;
    size_t sent;
    uint8_t *buffer;
    size_t asked;
    struct io_op timer;
    struct owner owner;
    struct prng prng;
};

/** A call whose `op.type` is `type` and whose request is empty; ids are set by cluster_call_start
 * from call->id. Freed with cluster_call_free. */
struct cluster_call *cluster_call_new(struct cluster *cluster, uint8_t type, uint64_t seed);
/** Only when it is done, or its client is dead. */
void cluster_call_free(struct cluster_call *call);
/** `machine` 0: any storage; else only that one may answer. */
void cluster_call_start(struct cluster_call *call, unsigned client, uint32_t machine);
/** Start it and turn the world until it is done. */
void cluster_call_run(struct cluster_call *call, unsigned client, uint32_t machine);

#endif
