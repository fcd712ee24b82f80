/* Content that goes to a slot of a chunk file: see intake.c. */
#include <errno.h>

#include "base/crc.h"
#include "storage/intake_parts.h"

/* ---- the chunk files: made if they are not here yet ---- */

/* A slot of our own that we do not know is brought back: not where slots are being given out. */
static err_t check_own(const struct intake *intake, const struct place *place)
{
    bool is_own = place->machine == intake->store->config.machine;
    bool is_new = intake->now.life == APPLY_ABSENT && !intake->is_damaged;
    if (is_own && is_new && stream_active_of(intake->stream, place->chunk))
        return ERR(BUSY, 0);
    return ERR_OK;
}

static int behind_hold(struct intake *intake)
{
    switch ((enum intake_way)intake->way) {
    case INTAKE_WAY_TOMBSTONE:
        return INTAKE_APPEND;
    case INTAKE_WAY_SINGLE:
        return INTAKE_MAKE;
    case INTAKE_WAY_CHANGE:
        return INTAKE_CHANGE;
    default:
        return intake_at_target(intake) ? INTAKE_HOLD_TARGET : INTAKE_GATHER;
    }
}

int intake_hold(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct entry *entry = &intake->entry;
    if (!intake->home_ref.file && !err_is(intake->home_ref.err)) {
        err_t err = check_own(intake, &entry->record.home);
        if (err_is(err))
            return machine_fail(machine, err);
        struct chunk_key key = chunk_key_of(&entry->record.home);
        if (!mirror_chunk_acquire(
                &intake->maker, intake->stream, &key, entry->home_seed, &intake->home_ref, machine))
            return machine_wait_in(machine, INTAKE_HOLD, 1);
    }
    return err_is(intake->home_ref.err) ? machine_fail(machine, intake->home_ref.err)
                                        : behind_hold(intake);
}

int intake_hold_target(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct entry *entry = &intake->entry;
    if (!intake->target_ref.file && !err_is(intake->target_ref.err)) {
        err_t err = check_own(intake, &entry->record.target);
        if (err_is(err))
            return machine_fail(machine, err);
        struct chunk_key key = chunk_key_of(&entry->record.target);
        intake->maker = (struct mirror_chunk){0};
        if (!mirror_chunk_acquire(&intake->maker, intake->stream, &key, entry->target_seed,
                &intake->target_ref, machine))
            return machine_wait_in(machine, INTAKE_HOLD_TARGET, 1);
    }
    return err_is(intake->target_ref.err) ? machine_fail(machine, intake->target_ref.err)
                                          : INTAKE_GATHER;
}

/* ---- the content: in the record, or gathered from the body ---- */

static struct span content_meta(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return intake_at_target(intake) ? record->target_meta : record->home_meta;
}

static uint32_t content_seed(const struct intake *intake)
{
    return intake_at_target(intake) ? intake->entry.target_seed : intake->entry.home_seed;
}

int intake_gather(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->entry.record;
    struct body *body = intake->content;
    uint32_t need;
    err_t err =
        slot_meta_decode(content_meta(intake), content_seed(intake), &intake->wanted, &need);
    CHECK(!err_is(err)); /* intake_check */
    if (record->flags & RECORD_INLINE) {
        intake->bytes = record->content;
        return INTAKE_GATHERED;
    }
    if (err_is(body->err))
        return machine_fail(machine, body->err);
    if (record->total_size > intake->store->config.single_min)
        return machine_fail(machine, ERR(TOO_LARGE, 0));
    if (body->data.size > record->total_size - intake->received)
        return machine_fail(machine, ERR(PROTOCOL, 0));
    if (body->data.size > 0)
        memcpy(intake_area(intake) + intake->received, body->data.data, body->data.size);
    intake->received += body->data.size;
    if (!body->is_last) {
        int wait = machine_wait_in(machine, INTAKE_GATHER, 1);
        body->next(body, machine);
        return wait;
    }
    if (intake->received < record->total_size)
        return intake_end_cut(intake);
    intake->bytes = span_of(intake_area(intake), (size_t)intake->received);
    if (crc32_update(0, intake->bytes.data, intake->bytes.size) != intake->wanted.content_crc)
        return machine_fail(machine, ERR(CORRUPT, 0));
    return INTAKE_GATHERED;
}

