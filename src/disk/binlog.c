#include "disk/binlog_parts.h"

#include <errno.h>
#include <stdio.h>

void binlog_segment_path(char path[LOG_NAME_MAX], uint8_t stream, uint64_t number)
{
    (void)snprintf(path, LOG_NAME_MAX, "log/%02x/%016llx", stream, (unsigned long long)number);
}

void binlog_directory_path(char path[LOG_NAME_MAX], uint8_t stream)
{
    (void)snprintf(path, LOG_NAME_MAX, "log/%02x", stream);
}

/* ---- buffers ---- */

static void buffer_reset(struct log_buffer *buffer)
{
    buffer->used = LOG_BATCH_HEADER_SIZE;
    buffer->record_count = 0;
    buffer->unreleased = 0;
    buffer->first_lsn = 0;
    buffer->is_committed = false;
    list_init(&buffer->appends);
}

static bool buffer_is_free(const struct binlog *log, const struct log_buffer *buffer)
{
    return buffer != log->writing && buffer->unreleased == 0
           && (buffer->record_count == 0 || buffer->is_committed);
}

/* A free buffer becomes the filling one, if there is none. */
static void binlog_refill(struct binlog *log)
{
    for (size_t i = 0; i < LOG_BUFFER_COUNT && !log->filling; i++) {
        if (buffer_is_free(log, &log->buffers[i])) {
            log->filling = &log->buffers[i];
            buffer_reset(log->filling);
        }
    }
}

void binlog_wake_waiters(struct binlog *log)
{
    struct list served;
    list_init(&served);
    for (struct list *node; (node = list_pop_front(&log->waiters)) != NULL;)
        list_push_back(&served, node);
    for (struct list *node; (node = list_pop_front(&served)) != NULL;)
        machine_arrive(CONTAINER_OF(node, struct log_waiter, link)->machine);
}

/* ---- segments ---- */

static int64_t binlog_call(struct binlog *log, struct io_op op)
{
    return io_call(log->options.io, &op);
}

/* ---- committing: seal what has gathered, write it durably, tell who waits, again ---- */

enum { COMMIT_SEAL, COMMIT_WRITE, COMMIT_WRITTEN, COMMIT_UNWIND, COMMIT_DONE, COMMIT_STAGES };

void binlog_commit_kick(struct binlog *log)
{
    if (!log->commit_idle)
        return;
    log->commit_idle = false;
    machine_arrive(&log->commit);
}

static int commit_sleep(struct binlog *log)
{
    log->commit_idle = true;
    return machine_wait_in(&log->commit, COMMIT_SEAL, 1);
}

static void buffer_seal(struct binlog *log, struct log_buffer *buffer)
{
    size_t size = (buffer->used + LOG_PAGE - 1) / LOG_PAGE * LOG_PAGE;
    memset(buffer->data + buffer->used, 0, size - buffer->used);
    struct log_batch_header header = {.size = (uint32_t)size,
        .used = (uint32_t)buffer->used,
        .record_count = buffer->record_count,
        .first_lsn = buffer->first_lsn,
        .durable_lsn = log->lsn_durable};
    log_batch_seal(buffer->data, &header, &log->segment);
    log->write_size = size;
}

/* The current segment ends here; the batch to come is written together with the header page of the
 * next one. */
static void binlog_switch_segment(struct binlog *log)
{
    struct log_segment *old = binlog_find_segment(log, log->segment.number);
    CHECK(old != NULL);
    old->last_lsn = log->lsn_durable;
    struct log_segment_header next = log->segment;
    next.number = log->next_number;
    next.salt = io_random(log->options.io);
    next.first_lsn = log->lsn_durable + 1;
    binlog_find_segment(log, next.number)->first_lsn = next.first_lsn;
    next.previous_number = log->segment.number;
    next.previous_end = log->offset;
    log->segment = next;
    log_segment_encode(&next, log->segment_page);
    io_handle_close(log->options.io, &log->handle);
    io_handle_move(&log->handle, &log->next_handle);
    log->is_next_ready = false;
    log->offset = 0;
    log->write_switches = true;
    binlog_prepare_kick(log);
}

