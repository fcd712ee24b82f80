#include "storage/pull.h"

#include "base/units.h"
#include "storage/server.h"

enum {
    PULL_CHOOSE,
    PULL_CONNECT,
    PULL_ASK,
    PULL_ENTRY,
    PULL_INTAKE,
    PULL_TAKEN,
    PULL_UNWIND,
    PULL_DONE,
    PULL_STAGES
};

static struct pull_slot *slot_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct pull_slot, machine);
}

static struct io *io_of(const struct pull_slot *slot)
{
    return slot->pulls->loop->io;
}

static void wake(struct pull_slot *slot)
{
    if (!slot->is_waiting)
        return;
    slot->is_waiting = false;
    machine_arrive(&slot->machine);
}

static int wait_in(struct pull_slot *slot, int next)
{
    slot->is_waiting = true;
    return machine_wait_in(&slot->machine, next, 1);
}

static void hang_up(struct pull_slot *slot)
{
    if (!slot->is_hung_up)
        net_client_close(&slot->client);
    slot->is_hung_up = slot->client.is_running;
}

/* ---- damage ---- */

void pull_note_damage(struct pulls *pulls, const struct identity *identity, err_t err)
{
    struct storage_loop *loop = pulls->loop;
    for (size_t i = 0; i < PULL_DAMAGES; i++)
        if (pulls->damages[i].clock == identity->clock
            && pulls->damages[i].origin == identity->origin)
            return;
    pulls->damages[pulls->damage_at++ % PULL_DAMAGES] =
        (struct pull_damage){identity->clock, identity->origin};
    pulls->damaged++;
    EVENT(&loop->log, ERROR, "damaged", &loop->owner, EVENT_MACHINE("origin", identity->origin),
        EVENT_NUMBER("clock", identity->clock), EVENT_ERR(err));
}

static void tell_repair(struct pull_slot *slot, err_t err)
{
    struct pulls *pulls = slot->pulls;
    const struct identity *identity = &slot->fetch->identity;
    struct storage_loop *loop = pulls->loop;
    if (!slot->fetch->is_repair)
        return;
    pull_note_damage(pulls, identity, err_is(err) ? err : ERR(CORRUPT, 0));
    if (err_is(err))
        return;
    pulls->repaired++;
    for (size_t i = 0; i < PULL_DAMAGES; i++) /* if it rots again, that is news */
        if (pulls->damages[i].clock == identity->clock
            && pulls->damages[i].origin == identity->origin)
            pulls->damages[i] = (struct pull_damage){0};
    EVENT(&loop->log, WARN, "repaired", &loop->owner, EVENT_MACHINE("origin", identity->origin),
        EVENT_NUMBER("clock", identity->clock), EVENT_MACHINE("from", slot->peer));
}

/* ---- whom to ask ---- */

static bool may_ask(const struct pull_slot *slot, const struct member *member, uint32_t index)
{
    bool is_named = slot->fetch->from_machine == member->machine;
    if ((slot->asked >> index & 1) || member->is_removed || member->address.family == 0)
        return false;
    return is_named || (slot->fetch->from_machine == 0 && member->is_alive);
}

static const struct member *choose(struct pull_slot *slot)
{
    const struct members *members = &slot->pulls->loop->members;
    uint32_t origin = slot->fetch->identity.origin;
    int found = -1;
    for (uint32_t i = 0; i < members->count; i++) {
        if (!may_ask(slot, &members->all[i], i))
            continue;
        if (found < 0 || members->all[i].machine == origin)
            found = (int)i;
    }
    if (found < 0)
        return NULL;
    slot->asked |= 1u << found;
    slot->peer = members->all[found].machine;
    return &members->all[found];
}

static int nobody_left(struct pull_slot *slot)
{
    if (slot->was_told_not_found)
        return machine_fail(&slot->machine, ERR(NOT_FOUND, 0));
    return machine_fail(&slot->machine, ERR(UNAVAILABLE, 0));
}

