/* Find and stat: reads that take no lock, on any loop, unless they meet a mismatch.
 *
 *   LOOK -> OPENED -> [READ <-> PIECE -> PUT] ... -> UNWIND -> DONE
 *     ^       |
 *     '- LOCK-'   CORRUPT at first: again under the file's lock, where no change is under way; CORRUPT
 *                 then is damage. On a loop that does not own the file: UNAVAILABLE, nothing put.
 *
 * What is damaged, or missing although it is young, is brought from another member first (HEALED).
 *
 * A download is bound to the version it began with. A mismatch behind the first piece means that the
 * file was changed in place: CONFLICT. */
#include "storage/operation.h"

/* ---- a second look ---- */

/* A mismatch: a change under way, or damage. The lock tells. */
static int look_again(struct second_look *second, struct machine *machine, struct store *store,
    const struct fid *fid, int look)
{
    struct stream *stream;
    if (store_owner_loop(store, fid) != store->config.loop_index)
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    err_t err = store_stream_of(store, fid, &stream);
    if (err_is(err))
        return machine_fail(machine, err);
    second->is_taken = true;
    second->stream = stream;
    if (file_lock(&stream->locks, &second->lock, &fid->identity, machine))
        return look;
    return machine_wait_in(machine, look, 1);
}

static void second_look_end(struct second_look *second)
{
    if (second->is_taken)
        file_unlock(&second->stream->locks, &second->lock);
    second->is_taken = false;
}

/* Who cannot tell whether it is missing or was deleted asks the loop that can. */
static bool is_for_owner(const struct store *store, const struct fid *fid, err_t err)
{
    return err_has(err, ERR_CODE_NOT_FOUND) && heal_may_be_young(store, fid)
           && store_owner_loop(store, fid) != store->config.loop_index;
}

static int heal_now(struct second_look *second, struct machine *machine, struct store *store,
    const struct fid *fid, err_t err, int healed)
{
    second_look_end(second);
    int wait = machine_wait_in(machine, healed, 1);
    heal_start(&second->heal, store, fid, err, machine);
    return wait;
}

/* ---- find ---- */

enum {
    FIND_LOOK,
    FIND_OPENED,
    FIND_HEALED,
    FIND_PIECE,
    FIND_PUT,
    FIND_UNWIND,
    FIND_DONE,
    FIND_STAGES
};

static struct find *find_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct find, machine);
}

static int find_look(struct machine *machine)
{
    struct find *find = find_of(machine);
    err_t err = store_check_id(find->store, &find->fid);
    if (err_is(err))
        return machine_fail(machine, err);
    int wait = machine_wait_in(machine, FIND_OPENED, 1);
    if (find->is_by_identity)
        object_open_identity(&find->object, find->store, &find->fid, true, machine);
    else
        object_open(&find->object, find->store, &find->fid, true, machine);
    return wait;
}

static int find_again(struct find *find)
{
    return look_again(&find->second, &find->machine, find->store, &find->fid, FIND_LOOK);
}

static int find_heal(struct find *find, err_t err)
{
    object_close(&find->object);
    return heal_now(&find->second, &find->machine, find->store, &find->fid, err, FIND_HEALED);
}

static int find_healed(struct machine *machine)
{
    struct find *find = find_of(machine);
    err_t err = heal_err(&find->second.heal);
    return err_is(err) ? machine_fail(machine, err) : FIND_LOOK;
}

static bool find_may_heal(const struct find *find, err_t err)
{
    return !find->local_only && !find->is_told
           && heal_helps(&find->second.heal, find->store, &find->fid, err);
}

static err_t find_check(struct find *find)
{
    const struct slot_header *header = &find->object.header;
    if (!version_is_none(find->if_version) && !version_equals(find->if_version, header->version))
        return ERR(CONFLICT, 0);
    if (find->judge)
        TRY(find->judge(find));
    if (find->offset > header->size)
        return ERR(RANGE, 0);
    uint64_t left = header->size - find->offset;
    find->at = find->offset;
    find->end = find->offset + (find->size == 0 || find->size > left ? left : find->size);
    return ERR_OK;
}

