/* Modify: replace, write at an offset, append, truncate, or the attributes alone.
 *
 *   BUFFER -> LOCK -> LOOK -> LOOKED -> GATHER <-> -> CHOOSE -> way -> APPEND -> COMMITTED -> APPLIED
 *
 *   way      where the new content goes                                   when
 *   HOME     the slot that the id names                                   it fits there
 *   TARGET   the slot that the home forwards to                           it fits there
 *   SLOT     a new slot of the same stream; the home forwards to it       it fits neither, packed
 *   SINGLE   a new single file, made out of place                         larger than single_min
 *   CHANGE   the single file, in place                        write, append, truncate, attributes
 *
 * A target that another storage allocated is left: it may be given away there at any time. So TARGET and
 * CHANGE are for homes and our own targets, or else the content is made anew, whole, elsewhere
 * (core/apply.h). A storage that has no stream like the home's makes single files of what outgrows it.
 *
 * HOME and TARGET overwrite committed bytes, so the content travels in the record whatever its size.
 * A content that fits its home again returns there, and its target is freed. A file whose home is a
 * single file stays one. The old content stays whole until the record is durable; what was made of
 * the new one goes on failure. The file's lock is held throughout. */
#include "storage/modify_ways.h"

#include "base/crc.h"
#include "storage/append.h"

static int modify_buffer(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (!modify->buffer.data) {
        if (modify->buffer.pool)
            return machine_fail(machine, ERR(BUSY, 0));
        if (!buffer_claim(&modify->buffer, &modify->store->modify_buffers, machine))
            return machine_wait_in(machine, MODIFY_BUFFER, 1);
        return MODIFY_BUFFER;
    }
    modify->area = modify->buffer.data + STORE_MODIFY_EXTRA;
    err_t err = store_stream_of(modify->store, &modify->request.fid, &modify->stream);
    if (err_is(err)) {
        modify->stream = NULL;
        return machine_fail(machine, err);
    }
    if (file_lock(&modify->stream->locks, &modify->lock, &modify->request.fid.identity, machine))
        return MODIFY_LOOK;
    return machine_wait_in(machine, MODIFY_LOOK, 1);
}

static int modify_look(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    bool needs_old = modify->request.mode != MODIFY_REPLACE;
    int wait = machine_wait_in(machine, MODIFY_LOOKED, 1);
    object_open(&modify->object, modify->store, &modify->request.fid, needs_old, machine);
    return wait;
}

/* ---- may it be done, and was it done already ---- */

static err_t modify_check(const struct modify *modify)
{
    const struct slot_header *header = &modify->object.header;
    const struct modify_request *request = &modify->request;
    if (!(header->flags & SLOT_MUTABLE) && request->mode != MODIFY_ATTRIBUTES)
        return ERR(IMMUTABLE, 0);
    if (!version_is_none(request->if_version)
        && !version_equals(request->if_version, header->version))
        return ERR(CONFLICT, 0);
    if (request->mode == MODIFY_WRITE && request->offset > header->size)
        return ERR(RANGE, 0);
    uint64_t end = request->mode == MODIFY_APPEND ? header->size : request->offset;
    if (end > BLOCKS_CONTENT_MAX
        || (request->size_known && request->size > BLOCKS_CONTENT_MAX - end))
        return ERR(TOO_LARGE, 0);
    return ERR_OK;
}

static void modify_set_result(struct modify *modify, const struct slot_header *header)
{
    modify->result.version = header->version;
    modify->result.size = header->size;
    modify->result.crc = header->content_crc;
    modify->result.ack = ACK_LOCAL;
}

static void modify_prepare_header(struct modify *modify)
{
    modify->header = modify->object.header;
    modify->header.version =
        (struct version){modify->object.header.version.counter + 1, modify->store->config.machine};
    modify->header.nonce = modify->request.nonce;
    modify->header.modify_ns = io_wall(modify->store->io);
    modify->header.birth = (struct version){0};
    modify->header.other = (struct place){0};
    modify->header.flags =
        modify->request.is_final ? 0 : modify->object.header.flags & SLOT_MUTABLE;
}

/* Those of the old content, unless they are what changes. */
static err_t modify_set_attributes(struct modify *modify)
{
    modify->attributes = modify->object.attributes;
    if (modify->request.mode == MODIFY_ATTRIBUTES) {
        struct writer w = {modify->attributes_bytes, sizeof modify->attributes_bytes, 0, false};
        TRY(modify->request.edit(modify, modify->object.attributes, &w));
        if (w.failed)
            return ERR(TOO_LARGE, 0);
        modify->attributes = span_of(modify->attributes_bytes, w.size);
    }
    modify->header.attributes_size = (uint16_t)modify->attributes.size;
    return ERR_OK;
}

