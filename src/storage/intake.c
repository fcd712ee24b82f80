/* One record of another storage into this one.
 *
 *   BUFFER -> LOCK -> ENTER -> LOOK -> [HOME_SEEN -> CONTENT_SEEN | HOME_SCANNED]
 *          -> TARGET_LOOK -> [TARGET_SCANNED] -> DECIDE -> [TENANTS ...] -> way -> APPEND -> COMMITTED
 *          -> APPLIED -> NAMED -> UNWIND -> ABANDONED -> DONE
 *              ^
 *   stale: FETCH (the lock is given back) -> FETCHED -> LOCK: decided again with what was fetched
 *
 * ENTER: intakes of other files into the same bytes of a chunk follow each other as they came.
 * TENANTS: live files whose slots are older than what is placed there now. They are deleted by intakes
 * of their own; the content of a file that lives elsewhere is fetched anew instead.
 *
 *   way        what                                                            see
 *   SLOT       HOLD chunk files -> [GATHER] -> [WRITE, sync: referenced]       intake_slot.c
 *   SINGLE     MAKE -> POUR ... -> FINISH                                      intake_single.c
 *   CHANGE     CHANGE -> POUR ... -> CHANGE_READY                              intake_single.c
 *   DELETE     a tombstone at home, or unlinked
 *   TOMBSTONE  the same for a file that is not here: what comes late finds it */
#include "storage/append.h"
#include "storage/intake_parts.h"

/* ---- buffer and lock ---- */

static int intake_buffer(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct store_config *config = &intake->store->config;
    err_t err = intake_check(
        &intake->entry, config->machine, config->chunk_size, intake->content != NULL, &intake->why);
    if (err_is(err))
        return machine_fail(machine, err);
    intake->why = NULL;
    bool needs_buffer = intake->content || intake_place(intake)->kind == PLACE_SINGLE;
    if (intake_is_delete(intake) || !needs_buffer)
        return INTAKE_LOCK;
    if (!intake->buffer.pool
        && !buffer_claim(&intake->buffer, &intake->store->modify_buffers, machine))
        return machine_wait_in(machine, INTAKE_BUFFER, 1);
    return intake->buffer.data ? INTAKE_LOCK : machine_fail(machine, ERR(BUSY, 0));
}

/* Whoever deletes a tenant holds the lock of the younger one: it does not wait for another. */
static int intake_lock(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    struct source_key source = intake_home_source(&intake->entry.record);
    struct stream_place place = store_route(intake->store, &source);
    err_t err = store_stream_at(intake->store, &place, &intake->stream);
    if (err_is(err)) {
        intake->stream = NULL;
        return machine_fail(machine, err);
    }
    if (file_lock(&intake->stream->locks, &intake->lock, &intake->entry.record.identity, machine))
        return INTAKE_ENTER;
    if (!intake->parent)
        return machine_wait_in(machine, INTAKE_ENTER, 1);
    file_unlock(&intake->stream->locks, &intake->lock);
    return machine_fail(machine, ERR(BUSY, 0));
}

/* ---- one after the other into the same bytes ---- */

static bool writes_where(const struct record *record, const struct place *place)
{
    return apply_place_overlaps(&record->home, place)
           || (record->flags & RECORD_AT_TARGET && apply_place_overlaps(&record->target, place));
}

static bool meets(const struct record *a, const struct record *b)
{
    if (identity_equals(&a->identity, &b->identity))
        return false;
    bool meets_packed = a->home.kind == PLACE_PACKED && writes_where(b, &a->home);
    bool meets_target = a->flags & RECORD_AT_TARGET && a->target.kind == PLACE_PACKED
                        && writes_where(b, &a->target);
    return meets_packed || meets_target;
}

static bool must_wait(const struct intake *intake)
{
    LIST_EACH (node, &intake->store->intakes) {
        const struct intake *other = CONTAINER_OF(node, struct intake, link);
        if (other == intake)
            return false;
        if (meets(&intake->entry.record, &other->entry.record))
            return true;
    }
    return false;
}

