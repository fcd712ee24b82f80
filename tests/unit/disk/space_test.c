/* The cache of free slots against a list, and a stream's chunks under a million uploads and deletes. */
#include "base/prng.h"
#include "base/units.h"
#include "disk/space.h"
#include "tests/lib/test.h"

struct fixture {
    struct ledger ledger;
    struct mem mem;
    struct owner owner;
    struct space space;
};

static void set_up(struct fixture *fixture, uint32_t capacity, uint32_t chunk_count)
{
    ledger_init(&fixture->ledger);
    mem_init(&fixture->mem, &fixture->ledger);
    owner_open(&fixture->owner, "test", DIRECTION_OWN, 0);
    EXPECT_OK(space_init(&fixture->space, &fixture->mem, &fixture->owner, capacity, chunk_count));
}

/* Enter chunks 0 .. count - 1 (an odd number) without any space, in a muddled order. */
static void enter_chunks(struct fixture *fixture, uint32_t count)
{
    struct slotmap_summary none = {0};
    for (uint32_t i = 0; i < count; i++)
        EXPECT(space_chunk_enter(&fixture->space, (i * 2 + 1) % count, &none));
}

static void tear_down(struct fixture *fixture)
{
    space_fini(&fixture->space);
    owner_close(&fixture->owner);
    ledger_check_empty(&fixture->ledger);
}

enum { LIST = 64, CHUNKS = 5 };

/* What the cache must hold, unordered. */
struct list_model {
    struct space_slot slots[LIST];
    uint32_t count;
};

static bool slot_before(const struct space_slot *a, const struct space_slot *b)
{
    if (a->size != b->size)
        return a->size < b->size;
    return a->chunk != b->chunk ? a->chunk < b->chunk : a->offset < b->offset;
}

static int model_best(const struct list_model *model, uint32_t size)
{
    int best = -1;
    for (int i = 0; i < (int)model->count; i++)
        if (model->slots[i].size >= size
            && (best < 0 || slot_before(&model->slots[i], &model->slots[best])))
            best = i;
    return best;
}

static void model_remove(struct list_model *model, int at)
{
    model->slots[at] = model->slots[--model->count];
}

static void step_insert(struct space *space, struct list_model *model, struct prng *prng)
{
    struct space_slot slot = {(uint32_t)prng_below(prng, CHUNKS),
        (uint32_t)(64 + prng_below(prng, 900)) * SLOT_UNIT,
        (uint32_t)(1 + prng_below(prng, 40)) * SLOT_UNIT};
    for (uint32_t i = 0; i < model->count; i++)
        if (model->slots[i].chunk == slot.chunk && model->slots[i].offset == slot.offset)
            return;
    bool is_full = model->count == LIST;
    int least = model_best(model, 0);
    bool wanted = !is_full || slot_before(&model->slots[least], &slot);
    EXPECT_EQ(space_insert(space, &slot), wanted);
    if (!wanted)
        return;
    if (is_full)
        model_remove(model, least);
    model->slots[model->count++] = slot;
}

static void step_take(struct space *space, struct list_model *model, struct prng *prng)
{
    uint32_t size = (uint32_t)(1 + prng_below(prng, 44)) * SLOT_UNIT, got_size;
    struct space_slot got;
    int best = model_best(model, size);
    EXPECT_EQ(space_take(space, size, &got, &got_size), best >= 0);
    if (best < 0)
        return;
    EXPECT(memcmp(&got, &model->slots[best], sizeof got) == 0);
    EXPECT(got_size == size || got_size == got.size);
    model_remove(model, best);
}

static void step_remove(struct space *space, struct list_model *model, struct prng *prng)
{
    if (model->count == 0)
        return;
    int at = (int)prng_below(prng, model->count);
    struct space_slot slot = model->slots[at], other = slot;
    other.size += SLOT_UNIT;
    EXPECT(!space_remove(space, &other));
    EXPECT(space_remove(space, &slot));
    EXPECT(!space_remove(space, &slot));
    model_remove(model, at);
}

static void step_forget(struct space *space, struct list_model *model, struct prng *prng)
{
    uint32_t chunk = (uint32_t)prng_below(prng, CHUNKS);
    space_chunk_forget(space, chunk);
    EXPECT(space_chunk_find(space, chunk) == NULL);
    EXPECT(space_chunk_enter(space, chunk, &(struct slotmap_summary){0}));
    for (int i = (int)model->count - 1; i >= 0; i--)
        if (model->slots[i].chunk == chunk)
            model_remove(model, i);
}

