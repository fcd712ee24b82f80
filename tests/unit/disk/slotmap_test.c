/* The slot map against a naive model (one number per unit), through replay and through images. */
#include "base/crc.h"
#include "base/prng.h"
#include "disk/slotmap.h"
#include "tests/lib/test.h"

enum { SMALL = 64 << 10, UNITS = SMALL / SLOT_UNIT, FIRST_UNIT = CHUNK_HEADER_SIZE / SLOT_UNIT };

static const struct slotmap_identity small = {7, 3, SMALL, 2, 5};
static uint64_t memory_a[SMALL / SLOT_UNIT / 64 * 2], memory_b[SMALL / SLOT_UNIT / 64 * 2];

/* size[u] > 0: a live slot of that many units begins at u. */
struct model {
    uint32_t size[UNITS];
};

static uint32_t model_tail(const struct model *model)
{
    uint32_t tail = FIRST_UNIT;
    for (uint32_t u = FIRST_UNIT; u < UNITS; u++)
        if (model->size[u] > 0)
            tail = u + model->size[u];
    return tail;
}

static void model_clear(struct model *model, uint32_t begin, uint32_t count)
{
    for (uint32_t u = FIRST_UNIT; u < begin + count; u++)
        if (u + model->size[u] > begin)
            model->size[u] = 0;
}

static void expect_slot(
    const struct slotmap *map, uint32_t *walk, uint32_t begin, uint32_t end, enum slotmap_kind kind)
{
    struct slotmap_slot slot;
    EXPECT(slotmap_next(map, *walk, &slot));
    EXPECT_EQ(slot.offset, begin * SLOT_UNIT);
    EXPECT_EQ(slot.size, (end - begin) * SLOT_UNIT);
    EXPECT_EQ(slot.kind, kind);
    *walk = slot.offset + slot.size;
}

/* The walk, the free walk and the counts agree with the model. */
static void expect_equal(const struct slotmap *map, const struct model *model)
{
    uint32_t walk = 0, at = FIRST_UNIT, live = 0, live_units = 0, free_count = 0, free_units = 0;
    uint32_t tail = model_tail(model), largest = 0;
    while (at < tail) {
        uint32_t end = at + model->size[at];
        enum slotmap_kind kind = end > at ? SLOTMAP_LIVE : SLOTMAP_FREE;
        while (kind == SLOTMAP_FREE && model->size[end] == 0)
            end++;
        expect_slot(map, &walk, at, end, kind);
        *(kind == SLOTMAP_LIVE ? &live : &free_count) += 1;
        *(kind == SLOTMAP_LIVE ? &live_units : &free_units) += end - at;
        if (kind == SLOTMAP_FREE && end - at > largest)
            largest = end - at;
        at = end;
    }
    struct slotmap_slot beyond;
    EXPECT(!slotmap_next(map, walk, &beyond));
    struct slotmap_summary summary = slotmap_summarise(map);
    EXPECT_EQ(summary.live_count, live);
    EXPECT_EQ(summary.live_bytes, live_units * SLOT_UNIT);
    EXPECT_EQ(summary.free_count, free_count);
    EXPECT_EQ(summary.free_bytes, free_units * SLOT_UNIT);
    EXPECT_EQ(summary.fresh_bytes, (UNITS - tail) * SLOT_UNIT);
    EXPECT_EQ(summary.largest_free, largest * SLOT_UNIT);
}

static void expect_query_agrees(const struct slotmap *map, const struct model *model, uint32_t unit)
{
    struct slotmap_slot got = slotmap_query(map, (uint64_t)unit * SLOT_UNIT);
    if (unit < FIRST_UNIT || unit >= model_tail(model)) {
        EXPECT_EQ(got.kind, SLOTMAP_NONE);
        return;
    }
    if (model->size[unit] > 0) {
        EXPECT_EQ(got.kind, SLOTMAP_LIVE);
        EXPECT_EQ(got.size, model->size[unit] * SLOT_UNIT);
        return;
    }
    bool covered = false, begins_free = unit == FIRST_UNIT;
    for (uint32_t u = FIRST_UNIT; u < unit; u++) {
        covered |= u + model->size[u] > unit;
        begins_free |= model->size[u] > 0 && u + model->size[u] == unit;
    }
    EXPECT_EQ(got.kind, !covered && begins_free ? SLOTMAP_FREE : SLOTMAP_INSIDE);
    EXPECT_EQ(slotmap_query(map, (uint64_t)unit * SLOT_UNIT + 1).kind, SLOTMAP_INSIDE);
    EXPECT(got.offset <= unit * SLOT_UNIT && got.offset + got.size > unit * SLOT_UNIT);
}

