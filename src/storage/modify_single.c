/* Modify into single files: made out of place, or changed in place. See modify.c.
 *
 *   OPEN -> OPENED -> [PREFIX: what stands before a write] -> AREA: what was gathered
 *        -> POUR <-> POURED: the rest of the body -> [ZEROS] -> [TAIL: what stands behind a write]
 *        -> FINISH -> FINISHED
 *   CHANGE_OPEN -> CHANGE_BEGIN -> [CHANGE_POUR <-> CHANGE_POURED] -> CHANGE_READY */
#include "storage/modify_ways.h"

static uint8_t *writer_page(struct modify *modify)
{
    return modify->buffer.data + SINGLE_CHANGE_BUFFER;
}

static struct span attributes_of(const struct modify *modify)
{
    return modify->attributes;
}

/* A part of a single file is changed, and that can't be done in place: too large to be logged, or in a
 * target of another storage. The file is copied around it. */
static bool copies_around(const struct modify *modify)
{
    return modify->object.is_single && modify->request.mode != MODIFY_REPLACE;
}

/* How much of the old content stays before the change. */
static uint64_t prefix_end(const struct modify *modify)
{
    uint64_t size = modify->object.header.size, offset = modify->request.offset;
    return modify->request.mode == MODIFY_APPEND || offset > size ? size : offset;
}

int modify_single_open(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    const struct place *home = &modify->object.home; /* it lies beside it, at every storage */
    modify->way = WAY_SINGLE;
    modify->has_writer = true;
    modify->target = (struct place){.kind = PLACE_SINGLE,
        .mount = home->mount,
        .stream = home->stream,
        .machine = modify->store->config.machine};
    int wait = machine_wait_in(machine, MODIFY_SINGLE_OPENED, 1);
    single_writer_open(&modify->writer, &modify->stream->single_mount, machine,
        &modify->request.fid.identity, modify->header.version, writer_page(modify));
    return wait;
}

int modify_single_opened(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->writer.chain.err))
        return machine_fail(machine, modify->writer.chain.err);
    if (modify->object.home.kind == PLACE_PACKED) {
        err_t err;
        if (!stream_take_clock(
                modify->stream, &modify->log_waiter, machine, &modify->target.birth, &err))
            return machine_wait_in(machine, MODIFY_SINGLE_OPENED, 1);
        if (err_is(err))
            return machine_fail(machine, err);
    }
    if (!copies_around(modify))
        return MODIFY_SINGLE_AREA;
    modify->has_reader = true;
    int wait = machine_wait_in(machine, MODIFY_SINGLE_PREFIX, 1);
    single_reader_open(&modify->reader, &modify->stream->single_mount, machine,
        &modify->request.fid.identity, modify->buffer.data);
    return wait;
}

static int copy_range(struct modify *modify, int next, uint64_t from, uint64_t to)
{
    int wait = machine_wait_in(&modify->machine, next, 1);
    single_copy_range(&modify->copy, &modify->reader, &modify->writer, from, to,
        modify->buffer.data + SINGLE_READER_BUFFER, SINGLE_CHANGE_BUFFER - SINGLE_READER_BUFFER);
    return wait;
}

int modify_single_prefix(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->reader.chain.err))
        return machine_fail(machine, modify->reader.chain.err);
    if (prefix_end(modify) == 0)
        return MODIFY_SINGLE_AREA;
    return copy_range(modify, MODIFY_SINGLE_AREA, 0, prefix_end(modify));
}

static int write_span(struct modify *modify, int next, struct span data)
{
    int wait = machine_wait_in(&modify->machine, next, 1);
    single_writer_write(&modify->writer, data);
    return wait;
}

int modify_single_area(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->copy.err))
        return machine_fail(machine, modify->copy.err);
    if (modify->position == 0)
        return MODIFY_SINGLE_POUR;
    return write_span(modify, MODIFY_SINGLE_POUR, span_of(modify->area, (size_t)modify->position));
}

int modify_single_pour(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->writer.chain.err))
        return machine_fail(machine, modify->writer.chain.err);
    if (modify->is_gathered)
        return MODIFY_SINGLE_ZEROS;
    err_t err = modify_take_body(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    if (modify->body->data.size == 0)
        return MODIFY_SINGLE_POURED;
    return write_span(modify, MODIFY_SINGLE_POURED, modify->body->data);
}

int modify_single_poured(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->writer.chain.err))
        return machine_fail(machine, modify->writer.chain.err);
    if (modify->body->is_last) {
        err_t err = modify_check_body(modify);
        return err_is(err) ? machine_fail(machine, err) : MODIFY_SINGLE_TAIL;
    }
    int wait = machine_wait_in(machine, MODIFY_SINGLE_POUR, 1);
    modify->body->next(modify->body, machine);
    return wait;
}

