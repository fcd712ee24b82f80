#include "sight/census.h"

#include <string.h>

void census_begin(struct census *census, uint64_t now_ns, uint64_t run_ns)
{
    census->now_ns = now_ns;
    census->run_ns = run_ns;
    census->count = 0;
    census->unlisted = 0;
    census->machines = 0;
    census->fd_max = -1;
    memset(census->held_max, 0, sizeof census->held_max);
    memset(census->held, 0, sizeof census->held);
    memset(census->bytes, 0, sizeof census->bytes);
    memset(census->places, 0, sizeof census->places);
}

void census_add_marks(struct census *census, const struct ledger *ledger)
{
    for (int kind = 0; kind < HELD_COUNT; kind++)
        census->held_max[kind] += ledger->count_max[kind];
    if (ledger->fd_max > census->fd_max)
        census->fd_max = ledger->fd_max;
}

const char *census_file_of(const struct site *site)
{
    const char *file = site->file;
    while (file[0] == '.' || file[0] == '/')
        file++;
    return file;
}

bool census_key_equals(const struct census_key *a, const struct census_key *b)
{
    return a->site == b->site && a->operation == b->operation && a->origin == b->origin
           && a->peer == b->peer && a->kind == b->kind && a->direction == b->direction
           && a->life == b->life;
}

uint32_t census_key_hash(const struct census_key *key)
{
    uint64_t hash = (uint64_t)(uintptr_t)key->site * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= (uint64_t)(uintptr_t)key->operation * UINT64_C(0xc2b2ae3d27d4eb4f);
    hash ^= ((uint64_t)key->origin << 32 | key->peer) * UINT64_C(0x165667b19e3779f9);
    hash ^= ((uint64_t)key->kind << 16 | (uint64_t)key->direction << 8 | key->life)
            * UINT64_C(0x27d4eb2f165667c5);
    return (uint32_t)(hash >> 32 ^ hash);
}

bool census_may_be_late(const struct census_key *key)
{
    switch (key->kind) {
    case HELD_OP:
    case HELD_CONN:
        return false;
    case HELD_MEM:
        return true;
    default:
        return key->life == LIFE_REQUEST;
    }
}

static struct census_row *row_of(struct census *census, const struct census_key *key)
{
    uint32_t place = census_key_hash(key) % CENSUS_PLACES;
    while (census->places[place] != 0) {
        struct census_row *row = &census->rows[census->places[place] - 1];
        if (census_key_equals(&row->key, key))
            return row;
        place = (place + 1) % CENSUS_PLACES;
    }
    if (census->count == CENSUS_ROWS)
        return NULL;
    census->places[place] = (uint16_t)++census->count;
    struct census_row *row = &census->rows[census->count - 1];
    *row = (struct census_row){.key = *key, .oldest_ns = UINT64_MAX};
    return row;
}

static bool is_late(const struct census *census, const struct held *held, uint64_t after_ns)
{
    if (held->kind == HELD_MEM && held->born_ns <= census->run_ns)
        return false;
    return census->now_ns > held->born_ns && census->now_ns - held->born_ns >= after_ns;
}

void census_add(struct census *census, const struct held *held, bool is_forsaken)
{
    const struct owner *owner = held->owner;
    struct census_key key = {.site = held->site,
        .operation = owner->operation,
        .origin = owner->object_origin,
        .peer = owner->peer_machine,
        .kind = held->kind,
        .direction = (uint8_t)owner->direction,
        .life = held->life};
    census->held[held->kind]++;
    census->bytes[held->kind] += held->size;
    struct census_row *row = row_of(census, &key);
    if (!row) {
        census->unlisted++;
        return;
    }
    row->count++;
    row->bytes += held->size;
    row->forsaken += is_forsaken;
    if (held->born_ns < row->oldest_ns) {
        row->oldest_ns = held->born_ns;
        row->handle = held->handle;
        row->object_clock = owner->object_clock;
    }
    if (!census_may_be_late(&key))
        return;
    row->late += is_late(census, held, CENSUS_LATE_NS);
    bool may_be_overdue = key.kind != HELD_TIMER && key.kind != HELD_MEM;
    row->overdue += may_be_overdue && is_late(census, held, CENSUS_OVERDUE_NS);
}
