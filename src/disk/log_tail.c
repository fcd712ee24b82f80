#include "disk/log_tail.h"

#include <errno.h>

#include "disk/binlog_parts.h"

/* Bad places of the disk that one read steps over before it gives up. */
enum { READ_REFUSALS_MAX = 64 };

/* ---- the tail ---- */

void log_tail_init(
    struct log_tail *tail, struct binlog *log, uint8_t *ring_memory, size_t ring_size)
{
    *tail = (struct log_tail){.log = log};
    log_ring_init(&tail->ring, ring_memory, ring_size);
    list_init(&tail->readers);
}

void log_tail_fini(struct log_tail *tail)
{
    CHECK(!tail->log || list_is_empty(&tail->readers));
    tail->log = NULL;
}

void log_tail_commit(struct log_tail *tail, uint64_t first_lsn, struct span records)
{
    if (!list_is_empty(&tail->readers) && tail->ring.size > 0)
        log_ring_put(&tail->ring, first_lsn, records);
}

uint64_t log_tail_first(const struct log_tail *tail)
{
    return binlog_first_lsn(tail->log);
}

/* ---- readers ---- */

static struct binlog *log_of(const struct log_read *read)
{
    return read->tail->log;
}

void log_read_open(struct log_read *read, struct log_tail *tail, uint8_t *buffer, size_t capacity)
{
    CHECK(capacity % LOG_PAGE == 0 && capacity >= tail->log->options.buffer_size);
    *read = (struct log_read){
        .tail = tail, .buffer = buffer, .capacity = capacity, .handle = IO_HANDLE_NONE};
    owner_open(&read->owner, "log-read", DIRECTION_OWN, io_now(tail->log->options.io));
    list_push_back(&tail->readers, &read->link);
}

void log_read_close(struct log_read *read)
{
    if (!read->tail)
        return;
    CHECK(!read->caller);
    io_handle_close(log_of(read)->options.io, &read->handle);
    owner_close(&read->owner);
    list_remove(&read->link);
    if (list_is_empty(&read->tail->readers))
        log_ring_clear(&read->tail->ring);
    read->tail = NULL;
}

/* ---- reading from segments ----
 *
 *   PICK -> [OPEN -> OPENED -> HEADER <->] -> READ -> CHECK -> UNWIND -> DONE
 *     ^                                        ^--------' (more of this batch, a narrower window, seeking) */

enum {
    READ_PICK,
    READ_OPENED,
    READ_HEADER,
    READ_HEADER_READ,
    READ_BATCHES,
    READ_CHECK,
    READ_SIZED,
    READ_UNWIND,
    READ_DONE,
    READ_STAGES
};

static struct log_read *read_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct log_read, machine);
}

static int read_submit(struct log_read *read, int next, struct io_op op)
{
    int wait = machine_wait_in(&read->machine, next, 1);
    op.owner = &read->owner;
    op.handle_life = LIFE_SEGMENT;
    op.wake = io_wake_machine;
    op.context = &read->machine;
    read->op = op;
    io_submit(log_of(read)->options.io, &read->op);
    return wait;
}

/* The log that was to be read may have been recycled while an operation was under way. The file then has
 * another number; whatever came from it does not count. */
static bool is_recycled(const struct log_read *read)
{
    const struct log_segment *segment = binlog_find_segment(log_of(read), read->segment.number);
    return !segment || segment->first_lsn == 0;
}

/* Look at `offset`, with as much as the buffer takes; page by page once the disk refused. */
static int look_at(struct log_read *read, uint64_t offset)
{
    read->offset = offset;
    read->window = read->refusals > 0 ? LOG_PAGE : read->capacity;
    read->got = 0;
    read->is_whole = false;
    return READ_BATCHES;
}

/* Look at the batch of `size` bytes at `offset`. */
static int look_at_batch(struct log_read *read, uint64_t offset, size_t size)
{
    (void)look_at(read, offset);
    read->window = size;
    read->is_whole = true;
    return READ_BATCHES;
}

