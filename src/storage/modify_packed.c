/* Modify into slots: the home, the present target, or a new target. See modify.c. */
#include "storage/modify_ways.h"

#include <errno.h>

/* Room for the next growth: an eighth of what it is now. */
static uint64_t target_slack(const struct modify *modify)
{
    uint64_t room = modify->store->config.single_min - modify->total;
    uint64_t slack = modify->total / 8;
    return slack < room ? slack : room;
}

static void set_content_header(struct modify *modify, uint32_t slot_size)
{
    modify->header.slot_size = slot_size;
    modify->header.size = modify->total;
    modify->header.content_crc = modify->crc;
}

int modify_home(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    modify->way = WAY_HOME;
    set_content_header(modify, modify->object.home.slot_size);
    modify->op.result = 0;
    return MODIFY_HOME_REF;
}

int modify_target(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    modify->way = WAY_TARGET;
    modify->target = modify->object.place;
    set_content_header(modify, modify->target.slot_size);
    return MODIFY_APPEND_RECORD;
}

int modify_slot(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    modify->way = WAY_SLOT;
    uint32_t size =
        slot_size_for(modify->total, target_slack(modify), modify->header.attributes_size);
    if (size == 0)
        return machine_fail(machine, ERR(TOO_LARGE, 0));
    if (modify->reservation.state != RESERVE_DONE
        && !stream_reserve(modify->stream, &modify->reservation, size, machine))
        return machine_wait_in(machine, MODIFY_SLOT, 1);
    if (err_is(modify->reservation.err))
        return machine_fail(machine, modify->reservation.err);
    modify->target = modify->reservation.place;
    err_t err;
    if (!stream_take_clock(
            modify->stream, &modify->log_waiter, machine, &modify->target.birth, &err))
        return machine_wait_in(machine, MODIFY_SLOT, 1);
    if (err_is(err))
        return machine_fail(machine, err);
    set_content_header(modify, modify->target.slot_size);
    modify->is_referenced = modify->total > modify->store->config.inline_max;
    modify->op.result = 0;
    return modify->is_referenced ? MODIFY_CONTENT : MODIFY_HOME_REF;
}

static int submit(struct modify *modify, int next, struct io_op op)
{
    int wait = machine_wait_in(&modify->machine, next, 1);
    op.fd = modify->reservation.ref.file->handle.fd;
    op.owner = &modify->machine.owner;
    op.wake = io_wake_machine;
    op.context = &modify->machine;
    modify->op = op;
    io_submit(modify->store->io, &modify->op);
    return wait;
}

int modify_content(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    uint32_t meta = slot_meta_size(modify->header.slot_size, modify->header.attributes_size);
    modify->iov =
        (struct iovec){modify->area + modify->written, (size_t)modify->total - modify->written};
    stream_mark_dirty(modify->stream, &modify->reservation.ref.key);
    return submit(modify, MODIFY_CONTENT_WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .offset = modify->target.offset + meta + modify->written,
            .iov = &modify->iov,
            .iov_count = 1});
}

int modify_content_written(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (modify->op.result <= 0)
        return machine_fail(
            machine, modify->op.result < 0 ? ERR_RESULT(modify->op.result) : ERR(IO, EIO));
    modify->written += (uint32_t)modify->op.result;
    if (modify->written < modify->total)
        return MODIFY_CONTENT;
    return submit(modify, MODIFY_SYNCED, (struct io_op){.kind = IO_SYNC});
}

int modify_synced(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (modify->op.result >= 0)
        return MODIFY_HOME_REF;
    err_t err = ERR_RESULT(modify->op.result);
    if (!err_has(err, ERR_CODE_NO_RESOURCE))
        stream_fail(modify->stream, err);
    return machine_fail(machine, err);
}

/* The home's chunk file: its seed keys the new header of the home. */
int modify_home_ref(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (modify->home_ref.file)
        return MODIFY_APPEND_RECORD;
    if (err_is(modify->home_ref.err))
        return machine_fail(machine, modify->home_ref.err);
    struct chunk_key key = chunk_key_of(&modify->object.home);
    if (chunk_acquire(modify->stream->options.files, &key, &modify->home_ref, machine))
        return MODIFY_HOME_REF;
    return machine_wait_in(machine, MODIFY_HOME_REF, 1);
}

/* ---- the record ---- */

static struct span encode_content_meta(struct modify *modify, uint32_t seed, uint8_t *meta)
{
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE] = {0};
    if (slot_table_entries(modify->header.slot_size) > 0)
        blocks_compute(span_of(modify->area, (size_t)modify->total), table);
    uint32_t size = slot_meta_encode(&modify->header, modify->attributes.data, table, seed, meta);
    return span_of(meta, size);
}

static void record_content(struct modify *modify, struct record *record)
{
    record->content_offset = 0;
    record->content_size = (uint32_t)modify->total;
    record->content_crc = modify->crc;
    if (modify->is_referenced)
        return;
    record->flags |= RECORD_INLINE;
    record->content = span_of(modify->area, (size_t)modify->total);
}

static struct span encode_forward(struct modify *modify, uint8_t *meta)
{
    struct slot_header header = modify->object.home_header;
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE] = {0};
    header.version = modify->header.version;
    header.nonce = modify->header.nonce;
    header.modify_ns = modify->header.modify_ns;
    header.size = modify->total;
    header.flags = (uint8_t)((header.flags & SLOT_MUTABLE) | SLOT_FORWARDED);
    header.attributes_size = forward_attributes_size(header.slot_size, &modify->attributes);
    header.other = modify->target;
    uint32_t size = slot_meta_encode(
        &header, modify->attributes.data, table, modify->home_ref.file->header.seed, meta);
    return span_of(meta, size);
}

static void record_single(struct modify *modify, struct record *record, uint8_t *meta)
{
    if (modify->object.home.kind == PLACE_PACKED) {
        record->flags |= RECORD_AT_TARGET;
        record->target = modify->target;
        record->home_meta = encode_forward(modify, meta);
    }
    single_writer_record(&modify->writer, record);
}

static void record_change(struct modify *modify, struct record *record)
{
    if (modify->object.home.kind == PLACE_PACKED) {
        record->flags |= RECORD_AT_TARGET;
        record->target = modify->object.place;
    }
    single_change_record(&modify->change, record);
}

void modify_way_record(
    struct modify *modify, struct record *record, uint8_t metas[2][SLOT_META_MAX])
{
    struct slot_header *header = &modify->header;
    switch ((enum modify_way)modify->way) {
    case WAY_HOME:
        record->home_meta =
            encode_content_meta(modify, modify->home_ref.file->header.seed, metas[0]);
        record_content(modify, record);
        break;
    case WAY_SLOT:
        record->flags |= RECORD_TAKES;
        record->home_meta = encode_forward(modify, metas[0]);
        __attribute__((fallthrough));
    case WAY_TARGET:
        header->flags |= SLOT_TARGET;
        header->other = modify->object.home;
        header->birth = (struct version){modify->target.birth, modify->target.machine};
        record->flags |= RECORD_AT_TARGET;
        record->target = modify->target;
        record->target_meta = encode_content_meta(modify,
            modify->way == WAY_SLOT ? modify->reservation.ref.file->header.seed
                                    : modify->object.ref.file->header.seed,
            metas[1]);
        record_content(modify, record);
        break;
    case WAY_SINGLE:
        record_single(modify, record, metas[0]);
        break;
    case WAY_CHANGE:
        record_change(modify, record);
        break;
    case WAY_NONE:
        UNREACHABLE("a modify without a way");
    }
}
