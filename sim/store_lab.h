/* A storage engine on a simulated node: one mount point, one or two loops, each with its store. The
 * harness of swarm and unit tests: it boots the process, closes it in order, and cleans up behind a
 * crash (the memory of a dead process is ours to free).
 *
 *   lab_new -> lab_boot -> operations (store_call.h) -> lab_close | crash, lab_bury -> lab_boot ... */
#ifndef CAIRN_SIM_STORE_LAB_H
#define CAIRN_SIM_STORE_LAB_H

#include "sim/disk.h"
#include "storage/store.h"

enum { STORE_LAB_LOOPS_MAX = 2 };
#define STORE_LAB_PATH "/d"

struct store_lab_options {
    const char *name; /* of the node; NULL: "s1" */
    struct sim_disk_options disk;
    struct store_config store; /* loop_index and loop_count are set by the lab */
    uint8_t stream_count, loop_count;
    uint32_t chunk_count_max;
    uint64_t reserve_bytes;
};

struct store_lab {
    struct sim_world *world;
    struct sim_node *node;
    struct store_lab_options options;
    struct io *io[STORE_LAB_LOOPS_MAX]; /* NULL: the process is not there */
    struct mem mem[STORE_LAB_LOOPS_MAX];
    struct id_clock clock;
    struct store stores[STORE_LAB_LOOPS_MAX];
    struct members members; /* of the group; the caller's to fill */
    bool has_store[STORE_LAB_LOOPS_MAX];
    unsigned fences; /* mount points that were fenced since the boot */
    unsigned boots;
};

/** Small sizes: chunks of 64 KiB, log segments of 64 KiB, a disk of 64 MiB without surprises. */
void store_lab_options_small(struct store_lab_options *options);

/** A world with one node and an empty, formatted mount point; no process yet. */
void store_lab_init(
    struct store_lab *lab, struct sim_world *world, const struct store_lab_options *options);

/** The process begins: recovery of every stream. On failure (a crash in the middle, too) everything
 * is given back, and what was open is closed without a checkpoint. Errors: those of stream_open. */
MUST err_t store_lab_boot(struct store_lab *lab);

/** True if the process is there and its node up. */
bool store_lab_is_up(const struct store_lab *lab);

/** An orderly end: CHECKs that no ledger holds anything. False: it crashed in the middle (and is
 * buried). The caller has ended all calls. */
bool store_lab_close(struct store_lab *lab);

/** Free what a dead process held. Nothing to do if there is none. */
void store_lab_bury(struct store_lab *lab);

/** kill -9 and bury. */
void store_lab_kill(struct store_lab *lab, bool loses_power);

/** Every machine of every loop with its stage, as text: what hangs. */
void store_lab_describe(const struct store_lab *lab, char *ret, size_t size);

/** The store whose loop owns the file. */
struct store *store_lab_owner(struct store_lab *lab, const struct fid *fid);

/** The streams of the mount point that the loops own, or NULL. */
struct stream *store_lab_stream(struct store_lab *lab, unsigned index);

#endif