TEST(the_cache_holds_what_a_list_would_hold)
{
    struct fixture fixture;
    set_up(&fixture, LIST, CHUNKS);
    enter_chunks(&fixture, CHUNKS);
    struct prng prng;
    prng_init(&prng, 1);
    struct list_model model = {0};
    for (int i = 0; i < 200000; i++) {
        uint64_t dice = prng_below(&prng, 1000);
        if (dice < 600)
            step_insert(&fixture.space, &model, &prng);
        else if (dice < 850)
            step_take(&fixture.space, &model, &prng);
        else if (dice < 998)
            step_remove(&fixture.space, &model, &prng);
        else
            step_forget(&fixture.space, &model, &prng);
        EXPECT_EQ(fixture.space.count, model.count);
    }
    tear_down(&fixture);
}

TEST(equal_sizes_come_from_the_lowest_chunk_and_offset)
{
    struct fixture fixture;
    set_up(&fixture, 8, CHUNKS);
    enter_chunks(&fixture, CHUNKS);
    static const struct space_slot slots[] = {{3, 4096, 640}, {1, 8192, 640}, {1, 4096, 640}};
    struct space_slot got;
    uint32_t size;
    for (size_t i = 0; i < ARRAY_LEN(slots); i++)
        EXPECT(space_insert(&fixture.space, &slots[i]));
    EXPECT(space_take(&fixture.space, 640, &got, &size) && got.chunk == 1 && got.offset == 4096);
    EXPECT(space_take(&fixture.space, 640, &got, &size) && got.chunk == 1 && got.offset == 8192);
    EXPECT(space_take(&fixture.space, 64, &got, &size) && got.chunk == 3);
    EXPECT(!space_take(&fixture.space, 64, &got, &size));
    tear_down(&fixture);
}

TEST(a_rest_not_worth_a_slot_goes_with_the_slot)
{
    static const struct {
        uint32_t slot, size, expected;
    } cases[] = {
        {1024, 1024, 1024}, {1024, 576, 1024}, /* rest under SLOT_REMAINDER_MIN */
        {1024, 512, 512},                      /* rest of just that */
        {17 * 4096, 16 * 4096, 16 * 4096},
        {17 * 4096 - 64, 16 * 4096, 17 * 4096 - 64}, /* rest under a sixteenth */
    };
    struct fixture fixture;
    set_up(&fixture, 8, CHUNKS);
    enter_chunks(&fixture, CHUNKS);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct space_slot slot = {0, 4096, cases[i].slot}, got;
        uint32_t size;
        EXPECT(space_insert(&fixture.space, &slot));
        EXPECT(space_take(&fixture.space, cases[i].size, &got, &size));
        EXPECT_EQ(size, cases[i].expected);
    }
    tear_down(&fixture);
}

TEST(what_the_cache_dropped_is_found_again_by_scanning)
{
    struct fixture fixture;
    set_up(&fixture, 4, CHUNKS);
    static uint64_t memory[65536 / 64 / 64 * 2];
    struct slotmap map;
    slotmap_init(&map, memory, &(struct slotmap_identity){1, 1, 65536, 0, 0});
    uint32_t offset, chunk = 99, size;
    struct slotmap_release done;
    struct space_slot slot;
    for (uint32_t i = 0; i < 14; i++)
        EXPECT_OK(slotmap_allocate_tail(&map, 1024 + i * SLOT_UNIT, &offset));
    struct slotmap_slot at = {0};
    for (uint32_t i = 0; slotmap_next(&map, at.offset + at.size, &at); i++)
        if (i % 2 == 0)
            EXPECT_OK(slotmap_release(&map, at.offset, &done));
    struct slotmap_summary summary = slotmap_summarise(&map);
    EXPECT_EQ(summary.free_count, 7);
    EXPECT(space_chunk_enter(&fixture.space, 2, &summary));
    EXPECT(!space_take(&fixture.space, 64, &slot, &size));
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, summary.largest_free + 1, 0, &chunk));
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, 64, (uint32_t)summary.free_bytes + 1, &chunk));
    EXPECT(space_pick_chunk_to_scan(&fixture.space, summary.largest_free, 0, &chunk));
    EXPECT_EQ(chunk, 2);
    EXPECT(space_chunk_scan(&fixture.space, 2, &map)); /* four of seven fit: the larger */
    EXPECT_EQ(fixture.space.count, 4);
    EXPECT_EQ(space_chunk_find(&fixture.space, 2)->missing, 1024 + 4 * SLOT_UNIT);
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, 1024 + 5 * SLOT_UNIT, 0, &chunk));
    EXPECT(space_pick_chunk_to_scan(&fixture.space, 1024 + 4 * SLOT_UNIT, 0, &chunk));
    EXPECT(space_take(&fixture.space, 64, &slot, &size));
    EXPECT_EQ(slot.size, 1024 + 6 * SLOT_UNIT);
    EXPECT(space_chunk_scan(&fixture.space, 2, &map));
    EXPECT_EQ(fixture.space.count, 4);
    space_chunk_forget(&fixture.space, 2);
    EXPECT_EQ(fixture.space.count, 0);
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, 64, 0, &chunk));
    EXPECT(!space_pick_chunk_to_fill(&fixture.space, 64, 0, &chunk));
    tear_down(&fixture);
}

