/* A visit to one loop: see reconcile.h.
 *
 *   ASK <-> PASSED                                      RECONCILE_ASKS
 *   SCRUB <->                                           RECONCILE_SCRUBS
 *   SOURCE -> UNITS -> COMPARE -> INVENTORY -> FILES <-> LOOK -> SEEN -> TAKE | DELETE
 *     ^         ^         |  ^                   |
 *     |         |         |  |                   `-> WALK     own files that are not on this page
 *     |         |         |  `---- SETTLE <------'      once more: is it equal now?
 *     |         |---------'-> EXTRA <-> ASKED -> DELETE   what the member knows to be gone: reconcile_extra.c
 *     `---------' */
#include "base/units.h"
#include "storage/reconcile_parts.h"

static struct io *io_of(const struct reconcile *visit)
{
    return visit->loop->io;
}

static void wake(struct reconcile *visit)
{
    if (!visit->is_waiting)
        return;
    visit->is_waiting = false;
    machine_arrive(&visit->machine);
}

/* Until something ends, or a tick finds that it is time. */
static int wait_in(struct reconcile *visit, int next, uint64_t pause_ns)
{
    visit->is_waiting = true;
    visit->wake_ns = io_now(io_of(visit)) + pause_ns;
    return machine_wait_in(&visit->machine, next, 1);
}

bool reconcile_is_ending(const struct reconcile *visit)
{
    return visit->loop->phase != STORAGE_PHASE_RUNNING;
}

static void fill_tokens(struct reconcile *visit, uint64_t now_ns)
{
    uint64_t rate = visit->storage->config.rebuild_rate;
    uint64_t passed_ns = now_ns - visit->token_ns;
    if (passed_ns > NS_PER_S)
        passed_ns = NS_PER_S;
    visit->token_ns = now_ns;
    visit->tokens += (int64_t)(rate * passed_ns / NS_PER_S);
    if (visit->tokens > (int64_t)rate)
        visit->tokens = (int64_t)rate;
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct reconcile *visit = CONTAINER_OF(tick, struct reconcile, visit);
    fill_tokens(visit, now_ns);
    bulk_tick(&visit->bulk, now_ns);
    if (reconcile_is_ending(visit)) {
        peer_link_hang_up(&visit->link);
        bulk_end(&visit->bulk);
    }
    if (now_ns >= visit->wake_ns || reconcile_is_ending(visit))
        wake(visit);
}

/* ---- questions ---- */

/* The member cannot be gone through now: the next pass tries again. */
int reconcile_give_up(struct reconcile *visit, err_t err)
{
    visit->has_failed = true;
    visit->failure = err;
    return machine_fail(&visit->machine, err);
}

bool reconcile_begin_ask(struct reconcile *visit, struct writer *ret)
{
    return !reconcile_is_ending(visit)
           && !err_is(peer_link_begin(&visit->link, visit->loop, reconcile_member(visit), ret));
}

int reconcile_ask(struct reconcile *visit, int next, uint8_t type, const struct writer *fields)
{
    int wait = machine_wait_in(&visit->machine, next, 1);
    peer_link_ask(&visit->link, type, fields, &visit->machine);
    return wait;
}

/* A limit of the member was reached: it is asked again, a little later. */
static bool is_busy(struct reconcile *visit)
{
    if (err_has(visit->link.err, ERR_CODE_BUSY) && visit->busy < RECONCILE_BUSY_MAX) {
        visit->busy++;
        return true;
    }
    visit->busy = 0;
    return false;
}

static int ask_again(struct reconcile *visit, int stage)
{
    return wait_in(visit, stage, RECONCILE_PAUSE_MS / 2 * NS_PER_MS);
}

static struct span answer_of(const struct reconcile *visit)
{
    return span_of(visit->link.data, visit->link.size);
}

/* ---- how far is the member? ---- */

static int visit_begin(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (visit->errand == RECONCILE_SCRUBS) {
        visit->scrub_pass = scrub_request(&visit->loop->scrub);
        return VISIT_SCRUB;
    }
    return visit->errand == RECONCILE_COMPARES ? VISIT_SOURCE : VISIT_ASK;
}