/* ---- the connection ---- */

/* Wakes whoever waits for the connection; in other stages its calls tell. */
static void on_ready(struct net_client *client)
{
    struct pull_slot *slot = client->config.context;
    slot->is_ready = true;
    wake(slot);
}

static void on_closed(struct net_client *client, err_t err)
{
    struct pull_slot *slot = client->config.context;
    (void)err; /* whatever it was: this member cannot be asked */
    slot->is_ready = slot->is_hung_up = false;
    wake(slot);
}

static err_t connect_to(struct pull_slot *slot, const struct member *member)
{
    struct storage_loop *loop = slot->pulls->loop;
    const struct storage *storage = loop->storage;
    return net_client_start(&slot->client, &loop->net,
        &(struct net_client_config){.address = member->address,
            .secret = &storage->options.secrets->node,
            .role = ROLE_NODE,
            .direction = DIRECTION_REBUILD,
            .machine = storage->config.machine_number,
            .call_max = 2,
            .connect_timeout_ns = PULL_CONNECT_S * NS_PER_S,
            .send_timeout_ns = PULL_TIMEOUT_S * NS_PER_S,
            .on_ready = on_ready,
            .on_closed = on_closed,
            .context = slot});
}

static bool speaks_to(const struct pull_slot *slot, const struct member *member)
{
    const struct io_address *a = &slot->client.config.address, *b = &member->address;
    return slot->client.is_running && slot->is_ready && !slot->is_hung_up && a->port == b->port
           && a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int pull_choose(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    const struct member *member = choose(slot);
    if (!member)
        return nobody_left(slot);
    slot->retries = 0;
    slot->has_dialled = false;
    slot->is_reused = speaks_to(slot, member);
    if (slot->is_reused)
        return PULL_ASK;
    hang_up(slot);
    return PULL_CONNECT;
}

static const struct member *member_of(const struct pull_slot *slot)
{
    return members_find(&slot->pulls->loop->members, slot->peer);
}

static int pull_connect(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    const struct member *member = member_of(slot);
    if (member && speaks_to(slot, member)) {
        bool is_it = slot->client.handshake.welcome.machine == slot->peer;
        if (is_it)
            return PULL_ASK;
        hang_up(slot); /* somebody else answers there */
        return PULL_CHOOSE;
    }
    if (slot->client.is_running) /* it goes, or comes */
        return wait_in(slot, PULL_CONNECT);
    if (!member || slot->has_dialled)
        return PULL_CHOOSE;
    slot->has_dialled = true;
    if (err_is(connect_to(slot, member)))
        return PULL_CHOOSE; /* the loop has no room now */
    return wait_in(slot, PULL_CONNECT);
}

/* ---- the question ---- */

static uint64_t deadline_of(const struct pull_slot *slot)
{
    return io_now(io_of(slot)) + PULL_TIMEOUT_S * NS_PER_S;
}

static void hold_frame(
    struct pull_slot *slot, const struct frame *frame, struct span meta, struct span data)
{
    struct msg_fetched fetched;
    if (!slot->has_answer) {
        bool is_fetched = frame->type == MSG_FETCHED && !err_is(msg_fetched_decode(meta, &fetched));
        slot->content_size = is_fetched ? fetched.content_size : UINT64_MAX;
    }
    slot->has_answer = true;
    slot->kept = net_buffer_keep(slot->client.delivering);
    slot->rest = data;
    slot->is_last = !(frame->flags & FRAME_MORE);
    slot->call.deadline_ns = 0; /* it is our turn */
    net_client_pause(&slot->client);
}

/* What the frame brings of the content, to the intake that waits for it. */
static void feed(struct pull_slot *slot, err_t err)
{
    struct machine *machine = slot->body_machine;
    struct body *body = &slot->body;
    slot->received += slot->rest.size;
    bool is_too_much = slot->received > slot->content_size;
    body->data = err_is(err) || is_too_much ? span_of(NULL, 0) : slot->rest;
    body->err = is_too_much ? ERR(PROTOCOL, 0) : err;
    body->is_last = slot->is_last;
    if (!err_is(body->err) && slot->is_last && slot->received < slot->content_size)
        body->err = ERR(CLOSED, 0);
    slot->rest = span_of(NULL, 0);
    slot->body_machine = NULL;
    if (machine)
        machine_arrive(machine);
}

static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct pull_slot *slot = call->context;
    CHECK(!slot->kept);
    slot->pulls->bytes += data.size;
    hold_frame(slot, frame, meta, data);
    if (slot->body_machine)
        feed(slot, ERR_OK);
    else
        wake(slot);
}

