/* Upload.
 *
 *   ADMIT -> COLLECT <-> COLLECTED -> RESERVE -> [CONTENT <-> -> SYNC] -> APPEND -> COMMITTED
 *      |         `--> (too large to be packed)                                        |
 *      `-> OPEN -> POUR <-> POURED -> FINISH -> FINISHED -> APPEND -> COMMITTED -> APPLY -> APPLIED
 *
 * A packed content is gathered whole (up to single_min), so its slot has the right size. Up to
 * inline_max it travels in the record; above, it is written to its fresh slot and synced first. A
 * single file is written as it comes, out of place, and takes its name after the commit.
 * Acknowledged from memory: the slot is written and the answer given before the commit. */
#include "base/crc.h"
#include "storage/append.h"
#include "storage/operation.h"
#include "storage/retry.h"

#include <errno.h>

enum {
    UPLOAD_ADMIT,
    UPLOAD_KNOWN,
    UPLOAD_COLLECT,
    UPLOAD_COLLECTED,
    UPLOAD_RESERVE,
    UPLOAD_CONTENT,
    UPLOAD_CONTENT_WRITTEN,
    UPLOAD_SYNCED,
    UPLOAD_OPEN,
    UPLOAD_OPENED,
    UPLOAD_POUR,
    UPLOAD_POURED,
    UPLOAD_NEXT,
    UPLOAD_FINISH,
    UPLOAD_FINISHED,
    UPLOAD_APPEND,
    UPLOAD_EARLY,
    UPLOAD_COMMITTED,
    UPLOAD_APPLIED,
    UPLOAD_UNWIND,
    UPLOAD_ABANDONED,
    UPLOAD_DONE,
    UPLOAD_STAGES
};

static struct upload *upload_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct upload, machine);
}

/* ---- admission: identity and attributes ---- */

static err_t upload_set_attributes(struct upload *upload)
{
    struct writer w = {upload->attributes, sizeof upload->attributes, 0, false};
    uint8_t expires[8];
    put_u64(expires, upload->request.expires);
    attribute_write(&w, ATTRIBUTE_POOL, upload->request.pool);
    attribute_write(&w, ATTRIBUTE_CONTENT_TYPE, upload->request.content_type);
    attribute_write(&w, ATTRIBUTE_METADATA, upload->request.metadata);
    if (upload->request.expires > 0)
        attribute_write(&w, ATTRIBUTE_EXPIRES, span_of(expires, sizeof expires));
    upload->attributes_size = (uint16_t)w.size;
    return w.failed ? ERR(TOO_LARGE, 0) : ERR_OK;
}

static err_t upload_set_identity(struct upload *upload)
{
    struct store *store = upload->store;
    struct identity *identity = &upload->header.identity;
    if (!suffix_is_valid(upload->request.suffix))
        return ERR(USAGE, 0);
    identity->origin = store->config.machine;
    suffix_part(upload->request.suffix, io_random(store->io), identity->suffix);
    uint64_t now = io_wall(store->io);
    upload->header.version = (struct version){1, store->config.machine};
    upload->header.create_ns = upload->header.modify_ns = now;
    upload->header.nonce = upload->request.nonce;
    upload->header.flags = upload->request.is_mutable ? SLOT_MUTABLE : 0;
    return upload_set_attributes(upload);
}

static int upload_admit(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    err_t err = ERR_OK;
    if (upload->known)
        return UPLOAD_KNOWN;
    if (!upload->stream)
        err = store_stream_for_upload(upload->store, upload->request.mount, &upload->stream);
    if (err_is(err))
        return machine_fail(machine, err);
    err = upload_set_identity(upload);
    if (err_is(err))
        return machine_fail(machine, err);
    if (upload->request.size_known && upload->request.size > BLOCKS_CONTENT_MAX)
        return machine_fail(machine, ERR(TOO_LARGE, 0));
    if (upload->request.size_known && upload->request.size > upload->store->config.single_min)
        return UPLOAD_OPEN;
    return UPLOAD_COLLECT;
}

