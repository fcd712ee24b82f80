#include "storage/reconcile.h"

#include "base/units.h"
#include "storage/internal.h"
#include "storage/reconcile_parts.h"

static struct reconcile *reconcile_of(struct io_message *message)
{
    return CONTAINER_OF(message, struct reconcile, message);
}

static void post_to(struct reconcile *reconcile, uint16_t to,
    void (*deliver)(struct io *here, struct io_message *message))
{
    struct storage *storage = reconcile->storage;
    struct io *from = reconcile->loop ? reconcile->loop->io : storage->loops[0].io;
    reconcile->at = to;
    reconcile->loop = &storage->loops[to];
    reconcile->message.deliver = deliver;
    io_post(from, reconcile->loop->io, &reconcile->message);
}

/* ---- positions ---- */

const struct unit_position *reconcile_row(
    const struct reconcile_table *table, uint32_t machine, uint8_t mount, uint8_t stream)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct unit_position *row = &table->rows[i];
        if (row->machine == machine && row->mount == mount && row->stream == stream)
            return row;
    }
    return NULL;
}

static bool was_asked(const struct reconcile *reconcile, uint32_t machine)
{
    for (uint32_t i = 0; i < reconcile->member_at; i++)
        if (reconcile->members.all[i].machine == machine && (reconcile->asked >> i & 1) != 0)
            return true;
    return false;
}

/* What this storage has seen of each stream after it was compared with all of these: of a stream whose
 * own storage was among them, all that this one said; of others, what all have passed. */
static void keep_least(struct reconcile *reconcile)
{
    struct reconcile_table *least = &reconcile->least;
    uint32_t member = reconcile_member(reconcile)->machine, kept = 0;
    for (uint32_t i = 0; reconcile->has_least && i < least->count; i++) {
        struct unit_position row = least->rows[i];
        const struct unit_position *their =
            reconcile_row(&reconcile->theirs, row.machine, row.mount, row.stream);
        if (row.machine == member || (!their && !was_asked(reconcile, row.machine)))
            continue;
        if (!was_asked(reconcile, row.machine)) {
            if (position_compare(their->incarnation, their->lsn, row.incarnation, row.lsn) < 0) {
                row.incarnation = their->incarnation;
                row.lsn = their->lsn;
            }
        }
        least->rows[kept++] = row;
    }
    least->count = kept;
    for (uint32_t i = 0; i < reconcile->theirs.count && least->count < RECONCILE_POSITIONS; i++)
        if (reconcile->theirs.rows[i].machine == member || !reconcile->has_least)
            least->rows[least->count++] = reconcile->theirs.rows[i];
    reconcile->has_least = true;
    reconcile->asked |= 1u << reconcile->member_at;
}

static void keep_known(struct reconcile *reconcile);
static void close_gaps(struct reconcile *reconcile);

static void keep_member(struct reconcile *reconcile)
{
    keep_least(reconcile);
    keep_known(reconcile);
}

/* ---- coverage ---- */

bool reconcile_confirm(const struct reconcile *reconcile)
{
    uint32_t member = reconcile_member(reconcile)->machine;
    for (uint32_t i = 0; i < reconcile->theirs.count; i++) {
        const struct unit_position *row = &reconcile->theirs.rows[i];
        const struct unit_position *again =
            reconcile_row(&reconcile->again, row->machine, row->mount, row->stream);
        bool is_same = again && (row->machine != member || row->incarnation == again->incarnation);
        if (!is_same || !coverage_is_within(&row->coverage, &again->coverage))
            return false;
    }
    return true;
}

static void keep_known(struct reconcile *reconcile)
{
    struct reconcile_table *known = &reconcile->known;
    for (uint32_t i = 0; i < reconcile->theirs.count; i++) {
        const struct unit_position *row = &reconcile->theirs.rows[i];
        struct unit_position *to = (struct unit_position *)(uintptr_t)reconcile_row(
            known, row->machine, row->mount, row->stream);
        if (!to && known->count == RECONCILE_POSITIONS)
            continue;
        if (!to) {
            to = &known->rows[known->count];
            *to = *row;
            to->coverage = (struct coverage){0};
            reconcile->is_left[known->count++] = false;
        }
        if (reconcile->through[i])
            coverage_merge(&to->coverage, &row->coverage);
        else
            reconcile->is_left[to - known->rows] = true;
    }
}

