#include "tests/unit/core/apply_model.h"

void model_open(struct model_world *world, model_decide_fn *decide, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->decide = decide;
    prng_init(&world->random, seed);
    for (uint32_t m = 0; m < MODEL_MACHINES; m++) {
        world->copies[m].self = m + 1;
        world->copies[m].has_journal = true;
    }
}

static struct model_slot *slot_at(struct model_copy *copy, const struct place *place)
{
    return &copy->slots[place->machine - 1][place->offset];
}

static const struct model_slot *slot_at_const(
    const struct model_copy *copy, const struct place *place)
{
    return &copy->slots[place->machine - 1][place->offset];
}

static struct place place_of(uint32_t machine, unsigned slot, uint64_t birth)
{
    return (struct place){.birth = birth,
        .machine = machine,
        .chunk = 1,
        .offset = slot,
        .slot_size = 1,
        .kind = PLACE_PACKED};
}

static bool is_home_of(const struct model_slot *slot, const struct identity *identity)
{
    return slot->birth != 0 && !slot->is_target && identity_equals(&slot->identity, identity);
}

static void look_up(
    const struct model_copy *copy, const struct apply_record *record, struct apply_state *ret)
{
    const struct model_slot *home = slot_at_const(copy, &record->home);
    *ret = (struct apply_state){
        .self = copy->self, .complete_clock = copy->seen_clock[record->home.machine - 1]};
    if (is_home_of(home, &record->identity)) {
        ret->life = home->life;
        ret->version = home->version;
        ret->wants = home->wants;
        ret->target = home->target;
    } else {
        ret->home_tenant_birth = home->birth;
    }
    if (record->target.kind != PLACE_NONE)
        ret->target_tenant_birth = slot_at_const(copy, &record->target)->birth;
}

/* ---- carrying out: blind writes only, because recovery does this over torn slots ---- */

static void write_home_header(
    struct model_slot *home, const struct apply_record *record, const struct apply_effects *effects)
{
    uint32_t flags = effects->flags;
    if (flags & APPLY_EVICT_HOME)
        *home = (struct model_slot){.birth = record->identity.clock,
            .identity = record->identity,
            .home = record->home,
            .life = APPLY_LIVE};
    if (flags & APPLY_MARK_DELETED)
        home->life = APPLY_DELETED;
    if (flags & (APPLY_WRITE_WHOLE | APPLY_WRITE_PART))
        home->version = record->version;
    if (flags & APPLY_DROP_CONTENT)
        home->version = (struct version){0};
    if (flags & APPLY_MARK_STALE)
        home->wants = effects->wants;
    if (flags & (APPLY_CLEAR_STALE | APPLY_MARK_DELETED))
        home->wants = (struct version){0};
    if (flags & APPLY_SET_FORWARD)
        home->target = record->target;
    if (flags & APPLY_CLEAR_FORWARD)
        home->target = (struct place){0};
}

static void write_content(struct model_copy *copy, const struct model_record *record, bool is_whole)
{
    const struct apply_record *head = &record->head;
    bool at_target = head->target.kind != PLACE_NONE;
    struct model_slot *slot = slot_at(copy, at_target ? &head->target : &head->home);
    if (is_whole && at_target)
        *slot = (struct model_slot){.birth = head->target.birth,
            .identity = head->identity,
            .home = head->home,
            .is_target = true};
    if (is_whole)
        slot->content = record->bytes;
    for (unsigned i = 0; !is_whole && i < record->size; i++)
        slot->content.cells[record->offset + i] = record->bytes.cells[record->offset + i];
    slot->content.size = record->bytes.size;
}

static const char *free_own(struct model_copy *copy, const struct place *place, bool replay)
{
    if (place->machine != copy->self)
        return "a place was freed by another than its allocator";
    if (!replay && !copy->used[place->offset])
        return "a place was freed twice";
    copy->used[place->offset] = false;
    return NULL;
}