static bool same_state(const struct slotmap *a, const struct slotmap *b)
{
    size_t size = slotmap_memory_size(a->identity.chunk_size) / 2;
    return a->tail == b->tail && a->live_count == b->live_count && a->live_units == b->live_units
           && a->free_count == b->free_count && a->free_units == b->free_units
           && memcmp(a->starts, b->starts, size) == 0 && memcmp(a->frees, b->frees, size) == 0;
}

/* The n-th slot of a kind, counted around. */
static bool pick_slot(
    const struct slotmap *map, struct prng *prng, enum slotmap_kind kind, struct slotmap_slot *ret)
{
    uint32_t count = kind == SLOTMAP_LIVE ? map->live_count : map->free_count;
    if (count == 0)
        return false;
    uint64_t n = prng_below(prng, count);
    struct slotmap_slot slot = {0};
    for (uint32_t from = 0; slotmap_next(map, from, &slot); from = slot.offset + slot.size)
        if (slot.kind == kind && n-- == 0) {
            *ret = slot;
            return true;
        }
    return false;
}

static uint32_t random_size(struct prng *prng)
{
    return (uint32_t)(1 + prng_below(prng, prng_chance(prng, 100000) ? 200 : 12)) * SLOT_UNIT;
}

static void expect_dropped_free(
    const struct slotmap *map, struct slotmap_extent extent, uint32_t within, uint32_t end)
{
    if (extent.size == 0)
        return;
    EXPECT(extent.offset >= within && extent.offset + extent.size <= end);
    struct slotmap_slot now = slotmap_query(map, extent.offset);
    EXPECT(now.kind == SLOTMAP_NONE || now.kind == SLOTMAP_INSIDE || now.size > extent.size);
}

static void step_release(struct slotmap *map, struct model *model, struct prng *prng)
{
    struct slotmap_slot slot;
    if (!pick_slot(map, prng, SLOTMAP_LIVE, &slot))
        return;
    struct slotmap_release done;
    EXPECT_OK(slotmap_release(map, slot.offset, &done));
    model->size[slot.offset / SLOT_UNIT] = 0;
    expect_dropped_free(map, done.before, 0, slot.offset);
    expect_dropped_free(map, done.after, slot.offset + slot.size, SMALL);
    if (done.merged.size == 0) {
        EXPECT_EQ(slotmap_query(map, slot.offset).kind, SLOTMAP_NONE);
    } else {
        EXPECT_EQ(slotmap_query(map, done.merged.offset).kind, SLOTMAP_FREE);
        EXPECT_EQ(slotmap_query(map, done.merged.offset).size, done.merged.size);
        EXPECT_EQ(done.merged.size, done.before.size + slot.size + done.after.size);
    }
}

static void step_allocate_tail(struct slotmap *map, struct model *model, struct prng *prng)
{
    uint32_t size = random_size(prng), offset, tail = model_tail(model);
    if (tail * SLOT_UNIT + size > SMALL) {
        EXPECT_ERR(slotmap_allocate_tail(map, size, &offset), NO_SPACE);
        return;
    }
    EXPECT_OK(slotmap_allocate_tail(map, size, &offset));
    EXPECT_EQ(offset, tail * SLOT_UNIT);
    model->size[tail] = size / SLOT_UNIT;
}

static void step_allocate_free(struct slotmap *map, struct model *model, struct prng *prng)
{
    struct slotmap_slot slot;
    if (!pick_slot(map, prng, SLOTMAP_FREE, &slot))
        return;
    uint32_t size = random_size(prng), got;
    struct slotmap_extent rest;
    if (size > slot.size) {
        EXPECT_ERR(slotmap_allocate_free(map, slot.offset, size, &got, &rest), NO_SPACE);
        return;
    }
    EXPECT_OK(slotmap_allocate_free(map, slot.offset, size, &got, &rest));
    EXPECT(got >= size && got < size + SLOT_REMAINDER_MIN);
    EXPECT_EQ(got + rest.size, slot.size);
    EXPECT(rest.size == 0 || (rest.size >= SLOT_REMAINDER_MIN && rest.offset == slot.offset + got));
    model->size[slot.offset / SLOT_UNIT] = got / SLOT_UNIT;
}

