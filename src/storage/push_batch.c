#include "storage/push_batch.h"

#include <errno.h>

#include "base/crc.h"
#include "base/units.h"
#include "io/drill.h"
#include "storage/push.h"

enum {
    BATCH_READ,
    BATCH_TAKE,
    BATCH_NEXT,
    BATCH_SEED,
    BATCH_CONTENT,
    BATCH_CONTENT_READ,
    BATCH_UNWIND,
    BATCH_DONE,
    BATCH_STAGES
};

static struct push_batch *batch_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct push_batch, machine);
}

static int finish(struct push_batch *batch)
{
    batch->outcome = batch->count > 0 ? PUSH_ENTRIES : PUSH_EMPTY;
    return BATCH_UNWIND;
}

static int finish_as(struct push_batch *batch, enum push_outcome outcome)
{
    batch->outcome = outcome;
    return BATCH_UNWIND;
}

/* ---- the log ---- */

bool push_batch_keeps(const struct push_batch *batch, const struct push *push)
{
    return batch->kept_of == push->stream && push->is_checked
           && batch->kept_lsn == push->read_lsn + 1;
}

/* What was read and not sent is whole records behind lsn_to. */
static void keep_rest(struct push_batch *batch)
{
    bool keeps = !err_is(batch->machine.err) && !batch->push->is_lost && batch->push->is_checked
                 && batch->rest.size > 0;
    batch->kept_of = keeps ? batch->push->stream : NULL;
    batch->kept_lsn = batch->lsn_to + 1;
}

static int batch_read(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    struct push *push = batch->push;
    struct log_read *read = &push->read;
    if (push_batch_keeps(batch, push))
        return BATCH_NEXT;
    batch->rest = span_of(NULL, 0);
    read->lsn = batch->lsn_to + (push->is_checked ? 1 : 0);
    read->buffer = batch->raw;
    read->capacity = batch->raw_size;
    if (log_tail_read(&push->stream->stream->tail, read, machine))
        return BATCH_TAKE;
    return machine_wait_in(machine, BATCH_TAKE, 1);
}

/* Damaged records of our own log: nobody gets them by a push; comparing finds what is missing. */
static int step_over(struct push_batch *batch)
{
    struct push *push = batch->push;
    EVENT(batch->pushes->options.log, ERROR, "log_rotten", &push->owner,
        EVENT_NUMBER("lsn_from", push->read.lsn), EVENT_NUMBER("lsn_to", push->read.lsn_next - 1));
    batch->lsn_to = push->read.lsn_next - 1;
    if (push->missed_floor < batch->lsn_to)
        push->missed_floor = batch->lsn_to;
    stream_lose_log(push->stream->stream);
    return finish(batch);
}

static int batch_take(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    const struct log_read *read = &batch->push->read;
    if (batch->push->is_lost)
        return BATCH_UNWIND;
    if (err_has(read->err, ERR_CODE_NOT_FOUND))
        return finish_as(batch, PUSH_PRUNED);
    if (err_has(read->err, ERR_CODE_CORRUPT) && read->lsn_next > read->lsn)
        return step_over(batch);
    if (err_is(read->err))
        return machine_fail(machine, read->err);
    batch->rest = span_of(batch->raw, read->size);
    return BATCH_NEXT;
}

/* ---- which records go ---- */

static bool is_own(const struct push_batch *batch, const struct record *record)
{
    const struct stream_options *stream = &batch->push->stream->stream->options;
    bool is_change = record->kind >= RECORD_UPLOAD && record->kind <= RECORD_DELETE;
    return is_change && record->origin == stream->machine && record->mount == stream->mount
           && record->stream == stream->stream;
}

static const struct place *content_place(const struct record *record)
{
    return record->flags & RECORD_AT_TARGET ? &record->target : &record->home;
}

bool push_is_streamed(const struct record *record)
{
    if (content_place(record)->kind != PLACE_SINGLE || record->flags & RECORD_INLINE)
        return false;
    return record->flags & RECORD_RENAMES || record->kind == RECORD_APPEND;
}

uint64_t push_streamed_size(const struct record *record)
{
    return record->flags & RECORD_RENAMES ? record->total_size : record->content_size;
}

/* Content in a slot that the log only refers to. */
static bool is_referenced(const struct record *record)
{
    return content_place(record)->kind == PLACE_PACKED && !(record->flags & RECORD_INLINE)
           && record->content_size > 0;
}

