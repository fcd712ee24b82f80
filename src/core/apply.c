#include "core/apply.h"

const char *apply_verdict_name(enum apply_verdict verdict)
{
    static const char *const names[APPLY_VERDICT_COUNT] = {
        "applied", "stale", "duplicate", "superseded", "final", "late"};
    CHECK(verdict < APPLY_VERDICT_COUNT);
    return names[verdict];
}

static bool place_is_none(const struct place *place)
{
    return place->kind == PLACE_NONE;
}

static bool place_shares_container(const struct place *a, const struct place *b)
{
    return a->kind == b->kind && a->machine == b->machine && a->mount == b->mount
           && a->stream == b->stream && a->chunk == b->chunk;
}

bool apply_place_equals(const struct place *a, const struct place *b)
{
    if (place_is_none(a) || place_is_none(b))
        return a->kind == b->kind;
    return place_shares_container(a, b) && a->birth == b->birth && a->offset == b->offset
           && a->slot_size == b->slot_size;
}

bool apply_place_overlaps(const struct place *a, const struct place *b)
{
    if (place_is_none(a) || !place_shares_container(a, b))
        return false;
    if (a->kind == PLACE_SINGLE)
        return a->birth == b->birth;
    uint64_t a_end = (uint64_t)a->offset + a->slot_size;
    uint64_t b_end = (uint64_t)b->offset + b->slot_size;
    return a->offset < b_end && b->offset < a_end;
}

/* The smallest version that is newer than `version`. */
static struct version version_above(struct version version)
{
    if (version.machine == UINT32_MAX)
        return (struct version){version.counter + 1, 0};
    return (struct version){version.counter, version.machine + 1};
}

static struct version version_newest(struct version a, struct version b)
{
    return version_compare(a, b) < 0 ? b : a;
}

static bool is_whole(enum apply_kind kind)
{
    return kind == APPLY_UPLOAD || kind == APPLY_REPLACE || kind == APPLY_FULL;
}

/* A file that this storage did not know gets its home entry: the extent is its own from now on. */
static uint32_t evict_home_if_absent(const struct apply_state *now)
{
    return now->life == APPLY_ABSENT ? APPLY_EVICT_HOME : 0;
}

static void free_held_target(const struct apply_state *now, struct apply_effects *ret)
{
    if (place_is_none(&now->target) || now->target.machine != now->self)
        return;
    ret->flags |= APPLY_FREE_TARGET;
    ret->freed = now->target;
}

static void decide_delete(
    const struct apply_state *now, const struct place *home, struct apply_effects *ret)
{
    ret->verdict = APPLY_APPLIED;
    ret->flags = APPLY_MARK_DELETED | APPLY_DROP_CONTENT | evict_home_if_absent(now);
    if (!place_is_none(&now->target))
        ret->flags |= APPLY_CLEAR_FORWARD;
    if (home->machine == now->self)
        ret->flags |= APPLY_FREE_HOME;
    free_held_target(now, ret);
}

static void decide_stale(
    const struct apply_state *now, struct version wants, struct apply_effects *ret)
{
    ret->verdict = APPLY_STALE;
    ret->wants = version_newest(now->wants, wants);
    if (!version_equals(ret->wants, now->wants))
        ret->flags = APPLY_MARK_STALE | evict_home_if_absent(now);
}

static void decide_whole(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    const struct place *target = &record->target;
    if (!place_is_none(target) && now->target_tenant_birth > target->birth) {
        decide_stale(now, version_above(record->version), ret);
        return;
    }
    ret->verdict = APPLY_APPLIED;
    ret->flags = APPLY_WRITE_WHOLE | evict_home_if_absent(now);
    if (!version_is_none(now->wants))
        ret->flags |= APPLY_CLEAR_STALE;
    if (apply_place_equals(target, &now->target))
        return;
    ret->flags |=
        place_is_none(target) ? APPLY_CLEAR_FORWARD : APPLY_SET_FORWARD | APPLY_EVICT_TARGET;
    free_held_target(now, ret);
}