static int intake_enter(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (intake->parent)
        return INTAKE_LOOK;
    if (!list_is_linked(&intake->link))
        list_push_back(&intake->store->intakes, &intake->link);
    intake->is_blocked = must_wait(intake);
    return intake->is_blocked ? machine_wait_in(machine, INTAKE_ENTER, 1) : INTAKE_LOOK;
}

static void leave(struct intake *intake)
{
    if (list_is_linked(&intake->link)) {
        list_remove(&intake->link);
        LIST_EACH (node, &intake->store->intakes) {
            struct intake *other = CONTAINER_OF(node, struct intake, link);
            if (!other->is_blocked)
                continue;
            other->is_blocked = false;
            machine_arrive(&other->machine);
        }
    }
    if (intake->stream)
        file_unlock(&intake->stream->locks, &intake->lock);
}

/* ---- the decision ---- */

static enum apply_kind decision_kind(const struct intake *intake)
{
    switch (intake->entry.record.kind) {
    case RECORD_UPLOAD:
        return APPLY_UPLOAD;
    case RECORD_DELETE:
        return APPLY_DELETE;
    case RECORD_FULL:
        return APPLY_FULL;
    default:
        break;
    }
    if (intake_is_whole(intake))
        return APPLY_REPLACE;
    return intake->entry.record.kind == RECORD_WRITE    ? APPLY_WRITE
           : intake->entry.record.kind == RECORD_APPEND ? APPLY_APPEND
                                                        : APPLY_TRUNCATE;
}

static void decide(struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    struct apply_record decided = {.kind = decision_kind(intake),
        .identity = record->identity,
        .version = record->version,
        .base = record->base,
        .home = record->home};
    if (intake_at_target(intake))
        decided.target = record->target;
    apply_decide(&intake->now, &decided, &intake->effects);
    if (intake->is_repair && intake->effects.verdict == APPLY_DUPLICATE)
        intake->effects.verdict = APPLY_APPLIED;
}

/* A change by a third storage of a file that we never saw, in a slot that was used before: what would
 * tell that the file is gone may have been written over. The origin knows. */
static bool is_doubtful(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return intake->has_rest && intake->now.life == APPLY_ABSENT && record->kind != RECORD_FULL
           && record->kind != RECORD_DELETE && record->origin != record->home.machine
           && !intake->was_fetched && intake->store->fetch;
}

/* Another storage can know of a file of ours before our record of it is applied. */
static bool must_look_again(struct intake *intake)
{
    const struct binlog *log = &intake->stream->log;
    bool is_own = intake->entry.record.home.machine == intake->store->config.machine;
    bool is_missing = intake->now.life == APPLY_ABSENT && intake->effects.verdict == APPLY_FINAL;
    if (!is_own || !is_missing || intake->is_settled)
        return false;
    if (intake->witness_lsn == 0)
        intake->witness_lsn = log->lsn_next - 1;
    intake->is_settled = binlog_applied_lsn(log) >= intake->witness_lsn;
    return true;
}

static int intake_decide(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    decide(intake);
    if (must_look_again(intake))
        return INTAKE_LOOK;
    enum apply_verdict verdict = intake->effects.verdict;
    bool is_delete = intake_is_delete(intake);
    if (verdict == APPLY_STALE)
        return intake->was_fetched ? machine_fail(machine, ERR(UNAVAILABLE, 0)) : INTAKE_FETCH;
    if (verdict != APPLY_APPLIED)
        return intake_end(intake, verdict, is_delete || verdict == APPLY_DUPLICATE);
    if (intake->received > 0) /* the content went into what was thrown away: once more */
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    return is_doubtful(intake) ? INTAKE_FETCH : INTAKE_TENANTS;
}

