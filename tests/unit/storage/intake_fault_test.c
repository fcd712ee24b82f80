/* Intakes where things go wrong: a crash at every operation of the disk, every refusal, hostile entries,
 * and sizes at every limit. */
#include "sim/mem.h"
#include "sim/sweep.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/mirror_stand.h"
#include "tests/unit/storage/stand.h"

enum { FILES = 5 };

/* Every way by which a content gets to disk. */
static void live(struct mirror_stand *stand, struct fid *fids)
{
    static const size_t sizes[FILES] = {100, 3000, 20000, 0, 500};
    static const struct {
        unsigned file;
        uint8_t mode;
        uint64_t offset;
        size_t size;
    } changes[] = {{0, MODIFY_REPLACE, 0, 5000}, /* outgrows its home: a referenced target */
        {0, MODIFY_APPEND, 0, 100}, {0, MODIFY_REPLACE, 0, 50}, /* and back */
        {1, MODIFY_REPLACE, 0, 30000},                          /* a single target */
        {1, MODIFY_WRITE, 10, 500}, {1, MODIFY_REPLACE, 0, 10}, /* which is unlinked */
        {2, MODIFY_APPEND, 0, 70000}, {2, MODIFY_WRITE, 5, 3000}, {2, MODIFY_TRUNCATE, 12345, 0},
        {2, MODIFY_REPLACE, 0, 17000}, {3, MODIFY_APPEND, 0, 1500}};
    for (unsigned i = 0; i < FILES; i++) {
        fids[i] = mirror_upload(stand, 0, sizes[i], i);
        mirror_collect(stand, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        mirror_modify(stand, 0, &fids[changes[i].file], changes[i].mode, changes[i].offset,
            changes[i].size, (unsigned)i);
        mirror_collect(stand, 0);
    }
    mirror_remove(stand, 0, &fids[2]);
    mirror_remove(stand, 0, &fids[4]);
    mirror_collect(stand, 0);
}

static bool deliver_until_crash(struct mirror_stand *stand)
{
    for (size_t i = 0; i < stand->cargo_count[0]; i++) {
        struct mirror_result result = mirror_deliver(stand, 1, &stand->cargo[0][i]);
        if (!result.is_over)
            return true;
        EXPECT_OK(result.err);
    }
    return false;
}

static void crash_sweep(enum sim_crash how)
{
    bool has_crashed = true;
    unsigned crashes = 0;
    for (uint64_t nth = 1; has_crashed; nth++) {
        struct mirror_stand stand;
        struct fid fids[FILES];
        mirror_stand_open(&stand, 1, 2, NULL);
        live(&stand, fids);
        sim_world_crash_at(stand.world, stand.labs[1].node, nth, how);
        has_crashed = deliver_until_crash(&stand);
        sim_world_crash_at(stand.world, stand.labs[1].node, 0, SIM_CRASH_NONE);
        if (has_crashed) {
            crashes++;
            store_lab_bury(&stand.labs[1]);
            EXPECT_OK(mirror_boot(&stand, 1));
            mirror_deliver_all(&stand, 1, 0, 0);
        }
        mirror_expect_equal(&stand, 0, 1);
        EXPECT_ERR(mirror_find(&stand, 1, &fids[2], SIZE_MAX, 0, NULL), NOT_FOUND);
        EXPECT_OK(mirror_find(&stand, 1, &fids[1], 10, 5, NULL));
        mirror_stand_close(&stand);
    }
    EXPECT(crashes > 60);
}

TEST(killed_at_any_operation_the_mirror_ends_equal_when_all_comes_again)
{
    crash_sweep(SIM_CRASH_KILL);
}

TEST(without_power_at_any_operation_the_mirror_ends_equal_when_all_comes_again)
{
    crash_sweep(SIM_CRASH_POWER);
}

/* ---- refusals ---- */

static bool is_refusal(err_t err)
{
    static const enum err_code codes[] = {ERR_CODE_OK, ERR_CODE_NO_RESOURCE, ERR_CODE_BUSY,
        ERR_CODE_NO_SPACE, ERR_CODE_IO, ERR_CODE_OFFLINE, ERR_CODE_OUTCOME_UNKNOWN};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (err_has(err, codes[i]))
            return true;
    return false;
}

static void refused_run(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    struct mirror_stand stand;
    struct fid fids[FILES];
    unsigned *refused = context;
    mirror_stand_open_in(&stand, world, 2, NULL);
    live(&stand, fids);
    sim_attempt_arm(attempt, stand.labs[1].io[0]);
    for (size_t i = 0; i < stand.cargo_count[0]; i++) {
        struct mirror_result result = mirror_deliver(&stand, 1, &stand.cargo[0][i]);
        EXPECT(result.is_over);
        EXPECT(!err_is(result.err) || !result.is_held);
        *refused += err_is(result.err);
        EXPECT(is_refusal(result.err));
        if (err_is(result.err)) /* a sender stops here */
            break;
    }
    (void)sim_attempt_disarm(attempt);
    if (store_lab_stream(&stand.labs[1], 0)->state != STREAM_OPEN) {
        store_lab_kill(&stand.labs[1], false); /* fenced: the operator starts it again */
        EXPECT_OK(mirror_boot(&stand, 1));
    }
    mirror_deliver_all(&stand, 1, 0, 0);
    EXPECT(mirror_is_equal(&stand, 0, 1));
    mirror_stand_close(&stand);
}

TEST(what_was_refused_is_taken_when_it_comes_again)
{
    unsigned refused = 0;
    struct sim_sweep sweep = {.seed = 3, .context = &refused, .run = refused_run};
    EXPECT(sim_sweep(&sweep) > 100);
    EXPECT(refused > 50);
}

/* ---- sizes ---- */

TEST(contents_of_every_size_around_the_limits_come_whole)
{
    static const size_t around[] = {64, 2048, 16 * 1024, 64 * 1024};
    struct mirror_stand stand;
    mirror_stand_open(&stand, 4, 2, NULL);
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(around); i++)
        for (size_t size = around[i] - 3; size <= around[i] + 3; size++) {
            struct fid fid = mirror_upload(&stand, 0, size, (unsigned)size);
            mirror_collect(&stand, 0);
            mirror_modify(&stand, 0, &fid, MODIFY_APPEND, 0, 3, 1);
            mirror_collect(&stand, 0);
            mirror_deliver_all(&stand, 1, 0, count);
            count = stand.cargo_count[0];
        }
    mirror_expect_equal(&stand, 0, 1);
    mirror_stand_close(&stand);
}

