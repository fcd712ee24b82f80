/* The slot map of one chunk file: where slots begin, which are free, where fresh space begins.
 *
 * The map is the answer to "is there a slot at this offset?": a bad slot header where the map says
 * live is rot, to be repaired; where the map says none it is "not found". It also finds space. Pure:
 * no I/O; the caller reads and writes the images and gives the memory.
 *
 *   0        4096 (first)                                     tail            chunk size
 *   | header | live | live | free     | live | free | live    | fresh ...     |
 *      starts: 1      1      1          1      1      1
 *      frees:  0      0      1          0      1      0
 *
 * Between `first` and `tail` slots lie side by side without gaps. The state is a function of the set
 * of live slots and nothing else: what lies between two of them is exactly one free slot, and the
 * tail is the end of the last one. That makes replay provable: each physical operation replaces what
 * overlaps its range, so whatever the map knew before, the last record about a unit decides, and
 * twice is as good as once. Space from `tail` on may have been used before and released; only the
 * map tells.
 *
 * Two bits per unit of 64 bytes: 256 KiB for a chunk of 64 MiB, loaded when it is needed. Searching
 * goes by words of 64 units: a neighbour 1 MiB away is 256 words, about 100 ns.
 *
 * Image: doc/disk-format.md, section "Slot map". Two copies are kept; generation g lies in copy
 * g mod 2, so a torn write never touches the newest good one. Rebuildable from the log and the slot
 * headers. */
#ifndef CAIRN_DISK_SLOTMAP_H
#define CAIRN_DISK_SLOTMAP_H

#include "base/bytes.h"
#include "base/err.h"
#include "wire/slot.h"

enum {
    CHUNK_HEADER_SIZE = 4096, /* the first slot begins here */
    SLOT_REMAINDER_MIN = 512, /* smaller rests of a split stay with the slot, as slack */
    SLOTMAP_FORMAT = 1,
    SLOTMAP_IMAGE_HEADER_SIZE = 64,
    SLOTMAP_IMAGE_ALIGN = 4096,
    SLOTMAP_COPIES = 2,
};
#define CHUNK_SIZE_MIN (64u << 10)
#define CHUNK_SIZE_DEFAULT (64u << 20)
#define CHUNK_SIZE_MAX (UINT32_MAX - SLOT_UNIT + 1) /* 4 GiB - 64: offset + size fits 32 bits */

struct slotmap_identity {
    uint32_t origin;     /* machine number of the allocator */
    uint32_t chunk;      /* number in (origin, mount, stream) */
    uint32_t chunk_size; /* bytes, header included */
    uint8_t mount, stream;
};

struct slotmap {
    struct slotmap_identity identity;
    uint64_t generation; /* of the image last stored or loaded; 0: none yet */
    uint64_t *starts;    /* borrowed: one bit per unit */
    uint64_t *frees;     /* borrowed: set only where starts is */
    uint32_t unit_count;
    uint32_t tail; /* in units */
    uint32_t live_count, live_units;
    uint32_t free_count, free_units;
};

enum slotmap_kind {
    SLOTMAP_NONE,   /* the chunk's header, fresh space, or beyond the chunk */
    SLOTMAP_LIVE,   /* a live slot begins here */
    SLOTMAP_FREE,   /* a free slot begins here */
    SLOTMAP_INSIDE, /* inside the slot (live or free) that offset and size tell */
    SLOTMAP_KIND_COUNT
};

struct slotmap_slot {
    uint32_t offset; /* bytes in the chunk file */
    uint32_t size;   /* bytes; 0 for NONE */
    enum slotmap_kind kind;
};

struct slotmap_extent {
    uint32_t offset; /* bytes */
    uint32_t size;   /* bytes; 0: there is none */
};

/** What a release did to free space, for a cache of free slots. */
struct slotmap_release {
    struct slotmap_extent merged; /* the free slot that came to be; none: it went to the tail */
    struct slotmap_extent before; /* free slots that were swallowed */
    struct slotmap_extent after;
};

struct slotmap_summary {
    uint64_t live_bytes, free_bytes, fresh_bytes;
    uint32_t live_count, free_count;
    uint32_t largest_free; /* bytes; fresh space not counted */
};