static int commit_seal(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, commit);
    if (err_is(log->failure))
        return COMMIT_UNWIND;
    if (!log->filling || log->filling->record_count == 0)
        return log->is_closing ? COMMIT_UNWIND : commit_sleep(log);
    size_t size = (log->filling->used + LOG_PAGE - 1) / LOG_PAGE * LOG_PAGE;
    log->write_switches = false;
    if (log->offset + size > log->options.segment_size) {
        if (!log->is_next_ready)
            return commit_sleep(log); /* prepare_ready kicks */
        binlog_switch_segment(log);
    }
    log->writing = log->filling;
    log->filling = NULL;
    log->commit_began_ns = machine->queue->now_ns;
    buffer_seal(log, log->writing);
    log->written = 0;
    log->write_offset = log->offset;
    binlog_refill(log);
    binlog_wake_waiters(log);
    return COMMIT_WRITE;
}

static int commit_write(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, commit);
    size_t head = log->write_switches ? LOG_PAGE : 0;
    unsigned count = 0;
    if (log->written < head)
        log->commit_iov[count++] =
            (struct iovec){log->segment_page + log->written, head - log->written};
    size_t done = log->written > head ? log->written - head : 0;
    log->commit_iov[count++] = (struct iovec){log->writing->data + done, log->write_size - done};
    int wait = machine_wait_in(machine, COMMIT_WRITTEN, 1);
    log->commit_op = binlog_segment_op(log, IO_WRITE);
    log->commit_op.fd = log->handle.fd;
    log->commit_op.iov = log->commit_iov;
    log->commit_op.iov_count = count;
    log->commit_op.offset = log->write_offset + log->written;
    log->commit_op.write_flags = IO_WRITE_DSYNC;
    log->commit_op.wake = io_wake_machine;
    log->commit_op.context = machine;
    io_submit(log->options.io, &log->commit_op);
    return wait;
}

static void buffer_tell(struct log_buffer *buffer, err_t err)
{
    for (struct list *node; (node = list_pop_front(&buffer->appends)) != NULL;) {
        struct log_append *append = CONTAINER_OF(node, struct log_append, link);
        append->err = err;
        machine_arrive(append->machine);
    }
}

static void binlog_publish(struct binlog *log, const struct log_buffer *buffer)
{
    for (size_t at = LOG_BATCH_HEADER_SIZE; at < buffer->used;) {
        struct record record;
        at += record_view(buffer->data + at, &record);
        log->options.on_commit(log->options.context, &record);
    }
    if (log->options.on_batch)
        log->options.on_batch(log->options.context, buffer->first_lsn,
            span_of(buffer->data + LOG_BATCH_HEADER_SIZE, buffer->used - LOG_BATCH_HEADER_SIZE));
}

static int commit_written(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, commit);
    int64_t result = log->commit_op.result;
    if (result <= 0)
        return machine_fail(machine, result < 0 ? ERR_RESULT(result) : ERR(IO, EIO));
    size_t whole = log->write_size + (log->write_switches ? (size_t)LOG_PAGE : 0);
    log->written += (size_t)result;
    if (log->written < whole) {
        log->written = log->written / LOG_PAGE * LOG_PAGE; /* direct writes are whole pages */
        return COMMIT_WRITE;
    }
    struct log_buffer *buffer = log->writing;
    log->writing = NULL;
    log->offset += whole;
    log->lsn_durable = buffer->first_lsn + buffer->record_count - 1;
    log->commit_count++;
#ifndef CAIRN_NO_SIGHT
    timing_add(&log->commit_timing, machine->queue->now_ns - log->commit_began_ns);
#endif
    log->byte_count += whole;
    log->record_count += buffer->record_count;
    buffer->is_committed = true;
    binlog_publish(log, buffer);
    buffer_tell(buffer, ERR_OK);
    log->options.on_moved(log->options.context);
    binlog_refill(log);
    binlog_wake_waiters(log);
    return COMMIT_SEAL;
}