static int visit_scrub(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    const struct scrub *scrub = &visit->loop->scrub;
    if (!scrub_is_over(scrub, visit->scrub_pass) && !reconcile_is_ending(visit))
        return wait_in(visit, VISIT_SCRUB, NS_PER_MS);
    visit->sums.read_files += scrub->last.files;
    visit->sums.read_bytes += scrub->last.bytes;
    visit->sums.damaged += scrub->last.damaged;
    visit->sums.healed += scrub->last.repaired;
    visit->sums.suspects += scrub->last.suspects;
    return VISIT_UNWIND;
}

static int visit_ask(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    struct writer fields;
    if (!reconcile_begin_ask(visit, &fields))
        return reconcile_give_up(visit, ERR(UNAVAILABLE, 0));
    msg_positions_encode(&(struct msg_positions){}, &fields);
    return reconcile_ask(visit, VISIT_PASSED, MSG_POSITIONS, &fields);
}

static err_t take_positions(struct reconcile *visit)
{
    struct msg_positions_reply reply;
    struct reader r = {.data = visit->link.data, .size = visit->link.size};
    TRY(visit->link.err);
    if (visit->link.type != MSG_POSITIONS_REPLY)
        return ERR(PROTOCOL, 0);
    TRY(msg_positions_reply_decode(peer_link_meta(&visit->link), &reply));
    if (reply.count > RECONCILE_POSITIONS)
        return ERR(TOO_LARGE, 0);
    struct reconcile_table *into =
        visit->errand == RECONCILE_CONFIRMS ? &visit->again : &visit->theirs;
    for (into->count = 0; into->count < reply.count; into->count++)
        TRY(unit_position_decode(&r, &into->rows[into->count]));
    return ERR_OK;
}

static int visit_passed(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (is_busy(visit))
        return ask_again(visit, VISIT_ASK);
    err_t err = take_positions(visit);
    if (err_is(err))
        return reconcile_give_up(visit, err);
    if (visit->errand == RECONCILE_CONFIRMS && !reconcile_confirm(visit))
        return reconcile_give_up(visit, ERR(CONFLICT, 0));
    bool is_to_count =
        visit->errand == RECONCILE_ASKS && visit->is_filling && visit->counted_of == 0;
    if (!is_to_count)
        return VISIT_UNWIND;
    visit->counted_of = reconcile_member(visit)->machine;
    visit->source_at = 0;
    visit->from = 0;
    return VISIT_COUNT;
}

/* ---- sources ---- */

static void begin_unit(struct reconcile *visit)
{
    visit->unit = visit->looks = visit->walks = 0;
    visit->extra_count = visit->extra_at = 0;
}

static int visit_source(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    for (; visit->source_at < visit->theirs.count; visit->source_at++) {
        const struct unit_position *row = &visit->theirs.rows[visit->source_at];
        struct source_key key = {row->machine, row->mount, row->stream};
        struct stream_place place = store_route(&visit->loop->store, &key);
        if (place.loop != visit->loop->index
            || err_is(store_stream_at(&visit->loop->store, &place, &visit->stream)))
            continue;
        visit->key = key;
        visit->is_through = true;
        visit->from = visit->counted = 0;
        begin_unit(visit);
        return VISIT_UNITS;
    }
    return VISIT_UNWIND;
}

/* ---- units ---- */

static int visit_units(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    struct writer fields;
    if (visit->stream->state != STREAM_OPEN || !reconcile_begin_ask(visit, &fields))
        return reconcile_give_up(visit, ERR(UNAVAILABLE, 0));
    msg_units_encode(&(struct msg_units){.machine = visit->key.machine,
                         .mount = visit->key.mount,
                         .stream = visit->key.stream,
                         .from = visit->from},
        &fields);
    visit->page_at = 0;
    visit->is_new_page = true;
    return reconcile_ask(visit, VISIT_COMPARE, MSG_UNITS, &fields);
}

