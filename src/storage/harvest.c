#include "storage/harvest.h"

#include "storage/unit_walk.h"

enum { HARVEST_NEXT, HARVEST_LOOK, HARVEST_OPENED, HARVEST_UNWIND, HARVEST_DONE, HARVEST_STAGES };

static struct harvest *harvest_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct harvest, machine);
}

static void unlock(struct harvest *harvest)
{
    if (harvest->under_lock)
        file_unlock(&harvest->stream->locks, &harvest->lock);
    harvest->under_lock = false;
}

static bool current(const struct harvest *harvest, struct fid *ret)
{
    struct reader r = {.data = harvest->wants.data, .size = harvest->wants.size};
    struct identity identity;
    struct place home;
    r.at = harvest->at;
    if (err_is(unit_want_decode(&r, &identity, &home)))
        return false;
    *ret = unit_fid(harvest->store, &identity, &home);
    return true;
}

static int skip(struct harvest *harvest)
{
    object_close(&harvest->object);
    unlock(harvest);
    harvest->at += UNIT_WANT_SIZE;
    return HARVEST_NEXT;
}

static int harvest_next(struct machine *machine)
{
    struct harvest *harvest = harvest_of(machine);
    struct fid fid;
    if (harvest->at == harvest->wants.size)
        return HARVEST_UNWIND;
    if (!current(harvest, &fid))
        return machine_fail(machine, ERR(PROTOCOL, 0));
    bool is_ours = fid.is_packed && !err_is(store_check_id(harvest->store, &fid))
                   && store_owner_loop(harvest->store, &fid) == harvest->store->config.loop_index;
    return is_ours ? HARVEST_LOOK : skip(harvest);
}

static int harvest_look(struct machine *machine)
{
    struct harvest *harvest = harvest_of(machine);
    struct fid fid;
    bool is_there = current(harvest, &fid);
    CHECK(is_there);
    int wait = machine_wait_in(machine, HARVEST_OPENED, 1);
    object_open_identity(&harvest->object, harvest->store, &fid, true, machine);
    return wait;
}

/* A mismatch: a change under way, or damage. The lock tells. */
static int look_again(struct harvest *harvest)
{
    struct fid fid;
    bool is_there = current(harvest, &fid);
    CHECK(is_there);
    object_close(&harvest->object);
    if (err_is(store_stream_of(harvest->store, &fid, &harvest->stream)))
        return skip(harvest);
    harvest->under_lock = true;
    if (file_lock(&harvest->stream->locks, &harvest->lock, &fid.identity, &harvest->machine))
        return HARVEST_LOOK;
    return machine_wait_in(&harvest->machine, HARVEST_LOOK, 1);
}

static bool ends_it(err_t err)
{
    return err_has(err, ERR_CODE_BUSY) || err_has(err, ERR_CODE_NO_RESOURCE)
           || err_has(err, ERR_CODE_IO);
}

static int harvest_opened(struct machine *machine)
{
    struct harvest *harvest = harvest_of(machine);
    struct object *object = &harvest->object;
    err_t err = object->err;
    if (err_has(err, ERR_CODE_CORRUPT) && !harvest->under_lock)
        return look_again(harvest);
    if (err_has(err, ERR_CODE_CORRUPT))
        harvest->store->corrupt_reads++;
    if (ends_it(err) && harvest->count == 0)
        return machine_fail(machine, err);
    if (ends_it(err))
        return HARVEST_UNWIND; /* what is there is told; the rest is asked for again */
    if (err_is(err) || object->is_single)
        return skip(harvest);
    bool does_fit = harvest->page.capacity - harvest->page.size >= full_entry_size(object, true);
    if (!does_fit && harvest->count > 0)
        return HARVEST_UNWIND;
    if (does_fit && !err_is(full_entry_write(object, true, &harvest->page)))
        harvest->count++;
    CHECK(!harvest->page.failed);
    return skip(harvest);
}

static int harvest_unwind(struct machine *machine)
{
    struct harvest *harvest = harvest_of(machine);
    object_close(&harvest->object);
    unlock(harvest);
    return HARVEST_DONE;
}

static int harvest_done(struct machine *machine)
{
    struct harvest *harvest = harvest_of(machine);
    owner_close(&machine->owner);
    harvest->store->running--;
    harvest->done(harvest);
    return STAGE_END;
}

static const struct stage harvest_stages[HARVEST_STAGES] = {
    [HARVEST_NEXT] = {"next", harvest_next, BIT(HARVEST_NEXT) | BIT(HARVEST_LOOK), 0},
    [HARVEST_LOOK] = {"look", harvest_look, BIT(HARVEST_OPENED), 5000},
    [HARVEST_OPENED] = {"opened", harvest_opened, BIT(HARVEST_NEXT) | BIT(HARVEST_LOOK), 5000},
    [HARVEST_UNWIND] = {"unwind", harvest_unwind, BIT(HARVEST_DONE), 0},
    [HARVEST_DONE] = {"done", harvest_done, 0, 0},
};
static const struct machine_kind harvest_kind = {
    "harvest", harvest_stages, HARVEST_STAGES, HARVEST_UNWIND, HARVEST_DONE};

void harvest_start(struct harvest *harvest)
{
    harvest->at = 0;
    harvest->count = 0;
    harvest->object.store = NULL;
    harvest->under_lock = false;
    harvest->store->running++;
    machine_start(&harvest->machine, &harvest_kind, &harvest->store->io->run, DIRECTION_SYNC_SEND);
}
