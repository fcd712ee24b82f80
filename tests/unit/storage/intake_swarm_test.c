/* Three storages change the same files; what they did is brought around in every order that their
 * streams allow, with resends and crashes. In the end all three must be equal, and count what they hold. */
#include <stdio.h>

#include "base/units.h"
#include "disk/checkpoint.h"
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/mirror_stand.h"
#include "tests/unit/storage/stand.h"

enum { FILES = 24, STEPS = 400 };

struct swarm {
    struct mirror_stand stand;
    struct prng prng;
    struct fid fids[FILES];
    bool is_there[FILES];
    size_t sent[MIRRORS_MAX][MIRRORS_MAX]; /* [to][from] */
    uint64_t watermarks[MIRRORS_MAX];      /* of what was collected last */
    size_t marked[MIRRORS_MAX];
    uint64_t dropped;
    unsigned deleted, changed, resent, evicted, crashed;
    bool has_watermarks, crashes;
    uint64_t seed;
};

static size_t draw_size(struct swarm *swarm)
{
    static const size_t most[] = {300, 3000, 17000, 60000};
    return prng_below(
        &swarm->prng, most[prng_below(&swarm->prng, 100) < 80 ? prng_below(&swarm->prng, 2)
                                                              : 2 + prng_below(&swarm->prng, 2)]);
}

static void collect(struct swarm *swarm, unsigned lab)
{
    struct stream *stream = store_lab_stream(&swarm->stand.labs[lab], 0);
    swarm->watermarks[lab] = stream_watermark(stream);
    mirror_collect(&swarm->stand, lab);
    swarm->marked[lab] = swarm->stand.cargo_count[lab];
}

/* Everything that was collected from `from` has been taken by `to`: its watermark holds there. */
static void move_watermark(struct swarm *swarm, unsigned to, unsigned from)
{
    struct stream *stream = store_lab_stream(&swarm->stand.labs[to], 0);
    struct source *source;
    if (!swarm->has_watermarks || swarm->sent[to][from] < swarm->marked[from])
        return;
    EXPECT_OK(stream_source_add(stream, &(struct source_key){MIRROR_FIRST + from, 0, 0}, &source));
    source->coverage.watermark = swarm->watermarks[from];
    source->incarnation = 1;
    source->lsn = swarm->marked[from];
    if (prng_below(&swarm->prng, 4) == 0)
        stream_position_log(stream, source);
}

struct checkpoint_wish {
    const struct checkpoint *checkpoint;
    uint64_t count;
};

static bool is_taken(void *context)
{
    struct checkpoint_wish *wish = context;
    return wish->checkpoint->count > wish->count && wish->checkpoint->is_idle;
}

/* Copies of chunks in which nothing lives go. */
static void take_checkpoint(struct swarm *swarm, unsigned lab)
{
    struct checkpoint *checkpoint = store_lab_stream(&swarm->stand.labs[lab], 0)->checkpoint;
    struct checkpoint_wish wish = {checkpoint, checkpoint->count};
    uint64_t dropped = checkpoint->mirrors.dropped;
    checkpoint_request(checkpoint);
    EXPECT(sim_world_run_until(swarm->stand.world, is_taken, &wish, 60 * NS_PER_S));
    swarm->dropped += checkpoint->mirrors.dropped - dropped;
}

static void bring(struct swarm *swarm, unsigned to, unsigned from)
{
    struct mirror_stand *stand = &swarm->stand;
    if (to == from || swarm->sent[to][from] == stand->cargo_count[from])
        return;
    size_t at = swarm->sent[to][from];
    struct mirror_result result = mirror_deliver(stand, to, &stand->cargo[from][at]);
    EXPECT(result.is_over);
    if (err_has(result.err, ERR_CODE_BUSY) || err_has(result.err, ERR_CODE_UNAVAILABLE))
        return; /* once more, later */
    EXPECT_OK(result.err);
    swarm->sent[to][from]++;
    collect(swarm, to); /* received records fill its log too, and old segments are used again */
    move_watermark(swarm, to, from);
}