static const char *carry_out(
    struct model_copy *copy, const struct model_entry *entry, bool is_replay)
{
    const struct model_record *record = &entry->record;
    const struct apply_record *head = &record->head;
    uint32_t flags = entry->effects.flags;
    const char *wrong = NULL;
    if (flags & APPLY_WRITE_WHOLE && head->home.machine == copy->self && flags & APPLY_EVICT_HOME)
        copy->used[head->home.offset] = true;
    if (flags & APPLY_SET_FORWARD && head->target.machine == copy->self)
        copy->used[head->target.offset] = true;
    write_home_header(slot_at(copy, &head->home), head, &entry->effects);
    if (flags & (APPLY_WRITE_WHOLE | APPLY_WRITE_PART))
        write_content(copy, record, flags & APPLY_WRITE_WHOLE);
    if (flags & APPLY_FREE_HOME)
        wrong = free_own(copy, &head->home, is_replay);
    if (!wrong && flags & APPLY_FREE_TARGET)
        wrong = free_own(copy, &entry->effects.freed, is_replay);
    return wrong;
}

static void checkpoint(struct model_copy *copy)
{
    memcpy(copy->checkpoint, copy->slots, sizeof copy->slots);
    memcpy(copy->checkpoint_used, copy->used, sizeof copy->used);
    copy->journal_count = 0;
}

static const char *commit(
    struct model_copy *copy, const struct model_record *record, const struct apply_effects *effects)
{
    struct model_entry entry = {*record, *effects};
    if (copy->has_journal && copy->journal_count == MODEL_JOURNAL_MAX)
        checkpoint(copy);
    const char *wrong = carry_out(copy, &entry, false);
    if (copy->has_journal) {
        copy->journal[copy->journal_count] = entry;
        memcpy(copy->history[copy->journal_count++], copy->slots, sizeof copy->slots);
    }
    return wrong;
}

/* ---- deciding ---- */

/* The tenant of `place`, if it lives and is another than `by`, goes or turns stale. */
static const char *evict(
    struct model_copy *copy, const struct place *place, const struct identity *by)
{
    struct model_slot slot = *slot_at(copy, place);
    if (slot.birth == 0 || identity_equals(&slot.identity, by))
        return NULL;
    struct model_record about = {.head = {.identity = slot.identity, .home = slot.home}};
    struct apply_state tenant;
    look_up(copy, &about.head, &tenant);
    bool is_in_use =
        tenant.life == APPLY_LIVE
        && (!slot.is_target
            || (tenant.target.birth == slot.birth && tenant.target.machine == place->machine));
    if (!is_in_use)
        return NULL;
    if (place->machine == copy->self)
        return "an allocator evicted a tenant of its own";
    if (slot.birth >= place->birth)
        return "an older content evicted a younger one";
    struct apply_effects effects;
    apply_evict(&tenant, &slot.home, !slot.is_target, &effects);
    return commit(copy, &about, &effects);
}

static bool comes_back(const struct apply_state *before, const struct apply_effects *effects)
{
    return before->life == APPLY_DELETED && effects->flags != 0;
}

static const char *apply_record_at(struct model_world *world, struct model_copy *copy,
    const struct model_record *record, struct apply_effects *ret_effects)
{
    struct apply_state before;
    struct apply_effects effects;
    look_up(copy, &record->head, &before);
    world->decide(&before, &record->head, &effects);
    world->decisions++;
    *ret_effects = effects;
    const char *wrong = comes_back(&before, &effects) ? "a deleted identity returned" : NULL;
    if (!wrong && effects.flags & APPLY_EVICT_HOME)
        wrong = evict(copy, &record->head.home, &record->head.identity);
    if (!wrong && effects.flags & APPLY_EVICT_TARGET)
        wrong = evict(copy, &record->head.target, &record->head.identity);
    if (!wrong && effects.flags != 0)
        wrong = commit(copy, record, &effects);
    if (wrong || effects.flags == 0)
        return wrong;
    struct apply_state told, seen;
    apply_advance(&before, &record->head, &effects, &told);
    look_up(copy, &record->head, &seen);
    bool agrees = told.life == seen.life && version_equals(told.version, seen.version)
                  && version_equals(told.wants, seen.wants)
                  && apply_place_equals(&told.target, &seen.target);
    return agrees ? NULL : "apply_advance and what was carried out differ";
}

