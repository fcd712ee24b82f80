/*   NEXT -> LOCKED -> OPENED -> READ -> UNLINKED -> NEXT ... -> UNWIND -> DONE */
#include "disk/tombstone.h"

#include <errno.h>

#include "disk/stream.h"

enum {
    TOMBSTONE_NEXT,
    TOMBSTONE_LOCKED,
    TOMBSTONE_OPENED,
    TOMBSTONE_READ,
    TOMBSTONE_UNLINKED,
    TOMBSTONE_UNWIND,
    TOMBSTONE_DONE,
    TOMBSTONE_STAGES
};

bool stream_tombstone_is_over(
    struct stream *stream, const struct identity *identity, const struct place *home)
{
    struct source_key key = source_key_of(home);
    return stream_keeps_covering(stream, &key, identity->clock);
}

void tombstones_note(struct stream *stream, const struct record *record)
{
    struct tombstones *tombstones = &stream->tombstones;
    if (record->kind != RECORD_DELETE || !(record->flags & RECORD_RENAMES)
        || record->home.kind != PLACE_SINGLE || tombstones->count == TOMBSTONES_MAX)
        return;
    tombstones->all[tombstones->count++] = (struct tombstone){record->identity, record->home};
}

static struct tombstones *tombstones_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct tombstones, machine);
}

static int submit(struct tombstones *tombstones, int next, struct io_op op)
{
    int wait = machine_wait_in(&tombstones->machine, next, 1);
    op.owner = &tombstones->machine.owner;
    op.wake = io_wake_machine;
    op.context = &tombstones->machine;
    tombstones->op = op;
    io_submit(tombstones->stream->options.io, &tombstones->op);
    return wait;
}

static struct tombstone *present(struct tombstones *tombstones)
{
    return &tombstones->all[tombstones->at];
}

/* Done with the present one: it is gone, or it is looked at again after the next checkpoint. */
static int go_on(struct tombstones *tombstones, bool is_gone)
{
    struct stream *stream = tombstones->stream;
    io_handle_close(stream->options.io, &tombstones->handle);
    file_unlock(&stream->locks, &tombstones->lock);
    if (is_gone)
        *present(tombstones) = tombstones->all[--tombstones->count];
    else
        tombstones->at++;
    return TOMBSTONE_NEXT;
}

static int tombstone_next(struct machine *machine)
{
    struct tombstones *tombstones = tombstones_of(machine);
    struct stream *stream = tombstones->stream;
    while (tombstones->at < tombstones->count
           && !stream_tombstone_is_over(
               stream, &present(tombstones)->identity, &present(tombstones)->home))
        tombstones->at++;
    if (tombstones->at == tombstones->count || stream->state != STREAM_OPEN)
        return TOMBSTONE_UNWIND;
    if (file_lock(&stream->locks, &tombstones->lock, &present(tombstones)->identity, machine))
        return TOMBSTONE_LOCKED;
    return machine_wait_in(machine, TOMBSTONE_LOCKED, 1);
}

static int tombstone_locked(struct machine *machine)
{
    struct tombstones *tombstones = tombstones_of(machine);
    single_path(tombstones->path, &present(tombstones)->identity);
    return submit(tombstones, TOMBSTONE_OPENED,
        (struct io_op){.kind = IO_OPEN,
            .fd = tombstones->stream->options.root->fd,
            .path = tombstones->path,
            .open_flags = IO_OPEN_READ,
            .ret_handle = &tombstones->handle});
}

static int tombstone_opened(struct machine *machine)
{
    struct tombstones *tombstones = tombstones_of(machine);
    if (tombstones->op.result < 0)
        return go_on(tombstones, tombstones->op.result == -ENOENT);
    tombstones->iov = (struct iovec){tombstones->head, sizeof tombstones->head};
    return submit(tombstones, TOMBSTONE_READ,
        (struct io_op){
            .kind = IO_READ, .fd = tombstones->handle.fd, .iov = &tombstones->iov, .iov_count = 1});
}

/* Somebody may have brought the file back meanwhile. */
static int tombstone_read(struct machine *machine)
{
    struct tombstones *tombstones = tombstones_of(machine);
    struct stream *stream = tombstones->stream;
    const struct identity *identity = &present(tombstones)->identity;
    struct slot_header header;
    if (tombstones->op.result < 0)
        return go_on(tombstones, false);
    struct span head = span_of(tombstones->head, (size_t)tombstones->op.result);
    err_t err = single_meta_decode(head, identity, &header);
    if (err_is(err) || !(header.flags & SLOT_DELETED))
        return go_on(tombstones, !err_is(err));
    int wait = machine_wait_in(machine, TOMBSTONE_UNLINKED, 1);
    single_unlink(&tombstones->entry, &stream->single_mount, machine, identity, &stream->singles);
    return wait;
}

static int tombstone_unlinked(struct machine *machine)
{
    struct tombstones *tombstones = tombstones_of(machine);
    return go_on(tombstones, !err_is(tombstones->entry.chain.err));
}

static int tombstone_unwind(struct machine *machine)
{
    (void)machine;
    return TOMBSTONE_DONE;
}

static int tombstone_done(struct machine *machine)
{
    owner_close(&machine->owner);
    tombstones_of(machine)->is_running = false;
    return STAGE_END;
}

static const struct stage tombstone_stages[TOMBSTONE_STAGES] = {
    [TOMBSTONE_NEXT] = {"next", tombstone_next, BIT(TOMBSTONE_LOCKED), 0},
    [TOMBSTONE_LOCKED] = {"locked", tombstone_locked, BIT(TOMBSTONE_OPENED), 0},
    [TOMBSTONE_OPENED] = {"opened", tombstone_opened, BIT(TOMBSTONE_READ) | BIT(TOMBSTONE_NEXT),
        5000},
    [TOMBSTONE_READ] = {"read", tombstone_read, BIT(TOMBSTONE_UNLINKED) | BIT(TOMBSTONE_NEXT),
        5000},
    [TOMBSTONE_UNLINKED] = {"unlinked", tombstone_unlinked, BIT(TOMBSTONE_NEXT), 5000},
    [TOMBSTONE_UNWIND] = {"unwind", tombstone_unwind, BIT(TOMBSTONE_DONE), 0},
    [TOMBSTONE_DONE] = {"done", tombstone_done, 0, 0},
};
static const struct machine_kind tombstone_kind = {
    "tombstones", tombstone_stages, TOMBSTONE_STAGES, TOMBSTONE_UNWIND, TOMBSTONE_DONE};

void tombstones_kick(struct stream *stream)
{
    struct tombstones *tombstones = &stream->tombstones;
    if (tombstones->is_running || tombstones->count == 0 || stream->closing != STREAM_CLOSING_NOT)
        return;
    tombstones->is_running = true;
    tombstones->stream = stream;
    tombstones->handle = IO_HANDLE_NONE;
    tombstones->at = 0;
    machine_start(&tombstones->machine, &tombstone_kind, &stream->options.io->run, DIRECTION_OWN);
}