static err_t take_units(struct reconcile *visit)
{
    struct msg_units_reply reply = {0};
    if (err_has(visit->link.err, ERR_CODE_NOT_FOUND)) {
        visit->page_count =
            0; /* it does not know the source (any more): it has none of its files */
        visit->page_next = 0;
        visit->is_through = false;
        return ERR_OK;
    }
    TRY(visit->link.err);
    if (visit->link.type != MSG_UNITS_REPLY)
        return ERR(PROTOCOL, 0);
    TRY(msg_units_reply_decode(peer_link_meta(&visit->link), &reply));
    bool is_whole = visit->link.size == (size_t)reply.count * UNIT_DIGEST_SIZE;
    bool goes_on = reply.next == 0 || reply.next > visit->from;
    if (!is_whole || !goes_on)
        return ERR(PROTOCOL, 0);
    visit->page_count = reply.count;
    visit->page_next = reply.next;
    return ERR_OK;
}

/* ---- how much there is, for people who wait ---- */

static int visit_count(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    struct writer fields;
    if (visit->source_at == visit->theirs.count)
        return VISIT_UNWIND;
    const struct unit_position *row = &visit->theirs.rows[visit->source_at];
    if (!reconcile_begin_ask(visit, &fields))
        return reconcile_give_up(visit, ERR(UNAVAILABLE, 0));
    msg_units_encode(&(struct msg_units){.machine = row->machine,
                         .mount = row->mount,
                         .stream = row->stream,
                         .from = visit->from},
        &fields);
    return reconcile_ask(visit, VISIT_COUNTED, MSG_UNITS, &fields);
}

static int visit_counted(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (is_busy(visit))
        return ask_again(visit, VISIT_COUNT);
    err_t err = take_units(visit);
    if (err_is(err))
        return reconcile_give_up(visit, err);
    struct reader r = {.data = visit->link.data, .size = visit->link.size};
    for (uint32_t i = 0; i < visit->page_count; i++) {
        struct unit_digest digest;
        if (err_is(unit_digest_decode(&r, &digest)))
            return reconcile_give_up(visit, ERR(PROTOCOL, 0));
        visit->files_all += digest.files;
    }
    visit->from = visit->page_next;
    visit->source_at += visit->page_next == 0;
    return VISIT_COUNT;
}

static int next_unit(struct reconcile *visit)
{
    visit->from = visit->unit + 1;
    begin_unit(visit);
    return VISIT_COMPARE;
}

static int go_through(struct reconcile *visit)
{
    struct digest none = {0};
    visit->sums.differed += visit->walks++ == 0;
    visit->is_suspect = scrub_is_suspect(&visit->loop->scrub, &visit->key, visit->unit);
    scrub_forget_suspect(&visit->loop->scrub, &visit->key, visit->unit);
    visit->before = visit->theirs_now;
    visit->listed = none;
    visit->cursor = visit->walk.cursor = 0;
    visit->extra_count = visit->extra_at = 0;
    visit->extras_deleted = 0;
    visit->has_walked = false;
    visit->has_more_extras = false;
    return VISIT_INVENTORY;
}

/* Were the files that the member told of those of its digest, before or after? */
static bool was_whole(const struct reconcile *visit)
{
    return digest_equals(&visit->listed, &visit->before)
           || digest_equals(&visit->listed, &visit->theirs_now);
}

static int look_again(struct reconcile *visit)
{
    visit->looks++;
    return wait_in(visit, VISIT_UNITS, RECONCILE_PAUSE_MS * NS_PER_MS);
}

/* The unit differs: look again, go through it, delete what the member knows to be gone, look again, and
 * in the end believe it. */
static int differs(struct reconcile *visit)
{
    visit->from = visit->unit;
    if (visit->walks == 0 && visit->looks == 0 && !visit->is_filling)
        return look_again(visit);
    bool is_whole = visit->walks > 0 && was_whole(visit);
    if (is_whole && visit->extra_at < visit->extra_count)
        return VISIT_EXTRA;
    bool goes_again = is_whole ? visit->has_more_extras && visit->extras_deleted > 0
                               : visit->walks < RECONCILE_WALKS;
    if (goes_again)
        return go_through(visit);
    visit->is_through &= is_whole;
    if (visit->looks < RECONCILE_LOOKS && !visit->is_filling)
        return look_again(visit);
    visit->sums.remaining++;
    return next_unit(visit);
}

