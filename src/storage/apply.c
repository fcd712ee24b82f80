#include "storage/apply.h"

#include <errno.h>

enum { APPLY_NEXT, APPLY_WRITE, APPLY_WRITTEN, APPLY_UNWIND, APPLY_DONE, APPLY_STAGES };

static struct packed_apply *apply_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct packed_apply, machine);
}

static int apply_next(struct machine *machine)
{
    struct packed_apply *apply = apply_of(machine);
    if (apply->at == apply->count)
        return APPLY_UNWIND;
    apply->done = 0;
    struct chunk_key key = chunk_key_of(apply->writes[apply->at].place);
    stream_mark_dirty(apply->stream, &key);
    if (chunk_acquire(apply->stream->options.files, &key, &apply->ref, machine))
        return APPLY_WRITE;
    return machine_wait_in(machine, APPLY_WRITE, 1);
}

static size_t write_size(const struct packed_write *write)
{
    size_t size = 0;
    for (unsigned i = 0; i < write->span_count; i++)
        size += write->spans[i].size;
    return size;
}

/* What is left of the spans after `done` bytes. */
static unsigned fill_iov(const struct packed_write *write, size_t done, struct iovec *iov)
{
    unsigned count = 0;
    for (unsigned i = 0; i < write->span_count; i++) {
        size_t skip = done < write->spans[i].size ? done : write->spans[i].size;
        done -= skip;
        if (skip < write->spans[i].size)
            iov[count++] = (struct iovec){
                (void *)(uintptr_t)(write->spans[i].data + skip), write->spans[i].size - skip};
    }
    return count;
}

static int apply_write(struct machine *machine)
{
    struct packed_apply *apply = apply_of(machine);
    struct packed_write *write = &apply->writes[apply->at];
    if (!apply->ref.file)
        return machine_fail(machine, apply->ref.err);
    if (write->is_tombstone && write->span_count == 0) {
        uint32_t size = packed_tombstone(
            apply->record, write->place, apply->ref.file->header.seed, apply->tombstone);
        write->spans[write->span_count++] = span_of(apply->tombstone, size);
    }
    int wait = machine_wait_in(machine, APPLY_WRITTEN, 1);
    apply->op = (struct io_op){.kind = IO_WRITE,
        .fd = apply->ref.file->handle.fd,
        .offset = write->offset + apply->done,
        .iov = apply->iov,
        .iov_count = fill_iov(write, apply->done, apply->iov),
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(apply->stream->options.io, &apply->op);
    return wait;
}

static int apply_written(struct machine *machine)
{
    struct packed_apply *apply = apply_of(machine);
    if (apply->op.result <= 0)
        return machine_fail(
            machine, apply->op.result < 0 ? ERR_RESULT(apply->op.result) : ERR(IO, EIO));
    apply->done += (size_t)apply->op.result;
    /* again: a checkpoint may have begun its sync of the file, and taken the mark, in between */
    stream_mark_dirty(apply->stream, &apply->ref.key);
    if (apply->done < write_size(&apply->writes[apply->at]))
        return APPLY_WRITE;
    chunk_release(apply->stream->options.files, &apply->ref);
    apply->at++;
    return APPLY_NEXT;
}

static int apply_unwind(struct machine *machine)
{
    struct packed_apply *apply = apply_of(machine);
    chunk_release(apply->stream->options.files, &apply->ref);
    apply->err = machine->err;
    if (err_is(machine->err))
        stream_fail(apply->stream, machine->err);
    return APPLY_DONE;
}

static int apply_done(struct machine *machine)
{
    struct packed_apply *apply = apply_of(machine);
    owner_close(&machine->owner);
    machine_arrive(apply->parent);
    return STAGE_END;
}

static const struct stage apply_stages[APPLY_STAGES] = {
    [APPLY_NEXT] = {"next", apply_next, BIT(APPLY_WRITE), 0},
    [APPLY_WRITE] = {"write", apply_write, BIT(APPLY_WRITTEN), 5000},
    [APPLY_WRITTEN] = {"written", apply_written, BIT(APPLY_WRITE) | BIT(APPLY_NEXT), 5000},
    [APPLY_UNWIND] = {"unwind", apply_unwind, BIT(APPLY_DONE), 0},
    [APPLY_DONE] = {"done", apply_done, 0, 0},
};
static const struct machine_kind apply_kind = {
    "apply", apply_stages, APPLY_STAGES, APPLY_UNWIND, APPLY_DONE};

void packed_apply_start(struct packed_apply *apply, struct stream *stream,
    const struct record *record, struct machine *parent)
{
    apply->stream = stream;
    apply->record = record;
    apply->parent = parent;
    apply->err = ERR_OK;
    apply->at = 0;
    apply->done = 0;
    apply->ref = (struct chunk_ref){0};
    apply->count = packed_plan(record, apply->writes);
    machine_start(&apply->machine, &apply_kind, &stream->options.io->run, DIRECTION_OWN);
    apply->machine.owner.direction = parent->owner.direction;
}