static void see_clock(struct model_copy *copy, const struct model_record *record)
{
    if (record->head.kind == APPLY_UPLOAD)
        copy->seen_clock[record->head.identity.origin - 1] = record->head.identity.clock;
}

const char *model_deliver(struct model_world *world, struct model_copy *copy, unsigned from)
{
    const struct model_stream *stream = &world->streams[from];
    if (copy->at[from] == stream->count)
        return NULL;
    const struct model_record *record = &stream->records[copy->at[from]++];
    struct apply_effects effects;
    const char *wrong = apply_record_at(world, copy, record, &effects);
    see_clock(copy, record);
    return wrong;
}

const char *model_deliver_again(struct model_world *world, struct model_copy *copy)
{
    unsigned from = (unsigned)prng_below(&world->random, MODEL_MACHINES);
    if (copy->at[from] == 0)
        return NULL;
    uint64_t which = prng_below(&world->random, copy->at[from]);
    struct apply_effects effects;
    const char *wrong =
        apply_record_at(world, copy, &world->streams[from].records[which], &effects);
    if (!wrong && effects.flags != 0)
        wrong = "a record that came twice changed something";
    return wrong;
}

/* ---- making changes ---- */

static bool find_free(const struct model_copy *copy, unsigned *ret_slot)
{
    for (unsigned i = 0; i < MODEL_SLOTS; i++) {
        if (!copy->used[i]) {
            *ret_slot = i;
            return true;
        }
    }
    return false;
}

static bool choose_live(
    struct model_world *world, const struct model_copy *copy, struct model_slot *ret)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < MODEL_MACHINES * MODEL_SLOTS; i++) {
        const struct model_slot *slot = &copy->slots[i / MODEL_SLOTS][i % MODEL_SLOTS];
        if (slot->birth != 0 && !slot->is_target && slot->life == APPLY_LIVE
            && prng_below(&world->random, ++seen) == 0)
            *ret = *slot;
    }
    return seen > 0;
}

static struct model_content random_content(struct model_world *world)
{
    struct model_content content = {.size = MODEL_CELLS};
    for (unsigned i = 0; i < MODEL_CELLS; i++)
        content.cells[i] = (uint8_t)prng_below(&world->random, 256);
    return content;
}

static const char *make(
    struct model_world *world, struct model_copy *copy, const struct model_record *record)
{
    struct model_stream *stream = &world->streams[copy->self - 1];
    stream->records[stream->count++] = *record;
    copy->at[copy->self - 1]++;
    struct apply_effects effects;
    const char *wrong = apply_record_at(world, copy, record, &effects);
    see_clock(copy, record);
    if (!wrong && effects.verdict != APPLY_APPLIED)
        wrong = "a storage's own change did not apply at itself";
    return wrong;
}

static const char *make_upload(struct model_world *world, struct model_copy *copy)
{
    unsigned slot;
    if (!find_free(copy, &slot))
        return NULL;
    struct model_record record = {.bytes = random_content(world)};
    uint64_t clock = ++copy->clock;
    record.result = record.bytes;
    record.head = (struct apply_record){.kind = APPLY_UPLOAD,
        .identity = {.clock = clock, .origin = copy->self},
        .version = {1, copy->self},
        .home = place_of(copy->self, slot, clock)};
    return make(world, copy, &record);
}

