#include "storage/heal.h"

static bool is_covered(const struct store *store, const struct fid *fid)
{
    struct stream_place place = store_place_of(store, fid);
    struct stream *stream = store->mounts[place.mount].streams[place.stream];
    struct source_key key = {fid->identity.origin, fid->mount, fid->stream};
    return stream && stream_covers(stream, &key, fid->identity.clock);
}

bool heal_may_be_young(const struct store *store, const struct fid *fid)
{
    if (!store->fetch)
        return false;
    bool is_owned_here = store_owner_loop(store, fid) == store->config.loop_index;
    return !is_owned_here || !is_covered(store, fid);
}

bool heal_helps(
    const struct heal *heal, const struct store *store, const struct fid *fid, err_t err)
{
    bool has_others = store->fetch && store->members && store->members->count > 0;
    if (!has_others || heal->was_tried)
        return false;
    return err_has(err, ERR_CODE_CORRUPT)
           || (err_has(err, ERR_CODE_NOT_FOUND) && heal_may_be_young(store, fid));
}

static void fetched(struct intake_fetch *fetch)
{
    struct heal *heal = CONTAINER_OF(fetch, struct heal, fetch);
    machine_arrive(heal->machine);
}

void heal_start(struct heal *heal, struct store *store, const struct fid *fid, err_t err,
    struct machine *machine)
{
    heal->was_tried = true;
    heal->machine = machine;
    heal->fetch = (struct intake_fetch){.store = store,
        .identity = fid->identity,
        .home = {.kind = fid->is_packed ? PLACE_PACKED : PLACE_SINGLE,
            .mount = fid->mount,
            .stream = fid->stream,
            .machine = fid->identity.origin,
            .chunk = fid->chunk,
            .offset = fid->offset,
            .slot_size = fid->slot_size},
        .is_repair = err_has(err, ERR_CODE_CORRUPT),
        .done = fetched};
    store->fetch(&heal->fetch);
}

err_t heal_err(const struct heal *heal)
{
    err_t err = heal->fetch.err;
    if (!err_is(err))
        return ERR_OK;
    /* In a slot of another storage what is no header may be damage or what a deleted file left: its
     * origin knows. */
    bool is_gone = err_has(err, ERR_CODE_NOT_FOUND) && heal->fetch.origin_lacks_it;
    bool is_own = heal->fetch.identity.origin == heal->fetch.store->config.machine;
    bool is_told = is_own || heal->fetch.origin_is_damaged;
    if (heal->fetch.is_repair && !is_gone)
        return (err_t){err.site, is_told ? ERR_CODE_CORRUPT : ERR_CODE_UNAVAILABLE, err.os};
    return err_has(err, ERR_CODE_NOT_FOUND) ? err : (err_t){err.site, ERR_CODE_UNAVAILABLE, err.os};
}