int intake_end(struct intake *intake, enum apply_verdict verdict, bool is_held)
{
    intake->verdict = verdict;
    intake->is_held = is_held;
    return INTAKE_UNWIND;
}

/* That there is such a file must not be missed: whoever has heard of its id and does not have it says that
 * it was deleted. */
int intake_end_cut(struct intake *intake)
{
    bool is_birth = intake->entry.record.kind == RECORD_UPLOAD;
    if (is_birth && intake->now.life == APPLY_ABSENT && !intake->was_fetched) {
        intake->is_cut = true;
        return INTAKE_FETCH;
    }
    return intake_end(intake, APPLY_SUPERSEDED, false);
}

int intake_disagree(struct intake *intake)
{
    if (intake->was_fetched)
        return machine_fail(&intake->machine, ERR(CORRUPT, 0));
    intake->fetch.is_repair = true;
    return INTAKE_FETCH;
}

/* ---- older tenants of the slots that are taken ---- */

static bool must_scan(const struct intake *intake, const struct place *place)
{
    return place->kind == PLACE_PACKED && !intake_is_untouched(intake, place);
}

/* The home first, then the target: `tenants_of` says how far we are. */
enum { TENANTS_OF_HOME, TENANTS_OF_TARGET, TENANTS_OVER };

static int scan_for_tenants(struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    struct machine *machine = &intake->machine;
    if (intake->tenants_of == TENANTS_OF_HOME) {
        intake->tenants_of = TENANTS_OF_TARGET;
        if (intake->now.home_tenant_birth != 0 && must_scan(intake, &record->home)) {
            int wait = machine_wait_in(machine, INTAKE_TENANT, 1);
            slot_scan_tenants(&intake->scan, intake->store, &record->home, record->identity.clock,
                &record->identity, intake->scratch, machine);
            return wait;
        }
    }
    if (intake->tenants_of == TENANTS_OF_TARGET) {
        intake->tenants_of = TENANTS_OVER;
        if (intake->now.target_tenant_birth != 0 && intake_at_target(intake)) {
            int wait = machine_wait_in(machine, INTAKE_TENANT, 1);
            slot_scan_tenants(&intake->scan, intake->store, &record->target, record->target.birth,
                NULL, intake->scratch, machine);
            return wait;
        }
    }
    return intake_begin_way(intake);
}

static int intake_tenants(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    intake->tenants_of = TENANTS_OF_HOME;
    return scan_for_tenants(intake);
}

static int next_tenant(struct intake *intake)
{
    int wait = machine_wait_in(&intake->machine, INTAKE_TENANT, 1);
    slot_scan_next(&intake->scan, &intake->machine);
    return wait;
}

static int intake_tenant(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct slot_scan *scan = &intake->scan;
    if (err_is(scan->err) && !err_has(scan->err, ERR_CODE_NOT_FOUND))
        return machine_fail(machine, scan->err);
    if (err_is(scan->err) || scan->tenant.kind == PLACE_NONE)
        return scan_for_tenants(intake);
    if (identity_equals(&scan->tenant_header.identity, &intake->entry.record.identity))
        return next_tenant(intake); /* an earlier target of the same file: freed by this record */
    bool is_home = !(scan->tenant_header.flags & SLOT_TARGET);
    if (is_home)
        return INTAKE_TENANT_SEEN;
    if (intake->is_tenant_gone
        && identity_equals(&intake->fetch.identity, &scan->tenant_header.identity))
        return INTAKE_TENANT_SEEN;
    if (intake->parent || !intake->store->fetch)
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    /* its content is elsewhere by now, or it is deleted: who has placed us here knows */
    intake->fetch.identity = scan->tenant_header.identity;
    intake->fetch.home = scan->tenant_header.other;
    intake->fetch.from_machine = intake->entry.record.origin;
    intake->fetch.is_repair = false;
    if (++intake->tenants_fetched > INTAKE_TENANTS_MAX)
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    leave(intake); /* a change of that file may hold its lock, and wait for us */
    int wait = machine_wait_in(machine, INTAKE_TENANT_FETCHED, 1);
    intake->store->fetch(&intake->fetch);
    return wait;
}