/* All that anybody has was gone through: nothing is missed any more. */
static void close_gaps(struct reconcile *reconcile)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reconcile->members.count; i++)
        count += !reconcile->members.all[i].is_removed;
    if (reconcile->sums.members_failed > 0 || reconcile->sums.members < count)
        return;
    for (uint32_t i = 0; i < reconcile->known.count; i++)
        if (!reconcile->is_left[i])
            reconcile->known.rows[i].coverage.gap_first =
                reconcile->known.rows[i].coverage.gap_last = 0;
}

static void raise_coverage(
    struct storage_loop *loop, const struct unit_position *row, bool is_filling)
{
    struct source_key key = {row->machine, row->mount, row->stream};
    struct stream_place place = store_route(&loop->store, &key);
    struct stream *stream;
    if (place.loop != loop->index || err_is(store_stream_at(&loop->store, &place, &stream)))
        return;
    struct source *source = stream_source_find(stream, &key);
    if (source || (is_filling && !err_is(stream_source_add(stream, &key, &source))))
        stream_raise_coverage(stream, source, &row->coverage);
}

/* ---- positions are raised ---- */

/* A stream whose storage is alive is followed by its pushes; nobody moves the position beside them
 * unless this storage is being filled. */
static bool may_raise(const struct reconcile *reconcile, const struct unit_position *row)
{
    const struct storage *storage = reconcile->storage;
    const struct member *member = members_find(&reconcile->members, row->machine);
    if (row->machine == storage->config.machine_number || row->lsn == 0)
        return false;
    return reconcile->is_filling || !member || !member->is_alive;
}

static void raise_position(struct storage_loop *loop, const struct unit_position *row)
{
    struct source_key key = {row->machine, row->mount, row->stream};
    struct stream_place place = store_route(&loop->store, &key);
    struct stream *stream;
    struct source *source;
    if (place.loop != loop->index || err_is(store_stream_at(&loop->store, &place, &stream))
        || err_is(stream_source_add(stream, &key, &source)))
        return;
    if (position_compare(row->incarnation, row->lsn, source->incarnation, source->lsn) <= 0)
        return;
    source->incarnation = row->incarnation;
    source->lsn = row->lsn;
    coverage_lose(
        &source->coverage, source->coverage.watermark + 1, row->coverage.watermark); /* skipped */
    stream_position_log(stream, source);
}

/* What is taken because our positions say so meets the tombstones of what was deleted since. */
static void hold_tombstones(struct storage_loop *loop, bool holds)
{
    const struct storage_config *config = &loop->storage->config;
    if (!loop->is_store_open || loop->holds_tombstones == holds)
        return;
    loop->holds_tombstones = holds;
    for (uint32_t i = 0; i < config->mount_count; i++) {
        const struct store_mount *mount = &loop->store.mounts[config->mount[i].index];
        for (unsigned k = 0; k < mount->stream_count; k++)
            if (mount->streams[k] && holds)
                stream_hold_tombstones(mount->streams[k]);
            else if (mount->streams[k])
                stream_let_tombstones(mount->streams[k]);
    }
}

static void end_pass(struct reconcile *reconcile);

static void raise_arrived(struct io *here, struct io_message *message)
{
    struct reconcile *reconcile = reconcile_of(message);
    struct storage_loop *loop = reconcile->loop;
    (void)here;
    hold_tombstones(loop, false);
    bool raises = reconcile->was_complete && loop->is_store_open;
    for (uint32_t i = 0; loop->is_store_open && i < reconcile->known.count; i++)
        raise_coverage(loop, &reconcile->known.rows[i], reconcile->is_filling);
    for (uint32_t i = 0; raises && i < reconcile->least.count; i++)
        if (may_raise(reconcile, &reconcile->least.rows[i]))
            raise_position(loop, &reconcile->least.rows[i]);
    if (reconcile->at + 1u < reconcile->storage->loop_count)
        post_to(reconcile, (uint16_t)(reconcile->at + 1), raise_arrived);
    else
        end_pass(reconcile);
}

/* ---- a pass ---- */

