#include "sight/reality.h"

#include <string.h>

enum { BITMAPS = 5, PIECE_FDS = 256, PIECE_MAPS = 32 };

static size_t words_of(uint64_t fd_limit)
{
    uint64_t bits = fd_limit < REALITY_FDS_MAX ? fd_limit : REALITY_FDS_MAX;
    return (size_t)(bits + 63) / 64;
}

uint64_t reality_bytes(uint64_t fd_limit)
{
    return BITMAPS * words_of(fd_limit) * sizeof(uint64_t)
           + REALITY_RANGES * sizeof(struct reality_range);
}

err_t reality_init(struct reality *reality, struct mem *mem, struct owner *owner, uint64_t fd_limit)
{
    void *block, *ranges;
    size_t words = words_of(fd_limit);
    *reality = (struct reality){.mem = mem, .words = words, .fds.directory = -1, .maps.file = -1};
    TRY(mem_take(mem, owner, BITMAPS * words * sizeof(uint64_t), 0, &block));
    reality->block = block;
    err_t err = mem_take(mem, owner, REALITY_RANGES * sizeof(struct reality_range), 0, &ranges);
    if (err_is(err)) {
        mem_give(mem, block);
        reality->block = NULL;
        return err;
    }
    reality->ranges = ranges;
    reality->kernel = reality->block;
    reality->ledger = reality->kernel + words;
    reality->base = reality->ledger + words;
    reality->forsaken = reality->base + words;
    reality->forsaken_before = reality->forsaken + words;
    return ERR_OK;
}

void reality_stop(struct reality *reality)
{
    kernel_fds_end(&reality->fds);
    kernel_maps_end(&reality->maps);
}

void reality_fini(struct reality *reality)
{
    if (!reality->block)
        return;
    reality_stop(reality);
    mem_give(reality->mem, reality->ranges);
    mem_give(reality->mem, reality->block);
    reality->block = NULL;
}

/* ---- bits ---- */

static bool bit_is_set(const struct reality *reality, const uint64_t *bits, int64_t fd)
{
    return fd >= 0 && (uint64_t)fd / 64 < reality->words && (bits[fd / 64] >> (fd % 64) & 1) != 0;
}

static void bit_set(const struct reality *reality, uint64_t *bits, int64_t fd)
{
    if (fd >= 0 && (uint64_t)fd / 64 < reality->words)
        bits[fd / 64] |= BIT(fd % 64);
}

/* ---- the kernel's descriptors ---- */

void reality_begin(struct reality *reality)
{
    size_t size = reality->words * sizeof(uint64_t);
    uint64_t *before = reality->forsaken_before;
    reality->forsaken_before = reality->forsaken;
    reality->forsaken = before;
    memset(reality->forsaken, 0, size);
    memset(reality->kernel, 0, size);
    memset(reality->ledger, 0, size);
    reality->counts = (struct reality_counts){.fd_highest = -1};
    reality->range_count = 0;
    reality->has_failed = err_is(kernel_fds_begin(&reality->fds));
}

bool reality_scan(struct reality *reality)
{
    int fds[PIECE_FDS];
    size_t count = reality->has_failed ? 0 : kernel_fds_next(&reality->fds, fds, PIECE_FDS);
    for (size_t i = 0; i < count; i++) {
        reality->counts.fds++;
        if (fds[i] > reality->counts.fd_highest)
            reality->counts.fd_highest = fds[i];
        bit_set(reality, reality->kernel, fds[i]);
        if (kernel_fd_is_forsaken(fds[i])) {
            reality->counts.forsaken++;
            bit_set(reality, reality->forsaken, fds[i]);
        }
    }
    return count == 0;
}

/* ---- the ledgers ---- */

void reality_note(struct reality *reality, const struct held *held)
{
    if (held->kind == HELD_FD) {
        bit_set(reality, reality->ledger, held->handle);
        if (!kernel_fd_is_open((int)held->handle))
            reality->counts.fds_missing++;
        return;
    }
    bool is_map = held->kind == HELD_MAP;
    if (!is_map && (held->kind != HELD_MEM || held->size < REALITY_RANGE_LEAST))
        return;
    if (reality->range_count == REALITY_RANGES)
        return;
    uint64_t begin = (uint64_t)held->handle;
    reality->ranges[reality->range_count++] = (struct reality_range){
        .begin = begin, .end = begin + held->size, .is_map = is_map, .site = held->site};
}

bool reality_is_forsaken(const struct reality *reality, const struct held *held)
{
    return held->kind == HELD_FD && held->life == LIFE_CONNECTION
           && bit_is_set(reality, reality->forsaken, held->handle)
           && bit_is_set(reality, reality->forsaken_before, held->handle);
}

