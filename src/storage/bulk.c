#include "storage/bulk.h"

#include "base/units.h"
#include "storage/server.h"

enum {
    BATCH_ASK,
    BATCH_ANSWER,
    BATCH_APPLY,
    BATCH_LEFT,
    BATCH_FETCHED,
    BATCH_UNWIND,
    BATCH_DONE,
    BATCH_STAGES
};

static struct bulk_batch *batch_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct bulk_batch, machine);
}

static void wake(struct bulk_batch *batch)
{
    if (!batch->is_waiting)
        return;
    batch->is_waiting = false;
    machine_arrive(&batch->machine);
}

static int wait_in(struct bulk_batch *batch, int next, uint64_t pause_ns)
{
    batch->is_waiting = true;
    batch->wake_ns = io_now(batch->bulk->loop->io) + pause_ns;
    return machine_wait_in(&batch->machine, next, 1);
}

static void tell(struct bulk_batch *batch, struct bulk_want *want, err_t err)
{
    want->is_done = true;
    batch->bulk->taken(batch->bulk, want, err);
}

/* ---- the question ---- */

static int batch_ask(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    struct bulk *bulk = batch->bulk;
    struct writer fields;
    struct writer wants = {.data = batch->request, .capacity = sizeof batch->request};
    if (bulk->is_ending)
        return machine_fail(machine, ERR(CANCELLED, 0));
    err_t err = peer_link_begin(&batch->link, bulk->loop, &bulk->member, &fields);
    if (err_is(err))
        return machine_fail(machine, err);
    for (uint32_t i = 0; i < batch->count; i++)
        unit_want_encode(&batch->wants[i].identity, &batch->wants[i].home, &wants);
    CHECK(!wants.failed);
    msg_harvest_encode(&(struct msg_harvest){.count = batch->count}, &fields);
    int wait = machine_wait_in(machine, BATCH_ANSWER, 1);
    batch->link.body = (struct iovec){wants.data, wants.size};
    peer_link_ask(&batch->link, MSG_HARVEST, &fields, machine);
    return wait;
}

static int batch_answer(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    struct msg_harvested reply;
    err_t err = batch->link.err;
    if (err_has(err, ERR_CODE_BUSY) && batch->busy++ < BULK_BUSY_MAX)
        return wait_in(batch, BATCH_ASK, BULK_PAUSE_MS * NS_PER_MS);
    if (err_has(err, ERR_CODE_TOO_LARGE) || err_has(err, ERR_CODE_NOT_FOUND))
        batch->link.size = 0; /* grown meanwhile, or gone: one by one */
    else if (err_is(err))
        return machine_fail(machine, err);
    else if (batch->link.type != MSG_HARVESTED
             || err_is(msg_harvested_decode(peer_link_meta(&batch->link), &reply)))
        return machine_fail(machine, ERR(PROTOCOL, 0));
    batch->at = 0;
    batch->next = 0;
    return BATCH_APPLY;
}

/* ---- what came ---- */

static bool is_asked_for(
    const struct bulk *bulk, const struct record *record, const struct bulk_want *want)
{
    return record->kind == RECORD_FULL && record->origin == bulk->member.machine
           && record->flags & RECORD_INLINE && identity_equals(&record->identity, &want->identity)
           && place_equals(&record->home, &want->home);
}

/* Entries come in the order of the wants; some are left out. NULL: nobody asked for it. */
static struct bulk_want *find_want(struct bulk_batch *batch, const struct record *record)
{
    while (batch->next < batch->count) {
        struct bulk_want *want = &batch->wants[batch->next++];
        if (is_asked_for(batch->bulk, record, want))
            return want;
    }
    return NULL;
}

static void intake_over(struct intake *intake)
{
    struct bulk_intake *one = CONTAINER_OF(intake, struct bulk_intake, intake);
    struct bulk_batch *batch = one->batch;
    struct bulk *bulk = batch->bulk;
    batch->running--;
    list_push_back(&bulk->free, &one->link);
    if (!err_is(intake->err)) {
        bulk->harvested++;
        tell(batch, &batch->wants[one->want], ERR_OK);
    }
    for (size_t i = 0; i < BULK_BATCHES; i++)
        wake(&bulk->batches[i]);
}

static void start_intake(
    struct bulk_batch *batch, const struct entry *entry, const struct bulk_want *want)
{
    struct bulk *bulk = batch->bulk;
    struct bulk_intake *one = CONTAINER_OF(list_pop_front(&bulk->free), struct bulk_intake, link);
    one->batch = batch;
    one->want = (uint32_t)(want - batch->wants);
    one->intake = (struct intake){.entry = *entry,
        .may_revive = want->may_revive,
        .was_fetched = true, /* what it does not find is fetched alone, behind it */
        .done = intake_over};
    batch->running++;
    intake_start(&one->intake, &bulk->loop->store);
}