/* What it was is decided anew: all may be different by now. A tenant that is nowhere is deleted then. */
static int intake_tenant_fetched(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->fetch.err;
    intake->is_tenant_gone = err_has(err, ERR_CODE_NOT_FOUND);
    return err_is(err) && !intake->is_tenant_gone ? machine_fail(machine, err) : INTAKE_LOCK;
}

static void child_done(struct intake *child)
{
    machine_arrive(&child->parent->machine);
}

/* The tenant is deleted by an intake of its own, made up here. */
static int intake_tenant_seen(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct slot_header *header = &intake->scan.tenant_header;
    const struct record *record = &intake->entry.record;
    if (intake->parent)
        return machine_fail(machine, ERR(BUSY, 0));
    struct intake *child = pool_take(&intake->store->evictions, &machine->owner);
    if (!child)
        return machine_fail(machine, ERR(BUSY, 0));
    *child = (struct intake){.parent = intake, .done = child_done};
    child->entry.record = (struct record){.kind = RECORD_DELETE,
        .origin = record->origin,
        .mount = record->mount,
        .stream = record->stream,
        .incarnation = record->incarnation,
        .lsn = record->lsn,
        .identity = header->identity,
        .version = {header->version.counter + 1, record->origin},
        .time_ns = record->time_ns,
        .home = header->flags & SLOT_TARGET ? header->other : intake->scan.tenant};
    intake->child = child;
    int wait = machine_wait_in(machine, INTAKE_TENANT_GONE, 1);
    intake_start(child, intake->store);
    return wait;
}

static int intake_tenant_gone(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->child->err;
    pool_give(&intake->store->evictions, intake->child);
    intake->child = NULL;
    return err_is(err) ? machine_fail(machine, err) : next_tenant(intake);
}

/* ---- the whole file, from another storage ---- */

static int intake_fetch(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->entry.record;
    if (!intake->store->fetch)
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    if (intake->has_change) {
        intake->has_change = false;
        int wait = machine_wait_in(machine, INTAKE_FETCH, 1);
        single_change_abandon(&intake->change, machine);
        return wait;
    }
    if (intake->has_writer) {
        intake->has_writer = false;
        int wait = machine_wait_in(machine, INTAKE_FETCH, 1);
        single_writer_abandon(&intake->writer, machine);
        return wait;
    }
    leave(
        intake); /* what is fetched comes through an intake of its own, which wants a buffer, too */
    buffer_claim_end(&intake->buffer);
    intake->buffer.pool = NULL;
    intake->was_fetched = true;
    intake->fetch.identity = record->identity;
    intake->fetch.home = record->home;
    bool asks_sender =
        intake->is_cut || intake->effects.verdict == APPLY_STALE || intake->fetch.is_repair;
    intake->fetch.from_machine = asks_sender ? record->origin : 0;
    int wait = machine_wait_in(machine, INTAKE_FETCHED, 1);
    intake->store->fetch(&intake->fetch);
    return wait;
}

static void lose_id(struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    struct source_key key = source_key_of(&record->home);
    struct source *source = stream_source_find(intake->stream, &key);
    if (source)
        coverage_lose(&source->coverage, record->identity.clock, record->identity.clock);
}

static int intake_fetched(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->fetch.err;
    if (err_has(err, ERR_CODE_NOT_FOUND)) /* deleted there: whose delete that is will tell us */
        return intake_end_cut(intake);
    if (intake->is_cut && intake->fetch.origin_is_damaged) { /* the others may have it */
        lose_id(intake);
        return intake_end_cut(intake);
    }
    return err_is(err) ? machine_fail(machine, err) : INTAKE_BUFFER;
}

