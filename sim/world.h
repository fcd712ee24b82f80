/* The simulated world: nodes with disks, clocks and a network, in one process and one thread,
 * everything drawn from a seed. The same seed and the same program give the same trace hash.
 *
 *   world   virtual clock, events, trace
 *   node    a machine: a name space of files (sim/disk.h), an address (sim/net.h), a wall clock
 *   loop    a `struct io *` of a node's process; the code above it can't tell the difference
 *
 * Life of a node: sim_node_new -> sim_loop_new (the process boots) -> sim_node_kill or
 * sim_node_power_loss (it is down: its loops are dead, its files are what they are) ->
 * sim_loop_new ... The memory of the code that ran on dead loops is the harness's to free; what
 * it still submits goes nowhere, what it calls fails with -EIO. */
#ifndef CAIRN_SIM_WORLD_H
#define CAIRN_SIM_WORLD_H

#include <stdio.h>

#include "base/prng.h"
#include "io/io.h"

struct sim_world;
struct sim_node;

struct sim_world *sim_world_new(uint64_t seed);
/** Frees all nodes, files and loops, dead ones too. */
void sim_world_free(struct sim_world *world);

/** Run the next event: what the kernel would do then, and the turn of a loop that follows from it.
 * Returns false if nothing will ever happen. */
bool sim_world_step(struct sim_world *world);

/** Step until `is_true`, at most for `max_ns` of virtual time: then false, with the clock there. */
bool sim_world_run_until(
    struct sim_world *world, bool (*is_true)(void *context), void *context, uint64_t max_ns);
/** Step for `ns` of virtual time; the clock stands there afterwards. */
void sim_world_run_for(struct sim_world *world, uint64_t ns);

uint64_t sim_world_now(const struct sim_world *world);
/** Over every operation so far: time, node, kind, place, result, sample of the bytes. */
uint64_t sim_world_hash(const struct sim_world *world);
uint64_t sim_world_op_count(const struct sim_world *world);
/** For the harness's own draws: a stream that no node uses. */
struct prng *sim_world_prng(struct sim_world *world);
/** A line per operation: time, node, loop, operation, path, offset, size, result. NULL: none. */
void sim_world_trace_to(struct sim_world *world, FILE *file);
/** The same without the operations: crashes and the harness's own lines. */
void sim_world_trace_brief(struct sim_world *world, FILE *file);
enum { SIM_NOTES_MAX = 64, SIM_NOTE_SIZE = 256 };

/** The last lines that were noted. */
struct sim_notes {
    uint64_t count; /* so far; line i is lines[i % SIM_NOTES_MAX], cut to its size */
    char lines[SIM_NOTES_MAX][SIM_NOTE_SIZE];
};
/** Keep them, whether there is a trace or not. Borrowed as long as the world. */
void sim_world_keep_notes(struct sim_world *world, struct sim_notes *notes);
/** A line of the harness's own in the trace. */
void sim_world_note(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** `name` is copied; `host` is its address as "10.0.0.1" would be parsed (port ignored), or NULL:
 * 10.0.0.<number of nodes so far>. */
struct sim_node *sim_node_new(
    struct sim_world *world, const char *name, const struct io_address *host);
const char *sim_node_name(const struct sim_node *node);
struct io_address sim_node_address(const struct sim_node *node, uint16_t port);

/** A loop of the node's process; the first one boots it. Freed by sim_loop_free, or with the world
 * once the node went down. */
struct io *sim_loop_new(struct sim_world *world, struct sim_node *node, uint16_t loop_index);
/** An orderly end. CHECKs that its ledger is empty. With the last loop the process is gone. */
void sim_loop_free(struct io *io);
struct sim_node *sim_loop_node(struct io *io);

/** kill -9: operations in flight are applied in part or not at all and never wake; descriptors
 * are closed; the page cache survives. May be called anywhere, nothing if the node is down. */
void sim_node_kill(struct sim_node *node);
/** The machine loses power: additionally what was not synced is kept, dropped or torn. */
void sim_node_power_loss(struct sim_node *node);
bool sim_node_is_down(const struct sim_node *node);

enum sim_crash { SIM_CRASH_NONE, SIM_CRASH_KILL, SIM_CRASH_POWER };

/** Crash the node right after its `nth` disk operation from now (1 = the next) took effect, before
 * its completion is delivered. 0: never. */
void sim_world_crash_at(
    struct sim_world *world, struct sim_node *node, uint64_t nth, enum sim_crash how);
/** Disk operations of the node that took effect so far: tells a crash loop where to end. */
uint64_t sim_node_disk_op_count(const struct sim_node *node);

/** The process does not run for `ns` (SIGSTOP, a stolen core); its machine's kernel does. */
void sim_node_pause(struct sim_node *node, uint64_t ns);

/** The wall clock jumps by `by_ns`; afterwards it runs `drift_ppm` millionths too fast. */
void sim_node_clock_set(struct sim_node *node, int64_t by_ns, int32_t drift_ppm);

/** Descriptors of the process from now on: opening more ends with -EMFILE. */
void sim_node_fd_limit(struct sim_node *node, unsigned count);
unsigned sim_node_fd_count(const struct sim_node *node);

/** The n-th operation that matches is refused with -error and without effect (a sync refused with
 * EIO is a sync that failed: what it covered is lost). */
struct sim_refusal {
    uint64_t countdown; /* 1: the next; 0: off */
    uint32_t kinds;     /* BIT(enum io_kind); 0: all */
    int error;          /* errno; 0: one that is usual for the kind */
    bool for_ever;      /* all later ones too */
    bool fired;
    uint64_t seen; /* matching operations so far: tells a sweep where to end */
};
struct sim_refusal *sim_node_refusal(struct sim_node *node);

#endif