static int read_pick(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    struct binlog *log = log_of(read);
    const struct log_segment *segment = binlog_segment_of(log, read->lsn, &read->last_lsn);
    if (!segment)
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    bool is_current = segment->number == log->segment.number;
    read->limit = is_current ? log->offset : log->options.segment_size;
    bool is_open = read->handle.fd != IO_FD_NONE && read->segment.number == segment->number
                   && read->offset > 0; /* its header was read */
    if (is_open && read->offset_lsn <= read->lsn)
        return look_at(read, read->offset);
    io_handle_close(log->options.io, &read->handle);
    read->segment = (struct log_segment_header){.number = segment->number};
    read->offset = 0;
    read->offset_lsn = segment->first_lsn;
    binlog_segment_path(read->path, log->segment.stream, segment->number);
    return read_submit(read, READ_OPENED,
        (struct io_op){.kind = IO_OPEN,
            .fd = log->options.root->fd,
            .path = read->path,
            .open_flags = IO_OPEN_READ | (log->is_direct ? (uint32_t)IO_OPEN_DIRECT : 0),
            .ret_handle = &read->handle});
}

static int read_opened(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    if (is_recycled(read))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (read->op.result < 0)
        return machine_fail(machine, ERR_RESULT(read->op.result));
    read->got = 0;
    return READ_HEADER;
}

static int read_more(struct log_read *read, int next, size_t size)
{
    read->iov = (struct iovec){read->buffer + read->got, size - read->got};
    return read_submit(read, next,
        (struct io_op){.kind = IO_READ,
            .fd = read->handle.fd,
            .iov = &read->iov,
            .iov_count = 1,
            .offset = read->offset + read->got});
}

/* What came counts in whole pages: direct reads go on at a page. */
static void count_read(struct log_read *read)
{
    read->got = (read->got + (size_t)read->op.result) / LOG_PAGE * LOG_PAGE;
}

static int read_header(struct machine *machine)
{
    return read_more(read_of(machine), READ_HEADER_READ, LOG_PAGE);
}

/* A header page that is lost: all that the segment holds is out of reach. */
static int lose_segment(struct log_read *read)
{
    io_handle_close(log_of(read)->options.io, &read->handle);
    read->lsn_next = read->last_lsn + 1;
    return machine_fail(&read->machine, ERR(CORRUPT, 0));
}

static int read_header_read(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    if (is_recycled(read))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (read->op.result < 0)
        return machine_fail(machine, ERR_RESULT(read->op.result));
    if (read->op.result == 0)
        return lose_segment(read);
    count_read(read);
    if (read->got < LOG_PAGE)
        return READ_HEADER;
    struct log_segment_header header;
    const struct log_segment_header *ours = &log_of(read)->segment;
    err_t err = log_segment_decode(read->buffer, &header);
    bool is_ours = !err_is(err) && header.number == read->segment.number
                   && header.first_lsn == read->offset_lsn && header.stream == ours->stream
                   && memcmp(header.mount_uuid, ours->mount_uuid, 16) == 0
                   && memcmp(header.storage_uuid, ours->storage_uuid, 16) == 0;
    if (!is_ours)
        return lose_segment(read);
    read->segment = header;
    return look_at(read, LOG_PAGE);
}

static size_t window_size(const struct log_read *read)
{
    uint64_t left = read->limit - read->offset;
    return left < read->window ? (size_t)left : read->window;
}

/* Rot as far as the segment goes: what it still should hold is lost. What is written there later begins
 * at its end. */
static int end_seeking(struct log_read *read)
{
    read->offset = read->limit;
    read->offset_lsn = read->last_lsn + 1;
    read->lsn_next = read->last_lsn + 1;
    return machine_fail(&read->machine, ERR(CORRUPT, 0));
}

static int read_batches(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    if (read->offset + LOG_PAGE > read->limit)
        return end_seeking(read);
    return read_more(read, READ_CHECK, window_size(read));
}

/* The place at `offset` is bad: look for the next good batch behind it. */
static int seek_on(struct log_read *read, uint64_t offset)
{
    read->is_seeking = true;
    return look_at(read, offset + LOG_PAGE);
}