static void home_at_the_end(struct io *here, struct io_message *message)
{
    struct reconcile *reconcile = reconcile_of(message);
    struct storage_loop *first = &reconcile->storage->loops[0];
    struct reconcile_sums *sums = &reconcile->sums;
    (void)here;
    sums->ended_ns = io_now(first->io);
    reconcile->shown = *sums;
    reconcile->is_running = false;
    if (reconcile->is_filling && reconcile->was_complete)
        reconcile->filled = reconcile->filling;
    bool is_left = reconcile->filled < reconcile->fills_asked;
    uint64_t pause_ns =
        is_left ? RECONCILE_RETRY_S * NS_PER_S : reconcile->storage->config.compare_interval_ns;
    reconcile->next_ns = sums->ended_ns + pause_ns;
    if (sums->taken + sums->deleted + sums->remaining + sums->failed > 0 || reconcile->is_filling)
        EVENT(&first->log, INFO, "reconciled", &first->owner,
            EVENT_NUMBER("members", sums->members),
            EVENT_NUMBER("members_failed", sums->members_failed), EVENT_ERR(reconcile->failure),
            EVENT_NUMBER("units", sums->units), EVENT_NUMBER("differed", sums->differed),
            EVENT_NUMBER("taken", sums->taken), EVENT_NUMBER("repaired", sums->repaired),
            EVENT_NUMBER("deleted", sums->deleted), EVENT_NUMBER("remaining", sums->remaining),
            EVENT_DURATION("took", sums->ended_ns - sums->started_ns));
}

static void end_pass(struct reconcile *reconcile)
{
    post_to(reconcile, 0, home_at_the_end);
}

/* Who is being filled has little to tell; but two that are both being filled need each other. */
static bool counts(const struct reconcile *reconcile, const struct member *member)
{
    return member->is_alive && !member->is_removed && member->address.family != 0
           && member->state != STATE_INITING
           && (reconcile->is_filling || member->state != STATE_DSYNCING);
}

static bool is_to_stop(const struct reconcile *reconcile)
{
    return reconcile->storage->loops[0].phase != STORAGE_PHASE_RUNNING;
}

static void hold_arrived(struct io *here, struct io_message *message);

/* On loop 0: the next member, or the end. */
static void go_on(struct reconcile *reconcile)
{
    struct reconcile_sums *sums = &reconcile->sums;
    while (reconcile->member_at < reconcile->members.count
           && !counts(reconcile, reconcile_member(reconcile)))
        reconcile->member_at++;
    reconcile->shown = *sums;
    if (!is_to_stop(reconcile) && reconcile->member_at < reconcile->members.count) {
        reconcile->has_failed = false;
        memset(reconcile->through, 0, sizeof reconcile->through);
        post_to(reconcile, 0, hold_arrived);
        return;
    }
    close_gaps(reconcile);
    reconcile->was_complete = sums->members > 0 && sums->members_failed == 0 && sums->failed == 0
                              && !is_to_stop(reconcile);
    post_to(reconcile, 0, raise_arrived);
}

/* ---- tombstones stay on every loop, then the member's positions ---- */

static void ask_at_home(struct io *here, struct io_message *message)
{
    (void)here;
    reconcile_visit(reconcile_of(message), RECONCILE_ASKS);
}

static void hold_arrived(struct io *here, struct io_message *message)
{
    struct reconcile *reconcile = reconcile_of(message);
    (void)here;
    hold_tombstones(reconcile->loop, true);
    if (reconcile->at + 1u < reconcile->storage->loop_count)
        post_to(reconcile, (uint16_t)(reconcile->at + 1), hold_arrived);
    else
        post_to(reconcile, 0, ask_at_home);
}

/* ---- the loops, one after the other ---- */

static void visit_arrived(struct io *here, struct io_message *message)
{
    (void)here;
    reconcile_visit(reconcile_of(message), RECONCILE_COMPARES);
}

static void home_from_visits(struct io *here, struct io_message *message)
{
    struct reconcile *reconcile = reconcile_of(message);
    (void)here;
    reconcile->sums.members++;
    if (reconcile->has_failed)
        reconcile->sums.members_failed++;
    else
        keep_member(reconcile);
    reconcile->member_at++;
    go_on(reconcile);
}

static void confirm_at_home(struct io *here, struct io_message *message)
{
    (void)here;
    reconcile_visit(reconcile_of(message), RECONCILE_CONFIRMS);
}

static void scrub_arrived(struct io *here, struct io_message *message)
{
    (void)here;
    reconcile_visit(reconcile_of(message), RECONCILE_SCRUBS);
}