static int find_read(struct find *find)
{
    uint64_t size = find->end - find->at;
    if (size > find->store->config.piece_size)
        size = find->store->config.piece_size;
    int wait = machine_wait_in(&find->machine, FIND_PIECE, 1);
    object_read(&find->object, find->at, size);
    return wait;
}

/* Of a file in a slot of another storage no header is here: deleted before it came, or damage. Who may not
 * ask the others says what is true in either case: it is not here. */
static bool is_not_here(const struct find *find, err_t err)
{
    bool is_foreign = find->fid.identity.origin != find->store->config.machine;
    return find->local_only && !find->is_by_identity && is_foreign && find->fid.is_packed
           && !find->object.has_home_header && err_has(err, ERR_CODE_CORRUPT);
}

static int find_opened(struct machine *machine)
{
    struct find *find = find_of(machine);
    err_t err = find->object.err;
    if (err_has(err, ERR_CODE_CORRUPT) && !find->second.is_taken)
        return find_again(find);
    if (err_has(err, ERR_CODE_CORRUPT))
        find->store->corrupt_reads++;
    if (!find->local_only && is_for_owner(find->store, &find->fid, err))
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    if (find_may_heal(find, err))
        return find_heal(find, err);
    if (is_not_here(find, err))
        err = (err_t){err.site, ERR_CODE_NOT_FOUND, 0};
    if (!err_is(err))
        err = find_check(find);
    return err_is(err) ? machine_fail(machine, err) : find_read(find);
}

static int find_piece(struct machine *machine)
{
    struct find *find = find_of(machine);
    err_t err = find->object.err;
    if (err_has(err, ERR_CODE_CORRUPT) && !find->is_told && !find->second.is_taken) {
        object_close(&find->object);
        return find_again(find);
    }
    if (err_has(err, ERR_CODE_CORRUPT) && find->is_told && !find->second.is_taken)
        err = (err_t){err.site, ERR_CODE_CONFLICT, 0};
    if (err_has(err, ERR_CODE_CORRUPT))
        find->store->corrupt_reads++;
    if (find_may_heal(find, err))
        return find_heal(find, err);
    if (err_is(err))
        return machine_fail(machine, err);
    if (!find->is_told) {
        find->is_told = true;
        find->on_result(find);
    }
    find->at += find->object.data.size;
    int wait = machine_wait_in(machine, FIND_PUT, 1);
    find->outlet->put(find->outlet, find->object.data, find->at == find->end, machine);
    return wait;
}

static int find_put(struct machine *machine)
{
    struct find *find = find_of(machine);
    if (err_is(find->outlet->err))
        return machine_fail(machine, find->outlet->err);
    return find->at < find->end ? find_read(find) : FIND_UNWIND;
}

static int find_unwind(struct machine *machine)
{
    struct find *find = find_of(machine);
    object_close(&find->object);
    second_look_end(&find->second);
    return FIND_DONE;
}

static int find_done(struct machine *machine)
{
    struct find *find = find_of(machine);
    owner_close(&machine->owner);
    find->store->running--;
    find->done(find);
    return STAGE_END;
}

static const struct stage find_stages[FIND_STAGES] = {
    [FIND_LOOK] = {"look", find_look, BIT(FIND_OPENED), 5000},
    [FIND_OPENED] = {"opened", find_opened, BIT(FIND_LOOK) | BIT(FIND_HEALED) | BIT(FIND_PIECE),
        5000},
    [FIND_HEALED] = {"healed", find_healed, BIT(FIND_LOOK), 60000},
    [FIND_PIECE] = {"piece", find_piece, BIT(FIND_PUT) | BIT(FIND_LOOK) | BIT(FIND_HEALED), 5000},
    [FIND_PUT] = {"put", find_put, BIT(FIND_PIECE), 60000},
    [FIND_UNWIND] = {"unwind", find_unwind, BIT(FIND_DONE), 0},
    [FIND_DONE] = {"done", find_done, 0, 0},
};
static const struct machine_kind find_kind = {
    "find", find_stages, FIND_STAGES, FIND_UNWIND, FIND_DONE};

