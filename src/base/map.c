#include "base/map.h"

/* Two rounds of a 64 x 64 -> 128 bit multiplication folded onto itself, as in wyhash. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t map_hash(const struct map *map, struct map_key key)
{
    uint64_t first = fold(key.high ^ map->seed ^ UINT64_C(0xa0761d6478bd642f),
        key.low ^ UINT64_C(0xe7037ed1a0b428db));
    uint64_t hash = fold(first ^ map->seed, key.low ^ UINT64_C(0x8ebc6af09c88c6e3));
    return hash != 0 ? hash : 1;
}

static uint64_t map_mask_for(size_t capacity)
{
    uint64_t places = 4;
    while (places / 4 * 3 < capacity)
        places *= 2;
    return places - 1;
}

err_t map_init(
    struct map *map, struct mem *mem, size_t capacity, uint64_t seed, struct owner *owner)
{
    CHECK(capacity > 0 && capacity < SIZE_MAX / 4 / sizeof(struct map_entry));
    uint64_t mask = map_mask_for(capacity);
    void *entries;
    TRY(mem_take(mem, owner, (mask + 1) * sizeof(struct map_entry), 64, &entries));
    *map = (struct map){entries, mask, seed, 0, capacity, mem};
    return ERR_OK;
}

void map_fini(struct map *map)
{
    mem_give(map->mem, map->entries);
    *map = (struct map){0};
}

/* The place of `key`, or the free place where it would go: there is always one. */
static struct map_entry *map_find(const struct map *map, struct map_key key, uint64_t hash)
{
    for (uint64_t at = hash & map->mask;; at = (at + 1) & map->mask) {
        struct map_entry *entry = &map->entries[at];
        if (entry->tag == 0)
            return entry;
        if (entry->tag == hash && entry->key.high == key.high && entry->key.low == key.low)
            return entry;
    }
}

bool map_put(struct map *map, struct map_key key, uint64_t value)
{
    uint64_t hash = map_hash(map, key);
    struct map_entry *entry = map_find(map, key, hash);
    if (entry->tag == 0) {
        if (map->count == map->capacity)
            return false;
        map->count++;
    }
    *entry = (struct map_entry){hash, key, value};
    return true;
}

bool map_get(const struct map *map, struct map_key key, uint64_t *ret)
{
    const struct map_entry *entry = map_find(map, key, map_hash(map, key));
    if (entry->tag == 0)
        return false;
    *ret = entry->value;
    return true;
}

/* Close the gap: an entry behind it may move there if its home does not lie after the gap. */
static void map_close_gap(struct map *map, uint64_t gap)
{
    for (uint64_t at = (gap + 1) & map->mask; map->entries[at].tag != 0;
         at = (at + 1) & map->mask) {
        uint64_t from_home = (at - map->entries[at].tag) & map->mask;
        uint64_t from_gap = (at - gap) & map->mask;
        if (from_home < from_gap)
            continue;
        map->entries[gap] = map->entries[at];
        gap = at;
    }
    map->entries[gap] = (struct map_entry){0};
}

bool map_remove(struct map *map, struct map_key key)
{
    struct map_entry *entry = map_find(map, key, map_hash(map, key));
    if (entry->tag == 0)
        return false;
    map_close_gap(map, (uint64_t)(entry - map->entries));
    map->count--;
    return true;
}

const struct map_entry *map_next(const struct map *map, size_t *at)
{
    while (map->entries && *at <= map->mask) {
        const struct map_entry *entry = &map->entries[(*at)++];
        if (entry->tag != 0)
            return entry;
    }
    return NULL;
}