static void pass(struct push_batch *batch)
{
    const struct record *record = &batch->entry.record;
    batch->lsn_to = record->lsn;
    batch->incarnation = record->incarnation;
    batch->has_record = false;
    batch->rest =
        span_of(batch->rest.data + batch->record_size, batch->rest.size - batch->record_size);
    if (!is_own(batch, record))
        return;
    batch->time_ns = record->time_ns;
    if (record->watermark > 0)
        batch->watermark = record->watermark;
}

static int leave_out(struct push_batch *batch)
{
    push_note_missed(batch->push, batch->entry.record.lsn);
    batch->push->left_out++;
    pass(batch);
    return BATCH_NEXT;
}

/* The content is not what the record says any more. Of a birth the peer must not miss that there is such a
 * file: it gets the record with a content that ends early, and asks for the file. */
static int overtaken(struct push_batch *batch)
{
    struct entry entry = batch->entry;
    if (entry.record.kind != RECORD_UPLOAD)
        return leave_out(batch);
    if (batch->count > 0)
        return finish(batch);
    entry_encode(&entry, &batch->writer);
    if (batch->writer.failed)
        return machine_fail(&batch->machine, ERR(CORRUPT, 0));
    push_note_missed(batch->push, entry.record.lsn);
    batch->push->left_out++;
    batch->is_cut = true;
    pass(batch);
    return finish_as(batch, PUSH_STREAM);
}

/* Is what the peer stands at the record that we have there? */
static int check_position(struct push_batch *batch)
{
    const struct push *push = batch->push;
    const struct record *record = &batch->entry.record;
    if (record->lsn != push->read_lsn || record->incarnation != push->incarnation)
        return finish_as(batch, PUSH_FOREIGN);
    batch->push->is_checked = true;
    pass(batch);
    return BATCH_NEXT;
}

/* ---- the seeds of chunks ---- */

static size_t seed_index(const struct chunk_key *key)
{
    return (key->number * 31 + key->stream * 7 + key->mount * 3 + key->machine) % PUSH_SEEDS;
}

static bool key_is(const struct chunk_key *a, const struct chunk_key *b)
{
    return a->number == b->number && a->machine == b->machine && a->mount == b->mount
           && a->stream == b->stream;
}

static bool seed_find(const struct push_seeds *seeds, const struct place *place, uint32_t *ret)
{
    struct chunk_key key = chunk_key_of(place);
    size_t at = seed_index(&key);
    if (!key_is(&seeds->entries[at].key, &key))
        return false;
    *ret = seeds->entries[at].seed;
    return true;
}

static void seed_keep(struct push_seeds *seeds, const struct place *place, uint32_t seed)
{
    struct chunk_key key = chunk_key_of(place);
    size_t at = seed_index(&key);
    seeds->entries[at].key = key;
    seeds->entries[at].seed = seed;
}

/* The place whose chunk's seed is still wanted; NULL: none is. */
static const struct place *seed_wanted(struct push_batch *batch)
{
    const struct record *record = &batch->entry.record;
    struct push_seeds *seeds = &batch->pushes->seeds;
    if (!batch->has_home_seed)
        batch->has_home_seed = record->home.kind != PLACE_PACKED
                               || seed_find(seeds, &record->home, &batch->entry.home_seed);
    if (!batch->has_home_seed)
        return &record->home;
    bool has_target = record->flags & RECORD_AT_TARGET && record->target.kind == PLACE_PACKED;
    if (!batch->has_target_seed)
        batch->has_target_seed =
            !has_target || seed_find(seeds, &record->target, &batch->entry.target_seed);
    return batch->has_target_seed ? NULL : &record->target;
}

static int acquire(struct push_batch *batch, const struct place *place, int next)
{
    struct chunk_key key = chunk_key_of(place);
    if (chunk_acquire(&batch->pushes->options.store->files, &key, &batch->ref, &batch->machine))
        return next;
    return machine_wait_in(&batch->machine, next, 1);
}

/* It is not there, or it is damaged; else the loop has a trouble that passes. */
static bool is_gone(err_t err)
{
    return err_has(err, ERR_CODE_NOT_FOUND) || err_has(err, ERR_CODE_CORRUPT)
           || err_has(err, ERR_CODE_IO);
}

