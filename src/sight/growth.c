#include "sight/growth.h"

#include <string.h>

static const uint64_t step_ns[GROWTH_SPANS] = {0, NS_PER_MINUTE, 5 * NS_PER_MINUTE};
static const uint8_t samples_max[GROWTH_SPANS] = {13, 11, 13};

/* ---- series ---- */

static uint32_t place_of(const struct growth *growth, const struct census_key *key)
{
    uint32_t place = census_key_hash(key) % CENSUS_PLACES;
    while (growth->places[place] != 0
           && !census_key_equals(&growth->series[growth->places[place] - 1].key, key))
        place = (place + 1) % CENSUS_PLACES;
    return place;
}

const struct growth_series *growth_find(const struct growth *growth, const struct census_key *key)
{
    uint16_t index = growth->places[place_of(growth, key)];
    return index > 0 ? &growth->series[index - 1] : NULL;
}

/* Rows that have been empty for an hour make room; the places are made anew. */
static void forget_old(struct growth *growth)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < growth->count; i++) {
        const struct growth_series *series = &growth->series[i];
        if (growth->steps - series->seen > 720)
            continue;
        if (kept != i)
            growth->series[kept] = *series;
        kept++;
    }
    growth->count = kept;
    memset(growth->places, 0, sizeof growth->places);
    for (uint32_t i = 0; i < kept; i++)
        growth->places[place_of(growth, &growth->series[i].key)] = (uint16_t)(i + 1);
}

static struct growth_series *series_of(struct growth *growth, const struct census_key *key)
{
    uint32_t place = place_of(growth, key);
    if (growth->places[place] != 0)
        return &growth->series[growth->places[place] - 1];
    if (growth->count == CENSUS_ROWS)
        return NULL;
    growth->places[place] = (uint16_t)++growth->count;
    struct growth_series *series = &growth->series[growth->count - 1];
    *series = (struct growth_series){.key = *key};
    return series;
}

/* ---- samples ---- */

static void ring_add(struct growth_ring *ring, uint8_t max, const struct growth_sample *sample)
{
    if (ring->count == max)
        memmove(ring->samples, ring->samples + 1, (size_t)--ring->count * sizeof *ring->samples);
    ring->samples[ring->count++] = *sample;
}

static void series_add(struct growth_series *series, const struct growth_sample *sample)
{
    for (unsigned i = 0; i < GROWTH_SPANS; i++) {
        struct growth_ring *ring = &series->rings[i];
        if (ring->count == 0 || sample->at_ns - ring->samples[ring->count - 1].at_ns >= step_ns[i])
            ring_add(ring, samples_max[i], sample);
    }
}

static int64_t median(int64_t *values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        int64_t value = values[i];
        size_t k = i;
        for (; k > 0 && values[k - 1] > value; k--)
            values[k] = values[k - 1];
        values[k] = value;
    }
    return values[count / 2];
}

static int64_t slope(const struct growth_ring *ring, bool of_late)
{
    int64_t slopes[GROWTH_SAMPLES * (GROWTH_SAMPLES - 1) / 2];
    size_t count = 0;
    for (size_t i = 0; i < ring->count; i++)
        for (size_t k = i + 1; k < ring->count; k++) {
            const struct growth_sample *a = &ring->samples[i], *b = &ring->samples[k];
            int64_t rise = of_late ? (int64_t)b->late - a->late : (int64_t)b->count - a->count;
            int64_t ms = (int64_t)((b->at_ns - a->at_ns) / NS_PER_MS);
            slopes[count++] = ms > 0 ? rise * 60000 * 1000 / ms : 0;
        }
    return count > 0 ? median(slopes, count) : 0;
}

int64_t growth_per_minute(const struct growth_series *series, unsigned span)
{
    CHECK(span < GROWTH_SPANS);
    return slope(&series->rings[span], false);
}

int64_t growth_late_per_minute(const struct growth_series *series, unsigned span)
{
    CHECK(span < GROWTH_SPANS);
    return slope(&series->rings[span], true);
}

/* ---- judgement ---- */

static bool only_grows(const struct growth_ring *ring)
{
    enum { COUNT = GROWTH_LEAK_SAMPLES };
    unsigned rises = 0;
    if (ring->count <= COUNT)
        return false;
    const struct growth_sample *first = &ring->samples[ring->count - 1 - COUNT];
    for (unsigned i = 1; i <= COUNT; i++) {
        if (first[i].late < first[i - 1].late)
            return false;
        rises += first[i].late > first[i - 1].late;
    }
    uint32_t rise = first[COUNT].late - first[0].late;
    uint32_t load_rise = first[COUNT].load > first[0].load ? first[COUNT].load - first[0].load : 0;
    return rises >= COUNT - 1 && rise >= GROWTH_LEAK_LEAST && rise > load_rise;
}

/* Once a leak it stays one, also when there is no more to take, until half is given back. */
static void judge(struct growth_series *series, uint32_t late)
{
    if (series->leak_base == 0 && only_grows(&series->rings[0]))
        series->leak_base = late;
    else if (late < series->leak_base / 2 || late == 0)
        series->leak_base = 0;
    if (series->leak_base == 0 && series->forsaken_steps == 0)
        series->is_told = false;
}

void growth_step(struct growth *growth, const struct census *census, uint64_t load)
{
    growth->steps++;
    if (growth->steps % 60 == 0)
        forget_old(growth);
    for (uint32_t i = 0; i < census->count; i++) {
        const struct census_row *row = &census->rows[i];
        struct growth_series *series = series_of(growth, &row->key);
        if (!series)
            continue;
        struct growth_sample sample = {
            census->now_ns, (uint32_t)row->count, (uint32_t)row->late, (uint32_t)load};
        series_add(series, &sample);
        series->seen = growth->steps;
        series->forsaken_steps = row->forsaken > 0 ? series->forsaken_steps + 1 : 0;
        judge(series, sample.late);
    }
    for (uint32_t i = 0; i < growth->count; i++) { /* rows that are empty now */
        struct growth_series *series = &growth->series[i];
        if (series->seen == growth->steps)
            continue;
        series_add(
            series, &(struct growth_sample){.at_ns = census->now_ns, .load = (uint32_t)load});
        series->forsaken_steps = 0;
        judge(series, 0);
    }
}