static void random_range(struct prng *prng, uint32_t *ret_unit, uint32_t *ret_count)
{
    *ret_unit = FIRST_UNIT + (uint32_t)prng_below(prng, UNITS - FIRST_UNIT);
    uint64_t room = UNITS - *ret_unit;
    *ret_count = 1 + (uint32_t)prng_below(prng, room < 40 ? room : 40);
}

static void step_force(struct slotmap *map, struct model *model, struct prng *prng)
{
    uint32_t unit, count;
    random_range(prng, &unit, &count);
    model_clear(model, unit, count);
    if (prng_chance(prng, 500000)) {
        EXPECT_OK(slotmap_force_release(map, unit * SLOT_UNIT, count * SLOT_UNIT));
    } else {
        EXPECT_OK(slotmap_force_allocate(map, unit * SLOT_UNIT, count * SLOT_UNIT));
        model->size[unit] = count;
    }
}

static void random_walk(uint64_t seed, int steps, bool with_force)
{
    struct prng prng;
    prng_init(&prng, seed);
    struct slotmap map;
    slotmap_init(&map, memory_a, &small);
    struct model model = {0};
    for (int i = 0; i < steps; i++) {
        uint64_t dice = prng_below(&prng, 100);
        if (with_force && dice < 30)
            step_force(&map, &model, &prng);
        else if (dice < 60)
            step_release(&map, &model, &prng);
        else if (dice < 80)
            step_allocate_tail(&map, &model, &prng);
        else
            step_allocate_free(&map, &model, &prng);
        expect_equal(&map, &model);
        expect_query_agrees(&map, &model, (uint32_t)prng_below(&prng, UNITS + 8));
    }
}

TEST(random_allocations_and_releases_agree_with_the_model)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        random_walk(seed, 10000, false);
}

TEST(random_operations_mixed_with_replay_agree_with_the_model)
{
    for (uint64_t seed = 11; seed <= 14; seed++)
        random_walk(seed, 10000, true);
}

TEST(a_rest_too_small_for_a_slot_stays_as_slack)
{
    struct slotmap map;
    slotmap_init(&map, memory_a, &small);
    uint32_t a, b, got;
    EXPECT_OK(slotmap_allocate_tail(&map, 2048, &a));
    EXPECT_OK(slotmap_allocate_tail(&map, 64, &b));
    struct slotmap_release done;
    EXPECT_OK(slotmap_release(&map, a, &done));
    struct slotmap_extent rest;
    EXPECT_OK(slotmap_allocate_free(&map, a, 2048 - SLOT_REMAINDER_MIN + SLOT_UNIT, &got, &rest));
    EXPECT_EQ(got, 2048);
    EXPECT_EQ(rest.size, 0);
    EXPECT_OK(slotmap_release(&map, a, &done));
    EXPECT_OK(slotmap_allocate_free(&map, a, 2048 - SLOT_REMAINDER_MIN, &got, &rest));
    EXPECT_EQ(got, 2048 - SLOT_REMAINDER_MIN);
    EXPECT_EQ(rest.size, SLOT_REMAINDER_MIN);
}