static void on_end(struct net_call *call, err_t err)
{
    struct pull_slot *slot = call->context;
    slot->is_call_out = false;
    slot->call_err = err;
    if (slot->body_machine)
        feed(slot, err_is(err) ? err : ERR(CLOSED, 0));
    else
        wake(slot);
}

static void let_go_frame(struct pull_slot *slot)
{
    net_buffer_drop(&slot->kept);
    slot->rest = span_of(NULL, 0);
    if (slot->client.is_running)
        net_client_resume(&slot->client);
}

static void body_next(struct body *body, struct machine *machine)
{
    struct pull_slot *slot = CONTAINER_OF(body, struct pull_slot, body);
    slot->body_machine = machine;
    slot->call.deadline_ns = deadline_of(slot);
    let_go_frame(slot);
    if (!slot->is_call_out)
        feed(slot, err_is(slot->call_err) ? slot->call_err : ERR(CLOSED, 0));
}

static int pull_ask(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    const struct intake_fetch *fetch = slot->fetch;
    uint8_t home[24];
    if (slot->is_call_out) /* the last answer is still on its way out */
        return wait_in(slot, PULL_ASK);
    let_go_frame(slot);
    slot->has_answer = slot->is_last = false;
    slot->entry_have = 0;
    slot->received = 0;
    slot->call_err = ERR_OK;
    place_encode(&fetch->home, home);
    slot->call = (struct net_call){
        .on_frame = on_frame, .on_end = on_end, .context = slot, .deadline_ns = deadline_of(slot)};
    struct writer fields = net_call_begin(&slot->call);
    msg_fetch_encode(&(struct msg_fetch){.clock = fetch->identity.clock,
                         .origin = fetch->identity.origin,
                         .suffix = span_of(fetch->identity.suffix, SUFFIX_FIELD),
                         .home = span_of(home, sizeof home)},
        &fields);
    err_t err = net_call_start(&slot->client, &slot->call, MSG_FETCH, 0, &fields, NULL, 0);
    if (err_is(err))
        return PULL_CHOOSE;
    slot->is_call_out = true;
    return wait_in(slot, PULL_ENTRY);
}

/* ---- the answer ---- */

/* The peer's answer was no file: what is to be done about it? */
static int no_answer(struct pull_slot *slot)
{
    err_t err = slot->call_err;
    if (err_has(err, ERR_CODE_NOT_FOUND) || err_has(err, ERR_CODE_WRONG_NODE)) {
        slot->was_told_not_found = true;
        slot->fetch->origin_lacks_it |= slot->peer == slot->fetch->identity.origin;
    }
    if (err_has(err, ERR_CODE_CORRUPT) || err_has(err, ERR_CODE_IO))
        slot->fetch->origin_is_damaged |= slot->peer == slot->fetch->identity.origin;
    bool may_be_stale = err_has(err, ERR_CODE_CLOSED) && slot->is_reused;
    bool has_changed = err_has(err, ERR_CODE_CONFLICT) || err_has(err, ERR_CODE_BUSY);
    if ((may_be_stale || has_changed) && slot->retries++ < PULL_RETRIES) {
        slot->is_reused = slot->has_dialled = false;
        return PULL_CONNECT;
    }
    return PULL_CHOOSE;
}