/* A connection broke: the sender begins a little earlier, and brings it all once more. */
static void bring_again(struct swarm *swarm, unsigned to, unsigned from)
{
    size_t back = prng_below(&swarm->prng, 12);
    if (to == from)
        return;
    swarm->resent++;
    swarm->sent[to][from] -= back < swarm->sent[to][from] ? back : swarm->sent[to][from];
}

static void crash(struct swarm *swarm, unsigned lab)
{
    if (!swarm->crashes)
        return;
    swarm->crashed++;
    store_lab_kill(&swarm->stand.labs[lab], prng_below(&swarm->prng, 2) == 0);
    EXPECT_OK(mirror_boot(&swarm->stand, lab));
    for (unsigned from = 0; from < swarm->stand.count; from++)
        if (from != lab) /* kept positions lag */
            bring_again(swarm, lab, from);
}

static void change(struct swarm *swarm)
{
    unsigned lab = (unsigned)prng_below(&swarm->prng, swarm->stand.count);
    unsigned at = (unsigned)prng_below(&swarm->prng, FILES);
    unsigned mark = (unsigned)prng_below(&swarm->prng, 250);
    if (!swarm->is_there[at]) {
        swarm->fids[at] = mirror_upload(&swarm->stand, lab, draw_size(swarm), mark);
        swarm->is_there[at] = true;
    } else if (prng_below(&swarm->prng, 100) < 30) {
        struct store_call *call = store_call_new(swarm->stand.world, CALL_REMOVE, 0);
        call->remove.fid = swarm->fids[at];
        call->remove.ack = ACK_LOCAL;
        EXPECT(store_call_run(call, &swarm->stand.labs[lab], &swarm->stand.labs[lab].stores[0]));
        EXPECT_OK(call->err);
        if (call->remove.result.existed) {
            swarm->is_there[at] = false;
            swarm->deleted++;
        }
        store_call_free(call);
    } else {
        uint8_t mode = (uint8_t)(1 + prng_below(&swarm->prng, 4));
        size_t size = mode == MODIFY_TRUNCATE ? 0 : draw_size(swarm);
        uint64_t offset = mode == MODIFY_APPEND ? 0 : prng_below(&swarm->prng, 2000);
        err_t err =
            mirror_try_modify(&swarm->stand, lab, &swarm->fids[at], mode, offset, size, mark);
        EXPECT(!err_is(err) || err_has(err, ERR_CODE_NOT_FOUND) || err_has(err, ERR_CODE_RANGE));
        swarm->changed += !err_is(err);
    }
    collect(swarm, lab);
}

static void step(struct swarm *swarm)
{
    unsigned draw = (unsigned)prng_below(&swarm->prng, 100);
    unsigned to = (unsigned)prng_below(&swarm->prng, swarm->stand.count);
    unsigned from = (unsigned)prng_below(&swarm->prng, swarm->stand.count);
    if (draw < 40)
        change(swarm);
    else if (draw < 44)
        take_checkpoint(swarm, to);
    else if (draw < 96)
        for (unsigned i = 0; i < 3; i++)
            bring(swarm, to, from);
    else if (draw < 98)
        bring_again(swarm, to, from);
    else
        crash(swarm, to);
}

static bool is_even(const struct swarm *swarm)
{
    for (unsigned to = 0; to < swarm->stand.count; to++)
        for (unsigned from = 0; from < swarm->stand.count; from++)
            if (to != from && swarm->sent[to][from] < swarm->stand.cargo_count[from])
                return false;
    return true;
}

static void settle(struct swarm *swarm)
{
    for (unsigned round = 0; round < 20000 && !is_even(swarm); round++)
        bring(swarm, (unsigned)prng_below(&swarm->prng, swarm->stand.count),
            (unsigned)prng_below(&swarm->prng, swarm->stand.count));
    EXPECT(is_even(swarm));
}