static int batch_apply(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    while (batch->at < batch->link.size) {
        struct entry entry;
        size_t size;
        if (list_is_empty(&batch->bulk->free))
            return wait_in(batch, BATCH_APPLY, NS_PER_HOUR);
        struct span rest = span_of(batch->link.data + batch->at, batch->link.size - batch->at);
        struct bulk_want *want =
            err_is(entry_decode(rest, &entry, &size)) ? NULL : find_want(batch, &entry.record);
        if (!want) { /* it talks nonsense from here on */
            batch->link.size = batch->at;
            break;
        }
        batch->at += size;
        start_intake(batch, &entry, want);
    }
    if (batch->running > 0)
        return wait_in(batch, BATCH_APPLY, NS_PER_HOUR);
    batch->next = 0;
    return BATCH_LEFT;
}

/* ---- what did not come ---- */

static void fetch_over(struct intake_fetch *fetch)
{
    struct bulk_batch *batch = fetch->context;
    batch->is_fetch_out = false;
    wake(batch);
}

static struct bulk_want *left_of(struct bulk_batch *batch)
{
    for (; batch->next < batch->count; batch->next++)
        if (!batch->wants[batch->next].is_done)
            return &batch->wants[batch->next];
    return NULL;
}

static int batch_left(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    struct bulk *bulk = batch->bulk;
    struct bulk_want *want = left_of(batch);
    if (!want)
        return BATCH_UNWIND;
    if (bulk->is_ending)
        return machine_fail(machine, ERR(CANCELLED, 0));
    batch->fetch = (struct intake_fetch){.store = &bulk->loop->store,
        .identity = want->identity,
        .home = want->home,
        .from_machine = bulk->member.machine,
        .may_revive = want->may_revive,
        .done = fetch_over,
        .context = batch};
    int wait = wait_in(batch, BATCH_FETCHED, NS_PER_HOUR);
    batch->is_fetch_out = true;
    bulk->loop->store.fetch(&batch->fetch);
    return wait;
}

static int batch_fetched(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    if (batch->is_fetch_out)
        return wait_in(batch, BATCH_FETCHED, NS_PER_HOUR);
    tell(batch, &batch->wants[batch->next], batch->fetch.err);
    return BATCH_LEFT;
}

/* ---- one way out ---- */

static int batch_unwind(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    for (uint32_t i = 0; i < batch->count; i++)
        if (!batch->wants[i].is_done)
            tell(batch, &batch->wants[i], machine->err);
    return BATCH_DONE;
}

static int batch_done(struct machine *machine)
{
    struct bulk_batch *batch = batch_of(machine);
    struct bulk *bulk = batch->bulk;
    CHECK(batch->running == 0 && !batch->is_fetch_out);
    owner_close(&machine->owner);
    bulk->loop->store.running--;
    batch->is_out = false;
    batch->count = 0;
    bulk->taken(bulk, NULL, ERR_OK);
    return STAGE_END;
}

static const struct stage batch_stages[BATCH_STAGES] = {
    [BATCH_ASK] = {"ask", batch_ask, BIT(BATCH_ANSWER), 10000},
    [BATCH_ANSWER] = {"answer", batch_answer, BIT(BATCH_ASK) | BIT(BATCH_APPLY), 30000},
    [BATCH_APPLY] = {"apply", batch_apply, BIT(BATCH_APPLY) | BIT(BATCH_LEFT), 60000},
    [BATCH_LEFT] = {"left", batch_left, BIT(BATCH_FETCHED), 0},
    [BATCH_FETCHED] = {"fetched", batch_fetched, BIT(BATCH_FETCHED) | BIT(BATCH_LEFT), 60000},
    [BATCH_UNWIND] = {"unwind", batch_unwind, BIT(BATCH_DONE), 0},
    [BATCH_DONE] = {"done", batch_done, 0, 0},
};
static const struct machine_kind batch_kind = {
    "bulk", batch_stages, BATCH_STAGES, BATCH_UNWIND, BATCH_DONE};

static void start(struct bulk_batch *batch)
{
    struct bulk *bulk = batch->bulk;
    batch->is_out = true;
    batch->is_waiting = batch->is_fetch_out = false;
    batch->busy = batch->running = 0;
    bulk->loop->store.running++;
    machine_start(&batch->machine, &batch_kind, &bulk->loop->io->run, DIRECTION_REBUILD);
    batch->machine.owner.peer_machine = bulk->member.machine;
}

