/*   FIND -> HELD --(known)--------------------------------> UNWIND -> DONE
 *    ^ ^     |`-(not entered)-> SYNCED -> directory -> ENTER --^
 *    | |     `-(none, or half made)-> OPENED -> LOCKED <-> wait
 *    | `---(somebody else made it)----- PEEKED    |
 *    |                                    v       |
 *    `-- directory <- SYNCED <- WRITTEN <- ALLOCATED <- SPACE   */
#include "disk/mirror_chunk.h"

#include <errno.h>

enum {
    MIRROR_FIND,
    MIRROR_HELD,
    MIRROR_OPENED,
    MIRROR_LOCK,
    MIRROR_LOCKED,
    MIRROR_STAT,
    MIRROR_PEEKED,
    MIRROR_SPACE,
    MIRROR_ALLOCATED,
    MIRROR_WRITTEN,
    MIRROR_SYNCED,
    MIRROR_DIRECTORY,
    MIRROR_DIRECTORY_SYNCED,
    MIRROR_UNWIND,
    MIRROR_DONE,
    MIRROR_STAGES
};

static struct mirror_chunk *chunk_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct mirror_chunk, machine);
}

static int submit(struct mirror_chunk *chunk, int next, struct io_op op)
{
    int wait = machine_wait_in(&chunk->machine, next, 1);
    op.owner = &chunk->machine.owner;
    op.wake = io_wake_machine;
    op.context = &chunk->machine;
    chunk->op = op;
    io_submit(chunk->stream->options.io, &chunk->op);
    return wait;
}

static const struct io_handle *root_of(const struct mirror_chunk *chunk)
{
    const struct chunk_files *files = chunk->stream->options.files;
    return files->root_of(files->context, &chunk->key);
}

/* ---- is it there? ---- */

/* Who is making this chunk, or bars it. */
static struct mirror_chunk *find_maker(const struct stream *stream, const struct chunk_key *key)
{
    LIST_EACH (node, &stream->mirror_chunks) {
        struct mirror_chunk *it = CONTAINER_OF(node, struct mirror_chunk, link);
        if (it->key.machine == key->machine && it->key.mount == key->mount
            && it->key.stream == key->stream && it->key.number == key->number)
            return it;
    }
    return NULL;
}

static bool waits_for_other(struct mirror_chunk *chunk)
{
    struct mirror_chunk *other = find_maker(chunk->stream, &chunk->key);
    if (other)
        list_push_back(&other->waiters, &chunk->link);
    return other != NULL;
}

static int mirror_find(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    struct stream *stream = chunk->stream;
    if (stream->state != STREAM_OPEN)
        return machine_fail(machine, ERR(OFFLINE, 0));
    if (!list_is_linked(&chunk->link) && waits_for_other(chunk))
        return machine_wait_in(machine, MIRROR_FIND, 1);
    if (chunk_acquire(stream->options.files, &chunk->key, chunk->ref, machine))
        return MIRROR_HELD;
    return machine_wait_in(machine, MIRROR_HELD, 1);
}

/* From here on it is our business; others of this stream wait. */
static void begin_making(struct mirror_chunk *chunk)
{
    if (!list_is_linked(&chunk->link))
        list_push_back(&chunk->stream->mirror_chunks, &chunk->link);
}

static int open_file(struct mirror_chunk *chunk)
{
    const struct io_handle *root = root_of(chunk);
    if (!root)
        return machine_fail(&chunk->machine, ERR(NOT_FOUND, 0));
    if (++chunk->attempts > MIRROR_CHUNK_ATTEMPTS)
        return machine_fail(&chunk->machine, ERR(BUSY, 0));
    begin_making(chunk);
    chunk_path(chunk->path, &chunk->key);
    return submit(chunk, MIRROR_OPENED,
        (struct io_op){.kind = IO_OPEN,
            .fd = root->fd,
            .path = chunk->path,
            .open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE,
            .ret_handle = &chunk->handle});
}

static int enter(struct mirror_chunk *chunk)
{
    struct chunk_entry *entry;
    err_t err = stream_chunk_add(chunk->stream, &chunk->key, &entry);
    if (err_is(err))
        return machine_fail(&chunk->machine, err);
    if (entry->is_lost) { /* what was lost is brought back by records, from nothing */
        entry->is_lost = false;
        entry->live_count = 0;
        entry->free_bytes = entry->fit_max = 0;
    }
    if (entry->source == 0)
        entry->is_unmapped = true;
    return MIRROR_UNWIND;
}