/* ---- hostile entries ---- */

static void spoil_place(struct prng *prng, struct place *place)
{
    switch (prng_below(prng, 8)) {
    case 0:
        place->kind = (uint8_t)prng_below(prng, 5);
        break;
    case 1:
        place->offset = (uint32_t)prng_next(prng) & ~63u;
        break;
    case 2:
        place->slot_size = (uint32_t)prng_next(prng) % (1u << 30) & ~63u;
        break;
    case 3:
        place->chunk = (uint32_t)prng_below(prng, 4);
        break;
    case 4:
        place->machine = (uint32_t)prng_below(prng, 12);
        break;
    case 5:
        place->stream = (uint8_t)prng_next(prng);
        break;
    case 6:
        place->mount = (uint8_t)prng_next(prng);
        break;
    default:
        place->birth = prng_next(prng) >> prng_below(prng, 60) & ((UINT64_C(1) << 56) - 1);
        break;
    }
}

static void spoil(struct prng *prng, struct entry *entry)
{
    struct record *record = &entry->record;
    switch (prng_below(prng, 14)) {
    case 0:
        record->kind = (uint8_t)(1 + prng_below(prng, RECORD_KIND_COUNT - 1));
        break;
    case 1:
        record->flags ^= (uint8_t)(1u << prng_below(prng, 5) & ~(unsigned)RECORD_INLINE);
        break;
    case 2:
        record->total_size = prng_next(prng) >> prng_below(prng, 64);
        break;
    case 3:
        record->content_offset = prng_next(prng) >> prng_below(prng, 64);
        break;
    case 4:
        record->version.counter = prng_below(prng, 4);
        break;
    case 5:
        record->identity.clock ^= UINT64_C(1) << prng_below(prng, 60);
        break;
    case 6:
        record->identity.origin = (uint32_t)prng_below(prng, 12);
        break;
    case 7:
        record->origin = (uint32_t)prng_below(prng, 12);
        break;
    case 8:
        entry->home_seed ^= 1;
        break;
    case 9:
        entry->target_seed ^= 1;
        break;
    case 10:
        record->content_crc ^= 1;
        break;
    case 11:
        spoil_place(prng, &record->target);
        break;
    case 12:
        record->base.counter = prng_below(prng, 5);
        break;
    default:
        spoil_place(prng, &record->home);
        break;
    }
}

/* What this storage itself has stored must stay as it is, whatever a member says of other files. */
TEST(hostile_entries_are_refused_or_harmless)
{
    struct mirror_stand stand;
    struct fid fids[FILES], own[FILES];
    struct prng prng;
    unsigned refused = 0;
    prng_init(&prng, 5);
    mirror_stand_open(&stand, 5, 2, NULL);
    live(&stand, fids);
    for (unsigned i = 0; i < FILES; i++)
        own[i] = mirror_upload(&stand, 1, 700 + 9000 * i, 40 + i);
    for (unsigned round = 0; round < 3000; round++) {
        const struct cargo *good = &stand.cargo[0][prng_below(&prng, stand.cargo_count[0])];
        struct cargo bad = *good;
        struct entry entry = good->entry;
        bad.bytes = NULL;
        for (uint64_t times = 1 + prng_below(&prng, 3); times > 0; times--)
            spoil(&prng, &entry);
        mirror_cargo_set(&bad, &entry);
        struct mirror_result result = mirror_deliver(&stand, 1, &bad);
        EXPECT(result.is_over);
        EXPECT(!err_is(result.err) || !result.is_held);
        EXPECT(!err_has(result.err, ERR_CODE_OUTCOME_UNKNOWN));
        refused += err_is(result.err);
        sim_free(bad.bytes);
    }
    EXPECT(refused > 500);
    EXPECT(store_lab_stream(&stand.labs[1], 0)->state == STREAM_OPEN);
    for (unsigned i = 0; i < FILES; i++)
        EXPECT_OK(mirror_find(&stand, 1, &own[i], 700 + 9000 * i, 40 + i, NULL));
    mirror_stand_close(&stand);
}