TEST(a_release_or_allocation_at_a_wrong_offset_is_refused_and_changes_nothing)
{
    struct slotmap map;
    slotmap_init(&map, memory_a, &small);
    uint32_t a, b, got;
    struct slotmap_release done;
    struct slotmap_extent rest;
    EXPECT_OK(slotmap_allocate_tail(&map, 1024, &a));
    EXPECT_OK(slotmap_allocate_tail(&map, 1024, &b));
    EXPECT_OK(slotmap_release(&map, a, &done));
    static const uint32_t wrong[] = {0, 64, 4095, 4096, 4097, 4160, 5121, 5184, 6144, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        EXPECT_ERR(slotmap_release(&map, wrong[i], &done), NOT_FOUND);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (wrong[i] != a)
            EXPECT_ERR(slotmap_allocate_free(&map, wrong[i], 64, &got, &rest), NO_SPACE);
    EXPECT_ERR(slotmap_allocate_free(&map, a, 1088, &got, &rest), NO_SPACE);
    EXPECT_EQ(map.live_count, 1);
    EXPECT_EQ(map.free_count, 1);
}

TEST(replay_refuses_ranges_that_do_not_fit_the_chunk)
{
    struct slotmap map;
    slotmap_init(&map, memory_a, &small);
    static const uint32_t wrong[][2] = {{0, 64}, {4032, 64}, {4096, 0}, {4097, 64}, {4096, 65},
        {SMALL, 64}, {SMALL - 64, 128}, {UINT32_MAX - 63, 64}, {4096, UINT32_MAX - 63}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        EXPECT_ERR(slotmap_force_allocate(&map, wrong[i][0], wrong[i][1]), CORRUPT);
        EXPECT_ERR(slotmap_force_release(&map, wrong[i][0], wrong[i][1]), CORRUPT);
    }
    EXPECT_EQ(map.live_count + map.free_count, 0);
    EXPECT_OK(slotmap_force_allocate(&map, CHUNK_HEADER_SIZE, SMALL - CHUNK_HEADER_SIZE));
    EXPECT_EQ(slotmap_fresh_size(&map), 0);
}

struct event {
    uint32_t offset, size;
    bool allocates;
};
enum { HISTORY = 600 };

/* A true history: what a running allocator logs. */
static void make_history(struct prng *prng, struct slotmap *map, struct event events[HISTORY])
{
    struct slotmap_slot slot;
    struct slotmap_release done;
    struct slotmap_extent rest;
    for (int i = 0; i < HISTORY;) {
        uint32_t size = random_size(prng), got = size, offset = 0;
        if (prng_chance(prng, 450000) && pick_slot(map, prng, SLOTMAP_LIVE, &slot)) {
            EXPECT_OK(slotmap_release(map, slot.offset, &done));
            events[i++] = (struct event){slot.offset, slot.size, false};
            continue;
        }
        bool reuse = pick_slot(map, prng, SLOTMAP_FREE, &slot) && slot.size >= size;
        if (reuse) {
            EXPECT_OK(slotmap_allocate_free(map, slot.offset, size, &got, &rest));
            offset = slot.offset;
        } else if (err_is(slotmap_allocate_tail(map, size, &offset))) {
            continue;
        }
        events[i++] = (struct event){offset, got, true};
    }
}

static void replay(struct slotmap *map, const struct event *events, int from, int to)
{
    for (int i = from; i < to; i++) {
        const struct event *e = &events[i];
        if (e->allocates)
            EXPECT_OK(slotmap_force_allocate(map, e->offset, e->size));
        else
            EXPECT_OK(slotmap_force_release(map, e->offset, e->size));
    }
}

TEST(replay_from_any_checkpoint_over_a_map_of_any_later_time_gives_the_true_state)
{
    static struct event events[HISTORY];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct slotmap truth, map;
        slotmap_init(&truth, memory_a, &small);
        make_history(&prng, &truth, events);
        slotmap_init(&map, memory_b, &small);
        int stored = (int)prng_below(&prng, HISTORY + 1);
        int checkpoint = (int)prng_below(&prng, (uint64_t)stored + 1);
        replay(&map, events, 0, stored);
        replay(&map, events, checkpoint, HISTORY);
        EXPECT(same_state(&truth, &map));
        replay(&map, events, checkpoint, HISTORY); /* twice is as good as once */
        EXPECT(same_state(&truth, &map));
    }
}

static uint8_t image[8192], copies[SLOTMAP_COPIES][8192];

static void fill_small(struct slotmap *map, void *memory)
{
    uint32_t offset;
    struct slotmap_release done;
    slotmap_init(map, memory, &small);
    for (uint32_t i = 1; i < 20; i++)
        EXPECT_OK(slotmap_allocate_tail(map, i * SLOT_UNIT, &offset));
    EXPECT_OK(slotmap_release(map, CHUNK_HEADER_SIZE + SLOT_UNIT, &done));
    EXPECT_OK(slotmap_release(map, CHUNK_HEADER_SIZE + 10 * SLOT_UNIT, &done));
}

