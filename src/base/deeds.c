#include "base/deeds.h"

/* The last row is kept for what finds no other place. */
static const char other = 0;

/* Kinds lie next to each other in the program: the bits above their alignment differ most. */
static struct deed *row_of(struct deeds *deeds, const void *key, const char *name)
{
    enum { ROWS = DEED_KINDS_MAX - 1 };
    uint64_t hash = ((uint64_t)(uintptr_t)key >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 58;
    for (size_t i = 0; i < ROWS; i++) {
        struct deed *row = &deeds->rows[(hash + i) % ROWS];
        if (row->key == key)
            return row;
        if (!row->key) {
            row->key = key;
            row->name = name;
            return row;
        }
    }
    struct deed *last = &deeds->rows[ROWS];
    last->key = &other;
    last->name = "other";
    return last;
}

void deed_add(
    struct deeds *deeds, const void *key, const char *name, int32_t code, uint64_t duration_ns)
{
    struct deed *row = row_of(deeds, key, name);
    bool is_known = code >= 0 && code < DEED_CODES_MAX;
    row->results[is_known ? code : ERR_CODE_FAILED]++;
    timing_add(&row->timing, duration_ns);
}

void deeds_merge(struct deeds *into, const struct deeds *from)
{
    for (size_t i = 0; i < DEED_KINDS_MAX; i++) {
        const struct deed *row = &from->rows[i];
        if (!row->key)
            continue;
        struct deed *to = row_of(into, row->key, row->name);
        for (size_t code = 0; code < DEED_CODES_MAX; code++)
            to->results[code] += row->results[code];
        timing_merge(&to->timing, &row->timing);
    }
}

uint64_t deed_count(const struct deed *deed)
{
    return timing_count(&deed->timing);
}