/* Where in a batch's records `lsn` begins; SIZE_MAX: they are not what the header says. */
static size_t skip_records(struct span records, uint32_t count)
{
    size_t at = 0;
    while (count-- > 0) {
        if (records.size - at < RECORD_HEADER_SIZE)
            return SIZE_MAX;
        size_t size = get_u32(records.data + at);
        if (size < RECORD_HEADER_SIZE || size % 8 != 0 || size > records.size - at)
            return SIZE_MAX;
        at += size;
    }
    return at;
}

/* The records of a good batch go to the end of what is there already. False: they are no records. */
static bool take_batch(struct log_read *read, struct span records, uint64_t first, uint32_t count)
{
    uint32_t before = read->lsn > first ? (uint32_t)(read->lsn - first) : 0;
    size_t skip = skip_records(records, before < count ? before : count);
    size_t end = skip_records(records, count);
    if (end != records.size)
        return false;
    memmove(read->buffer + read->size, records.data + skip, end - skip);
    read->size += end - skip;
    return true;
}

enum found { FOUND_GOOD, FOUND_PART, FOUND_BAD };

/* Is there a batch at `at` in the window that may be taken? *ret_size: bytes of it. */
static enum found judge(
    const struct log_read *read, size_t at, struct log_batch_header *ret, size_t *ret_size)
{
    struct span bytes = span_of(read->buffer + at, read->got - at);
    struct log_batch_header header;
    *ret_size = 0;
    if (err_is(log_batch_peek(bytes, &header)))
        return FOUND_BAD;
    *ret_size = header.size;
    if (header.size > bytes.size)
        return header.size > read->capacity || header.size > read->limit - read->offset - at
                   ? FOUND_BAD
                   : FOUND_PART;
    if (err_is(log_batch_check(bytes, &read->segment, ret)) || ret->record_count == 0
        || ret->first_lsn + ret->record_count - 1 > read->last_lsn)
        return FOUND_BAD;
    bool is_expected =
        read->is_seeking ? ret->first_lsn > read->offset_lsn : ret->first_lsn == read->offset_lsn;
    return is_expected ? FOUND_GOOD : FOUND_BAD;
}

/* The batch at `at` was taken or is behind us: what follows it. */
static void pass_batch(struct log_read *read, const struct log_batch_header *header)
{
    read->offset_lsn = header->first_lsn + header->record_count;
    read->is_seeking = false;
}

/* Look for a good batch page by page. */
static int seek(struct log_read *read)
{
    struct log_batch_header header;
    for (size_t at = 0; at < read->got; at += LOG_PAGE) {
        size_t size;
        switch (judge(read, at, &header, &size)) {
        case FOUND_BAD:
            continue;
        case FOUND_PART:
            return look_at_batch(read, read->offset + at, size);
        case FOUND_GOOD:
            break;
        }
        read->is_seeking = false;
        read->offset_lsn = header.first_lsn;
        if (header.first_lsn <= read->lsn)
            return look_at(read, read->offset + at);
        read->offset += at;
        read->lsn_next = header.first_lsn;
        return machine_fail(&read->machine, ERR(CORRUPT, 0));
    }
    return look_at(read, read->offset + read->got);
}

/* Take every good batch of the window; stop before what is bad or not all there. */
static int take_batches(struct log_read *read)
{
    size_t at = 0, size = 0;
    enum found found = FOUND_PART;
    while (at < read->got && read->offset_lsn <= read->last_lsn) {
        struct log_batch_header header;
        found = judge(read, at, &header, &size);
        if (found != FOUND_GOOD)
            break;
        struct span records =
            span_of(read->buffer + at + LOG_BATCH_HEADER_SIZE, header.used - LOG_BATCH_HEADER_SIZE);
        if (!take_batch(read, records, header.first_lsn, header.record_count)) {
            found = FOUND_BAD;
            break;
        }
        pass_batch(read, &header);
        at += header.size;
    }
    uint64_t offset = read->offset + at;
    if (read->size > 0) { /* what is behind is for the next read */
        read->offset = offset;
        read->lsn_next = read->offset_lsn;
        return READ_UNWIND;
    }
    if (found == FOUND_BAD)
        return seek_on(read, offset);
    if (read->offset_lsn > read->last_lsn)
        return end_seeking(read);
    return at == 0 ? look_at_batch(read, offset, size) : look_at(read, offset);
}

