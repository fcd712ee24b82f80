/* Delete: LOCK -> LOOK -> LOOKED -> APPEND -> COMMITTED -> APPLIED -> UNLINKED -> UNWIND -> DONE.
 * A slot gets a tombstone header, a single file is unlinked, after the record is durable. What is not
 * there is deleted already. */
#include "storage/append.h"
#include "storage/operation.h"

enum {
    REMOVE_LOCK,
    REMOVE_LOOK,
    REMOVE_LOOKED,
    REMOVE_APPEND,
    REMOVE_COMMITTED,
    REMOVE_APPLIED,
    REMOVE_UNLINKED,
    REMOVE_UNWIND,
    REMOVE_DONE,
    REMOVE_STAGES
};

static struct remove_file *remove_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct remove_file, machine);
}

static int remove_lock(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    err_t err = store_stream_of(remove->store, &remove->fid, &remove->stream);
    if (err_is(err)) {
        remove->stream = NULL;
        return machine_fail(machine, err);
    }
    if (file_lock(&remove->stream->locks, &remove->lock, &remove->fid.identity, machine))
        return REMOVE_LOOK;
    return machine_wait_in(machine, REMOVE_LOOK, 1);
}

static int remove_look(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    int wait = machine_wait_in(machine, REMOVE_LOOKED, 1);
    object_open(&remove->object, remove->store, &remove->fid, false, machine);
    return wait;
}

static int remove_looked(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    const struct object *object = &remove->object;
    if (err_has(object->err, ERR_CODE_NOT_FOUND)) {
        remove->result.ack = remove->ack == ACK_MEMORY ? ACK_MEMORY : ACK_LOCAL;
        remove->on_result(remove);
        return REMOVE_UNWIND;
    }
    if (err_is(object->err))
        return machine_fail(machine, object->err);
    remove->result.version = object->header.version;
    if (!version_is_none(remove->if_version)
        && !version_equals(remove->if_version, object->header.version))
        return machine_fail(machine, ERR(CONFLICT, 0));
    return REMOVE_APPEND;
}

static int remove_append(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    const struct object *object = &remove->object;
    struct record record = {.kind = RECORD_DELETE,
        .identity = remove->fid.identity,
        .base = object->header.version,
        .version = {object->header.version.counter + 1, remove->store->config.machine},
        .nonce = remove->nonce,
        .time_ns = io_wall(remove->store->io),
        .watermark = stream_watermark_stamp(remove->stream),
        .home = object->home};
    if (object->at_target) {
        record.flags |= RECORD_FREES;
        record.freed = object->place;
    }
    record_set_digest(&record, true, header_digest(&object->header), false, 0);
    err_t err;
    switch (change_append(
        remove->stream, &remove->append, &remove->log_waiter, &record, machine, &err)) {
    case APPEND_WAIT:
        return machine_wait_in(machine, REMOVE_APPEND, 1);
    case APPEND_FAILED:
        return machine_fail(machine, err);
    case APPEND_DONE:
        break;
    }
    return machine_wait_in(machine, REMOVE_COMMITTED, 1);
}

static int remove_committed(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    if (err_is(remove->append.err))
        return machine_fail(machine, remove->append.err);
    int wait = machine_wait_in(machine, REMOVE_APPLIED, 1);
    packed_apply_start(&remove->apply, remove->stream, &remove->append.record, machine);
    return wait;
}

static int remove_applied(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    err_t err = remove->apply.err;
    if (err_is(err))
        return machine_fail(machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
    if (!remove->object.is_single)
        return REMOVE_UNLINKED;
    int wait = machine_wait_in(machine, REMOVE_UNLINKED, 1);
    single_unlink(&remove->entry, &remove->stream->single_mount, machine, &remove->fid.identity,
        &remove->stream->singles);
    return wait;
}

static int remove_unlinked(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    err_t err = remove->object.is_single ? remove->entry.chain.err : ERR_OK;
    if (err_is(err)) {
        stream_fail(remove->stream, err);
        return machine_fail(machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
    }
    remove->result.existed = true;
    remove->result.ack = ACK_LOCAL;
    remove->on_result(remove);
    return REMOVE_UNWIND;
}

static int remove_unwind(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    object_close(&remove->object);
    if (remove->stream) {
        binlog_wait_cancel(&remove->log_waiter);
        binlog_release(&remove->stream->log, &remove->append);
        file_unlock(&remove->stream->locks, &remove->lock);
    }
    return REMOVE_DONE;
}

static int remove_done(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    owner_close(&machine->owner);
    remove->store->running--;
    remove->done(remove);
    return STAGE_END;
}

static const struct stage remove_stages[REMOVE_STAGES] = {
    [REMOVE_LOCK] = {"lock", remove_lock, BIT(REMOVE_LOOK), 30000},
    [REMOVE_LOOK] = {"look", remove_look, BIT(REMOVE_LOOKED), 5000},
    [REMOVE_LOOKED] = {"looked", remove_looked, BIT(REMOVE_APPEND), 5000},
    [REMOVE_APPEND] = {"append", remove_append, BIT(REMOVE_COMMITTED), 30000},
    [REMOVE_COMMITTED] = {"committed", remove_committed, BIT(REMOVE_APPLIED), 5000},
    [REMOVE_APPLIED] = {"applied", remove_applied, BIT(REMOVE_UNLINKED), 5000},
    [REMOVE_UNLINKED] = {"unlinked", remove_unlinked, 0, 5000},
    [REMOVE_UNWIND] = {"unwind", remove_unwind, BIT(REMOVE_DONE), 0},
    [REMOVE_DONE] = {"done", remove_done, 0, 0},
};
static const struct machine_kind remove_kind = {
    "delete", remove_stages, REMOVE_STAGES, REMOVE_UNWIND, REMOVE_DONE};

void remove_start(struct remove_file *remove, struct store *store)
{
    remove->store = store;
    store->running++;
    machine_start(&remove->machine, &remove_kind, &store->io->run, DIRECTION_CLIENT);
}