static int mirror_held(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    struct stream *stream = chunk->stream;
    struct chunk_ref *ref = chunk->ref;
    const struct chunk_entry *entry = stream_chunk_find(stream, &chunk->key);
    bool is_known = entry && !entry->is_lost;
    bool is_missing = err_has(ref->err, ERR_CODE_NOT_FOUND);
    bool is_half_made = !is_known && err_has(ref->err, ERR_CODE_CORRUPT);
    if (!ref->file && (is_missing || is_half_made))
        return is_known ? machine_fail(machine, ERR(CORRUPT, ENOENT)) : open_file(chunk);
    if (!ref->file)
        return machine_fail(machine, ref->err);
    if (ref->file->header.seed != chunk->seed
        || ref->file->header.chunk_size != stream->options.chunk_size)
        return machine_fail(machine, ERR(CONFLICT, 0));
    if (is_known)
        return MIRROR_UNWIND;
    if (chunk->is_durable)
        return enter(chunk);
    begin_making(chunk);
    return submit(
        chunk, MIRROR_SYNCED, (struct io_op){.kind = IO_SYNC, .fd = ref->file->handle.fd});
}

/* ---- making it ---- */

static int mirror_opened(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    return chunk->op.result < 0 ? machine_fail(machine, ERR_RESULT(chunk->op.result)) : MIRROR_LOCK;
}

static int mirror_lock(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    return submit(chunk, MIRROR_LOCKED, (struct io_op){.kind = IO_LOCK, .fd = chunk->handle.fd});
}

static int mirror_locked(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    int64_t result = chunk->op.result;
    if (result == -EWOULDBLOCK && ++chunk->attempts <= MIRROR_CHUNK_ATTEMPTS)
        return submit(chunk, MIRROR_LOCK,
            (struct io_op){.kind = IO_TIMER,
                .fd = IO_FD_NONE,
                .deadline_ns = io_now(chunk->stream->options.io) + MIRROR_CHUNK_RETRY_NS});
    if (result == -EWOULDBLOCK)
        return machine_fail(machine, ERR(BUSY, 0));
    if (result < 0)
        return machine_fail(machine, ERR_RESULT(result));
    return submit(chunk, MIRROR_STAT,
        (struct io_op){.kind = IO_STAT, .fd = chunk->handle.fd, .ret_stat = &chunk->stat});
}

static int mirror_stat(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    if (chunk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(chunk->op.result));
    chunk->is_empty = chunk->stat.size == 0;
    chunk->iov = (struct iovec){chunk->bytes, sizeof chunk->bytes};
    return submit(chunk, MIRROR_PEEKED,
        (struct io_op){
            .kind = IO_READ, .fd = chunk->handle.fd, .iov = &chunk->iov, .iov_count = 1});
}

/* Somebody else may have made it before we had the lock. */
static int mirror_peeked(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    struct chunk_header header;
    if (chunk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(chunk->op.result));
    bool is_good = chunk->op.result == sizeof chunk->bytes
                   && !err_is(chunk_header_decode(chunk->bytes, &header));
    const struct chunk_key *key = &chunk->key;
    if (is_good
        && (header.key.machine != key->machine || header.key.mount != key->mount
            || header.key.stream != key->stream || header.key.number != key->number))
        return machine_fail(machine, ERR(CORRUPT, 0)); /* a chunk under another's name */
    if (is_good) {
        io_handle_close(chunk->stream->options.io, &chunk->handle);
        return MIRROR_FIND;
    }
    return submit(chunk, MIRROR_SPACE,
        (struct io_op){.kind = IO_SPACE, .fd = chunk->handle.fd, .ret_stat = &chunk->stat});
}

/* Own chunks have their slot maps behind the slots. */
static uint64_t file_size(const struct mirror_chunk *chunk)
{
    const struct stream_options *options = &chunk->stream->options;
    bool is_own = chunk->key.machine == options->machine;
    return options->chunk_size
           + (is_own ? SLOTMAP_COPIES * (uint64_t)slotmap_image_size(options->chunk_size) : 0);
}

static int mirror_space(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    if (chunk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(chunk->op.result));
    if (chunk->stat.allocated < chunk->stream->options.reserve_bytes + file_size(chunk))
        return machine_fail(machine, ERR(NO_SPACE, 0));
    return submit(chunk, MIRROR_ALLOCATED,
        (struct io_op){.kind = IO_ALLOCATE, .fd = chunk->handle.fd, .size = file_size(chunk)});
}

