/*   NEXT -> HELD -> READ -> SEEN -> ... -> JUDGE -> UNLINKED -> SYNCED -> CUT -> NEXT ... -> UNWIND -> DONE */
#include "disk/mirror_drop.h"

#include <errno.h>

#include "disk/maker.h"

enum {
    DROP_NEXT,
    DROP_HELD,
    DROP_READ,
    DROP_SEEN,
    DROP_JUDGE,
    DROP_UNLINKED,
    DROP_SYNCED,
    DROP_CUT,
    DROP_UNWIND,
    DROP_DONE,
    DROP_STAGES
};

static struct mirror_drop *drop_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct mirror_drop, machine);
}

static int submit(struct mirror_drop *drop, int next, struct io_op op)
{
    int wait = machine_wait_in(&drop->machine, next, 1);
    op.owner = &drop->machine.owner;
    op.wake = io_wake_machine;
    op.context = &drop->machine;
    drop->op = op;
    io_submit(drop->stream->options.io, &drop->op);
    return wait;
}

/* ---- which ---- */

bool mirror_drop_may(const struct stream *stream, const struct chunk_entry *entry)
{
    const struct digest none = {0};
    uint64_t now = io_now(stream->options.io);
    return entry->source != 0 && entry->live_count == 0 && digest_equals(&entry->digest, &none)
           && !entry->is_lost && !entry->has_remains && stream->tombstone_holds == 0
           && (entry->touched_ns == 0 || now - entry->touched_ns >= stream->options.mirror_idle_ns)
           && coverage_has_all(
               &stream->sources.all[entry->source].kept_coverage, entry->youngest_birth);
}

static bool is_over(const struct mirror_drop *drop)
{
    return drop->looks == MIRROR_DROPS_MAX || drop->stream->state != STREAM_OPEN
           || drop->stream->closing != STREAM_CLOSING_NOT;
}

/* Only what lies in the stream's own directory; where else it is, is not known well enough. */
static bool is_at_hand(const struct mirror_drop *drop)
{
    const struct chunk_files *files = drop->stream->options.files;
    const struct io_handle *root = files->root_of(files->context, &drop->key);
    return root && root->fd == drop->stream->options.root->fd;
}

static int drop_next(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    struct stream *stream = drop->stream;
    while (!is_over(drop)) {
        struct chunk_entry *entry =
            chunk_table_next_of_any(&stream->chunks, drop->source, drop->number);
        if (!entry)
            break;
        drop->source = entry->source;
        drop->number = entry->number + 1;
        drop->key = stream_chunk_key(stream, entry);
        if (!entry->is_idle || !mirror_drop_may(stream, entry) || !is_at_hand(drop)
            || !mirror_chunk_bar(&drop->bar, stream, &drop->key))
            continue;
        drop->looks++;
        drop->at = CHUNK_HEADER_SIZE;
        drop->end = entry->end;
        drop->youngest = 0;
        drop->has_life = false;
        if (chunk_acquire(stream->options.files, &drop->key, &drop->ref, machine))
            return DROP_HELD;
        return machine_wait_in(machine, DROP_HELD, 1);
    }
    return DROP_UNWIND;
}

/* The chunk stays: on to the next. */
static int pass_over(struct mirror_drop *drop)
{
    chunk_release(drop->stream->options.files, &drop->ref);
    mirror_chunk_unbar(&drop->bar);
    return DROP_NEXT;
}

/* ---- a look at its headers ---- */

static int drop_held(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    return drop->ref.file ? DROP_READ : pass_over(drop);
}

static int drop_read(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    if (drop->at >= drop->end || drop->has_life)
        return DROP_JUDGE;
    drop->iov = (struct iovec){drop->window, drop->window_size};
    return submit(drop, DROP_SEEN,
        (struct io_op){.kind = IO_READ,
            .fd = drop->ref.file->handle.fd,
            .offset = drop->at,
            .iov = &drop->iov,
            .iov_count = 1});
}

static void weigh(struct mirror_drop *drop, struct span bytes)
{
    struct slot_header header;
    uint32_t need;
    if (bytes.size < SLOT_HEADER_SIZE || get_u32(bytes.data) != SLOT_MAGIC
        || err_is(slot_meta_decode(bytes, drop->ref.file->header.seed, &header, &need)))
        return;
    uint64_t birth = header.birth.counter > 0 ? header.birth.counter : header.identity.clock;
    if (drop->youngest < birth)
        drop->youngest = birth;
    drop->has_life |= !(header.flags & SLOT_DELETED);
}