static bool is_asked_for(const struct pull_slot *slot, const struct record *record)
{
    const struct intake_fetch *fetch = slot->fetch;
    return record->kind == RECORD_FULL && record->origin == slot->peer
           && identity_equals(&record->identity, &fetch->identity)
           && place_equals(&record->home, &fetch->home) && record->total_size == slot->content_size
           && !(record->flags & RECORD_INLINE);
}

/* Gather the entry from the frames. PARTIAL: the next one is needed. */
static err_t gather(struct pull_slot *slot)
{
    for (;;) {
        size_t need;
        err_t err =
            entry_decode(span_of(slot->entry, slot->entry_have), &slot->intake.entry, &need);
        if (!err_has(err, ERR_CODE_PARTIAL))
            return err;
        if (need > sizeof slot->entry)
            return ERR(PROTOCOL, 0);
        size_t size = need - slot->entry_have;
        if (size > slot->rest.size)
            size = slot->rest.size;
        if (size == 0)
            return slot->is_last ? ERR(PROTOCOL, 0) : err;
        memcpy(slot->entry + slot->entry_have, slot->rest.data, size);
        slot->entry_have += size;
        slot->rest = span_of(slot->rest.data + size, slot->rest.size - size);
    }
}

static void intake_over(struct intake *intake)
{
    struct pull_slot *slot = CONTAINER_OF(intake, struct pull_slot, intake);
    slot->is_intake_out = false;
    wake(slot);
}

static int take_in(struct pull_slot *slot)
{
    struct entry entry = slot->intake.entry;
    slot->body = (struct body){.next = body_next};
    feed(slot, ERR_OK);
    if (err_is(slot->body.err))
        return PULL_TAKEN;
    slot->intake = (struct intake){.entry = entry,
        .content = &slot->body,
        .is_repair = slot->fetch->is_repair,
        .may_revive = slot->fetch->may_revive,
        .was_fetched = true, /* a fetch inside a fetch could wait for its own slot */
        .done = intake_over};
    int wait = wait_in(slot, PULL_INTAKE);
    slot->is_intake_out = true;
    intake_start(&slot->intake, &slot->pulls->loop->store);
    return wait;
}

static int pull_entry(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    if (!slot->has_answer || (!slot->kept && !slot->is_call_out))
        return no_answer(slot);
    slot->intake.err = ERR(PROTOCOL, 0);
    err_t err = slot->content_size == UINT64_MAX ? ERR(PROTOCOL, 0) : gather(slot);
    if (err_has(err, ERR_CODE_PARTIAL)) {
        slot->call.deadline_ns = deadline_of(slot);
        let_go_frame(slot);
        return wait_in(slot, PULL_ENTRY);
    }
    if (err_is(err) || !is_asked_for(slot, &slot->intake.entry.record))
        return PULL_TAKEN;
    return take_in(slot);
}

static int pull_intake(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    return slot->is_intake_out ? wait_in(slot, PULL_INTAKE) : PULL_TAKEN;
}

/* What is wrong with what the peer sent: another one may have better. */
static bool blames_peer(err_t err)
{
    return err_has(err, ERR_CODE_PROTOCOL) || err_has(err, ERR_CODE_CORRUPT)
           || err_has(err, ERR_CODE_UNSUPPORTED) || err_has(err, ERR_CODE_CONFLICT)
           || err_has(err, ERR_CODE_CLOSED) || err_has(err, ERR_CODE_TIMEOUT);
}