static int batch_seed(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    struct chunk_files *files = &batch->pushes->options.store->files;
    const struct place *place = seed_wanted(batch);
    if (batch->push->is_lost)
        return BATCH_UNWIND;
    if (batch->ref.file) {
        if (place)
            seed_keep(&batch->pushes->seeds, place, batch->ref.file->header.seed);
        chunk_release(files, &batch->ref);
        return BATCH_NEXT;
    }
    if (!is_gone(batch->ref.err))
        return machine_fail(machine, batch->ref.err);
    if (batch->entry.record.kind != RECORD_DELETE)
        return leave_out(batch);
    batch->has_home_seed = true; /* a delete says nothing about the chunk: it goes without */
    return BATCH_NEXT;
}

/* ---- content that the log refers to ---- */

static int batch_content(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    const struct record *record = &batch->entry.record;
    const struct place *place = content_place(record);
    uint32_t meta = (uint32_t)(record->flags & RECORD_AT_TARGET ? record->target_meta.size
                                                                : record->home_meta.size);
    if (batch->push->is_lost)
        return BATCH_UNWIND;
    if (!batch->ref.file)
        return is_gone(batch->ref.err) ? overtaken(batch) : machine_fail(machine, batch->ref.err);
    int wait = machine_wait_in(machine, BATCH_CONTENT_READ, 1);
    batch->iov = (struct iovec){
        batch->scratch + batch->content_read, record->content_size - batch->content_read};
    batch->op = (struct io_op){.kind = IO_READ,
        .fd = batch->ref.file->handle.fd,
        .offset = place->offset + meta + record->content_offset + batch->content_read,
        .iov = &batch->iov,
        .iov_count = 1,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(batch->pushes->options.store->io, &batch->op);
    return wait;
}

static int batch_content_read(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    const struct record *record = &batch->entry.record;
    if (batch->op.result < 0) {
        err_t err = ERR_RESULT(batch->op.result);
        chunk_release(&batch->pushes->options.store->files, &batch->ref);
        return is_gone(err) ? overtaken(batch) : machine_fail(machine, err);
    }
    batch->content_read += (uint32_t)batch->op.result;
    bool is_whole = batch->content_read == record->content_size;
    if (batch->op.result > 0 && !is_whole)
        return BATCH_CONTENT;
    chunk_release(&batch->pushes->options.store->files, &batch->ref);
    if (!is_whole || crc32_update(0, batch->scratch, record->content_size) != record->content_crc)
        return overtaken(batch);
    batch->has_content = true;
    return BATCH_NEXT;
}

/* ---- entries ---- */

static size_t wanted_size(const struct push_batch *batch)
{
    const struct record *record = &batch->entry.record;
    return entry_size(record) + (is_referenced(record) ? round_up(record->content_size, 8) : 0);
}

static bool is_full(const struct push_batch *batch)
{
    size_t size = batch->writer.size + wanted_size(batch);
    bool may_exceed = batch->count == 0 && batch->push->calls_out == 0;
    if (batch->count == 0 && wanted_size(batch) > FRAME_DATA_MAX)
        return !may_exceed && wanted_size(batch) > batch->room;
    return size > FRAME_DATA_MAX || (size > batch->room && !may_exceed);
}

static int add_entry(struct push_batch *batch)
{
    struct entry entry = batch->entry;
    if (is_referenced(&entry.record)) {
        entry.record.flags |= RECORD_INLINE;
        entry.record.content = span_of(batch->scratch, entry.record.content_size);
    }
    entry_encode(&entry, &batch->writer);
    if (batch->writer.failed) /* larger than any record of ours */
        return machine_fail(&batch->machine, ERR(CORRUPT, 0));
    batch->count++;
    pass(batch);
    return BATCH_NEXT;
}

static int add_streamed(struct push_batch *batch)
{
    struct stream *stream = batch->push->stream->stream;
    if (batch->count > 0)
        return finish(batch);
    if (binlog_applied_lsn(&stream->log) < batch->entry.record.lsn)
        return finish_as(batch, PUSH_APPLIED);
    bool may_exceed = batch->push->calls_out == 0;
    if (!may_exceed && batch->room < FRAME_DATA_MAX
        && batch->room
               < entry_size(&batch->entry.record) + push_streamed_size(&batch->entry.record))
        return finish(batch);
    entry_encode(&batch->entry, &batch->writer);
    if (batch->writer.failed)
        return machine_fail(&batch->machine, ERR(CORRUPT, 0));
    pass(batch);
    return finish_as(batch, PUSH_STREAM);
}

static int begin_record(struct push_batch *batch)
{
    struct record *record = &batch->entry.record;
    err_t err = record_decode(batch->rest, record, &batch->record_size);
    if (err_is(err))
        return machine_fail(&batch->machine, err);
    batch->has_record = true;
    batch->has_home_seed = batch->has_target_seed = batch->has_content = false;
    batch->entry.home_seed = batch->entry.target_seed = 0;
    batch->content_read = 0;
    if (!batch->push->is_checked)
        return check_position(batch);
    if (batch->count > 0 && record->incarnation != batch->incarnation)
        return finish(batch);
    if (!is_own(batch, record))
        pass(batch);
    return BATCH_NEXT;
}

static int batch_next(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    const struct record *record = &batch->entry.record;
    if (batch->push->is_lost)
        return BATCH_UNWIND;
    if (!batch->has_record && batch->rest.size == 0)
        return finish(batch);
    if (!batch->has_record)
        return begin_record(batch);
    if (!push_is_streamed(record) && is_full(batch))
        return finish(batch);
    const struct place *seedless = seed_wanted(batch);
    if (seedless)
        return acquire(batch, seedless, BATCH_SEED);
    if (push_is_streamed(record))
        return add_streamed(batch);
    if (is_referenced(record) && record->content_size > batch->scratch_size)
        return machine_fail(machine, ERR(CORRUPT, 0));
    if (is_referenced(record) && !batch->has_content)
        return acquire(batch, content_place(record), BATCH_CONTENT);
    return add_entry(batch);
}

/* ---- the machine ---- */

static int batch_unwind(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    chunk_release(&batch->pushes->options.store->files, &batch->ref);
    keep_rest(batch);
    if (err_is(machine->err))
        batch->outcome = PUSH_FAILED;
    return BATCH_DONE;
}

static int batch_done(struct machine *machine)
{
    struct push_batch *batch = batch_of(machine);
    owner_close(&machine->owner);
    if (DRILL_IS_ON(batch->push->stream->stream->options.io, SYNC_SEND_MAP))
        DRILL_LEAK_MAP(batch->push->stream->stream->options.io, &batch->push->owner);
    push_built(batch->push, batch);
    return STAGE_END;
}

static const struct stage batch_stages[BATCH_STAGES] = {
    [BATCH_READ] = {"read", batch_read, BIT(BATCH_TAKE) | BIT(BATCH_NEXT), 0},
    [BATCH_TAKE] = {"take", batch_take, BIT(BATCH_NEXT), 5000},
    [BATCH_NEXT] = {"next", batch_next, BIT(BATCH_NEXT) | BIT(BATCH_SEED) | BIT(BATCH_CONTENT), 0},
    [BATCH_SEED] = {"seed", batch_seed, BIT(BATCH_NEXT), 5000},
    [BATCH_CONTENT] = {"content", batch_content, BIT(BATCH_CONTENT_READ) | BIT(BATCH_NEXT), 5000},
    [BATCH_CONTENT_READ] = {"content-read", batch_content_read,
        BIT(BATCH_CONTENT) | BIT(BATCH_NEXT), 5000},
    [BATCH_UNWIND] = {"unwind", batch_unwind, BIT(BATCH_DONE), 0},
    [BATCH_DONE] = {"done", batch_done, 0, 0},
};
static const struct machine_kind batch_kind = {
    "push-batch", batch_stages, BATCH_STAGES, BATCH_UNWIND, BATCH_DONE};

void push_batch_start(struct push_batch *batch, struct push *push, uint8_t *out, uint32_t room)
{
    batch->push = push;
    batch->out = out;
    batch->room = room;
    batch->writer = (struct writer){.data = out, .capacity = batch->pushes->buffer_size};
    batch->has_record = false;
    batch->ref = (struct chunk_ref){0};
    batch->lsn_to = push->read_lsn;
    batch->incarnation = push->read_incarnation;
    batch->time_ns = batch->watermark = 0;
    batch->count = 0;
    batch->is_cut = false;
    batch->outcome = PUSH_EMPTY;
    machine_start(
        &batch->machine, &batch_kind, &push->stream->stream->options.io->run, DIRECTION_SYNC_SEND);
    batch->machine.owner.peer_machine = push->machine;
}