static int visit_compare(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (visit->is_new_page && is_busy(visit))
        return ask_again(visit, VISIT_UNITS);
    err_t err = visit->is_new_page ? take_units(visit) : ERR_OK;
    if (err_is(err))
        return reconcile_give_up(visit, err);
    visit->is_new_page = false;
    uint64_t last = visit->unit;
    if (!reconcile_next_difference(visit)) {
        if (visit->from != 0)
            return VISIT_UNITS;
        visit->through[visit->source_at++] = visit->is_through;
        return VISIT_SOURCE;
    }
    if (visit->unit != last) {
        uint64_t unit = visit->unit;
        begin_unit(visit);
        visit->unit = unit;
    }
    return differs(visit);
}

/* ---- the files of a unit ---- */

static int visit_inventory(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    struct writer fields;
    if (!reconcile_begin_ask(visit, &fields))
        return reconcile_give_up(visit, ERR(UNAVAILABLE, 0));
    msg_inventory_encode(&(struct msg_inventory){.machine = visit->key.machine,
                             .mount = visit->key.mount,
                             .stream = visit->key.stream,
                             .unit = visit->unit,
                             .cursor = visit->cursor},
        &fields);
    visit->page_at = 0;
    return reconcile_ask(visit, VISIT_FILES, MSG_INVENTORY, &fields);
}

static err_t take_inventory(struct reconcile *visit)
{
    struct msg_inventory_reply reply;
    TRY(visit->link.err);
    if (visit->link.type != MSG_INVENTORY_REPLY)
        return ERR(PROTOCOL, 0);
    TRY(msg_inventory_reply_decode(peer_link_meta(&visit->link), &reply));
    bool is_whole = visit->link.size == (size_t)reply.count * UNIT_FILE_SIZE;
    bool goes_on = reply.next == 0 || reply.next > visit->cursor;
    if (!is_whole || !goes_on)
        return ERR(PROTOCOL, 0);
    visit->page_count = reply.count;
    visit->cursor = reply.next;
    return ERR_OK;
}

static bool is_of_unit(const struct reconcile *visit, const struct unit_file *file)
{
    struct source_key key = source_key_of(&file->home);
    uint32_t chunk_size = visit->loop->store.config.chunk_size;
    bool does_fit = file->home.kind != PLACE_PACKED
                    || (file->home.offset >= CHUNK_HEADER_SIZE
                        && file->home.offset + file->home.slot_size <= chunk_size);
    return source_key_equals(&key, &visit->key) && does_fit
           && unit_of(&file->identity, &file->home) == visit->unit;
}

static int visit_files(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (visit->page_at == 0 && is_busy(visit))
        return ask_again(visit, VISIT_INVENTORY);
    err_t err = visit->page_at == 0 ? take_inventory(visit) : ERR_OK;
    if (err_is(err))
        return reconcile_give_up(visit, err);
    if (visit->page_at == visit->page_count && reconcile_may_have_extras(visit))
        return VISIT_WALK;
    if (visit->page_at == visit->page_count)
        return visit->cursor != 0 ? VISIT_INVENTORY : VISIT_SETTLE;
    struct reader r = {.data = answer_of(visit).data, .size = answer_of(visit).size};
    r.at = (size_t)visit->page_at++ * UNIT_FILE_SIZE;
    err = unit_file_decode(&r, &visit->file);
    if (err_is(err) || !is_of_unit(visit, &visit->file))
        return reconcile_give_up(visit, ERR(PROTOCOL, 0));
    if (!(visit->file.flags & UNIT_FILE_DELETED))
        digest_add(&visit->listed,
            file_digest(
                &visit->file.identity, visit->file.version, visit->file.size, visit->file.crc),
            1);
    return VISIT_LOOK;
}