/* The old content of a slot, into the area: the body is laid over it. */
static int modify_begin_packed(struct modify *modify)
{
    const struct modify_request *request = &modify->request;
    uint64_t old_size = modify->object.header.size;
    if (request->mode == MODIFY_REPLACE)
        return MODIFY_GATHER;
    memcpy(modify->area, modify->object.data.data, (size_t)old_size);
    modify->position = request->mode == MODIFY_APPEND ? old_size : request->offset;
    if (request->mode == MODIFY_ATTRIBUTES) {
        modify->total = modify->position = old_size;
        modify->is_gathered = true;
        return MODIFY_CHOOSE;
    }
    if (request->mode != MODIFY_TRUNCATE)
        return MODIFY_GATHER;
    uint32_t limit = modify->store->config.single_min;
    modify->total = request->offset;
    modify->position = modify->total < limit ? modify->total : old_size;
    modify->zeros = modify->total - modify->position;
    modify->is_gathered = true;
    if (modify->position > old_size)
        memset(modify->area + old_size, 0, (size_t)(modify->position - old_size));
    return MODIFY_CHOOSE;
}

/* Bring it from another member, holding nothing meanwhile, and begin again. */
static int modify_heal(struct modify *modify, err_t err)
{
    object_close(&modify->object);
    file_unlock(&modify->stream->locks, &modify->lock);
    modify->stream = NULL;
    buffer_claim_end(&modify->buffer);
    modify->buffer.pool = NULL;
    int wait = machine_wait_in(&modify->machine, MODIFY_HEALED, 1);
    heal_start(&modify->heal, modify->store, &modify->request.fid, err, &modify->machine);
    return wait;
}

static int modify_healed(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    err_t err = heal_err(&modify->heal);
    return err_is(err) ? machine_fail(machine, err) : MODIFY_BUFFER;
}

static int modify_begin_single(struct modify *modify)
{
    uint64_t size = modify->request.offset, old_size = modify->object.header.size;
    switch (modify->request.mode) {
    case MODIFY_APPEND:
        return modify_is_foreign(modify) ? MODIFY_GATHER : MODIFY_CHANGE_OPEN;
    case MODIFY_ATTRIBUTES:
    case MODIFY_TRUNCATE:
        if (!modify_is_foreign(modify))
            return MODIFY_CHANGE_OPEN;
        if (modify->request.mode == MODIFY_ATTRIBUTES)
            modify->request.offset = size = old_size; /* all of it is copied */
        modify->zeros = size > old_size ? size - old_size : 0;
        modify->is_gathered = true;
        return MODIFY_SINGLE_OPEN;
    default:
        return MODIFY_GATHER;
    }
}