TEST(an_image_comes_back_as_the_map_it_was_made_from)
{
    struct slotmap map, loaded;
    fill_small(&map, memory_a);
    EXPECT_EQ(slotmap_image_size(SMALL), 4096);
    EXPECT_EQ(slotmap_store(&map, image), 1);
    EXPECT_OK(slotmap_load(&loaded, memory_b, &small, span_of(image, 4096)));
    EXPECT(same_state(&map, &loaded));
    EXPECT_EQ(loaded.generation, 1);
    EXPECT_EQ(slotmap_store(&loaded, image), 0);
    EXPECT_EQ(get_u32(image + 36), map.tail * SLOT_UNIT); /* doc/disk-format.md, "Slot map" */
    EXPECT_EQ(get_u64(image + 24), 2);
}

TEST(image_sizes_follow_from_the_chunk_size)
{
    EXPECT_EQ(slotmap_image_size(64 << 20), 266240);
    EXPECT_EQ(slotmap_memory_size(64 << 20), 262144);
    EXPECT_EQ(slotmap_image_size(CHUNK_SIZE_MAX), (16 << 20) + 4096);
    EXPECT(chunk_size_is_valid(CHUNK_SIZE_MAX) && chunk_size_is_valid(CHUNK_SIZE_MIN));
    EXPECT(!chunk_size_is_valid(UINT64_C(1) << 32));
    EXPECT(!chunk_size_is_valid(CHUNK_SIZE_MIN - 64) && !chunk_size_is_valid(CHUNK_SIZE_MIN + 32));
}

TEST(every_flipped_byte_of_an_image_is_found)
{
    struct slotmap map, loaded;
    fill_small(&map, memory_a);
    (void)slotmap_store(&map, image);
    for (size_t i = 0; i < 4096; i++)
        for (unsigned flip = 1; flip < 256; flip += flip < 128 ? flip : 127) {
            image[i] ^= (uint8_t)flip;
            EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span_of(image, 4096)), CORRUPT);
            image[i] ^= (uint8_t)flip;
        }
    EXPECT_OK(slotmap_load(&loaded, memory_b, &small, span_of(image, 4096)));
}

static void image_seal(void)
{
    put_u32(image + 12, 0);
    put_u32(image + 12, crc32_update(0, image, 4096));
}

TEST(the_image_of_another_chunk_size_or_format_is_refused)
{
    struct slotmap map, loaded;
    fill_small(&map, memory_a);
    (void)slotmap_store(&map, image);
    struct span span = span_of(image, 4096);
    static const struct slotmap_identity others[] = {{8, 3, SMALL, 2, 5}, {7, 4, SMALL, 2, 5},
        {7, 3, SMALL + 64, 2, 5}, {7, 3, SMALL * 32, 2, 5}, {7, 3, SMALL, 1, 5},
        {7, 3, SMALL, 2, 4}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT_ERR(slotmap_image_verify(span, &others[i], &loaded.generation), CORRUPT);
    EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span_of(image, 4095)), CORRUPT);
    put_u32(image + 8, SLOTMAP_FORMAT + 1);
    image_seal();
    EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span), FORMAT);
    memset(image, 0, sizeof image);
    EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span), CORRUPT);
}

/* Each damage has a good checksum, as a mistake of ours would have. */
TEST(bits_that_can_not_be_a_map_are_refused)
{
    static const struct {
        size_t at;
        uint8_t flip;
    } damages[] = {
        {64 + 0, 1},       /* a start in the chunk's header */
        {64 + 8, 1},       /* the first unit does not begin a slot */
        {64 + 8, 4},       /* one more or one less slot than counted */
        {64 + 120, 0x80},  /* a start beyond the tail */
        {64 + 128 + 8, 4}, /* free, but no slot begins */
        {64 + 128 + 8, 8}, /* a live slot more is free: two free ones are neighbours */
        {64 + 128 + 8, 1}, /* the counts differ */
        {36, 0x40},        /* the tail one unit off */
        {36, 1},           /* the tail inside a unit */
        {39, 0x80},        /* the tail beyond the chunk */
        {40, 1}, {44, 1}, {48, 1}, {52, 1}, /* the counts */
    };
    struct slotmap map, loaded;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        fill_small(&map, memory_a);
        (void)slotmap_store(&map, image);
        image[damages[i].at] ^= damages[i].flip;
        image_seal();
        EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span_of(image, 4096)), CORRUPT);
    }
}