/* Where no record ever wrote nothing is: no need to look. */
static bool is_untouched(const struct reconcile *visit)
{
    struct chunk_key key = chunk_key_of(&visit->file.home);
    const struct chunk_entry *entry = stream_chunk_find(visit->stream, &key);
    return visit->file.home.kind == PLACE_PACKED
           && (!entry || visit->file.home.offset >= entry->end);
}

static int visit_look(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (is_untouched(visit)) {
        visit->object.err = ERR(NOT_FOUND, 0);
        return VISIT_SEEN;
    }
    struct store *store = &visit->loop->store;
    struct fid fid = unit_fid(store, &visit->file.identity, &visit->file.home);
    int wait = machine_wait_in(machine, VISIT_SEEN, 1);
    object_open_identity(&visit->object, store, &fid, false, machine);
    return wait;
}

/* ---- deleting what the member knows to be deleted ---- */

static void delete_over(struct intake *intake)
{
    struct reconcile *visit = CONTAINER_OF(intake, struct reconcile, delete);
    visit->is_delete_out = false;
    wake(visit);
}

int reconcile_delete(struct reconcile *visit)
{
    const struct unit_file *file = &visit->file;
    visit->delete = (struct intake){.done = delete_over};
    visit->delete.entry.record = (struct record){.kind = RECORD_DELETE,
        .origin = reconcile_member(visit)->machine,
        .mount = file->home.mount,
        .stream = file->home.stream,
        .identity = file->identity,
        .version = file->version,
        .time_ns = io_wall(io_of(visit)),
        .home = file->home};
    int wait = wait_in(visit, VISIT_DELETED, NS_PER_HOUR);
    visit->is_delete_out = true;
    intake_start(&visit->delete, &visit->loop->store);
    return wait;
}

static int visit_deleted(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (visit->is_delete_out)
        return wait_in(visit, VISIT_DELETED, NS_PER_HOUR);
    if (err_is(visit->delete.err))
        visit->sums.failed++;
    else
        visit->sums.deleted++;
    return visit->extra_at > 0 ? VISIT_EXTRA : VISIT_FILES;
}

/* ---- taking ---- */

static void bulk_taken(struct bulk *bulk, const struct bulk_want *want, err_t err)
{
    struct reconcile *visit = bulk->context;
    if (want && !err_is(err)) {
        visit->sums.taken++;
        visit->sums.bytes += want->size;
    } else if (want && !err_has(err, ERR_CODE_NOT_FOUND)) {
        visit->sums.failed++;
        visit->is_through = false;
    }
    wake(visit);
}

static void take_over(struct intake_fetch *fetch)
{
    struct reconcile_take *take = CONTAINER_OF(fetch, struct reconcile_take, fetch);
    struct reconcile *visit = take->reconcile;
    take->is_out = false;
    if (!err_is(fetch->err)) {
        visit->sums.taken++;
        visit->sums.repaired += fetch->is_repair;
        visit->sums.bytes += take->size;
    } else if (!err_has(fetch->err, ERR_CODE_NOT_FOUND)) { /* deleted meanwhile: nothing to take */
        visit->sums.failed++;
        visit->is_through = false;
    }
    wake(visit);
}

static struct reconcile_take *free_take(struct reconcile *visit)
{
    for (size_t i = 0; i < RECONCILE_TAKES; i++)
        if (!visit->takes[i].is_out)
            return &visit->takes[i];
    return NULL;
}

static int visit_take(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    bool is_repair = err_has(visit->object.err, ERR_CODE_CORRUPT);
    bool is_bulk = !is_repair && bulk_fits(&visit->file);
    struct reconcile_take *take = is_bulk ? NULL : free_take(visit);
    bool is_throttled = visit->storage->config.rebuild_rate > 0 && visit->tokens < 0;
    if (reconcile_is_ending(visit))
        return reconcile_give_up(visit, ERR(CANCELLED, 0));
    if (is_throttled) {
        bulk_flush(&visit->bulk);
        return wait_in(visit, VISIT_TAKE, NS_PER_MS);
    }
    if (is_bulk && bulk_add(&visit->bulk, &visit->file, visit->is_suspect)) {
        visit->tokens -= (int64_t)visit->file.size;
        return VISIT_FILES;
    }
    if (!take)
        return wait_in(visit, VISIT_TAKE, NS_PER_HOUR);
    take->is_out = true;
    take->size = visit->file.size;
    take->fetch = (struct intake_fetch){.store = &visit->loop->store,
        .identity = visit->file.identity,
        .home = visit->file.home,
        .from_machine = reconcile_member(visit)->machine,
        .is_repair = is_repair,
        .may_revive = visit->is_suspect,
        .done = take_over};
    visit->tokens -= (int64_t)visit->file.size;
    visit->loop->store.fetch(&take->fetch);
    return VISIT_FILES;
}

