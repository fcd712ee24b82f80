/* Free space of one stream: a bounded cache of free slots, and a summary of 16 bytes per chunk.
 *
 * The truth about free slots is in the slot maps; the cache holds as many of them as fit, the larger
 * ones when not all do. The summaries know which chunks have free slots that the cache lacks, so the
 * caller knows which map is worth loading when the cache has nothing that fits.
 *
 * Where an upload of `size` bytes goes, in this order:
 *   1 space_take: best fit from the cache. Equal sizes: lowest chunk, lowest offset, so that the
 *     chunks behind drain. The rest is cut off and stays free, unless it is under SLOT_REMAINDER_MIN
 *     (512 bytes) or under 1/SPACE_WASTE_DIVISOR of the size: then it goes with the slot, as slack.
 *   2 space_pick_chunk_to_scan with free_min = chunk size / 8: reading a map (256 KiB at 64 MiB) is
 *     worth it when it brings 8 MiB to reuse. With free_min = 0 when the disk has no room for a chunk.
 *   3 the tail of the chunk that is being filled; when it is full, space_pick_chunk_to_fill with
 *     fresh_min = chunk size / 8, so that tails given back by releases are not lost.
 *   4 a new chunk.
 *
 * Cost: take, insert and remove O(log n) in entries, 0.1 to 0.3 us; picks O(chunks), 0.1 ms for
 * 100,000; forgetting or scanning a chunk O(entries of the cache).
 * Memory: 28 bytes per entry, 16 per chunk. */
#ifndef CAIRN_DISK_SPACE_H
#define CAIRN_DISK_SPACE_H

#include "base/mem.h"
#include "disk/slotmap.h"

enum { SPACE_WASTE_DIVISOR = 16, SPACE_ENTRIES_DEFAULT = 16384 };

struct space_slot {
    uint32_t chunk; /* number */
    uint32_t offset;
    uint32_t size; /* bytes */
};

struct space_chunk {
    uint32_t number;
    uint32_t free_bytes;  /* in free slots */
    uint32_t fresh_bytes; /* behind the tail */
    uint32_t missing;     /* no free slot that the cache lacks is larger; 0: it lacks none */
};

struct space_entry; /* a node of the tree */

struct space {
    struct space_entry *entries; /* [0] is nobody */
    struct space_chunk *chunks;  /* sorted by number */
    struct mem *mem;
    uint32_t capacity, count;
    uint32_t chunk_capacity, chunk_count;
    uint32_t root;    /* treap ordered by (size, chunk, offset) */
    uint32_t unused;  /* list of unused entries */
    uint64_t dropped; /* free slots that found no place, for metrics */
};

/** Room for `capacity` free slots of `chunk_capacity` chunks.
 * Errors: BUSY, NO_RESOURCE (mem_take); nothing is held then. Owns: memory of `owner`. */
MUST err_t space_init(struct space *space, struct mem *mem, struct owner *owner, uint32_t capacity,
    uint32_t chunk_capacity);
void space_fini(struct space *space);

/** Bytes that space_init() takes: for the budget at start. */
uint64_t space_memory_size(uint32_t capacity, uint32_t chunk_capacity);

/** Enter a chunk known by its summary only (at start): nothing of it is in the cache. False: no room
 * for another chunk. */
MUST bool space_chunk_enter(
    struct space *space, uint32_t chunk, const struct slotmap_summary *summary);

/** Enter all free slots of a chunk whose map is loaded, in place of what was known about it (for a
 * new chunk: its fresh space). False: no room for another chunk. */
MUST bool space_chunk_scan(struct space *space, uint32_t chunk, const struct slotmap *map);

/** The chunk is gone, or nothing is to be allocated in it any more. Nothing to do if not entered. */
void space_chunk_forget(struct space *space, uint32_t chunk);

/** NULL: not entered. Valid until the next enter, scan or forget. */
const struct space_chunk *space_chunk_find(const struct space *space, uint32_t chunk);

/* The following CHECK that the chunk is entered. */

/** Enter a free slot. When the cache is full the smallest is dropped; false: it was this one. */
bool space_insert(struct space *space, const struct space_slot *slot);

/** Take out exactly this slot. False: it is not in the cache. */
bool space_remove(struct space *space, const struct space_slot *slot);

/** Take the smallest slot of at least `size` bytes out of the cache. ret_size is what to allocate of
 * it: `size`, or all of it where the rest is not worth a slot. False: none fits. */
bool space_take(
    struct space *space, uint32_t size, struct space_slot *ret_slot, uint32_t *ret_size);

/** What happened in the map, after the fact: a free slot taken from the cache was allocated and left
 * `rest`; fresh space was allocated; a slot was released. Summaries and cache follow. */
void space_allocated(
    struct space *space, const struct space_slot *taken, const struct slotmap_extent *rest);
void space_filled(struct space *space, uint32_t chunk, uint32_t size);
void space_released(
    struct space *space, uint32_t chunk, uint32_t size, const struct slotmap_release *release);

/** Of the chunks that may have a free slot of `size` bytes which the cache lacks, and at least
 * free_min bytes in free slots: the one with most of them. False: none. */
bool space_pick_chunk_to_scan(
    const struct space *space, uint32_t size, uint32_t free_min, uint32_t *ret_chunk);

/** The chunk with the most fresh space, which is at least fresh_min and size. False: none. */
bool space_pick_chunk_to_fill(
    const struct space *space, uint32_t size, uint32_t fresh_min, uint32_t *ret_chunk);

#endif