int modify_single_zeros(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->writer.chain.err))
        return machine_fail(machine, modify->writer.chain.err);
    if (modify->zeros == 0)
        return MODIFY_SINGLE_TAIL;
    uint64_t size = modify->store->config.single_min;
    if (size > modify->zeros)
        size = modify->zeros;
    modify->zeros -= size;
    memset(modify->area, 0, (size_t)size);
    return write_span(modify, MODIFY_SINGLE_ZEROS, span_of(modify->area, (size_t)size));
}

int modify_single_tail(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    uint64_t from = modify->request.offset + modify->received;
    bool has_tail = copies_around(modify) && modify->request.mode == MODIFY_WRITE;
    if (has_tail && from < modify->reader.header.size)
        return copy_range(modify, MODIFY_SINGLE_FINISH, from, modify->reader.header.size);
    return MODIFY_SINGLE_FINISH;
}

int modify_single_finish(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->copy.err))
        return machine_fail(machine, modify->copy.err);
    modify->total = single_writer_size(&modify->writer);
    modify->crc = single_writer_crc(&modify->writer);
    modify->header.size = modify->total;
    modify->header.content_crc = modify->crc;
    modify->header.other = modify->object.home; /* the file alone tells its id (LIST) */
    int wait = machine_wait_in(machine, MODIFY_SINGLE_FINISHED, 1);
    single_writer_finish(&modify->writer, &modify->header, attributes_of(modify));
    return wait;
}

static int fail_of_disk(struct modify *modify, err_t err)
{
    if (err_has(err, ERR_CODE_IO)) /* a sync may have failed: nothing of this disk is trusted */
        stream_fail(modify->stream, err);
    return machine_fail(&modify->machine, err);
}

int modify_single_finished(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->writer.chain.err))
        return fail_of_disk(modify, modify->writer.chain.err);
    return modify->object.home.kind == PLACE_PACKED ? MODIFY_HOME_REF : MODIFY_APPEND_RECORD;
}

/* ---- in place ---- */

int modify_change_open(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    modify->way = WAY_CHANGE;
    modify->has_change = true;
    int wait = machine_wait_in(machine, MODIFY_CHANGE_BEGIN, 1);
    single_change_open(&modify->change, &modify->stream->single_mount, machine,
        &modify->request.fid.identity, modify->buffer.data);
    return wait;
}

int modify_change_begin(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    struct single_change *change = &modify->change;
    if (err_is(change->chain.err))
        return machine_fail(machine, change->chain.err);
    struct single_update update = {.version = modify->header.version,
        .nonce = modify->header.nonce,
        .modify_ns = modify->header.modify_ns,
        .is_final = modify->request.is_final,
        .has_attributes = modify->request.mode == MODIFY_ATTRIBUTES,
        .attributes = modify->attributes};
    bool is_append = modify->request.mode == MODIFY_APPEND;
    int wait = machine_wait_in(machine, is_append ? MODIFY_CHANGE_POUR : MODIFY_CHANGE_READY, 1);
    if (is_append)
        single_change_append(change, &update);
    else if (modify->request.mode == MODIFY_TRUNCATE)
        single_change_truncate(change, &update, modify->request.offset);
    else if (modify->request.mode == MODIFY_ATTRIBUTES)
        single_change_write(change, &update, 0, span_of(NULL, 0));
    else
        single_change_write(change, &update, modify->request.offset,
            span_of(modify->area, (size_t)modify->position));
    return wait;
}

int modify_change_pour(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->change.chain.err))
        return machine_fail(machine, modify->change.chain.err);
    err_t err = modify_take_body(modify);
    if (err_is(err))
        return machine_fail(machine, err);
    if (modify->body->data.size == 0)
        return MODIFY_CHANGE_POURED;
    int wait = machine_wait_in(machine, MODIFY_CHANGE_POURED, 1);
    single_change_append_write(&modify->change, modify->body->data);
    return wait;
}

int modify_change_poured(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    struct body *body = modify->body;
    if (err_is(modify->change.chain.err))
        return machine_fail(machine, modify->change.chain.err);
    if (body->is_last) {
        err_t err = modify_check_body(modify);
        if (err_is(err))
            return machine_fail(machine, err);
    }
    int wait =
        machine_wait_in(machine, body->is_last ? MODIFY_CHANGE_READY : MODIFY_CHANGE_POUR, 1);
    if (body->is_last)
        single_change_append_finish(&modify->change);
    else
        body->next(body, machine);
    return wait;
}

int modify_change_ready(struct machine *machine)
{
    struct modify *modify = modify_of(machine);
    if (err_is(modify->change.chain.err))
        return fail_of_disk(modify, modify->change.chain.err);
    modify->header = modify->change.header;
    modify->total = modify->header.size;
    return MODIFY_APPEND_RECORD;
}
