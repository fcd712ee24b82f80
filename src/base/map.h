/* A map from a key of two 64-bit numbers to one 64-bit number or pointer, of fixed capacity: open
 * addressing, linear probing, deletion by shifting back, so that age does not slow it down.
 * The hash is seeded: nobody outside can choose keys that collide. */
#ifndef CAIRN_BASE_MAP_H
#define CAIRN_BASE_MAP_H

#include "base/mem.h"

struct map_key {
    uint64_t high, low; /* a single number goes into `low` */
};

struct map_entry {
    uint64_t tag; /* the hash, never 0; 0: the place is free */
    struct map_key key;
    uint64_t value;
};

struct map {
    struct map_entry *entries; /* mask + 1 of them, at most 3/4 used */
    uint64_t mask;
    uint64_t seed;
    size_t count;
    size_t capacity;
    struct mem *mem;
};

static inline struct map_key map_key(uint64_t low)
{
    return (struct map_key){0, low};
}

/**
 * An empty map for up to `capacity` (at least 1) keys; `seed` from io_random().
 *
 * Errors: BUSY, NO_RESOURCE (mem_take). Owns: memory of `owner` until map_fini().
 */
MUST err_t map_init(
    struct map *map, struct mem *mem, size_t capacity, uint64_t seed, struct owner *owner);
void map_fini(struct map *map);

/** Enter or replace. False: the map is full and the key is new; nothing changed. */
MUST bool map_put(struct map *map, struct map_key key, uint64_t value);

/** False (and *ret untouched): no such key. */
MUST bool map_get(const struct map *map, struct map_key key, uint64_t *ret);

/** False: there was no such key. */
bool map_remove(struct map *map, struct map_key key);

/** The entry at or after place `*at`, which moves behind it; NULL at the end. Start with 0. Change
 * nothing meanwhile. The order follows from the seed. */
const struct map_entry *map_next(const struct map *map, size_t *at);

static inline bool map_put_pointer(struct map *map, struct map_key key, void *pointer)
{
    return map_put(map, key, (uint64_t)(uintptr_t)pointer);
}
/** NULL: no such key. */
static inline void *map_get_pointer(const struct map *map, struct map_key key)
{
    uint64_t value;
    return map_get(map, key, &value) ? (void *)(uintptr_t)value : NULL;
}

#endif