/* A whole content: home, the target it has if that is our own, or a new target of our own. */
static const char *make_whole(struct model_world *world, struct model_copy *copy,
    const struct model_slot *file, const struct model_content *content)
{
    struct model_record record = {.bytes = *content, .result = *content};
    struct apply_state now;
    record.head = (struct apply_record){
        .kind = APPLY_REPLACE, .identity = file->identity, .home = file->home};
    look_up(copy, &record.head, &now);
    record.head.version = apply_version_next(&now);
    unsigned slot, choice = (unsigned)prng_below(&world->random, 3);
    if (choice == 0 && now.target.kind != PLACE_NONE && now.target.machine == copy->self)
        record.head.target = now.target;
    else if (choice != 1 && find_free(copy, &slot))
        record.head.target = place_of(copy->self, slot, ++copy->clock);
    return make(world, copy, &record);
}

static const struct model_slot *content_slot(
    const struct model_copy *copy, const struct model_slot *home)
{
    return home->target.kind == PLACE_NONE ? slot_at_const(copy, &home->home)
                                           : slot_at_const(copy, &home->target);
}

static struct model_record random_part(struct model_world *world, const struct model_content *old)
{
    struct model_record record = {.bytes = *old, .result = *old};
    unsigned kind = (unsigned)prng_below(&world->random, 3);
    struct model_content *result = &record.result;
    if (kind == 0 && result->size < MODEL_CELLS) {
        record.head.kind = APPLY_APPEND;
        record.offset = result->size++;
        record.size = 1;
        result->cells[record.offset] = (uint8_t)prng_below(&world->random, 256);
    } else if (kind == 1 && result->size > 1) {
        record.head.kind = APPLY_TRUNCATE;
        result->size--;
    } else {
        record.head.kind = APPLY_WRITE;
        record.offset = (uint8_t)prng_below(&world->random, result->size);
        record.size = 1;
        result->cells[record.offset] = (uint8_t)prng_below(&world->random, 256);
    }
    memset(record.bytes.cells, 0, MODEL_CELLS);
    record.bytes.size = result->size;
    for (unsigned i = 0; i < record.size; i++)
        record.bytes.cells[record.offset + i] = result->cells[record.offset + i];
    return record;
}

static const char *make_part(
    struct model_world *world, struct model_copy *copy, const struct model_slot *file)
{
    struct apply_record about = {.identity = file->identity, .home = file->home};
    struct apply_state now;
    look_up(copy, &about, &now);
    if (!version_is_none(now.wants))
        return NULL;
    struct model_record record = random_part(world, &content_slot(copy, file)->content);
    if (!apply_may_write_part(&now) && !world->writes_foreign_targets)
        return make_whole(world, copy, file, &record.result);
    record.head.identity = file->identity;
    record.head.home = file->home;
    record.head.target = now.target;
    record.head.base = now.version;
    record.head.version = apply_version_next(&now);
    return make(world, copy, &record);
}

static const char *make_delete(
    struct model_world *world, struct model_copy *copy, const struct model_slot *file)
{
    struct model_record record = {
        .head = {.kind = APPLY_DELETE, .identity = file->identity, .home = file->home}};
    struct apply_state now;
    look_up(copy, &record.head, &now);
    record.head.version = apply_version_next(&now);
    return make(world, copy, &record);
}

const char *model_change(struct model_world *world, unsigned machine)
{
    struct model_copy *copy = &world->copies[machine];
    struct model_slot file;
    if (world->streams[machine].count == MODEL_STREAM_MAX)
        return NULL;
    unsigned choice = (unsigned)prng_below(&world->random, 10);
    if (choice < 2 || !choose_live(world, copy, &file))
        return make_upload(world, copy);
    if (choice < 5) {
        struct model_content content = random_content(world);
        return make_whole(world, copy, &file, &content);
    }
    if (choice < 8)
        return make_part(world, copy, &file);
    return make_delete(world, copy, &file);
}

/* ---- fetching, crashing, forgetting ---- */