static int pull_taken(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    err_t err = slot->intake.err;
    bool is_cut = slot->is_call_out && !slot->is_last;
    if (is_cut || err_is(err)) /* nobody reads the rest: it is cheaper to connect again */
        hang_up(slot);
    let_go_frame(slot);
    if (slot->is_call_out)
        return wait_in(slot, PULL_TAKEN);
    if (!err_is(err)) {
        slot->pulls->pulled++;
        return PULL_UNWIND;
    }
    if (!blames_peer(err))
        return machine_fail(machine, err);
    slot->has_dialled = false;
    bool has_changed = err_has(slot->call_err, ERR_CODE_CONFLICT);
    return has_changed && slot->retries++ < PULL_RETRIES ? PULL_CONNECT : PULL_CHOOSE;
}

static int pull_unwind(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    slot->idle_ns = io_now(io_of(slot));
    return PULL_DONE;
}

static void serve_waiting(struct pulls *pulls);

static int pull_done(struct machine *machine)
{
    struct pull_slot *slot = slot_of(machine);
    struct pulls *pulls = slot->pulls;
    struct intake_fetch *fetch = slot->fetch;
    fetch->err = machine->err;
    if (fetch->held)
        stream_let_tombstones(fetch->held);
    fetch->held = NULL;
    tell_repair(slot, fetch->err);
    pulls->failed += err_is(fetch->err);
    owner_close(&machine->owner);
    slot->fetch = NULL;
    pulls->running--;
    pulls->loop->store.running--;
    if (pulls->is_stopping)
        hang_up(slot);
    fetch->done(fetch);
    serve_waiting(pulls);
    return STAGE_END;
}

static const struct stage pull_stages[PULL_STAGES] = {
    [PULL_CHOOSE] = {"choose", pull_choose, BIT(PULL_CONNECT) | BIT(PULL_ASK), 0},
    [PULL_CONNECT] = {"connect", pull_connect, BIT(PULL_CONNECT) | BIT(PULL_CHOOSE) | BIT(PULL_ASK),
        10000},
    [PULL_ASK] = {"ask", pull_ask, BIT(PULL_ASK) | BIT(PULL_CHOOSE) | BIT(PULL_ENTRY), 10000},
    [PULL_ENTRY] = {"entry", pull_entry,
        BIT(PULL_ENTRY) | BIT(PULL_CONNECT) | BIT(PULL_CHOOSE) | BIT(PULL_INTAKE) | BIT(PULL_TAKEN),
        10000},
    [PULL_INTAKE] = {"intake", pull_intake, BIT(PULL_INTAKE) | BIT(PULL_TAKEN), 60000},
    [PULL_TAKEN] = {"taken", pull_taken, BIT(PULL_TAKEN) | BIT(PULL_CONNECT) | BIT(PULL_CHOOSE),
        10000},
    [PULL_UNWIND] = {"unwind", pull_unwind, BIT(PULL_DONE), 0},
    [PULL_DONE] = {"done", pull_done, 0, 0},
};
static const struct machine_kind pull_kind = {
    "pull", pull_stages, PULL_STAGES, PULL_UNWIND, PULL_DONE};

/* ---- slots and who waits for them ---- */

static void begin(struct pull_slot *slot, struct intake_fetch *fetch)
{
    slot->fetch = fetch;
    slot->asked = 0;
    slot->was_told_not_found = false;
    slot->pulls->running++;
    machine_start(&slot->machine, &pull_kind, &io_of(slot)->run, DIRECTION_REBUILD);
    slot->machine.owner.object_clock = fetch->identity.clock;
    slot->machine.owner.object_origin = fetch->identity.origin;
}

static void serve_waiting(struct pulls *pulls)
{
    for (uint32_t i = 0; i < pulls->slot_count && !list_is_empty(&pulls->waiting); i++)
        if (!pulls->slots[i].fetch)
            begin(&pulls->slots[i],
                CONTAINER_OF(list_pop_front(&pulls->waiting), struct intake_fetch, link));
}