static void fetch_done(struct intake_fetch *fetch)
{
    machine_arrive(&CONTAINER_OF(fetch, struct intake, fetch)->machine);
}

/* ---- the way ---- */

int intake_begin_way(struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    intake->freed = (struct place){0};
    const struct place *old = &intake->now.target;
    bool keeps = intake_at_target(intake) && !intake_is_delete(intake)
                 && (apply_place_equals(old, &record->target)
                     || (old->kind == PLACE_SINGLE && record->target.kind == PLACE_SINGLE)
                     || apply_place_overlaps(old, &record->target));
    if (old->kind != PLACE_NONE && !keeps)
        intake->freed = *old;
    if (intake_is_delete(intake)) {
        bool is_here = intake->now.life == APPLY_LIVE;
        bool stays = store_keeps_tombstone(intake->stream, &record->identity, &record->home);
        intake->way = is_here && !stays ? INTAKE_WAY_DELETE : INTAKE_WAY_TOMBSTONE;
        if (intake->way == INTAKE_WAY_DELETE)
            return INTAKE_APPEND;
        return record->home.kind == PLACE_PACKED ? INTAKE_HOLD : INTAKE_MAKE;
    }
    if (intake_place(intake)->kind == PLACE_PACKED) {
        intake->way = INTAKE_WAY_SLOT;
        return INTAKE_HOLD;
    }
    intake->way = intake_is_whole(intake) ? INTAKE_WAY_SINGLE : INTAKE_WAY_CHANGE;
    if (record->home.kind == PLACE_PACKED)
        return INTAKE_HOLD;
    return intake->way == INTAKE_WAY_SINGLE ? INTAKE_MAKE : INTAKE_CHANGE;
}

/* ---- the record ---- */

static bool counted(const struct intake *intake)
{
    return intake->now.life == APPLY_LIVE || intake->is_damaged;
}

/* What is damaged counts as what it was; the only version that we know of it is the record's. */
static uint64_t digest_before(const struct intake *intake, uint64_t after)
{
    if (!counted(intake))
        return 0;
    return intake->is_damaged ? after : header_digest(&intake->header);
}

static void record_digest(const struct intake *intake, struct record *record)
{
    bool is = !intake_is_delete(intake);
    uint64_t after = is ? header_digest(&intake->wanted) : 0;
    record_set_digest(record, counted(intake), digest_before(intake, after), is, after);
}

/* Chunks and sources that the record names are known before it is appended. */
static err_t enter_tables(struct intake *intake, const struct record *record)
{
    struct chunk_entry *entry;
    struct source *source;
    struct chunk_key home = chunk_key_of(&record->home), target = chunk_key_of(&record->target);
    struct source_key key = source_key_of(&record->home);
    if (record->home.kind == PLACE_PACKED)
        TRY(stream_chunk_add(intake->stream, &home, &entry));
    else
        TRY(stream_source_add(intake->stream, &key, &source));
    if (record->flags & RECORD_AT_TARGET && record->target.kind == PLACE_PACKED)
        TRY(stream_chunk_add(intake->stream, &target, &entry));
    return ERR_OK;
}

static struct record base_record(const struct intake *intake)
{
    struct record record = intake->entry.record;
    record.flags &= RECORD_AT_TARGET;
    record.watermark = 0; /* of an own change only */
    record.source_incarnation = record.incarnation;
    record.source_lsn = record.lsn;
    record.home_meta = record.target_meta = record.entries = record.content = span_of(NULL, 0);
    record.freed = (struct place){0};
    if (intake_is_delete(intake)) {
        record.flags = 0;
        record.target = (struct place){0};
    }
    if (intake->freed.kind != PLACE_NONE) {
        record.flags |= RECORD_FREES;
        record.freed = intake->freed;
    }
    return record;
}