static int commit_unwind(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, commit);
    if (err_is(machine->err) && !err_is(log->failure)) {
        log->failure = machine->err;
        log->options.on_failure(log->options.context, machine->err);
    }
    if (err_is(log->failure)) {
        err_t unknown = {log->failure.site, ERR_CODE_OUTCOME_UNKNOWN, log->failure.os};
        if (log->writing)
            buffer_tell(log->writing, unknown);
        if (log->filling)
            buffer_tell(log->filling, unknown);
        binlog_wake_waiters(log);
        binlog_prepare_kick(log);
    }
    return COMMIT_DONE;
}

static int commit_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage commit_stages[COMMIT_STAGES] = {
    [COMMIT_SEAL] = {"seal", commit_seal, BIT(COMMIT_WRITE), STAGE_RESTS},
    [COMMIT_WRITE] = {"write", commit_write, BIT(COMMIT_WRITTEN), 5000},
    [COMMIT_WRITTEN] = {"written", commit_written, BIT(COMMIT_WRITE) | BIT(COMMIT_SEAL), 5000},
    [COMMIT_UNWIND] = {"unwind", commit_unwind, BIT(COMMIT_DONE), 0},
    [COMMIT_DONE] = {"done", commit_done, 0, 0},
};
static const struct machine_kind commit_kind = {
    "log-commit", commit_stages, COMMIT_STAGES, COMMIT_UNWIND, COMMIT_DONE};

/* ---- appending ---- */

bool binlog_has_room(const struct binlog *log, size_t size)
{
    if (err_is(log->failure))
        return true; /* binlog_append refuses */
    CHECK(size + LOG_BATCH_HEADER_SIZE <= log->options.buffer_size);
    return log->filling && log->filling->used + size <= log->options.buffer_size;
}

void binlog_wait(struct binlog *log, struct log_waiter *waiter, struct machine *machine)
{
    waiter->machine = machine;
    list_push_back(&log->waiters, &waiter->link);
}

void binlog_wait_cancel(struct log_waiter *waiter)
{
    if (list_is_linked(&waiter->link))
        list_remove(&waiter->link);
}

static void binlog_put(struct binlog *log, const struct record *record, struct record *stored)
{
    struct log_buffer *buffer = log->filling;
    struct record numbered = *record;
    numbered.lsn = log->lsn_next++;
    numbered.incarnation = log->segment.incarnation;
    if (record->origin == 0) { /* else it tells of another stream: received, or its position */
        numbered.mount = log->segment.mount;
        numbered.stream = log->segment.stream;
        numbered.origin = log->segment.machine;
    }
    struct writer w = {buffer->data, log->options.buffer_size, buffer->used, false};
    record_encode(&numbered, &w, stored);
    CHECK(!w.failed);
    if (buffer->record_count++ == 0)
        buffer->first_lsn = numbered.lsn;
    buffer->used = w.size;
    binlog_commit_kick(log);
}

err_t binlog_append(struct binlog *log, struct log_append *append, const struct record *record,
    struct machine *machine)
{
    if (err_is(log->failure) || log->is_closing)
        return ERR(OFFLINE, 0);
    CHECK(binlog_has_room(log, record_size(record)));
    append->err = ERR_OK;
    append->machine = machine;
    append->buffer = log->filling;
    append->link = (struct list){NULL, NULL};
    append->buffer->unreleased++;
    if (machine)
        list_push_back(&append->buffer->appends, &append->link);
    binlog_put(log, record, &append->record);
    return ERR_OK;
}

void binlog_withdraw(struct binlog *log, err_t err)
{
    if (!log->options.io || err_is(log->failure))
        return;
    log->failure = err;
    binlog_commit_kick(log);
    binlog_prepare_kick(log);
    binlog_wake_waiters(log);
}

