/* The ledger: everything that a loop holds, with site, owner, direction, age and expected life.
 *
 * Entries are embedded in the thing that is held (struct file, pool slot, connection, timer ...),
 * so acquiring allocates nothing and costs a list insertion. One ledger per loop; no locks.
 *
 *   acquire (may be refused)  ->  held  ->  release (kind-checked, cannot fail)
 *
 * An owner is an operation or a long-lived object. When an operation ends, owner_close() checks
 * that it holds nothing: a leak is found at the end of the very request that leaked. */
#ifndef CAIRN_BASE_LEDGER_H
#define CAIRN_BASE_LEDGER_H

#include "base/err.h"
#include "base/list.h"

#define HELD_KINDS(X)                                      \
    X(FD, "fd")       /* a descriptor */                   \
    X(MAP, "map")     /* a mapping */                      \
    X(MEM, "mem")     /* memory from mem.h */              \
    X(OP, "op")       /* an operation given to the seam */ \
    X(SLOT, "slot")   /* a pool slot */                    \
    X(CONN, "conn")   /* a connection */                   \
    X(TIMER, "timer") /* a timer that is set */            \
    X(SPACE, "space") /* disk space reserved and not committed */

enum held_kind {
#define X(name, text) HELD_##name,
    HELD_KINDS(X)
#undef X
        HELD_COUNT
};

#define DIRECTIONS(X)         \
    X(OWN, "own")             \
    X(CLIENT, "client")       \
    X(SYNC_SEND, "sync-send") \
    X(SYNC_RECV, "sync-recv") \
    X(REBUILD, "rebuild")     \
    X(HEARTBEAT, "heartbeat")

enum direction {
#define X(name, text) DIRECTION_##name,
    DIRECTIONS(X)
#undef X
        DIRECTION_COUNT
};

/** How long a thing is expected to be held. */
enum life { LIFE_REQUEST, LIFE_CONNECTION, LIFE_SEGMENT, LIFE_PROCESS, LIFE_COUNT };

const char *held_kind_name(enum held_kind kind);
const char *direction_name(enum direction direction);
const char *life_name(enum life life);

struct owner {
    const char *operation;  /* "upload", "checkpoint", "conn"; static text */
    uint64_t object_clock;  /* id clock of the object concerned, 0 if none */
    uint32_t object_origin; /* machine number of the object's origin, 0 if none */
    uint32_t peer_machine;  /* machine at the other end, 0 if a client or none */
    enum direction direction;
    uint32_t held; /* entries that name this owner now */
    uint64_t born_ns;
};

struct held {
    struct list link; /* in ledger->kinds[kind] */
    const struct site *site;
    struct owner *owner;
    uint64_t size;  /* bytes; 0 where a size means nothing */
    int64_t handle; /* fd number, address, slot index: what a person would look for */
    uint64_t born_ns;
    uint8_t kind;
    uint8_t life;
};

/** A refusal to be injected: the n-th acquisition (1 = the next) fails with ERR(BUSY) once or for
 * ever. countdown 0: off. Shared by tests of every operation (the refusal sweep). */
struct refusal {
    uint64_t countdown;
    bool for_ever;
    bool fired;
    uint64_t seen; /* acquisitions so far: tells a sweep where to end */
};

struct ledger {
    struct list kinds[HELD_COUNT];
    uint64_t count[HELD_COUNT];
    uint64_t bytes[HELD_COUNT];
    uint64_t count_max[HELD_COUNT]; /* high-water marks */
    uint64_t limit[HELD_COUNT];     /* 0: no limit */
    int64_t fd_max;                 /* highest descriptor number seen */
    uint64_t now_ns;                /* set by the loop once per turn */
    struct refusal refusal;
};

struct claim {
    enum held_kind kind;
    enum life life;
    uint64_t size;
    int64_t handle;
    struct owner *owner; /* never NULL */
};

void ledger_init(struct ledger *ledger);

/** Enter `held`. Errors: BUSY (limit of the kind reached, or refusal injected). */
MUST err_t ledger_acquire_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site);
#define ledger_acquire(ledger, held, ...) \
    ledger_acquire_at((ledger), (held), &(struct claim){__VA_ARGS__}, SITE())

/** The same for what must not be refused (descriptor that the kernel already handed out). */
void ledger_enter_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site);
#define ledger_enter(ledger, held, ...) \
    ledger_enter_at((ledger), (held), &(struct claim){__VA_ARGS__}, SITE())

/** Give back. CHECKs that `held` is entered under `kind`. */
void ledger_release(struct ledger *ledger, struct held *held, enum held_kind kind);

/** Hand an entry over to another owner (a connection that moves into an operation, say). */
void ledger_pass(struct held *held, struct owner *to);

static inline bool held_is_held(const struct held *held)
{
    return list_is_linked(&held->link);
}

/** Start an owner; it holds nothing yet. */
void owner_open(
    struct owner *owner, const char *operation, enum direction direction, uint64_t now_ns);

/** Name the object that it works on: id clock and origin. */
static inline void owner_set_object(struct owner *owner, uint64_t clock, uint32_t origin)
{
    owner->object_clock = clock;
    owner->object_origin = origin;
}

/** End an owner. CHECKs that it holds nothing. */
void owner_close(struct owner *owner);

/** CHECK that nothing is held in any kind: the end of a loop, of a test. */
void ledger_check_empty(const struct ledger *ledger);

/** A walk over everything held, a few entries at a time: between two steps the loop goes on, and
 * entries come and go. Each entry that is held from the beginning to the end is visited once; what
 * was entered since the beginning is not.
 *
 *   ledger_walk_begin -> ledger_walk_step ... until true (or ledger_walk_end: given up) */
struct ledger_walk {
    struct held mark; /* behind the entries that were visited; ledgers skip such marks */
    uint8_t kind;     /* being walked */
    uint64_t began_ns;
};

void ledger_walk_begin(struct ledger *ledger, struct ledger_walk *walk);
/** Visit up to `count` more. Returns true when all have been visited: the walk is over then. */
MUST bool ledger_walk_step(struct ledger *ledger, struct ledger_walk *walk, size_t count,
    void (*visit)(void *context, const struct held *held), void *context);
/** Leave before the end. Nothing to do for a walk that is over. */
void ledger_walk_end(struct ledger_walk *walk);

#endif
