/* The refusal sweep: a scenario runs again and again, each time on a fresh world with the next
 * operation refused, first once, then for ever, until a run goes through untouched.
 *
 * Random faults find breadth; this finds every single place where a refusal was not thought of. */
#ifndef CAIRN_SIM_SWEEP_H
#define CAIRN_SIM_SWEEP_H

#include "sim/world.h"

enum sim_sweep_what {
    SIM_SWEEP_OPS,  /* operations of the node end with -errno */
    SIM_SWEEP_HELD, /* acquisitions in the ledger of the loop are refused */
    SIM_SWEEP_COUNT
};

/** One run of the sweep, as the scenario sees it. */
struct sim_attempt {
    enum sim_sweep_what what;
    uint64_t nth; /* 1: the first after sim_attempt_arm */
    bool for_ever;
    uint32_t kinds; /* as in struct sim_refusal */
    int error;
    struct io *armed; /* NULL once it was disarmed: the loop may be gone by then */
    bool fired;
};

/** Begin to count: the scenario calls this when its set-up is done, once. */
void sim_attempt_arm(struct sim_attempt *attempt, struct io *io);
/** Stop refusing, so that the scenario can look at what is left; before it frees the loop. Whether a
 * refusal fired. */
bool sim_attempt_disarm(struct sim_attempt *attempt);

struct sim_sweep {
    uint64_t seed;  /* of every world */
    uint32_t kinds; /* of operations that are refused: BIT(enum io_kind); 0: all */
    int error;      /* errno; 0: one that is usual for the kind */
    void *context;
    /** Set up nodes, arm, run to the end, check. All loops of the world must hold nothing on
     * return: the sweep checks their ledgers and frees the world. */
    void (*run)(void *context, struct sim_world *world, struct sim_attempt *attempt);
};

/** Sweep operations and acquisitions, once and for ever. Returns the number of runs. */
uint64_t sim_sweep(const struct sim_sweep *sweep);

#endif
