/* A whole cluster in the simulated world: trackers, storages and clients, each on a node of its own,
 * with the code that runs in production. Small sizes, so that in a short run chunks fill, slots are
 * used again, files outgrow their slots and logs are recycled.
 *
 *   cluster_options_draw -> cluster_open -> cluster_boot_all -> cluster_run_until ...
 *       -> cluster_stop_all (orderly; ledgers and descriptors are checked) -> cluster_close
 *
 * A storage goes down by a crash of its node, at any moment of a run, or because it gave up; either
 * is noticed between two events: its memory is freed and on_down() is called. */
#ifndef CAIRN_SIM_CLUSTER_H
#define CAIRN_SIM_CLUSTER_H

#include "client/client.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "storage/server.h"
#include "tracker/tracker.h"

enum {
    CLUSTER_TRACKERS_MAX = 3,
    CLUSTER_STORAGES_MAX = 5,
    CLUSTER_CLIENTS_MAX = 2,
    CLUSTER_LOOPS_MAX = 2,
    CLUSTER_MOUNTS_MAX = 3,
    CLUSTER_OPERATIONS_MAX = 6, /* of one client at one time */
};

/** One storage: machine number = index + 1. */
struct cluster_shape {
    uint8_t mounts, loops, streams; /* streams: of each mount point */
    uint32_t chunk_size, single_min, inline_max, piece_size;
    uint32_t log_buffer_size, log_segment_size, log_segments, checkpoint_bytes;
    uint32_t free_slots, request_max;
    uint32_t balance; /* 0 loop, 1 maxdisk, 2 turn */
    struct sim_disk_options disk;
};

struct cluster_options {
    uint8_t trackers, storages, clients;
    bool has_secrets;      /* nodes and clients must prove them */
    uint64_t timeout_ns;   /* of clients: the longest silence */
    uint32_t retries;      /* of clients */
    uint32_t contents_max; /* bytes: the largest content of the workload */
    struct cluster_shape shapes[CLUSTER_STORAGES_MAX];
};

struct cluster_tracker {
    struct sim_node *node;
    struct io *io; /* NULL: it is down */
    struct mem mem;
    struct tracker tracker;
};

struct cluster_storage {
    struct cluster *cluster;
    struct sim_node *node;
    uint32_t machine;
    struct config *config;
    struct storage_config storage_config;
    struct storage *storage;
    struct io *loops[CLUSTER_LOOPS_MAX]; /* NULL: the process is not there */
    bool is_over[CLUSTER_LOOPS_MAX];
    bool is_up;
    bool has_run;     /* since this boot it was running */
    bool is_stopping; /* it was asked to end */
    err_t result;     /* of the last process that ended in order */
    char why[MOUNT_REFUSAL_TEXT_MAX];
    unsigned boots;
};

struct cluster_client {
    struct sim_node *node;
    struct io *io;
    struct mem mem;
    struct client client;
    bool is_open;
};

struct cluster {
    struct sim_world *world;
    struct cluster_options options;
    struct handshake_secrets secrets;
    struct cluster_tracker trackers[CLUSTER_TRACKERS_MAX];
    struct cluster_storage storages[CLUSTER_STORAGES_MAX];
    struct cluster_client clients[CLUSTER_CLIENTS_MAX];
    /* A storage's process is gone: it crashed (its memory is freed), or ended. May be NULL. */
    void (*on_down)(void *context, unsigned storage, bool has_crashed);
    void *context;
};

/** Shapes and numbers from `prng`. */
void cluster_options_draw(struct cluster_options *options, struct prng *prng);
/** Two trackers, `storages` storages of two mount points and one loop, one client, plain disks. */
void cluster_options_plain(struct cluster_options *options, uint8_t storages);
/** The options as one line of text. Returns `text`. */
const char *cluster_options_text(const struct cluster_options *options, char *text, size_t size);

/** Nodes with empty disks; nothing runs. `trace` NULL: none; is_brief: without operations. */
void cluster_open(struct cluster *cluster, uint64_t seed, const struct cluster_options *options,
    FILE *trace, bool is_brief);
/** Frees everything; what still runs is killed first. */
void cluster_close(struct cluster *cluster);

void cluster_boot_tracker(struct cluster *cluster, unsigned index);
void cluster_kill_tracker(struct cluster *cluster, unsigned index);
/** Begin a process; nothing if there is one. It recovers and becomes running as the world turns. */
void cluster_boot_storage(struct cluster *cluster, unsigned index);
/** kill -9, or a loss of power. */
void cluster_kill_storage(struct cluster *cluster, unsigned index, bool loses_power);
/** Ask it to end; it does so as the world turns. */
void cluster_stop_storage(struct cluster *cluster, unsigned index);
void cluster_open_client(struct cluster *cluster, unsigned index);
/** Close all clients in order; no operation is in flight. False: it took longer. */
bool cluster_close_clients(struct cluster *cluster, uint64_t max_ns);
void cluster_boot_all(struct cluster *cluster);

/** Its state is running. */
bool cluster_is_running(const struct cluster *cluster, unsigned index);
/** Every storage is and knows the others, and every tracker knows that of all. */
bool cluster_is_whole(void *cluster);
/** The path of a mount point of a storage, the same on all: "/m0". */
const char *cluster_mount_path(unsigned mount);

/** Turn the world until `is_true`, at most for `max_ns` of virtual time: then false. */
bool cluster_run_until(
    struct cluster *cluster, bool (*is_true)(void *context), void *context, uint64_t max_ns);
void cluster_run_for(struct cluster *cluster, uint64_t ns);

/** Clients, storages and trackers end in order: every ledger must be empty and every descriptor closed
 * then (failed checks otherwise). False: somebody did not come to an end in `max_ns`. */
bool cluster_stop_all(struct cluster *cluster, uint64_t max_ns);

/** What every storage is doing, as text: state, phase and what waits where. */
void cluster_describe(const struct cluster *cluster, char *ret, size_t size);

#endif