bool binlog_commit_wait(struct binlog *log, struct log_append *append, struct machine *machine)
{
    CHECK(append->buffer != NULL && !list_is_linked(&append->link));
    if (append->buffer->is_committed)
        return true;
    if (err_is(log->failure)) {
        append->err = (err_t){log->failure.site, ERR_CODE_OUTCOME_UNKNOWN, log->failure.os};
        return true;
    }
    append->machine = machine;
    list_push_back(&append->buffer->appends, &append->link);
    return false;
}

err_t binlog_append_detached(struct binlog *log, const struct record *record)
{
    if (err_is(log->failure) || log->is_closing)
        return ERR(OFFLINE, 0);
    CHECK(binlog_has_room(log, record_size(record)));
    binlog_put(log, record, NULL);
    return ERR_OK;
}

void binlog_release(struct binlog *log, struct log_append *append)
{
    if (!append->buffer)
        return;
    CHECK(append->buffer->unreleased > 0 && !list_is_linked(&append->link));
    append->buffer->unreleased--;
    append->buffer = NULL;
    bool had_room = log->filling != NULL;
    binlog_refill(log);
    if (!had_room && log->filling)
        binlog_wake_waiters(log);
    log->options.on_moved(log->options.context);
}

uint64_t binlog_applied_lsn(const struct binlog *log)
{
    uint64_t applied = log->lsn_durable;
    for (size_t i = 0; i < LOG_BUFFER_COUNT; i++) {
        const struct log_buffer *buffer = &log->buffers[i];
        if (buffer->record_count > 0 && buffer->unreleased > 0 && buffer->first_lsn <= applied)
            applied = buffer->first_lsn - 1;
    }
    return applied;
}

void binlog_set_checkpoint(struct binlog *log, uint64_t lsn)
{
    CHECK(lsn >= log->lsn_checkpoint);
    log->lsn_checkpoint = lsn;
    binlog_prepare_kick(log);
}

uint64_t binlog_first_lsn(const struct binlog *log)
{
    uint64_t first = log->lsn_durable + 1;
    for (uint32_t i = 0; i < log->segment_count; i++)
        if (log->segments[i].first_lsn > 0 && log->segments[i].first_lsn < first)
            first = log->segments[i].first_lsn;
    return first;
}

/* Of segments that begin with the same LSN all but the last are empty. */
const struct log_segment *binlog_segment_of(
    const struct binlog *log, uint64_t lsn, uint64_t *ret_last)
{
    const struct log_segment *found = NULL;
    uint64_t last = log->lsn_durable;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        const struct log_segment *segment = &log->segments[i];
        if (segment->first_lsn == 0)
            continue;
        if (segment->first_lsn > lsn && segment->first_lsn - 1 < last)
            last = segment->first_lsn - 1;
        if (segment->first_lsn <= lsn && (!found || segment->number > found->number))
            found = segment;
    }
    *ret_last = last;
    return found;
}

uint64_t binlog_bytes_since_checkpoint(const struct binlog *log)
{
    uint64_t bytes = log->offset;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        const struct log_segment *segment = &log->segments[i];
        if (segment->number != log->segment.number && segment->last_lsn != UINT64_MAX
            && segment->last_lsn > log->lsn_checkpoint)
            bytes += log->options.segment_size;
    }
    return bytes;
}

bool binlog_is_idle(const struct binlog *log)
{
    if (err_is(log->failure))
        return !log->writing || !io_op_is_out(&log->commit_op);
    return !log->writing && (!log->filling || log->filling->record_count == 0);
}

/* ---- open and close ---- */

static err_t binlog_take_memory(struct binlog *log)
{
    const struct binlog_options *options = &log->options;
    void *block;
    for (size_t i = 0; i < LOG_BUFFER_COUNT; i++) {
        TRY(mem_take(options->mem, &log->owner, options->buffer_size, LOG_PAGE, &block));
        log->buffers[i].data = block;
        buffer_reset(&log->buffers[i]);
    }
    TRY(mem_take(options->mem, &log->owner, LOG_PAGE, LOG_PAGE, &block));
    log->segment_page = block;
    TRY(mem_take(options->mem, &log->owner, LOG_ZERO_PIECE, LOG_PAGE, &block));
    log->zeros = block;
    return ERR_OK;
}

