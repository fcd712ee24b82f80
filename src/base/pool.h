/* A pool: a fixed number of slots of one size, taken from memory once at init. Every taken slot is
 * in the ledger (HELD_SLOT: size, site, owner, index as handle). When the pool is empty the answer
 * is NULL, never growth; who may wait stands in a queue.
 *
 *   init -> take / give ... wait / wait_cancel ... -> fini (all slots back, nobody waits)
 *
 * Under AddressSanitizer free slots and the gaps between slots are poisoned. Built with
 * CAIRN_POOL_MALLOC each taken slot is its own heap object, so that every tool sees it. */
#ifndef CAIRN_BASE_POOL_H
#define CAIRN_BASE_POOL_H

#include "base/map.h"
#include "base/mem.h"

struct pool_slot;

struct pool {
    const char *name; /* static text */
    struct mem *mem;
    struct ledger *ledger;
    struct pool_slot *slots; /* bookkeeping, apart from the contents */
    char *data;              /* contents, `stride` apart; NULL with CAIRN_POOL_MALLOC */
    size_t slot_size, stride, alignment;
    size_t count;          /* slots in total */
    size_t free_count;     /* slots free now */
    size_t free_count_min; /* low-water mark */
    uint64_t refused;      /* takes that found no slot */
    enum life life; /* expected life of a taken slot; LIFE_REQUEST unless changed after init */
    struct list free;
    struct list waiters;
    struct map taken; /* CAIRN_POOL_MALLOC: object -> slot */
};

struct pool_waiter {
    struct list link; /* in pool->waiters */
    /** A slot is free: take it now, inside this call; after it the next waiter is served. Called
     * from pool_give(); must not give a slot of this pool. */
    void (*ready)(struct pool_waiter *waiter);
};

/**
 * A pool of `count` slots of `slot_size` bytes each, aligned to `alignment` (power of two, up to
 * MEM_ALIGNMENT_MAX; 0: for any type).
 *
 * Errors: BUSY, NO_RESOURCE (mem_take); nothing is held then.
 * Owns:   memory of `owner` until pool_fini().
 */
MUST err_t pool_init_at(struct pool *pool, struct mem *mem, struct ledger *ledger, const char *name,
    size_t slot_size, size_t count, size_t alignment, struct owner *owner, const struct site *site);
#define pool_init(pool, mem, ledger, name, slot_size, count, alignment, owner) \
    pool_init_at(                                                              \
        (pool), (mem), (ledger), (name), (slot_size), (count), (alignment), (owner), SITE())

/** CHECKs that every slot is back and nobody waits; gives the memory back. */
void pool_fini(struct pool *pool);

/** A slot, contents undefined; `owner` holds it until pool_give(). NULL: the pool is empty, or the
 * ledger refused. */
void *pool_take_at(struct pool *pool, struct owner *owner, const struct site *site);
#define pool_take(pool, owner) pool_take_at((pool), (owner), SITE())

/** Give a slot back and serve the waiters. CHECKs that it is of this pool and taken. */
void pool_give(struct pool *pool, void *data);

/** The ledger entry of a taken slot, for ledger_pass(). CHECKs like pool_give(). */
struct held *pool_held(struct pool *pool, void *data);

/** Stand in the queue; first come, first served. Returns false, without queueing, when a slot is
 * free: then the take was refused by the ledger, and waiting would not help (answer BUSY). */
MUST bool pool_wait(struct pool *pool, struct pool_waiter *waiter);
/** Leave the queue; nothing to do for who does not stand in it. */
void pool_wait_cancel(struct pool_waiter *waiter);

/** Bytes that pool_init() will take for these numbers: for the budget at start. */
uint64_t pool_bytes(size_t slot_size, size_t count, size_t alignment);

#endif