void intake_way_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX])
{
    switch ((enum intake_way)intake->way) {
    case INTAKE_WAY_SLOT:
        intake_slot_record(intake, record, metas);
        break;
    case INTAKE_WAY_TOMBSTONE:
    case INTAKE_WAY_DELETE:
        if (intake->has_writer)
            intake_single_record(intake, record, metas);
        break;
    case INTAKE_WAY_SINGLE:
    case INTAKE_WAY_CHANGE:
        intake_single_record(intake, record, metas);
        break;
    case INTAKE_WAY_NONE:
        UNREACHABLE("an intake without a way");
    }
}

static int intake_append(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    uint8_t metas[2][SLOT_META_MAX];
    struct record record = base_record(intake);
    intake_way_record(intake, &record, metas);
    record_digest(intake, &record);
    if (record_size(&record) + LOG_BATCH_HEADER_SIZE > intake->store->config.log_buffer_size)
        return machine_fail(machine, ERR(TOO_LARGE, 0));
    err_t err = enter_tables(intake, &record);
    if (err_is(err))
        return machine_fail(machine, err);
    switch (change_append(
        intake->stream, &intake->append, &intake->log_waiter, &record, machine, &err)) {
    case APPEND_WAIT:
        return machine_wait_in(machine, INTAKE_APPEND, 1);
    case APPEND_FAILED:
        return machine_fail(machine, err);
    case APPEND_DONE:
        break;
    }
    return machine_wait_in(machine, INTAKE_COMMITTED, 1);
}

static int intake_committed(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (err_is(intake->append.err))
        return machine_fail(machine, intake->append.err);
    int wait = machine_wait_in(machine, INTAKE_APPLIED, 1);
    packed_apply_start(&intake->apply, intake->stream, &intake->append.record, machine);
    return wait;
}