/* The id clock is drawn late: when the slot is reserved, so that it is younger than whatever was there
 * before (mirrors go by that: doc/decisions/0004-apply.md), and for a single file when its content begins
 * to be written under a name that is made of it. False: again when `machine` has arrived. */
static bool upload_take_clock(struct upload *upload, err_t *ret_err)
{
    uint64_t clock;
    *ret_err = ERR_OK;
    if (upload->header.identity.clock != 0)
        return true;
    if (!stream_take_clock(upload->stream, &upload->log_waiter, &upload->machine, &clock, ret_err))
        return false;
    if (err_is(*ret_err))
        return true;
    upload->header.identity.clock = clock;
    owner_set_object(&upload->machine.owner, clock, upload->header.identity.origin);
    stream_hold_clock(upload->stream, &upload->clock_hold, clock);
    return true;
}

/* ---- a repetition: the content is taken as it comes, and must be the one that is stored ---- */

static void upload_tell_known(struct upload *upload)
{
    const struct recent_upload *known = upload->known;
    upload->result.fid = recent_fid(known, upload->store->config.group);
    upload->result.version = known->version;
    upload->result.size = known->size;
    upload->result.crc = known->crc;
    upload->result.ack = ACK_LOCAL;
    upload->is_told = true;
    if (known->home.machine == upload->store->config.machine) { /* for who waits for mirrors */
        upload->stream = upload->store->mounts[known->home.mount].streams[known->home.stream];
        upload->append.record.lsn = known->lsn;
    }
    upload->on_result(upload);
}

static int upload_known(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    struct body *body = upload->body;
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    upload->crc = crc32_update(upload->crc, body->data.data, body->data.size);
    upload->received += body->data.size;
    if (!body->is_last) {
        int wait = machine_wait_in(machine, UPLOAD_KNOWN, 1);
        body->next(body, machine);
        return wait;
    }
    if (upload->received != upload->known->size || upload->crc != upload->known->crc)
        return machine_fail(machine, ERR(CONFLICT, 0));
    upload_tell_known(upload);
    return UPLOAD_UNWIND;
}

/* ---- gathering a packed content ---- */

/* All there already, in one stable piece: no copy. */
static bool is_whole(const struct upload *upload)
{
    return upload->received == 0 && upload->body->is_last
           && upload->body->data.size <= upload->store->config.single_min;
}

static err_t upload_check_content(struct upload *upload)
{
    const struct upload_request *request = &upload->request;
    if (request->size_known && upload->received != request->size)
        return ERR(PROTOCOL, 0);
    if (request->crc_known && upload->crc != request->crc)
        return ERR(CORRUPT, 0);
    return ERR_OK;
}

static int upload_collect(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    struct body *body = upload->body;
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (is_whole(upload)) {
        upload->content = body->data;
        upload->received = body->data.size;
        upload->crc = crc32_update(0, body->data.data, body->data.size);
        return UPLOAD_RESERVE;
    }
    if (!upload->work.data) {
        if (upload->work.pool)
            return machine_fail(machine, ERR(BUSY, 0));
        if (!buffer_claim(&upload->work, &upload->store->work_buffers, machine))
            return machine_wait_in(machine, UPLOAD_COLLECT, 1);
        return UPLOAD_COLLECT;
    }
    if (upload->received + body->data.size > upload->store->config.single_min) {
        if (upload->request.size_known)
            return machine_fail(machine, ERR(PROTOCOL, 0));
        return UPLOAD_OPEN;
    }
    if (body->data.size > 0)
        memcpy(upload->work.data + upload->received, body->data.data, body->data.size);
    upload->crc = crc32_update(upload->crc, body->data.data, body->data.size);
    upload->received += body->data.size;
    if (!body->is_last) {
        int wait = machine_wait_in(machine, UPLOAD_COLLECT, 1);
        body->next(body, machine);
        return wait;
    }
    upload->content = span_of(upload->work.data, (size_t)upload->received);
    return UPLOAD_RESERVE;
}

/* ---- a slot ---- */

static uint64_t slack_bytes(uint32_t slack, uint64_t size)
{
    if (slack & SLACK_IS_BYTES)
        return slack & ~SLACK_IS_BYTES;
    return size * slack / 100;
}

