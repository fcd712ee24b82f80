/* Content of single files: made anew, or changed in place; see intake.c. */
#include "base/crc.h"
#include "storage/intake_parts.h"

static struct span content_meta(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return intake_at_target(intake) ? record->target_meta : record->home_meta;
}

static void take_wanted(struct intake *intake)
{
    struct span meta = content_meta(intake);
    err_t err = single_meta_decode(meta, &intake->entry.record.identity, &intake->wanted);
    CHECK(!err_is(err)); /* intake_check */
    intake->attributes = slot_attributes(meta, &intake->wanted);
}

static bool is_tombstone(const struct intake *intake)
{
    return intake->way == INTAKE_WAY_TOMBSTONE;
}

/* A delete beats every version: at a start its file must count as later than what it takes the place of. */
static struct version version_to_make(const struct intake *intake)
{
    struct version version = intake->entry.record.version, held = intake->now.version;
    if (is_tombstone(intake) && version_compare(held, version) >= 0)
        version.counter = held.counter + 1;
    return version;
}

/* ---- made anew ---- */

int intake_make(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    uint8_t *page = is_tombstone(intake) ? intake->scratch : intake_page(intake);
    if (!is_tombstone(intake))
        take_wanted(intake);
    intake->has_writer = true;
    int wait = machine_wait_in(machine, INTAKE_MADE, 1);
    single_writer_open(&intake->writer, &intake->stream->single_mount, machine,
        &intake->entry.record.identity, version_to_make(intake), page);
    return wait;
}

int intake_made(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (err_is(intake->writer.chain.err))
        return machine_fail(machine, intake->writer.chain.err);
    return is_tombstone(intake) ? INTAKE_FINISH : INTAKE_POUR;
}

int intake_pour(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct body *body = intake->content;
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (body->data.size > intake->entry.record.total_size - intake->received)
        return machine_fail(machine, ERR(PROTOCOL, 0));
    intake->received += body->data.size;
    if (body->data.size == 0)
        return INTAKE_POURED;
    int wait = machine_wait_in(machine, INTAKE_POURED, 1);
    single_writer_write(&intake->writer, body->data);
    return wait;
}

int intake_poured(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    struct body *body = intake->content;
    if (err_is(intake->writer.chain.err))
        return machine_fail(machine, intake->writer.chain.err);
    if (body->is_last)
        return INTAKE_FINISH;
    int wait = machine_wait_in(machine, INTAKE_POUR, 1);
    body->next(body, machine);
    return wait;
}

static struct slot_header tombstone_header(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return (struct slot_header){.identity = record->identity,
        .nonce = record->nonce,
        .modify_ns = record->time_ns,
        .flags = SLOT_DELETED,
        .other = record->home};
}

int intake_finish(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    struct slot_header header = intake->wanted;
    if (is_tombstone(intake)) {
        header = tombstone_header(intake);
    } else {
        if (single_writer_size(&intake->writer) < intake->entry.record.total_size)
            return intake_end_cut(intake);
        if (single_writer_crc(&intake->writer) != intake->wanted.content_crc)
            return machine_fail(machine, ERR(CORRUPT, 0));
    }
    int wait = machine_wait_in(machine, INTAKE_FINISHED, 1);
    single_writer_finish(&intake->writer, &header, intake->attributes);
    return wait;
}

static int fail_of_disk(struct intake *intake, err_t err)
{
    if (err_has(err, ERR_CODE_IO)) /* a sync may have failed: nothing of this disk is trusted */
        stream_fail(intake->stream, err);
    return machine_fail(&intake->machine, err);
}

int intake_finished(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->writer.chain.err;
    return err_is(err) ? fail_of_disk(intake, err) : INTAKE_APPEND;
}

/* ---- in place ---- */

int intake_change(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    take_wanted(intake);
    intake->has_change = true;
    int wait = machine_wait_in(machine, INTAKE_CHANGE_BEGIN, 1);
    single_change_open(&intake->change, &intake->stream->single_mount, machine,
        &intake->entry.record.identity, intake->buffer.data);
    return wait;
}