/* ---- what is wanted ---- */

bool bulk_fits(const struct unit_file *file)
{
    bool is_plain = !(file->flags & (UNIT_FILE_DELETED | UNIT_FILE_SINGLE | UNIT_FILE_FORWARDED));
    return is_plain && file->home.kind == PLACE_PACKED && file->home.slot_size <= BULK_SLOT_MAX;
}

/* Header, attributes, table and content fit the slot. */
static size_t answer_size(const struct unit_file *file)
{
    return ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE + RECORD_EXTENSION_SIZE + file->home.slot_size
           + 16;
}

static struct bulk_batch *free_batch(struct bulk *bulk)
{
    for (size_t i = 0; i < BULK_BATCHES; i++)
        if (!bulk->batches[i].is_out)
            return &bulk->batches[i];
    return NULL;
}

bool bulk_add(struct bulk *bulk, const struct unit_file *file, bool may_revive)
{
    struct bulk_batch *batch = bulk->filling;
    size_t size = answer_size(file);
    if (batch && (batch->count == BULK_WANTS || batch->size + size > BULK_ANSWER_MAX)) {
        bulk_flush(bulk);
        batch = NULL;
    }
    if (!batch) {
        batch = bulk->filling = free_batch(bulk);
        if (!batch)
            return false;
        batch->count = 0;
        batch->size = 0;
    }
    batch->wants[batch->count++] = (struct bulk_want){.identity = file->identity,
        .home = file->home,
        .size = file->size,
        .may_revive = may_revive};
    batch->size += size;
    return true;
}

void bulk_flush(struct bulk *bulk)
{
    struct bulk_batch *batch = bulk->filling;
    bulk->filling = NULL;
    if (batch && batch->count > 0)
        start(batch);
}

bool bulk_is_idle(const struct bulk *bulk)
{
    for (size_t i = 0; i < BULK_BATCHES; i++)
        if (bulk->batches[i].is_out)
            return false;
    return !bulk->filling;
}

void bulk_tick(struct bulk *bulk, uint64_t now_ns)
{
    for (size_t i = 0; i < BULK_BATCHES; i++)
        if (now_ns >= bulk->batches[i].wake_ns || bulk->is_ending)
            wake(&bulk->batches[i]);
}

/* ---- life ---- */

uint64_t bulk_bytes(void)
{
    return BULK_INTAKES * sizeof(struct bulk_intake) + BULK_BATCHES * BULK_ANSWER_MAX;
}

err_t bulk_open(struct bulk *bulk, struct mem *mem, uint64_t now_ns)
{
    void *block;
    *bulk = (struct bulk){0};
    list_init(&bulk->free);
    owner_open(&bulk->owner, "bulk", DIRECTION_REBUILD, now_ns);
    err_t err = mem_take(mem, &bulk->owner, (size_t)bulk_bytes(), 0, &block);
    if (err_is(err)) {
        owner_close(&bulk->owner);
        return err;
    }
    bulk->intakes = block;
    uint8_t *sheets = (uint8_t *)block + BULK_INTAKES * sizeof(struct bulk_intake);
    for (size_t i = 0; i < BULK_INTAKES; i++) {
        bulk->intakes[i].link = (struct list){NULL, NULL};
        list_push_back(&bulk->free, &bulk->intakes[i].link);
    }
    for (size_t i = 0; i < BULK_BATCHES; i++) {
        bulk->batches[i].bulk = bulk;
        bulk->batches[i].link.data = sheets + i * BULK_ANSWER_MAX;
        bulk->batches[i].link.capacity = BULK_ANSWER_MAX;
    }
    return ERR_OK;
}

void bulk_close(struct bulk *bulk, struct mem *mem)
{
    if (!bulk->intakes)
        return;
    CHECK(bulk_is_idle(bulk));
    mem_give(mem, bulk->intakes);
    bulk->intakes = NULL;
    owner_close(&bulk->owner);
}

void bulk_begin(struct bulk *bulk, struct storage_loop *loop, const struct member *member,
    struct peer_link *link)
{
    CHECK(bulk_is_idle(bulk));
    for (size_t i = 0; i < BULK_BATCHES; i++)
        bulk->batches[i].link.through = link;
    bulk->loop = loop;
    bulk->member = *member;
    bulk->is_ending = false;
}

void bulk_end(struct bulk *bulk)
{
    bulk->is_ending = true;
    bulk_flush(bulk); /* it ends at once, and tells each */
    for (size_t i = 0; i < BULK_BATCHES; i++)
        wake(&bulk->batches[i]);
}