static void decide_part(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    bool holds_base = now->life == APPLY_LIVE && !version_is_none(now->version)
                      && version_equals(now->version, record->base)
                      && apply_place_equals(&now->target, &record->target);
    if (!holds_base) {
        decide_stale(now, record->version, ret);
        return;
    }
    ret->verdict = APPLY_APPLIED;
    ret->flags = APPLY_WRITE_PART;
    if (!version_is_none(now->wants))
        ret->flags |= APPLY_CLEAR_STALE;
}

void apply_record_from(const struct record *record, struct apply_record *ret)
{
    static const enum apply_kind kinds[RECORD_KIND_COUNT] = {
        [RECORD_UPLOAD] = APPLY_UPLOAD,
        [RECORD_REPLACE] = APPLY_REPLACE,
        [RECORD_WRITE] = APPLY_WRITE,
        [RECORD_APPEND] = APPLY_APPEND,
        [RECORD_TRUNCATE] = APPLY_TRUNCATE,
        [RECORD_DELETE] = APPLY_DELETE,
    };
    CHECK(record->kind >= RECORD_UPLOAD && record->kind <= RECORD_DELETE);
    *ret = (struct apply_record){.kind = kinds[record->kind],
        .identity = record->identity,
        .version = record->version,
        .base = record->base,
        .home = record->home};
    if (record->flags & RECORD_AT_TARGET)
        ret->target = record->target;
}

void apply_decide(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret)
{
    *ret = (struct apply_effects){0};
    bool is_delete = record->kind == APPLY_DELETE;
    if (now->home_tenant_birth > record->identity.clock)
        ret->verdict = APPLY_LATE;
    else if (now->life == APPLY_ABSENT && record->identity.clock <= now->complete_clock)
        ret->verdict = APPLY_FINAL;
    else if (now->life == APPLY_DELETED)
        ret->verdict = is_delete ? APPLY_DUPLICATE : APPLY_FINAL;
    else if (is_delete)
        decide_delete(now, &record->home, ret);
    else if (version_compare(record->version, version_newest(now->version, now->wants)) < 0)
        ret->verdict = APPLY_SUPERSEDED;
    else if (version_equals(record->version, now->version))
        ret->verdict = APPLY_DUPLICATE;
    else if (is_whole(record->kind))
        decide_whole(now, record, ret);
    else
        decide_part(now, record, ret);
}

void apply_evict(const struct apply_state *tenant, const struct place *home, bool taken_is_home,
    struct apply_effects *ret)
{
    CHECK(tenant->life == APPLY_LIVE);
    *ret = (struct apply_effects){0};
    if (taken_is_home) {
        decide_delete(tenant, home, ret);
        return;
    }
    decide_stale(tenant, version_above(tenant->version), ret);
    ret->flags |= APPLY_DROP_CONTENT | APPLY_CLEAR_FORWARD;
}

void apply_advance(const struct apply_state *now, const struct apply_record *record,
    const struct apply_effects *effects, struct apply_state *ret)
{
    uint32_t flags = effects->flags;
    *ret = *now;
    if (flags != 0)
        ret->life = flags & APPLY_MARK_DELETED ? APPLY_DELETED : APPLY_LIVE;
    if (flags & (APPLY_WRITE_WHOLE | APPLY_WRITE_PART))
        ret->version = record->version;
    if (flags & APPLY_DROP_CONTENT)
        ret->version = (struct version){0};
    if (flags & APPLY_MARK_STALE)
        ret->wants = effects->wants;
    if (flags & (APPLY_CLEAR_STALE | APPLY_MARK_DELETED))
        ret->wants = (struct version){0};
    if (flags & APPLY_SET_FORWARD)
        ret->target = record->target;
    if (flags & APPLY_CLEAR_FORWARD)
        ret->target = (struct place){0};
    if (flags & APPLY_EVICT_HOME)
        ret->home_tenant_birth = 0;
    if (flags & APPLY_EVICT_TARGET)
        ret->target_tenant_birth = 0;
}

struct version apply_version_next(const struct apply_state *now)
{
    struct version newest = version_newest(now->version, now->wants);
    return (struct version){newest.counter + 1, now->self};
}

bool apply_may_write_part(const struct apply_state *now)
{
    return now->life == APPLY_LIVE && !version_is_none(now->version) && version_is_none(now->wants)
           && (place_is_none(&now->target) || now->target.machine == now->self);
}