/* The bytes of a write are needed all at once. */
static int gather_write(struct intake *intake)
{
    struct machine *machine = &intake->machine;
    const struct record *record = &intake->entry.record;
    struct body *body = intake->content;
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (body->data.size > record->content_size - intake->received)
        return machine_fail(machine, ERR(PROTOCOL, 0));
    if (body->data.size > 0)
        memcpy(intake_area(intake) + intake->received, body->data.data, body->data.size);
    intake->received += body->data.size;
    if (body->is_last)
        return INTAKE_CHANGE_READY;
    int wait = machine_wait_in(machine, INTAKE_CHANGE_BEGIN, 1);
    body->next(body, machine);
    return wait;
}

static int begin_change(struct intake *intake, const struct single_update *update)
{
    const struct record *record = &intake->entry.record;
    struct machine *machine = &intake->machine;
    intake->bytes = record->content;
    if (record->kind == RECORD_WRITE && !(record->flags & RECORD_INLINE)) {
        int next = gather_write(intake);
        if (next != INTAKE_CHANGE_READY)
            return next;
        if (intake->received < record->content_size)
            return intake_end_cut(intake);
        intake->bytes = span_of(intake_area(intake), (size_t)intake->received);
    }
    bool is_append = record->kind == RECORD_APPEND;
    int wait = machine_wait_in(machine, is_append ? INTAKE_CHANGE_POUR : INTAKE_CHANGE_READY, 1);
    if (is_append)
        single_change_append(&intake->change, update);
    else if (record->kind == RECORD_TRUNCATE)
        single_change_truncate(&intake->change, update, record->total_size);
    else
        single_change_write(&intake->change, update, record->content_offset, intake->bytes);
    return wait;
}

int intake_change_begin(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->entry.record;
    if (err_has(intake->change.chain.err, ERR_CODE_CORRUPT))
        return intake_disagree(intake);
    if (err_is(intake->change.chain.err))
        return machine_fail(machine, intake->change.chain.err);
    bool is_large = record->kind == RECORD_WRITE
                    && (record->content_size > intake->store->config.single_min
                        || record->content_size > SINGLE_WRITE_MAX);
    if (is_large) /* for what is buffered here */
        return intake_disagree(intake);
    struct single_update update = {.version = record->version,
        .nonce = record->nonce,
        .modify_ns = intake->wanted.modify_ns,
        .is_final = (intake->wanted.flags & SLOT_MUTABLE) == 0,
        .has_attributes = true,
        .attributes = intake->attributes};
    return begin_change(intake, &update);
}

int intake_change_pour(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct body *body = intake->content;
    if (err_is(intake->change.chain.err))
        return machine_fail(machine, intake->change.chain.err);
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (body->data.size > intake->entry.record.content_size - intake->received)
        return machine_fail(machine, ERR(PROTOCOL, 0));
    intake->received += body->data.size;
    if (body->data.size == 0)
        return INTAKE_CHANGE_POURED;
    int wait = machine_wait_in(machine, INTAKE_CHANGE_POURED, 1);
    single_change_append_write(&intake->change, body->data);
    return wait;
}

int intake_change_poured(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    struct body *body = intake->content;
    if (err_is(intake->change.chain.err))
        return machine_fail(machine, intake->change.chain.err);
    if (body->is_last && intake->received < intake->entry.record.content_size)
        return intake_end_cut(intake);
    int wait =
        machine_wait_in(machine, body->is_last ? INTAKE_CHANGE_READY : INTAKE_CHANGE_POUR, 1);
    if (body->is_last)
        single_change_append_finish(&intake->change);
    else
        body->next(body, machine);
    return wait;
}

/* The content that comes out must be the one that the record tells: the same version of the same base
 * has the same bytes, unless something is damaged, here or there. */
int intake_change_ready(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->change.chain.err;
    const struct slot_header *header = &intake->change.header;
    if (err_has(err, ERR_CODE_CORRUPT) || err_has(err, ERR_CODE_RANGE))
        return intake_disagree(intake);
    if (err_is(err))
        return fail_of_disk(intake, err);
    bool agrees =
        header->size == intake->wanted.size && header->content_crc == intake->wanted.content_crc;
    return agrees ? INTAKE_APPEND : intake_disagree(intake);
}

/* ---- the record ---- */

void intake_single_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX])
{
    if (intake->has_change) {
        single_change_record(&intake->change, record);
        return;
    }
    single_writer_record(&intake->writer, record);
    if (intake_at_target(intake) && intake->way == INTAKE_WAY_SINGLE)
        record->home_meta = intake_forward(intake, metas[0]);
}
