/* Operations that wait: a struct and a table of named stages.
 *
 *   ADMIT -> ... -> WORK <-> WAITED -> ... -> UNWIND -> DONE
 *      any stage may leave by machine_fail() -> UNWIND; the first cause wins
 *
 * Rules. A stage returns the next stage, or announces what it waits for and returns STAGE_WAIT.
 * It moves first (machine_wait_in), then starts the operation. Completions never arrive inside
 * submit. UNWIND gives back what is held, newest first, and may wait. DONE gives back nothing: it
 * checks (owner_close), replies once, and the machine may be gone when it returns STAGE_END. */
#ifndef CAIRN_BASE_STAGE_H
#define CAIRN_BASE_STAGE_H

#include "base/deeds.h"
#include "base/ledger.h"
#include "base/recorder.h"

enum { STAGE_WAIT = -1, STAGE_END = -2 };

struct machine;

struct stage {
    const char *name;
    int (*run)(struct machine *machine); /* next stage, STAGE_WAIT, or (DONE only) STAGE_END */
    uint64_t edges;                      /* BIT(stage) it may move to; UNWIND is always allowed */
    uint32_t deadline_ms; /* longest expected stay; 0: none; STAGE_RESTS. Shown as overdue */
};

/* The stage in which a machine that lives long has nothing to do: it waits for work, not for an answer. */
#define STAGE_RESTS UINT32_MAX

struct machine_kind {
    const char *name;
    const struct stage *stages;
    uint8_t stage_count;
    uint8_t unwind; /* index of the UNWIND stage */
    uint8_t done;   /* index of the DONE stage */
};

/** Machines that became ready outside of a completion (a lock passed on, a commit finished):
 * the loop runs them before it waits again. */
struct run_queue {
    struct list ready;
    struct list machines;      /* every started machine, for `cairn ops` */
    uint64_t now_ns;           /* set by the loop once per turn */
    struct recorder *recorder; /* of the last stages that were entered; NULL: none */
    struct deeds deeds;        /* of those that ended, for metrics */
};

struct machine {
    const struct machine_kind *kind;
    struct run_queue *queue;
    struct owner owner;
    err_t err;         /* first cause of failure, or ERR_OK */
    struct list ready; /* in queue->ready */
    struct list link;  /* in queue->machines */
    uint64_t stage_ns; /* when the present stage was entered */
    uint16_t waiting;  /* arrivals that are still to come before the stage runs */
    uint8_t stage;
    bool running;
};

void run_queue_init(struct run_queue *queue);
/** Run every ready machine, and those that become ready meanwhile. Returns how many ran. */
size_t run_queue_run(struct run_queue *queue);

/** Begin at stage 0; the machine runs from the run queue, not inside this call. */
void machine_start(struct machine *machine, const struct machine_kind *kind,
    struct run_queue *queue, enum direction direction);

/** Stay in `next` until `arrivals` calls of machine_arrive(). Call before starting the operations;
 * calling it again in the same stage function adds to the count. Returns STAGE_WAIT. */
int machine_wait_in(struct machine *machine, int next, unsigned arrivals);

/** One awaited thing has come. At zero the stage runs, from the run queue. */
void machine_arrive(struct machine *machine);
/** The same, from an io completion: at zero the stage runs at once (never call it inside submit). */
void machine_arrive_now(struct machine *machine);

/** Record `err` (first cause wins) and return the UNWIND stage. */
int machine_fail(struct machine *machine, err_t err);

const char *machine_stage_name(const struct machine *machine);

#endif