static void binlog_give_back(struct binlog *log)
{
    for (size_t i = 0; i < LOG_BUFFER_COUNT; i++)
        mem_give(log->options.mem, log->buffers[i].data);
    mem_give(log->options.mem, log->segment_page);
    mem_give(log->options.mem, log->zeros);
    io_handle_close(log->options.io, &log->handle);
    io_handle_close(log->options.io, &log->next_handle);
    io_handle_close(log->options.io, &log->directory);
}

/* Open `number` for writing; with O_DIRECT where the file system has it. */
static err_t segment_open_now(struct binlog *log, uint64_t number, struct io_handle *ret)
{
    binlog_segment_path(log->name, log->segment.stream, number);
    struct io_op op = binlog_segment_op(log, IO_OPEN);
    op.path = log->name;
    op.open_flags = binlog_open_flags(log) | IO_OPEN_CREATE;
    op.ret_handle = ret;
    int64_t result = io_call(log->options.io, &op);
    if (result == -EINVAL && log->is_direct) {
        log->is_direct = false;
        return segment_open_now(log, number, ret);
    }
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t segment_write_now(struct binlog *log, int fd, void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        struct iovec iov = {(uint8_t *)data + done, size - done};
        struct io_op op = binlog_segment_op(log, IO_WRITE);
        op.fd = fd;
        op.iov = &iov;
        op.iov_count = 1;
        op.offset = offset + done;
        op.write_flags = size == LOG_PAGE ? IO_WRITE_DSYNC : 0;
        int64_t result = io_call(log->options.io, &op);
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            return ERR(IO, EIO);
        done += (size_t)result / LOG_PAGE * LOG_PAGE;
    }
    return ERR_OK;
}

static err_t segment_zero_now(struct binlog *log, uint64_t number)
{
    struct io_handle handle = IO_HANDLE_NONE;
    TRY(segment_open_now(log, number, &handle));
    err_t err = ERR_OK;
    for (uint64_t at = 0; at < log->options.segment_size && !err_is(err); at += LOG_ZERO_PIECE) {
        uint64_t left = log->options.segment_size - at;
        size_t piece = left < LOG_ZERO_PIECE ? (size_t)left : LOG_ZERO_PIECE;
        err = segment_write_now(log, handle.fd, log->zeros, piece, at);
    }
    if (!err_is(err)) {
        struct io_op op = binlog_segment_op(log, IO_SYNC);
        op.fd = handle.fd;
        int64_t result = binlog_call(log, op);
        if (result < 0)
            err = ERR_RESULT(result);
    }
    io_handle_close(log->options.io, &handle);
    return err;
}