/** A multiple of SLOT_UNIT between CHUNK_SIZE_MIN and CHUNK_SIZE_MAX. */
bool chunk_size_is_valid(uint64_t chunk_size);

/** Bytes of memory that a map needs, of its image: functions of the chunk size alone. The image
 * size is a multiple of SLOTMAP_IMAGE_ALIGN. CHECK that the chunk size is valid. */
size_t slotmap_memory_size(uint32_t chunk_size);
size_t slotmap_image_size(uint32_t chunk_size);

/** An empty map. `memory` has slotmap_memory_size() bytes, is aligned to 8 and borrowed for as long
 * as the map is used. CHECKs the chunk size. */
void slotmap_init(struct slotmap *map, void *memory, const struct slotmap_identity *identity);

/** Verify an image's magic, format, checksum and identity.
 * Errors: CORRUPT (also: never written, or the image of another chunk), FORMAT (a later format). */
MUST err_t slotmap_image_verify(
    struct span image, const struct slotmap_identity *identity, uint64_t *ret_generation);

/** Load a map from an image, which is not needed afterwards. `memory` as for slotmap_init; after a
 * failure its content is undefined. Errors: as slotmap_image_verify; CORRUPT also when the bits
 * can't be those of a map. */
MUST err_t slotmap_load(
    struct slotmap *map, void *memory, const struct slotmap_identity *identity, struct span image);

/** Load from the newest good copy of the two. Errors: as slotmap_load, when neither is good. */
MUST err_t slotmap_load_newest(struct slotmap *map, void *memory,
    const struct slotmap_identity *identity, struct span copies[SLOTMAP_COPIES]);

/** Write the next generation's image to `image` (slotmap_image_size() bytes). Returns the copy, 0 or
 * 1, that it belongs into. A snapshot: the map may change while the image is being written. */
unsigned slotmap_store(struct slotmap *map, uint8_t *image);

/** Allocate `size` bytes (a multiple of SLOT_UNIT, not 0) of fresh space.
 * Errors: NO_SPACE (the rest of the chunk is smaller). */
MUST err_t slotmap_allocate_tail(struct slotmap *map, uint32_t size, uint32_t *ret_offset);

/** Allocate the free slot that begins at `offset`, or its first part: a rest of SLOT_REMAINDER_MIN
 * bytes or more stays a free slot behind it, less becomes slack. `ret_size` is what the slot got, and
 * what the log must say; ret_rest is the free slot behind it.
 * Errors: NO_SPACE (no free slot of that size begins there: the caller's cache was behind). */
MUST err_t slotmap_allocate_free(struct slotmap *map, uint32_t offset, uint32_t size,
    uint32_t *ret_size, struct slotmap_extent *ret_rest);

/** Release the live slot that begins at `offset`; it becomes one with its free neighbours, or fresh
 * if it touches the tail. Errors: NOT_FOUND (no live slot begins there). */
MUST err_t slotmap_release(struct slotmap *map, uint32_t offset, struct slotmap_release *ret);

/** Log replay: afterwards exactly one live slot covers [offset, offset + size), whatever the map said
 * before; slots that overlapped it are gone (their own records follow in the log), a gap to the tail
 * is free. Idempotent. Errors: CORRUPT (the range does not fit the chunk). */
MUST err_t slotmap_force_allocate(struct slotmap *map, uint32_t offset, uint32_t size);

/** Log replay: afterwards no live slot overlaps [offset, offset + size). Idempotent.
 * Errors: CORRUPT (the range does not fit the chunk). */
MUST err_t slotmap_force_release(struct slotmap *map, uint32_t offset, uint32_t size);

/** What is at `offset` (any number). */
struct slotmap_slot slotmap_query(const struct slotmap *map, uint64_t offset);

/** Walks: the first slot (the first free slot) that begins at or after `from`; false: none. Go on at
 * offset + size. */
bool slotmap_next(const struct slotmap *map, uint32_t from, struct slotmap_slot *ret);
bool slotmap_next_free(const struct slotmap *map, uint32_t from, struct slotmap_slot *ret);

/** Bytes from the tail to the end of the chunk. */
uint32_t slotmap_fresh_size(const struct slotmap *map);

/** Counts, and the largest free slot: a walk over the free slots. */
struct slotmap_summary slotmap_summarise(const struct slotmap *map);

#endif
