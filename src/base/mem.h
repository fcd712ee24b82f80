/* Memory: the only caller of malloc and its family. Servers take what they need at boot, in blocks
 * for pools and tables; nothing is taken while they run.
 *
 *   BOOT   mem_take yes        mem_give yes
 *   RUN    mem_take refused    mem_give yes
 *   STOP   mem_take refused    mem_give yes
 *
 * One instance per loop, beside its ledger; no locks. Every block is in the ledger with its size,
 * site and owner, and expected to live as long as the process. */
#ifndef CAIRN_BASE_MEM_H
#define CAIRN_BASE_MEM_H

#include "base/ledger.h"

enum mem_phase { MEM_BOOT, MEM_RUN, MEM_STOP };

enum { MEM_ALIGNMENT_MAX = 4096 };

struct mem {
    struct ledger *ledger;
    uint64_t bytes;     /* held now, as asked for (without alignment and headers) */
    uint64_t bytes_max; /* high-water mark */
    enum mem_phase phase;
    bool is_unphased; /* tests: mem_take works in every phase */
};

void mem_init(struct mem *mem, struct ledger *ledger);

/** BOOT -> RUN -> STOP; CHECKs that the phase does not go back. */
void mem_set_phase(struct mem *mem, enum mem_phase phase);

/**
 * A block of `size` bytes (at least 1), all zero, aligned to `alignment` (a power of two up to
 * MEM_ALIGNMENT_MAX; 0: for any type).
 *
 * Errors: BUSY (not at boot; limit of the ledger), NO_RESOURCE (the system has no memory).
 * Owns:   `owner` holds it until mem_give().
 */
MUST err_t mem_take_at(struct mem *mem, struct owner *owner, size_t size, size_t alignment,
    void **ret, const struct site *site);
#define mem_take(mem, owner, size, alignment, ret) \
    mem_take_at((mem), (owner), (size), (alignment), (ret), SITE())

/** Give back a block of this instance; NULL is nothing. Giving back twice is a failed check. */
void mem_give(struct mem *mem, void *data);

/** For pool.c built with CAIRN_POOL_MALLOC only: one object, exactly sized for the sanitizers,
 * neither zeroed nor in the ledger. NULL when the system has no memory. */
void *mem_object_new(size_t size, size_t alignment);
void mem_object_free(void *object);

#endif