TEST(the_chunk_to_scan_has_most_free_and_the_chunk_to_fill_most_fresh_bytes)
{
    struct fixture fixture;
    set_up(&fixture, 4, CHUNKS);
    static const struct slotmap_summary summaries[] = {
        {.free_bytes = 9000, .fresh_bytes = 100, .largest_free = 500},
        {.free_bytes = 5000, .fresh_bytes = 700, .largest_free = 2000},
        {.free_bytes = 7000, .fresh_bytes = 900, .largest_free = 2000},
        {.free_bytes = 7000, .fresh_bytes = 900, .largest_free = 3000},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(summaries); i++)
        EXPECT(space_chunk_enter(&fixture.space, i, &summaries[i]));
    uint32_t chunk;
    EXPECT(space_pick_chunk_to_scan(&fixture.space, 500, 0, &chunk) && chunk == 0);
    EXPECT(space_pick_chunk_to_scan(&fixture.space, 501, 7000, &chunk) && chunk == 2);
    EXPECT(space_pick_chunk_to_scan(&fixture.space, 2001, 0, &chunk) && chunk == 3);
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, 2001, 7001, &chunk));
    EXPECT(space_pick_chunk_to_fill(&fixture.space, 100, 0, &chunk) && chunk == 2);
    EXPECT(!space_pick_chunk_to_fill(&fixture.space, 100, 901, &chunk));
    EXPECT(!space_pick_chunk_to_fill(&fixture.space, 901, 0, &chunk));
    tear_down(&fixture);
}

TEST(chunks_are_refused_when_there_is_no_room_for_more)
{
    struct fixture fixture;
    set_up(&fixture, 4, 3);
    enter_chunks(&fixture, 3);
    struct slotmap_summary none = {0};
    static uint64_t memory[65536 / 64 / 64 * 2];
    struct slotmap map;
    slotmap_init(&map, memory, &(struct slotmap_identity){1, 1, 65536, 0, 0});
    EXPECT(!space_chunk_enter(&fixture.space, 77, &none));
    EXPECT(!space_chunk_scan(&fixture.space, 77, &map));
    EXPECT(space_chunk_enter(&fixture.space, 1, &none));
    space_chunk_forget(&fixture.space, 77);
    space_chunk_forget(&fixture.space, 0);
    EXPECT(space_chunk_scan(&fixture.space, 77, &map));
    uint32_t chunk;
    EXPECT(space_pick_chunk_to_fill(&fixture.space, 64, 0, &chunk) && chunk == 77);
    tear_down(&fixture);
}

TEST(a_chunk_whose_free_space_was_nearly_used_up_is_not_scanned)
{
    struct fixture fixture;
    set_up(&fixture, 4, CHUNKS);
    struct slotmap_summary summary = {.free_bytes = 2112, .largest_free = 1024};
    EXPECT(space_chunk_enter(&fixture.space, 1, &summary));
    struct slotmap_extent none = {0};
    uint32_t chunk;
    space_allocated(&fixture.space, &(struct space_slot){1, 4096, 1024}, &none);
    EXPECT(space_pick_chunk_to_scan(&fixture.space, 1024, 0, &chunk));
    space_allocated(&fixture.space, &(struct space_slot){1, 8192, 1024}, &none);
    EXPECT(!space_pick_chunk_to_scan(&fixture.space, 128, 0, &chunk));
    tear_down(&fixture);
}

