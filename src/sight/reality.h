/* The ledgers compared with the kernel: descriptors and mappings that the kernel has and no ledger, and
 * the reverse. In pieces, between which the loop goes on.
 *
 *   reality_begin -> reality_scan ... until true -> reality_note, for every entry of every ledger
 *   -> reality_judge ... until true -> counts, unknown[]
 *
 * Descriptors come and go between the two looks. So what only the kernel has must be the same thing
 * (number and name) in REALITY_TIMES comparisons running; what only the ledger has is asked for at the
 * moment when the loop holds it. What was there at the first comparison is the base: standard streams,
 * what was inherited, arenas of the C library. */
#ifndef CAIRN_SIGHT_REALITY_H
#define CAIRN_SIGHT_REALITY_H

#include "base/mem.h"
#include "io/kernel.h"

enum {
    REALITY_TIMES = 3,
    REALITY_SUSPECTS = 64,
    REALITY_RANGES = 2048, /* mappings and large blocks of all loops */
    REALITY_BASE = 64,
    REALITY_TOLD = 8,
    REALITY_FDS_MAX = 1 << 20,
    REALITY_RANGE_LEAST = 64 * 1024,
};

struct reality_suspect {
    uint64_t number; /* descriptor, or address */
    uint64_t name_hash;
    uint32_t times;
    char name[KERNEL_NAME_MAX];
};

struct reality_suspects {
    uint32_t count;
    uint64_t more; /* that found no place */
    struct reality_suspect all[REALITY_SUSPECTS];
};

struct reality_range {
    uint64_t begin, end;
    bool is_map, is_there;
    const struct site *site;
};

struct reality {
    struct mem *mem;
    uint64_t *block;
    uint64_t *kernel, *ledger, *base, *forsaken, *forsaken_before; /* a bit for each descriptor */
    size_t words;
    struct kernel_fds fds;
    struct kernel_maps maps;
    struct reality_suspects fd_suspects, fd_before, map_suspects, map_before;
    struct reality_range *ranges;
    uint32_t range_count, base_count;
    struct {
        uint64_t begin, end;
    } base_maps[REALITY_BASE];
    uint64_t passes; /* comparisons that ended */
    bool has_failed; /* /proc could not be read: nothing is known */
    /* of the comparison under way, and of the last that ended */
    struct reality_counts {
        uint64_t fds, maps, map_bytes; /* of the kernel */
        uint64_t forsaken;             /* sockets whose peer is gone */
        int64_t fd_highest;
        uint64_t fds_missing, maps_missing; /* in a ledger, not in the kernel */
        uint64_t loose_bytes;               /* mapped, of no ledger, beyond the base */
        uint64_t ledger_bytes;
    } counts, last;
    uint64_t base_bytes;
};

/** For descriptors below `fd_limit`. Errors: BUSY, NO_RESOURCE. */
MUST err_t reality_init(
    struct reality *reality, struct mem *mem, struct owner *owner, uint64_t fd_limit);
void reality_fini(struct reality *reality);
uint64_t reality_bytes(uint64_t fd_limit);

void reality_begin(struct reality *reality);
/** A piece of the kernel's descriptors. True: that was the last. */
MUST bool reality_scan(struct reality *reality);
/** Called on the loop that holds it. */
void reality_note(struct reality *reality, const struct held *held);
/** Was the other end of this descriptor gone, in this comparison and the one before? */
bool reality_is_forsaken(const struct reality *reality, const struct held *held);
/** A piece of the mappings, then the judgement. True: over. */
MUST bool reality_judge(struct reality *reality);
/** Give up in the middle. */
void reality_stop(struct reality *reality);

/** Things that only the kernel has, for so long that it is no coincidence. */
uint64_t reality_unknown(const struct reality_suspects *suspects);

#endif