static int modify_looked(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    struct object *object = &modify->object;
    if (heal_helps(&modify->heal, modify->store, &modify->request.fid, object->err))
        return modify_heal(modify, object->err);
    if (err_is(object->err))
        return machine_fail(machine, object->err);
    if (modify->stream->state != STREAM_OPEN) /* what is committed may not be applied: hands off */
        return machine_fail(machine, ERR(OFFLINE, 0));
    modify_set_result(modify, &object->header);
    if (!nonce_is_none(&modify->request.nonce)
        && memcmp(&modify->request.nonce, &object->header.nonce, sizeof(struct nonce)) == 0) {
        modify->is_told = true; /* a retry of what was done */
        modify->on_result(modify);
        return MODIFY_UNWIND;
    }
    err_t err = modify_check(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    modify_prepare_header(modify);
    err = modify_set_attributes(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    if (!object->is_single)
        return modify_begin_packed(modify);
    return modify_begin_single(modify);
}

/* ---- gathering the body ---- */

err_t modify_check_body(const struct modify *modify)
{
    if (modify->request.size_known && modify->received != modify->request.size)
        return ERR(PROTOCOL, 0);
    if (modify->request.crc_known && modify->body_crc != modify->request.crc)
        return ERR(CORRUPT, 0);
    return ERR_OK;
}

err_t modify_take_body(struct modify *modify)
{
    struct body *body = modify->body;
    TRY(body->err);
    modify->received += body->data.size;
    modify->body_crc = crc32_update(modify->body_crc, body->data.data, body->data.size);
    if (modify->request.size_known && modify->received > modify->request.size)
        return ERR(PROTOCOL, 0);
    return ERR_OK;
}

static int modify_gather(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    struct body *body = modify->body;
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (modify->position + body->data.size > modify->store->config.single_min)
        return MODIFY_SINGLE_OPEN; /* this piece is taken there */
    if (body->data.size > 0)
        memcpy(modify->area + modify->position, body->data.data, body->data.size);
    err_t err = modify_take_body(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    modify->position += body->data.size;
    if (!body->is_last) {
        int wait = machine_wait_in(machine, MODIFY_GATHER, 1);
        body->next(body, machine);
        return wait;
    }
    err = modify_check_body(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    uint64_t old_size = modify->object.header.size;
    modify->is_gathered = true;
    modify->total = modify->position;
    bool keeps_tail = modify->request.mode == MODIFY_WRITE && !modify->object.is_single;
    if (keeps_tail && modify->total < old_size)
        modify->total = modify->position = old_size;
    return MODIFY_CHOOSE;
}

/* All storages keep a home and the slots of its like in one stream; what has no like here would be
 * kept elsewhere by others. */
static bool is_beside_home(const struct modify *modify)
{
    const struct stream_options *options = &modify->stream->options;
    const struct place *home = &modify->object.home;
    return home->mount == options->mount && home->stream == options->stream;
}

static bool slot_takes(const struct modify *modify, const struct place *place)
{
    uint16_t attributes_size = modify->header.attributes_size;
    return slot_meta_size(place->slot_size, attributes_size) <= place->slot_size
           && slot_capacity(place->slot_size, attributes_size) >= modify->total;
}

static int modify_choose(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    struct object *object = &modify->object;
    bool is_part = object->is_single && modify->request.mode != MODIFY_REPLACE;
    if (is_part && !modify_is_foreign(modify))
        return MODIFY_CHANGE_OPEN;
    if (is_part || object->home.kind == PLACE_SINGLE || modify->zeros > 0)
        return MODIFY_SINGLE_OPEN;
    modify->crc = crc32_update(0, modify->area, (size_t)modify->total);
    if (slot_takes(modify, &object->home))
        return MODIFY_HOME;
    if (object->at_target && !object->is_single && !modify_is_foreign(modify)
        && slot_takes(modify, &object->place))
        return MODIFY_TARGET;
    return is_beside_home(modify) ? MODIFY_SLOT : MODIFY_SINGLE_OPEN;
}

/* ---- the record ---- */

static void record_old_content(const struct modify *modify, struct record *record)
{
    const struct object *object = &modify->object;
    if (!object->at_target)
        return;
    bool is_same_single = object->is_single && modify->way == WAY_SINGLE;
    if (modify->way == WAY_CHANGE || modify->way == WAY_TARGET || is_same_single)
        return;
    record->flags |= RECORD_FREES;
    record->freed = object->place;
}

static int modify_append(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    static const uint8_t kinds[] = {[MODIFY_REPLACE] = RECORD_REPLACE,
        [MODIFY_WRITE] = RECORD_WRITE,
        [MODIFY_APPEND] = RECORD_APPEND,
        [MODIFY_TRUNCATE] = RECORD_TRUNCATE,
        [MODIFY_ATTRIBUTES] = RECORD_REPLACE};
    uint8_t metas[2][SLOT_META_MAX];
    struct record record = {.kind = kinds[modify->request.mode],
        .identity = modify->request.fid.identity,
        .version = modify->header.version,
        .base = modify->object.header.version,
        .nonce = modify->request.nonce,
        .time_ns = modify->header.modify_ns,
        .watermark = stream_watermark_stamp(modify->stream),
        .home = modify->object.home,
        .total_size = modify->total};
    record_old_content(modify, &record);
    modify_way_record(modify, &record, metas);
    record_set_digest(
        &record, true, header_digest(&modify->object.header), true, header_digest(&modify->header));
    err_t err;
    switch (change_append(
        modify->stream, &modify->append, &modify->log_waiter, &record, machine, &err)) {
    case APPEND_WAIT:
        return machine_wait_in(machine, MODIFY_APPEND_RECORD, 1);
    case APPEND_FAILED:
        return machine_fail(machine, err);
    case APPEND_DONE:
        break;
    }
    return machine_wait_in(machine, MODIFY_COMMITTED, 1);
}

static int modify_committed(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->append.err))
        return machine_fail(machine, modify->append.err);
    int wait = machine_wait_in(machine, MODIFY_APPLIED, 1);
    packed_apply_start(&modify->apply, modify->stream, &modify->append.record, machine);
    return wait;
}

static int modify_end_unknown(struct modify *modify, err_t err)
{
    stream_fail(modify->stream, err);
    return machine_fail(&modify->machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
}

/* Slots are written; what the record does to single files follows. */
static int modify_applied(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    const struct record *record = &modify->append.record;
    const struct single_mount *mount = &modify->stream->single_mount;
    struct single_dirty *dirty = &modify->stream->singles;
    if (err_is(modify->apply.err))
        return modify_end_unknown(modify, modify->apply.err);
    bool frees_single = (record->flags & RECORD_FREES) && record->freed.kind == PLACE_SINGLE;
    if (modify->way != WAY_SINGLE && modify->way != WAY_CHANGE && !frees_single)
        return MODIFY_SINGLE_APPLIED;
    int wait = machine_wait_in(machine, MODIFY_SINGLE_APPLIED, 1);
    if (modify->way == WAY_CHANGE)
        single_change_apply(&modify->change, record, dirty);
    else if (modify->way == WAY_SINGLE)
        single_rename(&modify->entry, mount, machine, &record->identity, record->version, dirty);
    else
        single_unlink(&modify->entry, mount, machine, &record->identity, dirty);
    return wait;
}

static int modify_single_applied(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    err_t err = modify->way == WAY_CHANGE ? modify->change.chain.err : modify->entry.chain.err;
    if (!err_is(err) && modify->is_referenced && modify->stream->state != STREAM_OPEN)
        err = modify->stream->failure; /* a failed sync is told once, perhaps to another change */
    if (err_is(err))
        return modify_end_unknown(modify, err);
    modify_set_result(modify, &modify->header);
    modify->is_told = true;
    modify->on_result(modify);
    return MODIFY_UNWIND;
}

/* ---- one way out ---- */

static int modify_unwind(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    bool was_appended = modify->append.buffer != NULL;
    if (modify->stream) {
        binlog_wait_cancel(&modify->log_waiter);
        binlog_release(&modify->stream->log, &modify->append);
        stream_reserve_end(modify->stream, &modify->reservation, was_appended);
        chunk_release(modify->stream->options.files, &modify->home_ref);
    }
    if (modify->has_reader)
        single_reader_close(&modify->reader);
    modify->has_reader = false;
    if (modify->has_writer && !was_appended) {
        int wait = machine_wait_in(machine, MODIFY_ABANDONED, 1);
        single_writer_abandon(&modify->writer, machine);
        return wait;
    }
    if (modify->has_change && !was_appended) {
        int wait = machine_wait_in(machine, MODIFY_ABANDONED, 1);
        single_change_abandon(&modify->change, machine);
        return wait;
    }
    if (modify->has_writer)
        single_writer_close(&modify->writer);
    if (modify->has_change)
        single_change_close(&modify->change);
    return MODIFY_ABANDONED;
}

static int modify_abandoned(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    object_close(&modify->object);
    if (modify->stream)
        file_unlock(&modify->stream->locks, &modify->lock);
    buffer_claim_end(&modify->buffer);
    return MODIFY_DONE;
}

static int modify_done(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    owner_close(&machine->owner);
    modify->store->running--;
    modify->done(modify);
    return STAGE_END;
}

static const struct stage modify_stages[MODIFY_STAGES] = {
    [MODIFY_BUFFER] = {"buffer", modify_buffer, BIT(MODIFY_LOOK), 30000},
    [MODIFY_LOOK] = {"look", modify_look, BIT(MODIFY_LOOKED), 30000},
    [MODIFY_LOOKED] = {"looked", modify_looked,
        BIT(MODIFY_GATHER) | BIT(MODIFY_CHOOSE) | BIT(MODIFY_CHANGE_OPEN) | BIT(MODIFY_SINGLE_OPEN)
            | BIT(MODIFY_HEALED),
        5000},
    [MODIFY_HEALED] = {"healed", modify_healed, BIT(MODIFY_BUFFER), 60000},
    [MODIFY_GATHER] = {"gather", modify_gather, BIT(MODIFY_CHOOSE) | BIT(MODIFY_SINGLE_OPEN),
        60000},
    [MODIFY_CHOOSE] = {"choose", modify_choose,
        BIT(MODIFY_HOME) | BIT(MODIFY_TARGET) | BIT(MODIFY_SLOT) | BIT(MODIFY_SINGLE_OPEN)
            | BIT(MODIFY_CHANGE_OPEN),
        0},
    [MODIFY_HOME] = {"home", modify_home, BIT(MODIFY_HOME_REF), 5000},
    [MODIFY_TARGET] = {"target", modify_target, BIT(MODIFY_APPEND_RECORD), 0},
    [MODIFY_SLOT] = {"slot", modify_slot, BIT(MODIFY_CONTENT) | BIT(MODIFY_HOME_REF), 30000},
    [MODIFY_CONTENT] = {"content", modify_content, BIT(MODIFY_CONTENT_WRITTEN), 0},
    [MODIFY_CONTENT_WRITTEN] = {"content-written", modify_content_written,
        BIT(MODIFY_CONTENT) | BIT(MODIFY_SYNCED), 5000},
    [MODIFY_SYNCED] = {"synced", modify_synced, BIT(MODIFY_HOME_REF), 5000},
    [MODIFY_HOME_REF] = {"home-ref", modify_home_ref, BIT(MODIFY_APPEND_RECORD), 5000},
    [MODIFY_SINGLE_OPEN] = {"single-open", modify_single_open, BIT(MODIFY_SINGLE_OPENED), 5000},
    [MODIFY_SINGLE_OPENED] = {"single-opened", modify_single_opened,
        BIT(MODIFY_SINGLE_PREFIX) | BIT(MODIFY_SINGLE_AREA), 5000},
    [MODIFY_SINGLE_PREFIX] = {"single-prefix", modify_single_prefix, BIT(MODIFY_SINGLE_AREA),
        60000},
    [MODIFY_SINGLE_AREA] = {"single-area", modify_single_area, BIT(MODIFY_SINGLE_POUR), 5000},
    [MODIFY_SINGLE_POUR] = {"single-pour", modify_single_pour,
        BIT(MODIFY_SINGLE_POURED) | BIT(MODIFY_SINGLE_ZEROS), 60000},
    [MODIFY_SINGLE_POURED] = {"single-poured", modify_single_poured,
        BIT(MODIFY_SINGLE_POUR) | BIT(MODIFY_SINGLE_TAIL), 5000},
    [MODIFY_SINGLE_ZEROS] = {"single-zeros", modify_single_zeros, BIT(MODIFY_SINGLE_TAIL), 5000},
    [MODIFY_SINGLE_TAIL] = {"single-tail", modify_single_tail, BIT(MODIFY_SINGLE_FINISH), 60000},
    [MODIFY_SINGLE_FINISH] = {"single-finish", modify_single_finish, BIT(MODIFY_SINGLE_FINISHED),
        60000},
    [MODIFY_SINGLE_FINISHED] = {"single-finished", modify_single_finished,
        BIT(MODIFY_HOME_REF) | BIT(MODIFY_APPEND_RECORD), 30000},
    [MODIFY_CHANGE_OPEN] = {"change-open", modify_change_open, BIT(MODIFY_CHANGE_BEGIN), 5000},
    [MODIFY_CHANGE_BEGIN] = {"change-begin", modify_change_begin,
        BIT(MODIFY_CHANGE_POUR) | BIT(MODIFY_CHANGE_READY), 5000},
    [MODIFY_CHANGE_POUR] = {"change-pour", modify_change_pour, BIT(MODIFY_CHANGE_POURED), 60000},
    [MODIFY_CHANGE_POURED] = {"change-poured", modify_change_poured,
        BIT(MODIFY_CHANGE_POUR) | BIT(MODIFY_CHANGE_READY), 30000},
    [MODIFY_CHANGE_READY] = {"change-ready", modify_change_ready, BIT(MODIFY_APPEND_RECORD), 30000},
    [MODIFY_APPEND_RECORD] = {"append", modify_append, BIT(MODIFY_COMMITTED), 30000},
    [MODIFY_COMMITTED] = {"committed", modify_committed, BIT(MODIFY_APPLIED), 5000},
    [MODIFY_APPLIED] = {"applied", modify_applied, BIT(MODIFY_SINGLE_APPLIED), 5000},
    [MODIFY_SINGLE_APPLIED] = {"single-applied", modify_single_applied, 0, 5000},
    [MODIFY_UNWIND] = {"unwind", modify_unwind, BIT(MODIFY_ABANDONED), 0},
    [MODIFY_ABANDONED] = {"abandoned", modify_abandoned, BIT(MODIFY_DONE), 30000},
    [MODIFY_DONE] = {"done", modify_done, 0, 0},
};
static const struct machine_kind modify_kind = {
    "modify", modify_stages, MODIFY_STAGES, MODIFY_UNWIND, MODIFY_DONE};

void modify_start(struct modify *modify, struct store *store, struct body *body)
{
    modify->store = store;
    modify->body = body;
    store->running++;
    machine_start(&modify->machine, &modify_kind, &store->io->run, DIRECTION_CLIENT);
    owner_set_object(&modify->machine.owner, modify->request.fid.identity.clock,
        modify->request.fid.identity.origin);
}