/* What is brought as if nothing was known here must meet the tombstone of a delete that comes meanwhile. */
static void hold_tombstones(struct intake_fetch *fetch)
{
    struct source_key source = source_key_of(&fetch->home);
    struct stream_place place = store_route(fetch->store, &source);
    fetch->held = NULL;
    if ((fetch->is_repair || fetch->may_revive)
        && !err_is(store_stream_at(fetch->store, &place, &fetch->held)))
        stream_hold_tombstones(fetch->held);
}

static void fetch_begin(struct intake_fetch *fetch)
{
    struct pulls *pulls = fetch->store->fetch_context;
    struct storage_loop *loop = pulls->loop;
    fetch->err = ERR_OK;
    hold_tombstones(fetch);
    fetch->link = (struct list){NULL, NULL};
    loop->store.running++;
    list_push_back(&pulls->waiting, &fetch->link);
    serve_waiting(pulls);
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct pulls *pulls = CONTAINER_OF(tick, struct pulls, tick);
    for (uint32_t i = 0; i < pulls->slot_count; i++) {
        struct pull_slot *slot = &pulls->slots[i];
        bool is_idle = !slot->fetch && now_ns >= slot->idle_ns + PULL_IDLE_S * NS_PER_S;
        if (is_idle || (pulls->is_stopping && !slot->fetch))
            hang_up(slot);
    }
}

/* ---- life ---- */

uint64_t pull_bytes(uint32_t slot_count)
{
    return slot_count * sizeof(struct pull_slot);
}

err_t pull_open(struct storage_loop *loop)
{
    struct pulls *pulls = &loop->pulls;
    void *block;
    *pulls = (struct pulls){.loop = loop, .tick = {.tick = on_tick}};
    if (loop->storage->budget.peers_max == 0)
        return ERR_OK;
    pulls->slot_count = loop->storage->budget.pull_max;
    list_init(&pulls->waiting);
    owner_open(&pulls->owner, "pulls", DIRECTION_REBUILD, io_now(loop->io));
    err_t err = mem_take(
        &loop->mem, &pulls->owner, pulls->slot_count * sizeof(struct pull_slot), 0, &block);
    if (err_is(err)) {
        owner_close(&pulls->owner);
        return err;
    }
    memset(block, 0, pulls->slot_count * sizeof(struct pull_slot));
    pulls->slots = block;
    for (uint32_t i = 0; i < pulls->slot_count; i++)
        pulls->slots[i].pulls = pulls;
    pulls->is_ticking = true;
    net_ticker_join(&loop->net.ticker, &pulls->tick);
    loop->store.fetch = fetch_begin;
    loop->store.fetch_context = pulls;
    return ERR_OK;
}

static bool is_quiet(const struct pulls *pulls)
{
    for (uint32_t i = 0; i < pulls->slot_count; i++)
        if (pulls->slots[i].fetch || pulls->slots[i].client.is_running)
            return false;
    return list_is_empty(&pulls->waiting);
}

bool pull_rest(struct storage_loop *loop)
{
    struct pulls *pulls = &loop->pulls;
    if (!pulls->slots)
        return true;
    pulls->is_stopping = true;
    for (uint32_t i = 0; i < pulls->slot_count; i++)
        if (!pulls->slots[i].fetch)
            hang_up(&pulls->slots[i]);
    if (!is_quiet(pulls))
        return false;
    if (pulls->is_ticking)
        net_ticker_leave(&loop->net.ticker, &pulls->tick);
    pulls->is_ticking = false;
    return true;
}

void pull_close(struct storage_loop *loop)
{
    struct pulls *pulls = &loop->pulls;
    if (!pulls->slots)
        return;
    CHECK(is_quiet(pulls));
    loop->store.fetch = NULL;
    if (pulls->is_ticking)
        net_ticker_leave(&loop->net.ticker, &pulls->tick);
    mem_give(&loop->mem, pulls->slots);
    pulls->slots = NULL;
    owner_close(&pulls->owner);
}