static int write_header(struct mirror_chunk *chunk)
{
    chunk->iov = (struct iovec){chunk->bytes + chunk->done, sizeof chunk->bytes - chunk->done};
    return submit(chunk, MIRROR_WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .fd = chunk->handle.fd,
            .iov = &chunk->iov,
            .iov_count = 1,
            .offset = chunk->done});
}

/* Its files up to this birth are gone, unless they come anew. */
static uint64_t gone_birth(const struct mirror_chunk *chunk)
{
    const struct source_key key = {chunk->key.machine, chunk->key.mount, chunk->key.stream};
    const struct source *source = source_table_find(&chunk->stream->sources, &key);
    return source && source != chunk->stream->sources.all ? source->gone_birth : 0;
}

static int mirror_allocated(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    const struct stream_options *options = &chunk->stream->options;
    if (chunk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(chunk->op.result));
    struct chunk_header header = {.key = chunk->key,
        .chunk_size = options->chunk_size,
        .seed = chunk->seed,
        .gone_birth = gone_birth(chunk),
        .created_ns = io_wall(options->io)};
    memcpy(header.storage_uuid, options->storage_uuid, sizeof header.storage_uuid);
    chunk_header_encode(&header, chunk->bytes);
    chunk->done = 0;
    return write_header(chunk);
}

static int mirror_written(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    int64_t result = chunk->op.result;
    if (result <= 0)
        return machine_fail(machine, result < 0 ? ERR_RESULT(result) : ERR(IO, EIO));
    chunk->done += (uint32_t)result;
    if (chunk->done < sizeof chunk->bytes)
        return write_header(chunk);
    chunk->is_empty = false; /* it is whole, but for the syncs */
    return submit(chunk, MIRROR_SYNCED, (struct io_op){.kind = IO_SYNC, .fd = chunk->handle.fd});
}

/* ---- making it durable ---- */

/* A failed sync is told once: nothing of this disk is trusted any more. */
static int fail_of_sync(struct mirror_chunk *chunk, int64_t result)
{
    err_t err = ERR_RESULT(result);
    if (!err_has(err, ERR_CODE_NO_RESOURCE))
        stream_fail(chunk->stream, err);
    return machine_fail(&chunk->machine, err);
}

static int mirror_synced(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    const struct io_handle *root = root_of(chunk);
    if (chunk->op.result < 0)
        return fail_of_sync(chunk, chunk->op.result);
    if (!root)
        return machine_fail(machine, ERR(OFFLINE, 0));
    chunk_release(chunk->stream->options.files, chunk->ref);
    io_handle_close(chunk->stream->options.io, &chunk->handle);
    return submit(chunk, MIRROR_DIRECTORY,
        (struct io_op){.kind = IO_OPEN,
            .fd = root->fd,
            .path = "chunks",
            .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
            .ret_handle = &chunk->handle});
}

static int mirror_directory(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    if (chunk->op.result < 0)
        return machine_fail(machine, ERR_RESULT(chunk->op.result));
    return submit(
        chunk, MIRROR_DIRECTORY_SYNCED, (struct io_op){.kind = IO_SYNC, .fd = chunk->handle.fd});
}

static int mirror_directory_synced(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    io_handle_close(chunk->stream->options.io, &chunk->handle);
    if (chunk->op.result < 0)
        return fail_of_sync(chunk, chunk->op.result);
    chunk->is_durable = true;
    return MIRROR_FIND;
}

/* ---- ends ---- */

static void end_making(struct mirror_chunk *chunk)
{
    if (list_is_linked(&chunk->link))
        list_remove(&chunk->link);
    for (struct list *node; (node = list_pop_front(&chunk->waiters)) != NULL;)
        machine_arrive(&CONTAINER_OF(node, struct mirror_chunk, link)->machine);
}

/* A file that found no room gives back what it took; under its lock, and it was empty before. */
static int mirror_unwind(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    struct io *io = chunk->stream->options.io;
    if (err_is(machine->err) && chunk->is_empty && chunk->handle.fd != IO_FD_NONE) {
        chunk->is_empty = false;
        return submit(
            chunk, MIRROR_UNWIND, (struct io_op){.kind = IO_RESIZE, .fd = chunk->handle.fd});
    }
    io_handle_close(io, &chunk->handle);
    if (err_is(machine->err)) {
        chunk_release(chunk->stream->options.files, chunk->ref);
        chunk->ref->err = machine->err;
    }
    end_making(chunk);
    return MIRROR_DONE;
}