TEST(a_refusal_of_memory_leaves_nothing_held)
{
    struct fixture fixture;
    ledger_init(&fixture.ledger);
    mem_init(&fixture.mem, &fixture.ledger);
    owner_open(&fixture.owner, "test", DIRECTION_OWN, 0);
    fixture.ledger.refusal.countdown = 1;
    EXPECT_ERR(space_init(&fixture.space, &fixture.mem, &fixture.owner, 8, 8), BUSY);
    ledger_check_empty(&fixture.ledger);
    mem_set_phase(&fixture.mem, MEM_RUN);
    EXPECT_ERR(space_init(&fixture.space, &fixture.mem, &fixture.owner, 8, 8), BUSY);
    owner_close(&fixture.owner);
}

/* A stream in small: chunks of 1 MiB that are all loaded, contents of 192 bytes to 64 KiB. */
enum { WORLD_CHUNKS = 220, WORLD_CHUNK = 1 << 20, WORLD_FILES = 20000, WORLD_ENTRIES = 256 };

struct world {
    struct fixture fixture;
    struct slotmap maps[WORLD_CHUNKS];
    struct space_slot files[WORLD_FILES]; /* size 0: none */
    uint64_t wanted[WORLD_FILES];         /* bytes that were asked for */
    uint64_t wanted_bytes, allocated_bytes, scans;
    uint32_t filling, opened;
};
static struct world world;
static uint64_t world_memory[WORLD_CHUNKS][WORLD_CHUNK / 64 / 64 * 2];

static void world_set_up(uint32_t entries)
{
    memset(&world, 0, sizeof world);
    set_up(&world.fixture, entries, WORLD_CHUNKS);
    for (uint32_t i = 0; i < WORLD_CHUNKS; i++)
        slotmap_init(&world.maps[i], world_memory[i],
            &(struct slotmap_identity){1, i + 1, WORLD_CHUNK, 0, 0});
}

static bool world_take_free(uint32_t size, struct space_slot *ret)
{
    struct space *space = &world.fixture.space;
    struct space_slot slot;
    uint32_t chunk, take, got;
    if (!space_take(space, size, &slot, &take)) {
        if (!space_pick_chunk_to_scan(space, size, WORLD_CHUNK / 8, &chunk))
            return false;
        EXPECT(space_chunk_scan(space, chunk, &world.maps[chunk]));
        world.scans++;
        if (!space_take(space, size, &slot, &take))
            return false;
    }
    struct slotmap_extent rest;
    EXPECT_OK(slotmap_allocate_free(&world.maps[slot.chunk], slot.offset, take, &got, &rest));
    space_allocated(space, &slot, &rest);
    *ret = (struct space_slot){slot.chunk, slot.offset, got};
    return true;
}

static void world_take_fresh(uint32_t size, struct space_slot *ret)
{
    struct space *space = &world.fixture.space;
    if (size > slotmap_fresh_size(&world.maps[world.filling])
        && !space_pick_chunk_to_fill(space, size, WORLD_CHUNK / 8, &world.filling)) {
        EXPECT(world.opened < WORLD_CHUNKS - 1);
        world.filling = ++world.opened;
    }
    struct slotmap *map = &world.maps[world.filling];
    uint32_t offset;
    if (map->tail * SLOT_UNIT == CHUNK_HEADER_SIZE)
        EXPECT(space_chunk_scan(space, world.filling, map));
    EXPECT_OK(slotmap_allocate_tail(map, size, &offset));
    space_filled(space, world.filling, size);
    *ret = (struct space_slot){world.filling, offset, size};
}

static void world_upload(uint32_t file, uint32_t size)
{
    struct space_slot *slot = &world.files[file];
    if (!world_take_free(size, slot))
        world_take_fresh(size, slot);
    world.wanted[file] = size;
    world.wanted_bytes += size;
    world.allocated_bytes += slot->size;
}

static void world_delete(uint32_t file)
{
    struct space_slot *slot = &world.files[file];
    struct slotmap_release done;
    EXPECT_OK(slotmap_release(&world.maps[slot->chunk], slot->offset, &done));
    space_released(&world.fixture.space, slot->chunk, slot->size, &done);
    world.wanted_bytes -= world.wanted[file];
    world.allocated_bytes -= slot->size;
    slot->size = 0;
}