/* Would we have it, or would one of those that were gone through in this pass, if it lived? Then it was
 * deleted. But of a unit that the scrub suspects something was lost. */
static bool was_deleted(struct reconcile *visit, const struct identity *identity)
{
    const struct unit_position *known =
        reconcile_row(&visit->known, visit->key.machine, visit->key.mount, visit->key.stream);
    bool is_known = known && coverage_has(&known->coverage, identity->clock);
    bool is_covered = stream_covers(visit->stream, &visit->key, identity->clock);
    return !visit->is_suspect && (is_covered || is_known);
}

static int visit_seen(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    const struct unit_file *file = &visit->file;
    err_t err = visit->object.err;
    struct version version = visit->object.header.version;
    bool is_here = !err_is(err);
    object_close(&visit->object);
    visit->sums.files++;
    reconcile_note_done(visit, 1);
    bool is_no_answer =
        !is_here && !err_has(err, ERR_CODE_NOT_FOUND) && !err_has(err, ERR_CODE_CORRUPT);
    if (is_no_answer)
        return reconcile_give_up(visit, err);
    if (file->flags & UNIT_FILE_DELETED)
        return is_here ? reconcile_delete(visit) : VISIT_FILES;
    if (is_here)
        return version_compare(version, file->version) < 0 ? VISIT_TAKE : VISIT_FILES;
    if (err_has(err, ERR_CODE_CORRUPT) || !was_deleted(visit, &file->identity))
        return VISIT_TAKE;
    visit->sums.held_back++;
    return VISIT_FILES;
}

static bool has_takes(const struct reconcile *visit)
{
    for (size_t i = 0; i < RECONCILE_TAKES; i++)
        if (visit->takes[i].is_out)
            return true;
    return false;
}

static int visit_settle(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    bulk_flush(&visit->bulk);
    if (has_takes(visit) || !bulk_is_idle(&visit->bulk))
        return wait_in(visit, VISIT_SETTLE, NS_PER_HOUR);
    visit->from = visit->unit;
    return VISIT_UNITS;
}

/* ---- the way out ---- */

static int visit_unwind(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    object_close(&visit->object);
    peer_link_hang_up(&visit->link);
    bulk_end(&visit->bulk);
    return VISIT_HUNG_UP;
}

static int visit_hung_up(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    bool is_gone = peer_link_is_idle(&visit->link) && bulk_is_idle(&visit->bulk);
    if (has_takes(visit) || visit->is_delete_out || !is_gone)
        return wait_in(visit, VISIT_HUNG_UP, NS_PER_MS);
    net_ticker_leave(&visit->loop->net.ticker, &visit->visit);
    return VISIT_DONE;
}

static int visit_done(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    owner_close(&machine->owner);
    visit->loop->store.running--;
    reconcile_visited(visit);
    return STAGE_END;
}