/* Make the live slot that begins at `unit` a free one, against the rules, with counts that agree. */
static void doctor_free(struct slotmap *map, uint32_t unit)
{
    uint32_t units = slotmap_query(map, unit * SLOT_UNIT).size / SLOT_UNIT;
    map->frees[unit / 64] |= UINT64_C(1) << unit % 64;
    map->live_count--;
    map->live_units -= units;
    map->free_count++;
    map->free_units += units;
}

TEST(free_neighbours_a_free_last_slot_and_a_tail_beyond_the_chunk_are_refused)
{
    struct slotmap map, loaded;
    uint32_t last = FIRST_UNIT + 18 * 19 / 2;
    for (int damage = 0; damage < 3; damage++) {
        fill_small(&map, memory_a);
        if (damage == 0)
            doctor_free(&map, FIRST_UNIT + 3); /* behind the free slot of two units */
        if (damage == 1)
            doctor_free(&map, last);
        if (damage == 2) {
            map.live_units += UNITS + 1 - map.tail;
            map.tail = UNITS + 1;
        }
        (void)slotmap_store(&map, image);
        EXPECT_ERR(slotmap_load(&loaded, memory_b, &small, span_of(image, 4096)), CORRUPT);
    }
}

TEST(an_impossible_newest_copy_gives_way_to_the_older_one)
{
    struct slotmap map, loaded;
    fill_small(&map, memory_a);
    for (int i = 0; i < 2; i++) {
        (void)slotmap_store(&map, copies[(map.generation + 1) % SLOTMAP_COPIES]);
        doctor_free(&map, FIRST_UNIT + 3);
    }
    struct span both[SLOTMAP_COPIES] = {span_of(copies[0], 4096), span_of(copies[1], 4096)};
    EXPECT_OK(slotmap_load_newest(&loaded, memory_b, &small, both));
    EXPECT_EQ(loaded.generation, 1);
}

TEST(the_newest_good_copy_is_loaded)
{
    struct slotmap map, loaded;
    struct span both[SLOTMAP_COPIES] = {span_of(copies[0], 4096), span_of(copies[1], 4096)};
    memset(copies, 0, sizeof copies);
    EXPECT_ERR(slotmap_load_newest(&loaded, memory_b, &small, both), CORRUPT);
    fill_small(&map, memory_a);
    for (uint64_t generation = 1; generation < 6; generation++) {
        uint32_t offset;
        EXPECT_OK(slotmap_allocate_tail(&map, SLOT_UNIT, &offset));
        unsigned copy = slotmap_store(&map, image);
        memcpy(copies[copy], image, 80); /* torn: the one before is still there */
        if (generation > 1) {
            EXPECT_OK(slotmap_load_newest(&loaded, memory_b, &small, both));
            EXPECT_EQ(loaded.generation, generation - 1);
        }
        memcpy(copies[copy], image, 4096);
        EXPECT_OK(slotmap_load_newest(&loaded, memory_b, &small, both));
        EXPECT_EQ(loaded.generation, generation);
        EXPECT(same_state(&map, &loaded));
    }
}

TEST(the_largest_chunk_can_be_filled_to_its_last_byte)
{
    struct slotmap_identity identity = {1, 1, CHUNK_SIZE_MAX, 0, 0};
    void *memory = malloc(slotmap_memory_size(CHUNK_SIZE_MAX));
    EXPECT(memory != NULL);
    struct slotmap map;
    slotmap_init(&map, memory, &identity);
    uint32_t a, b;
    EXPECT_OK(slotmap_allocate_tail(&map, 1u << 31, &a));
    EXPECT_OK(slotmap_allocate_tail(&map, slotmap_fresh_size(&map), &b));
    EXPECT_EQ(slotmap_fresh_size(&map), 0);
    EXPECT_ERR(slotmap_allocate_tail(&map, SLOT_UNIT, &a), NO_SPACE);
    struct slotmap_slot slot = slotmap_query(&map, b);
    EXPECT_EQ((uint64_t)slot.offset + slot.size, CHUNK_SIZE_MAX);
    EXPECT_EQ(slotmap_query(&map, UINT64_C(1) << 40).kind, SLOTMAP_NONE);
    struct slotmap_release done;
    EXPECT_OK(slotmap_release(&map, CHUNK_HEADER_SIZE, &done));
    EXPECT_EQ(done.merged.size, 1u << 31);
    EXPECT_EQ(slotmap_summarise(&map).largest_free, 1u << 31);
    free(memory);
}
