/* Apply: the rules one by one, then interleaved streams of three origins (apply_model.h), then
 * canaries: broken rules that the interleavings must find. */
#include "core/apply.h"
#include "tests/lib/test.h"
#include "tests/unit/core/apply_model.h"

/* ---- the rules, one row each ---- */

#define V(counter_, machine_) ((struct version){counter_, machine_})

static const struct place home_of_one = {
    .birth = 10, .machine = 1, .chunk = 1, .offset = 64, .slot_size = 64, .kind = PLACE_PACKED};
static const struct place target_of_two = {
    .birth = 500, .machine = 2, .chunk = 7, .offset = 128, .slot_size = 256, .kind = PLACE_PACKED};
static const struct place target_of_three = {.birth = 900, .machine = 3, .kind = PLACE_SINGLE};

struct row {
    struct apply_state now;
    struct apply_record record;
    enum apply_verdict verdict;
    uint32_t flags;
};

static struct apply_effects decide(struct apply_state now, struct apply_record record)
{
    struct apply_effects effects;
    record.identity = (struct identity){.clock = 10, .origin = 1};
    record.home = home_of_one;
    apply_decide(&now, &record, &effects);
    return effects;
}

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct apply_effects effects = decide(rows[i].now, rows[i].record);
        if (effects.verdict != rows[i].verdict || effects.flags != rows[i].flags)
            (void)fprintf(stderr, "  row %zu: %s, flags %x\n", i,
                apply_verdict_name(effects.verdict), effects.flags);
        EXPECT_EQ(effects.verdict, rows[i].verdict);
        EXPECT_EQ(effects.flags, rows[i].flags);
    }
}

TEST(the_newest_whole_content_wins)
{
    static const struct row rows[] = {
        {{.self = 2}, {.kind = APPLY_UPLOAD, .version = {1, 1}}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_EVICT_HOME},
        {{.self = 2}, {.kind = APPLY_REPLACE, .version = {4, 3}}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_EVICT_HOME},
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 1}},
            {.kind = APPLY_REPLACE, .version = {2, 3}}, APPLY_APPLIED, APPLY_WRITE_WHOLE},
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 3}},
            {.kind = APPLY_REPLACE, .version = {2, 1}}, APPLY_SUPERSEDED, 0},
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 3}},
            {.kind = APPLY_UPLOAD, .version = {1, 1}}, APPLY_SUPERSEDED, 0},
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 3}},
            {.kind = APPLY_REPLACE, .version = {2, 3}}, APPLY_DUPLICATE, 0},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

TEST(a_partial_modify_applies_on_its_base_only)
{
    static const struct row rows[] = {
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 1}},
            {.kind = APPLY_WRITE, .version = {3, 1}, .base = {2, 1}}, APPLY_APPLIED,
            APPLY_WRITE_PART},
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 3}},
            {.kind = APPLY_APPEND, .version = {3, 1}, .base = {2, 1}}, APPLY_STALE,
            APPLY_MARK_STALE},
        {{.self = 2, .life = APPLY_LIVE, .version = {3, 3}},
            {.kind = APPLY_TRUNCATE, .version = {3, 1}, .base = {2, 1}}, APPLY_SUPERSEDED, 0},
        {{.self = 2}, {.kind = APPLY_WRITE, .version = {3, 1}, .base = {2, 1}}, APPLY_STALE,
            APPLY_MARK_STALE | APPLY_EVICT_HOME},
        {{.self = 2, .life = APPLY_LIVE, .version = {3, 1}},
            {.kind = APPLY_WRITE, .version = {3, 1}, .base = {2, 1}}, APPLY_DUPLICATE, 0},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

TEST(a_partial_modify_for_another_place_makes_the_file_stale)
{
    struct apply_effects effects =
        decide((struct apply_state){.self = 3, .life = APPLY_LIVE, .version = V(2, 2)},
            (struct apply_record){
                .kind = APPLY_WRITE, .version = V(3, 2), .base = V(2, 2), .target = target_of_two});
    EXPECT_EQ(effects.verdict, APPLY_STALE);
    EXPECT(version_equals(effects.wants, V(3, 2)));
}