/* Where no record ever wrote, the content may be there before the record: nothing that is applied again
 * after a crash would write over it. */
int intake_gathered(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    intake->is_referenced =
        intake->is_fresh && intake->bytes.size > intake->store->config.inline_max;
    intake->written = 0;
    return intake->is_referenced ? INTAKE_WRITE : INTAKE_APPEND;
}

static int submit(struct intake *intake, int next, struct io_op op)
{
    int wait = machine_wait_in(&intake->machine, next, 1);
    const struct chunk_ref *ref =
        intake_at_target(intake) ? &intake->target_ref : &intake->home_ref;
    op.fd = ref->file->handle.fd;
    op.owner = &intake->machine.owner;
    op.wake = io_wake_machine;
    op.context = &intake->machine;
    intake->op = op;
    io_submit(intake->store->io, &intake->op);
    return wait;
}

int intake_write(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    intake->iov = (struct iovec){(void *)(uintptr_t)(intake->bytes.data + intake->written),
        intake->bytes.size - intake->written};
    return submit(intake, INTAKE_WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .offset = intake_place(intake)->offset + content_meta(intake).size + intake->written,
            .iov = &intake->iov,
            .iov_count = 1});
}

int intake_written(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (intake->op.result <= 0)
        return machine_fail(
            machine, intake->op.result < 0 ? ERR_RESULT(intake->op.result) : ERR(IO, EIO));
    intake->written += (uint32_t)intake->op.result;
    if (intake->written < intake->bytes.size)
        return INTAKE_WRITE;
    return submit(intake, INTAKE_SYNCED, (struct io_op){.kind = IO_SYNC});
}

int intake_synced(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (intake->op.result >= 0)
        return INTAKE_APPEND;
    err_t err = ERR_RESULT(intake->op.result);
    if (!err_has(err, ERR_CODE_NO_RESOURCE))
        stream_fail(intake->stream, err);
    return machine_fail(machine, err);
}

/* ---- the record ---- */

struct span intake_forward(struct intake *intake, uint8_t meta[SLOT_META_MAX])
{
    const struct record *record = &intake->entry.record;
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE] = {0};
    struct slot_header header = intake->wanted;
    header.flags = (uint8_t)((header.flags & SLOT_MUTABLE) | SLOT_FORWARDED);
    header.slot_size = record->home.slot_size;
    header.attributes_size = forward_attributes_size(header.slot_size, &intake->attributes);
    header.birth = (struct version){0};
    header.other = record->target;
    uint32_t size =
        slot_meta_encode(&header, intake->attributes.data, table, intake->entry.home_seed, meta);
    return span_of(meta, size);
}

/* The slot that the content goes to was not this file's before. */
static bool takes(const struct intake *intake)
{
    if (intake_at_target(intake))
        return !apply_place_equals(&intake->entry.record.target, &intake->now.target);
    return intake->now.life == APPLY_ABSENT && !intake->is_damaged;
}

void intake_slot_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX])
{
    struct span meta = content_meta(intake);
    record->content_offset = 0;
    record->content_size = (uint32_t)intake->bytes.size;
    record->content_crc = intake->wanted.content_crc;
    record->flags |= takes(intake) ? RECORD_TAKES : 0;
    if (!intake->is_referenced) {
        record->flags |= RECORD_INLINE;
        record->content = intake->bytes;
    }
    if (!intake_at_target(intake)) {
        record->home_meta = meta;
        return;
    }
    intake->attributes = slot_attributes(meta, &intake->wanted);
    record->home_meta = intake_forward(intake, metas[0]);
    record->target_meta = meta;
}
