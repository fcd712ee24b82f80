#include "sim/sweep.h"

#include "sim/parts.h"

enum { RUNS_MAX = 100000 }; /* a scenario that never gets through is a bug of its own */

void sim_attempt_arm(struct sim_attempt *attempt, struct io *io)
{
    CHECK(!attempt->armed);
    attempt->armed = io;
    if (attempt->what == SIM_SWEEP_HELD)
        io->ledger.refusal =
            (struct refusal){.countdown = attempt->nth, .for_ever = attempt->for_ever};
    else
        *sim_node_refusal(sim_loop_node(io)) = (struct sim_refusal){
            .countdown = attempt->nth,
            .for_ever = attempt->for_ever,
            .kinds = attempt->kinds,
            .error = attempt->error,
        };
}

bool sim_attempt_disarm(struct sim_attempt *attempt)
{
    if (!attempt->armed)
        return attempt->fired;
    struct refusal *held = &attempt->armed->ledger.refusal;
    struct sim_refusal *ops = sim_node_refusal(sim_loop_node(attempt->armed));
    attempt->fired = attempt->what == SIM_SWEEP_HELD ? held->fired : ops->fired;
    held->countdown = ops->countdown = 0;
    held->for_ever = ops->for_ever = false;
    attempt->armed = NULL;
    return attempt->fired;
}

static void check_ledgers(struct sim_world *world)
{
    LIST_EACH (at, &world->nodes) {
        struct sim_node *node = CONTAINER_OF(at, struct sim_node, link);
        LIST_EACH (other, &node->loops)
            ledger_check_empty(&CONTAINER_OF(other, struct sim_loop, link)->io.ledger);
    }
}

/* Returns whether the refusal fired: if not, every operation has had its turn. */
static bool run_once(const struct sim_sweep *sweep, struct sim_attempt attempt)
{
    struct sim_world *world = sim_world_new(sweep->seed);
    sweep->run(sweep->context, world, &attempt);
    bool fired = sim_attempt_disarm(&attempt);
    check_ledgers(world);
    sim_world_free(world);
    return fired;
}

uint64_t sim_sweep(const struct sim_sweep *sweep)
{
    uint64_t runs = 0;
    for (unsigned what = 0; what < SIM_SWEEP_COUNT; what++) {
        for (unsigned for_ever = 0; for_ever < 2; for_ever++) {
            struct sim_attempt attempt = {.what = (enum sim_sweep_what)what,
                .for_ever = for_ever,
                .kinds = sweep->kinds,
                .error = sweep->error};
            do {
                CHECK(++attempt.nth < RUNS_MAX);
                runs++;
            } while (run_once(sweep, attempt));
        }
    }
    return runs;
}
