#include "disk/source.h"

#include <string.h>

err_t source_table_init(
    struct source_table *table, struct mem *mem, struct owner *owner, uint32_t capacity)
{
    CHECK(capacity > 0 && capacity <= UINT16_MAX);
    *table = (struct source_table){.mem = mem, .capacity = capacity};
    void *block;
    TRY(mem_take(mem, owner, sizeof(struct source) * capacity, 0, &block));
    table->all = block;
    return ERR_OK;
}

void source_table_fini(struct source_table *table)
{
    mem_give(table->mem, table->all);
    *table = (struct source_table){0};
}

/* A handful to some dozens: looked at one after the other. */
struct source *source_table_find(const struct source_table *table, const struct source_key *key)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (source_key_equals(&table->all[i].key, key))
            return &table->all[i];
    return NULL;
}

struct source *source_table_add(struct source_table *table, const struct source_key *key)
{
    struct source *source = source_table_find(table, key);
    if (source || table->count == table->capacity)
        return source;
    source = &table->all[table->count++];
    *source = (struct source){.key = *key};
    return source;
}

/* ---- digest of a file ---- */

/* The finaliser of splitmix64: every bit of the input changes half of the output's. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t file_digest(
    const struct identity *identity, struct version version, uint64_t size, uint32_t crc)
{
    uint8_t suffix[8] = {0};
    memcpy(suffix, identity->suffix, SUFFIX_FIELD);
    const uint64_t words[] = {identity->clock, identity->origin, get_u64(suffix), version.counter,
        version.machine, size, crc};
    uint64_t hash = 0;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        hash = mix((hash ^ words[i]) + UINT64_C(0x9e3779b97f4a7c15));
    return hash;
}

/* ---- in a checkpoint: 0 machine u32 | 4 mount | 5 stream | 6 zero u16 | 8 incarnation | 16 LSN
 * 24 watermark | 32 gone birth | 40 gap first, last | 56 lost clock | sum, count (u64 each) of 64 buckets ---- */

static void source_encode(const struct source *source, struct writer *w)
{
    write_u32(w, source->key.machine);
    write_u8(w, source->key.mount);
    write_u8(w, source->key.stream);
    write_u16(w, 0);
    write_u64(w, source->kept_incarnation);
    write_u64(w, source->kept_lsn);
    write_u64(w, source->kept_coverage.watermark);
    write_u64(w, source->gone_birth);
    write_u64(w, source->kept_coverage.gap_first);
    write_u64(w, source->kept_coverage.gap_last);
    write_u64(w, source->lost_clock);
    for (int i = 0; i < SOURCE_BUCKETS; i++) {
        write_u64(w, source->singles[i].sum);
        write_u64(w, source->singles[i].count);
    }
}

void source_table_encode(const struct source_table *table, struct writer *w)
{
    for (uint32_t i = 0; i < table->count; i++)
        source_encode(&table->all[i], w);
}

static void source_decode(struct reader *r, struct source *ret)
{
    *ret = (struct source){.key.machine = read_u32(r)};
    ret->key.mount = read_u8(r);
    ret->key.stream = read_u8(r);
    (void)read_u16(r);
    ret->incarnation = ret->logged_incarnation = ret->kept_incarnation = read_u64(r);
    ret->lsn = ret->logged_lsn = ret->kept_lsn = read_u64(r);
    ret->kept_coverage.watermark = read_u64(r);
    ret->gone_birth = read_u64(r);
    ret->kept_coverage.gap_first = read_u64(r);
    ret->kept_coverage.gap_last = read_u64(r);
    ret->coverage = ret->kept_coverage;
    ret->lost_clock = read_u64(r);
    for (int i = 0; i < SOURCE_BUCKETS; i++) {
        ret->singles[i].sum = read_u64(r);
        ret->singles[i].count = read_u64(r);
    }
}

err_t source_table_decode(struct source_table *table, uint32_t count, struct reader *r)
{
    CHECK(table->count == 1);
    if (count == 0)
        return ERR(CORRUPT, 0);
    if (count > table->capacity)
        return ERR(BUSY, 0);
    for (uint32_t i = 0; i < count; i++) {
        struct source source;
        source_decode(r, &source);
        if (r->failed || (i > 0 && source_table_find(table, &source.key)))
            return ERR(CORRUPT, 0);
        if (i == 0 && !source_key_equals(&source.key, &table->all[0].key))
            return ERR(FOREIGN, 0);
        table->all[i] = source;
        table->count = i + 1;
    }
    return ERR_OK;
}