static void world_check(void)
{
    for (uint32_t i = 0; i < WORLD_CHUNKS; i++) {
        struct slotmap_summary summary = slotmap_summarise(&world.maps[i]);
        const struct space_chunk *known = space_chunk_find(&world.fixture.space, i);
        if (summary.live_count + summary.free_count == 0)
            continue;
        EXPECT_EQ(known->free_bytes, summary.free_bytes);
        EXPECT_EQ(known->fresh_bytes, summary.fresh_bytes);
    }
    for (uint32_t i = 0; i < WORLD_FILES; i++)
        if (world.files[i].size > 0) {
            struct slotmap_slot at =
                slotmap_query(&world.maps[world.files[i].chunk], world.files[i].offset);
            EXPECT(at.kind == SLOTMAP_LIVE && at.size == world.files[i].size);
        }
}

/* Sizes spread evenly over the octaves. */
static uint32_t content_size(struct prng *prng)
{
    uint32_t octave = 192u << prng_below(prng, 8);
    return (uint32_t)round_up(octave + prng_below(prng, octave), SLOT_UNIT);
}

static uint64_t world_chunk_bytes(void)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < WORLD_CHUNKS; i++)
        if (world.maps[i].live_count > 0)
            bytes += WORLD_CHUNK;
    return bytes;
}

TEST(a_million_uploads_and_deletes_stay_within_a_sixth_and_end_with_whole_free_chunks)
{
    struct prng prng;
    prng_init(&prng, 7);
    world_set_up(WORLD_ENTRIES);
    uint64_t wanted_max = 0;
    double overhead_max = 0, waste_max = 0;
    for (int i = 0; i < 1000000; i++) {
        uint32_t file = (uint32_t)prng_below(&prng, WORLD_FILES);
        if (world.files[file].size > 0)
            world_delete(file);
        if (prng_chance(&prng, 800000) && world.files[file].size == 0)
            world_upload(file, content_size(&prng));
        if (world.wanted_bytes > wanted_max)
            wanted_max = world.wanted_bytes;
        if (i >= 100000 && i % 10000 == 0) {
            double overhead = (double)world_chunk_bytes() / (double)wanted_max;
            double waste = (double)world.allocated_bytes / (double)world.wanted_bytes;
            overhead_max = overhead > overhead_max ? overhead : overhead_max;
            waste_max = waste > waste_max ? waste : waste_max;
        }
    }
    world_check();
    (void)fprintf(stderr, "  chunks / most wanted %.3f, slots / wanted %.3f, %llu scans\n",
        overhead_max, waste_max, (unsigned long long)world.scans);
    EXPECT(overhead_max < 1.17);
    EXPECT(waste_max < 1.02);
    for (uint32_t file = 0; file < WORLD_FILES; file++)
        if (world.files[file].size > 0)
            world_delete(file);
    for (uint32_t i = 0; i <= world.opened; i++) {
        EXPECT_EQ(slotmap_fresh_size(&world.maps[i]), WORLD_CHUNK - CHUNK_HEADER_SIZE);
        const struct space_chunk *known = space_chunk_find(&world.fixture.space, i);
        EXPECT_EQ(known->free_bytes, 0);
        EXPECT_EQ(known->fresh_bytes, WORLD_CHUNK - CHUNK_HEADER_SIZE);
    }
    EXPECT_EQ(world.fixture.space.count, 0);
    tear_down(&world.fixture);
}

TEST(space_that_the_cache_could_not_hold_is_reused_before_new_chunks_are_opened)
{
    enum { FILES = 6000 };
    struct prng prng;
    prng_init(&prng, 8);
    world_set_up(64);
    for (uint32_t file = 0; file < FILES; file++)
        world_upload(file, content_size(&prng));
    uint32_t opened = world.opened;
    for (uint32_t file = 0; file < FILES; file += 2)
        world_delete(file);
    uint64_t wanted = world.wanted_bytes;
    EXPECT(world.fixture.space.dropped > FILES / 4);
    uint32_t uploads = 0;
    for (uint32_t file = 0; file < FILES; file += 2, uploads++)
        if (world.wanted_bytes < wanted + wanted * 6 / 10)
            world_upload(file, content_size(&prng));
    (void)fprintf(
        stderr, "  %llu scans for %u uploads\n", (unsigned long long)world.scans, uploads);
    EXPECT(world.opened <= opened + opened / 20); /* the largest contents find no hole */
    EXPECT(world.scans > 0 && world.scans < uploads / 10);
    world_check();
    tear_down(&world.fixture);
}