static uint32_t upload_slot_size(const struct upload *upload)
{
    uint64_t slack = 0;
    if (upload->request.is_mutable)
        slack = slack_bytes(upload->request.slack, upload->received);
    uint64_t limit = upload->store->config.single_min;
    if (upload->received + slack > limit)
        slack = limit - upload->received;
    return slot_size_for(upload->received, slack, upload->attributes_size);
}

static int upload_reserve(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (upload->reservation.state == RESERVE_NONE) {
        err_t err = upload_check_content(upload);
        if (err_is(err))
            return machine_fail(machine, err);
    }
    uint32_t size = upload_slot_size(upload);
    if (size == 0)
        return machine_fail(machine, ERR(TOO_LARGE, 0));
    if (upload->reservation.state != RESERVE_DONE
        && !stream_reserve(upload->stream, &upload->reservation, size, machine))
        return machine_wait_in(machine, UPLOAD_RESERVE, 1);
    if (err_is(upload->reservation.err))
        return machine_fail(machine, upload->reservation.err);
    err_t err;
    if (!upload_take_clock(upload, &err))
        return machine_wait_in(machine, UPLOAD_RESERVE, 1);
    if (err_is(err))
        return machine_fail(machine, err);
    struct slot_header *header = &upload->header;
    header->size = upload->received;
    header->content_crc = upload->crc;
    header->attributes_size = upload->attributes_size;
    header->slot_size = upload->reservation.place.slot_size;
    upload->meta_size = slot_meta_size(header->slot_size, header->attributes_size);
    upload->is_referenced = upload->received > upload->store->config.inline_max;
    return upload->is_referenced ? UPLOAD_CONTENT : UPLOAD_APPEND;
}

/* ---- referenced content: to its fresh slot, synced, before the record ---- */