static void home_from_scrub(struct io *here, struct io_message *message)
{
    (void)here;
    go_on(reconcile_of(message));
}

void reconcile_visited(struct reconcile *reconcile)
{
    bool is_last = reconcile->at + 1u >= reconcile->storage->loop_count;
    uint16_t next = is_last ? 0 : (uint16_t)(reconcile->at + 1);
    switch (reconcile->errand) {
    case RECONCILE_SCRUBS:
        post_to(reconcile, next, is_last ? home_from_scrub : scrub_arrived);
        break;
    case RECONCILE_ASKS:
        post_to(reconcile, 0, reconcile->has_failed ? home_from_visits : visit_arrived);
        break;
    case RECONCILE_COMPARES:
        is_last |= reconcile->has_failed;
        post_to(reconcile, is_last ? 0 : next,
            !is_last                ? visit_arrived
            : reconcile->has_failed ? home_from_visits
                                    : confirm_at_home);
        break;
    case RECONCILE_CONFIRMS:
        post_to(reconcile, 0, home_from_visits);
        break;
    }
}

static void begin_pass(struct reconcile *reconcile)
{
    struct storage_loop *first = &reconcile->storage->loops[0];
    reconcile->is_running = true;
    reconcile->is_deep = reconcile->deep_is_wanted;
    reconcile->is_wanted = reconcile->deep_is_wanted = false;
    reconcile->pass++;
    reconcile->is_filling = reconcile->filled < reconcile->fills_asked;
    reconcile->filling = reconcile->fills_asked;
    reconcile->members = first->members;
    reconcile->member_at = 0;
    reconcile->has_least = false;
    reconcile->known.count = 0;
    reconcile->failure = ERR_OK;
    reconcile->files_all = reconcile->files_done = 0;
    reconcile->counted_of = 0;
    reconcile->asked = 0;
    reconcile->loop = first;
    reconcile->sums = (struct reconcile_sums){.started_ns = io_now(first->io)};
    reconcile->shown = reconcile->sums;
    if (reconcile->is_deep)
        post_to(reconcile, 0, scrub_arrived);
    else
        go_on(reconcile);
}

/* ---- life ---- */

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct reconcile *reconcile = CONTAINER_OF(tick, struct reconcile, tick);
    const struct storage *storage = reconcile->storage;
    bool is_filling = reconcile->filled < reconcile->fills_asked;
    bool is_due = (is_filling || storage->config.compare_interval_ns > 0)
                  && now_ns >= reconcile->next_ns && storage->loops[0].members.count > 0;
    if (!reconcile->is_running && (is_due || reconcile->is_wanted))
        begin_pass(reconcile);
}

uint64_t reconcile_bytes(void)
{
    return sizeof(struct unit_walk_memory) + RECONCILE_EXTRAS * sizeof(struct unit_file)
           + FRAME_DATA_MAX + 4 * RECONCILE_POSITIONS * sizeof(struct unit_position) + bulk_bytes();
}

static err_t take(struct reconcile *reconcile, struct mem *mem)
{
    void *block;
    struct reconcile_table *tables[] = {
        &reconcile->theirs, &reconcile->again, &reconcile->least, &reconcile->known};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        TRY(mem_take(
            mem, &reconcile->owner, RECONCILE_POSITIONS * sizeof(struct unit_position), 0, &block));
        tables[i]->rows = block;
    }
    TRY(mem_take(mem, &reconcile->owner, FRAME_DATA_MAX, 0, &block));
    reconcile->sheet = block;
    TRY(mem_take(mem, &reconcile->owner, sizeof(struct unit_walk_memory), 0, &block));
    reconcile->memory = block;
    TRY(mem_take(mem, &reconcile->owner, RECONCILE_EXTRAS * sizeof(struct unit_file), 0, &block));
    reconcile->extras = block;
    block = reconcile->sheet;
    reconcile->link.data = block;
    reconcile->link.capacity = FRAME_DATA_MAX;
    return bulk_open(&reconcile->bulk, mem, io_now(reconcile->storage->loops[0].io));
}

static void give(struct reconcile *reconcile, struct mem *mem)
{
    bulk_close(&reconcile->bulk, mem);
    mem_give(mem, reconcile->extras);
    mem_give(mem, reconcile->memory);
    mem_give(mem, reconcile->sheet);
    mem_give(mem, reconcile->known.rows);
    mem_give(mem, reconcile->least.rows);
    mem_give(mem, reconcile->again.rows);
    mem_give(mem, reconcile->theirs.rows);
    owner_close(&reconcile->owner);
}