static void expect_same_files(struct swarm *swarm)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (!swarm->fids[i].identity.clock)
            continue;
        struct version versions[MIRRORS_MAX] = {{0, 0}};
        err_t errs[MIRRORS_MAX];
        for (unsigned lab = 0; lab < swarm->stand.count; lab++)
            errs[lab] =
                mirror_find(&swarm->stand, lab, &swarm->fids[i], SIZE_MAX, 0, &versions[lab]);
        for (unsigned lab = 1; lab < swarm->stand.count; lab++) {
            EXPECT_EQ(errs[lab].code, errs[0].code);
            EXPECT(version_equals(versions[lab], versions[0]));
        }
    }
}

static unsigned copies_at(struct swarm *swarm, unsigned lab)
{
    const struct chunk_table *chunks = &store_lab_stream(&swarm->stand.labs[lab], 0)->chunks;
    unsigned count = 0;
    for (uint32_t i = 0; i < chunks->count; i++)
        count += chunks->entries[i].source != 0;
    return count;
}

/* Everything is deleted: no copy of a chunk is left anywhere. */
static void expect_space_back(struct swarm *swarm)
{
    unsigned count = swarm->stand.count;
    for (unsigned i = 0; i < FILES; i++)
        if (swarm->is_there[i])
            mirror_remove(&swarm->stand, 0, &swarm->fids[i]);
    for (unsigned lab = 0; lab < count; lab++)
        collect(swarm, lab);
    settle(swarm);
    for (unsigned to = 0; to < count; to++) {
        struct stream *stream = store_lab_stream(&swarm->stand.labs[to], 0);
        for (unsigned from = 0; from < count; from++) {
            struct source_key key = {MIRROR_FIRST + from, 0, 0};
            struct source *source = stream_source_find(stream, &key);
            if (from == to || !source)
                continue;
            source->coverage.watermark = swarm->watermarks[from];
            source->lsn = swarm->marked[from] + 1;
            stream_position_log(stream, source);
        }
        take_checkpoint(swarm, to);
        take_checkpoint(swarm, to);
        EXPECT_EQ(copies_at(swarm, to), 0);
    }
}

static void live(struct swarm *swarm, uint64_t seed, unsigned count)
{
    swarm->seed = seed;
    prng_init(&swarm->prng, seed);
    mirror_stand_open(&swarm->stand, seed, count, NULL);
    swarm->stand.body_piece = 1 + prng_below(&swarm->prng, 20000);
    for (unsigned i = 0; i < STEPS; i++)
        step(swarm);
    settle(swarm);
    bool is_equal = true;
    for (unsigned lab = 1; lab < count; lab++)
        is_equal &= mirror_is_equal(&swarm->stand, 0, lab);
    if (!is_equal)
        printf("  seed %llu: not equal\n", (unsigned long long)seed);
    EXPECT(is_equal);
    expect_same_files(swarm);
    for (unsigned lab = 0; lab < count; lab++)
        mirror_expect_counted(&swarm->stand, lab);
    if (swarm->has_watermarks)
        expect_space_back(swarm);
    mirror_stand_close(&swarm->stand);
}

static void live_many(uint64_t first, uint64_t last, bool has_watermarks, bool crashes)
{
    unsigned deleted = 0, changed = 0, resent = 0, fetched = 0;
    uint64_t dropped = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct swarm *swarm = SIM_NEW(struct swarm);
        swarm->has_watermarks = has_watermarks;
        swarm->crashes = crashes;
        live(swarm, seed, 2 + seed % 2);
        deleted += swarm->deleted;
        changed += swarm->changed;
        resent += swarm->resent;
        dropped += swarm->dropped;
        fetched += swarm->stand.fetches;
        sim_free(swarm);
    }
    EXPECT(deleted > 0 && changed > 0 && resent > 0);
    EXPECT(!has_watermarks || dropped > 0);
    EXPECT(fetched > 0);
}

TEST(storages_that_change_the_same_files_end_equal)
{
    live_many(1, 20, false, false);
}

TEST(they_end_equal_where_deleted_files_may_be_forgotten)
{
    live_many(101, 120, true, false);
}

TEST(they_end_equal_with_crashes)
{
    live_many(201, 220, true, true);
}

/* A file of a chunk that was dropped and made anew is gone, not damaged. */
TEST(they_end_equal_where_a_copy_was_dropped_and_came_again)
{
    live_many(2042, 2042, true, true);
}