static int upload_content(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    int wait = machine_wait_in(machine, UPLOAD_CONTENT_WRITTEN, 1);
    upload->iov = (struct iovec){(void *)(uintptr_t)(upload->content.data + upload->written),
        upload->content.size - upload->written};
    stream_mark_dirty(upload->stream, &upload->reservation.ref.key);
    upload->op = (struct io_op){.kind = IO_WRITE,
        .fd = upload->reservation.ref.file->handle.fd,
        .offset = upload->reservation.place.offset + upload->meta_size + upload->written,
        .iov = &upload->iov,
        .iov_count = 1,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(upload->store->io, &upload->op);
    return wait;
}

static int upload_content_written(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (upload->op.result <= 0)
        return machine_fail(
            machine, upload->op.result < 0 ? ERR_RESULT(upload->op.result) : ERR(IO, EIO));
    upload->written += (uint32_t)upload->op.result;
    if (upload->written < upload->content.size)
        return UPLOAD_CONTENT;
    int wait = machine_wait_in(machine, UPLOAD_SYNCED, 1);
    upload->op = (struct io_op){.kind = IO_SYNC,
        .fd = upload->reservation.ref.file->handle.fd,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(upload->store->io, &upload->op);
    return wait;
}

/* A refused sync (no ring entry) is an answer; a failed one ends the mount point. */
static int upload_synced(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (upload->op.result >= 0)
        return UPLOAD_APPEND;
    err_t err = ERR_RESULT(upload->op.result);
    if (!err_has(err, ERR_CODE_NO_RESOURCE))
        stream_fail(upload->stream, err);
    return machine_fail(machine, err);
}

/* ---- single file ---- */

static int upload_open(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (!upload->work.data) {
        if (upload->work.pool)
            return machine_fail(machine, ERR(BUSY, 0));
        if (!buffer_claim(&upload->work, &upload->store->work_buffers, machine))
            return machine_wait_in(machine, UPLOAD_OPEN, 1);
        return UPLOAD_OPEN;
    }
    err_t err;
    if (!upload_take_clock(upload, &err))
        return machine_wait_in(machine, UPLOAD_OPEN, 1);
    if (err_is(err))
        return machine_fail(machine, err);
    upload->is_single = true;
    uint8_t *page = upload->work.data + upload->store->work_buffers.slot_size - BLOCKS_PAGE_SIZE;
    int wait = machine_wait_in(machine, UPLOAD_OPENED, 1);
    single_writer_open(&upload->writer, &upload->stream->single_mount, machine,
        &upload->header.identity, upload->header.version, page);
    return wait;
}

static int upload_pour_span(struct upload *upload, int next, struct span data)
{
    int wait = machine_wait_in(&upload->machine, next, 1);
    single_writer_write(&upload->writer, data);
    return wait;
}

static int upload_opened(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (err_is(upload->writer.chain.err))
        return machine_fail(machine, upload->writer.chain.err);
    if (upload->received > 0) /* gathered before it turned out to be large */
        return upload_pour_span(
            upload, UPLOAD_POUR, span_of(upload->work.data, (size_t)upload->received));
    return UPLOAD_POUR;
}

static int upload_pour(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    struct body *body = upload->body;
    if (err_is(upload->writer.chain.err))
        return machine_fail(machine, upload->writer.chain.err);
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    upload->received += body->data.size;
    if (upload->request.size_known && upload->received > upload->request.size)
        return machine_fail(machine, ERR(PROTOCOL, 0));
    if (body->data.size > 0)
        return upload_pour_span(upload, UPLOAD_POURED, body->data);
    return UPLOAD_POURED;
}

static int upload_poured(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    struct body *body = upload->body;
    if (err_is(upload->writer.chain.err))
        return machine_fail(machine, upload->writer.chain.err);
    if (body->is_last)
        return UPLOAD_FINISH;
    int wait = machine_wait_in(machine, UPLOAD_POUR, 1);
    body->next(body, machine);
    return wait;
}

static int upload_finish(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    upload->crc = single_writer_crc(&upload->writer);
    err_t err = upload_check_content(upload);
    if (err_is(err))
        return machine_fail(machine, err);
    const struct stream_options *options = &upload->stream->options;
    upload->header.other = (struct place){.kind = PLACE_SINGLE,
        .mount = options->mount,
        .stream = options->stream,
        .machine = options->machine}; /* the file alone tells its id (LIST) */
    int wait = machine_wait_in(machine, UPLOAD_FINISHED, 1);
    single_writer_finish(
        &upload->writer, &upload->header, span_of(upload->attributes, upload->attributes_size));
    return wait;
}

static int upload_finished(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    err_t err = upload->writer.chain.err;
    if (err_has(err, ERR_CODE_IO))
        stream_fail(upload->stream, err);
    return err_is(err) ? machine_fail(machine, err) : UPLOAD_APPEND;
}

/* ---- the record ---- */

static void upload_fill_packed(struct upload *upload, struct record *record, uint8_t *meta)
{
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE] = {0};
    if (slot_table_entries(upload->header.slot_size) > 0)
        blocks_compute(upload->content, table);
    uint32_t size = slot_meta_encode(&upload->header, upload->attributes, table,
        upload->reservation.ref.file->header.seed, meta);
    record->home = upload->reservation.place;
    record->home_meta = span_of(meta, size);
    record->flags |= RECORD_TAKES;
    record->content_size = (uint32_t)upload->received;
    record->content_crc = upload->crc;
    record->total_size = upload->received;
    if (!upload->is_referenced) {
        record->flags |= RECORD_INLINE;
        record->content = upload->content;
    }
}

static void upload_fill_single(struct upload *upload, struct record *record)
{
    const struct stream_options *options = &upload->stream->options;
    record->home = (struct place){.kind = PLACE_SINGLE,
        .mount = options->mount,
        .stream = options->stream,
        .machine = options->machine};
    single_writer_record(&upload->writer, record);
}

static int upload_append(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    uint8_t meta[SLOT_META_MAX];
    if (upload->is_superseded)
        return machine_fail(machine, ERR(BUSY, 0));
    struct record record = {.kind = RECORD_UPLOAD,
        .identity = upload->header.identity,
        .version = upload->header.version,
        .nonce = upload->header.nonce,
        .time_ns = upload->header.modify_ns,
        .watermark = stream_watermark_stamp(upload->stream)};
    if (upload->is_single)
        upload_fill_single(upload, &record);
    else
        upload_fill_packed(upload, &record, meta);
    upload->header.size = upload->received;
    upload->header.content_crc = upload->crc;
    record_set_digest(&record, false, 0, true, header_digest(&upload->header));
    bool is_early = upload->request.ack == ACK_MEMORY && !upload->is_single;
    err_t err;
    switch (change_append(upload->stream, &upload->append, &upload->log_waiter, &record,
        is_early ? NULL : machine, &err)) {
    case APPEND_WAIT:
        upload->log_waiter.machine = machine;
        return machine_wait_in(machine, UPLOAD_APPEND, 1);
    case APPEND_FAILED:
        return machine_fail(machine, err);
    case APPEND_DONE:
        break;
    }
    if (!is_early)
        stream_release_clock(&upload->clock_hold);
    int wait = machine_wait_in(machine, is_early ? UPLOAD_EARLY : UPLOAD_COMMITTED, 1);
    if (is_early)
        packed_apply_start(&upload->apply, upload->stream, &upload->append.record, machine);
    return wait;
}

/* ---- the answer ---- */

static void upload_tell(struct upload *upload, uint8_t ack)
{
    const struct slot_header *header = &upload->header;
    struct fid *fid = &upload->result.fid;
    const struct stream_options *options = &upload->stream->options;
    *fid = (struct fid){.identity = header->identity,
        .mount = options->mount,
        .stream = options->stream,
        .is_packed = !upload->is_single,
        .is_mutable = upload->request.is_mutable || upload->received > UINT32_MAX};
    memcpy(fid->group, upload->store->config.group, sizeof fid->group);
    if (!fid->is_mutable) { /* else the id says to ask: it can be made from the header at any time */
        fid->size = upload->received;
        fid->crc = upload->crc;
    }
    if (fid->is_packed) {
        fid->chunk = upload->reservation.place.chunk;
        fid->offset = upload->reservation.place.offset;
        fid->slot_size = upload->reservation.place.slot_size;
    }
    upload->result.version = header->version;
    upload->result.size = upload->received;
    upload->result.crc = upload->crc;
    upload->result.ack = ack;
    upload->is_told = true;
    upload->on_result(upload);
}

/* Applied before the commit: the answer goes out, the record and the slot are held until it ends. */
static int upload_early(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    err_t err = upload->apply.err;
    if (err_is(err)) /* its record may be committed yet */
        return machine_fail(machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
    upload_tell(upload, ACK_MEMORY);
    if (binlog_commit_wait(&upload->stream->log, &upload->append, machine))
        return UPLOAD_APPLIED;
    return machine_wait_in(machine, UPLOAD_APPLIED, 1);
}

static int upload_committed(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    if (err_is(upload->append.err))
        return machine_fail(machine, upload->append.err);
    int wait = machine_wait_in(machine, UPLOAD_APPLIED, 1);
    if (upload->is_single)
        single_rename(&upload->entry, &upload->stream->single_mount, machine,
            &upload->header.identity, upload->header.version, &upload->stream->singles);
    else
        packed_apply_start(&upload->apply, upload->stream, &upload->append.record, machine);
    return wait;
}

static int upload_applied(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    err_t err = upload->is_single ? upload->entry.chain.err : upload->apply.err;
    bool is_doubtful = upload->is_referenced && upload->stream->state != STREAM_OPEN;
    if (!err_is(err) && is_doubtful && !upload->is_told)
        err = upload->stream->failure; /* a failed sync is told once, perhaps to another upload */
    if (err_is(err)) {
        stream_fail(upload->stream, err);
        return machine_fail(machine, (err_t){err.site, ERR_CODE_OUTCOME_UNKNOWN, err.os});
    }
    if (!upload->is_told)
        upload_tell(upload, ACK_LOCAL);
    return UPLOAD_UNWIND;
}

/* ---- one way out ---- */

static int upload_unwind(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    bool was_appended = upload->append.buffer != NULL;
    stream_release_clock(&upload->clock_hold);
    if (upload->stream) {
        binlog_wait_cancel(&upload->log_waiter);
        if (was_appended)
            binlog_release(&upload->stream->log, &upload->append);
        stream_reserve_end(upload->stream, &upload->reservation, was_appended);
    }
    if (upload->is_single && !was_appended) {
        int wait = machine_wait_in(machine, UPLOAD_ABANDONED, 1);
        single_writer_abandon(&upload->writer, machine);
        return wait;
    }
    if (upload->is_single)
        single_writer_close(&upload->writer);
    return UPLOAD_ABANDONED;
}

static int upload_abandoned(struct machine *machine)
{
    buffer_claim_end(&upload_of(machine)->work);
    return UPLOAD_DONE;
}

static int upload_done(struct machine *machine)
{
    struct upload *upload = upload_of(machine);
    struct store *store = upload->store;
    owner_close(&machine->owner);
    if (list_is_linked(&upload->link))
        list_remove(&upload->link);
    store->running--;
    upload->done(upload);
    upload_asks_go_on(store);
    return STAGE_END;
}

static const struct stage upload_stages[UPLOAD_STAGES] = {
    [UPLOAD_ADMIT] = {"admit", upload_admit,
        BIT(UPLOAD_KNOWN) | BIT(UPLOAD_COLLECT) | BIT(UPLOAD_OPEN), 0},
    [UPLOAD_KNOWN] = {"known", upload_known, 0, 60000},
    [UPLOAD_COLLECT] = {"collect", upload_collect, BIT(UPLOAD_RESERVE) | BIT(UPLOAD_OPEN), 60000},
    [UPLOAD_RESERVE] = {"reserve", upload_reserve, BIT(UPLOAD_CONTENT) | BIT(UPLOAD_APPEND), 30000},
    [UPLOAD_CONTENT] = {"content", upload_content, BIT(UPLOAD_CONTENT_WRITTEN), 0},
    [UPLOAD_CONTENT_WRITTEN] = {"content-written", upload_content_written,
        BIT(UPLOAD_CONTENT) | BIT(UPLOAD_SYNCED), 5000},
    [UPLOAD_SYNCED] = {"synced", upload_synced, BIT(UPLOAD_APPEND), 5000},
    [UPLOAD_OPEN] = {"open", upload_open, BIT(UPLOAD_OPENED), 5000},
    [UPLOAD_OPENED] = {"opened", upload_opened, BIT(UPLOAD_POUR), 5000},
    [UPLOAD_POUR] = {"pour", upload_pour, BIT(UPLOAD_POURED), 60000},
    [UPLOAD_POURED] = {"poured", upload_poured, BIT(UPLOAD_POUR) | BIT(UPLOAD_FINISH), 5000},
    [UPLOAD_FINISH] = {"finish", upload_finish, BIT(UPLOAD_FINISHED), 0},
    [UPLOAD_FINISHED] = {"finished", upload_finished, BIT(UPLOAD_APPEND), 30000},
    [UPLOAD_APPEND] = {"append", upload_append, BIT(UPLOAD_EARLY) | BIT(UPLOAD_COMMITTED), 30000},
    [UPLOAD_EARLY] = {"early", upload_early, BIT(UPLOAD_APPLIED), 5000},
    [UPLOAD_COMMITTED] = {"committed", upload_committed, BIT(UPLOAD_APPLIED), 5000},
    [UPLOAD_APPLIED] = {"applied", upload_applied, 0, 5000},
    [UPLOAD_UNWIND] = {"unwind", upload_unwind, BIT(UPLOAD_ABANDONED), 0},
    [UPLOAD_ABANDONED] = {"abandoned", upload_abandoned, BIT(UPLOAD_DONE), 5000},
    [UPLOAD_DONE] = {"done", upload_done, 0, 0},
};
static const struct machine_kind upload_kind = {
    "upload", upload_stages, UPLOAD_STAGES, UPLOAD_UNWIND, UPLOAD_DONE};

void upload_start(struct upload *upload, struct store *store, struct body *body)
{
    upload->store = store;
    upload->body = body;
    store->running++;
    if (!upload->known && !nonce_is_none(&upload->request.nonce))
        list_push_back(&store->uploads, &upload->link);
    machine_start(&upload->machine, &upload_kind, &store->io->run, DIRECTION_CLIENT);
}