/* ---- suspects ---- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

static void suspect_add(struct reality_suspects *now, const struct reality_suspects *before,
    uint64_t number, const char *name)
{
    if (now->count == REALITY_SUSPECTS) {
        now->more++;
        return;
    }
    struct reality_suspect *suspect = &now->all[now->count++];
    *suspect = (struct reality_suspect){.number = number, .name_hash = hash_of(name), .times = 1};
    memcpy(suspect->name, name, strlen(name) + 1);
    for (uint32_t i = 0; i < before->count; i++)
        if (before->all[i].number == number && before->all[i].name_hash == suspect->name_hash)
            suspect->times = before->all[i].times + 1;
}

uint64_t reality_unknown(const struct reality_suspects *suspects)
{
    uint64_t count = suspects->more;
    for (uint32_t i = 0; i < suspects->count; i++)
        count += suspects->all[i].times >= REALITY_TIMES;
    return count;
}

static void judge_fds(struct reality *reality)
{
    char name[KERNEL_NAME_MAX];
    for (size_t word = 0; word < reality->words; word++) {
        uint64_t loose = reality->kernel[word] & ~reality->ledger[word] & ~reality->base[word];
        if (reality->passes == 0) {
            reality->base[word] = loose;
            continue;
        }
        for (; loose != 0; loose &= loose - 1) {
            int fd = (int)(word * 64) + __builtin_ctzll(loose);
            suspect_add(
                &reality->fd_suspects, &reality->fd_before, (uint64_t)fd, kernel_fd_name(fd, name));
        }
    }
}

/* ---- mappings ---- */

static bool map_is_base(const struct reality *reality, const struct kernel_map *map)
{
    for (uint32_t i = 0; i < reality->base_count; i++)
        if (map->begin < reality->base_maps[i].end && map->end > reality->base_maps[i].begin)
            return true;
    return false;
}

/* Blocks in the heap of the C library lie in a mapping that has a name, and are not counted. */
static bool map_is_held(struct reality *reality, const struct kernel_map *map)
{
    bool is_held = false;
    for (uint32_t i = 0; i < reality->range_count; i++) {
        struct reality_range *range = &reality->ranges[i];
        bool begins_here = range->begin >= map->begin && range->begin < map->end;
        bool overlaps =
            range->end > range->begin && range->begin < map->end && range->end > map->begin;
        range->is_there = range->is_there || begins_here || overlaps;
        is_held = is_held || overlaps;
        if (begins_here && !map->is_program)
            reality->counts.ledger_bytes += range->end - range->begin;
    }
    return is_held;
}

static void judge_map(struct reality *reality, const struct kernel_map *map)
{
    reality->counts.maps++;
    reality->counts.map_bytes += map->end - map->begin;
    bool is_held = map_is_held(reality, map);
    if (map->is_program)
        return;
    reality->counts.loose_bytes += map->end - map->begin;
    if (is_held || map_is_base(reality, map))
        return;
    if (reality->passes == 0 && reality->base_count < REALITY_BASE) {
        reality->base_maps[reality->base_count].begin = map->begin;
        reality->base_maps[reality->base_count++].end = map->end;
    } else if (!map->is_anonymous) { /* anonymous ones are judged by their bytes: they merge */
        suspect_add(&reality->map_suspects, &reality->map_before, map->begin, map->name);
    }
}

static void judge_end(struct reality *reality)
{
    struct reality_counts *counts = &reality->counts;
    judge_fds(reality);
    for (uint32_t i = 0; i < reality->range_count; i++)
        counts->maps_missing += reality->ranges[i].is_map && !reality->ranges[i].is_there;
    uint64_t loose =
        counts->loose_bytes > counts->ledger_bytes ? counts->loose_bytes - counts->ledger_bytes : 0;
    if (reality->passes == 0)
        reality->base_bytes = loose;
    counts->loose_bytes = loose > reality->base_bytes ? loose - reality->base_bytes : 0;
    reality->last = *counts;
    reality->passes++;
}

static bool judge_begin(struct reality *reality)
{
    reality->fd_before = reality->fd_suspects;
    reality->map_before = reality->map_suspects;
    reality->fd_suspects.count = reality->map_suspects.count = 0;
    reality->fd_suspects.more = reality->map_suspects.more = 0;
    reality->has_failed = reality->has_failed || err_is(kernel_maps_begin(&reality->maps));
    return !reality->has_failed;
}

bool reality_judge(struct reality *reality)
{
    struct kernel_map maps[PIECE_MAPS];
    if (reality->maps.file < 0 && !judge_begin(reality))
        return true;
    size_t count = kernel_maps_next(&reality->maps, maps, PIECE_MAPS);
    for (size_t i = 0; i < count; i++)
        judge_map(reality, &maps[i]);
    if (count > 0)
        return false;
    judge_end(reality);
    return true;
}
