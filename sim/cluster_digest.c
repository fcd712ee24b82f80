#include "sim/cluster_digest.h"

#include "sim/mem.h"

/* One unit at one storage: a chunk of a source, or a bucket of its single files. */
struct unit {
    struct source_key source;
    uint64_t number; /* chunk, or UNIT_BUCKET + bucket */
    struct digest digest;
};
#define UNIT_BUCKET (UINT64_C(1) << 32)

struct units {
    struct unit *all;
    size_t count, capacity;
};

static bool is_before(const struct unit *a, const struct unit *b)
{
    if (a->source.machine != b->source.machine)
        return a->source.machine < b->source.machine;
    if (a->source.mount != b->source.mount)
        return a->source.mount < b->source.mount;
    if (a->source.stream != b->source.stream)
        return a->source.stream < b->source.stream;
    return a->number < b->number;
}

/* Kept sorted; empty ones are left out. What lies in two streams is two units, which never agree. */
static void units_add(struct units *units, const struct source_key *source, uint64_t number,
    const struct digest *digest)
{
    struct unit unit = {*source, number, *digest};
    if (digest->sum == 0 && digest->count == 0)
        return;
    if (units->count == units->capacity) {
        units->capacity = units->capacity * 2 + 64;
        units->all = sim_grow(units->all, units->capacity * sizeof unit);
    }
    size_t at = units->count++;
    for (; at > 0 && is_before(&unit, &units->all[at - 1]); at--)
        units->all[at] = units->all[at - 1];
    units->all[at] = unit;
}

static void add_stream(struct units *units, struct stream *stream)
{
    for (uint32_t i = 0; i < stream->chunks.count; i++) {
        const struct chunk_entry *entry = &stream->chunks.entries[i];
        units_add(units, &stream->sources.all[entry->source].key, entry->number, &entry->digest);
    }
    for (uint32_t i = 0; i < stream->sources.count; i++) {
        const struct source *source = &stream->sources.all[i];
        for (unsigned bucket = 0; bucket < SOURCE_BUCKETS; bucket++)
            units_add(units, &source->key, UNIT_BUCKET + bucket, &source->singles[bucket]);
    }
}

static void collect(struct units *units, const struct cluster_storage *storage)
{
    const struct storage_config *config = &storage->storage_config;
    for (unsigned i = 0; i < storage->storage->loop_count; i++) {
        const struct store *store = &storage->storage->loops[i].store;
        for (uint32_t k = 0; k < config->mount_count; k++) {
            const struct store_mount *mount = &store->mounts[config->mount[k].index];
            for (unsigned s = 0; s < mount->stream_count; s++)
                if (mount->streams[s])
                    add_stream(units, mount->streams[s]);
        }
    }
}

static bool unit_equals(const struct unit *a, const struct unit *b)
{
    return !is_before(a, b) && !is_before(b, a) && digest_equals(&a->digest, &b->digest);
}

static bool compare(const struct units *a, const struct units *b, unsigned first, unsigned other,
    char *text, size_t size)
{
    for (size_t i = 0; i < a->count || i < b->count; i++) {
        const struct unit *x = i < a->count ? &a->all[i] : NULL;
        const struct unit *y = i < b->count ? &b->all[i] : NULL;
        if (x && y && unit_equals(x, y))
            continue;
        const struct unit *it = !y || (x && !is_before(y, x)) ? x : y;
        bool is_both = x && y && !is_before(x, y) && !is_before(y, x);
        (void)snprintf(text, size,
            "m%03u and m%03u differ in %s %llu of m%03u mount %u stream %u: %llu and %llu files",
            first + 1, other + 1, it->number >= UNIT_BUCKET ? "bucket" : "chunk",
            (unsigned long long)(it->number & (UNIT_BUCKET - 1)), it->source.machine,
            it->source.mount, it->source.stream,
            (unsigned long long)(it == x ? x->digest.count : 0),
            (unsigned long long)(is_both || it == y ? y->digest.count : 0));
        return false;
    }
    return true;
}

bool cluster_digests_agree(const struct cluster *cluster, char *text, size_t size)
{
    struct units first = {0};
    bool is_equal = true;
    collect(&first, &cluster->storages[0]);
    for (unsigned i = 1; i < cluster->options.storages && is_equal; i++) {
        struct units other = {0};
        collect(&other, &cluster->storages[i]);
        is_equal = compare(&first, &other, 0, i, text, size);
        sim_free(other.all);
    }
    sim_free(first.all);
    return is_equal;
}