err_t reconcile_open(struct reconcile *reconcile, struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    *reconcile = (struct reconcile){.storage = storage, .tick = {.tick = on_tick}};
    for (size_t i = 0; i < RECONCILE_TAKES; i++)
        reconcile->takes[i].reconcile = reconcile;
    owner_open(&reconcile->owner, "reconcile", DIRECTION_REBUILD, io_now(first->io));
    err_t err = take(reconcile, &first->mem);
    if (err_is(err))
        give(reconcile, &first->mem);
    reconcile->is_open = !err_is(err);
    return err;
}

void reconcile_run(struct reconcile *reconcile)
{
    if (!reconcile->is_open || reconcile->is_ticking)
        return;
    struct storage_loop *first = &reconcile->storage->loops[0];
    reconcile->is_ticking = true;
    if (reconcile_is_filled(reconcile)) /* else it is due */
        reconcile->next_ns = io_now(first->io) + reconcile->storage->config.compare_interval_ns;
    net_ticker_join(&first->net.ticker, &reconcile->tick);
}

bool reconcile_rest(struct reconcile *reconcile)
{
    if (!reconcile->is_open)
        return true;
    if (reconcile->is_ticking)
        net_ticker_leave(&reconcile->storage->loops[0].net.ticker, &reconcile->tick);
    reconcile->is_ticking = false;
    return !reconcile->is_running;
}

void reconcile_close(struct reconcile *reconcile)
{
    if (!reconcile->is_open)
        return;
    CHECK(!reconcile->is_running && !reconcile->is_ticking);
    give(reconcile, &reconcile->storage->loops[0].mem);
    reconcile->is_open = false;
}

uint64_t reconcile_request(struct reconcile *reconcile, bool is_deep)
{
    reconcile->is_wanted = true;
    reconcile->deep_is_wanted |= is_deep;
    return reconcile->pass + 1;
}

bool reconcile_is_over(const struct reconcile *reconcile, uint64_t pass)
{
    return reconcile->pass > pass || (reconcile->pass == pass && !reconcile->is_running);
}

void reconcile_fill(struct reconcile *reconcile)
{
    reconcile->fills_asked++;
    reconcile->is_lost = false;
    reconcile->next_ns = 0;
}

bool reconcile_is_filled(const struct reconcile *reconcile)
{
    return reconcile->filled == reconcile->fills_asked;
}

/* ---- filling: what the states of the storage ask for ---- */

static void lost_home(struct io *here, struct io_message *message)
{
    struct reconcile_word *word = CONTAINER_OF(message, struct reconcile_word, message);
    (void)here;
    word->is_out = false;
}

static void lost_arrived(struct io *here, struct io_message *message)
{
    struct reconcile_word *word = CONTAINER_OF(message, struct reconcile_word, message);
    struct reconcile *reconcile = &word->loop->storage->reconcile;
    if (reconcile_is_filled(reconcile))
        reconcile->is_lost = true;
    message->deliver = lost_home;
    io_post(here, word->loop->io, message);
}

void reconcile_note_lost(struct storage_loop *loop)
{
    struct reconcile_word *word = &loop->lost;
    if (word->is_out || loop->phase != STORAGE_PHASE_RUNNING)
        return;
    word->is_out = true;
    word->loop = loop;
    word->message.deliver = lost_arrived;
    io_post(loop->io, loop->first, &word->message);
}

static bool is_needed(const struct storage *storage)
{
    return storage->reconcile.is_lost;
}

static void start(struct storage *storage)
{
    reconcile_fill(&storage->reconcile);
}

static bool is_over(const struct storage *storage)
{
    return reconcile_is_filled(&storage->reconcile);
}

static void progress(const struct storage *storage, uint64_t *ret_done, uint64_t *ret_all)
{
    uint64_t done = storage->reconcile.files_done, all = storage->reconcile.files_all;
    *ret_done = done < all ? done : all; /* files that were changed meanwhile are met again */
    *ret_all = all;
}

struct storage_filling reconcile_filling(void)
{
    return (struct storage_filling){
        .is_needed = is_needed, .start = start, .is_over = is_over, .progress = progress};
}