static bool build_full(
    const struct model_copy *peer, const struct model_slot *stale, struct model_record *ret)
{
    const struct model_slot *home = slot_at_const(peer, &stale->home);
    bool serves = is_home_of(home, &stale->identity) && home->life == APPLY_LIVE
                  && version_is_none(home->wants)
                  && version_compare(home->version, stale->wants) >= 0;
    if (!serves)
        return false;
    *ret = (struct model_record){.bytes = content_slot(peer, home)->content};
    ret->head = (struct apply_record){.kind = APPLY_FULL,
        .identity = stale->identity,
        .version = home->version,
        .home = stale->home,
        .target = home->target};
    return true;
}

static bool find_full(
    struct model_world *world, const struct model_copy *copy, struct model_record *ret)
{
    unsigned first = (unsigned)prng_below(&world->random, MODEL_MACHINES);
    for (unsigned i = 0; i < MODEL_MACHINES * MODEL_SLOTS; i++) {
        const struct model_slot *slot = &copy->slots[i / MODEL_SLOTS][i % MODEL_SLOTS];
        bool is_stale = slot->birth != 0 && !slot->is_target && slot->life == APPLY_LIVE
                        && !version_is_none(slot->wants);
        for (unsigned p = 0; is_stale && p < MODEL_MACHINES; p++)
            if (build_full(&world->copies[(first + p) % MODEL_MACHINES], slot, ret))
                return true;
    }
    return false;
}

const char *model_fetch(struct model_world *world, struct model_copy *copy, bool *ret_fetched)
{
    struct model_record full;
    *ret_fetched = find_full(world, copy, &full);
    if (!*ret_fetched)
        return NULL;
    struct apply_effects effects;
    return apply_record_at(world, copy, &full, &effects);
}

const char *model_crash(struct model_world *world, struct model_copy *copy)
{
    model_slots before;
    bool used[MODEL_SLOTS];
    memcpy(before, copy->slots, sizeof before);
    memcpy(used, copy->used, sizeof used);
    memcpy(copy->used, copy->checkpoint_used, sizeof used);
    for (unsigned i = 0; i < MODEL_MACHINES * MODEL_SLOTS; i++) { /* each as of its own time */
        uint64_t time = prng_below(&world->random, copy->journal_count + 1u);
        unsigned m = i / MODEL_SLOTS, s = i % MODEL_SLOTS;
        copy->slots[m][s] = time == 0 ? copy->checkpoint[m][s] : copy->history[time - 1][m][s];
    }
    for (unsigned i = 0; i < copy->journal_count; i++)
        (void)carry_out(copy, &copy->journal[i], true);
    if (memcmp(copy->used, used, sizeof used) != 0)
        return "recovery knows other free places than before the crash";
    return memcmp(before, copy->slots, sizeof before) == 0
               ? NULL
               : "recovery made other slots than before the crash";
}

void model_forget(struct model_world *world, struct model_copy *copy)
{
    for (unsigned m = 0; m < MODEL_MACHINES; m++) {
        for (unsigned s = 0; s < MODEL_SLOTS; s++) {
            struct model_slot *slot = &copy->slots[m][s];
            if (slot->birth != 0 && !slot->is_target && slot->life == APPLY_DELETED
                && slot->identity.clock <= copy->seen_clock[m]
                && prng_below(&world->random, 2) == 0)
                *slot = (struct model_slot){0};
        }
    }
    if (copy->has_journal)
        checkpoint(copy);
}

/* ---- the end: everything delivered ---- */

const char *model_settle(struct model_world *world)
{
    const char *wrong = NULL;
    bool is_fetched = false;
    for (unsigned i = 0; i < MODEL_MACHINES * MODEL_MACHINES; i++)
        for (unsigned n = 0; !wrong && n < MODEL_STREAM_MAX; n++)
            wrong = model_deliver(world, &world->copies[i / MODEL_MACHINES], i % MODEL_MACHINES);
    for (unsigned m = 0; m < MODEL_MACHINES; m++)
        for (unsigned n = 0; !wrong && n < 2 * MODEL_SLOTS * MODEL_MACHINES; n++)
            wrong = model_fetch(world, &world->copies[m], &is_fetched);
    return wrong;
}