static int end_unknown(struct intake *intake, err_t err)
{
    stream_fail(intake->stream, err);
    return machine_fail(&intake->machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
}

/* Slots are written; what the record does to single files follows. */
static int intake_applied(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->append.record;
    const struct single_mount *mount = &intake->stream->single_mount;
    struct single_dirty *dirty = &intake->stream->singles;
    if (err_is(intake->apply.err))
        return end_unknown(intake, intake->apply.err);
    bool unlinks = intake->freed.kind == PLACE_SINGLE
                   || (intake->way == INTAKE_WAY_DELETE && record->home.kind == PLACE_SINGLE);
    if (!intake->has_writer && !intake->has_change && !unlinks)
        return INTAKE_NAMED;
    int wait = machine_wait_in(machine, INTAKE_NAMED, 1);
    if (intake->has_change)
        single_change_apply(&intake->change, record, dirty);
    else if (intake->has_writer)
        single_rename(&intake->name, mount, machine, &record->identity, record->version, dirty);
    else
        single_unlink(&intake->name, mount, machine, &record->identity, dirty);
    return wait;
}

static int intake_named(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->has_change ? intake->change.chain.err : intake->name.chain.err;
    if (!err_is(err) && intake->is_referenced && intake->stream->state != STREAM_OPEN)
        err = intake->stream->failure; /* a failed sync is told once, perhaps to another change */
    if (err_is(err))
        return end_unknown(intake, err);
    return intake_end(intake, APPLY_APPLIED, true);
}

/* ---- one way out ---- */

static int intake_unwind(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    bool was_appended = intake->append.buffer != NULL;
    if (intake->stream) {
        binlog_wait_cancel(&intake->log_waiter);
        binlog_release(&intake->stream->log, &intake->append);
        chunk_release(intake->stream->options.files, &intake->target_ref);
        chunk_release(intake->stream->options.files, &intake->home_ref);
    }
    if (intake->has_writer && !was_appended) {
        int wait = machine_wait_in(machine, INTAKE_ABANDONED, 1);
        single_writer_abandon(&intake->writer, machine);
        return wait;
    }
    if (intake->has_change && !was_appended) {
        int wait = machine_wait_in(machine, INTAKE_ABANDONED, 1);
        single_change_abandon(&intake->change, machine);
        return wait;
    }
    if (intake->has_writer)
        single_writer_close(&intake->writer);
    if (intake->has_change)
        single_change_close(&intake->change);
    return INTAKE_ABANDONED;
}

static int intake_abandoned(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    leave(intake);
    buffer_claim_end(&intake->buffer);
    return INTAKE_DONE;
}

static int intake_done(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    owner_close(&machine->owner);
    intake->err = machine->err;
    if (err_is(intake->err))
        intake->is_held = false;
    intake->store->running--;
    intake->done(intake);
    return STAGE_END;
}

static const struct stage intake_stages[INTAKE_STAGES] = {
    [INTAKE_BUFFER] = {"buffer", intake_buffer, BIT(INTAKE_LOCK), 30000},
    [INTAKE_LOCK] = {"lock", intake_lock, BIT(INTAKE_ENTER), 0},
    [INTAKE_ENTER] = {"enter", intake_enter, BIT(INTAKE_LOOK), 60000},
    [INTAKE_LOOK] = {"look", intake_look,
        BIT(INTAKE_HOME_SEEN) | BIT(INTAKE_CONTENT_SEEN) | BIT(INTAKE_TARGET_LOOK), 0},
    [INTAKE_HOME_SEEN] = {"home-seen", intake_home_seen,
        BIT(INTAKE_HOME_SCANNED) | BIT(INTAKE_CONTENT_SEEN) | BIT(INTAKE_TARGET_LOOK), 5000},
    [INTAKE_CONTENT_SEEN] = {"content-seen", intake_content_seen, BIT(INTAKE_TARGET_LOOK), 5000},
    [INTAKE_HOME_SCANNED] = {"home-scanned", intake_home_scanned, BIT(INTAKE_TARGET_LOOK), 5000},
    [INTAKE_TARGET_LOOK] = {"target-look", intake_target_look,
        BIT(INTAKE_TARGET_SCANNED) | BIT(INTAKE_DECIDE), 0},
    [INTAKE_TARGET_SCANNED] = {"target-scanned", intake_target_scanned, BIT(INTAKE_DECIDE), 5000},
    [INTAKE_DECIDE] = {"decide", intake_decide,
        BIT(INTAKE_FETCH) | BIT(INTAKE_TENANTS) | BIT(INTAKE_LOOK), 0},
#define WAYS BIT(INTAKE_HOLD) | BIT(INTAKE_MAKE) | BIT(INTAKE_CHANGE) | BIT(INTAKE_APPEND)
    [INTAKE_TENANTS] = {"tenants", intake_tenants, BIT(INTAKE_TENANT) | WAYS, 0},
    [INTAKE_TENANT] = {"tenant", intake_tenant,
        BIT(INTAKE_TENANT_SEEN) | BIT(INTAKE_TENANT_FETCHED) | WAYS, 5000},
    [INTAKE_TENANT_SEEN] = {"tenant-seen", intake_tenant_seen, BIT(INTAKE_TENANT_GONE), 0},
    [INTAKE_TENANT_GONE] = {"tenant-gone", intake_tenant_gone, BIT(INTAKE_TENANT), 30000},
    [INTAKE_TENANT_FETCHED] = {"tenant-fetched", intake_tenant_fetched, BIT(INTAKE_LOCK), 60000},
    [INTAKE_FETCH] = {"fetch", intake_fetch, BIT(INTAKE_FETCHED), 0},
    [INTAKE_FETCHED] = {"fetched", intake_fetched, BIT(INTAKE_BUFFER), 60000},
    [INTAKE_HOLD] = {"hold", intake_hold,
        BIT(INTAKE_HOLD_TARGET) | BIT(INTAKE_APPEND) | BIT(INTAKE_MAKE) | BIT(INTAKE_CHANGE)
            | BIT(INTAKE_GATHER),
        5000},
    [INTAKE_HOLD_TARGET] = {"hold-target", intake_hold_target, BIT(INTAKE_GATHER), 5000},
    [INTAKE_GATHER] = {"gather", intake_gather, BIT(INTAKE_GATHERED) | BIT(INTAKE_FETCH), 60000},
    [INTAKE_GATHERED] = {"gathered", intake_gathered, BIT(INTAKE_WRITE) | BIT(INTAKE_APPEND), 0},
    [INTAKE_WRITE] = {"write", intake_write, BIT(INTAKE_WRITTEN), 0},
    [INTAKE_WRITTEN] = {"written", intake_written, BIT(INTAKE_WRITE) | BIT(INTAKE_SYNCED), 5000},
    [INTAKE_SYNCED] = {"synced", intake_synced, BIT(INTAKE_APPEND), 5000},
    [INTAKE_MAKE] = {"make", intake_make, BIT(INTAKE_MADE), 0},
    [INTAKE_MADE] = {"made", intake_made, BIT(INTAKE_POUR) | BIT(INTAKE_FINISH), 5000},
    [INTAKE_POUR] = {"pour", intake_pour, BIT(INTAKE_POURED), 60000},
    [INTAKE_POURED] = {"poured", intake_poured, BIT(INTAKE_POUR) | BIT(INTAKE_FINISH), 5000},
    [INTAKE_FINISH] = {"finish", intake_finish, BIT(INTAKE_FINISHED) | BIT(INTAKE_FETCH), 5000},
    [INTAKE_FINISHED] = {"finished", intake_finished, BIT(INTAKE_APPEND), 30000},
    [INTAKE_CHANGE] = {"change", intake_change, BIT(INTAKE_CHANGE_BEGIN), 0},
    [INTAKE_CHANGE_BEGIN] = {"change-begin", intake_change_begin,
        BIT(INTAKE_CHANGE_POUR) | BIT(INTAKE_CHANGE_READY), 60000},
    [INTAKE_CHANGE_POUR] = {"change-pour", intake_change_pour, BIT(INTAKE_CHANGE_POURED), 60000},
    [INTAKE_CHANGE_POURED] = {"change-poured", intake_change_poured,
        BIT(INTAKE_CHANGE_POUR) | BIT(INTAKE_CHANGE_READY), 30000},
    [INTAKE_CHANGE_READY] = {"change-ready", intake_change_ready,
        BIT(INTAKE_APPEND) | BIT(INTAKE_FETCH), 30000},
    [INTAKE_APPEND] = {"append", intake_append, BIT(INTAKE_COMMITTED), 30000},
    [INTAKE_COMMITTED] = {"committed", intake_committed, BIT(INTAKE_APPLIED), 5000},
    [INTAKE_APPLIED] = {"applied", intake_applied, BIT(INTAKE_NAMED), 5000},
    [INTAKE_NAMED] = {"named", intake_named, 0, 5000},
    [INTAKE_UNWIND] = {"unwind", intake_unwind, BIT(INTAKE_ABANDONED), 0},
    [INTAKE_ABANDONED] = {"abandoned", intake_abandoned, BIT(INTAKE_DONE), 30000},
    [INTAKE_DONE] = {"done", intake_done, 0, 0},
};
static const struct machine_kind intake_kind = {
    "intake", intake_stages, INTAKE_STAGES, INTAKE_UNWIND, INTAKE_DONE};

void intake_start(struct intake *intake, struct store *store)
{
    intake->store = store;
    intake->fetch.store = store;
    intake->fetch.done = fetch_done;
    store->running++;
    machine_start(&intake->machine, &intake_kind, &store->io->run, DIRECTION_SYNC_RECV);
    owner_set_object(&intake->machine.owner, intake->entry.record.identity.clock,
        intake->entry.record.identity.origin);
}