TEST(a_stale_file_takes_what_it_wants_or_newer_and_nothing_older)
{
    static const struct apply_state stale = {
        .self = 2, .life = APPLY_LIVE, .version = {2, 1}, .wants = {5, 3}};
    const struct row rows[] = {
        {stale, {.kind = APPLY_FULL, .version = {5, 3}}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_CLEAR_STALE},
        {stale, {.kind = APPLY_REPLACE, .version = {6, 1}}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_CLEAR_STALE},
        {stale, {.kind = APPLY_REPLACE, .version = {5, 1}}, APPLY_SUPERSEDED, 0},
        {stale, {.kind = APPLY_WRITE, .version = {3, 1}, .base = {2, 1}}, APPLY_SUPERSEDED, 0},
        {stale, {.kind = APPLY_WRITE, .version = {6, 3}, .base = {5, 3}}, APPLY_STALE,
            APPLY_MARK_STALE},
        {stale, {.kind = APPLY_FULL, .version = {2, 1}}, APPLY_SUPERSEDED, 0},
        {stale, {.kind = APPLY_WRITE, .version = {5, 3}, .base = {4, 3}}, APPLY_STALE, 0},
        {stale, {.kind = APPLY_DELETE, .version = {3, 1}}, APPLY_APPLIED,
            APPLY_MARK_DELETED | APPLY_DROP_CONTENT},
    };
    expect_rows(rows, ARRAY_LEN(rows));
    EXPECT(version_equals(decide(stale, rows[4].record).wants, V(6, 3)));
}

