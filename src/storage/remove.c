/* Delete.
 *
 *   LOCK -> LOOK -> LOOKED -> [HEALED -> LOCK] -> [MAKE -> MADE -> FINISHED] -> APPEND -> COMMITTED -> APPLIED -> UNLINKED
 *        -> UNWIND -> ABANDONED -> DONE
 *
 * A slot gets a tombstone header, a single file is unlinked, after the record is durable. What is not
 * there is deleted already. Where changes of another storage's single file may come yet, an empty file
 * takes its place whose header says that it is deleted (MAKE). */
#include "storage/append.h"
#include "storage/operation.h"

enum {
    REMOVE_LOCK,
    REMOVE_LOOK,
    REMOVE_LOOKED,
    REMOVE_HEALED,
    REMOVE_MAKE,
    REMOVE_MADE,
    REMOVE_FINISHED,
    REMOVE_APPEND,
    REMOVE_COMMITTED,
    REMOVE_APPLIED,
    REMOVE_UNLINKED,
    REMOVE_UNWIND,
    REMOVE_ABANDONED,
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

/* It may be that it has not come here yet: bring it, holding nothing meanwhile, and begin again. */
static int remove_heal(struct remove_file *remove, err_t err)
{
    object_close(&remove->object);
    file_unlock(&remove->stream->locks, &remove->lock);
    remove->stream = NULL;
    int wait = machine_wait_in(&remove->machine, REMOVE_HEALED, 1);
    heal_start(&remove->heal, remove->store, &remove->fid, err, &remove->machine);
    return wait;
}

/* What nobody has is deleted already. */
static int remove_healed(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    err_t err = heal_err(&remove->heal);
    bool is_gone = err_has(err, ERR_CODE_NOT_FOUND);
    return err_is(err) && !is_gone ? machine_fail(machine, err) : REMOVE_LOCK;
}

static int remove_looked(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    const struct object *object = &remove->object;
    if (heal_helps(&remove->heal, remove->store, &remove->fid, object->err))
        return remove_heal(remove, object->err);
    bool is_gone = remove->heal.was_tried && err_has(object->err, ERR_CODE_CORRUPT)
                   && err_has(heal_err(&remove->heal), ERR_CODE_NOT_FOUND);
    if (is_gone || err_has(object->err, ERR_CODE_NOT_FOUND)) {
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
    bool stays = store_keeps_tombstone(remove->stream, &remove->fid.identity, &object->home);
    return stays ? REMOVE_MAKE : REMOVE_APPEND;
}

/* ---- a tombstone in the place of a single file ---- */

static struct version remove_version(const struct remove_file *remove)
{
    return (struct version){
        remove->object.header.version.counter + 1, remove->store->config.machine};
}

static int remove_make(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    remove->has_writer = true;
    int wait = machine_wait_in(machine, REMOVE_MADE, 1);
    single_writer_open(&remove->writer, &remove->stream->single_mount, machine,
        &remove->fid.identity, remove_version(remove),
        remove->object.buffer + SINGLE_READER_BUFFER);
    return wait;
}

static int remove_made(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    if (err_is(remove->writer.chain.err))
        return machine_fail(machine, remove->writer.chain.err);
    struct slot_header header = {.nonce = remove->nonce,
        .modify_ns = io_wall(remove->store->io),
        .flags = SLOT_DELETED,
        .other = remove->object.home};
    int wait = machine_wait_in(machine, REMOVE_FINISHED, 1);
    single_writer_finish(&remove->writer, &header, span_of(NULL, 0));
    return wait;
}

static int remove_finished(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    err_t err = remove->writer.chain.err;
    if (err_has(err, ERR_CODE_IO)) /* a sync may have failed: nothing of this disk is trusted */
        stream_fail(remove->stream, err);
    return err_is(err) ? machine_fail(machine, err) : REMOVE_APPEND;
}

/* ---- the record ---- */

static int remove_append(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    const struct object *object = &remove->object;
    struct record record = {.kind = RECORD_DELETE,
        .identity = remove->fid.identity,
        .base = object->header.version,
        .version = remove_version(remove),
        .nonce = remove->nonce,
        .time_ns = io_wall(remove->store->io),
        .watermark = stream_watermark_stamp(remove->stream),
        .home = object->home};
    if (object->at_target) {
        record.flags |= RECORD_FREES;
        record.freed = object->place;
    }
    if (remove->has_writer)
        single_writer_record(&remove->writer, &record);
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
    const struct single_mount *mount = &remove->stream->single_mount;
    struct single_dirty *dirty = &remove->stream->singles;
    if (remove->has_writer)
        single_rename(&remove->entry, mount, machine, &remove->fid.identity,
            remove->append.record.version, dirty);
    else
        single_unlink(&remove->entry, mount, machine, &remove->fid.identity, dirty);
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
    bool was_appended = remove->append.buffer != NULL;
    if (remove->stream) {
        binlog_wait_cancel(&remove->log_waiter);
        binlog_release(&remove->stream->log, &remove->append);
    }
    if (!remove->has_writer)
        return REMOVE_ABANDONED;
    if (was_appended) {
        single_writer_close(&remove->writer);
        return REMOVE_ABANDONED;
    }
    int wait = machine_wait_in(machine, REMOVE_ABANDONED, 1);
    single_writer_abandon(&remove->writer, machine);
    return wait;
}

static int remove_abandoned(struct machine *machine)
{
    struct remove_file *remove = remove_of(machine);
    object_close(&remove->object);
    if (remove->stream)
        file_unlock(&remove->stream->locks, &remove->lock);
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
    [REMOVE_LOOKED] = {"looked", remove_looked,
        BIT(REMOVE_MAKE) | BIT(REMOVE_APPEND) | BIT(REMOVE_HEALED), 5000},
    [REMOVE_HEALED] = {"healed", remove_healed, BIT(REMOVE_LOCK), 60000},
    [REMOVE_MAKE] = {"make", remove_make, BIT(REMOVE_MADE), 0},
    [REMOVE_MADE] = {"made", remove_made, BIT(REMOVE_FINISHED), 5000},
    [REMOVE_FINISHED] = {"finished", remove_finished, BIT(REMOVE_APPEND), 30000},
    [REMOVE_APPEND] = {"append", remove_append, BIT(REMOVE_COMMITTED), 30000},
    [REMOVE_COMMITTED] = {"committed", remove_committed, BIT(REMOVE_APPLIED), 5000},
    [REMOVE_APPLIED] = {"applied", remove_applied, BIT(REMOVE_UNLINKED), 5000},
    [REMOVE_UNLINKED] = {"unlinked", remove_unlinked, 0, 5000},
    [REMOVE_UNWIND] = {"unwind", remove_unwind, BIT(REMOVE_ABANDONED), 0},
    [REMOVE_ABANDONED] = {"abandoned", remove_abandoned, BIT(REMOVE_DONE), 5000},
    [REMOVE_DONE] = {"done", remove_done, 0, 0},
};
static const struct machine_kind remove_kind = {
    "delete", remove_stages, REMOVE_STAGES, REMOVE_UNWIND, REMOVE_DONE};

void remove_start(struct remove_file *remove, struct store *store)
{
    remove->store = store;
    store->running++;
    machine_start(&remove->machine, &remove_kind, &store->io->run, DIRECTION_CLIENT);
    owner_set_object(
        &remove->machine.owner, remove->fid.identity.clock, remove->fid.identity.origin);
}