static const struct stage visit_stages[VISIT_STAGES] = {
    [VISIT_BEGIN] = {"begin", visit_begin, BIT(VISIT_ASK) | BIT(VISIT_SOURCE) | BIT(VISIT_SCRUB),
        0},
    [VISIT_SCRUB] = {"scrub", visit_scrub, BIT(VISIT_SCRUB), 0},
    [VISIT_ASK] = {"ask", visit_ask, BIT(VISIT_PASSED), 5000},
    [VISIT_COUNT] = {"count", visit_count, BIT(VISIT_COUNTED), 0},
    [VISIT_COUNTED] = {"counted", visit_counted, BIT(VISIT_COUNT), 30000},
    [VISIT_PASSED] = {"passed", visit_passed, BIT(VISIT_ASK) | BIT(VISIT_COUNT), 30000},
    [VISIT_SOURCE] = {"source", visit_source, BIT(VISIT_UNITS), 0},
    [VISIT_UNITS] = {"units", visit_units, BIT(VISIT_COMPARE), 5000},
    [VISIT_COMPARE] = {"compare", visit_compare,
        BIT(VISIT_UNITS) | BIT(VISIT_SOURCE) | BIT(VISIT_COMPARE) | BIT(VISIT_INVENTORY)
            | BIT(VISIT_EXTRA),
        30000},
    [VISIT_INVENTORY] = {"inventory", visit_inventory, BIT(VISIT_FILES), 0},
    [VISIT_FILES] = {"files", visit_files,
        BIT(VISIT_INVENTORY) | BIT(VISIT_LOOK) | BIT(VISIT_SETTLE) | BIT(VISIT_WALK), 30000},
    [VISIT_LOOK] = {"look", visit_look, BIT(VISIT_SEEN), 0},
    [VISIT_SEEN] = {"seen", visit_seen, BIT(VISIT_FILES) | BIT(VISIT_TAKE) | BIT(VISIT_DELETED),
        5000},
    [VISIT_TAKE] = {"take", visit_take, BIT(VISIT_TAKE) | BIT(VISIT_FILES), 60000},
    [VISIT_DELETED] = {"deleted", visit_deleted,
        BIT(VISIT_DELETED) | BIT(VISIT_FILES) | BIT(VISIT_EXTRA), 60000},
    [VISIT_SETTLE] = {"settle", visit_settle, BIT(VISIT_SETTLE) | BIT(VISIT_UNITS), 60000},
    [VISIT_WALK] = {"walk", reconcile_walk, BIT(VISIT_WALKED), 0},
    [VISIT_WALKED] = {"walked", reconcile_walked, BIT(VISIT_INVENTORY) | BIT(VISIT_SETTLE), 60000},
    [VISIT_EXTRA] = {"extra", reconcile_extra, BIT(VISIT_ASKED) | BIT(VISIT_UNITS), 0},
    [VISIT_ASKED] = {"asked", reconcile_asked, BIT(VISIT_EXTRA) | BIT(VISIT_DELETED), 30000},
    [VISIT_UNWIND] = {"unwind", visit_unwind, BIT(VISIT_HUNG_UP), 0},
    [VISIT_HUNG_UP] = {"hung-up", visit_hung_up, BIT(VISIT_HUNG_UP) | BIT(VISIT_DONE), 60000},
    [VISIT_DONE] = {"done", visit_done, 0, 0},
};
static const struct machine_kind visit_kind = {
    "reconcile", visit_stages, VISIT_STAGES, VISIT_UNWIND, VISIT_DONE};

void reconcile_visit(struct reconcile *reconcile, enum reconcile_errand errand)
{
    struct storage_loop *loop = reconcile->loop;
    reconcile->errand = errand;
    reconcile->source_at = 0;
    reconcile->unit = reconcile->looks = reconcile->busy = 0;
    reconcile->is_waiting = reconcile->is_delete_out = false;
    reconcile->object.store = NULL;
    reconcile->token_ns = io_now(loop->io);
    if (loop->phase != STORAGE_PHASE_RUNNING || !loop->store.fetch) {
        reconcile->has_failed = true;
        reconcile_visited(reconcile);
        return;
    }
    bulk_begin(&reconcile->bulk, loop, reconcile_member(reconcile), &reconcile->link);
    reconcile->bulk.taken = bulk_taken;
    reconcile->bulk.context = reconcile;
    reconcile->visit.tick = on_tick;
    net_ticker_join(&loop->net.ticker, &reconcile->visit);
    loop->store.running++;
    machine_start(&reconcile->machine, &visit_kind, &loop->io->run, DIRECTION_REBUILD);
}