static int mirror_done(struct machine *machine)
{
    struct mirror_chunk *chunk = chunk_of(machine);
    owner_close(&machine->owner);
    machine_arrive(chunk->parent);
    return STAGE_END;
}

static const struct stage mirror_stages[MIRROR_STAGES] = {
    [MIRROR_FIND] = {"find", mirror_find, BIT(MIRROR_HELD), 30000},
    [MIRROR_HELD] = {"held", mirror_held, BIT(MIRROR_OPENED) | BIT(MIRROR_SYNCED), 5000},
    [MIRROR_OPENED] = {"opened", mirror_opened, BIT(MIRROR_LOCK), 5000},
    [MIRROR_LOCK] = {"lock", mirror_lock, BIT(MIRROR_LOCKED), 5000},
    [MIRROR_LOCKED] = {"locked", mirror_locked, BIT(MIRROR_LOCK) | BIT(MIRROR_STAT), 5000},
    [MIRROR_STAT] = {"stat", mirror_stat, BIT(MIRROR_PEEKED), 5000},
    [MIRROR_PEEKED] = {"peeked", mirror_peeked, BIT(MIRROR_FIND) | BIT(MIRROR_SPACE), 5000},
    [MIRROR_SPACE] = {"space", mirror_space, BIT(MIRROR_ALLOCATED), 5000},
    [MIRROR_ALLOCATED] = {"allocated", mirror_allocated, BIT(MIRROR_WRITTEN), 30000},
    [MIRROR_WRITTEN] = {"written", mirror_written, BIT(MIRROR_WRITTEN) | BIT(MIRROR_SYNCED), 5000},
    [MIRROR_SYNCED] = {"synced", mirror_synced, BIT(MIRROR_DIRECTORY), 60000},
    [MIRROR_DIRECTORY] = {"directory", mirror_directory, BIT(MIRROR_DIRECTORY_SYNCED), 5000},
    [MIRROR_DIRECTORY_SYNCED] = {"directory-synced", mirror_directory_synced, BIT(MIRROR_FIND),
        60000},
    [MIRROR_UNWIND] = {"unwind", mirror_unwind, BIT(MIRROR_UNWIND) | BIT(MIRROR_DONE), 5000},
    [MIRROR_DONE] = {"done", mirror_done, 0, 0},
};
static const struct machine_kind mirror_kind = {
    "mirror-chunk", mirror_stages, MIRROR_STAGES, MIRROR_UNWIND, MIRROR_DONE};

bool mirror_chunk_acquire(struct mirror_chunk *chunk, struct stream *stream,
    const struct chunk_key *key, uint32_t seed, struct chunk_ref *ref, struct machine *machine)
{
    const struct chunk_entry *entry = stream_chunk_find(stream, key);
    bool is_known = entry && !entry->is_lost && stream->state == STREAM_OPEN;
    bool is_free = list_is_empty(&stream->mirror_chunks) || !find_maker(stream, key);
    if (is_known && is_free && chunk_acquire_open(stream->options.files, key, ref)) {
        if (ref->file->header.seed == seed)
            return true;
        chunk_release(stream->options.files, ref);
        ref->err = ERR(CONFLICT, 0);
        return true;
    }
    *chunk = (struct mirror_chunk){.stream = stream,
        .parent = machine,
        .key = *key,
        .seed = seed,
        .ref = ref,
        .handle = IO_HANDLE_NONE};
    list_init(&chunk->waiters);
    *ref = (struct chunk_ref){.key = *key};
    machine_start(&chunk->machine, &mirror_kind, &stream->options.io->run, DIRECTION_OWN);
    chunk->machine.owner.direction = machine->owner.direction;
    return false;
}

bool mirror_chunk_bar(struct mirror_chunk *bar, struct stream *stream, const struct chunk_key *key)
{
    if (find_maker(stream, key) || chunk_is_held(stream->options.files, key))
        return false;
    *bar = (struct mirror_chunk){.stream = stream, .key = *key, .handle = IO_HANDLE_NONE};
    list_init(&bar->waiters);
    list_push_back(&stream->mirror_chunks, &bar->link);
    return true;
}

void mirror_chunk_unbar(struct mirror_chunk *bar)
{
    if (bar->stream)
        end_making(bar);
    bar->stream = NULL;
}