static err_t binlog_open_directory(struct binlog *log)
{
    binlog_directory_path(log->directory_name, log->segment.stream);
    struct io_op op = binlog_segment_op(log, IO_OPEN);
    op.path = log->directory_name;
    op.open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY;
    op.handle_life = LIFE_PROCESS;
    op.ret_handle = &log->directory;
    int64_t result = io_call(log->options.io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t binlog_sync_directory(struct binlog *log)
{
    struct io_op op = binlog_segment_op(log, IO_SYNC);
    op.fd = log->directory.fd;
    int64_t result = binlog_call(log, op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* New segments stand behind the present ones until a recycled or zeroed file is there for `number`. */
static err_t binlog_make_segments(struct binlog *log, uint64_t number)
{
    bool is_full = false;
    while (log->segment_count < LOG_SEGMENTS_MIN || !binlog_find_segment(log, number)) {
        uint64_t add = number;
        while (binlog_find_segment(log, add))
            add++;
        int old = log->segment_count >= LOG_SEGMENTS_MIN ? binlog_find_to_recycle(log) : -1;
        if (old < 0 && (log->segment_count >= log->options.segment_count_max || is_full))
            old = binlog_find_to_break(log);
        if (add == number && old >= 0) {
            binlog_segment_path(log->name, log->segment.stream, log->segments[old].number);
            binlog_segment_path(log->name_to, log->segment.stream, add);
            struct io_op op = binlog_segment_op(log, IO_RENAME);
            op.path = log->name;
            op.path_to = log->name_to;
            int64_t result = io_call(log->options.io, &op);
            if (result < 0)
                return ERR_RESULT(result);
            log->segments[old] = (struct log_segment){.number = add};
            continue;
        }
        if (log->segment_count == LOG_SEGMENTS_MAX)
            return ERR(BUSY, 0);
        err_t err = segment_zero_now(log, add);
        if (err_has(err, ERR_CODE_NO_SPACE) && !is_full && add == number
            && log->segment_count >= LOG_SEGMENTS_MIN && binlog_find_to_break(log) >= 0) {
            is_full = true; /* the file that is renamed to `add` replaces what was begun */
            continue;
        }
        TRY(err);
        log->segments[log->segment_count++] = (struct log_segment){.number = add};
    }
    return binlog_sync_directory(log);
}

/* The segments at hand are those of the old log. The new one begins behind the highest number ever
 * used. */
static err_t binlog_begin_segment(struct binlog *log, const struct binlog_position *position)
{
    uint64_t highest = position->previous_number;
    for (uint32_t i = 0; i < position->segment_count; i++) {
        log->segments[log->segment_count++] = position->segments[i];
        if (position->segments[i].number > highest)
            highest = position->segments[i].number;
    }
    log->segment.number = 0;
    uint64_t number = highest + 1;
    TRY(binlog_make_segments(log, number));
    log->segment.number = number;
    log->segment.salt = io_random(log->options.io);
    log->segment.first_lsn = position->lsn_next;
    log->segment.previous_number = position->previous_number;
    log->segment.previous_end = position->previous_end;
    log_segment_encode(&log->segment, log->segment_page);
    TRY(segment_open_now(log, number, &log->handle));
    TRY(segment_write_now(log, log->handle.fd, log->segment_page, LOG_PAGE, 0));
    *binlog_find_segment(log, number) = (struct log_segment){
        .number = number, .last_lsn = UINT64_MAX, .first_lsn = position->lsn_next};
    log->offset = LOG_PAGE;
    return ERR_OK;
}

static err_t binlog_set_up(struct binlog *log, const struct binlog_position *position)
{
    TRY(binlog_take_memory(log));
    TRY(binlog_open_directory(log));
    return binlog_begin_segment(log, position);
}

err_t binlog_open(struct binlog *log, const struct binlog_options *options,
    const struct binlog_position *position)
{
    CHECK(position->segment_count <= LOG_SEGMENTS_MAX);
    *log = (struct binlog){.options = *options,
        .segment = options->identity,
        .handle = IO_HANDLE_NONE,
        .next_handle = IO_HANDLE_NONE,
        .directory = IO_HANDLE_NONE,
        .is_direct = true,
        .lsn_next = position->lsn_next,
        .lsn_durable = position->lsn_next - 1,
        .lsn_checkpoint = position->lsn_checkpoint,
        .lsn_retained = options->retains ? 0 : UINT64_MAX};
    owner_open(&log->owner, "binlog", DIRECTION_OWN, io_now(options->io));
    list_init(&log->waiters);
    err_t err = binlog_set_up(log, position);
    if (err_is(err)) {
        binlog_give_back(log);
        return err;
    }
    binlog_refill(log);
    machine_start(&log->commit, &commit_kind, &options->io->run, DIRECTION_OWN);
    binlog_prepare_start(log);
    return ERR_OK;
}

void binlog_close_begin(struct binlog *log)
{
    CHECK(list_is_empty(&log->waiters) && binlog_is_idle(log));
    log->is_closing = true;
    binlog_commit_kick(log);
    binlog_prepare_kick(log);
}

bool binlog_is_quiet(const struct binlog *log)
{
    return !list_is_linked(&log->commit.link) && !list_is_linked(&log->prepare.link);
}

void binlog_close_end(struct binlog *log)
{
    CHECK(binlog_is_quiet(log));
    binlog_give_back(log);
    owner_close(&log->owner);
}