void find_start(struct find *find, struct store *store, struct outlet *outlet)
{
    find->store = store;
    find->outlet = outlet;
    store->running++;
    machine_start(&find->machine, &find_kind, &store->io->run, DIRECTION_CLIENT);
    owner_set_object(&find->machine.owner, find->fid.identity.clock, find->fid.identity.origin);
}

/* ---- stat ---- */

enum { STAT_LOOK, STAT_OPENED, STAT_HEALED, STAT_UNWIND, STAT_DONE, STAT_STAGES };

static struct stat_file *stat_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct stat_file, machine);
}

static int stat_look(struct machine *machine)
{
    struct stat_file *stat = stat_of(machine);
    err_t err = store_check_id(stat->store, &stat->fid);
    if (err_is(err))
        return machine_fail(machine, err);
    int wait = machine_wait_in(machine, STAT_OPENED, 1);
    object_open(&stat->object, stat->store, &stat->fid, false, machine);
    return wait;
}

static int stat_healed(struct machine *machine)
{
    struct stat_file *stat = stat_of(machine);
    err_t err = heal_err(&stat->second.heal);
    return err_is(err) ? machine_fail(machine, err) : STAT_LOOK;
}

static int stat_opened(struct machine *machine)
{
    struct stat_file *stat = stat_of(machine);
    err_t err = stat->object.err;
    if (err_has(err, ERR_CODE_CORRUPT) && !stat->second.is_taken)
        return look_again(&stat->second, machine, stat->store, &stat->fid, STAT_LOOK);
    if (is_for_owner(stat->store, &stat->fid, err))
        return machine_fail(machine, ERR(UNAVAILABLE, 0));
    if (heal_helps(&stat->second.heal, stat->store, &stat->fid, err))
        return heal_now(&stat->second, machine, stat->store, &stat->fid, err, STAT_HEALED);
    stat->is_packed = stat->object.place.kind == PLACE_PACKED;
    return err_is(err) ? machine_fail(machine, err) : STAT_UNWIND;
}

static int stat_unwind(struct machine *machine)
{
    struct stat_file *stat = stat_of(machine);
    second_look_end(&stat->second);
    return STAT_DONE;
}

static int stat_done(struct machine *machine)
{
    struct stat_file *stat = stat_of(machine);
    owner_close(&machine->owner);
    stat->store->running--;
    if (!err_is(machine->err))
        stat->on_result(stat);
    object_close(&stat->object);
    stat->done(stat);
    return STAGE_END;
}

static const struct stage stat_stages[STAT_STAGES] = {
    [STAT_LOOK] = {"look", stat_look, BIT(STAT_OPENED), 5000},
    [STAT_OPENED] = {"opened", stat_opened, BIT(STAT_LOOK) | BIT(STAT_HEALED), 5000},
    [STAT_HEALED] = {"healed", stat_healed, BIT(STAT_LOOK), 60000},
    [STAT_UNWIND] = {"unwind", stat_unwind, BIT(STAT_DONE), 0},
    [STAT_DONE] = {"done", stat_done, 0, 0},
};
static const struct machine_kind stat_kind = {
    "stat", stat_stages, STAT_STAGES, STAT_UNWIND, STAT_DONE};

void stat_start(struct stat_file *stat, struct store *store)
{
    stat->store = store;
    store->running++;
    machine_start(&stat->machine, &stat_kind, &store->io->run, DIRECTION_CLIENT);
    owner_set_object(&stat->machine.owner, stat->fid.identity.clock, stat->fid.identity.origin);
}