/* A page that cannot be read: try again, narrow the window down to it, then step over it. */
static int step_over(struct log_read *read)
{
    if (++read->refusals > READ_REFUSALS_MAX)
        return machine_fail(&read->machine, ERR(IO, EIO));
    if (read->refusals == 1 || (window_size(read) > LOG_PAGE && !read->is_whole))
        return look_at(read, read->offset);
    return seek_on(read, read->offset);
}

static int read_check(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    if (is_recycled(read))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (read->op.result == -EIO)
        return step_over(read);
    if (read->op.result < 0)
        return machine_fail(machine, ERR_RESULT(read->op.result));
    count_read(read);
    if (read->got == window_size(read))
        return read->is_seeking ? seek(read) : take_batches(read);
    return read_submit(read, READ_SIZED,
        (struct io_op){.kind = IO_STAT, .fd = read->handle.fd, .ret_stat = &read->stat});
}

/* A read was short: by chance, or the file is, because a crash came before it was zeroed to its end. */
static int read_sized(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    if (is_recycled(read))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (read->op.result < 0)
        return machine_fail(machine, ERR_RESULT(read->op.result));
    uint64_t size = read->stat.size / LOG_PAGE * LOG_PAGE;
    if (read->limit > size)
        read->limit = size;
    if (read->offset + LOG_PAGE > read->limit)
        return end_seeking(read);
    if (read->got < window_size(read))
        return READ_BATCHES;
    return read->is_seeking ? seek(read) : take_batches(read);
}

static int read_unwind(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    read->err = machine->err;
    if (err_has(read->err, ERR_CODE_NOT_FOUND))
        io_handle_close(log_of(read)->options.io, &read->handle);
    return READ_DONE;
}

static int read_done(struct machine *machine)
{
    struct log_read *read = read_of(machine);
    struct machine *caller = read->caller;
    read->caller = NULL;
    read->tail->disk_reads += read->size > 0;
    owner_close(&machine->owner);
    machine_arrive(caller);
    return STAGE_END;
}

static const struct stage read_stages[READ_STAGES] = {
    [READ_PICK] = {"pick", read_pick, BIT(READ_OPENED) | BIT(READ_BATCHES), 0},
    [READ_OPENED] = {"opened", read_opened, BIT(READ_HEADER), 5000},
    [READ_HEADER] = {"header", read_header, BIT(READ_HEADER_READ), 0},
    [READ_HEADER_READ] = {"header-read", read_header_read, BIT(READ_HEADER) | BIT(READ_BATCHES),
        5000},
    [READ_BATCHES] = {"batches", read_batches, BIT(READ_CHECK), 0},
    [READ_CHECK] = {"check", read_check, BIT(READ_BATCHES) | BIT(READ_SIZED), 5000},
    [READ_SIZED] = {"sized", read_sized, BIT(READ_BATCHES), 5000},
    [READ_UNWIND] = {"unwind", read_unwind, BIT(READ_DONE), 0},
    [READ_DONE] = {"done", read_done, 0, 0},
};
static const struct machine_kind read_kind = {
    "log-read", read_stages, READ_STAGES, READ_UNWIND, READ_DONE};

bool log_tail_read(struct log_tail *tail, struct log_read *read, struct machine *machine)
{
    CHECK(read->tail == tail && !read->caller);
    struct binlog *log = tail->log;
    read->err = ERR_OK;
    read->size = 0;
    read->lsn_next = read->lsn;
    if (read->lsn > log->lsn_durable)
        return true;
    if (log_ring_has(&tail->ring, read->lsn)) {
        read->size = log_ring_get(
            &tail->ring, read->lsn, &read->cursor, read->buffer, read->capacity, &read->lsn_next);
        tail->ring_reads++;
        return true;
    }
    read->caller = machine;
    read->refusals = 0;
    read->is_seeking = false;
    machine_start(&read->machine, &read_kind, &log->options.io->run, machine->owner.direction);
    return false;
}