TEST(a_base_that_is_held_satisfies_a_stale_file_too)
{
    const struct row rows[] = {
        {{.self = 2, .life = APPLY_LIVE, .version = {2, 1}, .wants = {2, 2}},
            {.kind = APPLY_WRITE, .version = {3, 1}, .base = {2, 1}}, APPLY_APPLIED,
            APPLY_WRITE_PART | APPLY_CLEAR_STALE},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

TEST(a_delete_beats_every_version_and_is_final)
{
    static const struct row rows[] = {
        {{.self = 2, .life = APPLY_LIVE, .version = {9, 3}},
            {.kind = APPLY_DELETE, .version = {2, 1}}, APPLY_APPLIED,
            APPLY_MARK_DELETED | APPLY_DROP_CONTENT},
        {{.self = 2}, {.kind = APPLY_DELETE, .version = {2, 1}}, APPLY_APPLIED,
            APPLY_MARK_DELETED | APPLY_DROP_CONTENT | APPLY_EVICT_HOME},
        {{.self = 2, .life = APPLY_DELETED}, {.kind = APPLY_DELETE, .version = {7, 1}},
            APPLY_DUPLICATE, 0},
        {{.self = 2, .life = APPLY_DELETED}, {.kind = APPLY_REPLACE, .version = {99, 3}},
            APPLY_FINAL, 0},
        {{.self = 2, .life = APPLY_DELETED}, {.kind = APPLY_UPLOAD, .version = {1, 1}}, APPLY_FINAL,
            0},
        {{.self = 2, .life = APPLY_DELETED}, {.kind = APPLY_FULL, .version = {99, 3}}, APPLY_FINAL,
            0},
        {{.self = 2, .life = APPLY_DELETED},
            {.kind = APPLY_WRITE, .version = {99, 3}, .base = {98, 3}}, APPLY_FINAL, 0},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

TEST(only_the_allocator_frees)
{
    const struct apply_record delete = {.kind = APPLY_DELETE, .version = V(3, 3)};
    const uint32_t gone = APPLY_MARK_DELETED | APPLY_DROP_CONTENT | APPLY_CLEAR_FORWARD;
    for (uint32_t self = 1; self <= 3; self++) {
        struct apply_state now = {
            .self = self, .life = APPLY_LIVE, .version = V(2, 2), .target = target_of_two};
        struct apply_effects effects = decide(now, delete);
        uint32_t frees = self == 1 ? APPLY_FREE_HOME : self == 2 ? APPLY_FREE_TARGET : 0;
        EXPECT_EQ(effects.flags, gone | frees);
        EXPECT(self != 2 || apply_place_equals(&effects.freed, &target_of_two));
    }
}

TEST(an_outgrown_content_moves_and_the_losing_target_is_freed)
{
    struct apply_state at_home = {.self = 2, .life = APPLY_LIVE, .version = V(1, 1)};
    struct apply_state at_two = {
        .self = 2, .life = APPLY_LIVE, .version = V(2, 2), .target = target_of_two};
    const struct row rows[] = {
        {at_home, {.kind = APPLY_REPLACE, .version = {2, 2}, .target = target_of_two},
            APPLY_APPLIED, APPLY_WRITE_WHOLE | APPLY_SET_FORWARD | APPLY_EVICT_TARGET},
        {at_two, {.kind = APPLY_REPLACE, .version = {3, 3}, .target = target_of_three},
            APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_SET_FORWARD | APPLY_EVICT_TARGET | APPLY_FREE_TARGET},
        {at_two, {.kind = APPLY_REPLACE, .version = {3, 1}}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE | APPLY_CLEAR_FORWARD | APPLY_FREE_TARGET},
        {at_two, {.kind = APPLY_REPLACE, .version = {3, 2}, .target = target_of_two}, APPLY_APPLIED,
            APPLY_WRITE_WHOLE},
        {at_two, {.kind = APPLY_WRITE, .version = {3, 2}, .base = {2, 2}, .target = target_of_two},
            APPLY_APPLIED, APPLY_WRITE_PART},
        {at_two, {.kind = APPLY_REPLACE, .version = {2, 1}, .target = target_of_three},
            APPLY_SUPERSEDED, 0},
    };
    expect_rows(rows, ARRAY_LEN(rows));
    EXPECT(apply_place_equals(&(struct place){0}, &(struct place){0}));
    struct apply_effects freed = decide(rows[1].now, rows[1].record);
    EXPECT(apply_place_equals(&freed.freed, &target_of_two));
}

TEST(a_target_that_was_given_to_a_younger_content_is_not_written)
{
    struct apply_effects effects = decide(
        (struct apply_state){
            .self = 3, .life = APPLY_LIVE, .version = V(1, 1), .target_tenant_birth = 501},
        (struct apply_record){.kind = APPLY_FULL, .version = V(2, 2), .target = target_of_two});
    EXPECT_EQ(effects.flags, APPLY_MARK_STALE);
    EXPECT(version_compare(effects.wants, V(2, 2)) > 0);
    EXPECT(version_compare(effects.wants, V(2, 4)) < 0);
}

TEST(a_record_for_an_earlier_tenant_is_late)
{
    for (unsigned kind = 0; kind < APPLY_KIND_COUNT; kind++) {
        struct apply_record record = {.kind = (enum apply_kind)kind, .version = V(50, 3)};
        struct apply_state younger = {.self = 2, .home_tenant_birth = 11};
        struct apply_state older = {.self = 2, .home_tenant_birth = 9};
        EXPECT_EQ(decide(younger, record).verdict, APPLY_LATE);
        EXPECT_EQ(decide(younger, record).flags, 0);
        EXPECT(decide(older, record).flags & APPLY_EVICT_HOME);
    }
}

TEST(an_unknown_identity_below_the_watermark_was_deleted)
{
    for (unsigned kind = 0; kind < APPLY_KIND_COUNT; kind++) {
        struct apply_record record = {.kind = (enum apply_kind)kind, .version = V(50, 3)};
        struct apply_state covered = {.self = 2, .complete_clock = 10};
        struct apply_state open = {.self = 2, .complete_clock = 9};
        EXPECT_EQ(decide(covered, record).verdict, APPLY_FINAL);
        EXPECT(decide(open, record).flags & APPLY_EVICT_HOME);
    }
}

TEST(a_tenant_whose_home_is_taken_is_gone)
{
    struct apply_state tenant = {
        .self = 2, .life = APPLY_LIVE, .version = V(2, 2), .target = target_of_two};
    struct apply_effects effects;
    apply_evict(&tenant, &home_of_one, true, &effects);
    EXPECT_EQ(effects.flags,
        APPLY_MARK_DELETED | APPLY_DROP_CONTENT | APPLY_CLEAR_FORWARD | APPLY_FREE_TARGET);
    EXPECT(apply_place_equals(&effects.freed, &target_of_two));
    apply_advance(&tenant, NULL, &effects, &tenant);
    EXPECT_EQ(tenant.life, APPLY_DELETED);
    EXPECT_EQ(tenant.target.kind, PLACE_NONE);
}

TEST(a_tenant_whose_target_is_taken_is_stale_and_wants_something_newer)
{
    struct apply_state tenant = {
        .self = 3, .life = APPLY_LIVE, .version = V(2, 2), .target = target_of_two};
    struct apply_effects effects;
    apply_evict(&tenant, &home_of_one, false, &effects);
    EXPECT_EQ(effects.flags, APPLY_MARK_STALE | APPLY_DROP_CONTENT | APPLY_CLEAR_FORWARD);
    apply_advance(&tenant, NULL, &effects, &tenant);
    EXPECT(version_is_none(tenant.version));
    EXPECT_EQ(decide(tenant, (struct apply_record){.kind = APPLY_FULL, .version = V(2, 2)}).verdict,
        APPLY_SUPERSEDED);
    EXPECT_EQ(decide(tenant, (struct apply_record){.kind = APPLY_FULL, .version = V(2, 3)}).verdict,
        APPLY_APPLIED);
}

TEST(a_stale_tenant_that_is_evicted_keeps_the_higher_wish)
{
    struct apply_state tenant = {.self = 3,
        .life = APPLY_LIVE,
        .version = V(2, 2),
        .wants = V(7, 1),
        .target = target_of_two};
    struct apply_effects effects;
    apply_evict(&tenant, &home_of_one, false, &effects);
    EXPECT(version_equals(effects.wants, V(7, 1)));
}

TEST(the_next_version_is_above_what_is_held_and_what_is_wanted)
{
    struct apply_state now = {.self = 4, .version = V(3, 9), .wants = V(5, 1)};
    EXPECT(version_equals(apply_version_next(&now), V(6, 4)));
    now.wants = V(0, 0);
    EXPECT(version_equals(apply_version_next(&now), V(4, 4)));
}

TEST(parts_are_written_in_place_only_at_home_or_in_a_target_of_ones_own)
{
    struct apply_state now = {.self = 2, .life = APPLY_LIVE, .version = V(2, 2)};
    EXPECT(apply_may_write_part(&now));
    now.target = target_of_two;
    EXPECT(apply_may_write_part(&now));
    now.self = 3;
    EXPECT(!apply_may_write_part(&now));
    now.self = 2;
    now.wants = V(3, 3);
    EXPECT(!apply_may_write_part(&now));
    now.wants = V(0, 0);
    now.version = V(0, 0);
    EXPECT(!apply_may_write_part(&now));
    now.version = V(2, 2);
    now.life = APPLY_DELETED;
    EXPECT(!apply_may_write_part(&now));
}

TEST(places_overlap_by_a_common_byte_or_as_the_same_single_file)
{
    struct place a = home_of_one, b = home_of_one;
    EXPECT(apply_place_overlaps(&a, &b));
    b.offset = 128;
    EXPECT(!apply_place_overlaps(&a, &b) && !apply_place_overlaps(&b, &a));
    b.offset = 127;
    EXPECT(apply_place_overlaps(&a, &b) && apply_place_overlaps(&b, &a));
    b.chunk = 2;
    EXPECT(!apply_place_overlaps(&a, &b));
    a = b = (struct place){.offset = UINT32_MAX - 1, .slot_size = UINT32_MAX, .kind = PLACE_PACKED};
    b.offset = 0;
    b.slot_size = 64;
    EXPECT(!apply_place_overlaps(&a, &b)); /* ends beyond 4 GiB do not wrap */
    a = b = target_of_three;
    EXPECT(apply_place_overlaps(&a, &b));
    b.birth++;
    EXPECT(!apply_place_overlaps(&a, &b) && !apply_place_equals(&a, &b));
    a = b = (struct place){0};
    EXPECT(!apply_place_overlaps(&a, &b) && apply_place_equals(&a, &b));
}

TEST(a_record_of_the_log_names_its_target_only_if_the_content_lies_there)
{
    struct record record = {.kind = RECORD_APPEND,
        .identity = {.clock = 10, .origin = 1},
        .version = {3, 2},
        .base = {2, 1},
        .home = home_of_one,
        .target = target_of_two};
    struct apply_record ret;
    apply_record_from(&record, &ret);
    EXPECT_EQ(ret.kind, APPLY_APPEND);
    EXPECT_EQ(ret.target.kind, PLACE_NONE);
    EXPECT(version_equals(ret.version, V(3, 2)) && version_equals(ret.base, V(2, 1)));
    EXPECT(identity_equals(&ret.identity, &record.identity));
    EXPECT(apply_place_equals(&ret.home, &home_of_one));
    record.flags = RECORD_AT_TARGET;
    static const enum apply_kind kinds[] = {
        APPLY_UPLOAD, APPLY_REPLACE, APPLY_WRITE, APPLY_APPEND, APPLY_TRUNCATE, APPLY_DELETE};
    for (uint8_t kind = RECORD_UPLOAD; kind <= RECORD_DELETE; kind++) {
        record.kind = kind;
        apply_record_from(&record, &ret);
        EXPECT_EQ(ret.kind, kinds[kind - RECORD_UPLOAD]);
        EXPECT(apply_place_equals(&ret.target, &target_of_two));
    }
}

/* ---- interleaved streams ---- */

static const char *random_step(struct model_world *world, bool with_faults)
{
    unsigned machine = (unsigned)prng_below(&world->random, MODEL_MACHINES);
    struct model_copy *copy = &world->copies[machine];
    unsigned choice = (unsigned)prng_below(&world->random, with_faults ? 20 : 14);
    bool is_fetched;
    if (choice < 6)
        return model_change(world, machine);
    if (choice < 14)
        return model_deliver(world, copy, (unsigned)prng_below(&world->random, MODEL_MACHINES));
    if (choice < 16)
        return model_fetch(world, copy, &is_fetched);
    if (choice < 18)
        return model_crash(world, copy);
    if (choice < 19)
        return model_deliver_again(world, copy);
    model_forget(world, copy);
    return NULL;
}

static const char *random_history(struct model_world *world, unsigned steps, bool with_faults)
{
    const char *wrong = NULL;
    for (unsigned i = 0; !wrong && i < steps; i++)
        wrong = random_step(world, with_faults);
    if (!wrong)
        wrong = model_settle(world);
    return wrong ? wrong : model_check_settled(world);
}

/* Many histories; the first that goes wrong is named by its seed. */
static const char *random_histories(struct model_world *world, model_decide_fn *decide_fn,
    bool writes_foreign_targets, uint64_t seeds, uint64_t *ret_seed)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        model_open(world, decide_fn, seed);
        world->writes_foreign_targets = writes_foreign_targets;
        const char *wrong = random_history(world, 20 + (unsigned)(seed % 100), true);
        if (wrong) {
            *ret_seed = seed;
            return wrong;
        }
    }
    return NULL;
}

TEST(copies_end_equal_after_any_random_history_with_fetches_crashes_and_resends)
{
    struct model_world *world = malloc(sizeof *world);
    uint64_t seed = 0;
    const char *wrong = random_histories(world, apply_decide, false, 40000, &seed);
    if (wrong)
        (void)fprintf(stderr, "  seed %llu: %s\n", (unsigned long long)seed, wrong);
    free(world);
    EXPECT(wrong == NULL);
}

/* An observer applies the three streams of a settled world in every order; at each step it may
 * crash, and it may fetch early. */
struct walk {
    struct model_world *world;
    uint64_t leaves;
    const char *wrong;
};

static void walk_end(struct walk *walk, struct model_copy *copy)
{
    bool is_fetched = true;
    for (unsigned i = 0; is_fetched && !walk->wrong && i < 32; i++)
        walk->wrong = model_fetch(walk->world, copy, &is_fetched);
    if (!walk->wrong)
        walk->wrong = model_check_copy(walk->world, copy);
    walk->leaves++;
}

static void walk_from(struct walk *walk, const struct model_copy *copy)
{
    bool is_end = true;
    for (unsigned from = 0; from < MODEL_MACHINES && !walk->wrong; from++) {
        if (copy->at[from] == walk->world->streams[from].count)
            continue;
        is_end = false;
        struct model_copy next = *copy;
        bool is_fetched;
        walk->wrong = model_deliver(walk->world, &next, from);
        if (!walk->wrong && prng_below(&walk->world->random, 8) == 0)
            walk->wrong = model_fetch(walk->world, &next, &is_fetched);
        if (!walk->wrong && prng_below(&walk->world->random, 8) == 0)
            walk->wrong = model_crash(walk->world, &next);
        if (!walk->wrong)
            walk_from(walk, &next);
    }
    if (is_end && !walk->wrong) {
        struct model_copy last = *copy;
        walk_end(walk, &last);
    }
}

static bool small_history(struct model_world *world, model_decide_fn *decide_fn, uint64_t seed)
{
    model_open(world, decide_fn, seed);
    for (unsigned i = 0; i < 24; i++) {
        bool is_full = true;
        for (unsigned m = 0; m < MODEL_MACHINES; m++)
            is_full = is_full && world->streams[m].count >= 3;
        unsigned m = (unsigned)prng_below(&world->random, MODEL_MACHINES);
        const char *wrong = is_full || world->streams[m].count >= 4
                                ? model_deliver(world, &world->copies[m], (m + 1) % MODEL_MACHINES)
                                : random_step(world, false);
        if (wrong)
            return false;
    }
    return model_settle(world) == NULL && model_check_settled(world) == NULL;
}

TEST(every_order_of_small_streams_leads_to_the_same_copy)
{
    enum { HISTORIES = 250, TOGETHER_MAX = 10 };
    struct model_world *world = malloc(sizeof *world);
    struct walk walk = {.world = world};
    unsigned walked = 0;
    uint64_t seed = 0;
    while (walked < HISTORIES && !walk.wrong) {
        bool is_settled = small_history(world, apply_decide, ++seed);
        walk.wrong = is_settled ? NULL : "the world itself did not settle";
        int together = 0;
        for (unsigned m = 0; m < MODEL_MACHINES; m++)
            together += world->streams[m].count;
        if (walk.wrong || together < 7 || together > TOGETHER_MAX)
            continue;
        struct model_copy observer = {.self = MODEL_MACHINES + 1, .has_journal = true};
        walk_from(&walk, &observer);
        walked++;
    }
    if (walk.wrong)
        (void)fprintf(stderr, "  seed %llu: %s\n", (unsigned long long)seed, walk.wrong);
    (void)fprintf(
        stderr, "  %llu interleavings of %u histories\n", (unsigned long long)walk.leaves, walked);
    free(world);
    EXPECT(walk.wrong == NULL);
    EXPECT(walk.leaves > 100000);
}

/* ---- canaries: each breaks one rule, and the histories must find it ---- */

static void delete_as_ordinary_version(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    if (record->kind == APPLY_DELETE && version_compare(record->version, now->version) < 0)
        *ret = (struct apply_effects){.verdict = APPLY_SUPERSEDED};
}

static void deleted_may_return(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_state forgetful = *now;
    if (now->life == APPLY_DELETED)
        forgetful.life = APPLY_ABSENT;
    apply_decide(&forgetful, record, ret);
}

static void arrival_wins(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_state blind = *now;
    if (version_compare(record->version, now->version) < 0)
        blind.version = (struct version){0};
    apply_decide(&blind, record, ret);
}

static void parts_on_any_base(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_record loose = *record;
    loose.base = now->version;
    apply_decide(now, &loose, ret);
}

static void parts_without_base_are_dropped(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    if (ret->verdict == APPLY_STALE)
        *ret = (struct apply_effects){.verdict = APPLY_SUPERSEDED};
}

static void earlier_tenants_are_welcome(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_state blind = *now;
    blind.home_tenant_birth = 0;
    apply_decide(&blind, record, ret);
}

static void taken_targets_are_written(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_state blind = *now;
    blind.target_tenant_birth = 0;
    apply_decide(&blind, record, ret);
}

static void nothing_is_evicted(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    ret->flags &= ~(uint32_t)APPLY_EVICT_TARGET;
}

static void watermark_is_ignored(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    struct apply_state blind = *now;
    blind.complete_clock = 0;
    apply_decide(&blind, record, ret);
}

static void anybody_frees(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    if (ret->flags & APPLY_CLEAR_FORWARD) {
        ret->flags |= APPLY_FREE_TARGET;
        ret->freed = now->target;
    }
}

static void losing_targets_are_kept(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    ret->flags &= ~(uint32_t)APPLY_FREE_TARGET;
}

static void stale_stays_stale(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    apply_decide(now, record, ret);
    ret->flags &= ~(uint32_t)APPLY_CLEAR_STALE;
}

TEST(every_broken_rule_is_found)
{
    static const struct {
        const char *name;
        model_decide_fn *decide;
        bool writes_foreign_targets;
    } canaries[] = {
        {"delete_as_ordinary_version", delete_as_ordinary_version, false},
        {"deleted_may_return", deleted_may_return, false},
        {"arrival_wins", arrival_wins, false},
        {"parts_on_any_base", parts_on_any_base, false},
        {"parts_without_base_are_dropped", parts_without_base_are_dropped, false},
        {"earlier_tenants_are_welcome", earlier_tenants_are_welcome, false},
        {"taken_targets_are_written", taken_targets_are_written, false},
        {"nothing_is_evicted", nothing_is_evicted, false},
        {"watermark_is_ignored", watermark_is_ignored, false},
        {"anybody_frees", anybody_frees, false},
        {"losing_targets_are_kept", losing_targets_are_kept, false},
        {"stale_stays_stale", stale_stays_stale, false},
        {"foreign targets are written in place", apply_decide, true},
    };
    struct model_world *world = malloc(sizeof *world);
    unsigned found = 0;
    for (size_t i = 0; i < ARRAY_LEN(canaries); i++) {
        uint64_t seed = 0;
        const char *wrong = random_histories(
            world, canaries[i].decide, canaries[i].writes_foreign_targets, 40000, &seed);
        (void)fprintf(stderr, "  %s: seed %llu: %s\n", canaries[i].name, (unsigned long long)seed,
            wrong ? wrong : "NOT FOUND");
        found += wrong != NULL;
    }
    free(world);
    EXPECT_EQ(found, ARRAY_LEN(canaries));
}