/* Headers that begin so late that they may not be whole here begin the next window. */
static int drop_seen(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    if (drop->op.result < 0)
        return pass_over(drop);
    if (drop->op.result < SLOT_HEADER_SIZE) { /* a file that is too short: not for us */
        drop->has_life = true;
        return DROP_JUDGE;
    }
    uint32_t have = (uint32_t)drop->op.result;
    uint32_t step = have > SLOT_META_MAX ? (have - SLOT_META_MAX) / SLOT_UNIT * SLOT_UNIT : 0;
    if (step == 0 || drop->at + have >= drop->end)
        step = have / SLOT_UNIT * SLOT_UNIT;
    for (uint32_t skip = 0; skip < step && drop->at + skip < drop->end; skip += SLOT_UNIT)
        weigh(drop, span_of(drop->window + skip, have - skip));
    drop->at += step;
    return DROP_READ;
}

/* ---- and then ---- */

static int drop_judge(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    struct stream *stream = drop->stream;
    struct chunk_entry *entry = stream_chunk_find(stream, &drop->key);
    if (!entry || !entry->is_idle || stream->state != STREAM_OPEN)
        return pass_over(drop);
    entry->has_remains = drop->has_life;
    entry->youngest_birth = drop->youngest;
    if (!mirror_drop_may(stream, entry))
        return pass_over(drop);
    struct source *source = &stream->sources.all[entry->source];
    if (source->gone_birth < drop->youngest)
        source->gone_birth = drop->youngest;
    chunk_table_remove(&stream->chunks, entry);
    chunk_forget(stream->options.files, &drop->key);
    chunk_path(drop->path, &drop->key);
    return submit(drop, DROP_UNLINKED,
        (struct io_op){.kind = IO_UNLINK, .fd = stream->options.root->fd, .path = drop->path});
}

/* Who looked for it meanwhile may have found the old file. The directory is synced, since a mirrored chunk
 * without an entry is kept by recovery. */
static int drop_unlinked(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    struct stream *stream = drop->stream;
    chunk_forget(stream->options.files, &drop->key);
    if (drop->op.result < 0 && drop->op.result != -ENOENT)
        return machine_fail(machine, ERR_RESULT(drop->op.result));
    chunk_table_hope(&stream->chunks);
    drop->dropped++;
    return submit(
        drop, DROP_SYNCED, (struct io_op){.kind = IO_SYNC, .fd = stream->maker->directory.fd});
}

static int drop_synced(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    if (drop->op.result < 0)
        return machine_fail(machine, ERR_RESULT(drop->op.result));
    return submit(
        drop, DROP_CUT, (struct io_op){.kind = IO_RESIZE, .fd = drop->ref.file->handle.fd});
}

/* Another loop may have the file open still: it holds a name's worth, and no space. */
static int drop_cut(struct machine *machine)
{
    return pass_over(drop_of(machine));
}

static int drop_unwind(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    drop->err = machine->err;
    (void)pass_over(drop);
    return DROP_DONE;
}

static int drop_done(struct machine *machine)
{
    struct mirror_drop *drop = drop_of(machine);
    owner_close(&machine->owner);
    machine_arrive(drop->parent);
    return STAGE_END;
}

static const struct stage drop_stages[DROP_STAGES] = {
    [DROP_NEXT] = {"next", drop_next, BIT(DROP_HELD), 0},
    [DROP_HELD] = {"held", drop_held, BIT(DROP_READ) | BIT(DROP_NEXT), 5000},
    [DROP_READ] = {"read", drop_read, BIT(DROP_SEEN) | BIT(DROP_JUDGE), 0},
    [DROP_SEEN] = {"seen", drop_seen, BIT(DROP_READ) | BIT(DROP_JUDGE) | BIT(DROP_NEXT), 5000},
    [DROP_JUDGE] = {"judge", drop_judge, BIT(DROP_UNLINKED) | BIT(DROP_NEXT), 0},
    [DROP_UNLINKED] = {"unlinked", drop_unlinked, BIT(DROP_SYNCED), 5000},
    [DROP_SYNCED] = {"synced", drop_synced, BIT(DROP_CUT), 60000},
    [DROP_CUT] = {"cut", drop_cut, BIT(DROP_NEXT), 5000},
    [DROP_UNWIND] = {"unwind", drop_unwind, BIT(DROP_DONE), 0},
    [DROP_DONE] = {"done", drop_done, 0, 0},
};
static const struct machine_kind drop_kind = {
    "mirror-drop", drop_stages, DROP_STAGES, DROP_UNWIND, DROP_DONE};

void mirror_drop_start(struct mirror_drop *drop, struct stream *stream, uint8_t *window,
    size_t window_size, struct machine *parent)
{
    uint64_t dropped = drop->dropped;
    *drop = (struct mirror_drop){.stream = stream,
        .parent = parent,
        .window = window,
        .window_size = window_size,
        .source = 1,
        .dropped = dropped};
    machine_start(&drop->machine, &drop_kind, &stream->options.io->run, DIRECTION_OWN);
}