/* What all records together say of one identity: deleted by anybody, else its newest version. */
static const struct model_record *winner_of(
    const struct model_world *world, const struct identity *identity, bool *ret_is_deleted)
{
    const struct model_record *winner = NULL;
    *ret_is_deleted = false;
    for (unsigned m = 0; m < MODEL_MACHINES; m++) {
        for (unsigned i = 0; i < world->streams[m].count; i++) {
            const struct model_record *record = &world->streams[m].records[i];
            if (!identity_equals(&record->head.identity, identity))
                continue;
            if (record->head.kind == APPLY_DELETE)
                *ret_is_deleted = true;
            else if (!winner || version_compare(record->head.version, winner->head.version) > 0)
                winner = record;
        }
    }
    return winner;
}

static const char *check_identity(const struct model_world *world, const struct model_copy *copy,
    const struct model_record *upload)
{
    bool is_deleted;
    const struct model_record *winner = winner_of(world, &upload->head.identity, &is_deleted);
    struct apply_state now;
    look_up(copy, &upload->head, &now);
    if (is_deleted)
        return now.life == APPLY_LIVE ? "a deleted file lives" : NULL;
    if (now.life != APPLY_LIVE)
        return "a file that nobody deleted is gone";
    if (!version_is_none(now.wants))
        return "a file stays stale";
    if (!version_equals(now.version, winner->head.version))
        return "a copy does not hold the newest version";
    if (!apply_place_equals(&now.target, &winner->head.target))
        return "copies keep a content at different places";
    const struct model_slot *slot = content_slot(copy, slot_at_const(copy, &upload->head.home));
    bool is_own = identity_equals(&slot->identity, &upload->head.identity)
                  && slot->is_target == (now.target.kind != PLACE_NONE);
    if (!is_own)
        return "a place is used by two contents";
    bool is_equal = slot->content.size == winner->result.size
                    && memcmp(slot->content.cells, winner->result.cells, slot->content.size) == 0;
    return is_equal ? NULL : "a copy holds other content than the winner's";
}

const char *model_check_copy(const struct model_world *world, const struct model_copy *copy)
{
    for (unsigned m = 0; m < MODEL_MACHINES; m++) {
        for (unsigned i = 0; i < world->streams[m].count; i++) {
            const struct model_record *record = &world->streams[m].records[i];
            const char *wrong =
                record->head.kind == APPLY_UPLOAD ? check_identity(world, copy, record) : NULL;
            if (wrong)
                return wrong;
        }
    }
    return NULL;
}

static const char *check_used(const struct model_copy *copy)
{
    bool used[MODEL_SLOTS] = {false};
    for (unsigned i = 0; i < MODEL_MACHINES * MODEL_SLOTS; i++) {
        const struct model_slot *slot = &copy->slots[i / MODEL_SLOTS][i % MODEL_SLOTS];
        if (slot->birth == 0 || slot->is_target || slot->life != APPLY_LIVE)
            continue;
        if (slot->home.machine == copy->self)
            used[slot->home.offset] = true;
        if (slot->target.kind != PLACE_NONE && slot->target.machine == copy->self)
            used[slot->target.offset] = true;
    }
    return memcmp(used, copy->used, sizeof used) == 0
               ? NULL
               : "an allocator lost a place, or freed one in use";
}

const char *model_check_settled(const struct model_world *world)
{
    const char *wrong = NULL;
    for (unsigned m = 0; !wrong && m < MODEL_MACHINES; m++) {
        wrong = model_check_copy(world, &world->copies[m]);
        if (!wrong)
            wrong = check_used(&world->copies[m]);
    }
    return wrong;
}
