/* Files that are here and not at the member, of a unit that differs: those that the member knows to be gone
 * are deleted here, too.
 *
 *   for each page of its inventory   WALK over our files up to the page's end: those that are not on it
 *   then, if its list was whole      each of them is asked for: GONE? -> deleted here
 *
 * The proof is the member's: it covers the id (wire/coverage.h) and does not have it. A list that is not
 * what its digest says proves nothing: the member may have lost something without knowing it. */
#include "base/units.h"
#include "storage/reconcile_parts.h"

static uint64_t quiet_since(struct reconcile *visit)
{
    const struct source *source = stream_source_find(visit->stream, &visit->key);
    if (!source)
        return 0;
    if (unit_is_bucket(visit->unit))
        return source->changed_ns[visit->unit - UNIT_BUCKET_FIRST];
    const struct chunk_entry *entry = chunk_table_find(&visit->stream->chunks,
        source_index(&visit->stream->sources, source), (uint32_t)visit->unit);
    return entry ? entry->changed_ns : 0;
}

/* Of a unit that is being changed the changes tell; to walk it each time would be in vain. */
bool reconcile_may_have_extras(struct reconcile *visit)
{
    uint64_t now = io_now(visit->loop->io);
    return visit->is_filling
           || now >= quiet_since(visit) + (uint64_t)RECONCILE_QUIET_MS * NS_PER_MS;
}

/* The order in which files are listed: wire/unit.h, unit_walk.h. */
static uint64_t order_of(const struct unit_file *file)
{
    return file->home.kind == PLACE_PACKED ? file->home.offset : file->identity.clock;
}

static bool file_on_page(const struct reconcile *visit, uint32_t index, struct unit_file *ret)
{
    struct reader r = {.data = visit->link.data, .size = visit->link.size};
    r.at = (size_t)index * UNIT_FILE_SIZE;
    return !err_is(unit_file_decode(&r, ret));
}

static bool is_on_page(const struct reconcile *visit, const struct unit_file *file)
{
    struct unit_file there;
    uint32_t low = 0, high = visit->page_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (file_on_page(visit, middle, &there) && order_of(&there) < order_of(file))
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < visit->page_count && file_on_page(visit, low, &there)
           && order_of(&there) == order_of(file);
         low++)
        if (identity_equals(&there.identity, &file->identity))
            return true;
    return false;
}

static bool is_behind_page(const struct reconcile *visit, const struct unit_file *file)
{
    struct unit_file last;
    bool is_last_page = visit->cursor == 0;
    return !is_last_page && visit->page_count > 0
           && file_on_page(visit, visit->page_count - 1, &last) && order_of(file) > order_of(&last);
}

static bool see_own(struct unit_walk *walk, const struct unit_file *file)
{
    struct reconcile *visit = walk->context;
    const struct coverage *theirs = &visit->theirs.rows[visit->source_at].coverage;
    if (is_behind_page(visit, file))
        return false;
    bool is_dead = file->flags & UNIT_FILE_DELETED;
    if (is_dead || !coverage_has(theirs, file->identity.clock) || is_on_page(visit, file))
        return true;
    if (visit->extra_count < RECONCILE_EXTRAS)
        visit->extras[visit->extra_count++] = *file;
    else
        visit->has_more_extras = true;
    return true;
}

static void walked(struct unit_walk *walk)
{
    struct reconcile *visit = walk->context;
    machine_arrive(&visit->machine);
}

int reconcile_walk(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    uint64_t cursor = visit->walk.cursor;
    bool is_through = visit->has_walked && cursor == 0;
    if (is_through)
        return VISIT_WALKED;
    visit->has_walked = true;
    visit->walk = (struct unit_walk){.store = &visit->loop->store,
        .stream = visit->stream,
        .source = visit->key,
        .unit = visit->unit,
        .cursor = cursor,
        .memory = visit->memory,
        .see = see_own,
        .done = walked,
        .context = visit};
    int wait = machine_wait_in(machine, VISIT_WALKED, 1);
    unit_walk_start(&visit->walk);
    return wait;
}

int reconcile_walked(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    err_t err = visit->walk.machine.err;
    if (err_is(err))
        return reconcile_give_up(visit, err);
    return visit->cursor != 0 ? VISIT_INVENTORY : VISIT_SETTLE;
}

static int ask_for(struct reconcile *visit, const struct unit_file *file)
{
    struct writer fields;
    uint8_t home[24];
    if (!reconcile_begin_ask(visit, &fields))
        return reconcile_give_up(visit, ERR(UNAVAILABLE, 0));
    place_encode(&file->home, home);
    msg_fetch_encode(&(struct msg_fetch){.clock = file->identity.clock,
                         .origin = file->identity.origin,
                         .suffix = span_of(file->identity.suffix, SUFFIX_FIELD),
                         .home = span_of(home, sizeof home),
                         .head_only = 1},
        &fields);
    return reconcile_ask(visit, VISIT_ASKED, MSG_FETCH, &fields);
}

int reconcile_extra(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    if (reconcile_is_ending(visit))
        return reconcile_give_up(visit, ERR(CANCELLED, 0));
    if (visit->extra_at < visit->extra_count)
        return ask_for(visit, &visit->extras[visit->extra_at++]);
    return VISIT_UNITS;
}

/* BUSY and the like: not this time. */
int reconcile_asked(struct machine *machine)
{
    struct reconcile *visit = visit_of(machine);
    struct msg_fetched fetched;
    if (err_has(visit->link.err, ERR_CODE_CLOSED) || err_has(visit->link.err, ERR_CODE_TIMEOUT))
        return reconcile_give_up(visit, visit->link.err);
    bool is_gone = !err_is(visit->link.err) && visit->link.type == MSG_FETCHED
                   && !err_is(msg_fetched_decode(peer_link_meta(&visit->link), &fetched))
                   && fetched.is_gone;
    if (!is_gone)
        return VISIT_EXTRA;
    visit->file = visit->extras[visit->extra_at - 1];
    visit->file.version.counter++; /* of the delete that was missed: nobody will compare it */
    visit->extras_deleted++;
    return reconcile_delete(visit);
}
