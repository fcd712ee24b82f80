/* The next segment of a binlog, made ready ahead of need: see binlog.h.
 *
 *   PICK -> [RENAME an old one] -> OPEN -> OPENED -> [ZERO <-> ZEROED] -> SYNC -> READY -> PICK
 *     ^ sleeps while there is a next one, or until a checkpoint lets an old one be recycled */
#include "disk/binlog_parts.h"

#include <errno.h>

static int find_oldest(const struct binlog *log, uint64_t lsn_retained)
{
    int oldest = -1;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        const struct log_segment *segment = &log->segments[i];
        bool is_needed = segment->first_lsn > 0 && segment->last_lsn > lsn_retained;
        bool is_free = segment->number != log->segment.number
                       && segment->last_lsn <= log->lsn_checkpoint && !is_needed;
        if (is_free && (oldest < 0 || segment->number < log->segments[oldest].number))
            oldest = (int)i;
    }
    return oldest;
}

int binlog_find_to_recycle(const struct binlog *log)
{
    return find_oldest(log, log->lsn_retained);
}

int binlog_find_to_break(const struct binlog *log)
{
    return find_oldest(log, UINT64_MAX);
}

void binlog_retain(struct binlog *log, uint64_t lsn)
{
    log->lsn_retained = lsn;
    binlog_prepare_kick(log);
}

struct log_segment *binlog_find_segment(struct binlog *log, uint64_t number)
{
    for (uint32_t i = 0; i < log->segment_count; i++)
        if (log->segments[i].number == number)
            return &log->segments[i];
    return NULL;
}

struct io_op binlog_segment_op(struct binlog *log, enum io_kind kind)
{
    return (struct io_op){.kind = kind,
        .fd = log->options.root->fd,
        .owner = &log->owner,
        .handle_life = LIFE_SEGMENT};
}

uint32_t binlog_open_flags(const struct binlog *log)
{
    return IO_OPEN_READ | IO_OPEN_WRITE | (log->is_direct ? (uint32_t)IO_OPEN_DIRECT : 0);
}

#define PREPARE_RETRY_NS UINT64_C(200000000)

enum {
    PREPARE_PICK,
    PREPARE_OPEN,
    PREPARE_OPENED,
    PREPARE_ZERO,
    PREPARE_ZEROED,
    PREPARE_SYNC,
    PREPARE_READY,
    PREPARE_CLEANED,
    PREPARE_UNWIND,
    PREPARE_DONE,
    PREPARE_STAGES
};

static int prepare_start(struct binlog *log, int next, struct io_op op)
{
    int wait = machine_wait_in(&log->prepare, next, 1);
    op.wake = io_wake_machine;
    op.context = &log->prepare;
    log->prepare_op = op;
    io_submit(log->options.io, &log->prepare_op);
    return wait;
}

static int prepare_sleep(struct binlog *log)
{
    log->prepare_idle = true;
    return machine_wait_in(&log->prepare, PREPARE_PICK, 1);
}

void binlog_prepare_kick(struct binlog *log)
{
    if (!log->prepare_idle)
        return;
    log->prepare_idle = false;
    machine_arrive(&log->prepare);
}

static int prepare_pick(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->is_closing || err_is(log->failure))
        return PREPARE_UNWIND;
    if (log->is_next_ready)
        return prepare_sleep(log);
    log->next_number = log->segment.number + 1;
    log->renamed_from = 0;
    log->prepare_op.result = 0;
    binlog_segment_path(log->name_to, log->segment.stream, log->next_number);
    struct log_segment *named = binlog_find_segment(log, log->next_number);
    if (named) { /* a spare that has its number already, or one that was begun before */
        log->zeroed = log->is_partial ? 0 : log->options.segment_size;
        named->last_lsn = UINT64_MAX;
        return PREPARE_OPEN;
    }
    int old = binlog_find_to_recycle(log);
    bool breaks = old < 0 && log->segment_count >= log->options.segment_count_max;
    if (breaks)
        old = binlog_find_to_break(log);
    if (old >= 0) {
        binlog_segment_path(log->name, log->segment.stream, log->segments[old].number);
        log->renamed_from = log->segments[old].number;
        log->segments[old] =
            (struct log_segment){.number = log->next_number, .last_lsn = UINT64_MAX};
        if (breaks && log->options.on_retention_broken)
            log->options.on_retention_broken(log->options.context);
        log->zeroed = log->options.segment_size;
        struct io_op op = binlog_segment_op(log, IO_RENAME);
        op.path = log->name;
        op.path_to = log->name_to;
        return prepare_start(log, PREPARE_OPEN, op);
    }
    if (log->segment_count >= log->options.segment_count_max) {
        log->options.on_pressure(log->options.context);
        return prepare_sleep(log); /* binlog_set_checkpoint kicks */
    }
    log->zeroed = 0;
    return PREPARE_OPEN;
}

static int prepare_open(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->prepare_op.result < 0) {
        *binlog_find_segment(log, log->next_number) =
            (struct log_segment){.number = log->renamed_from}; /* it has its old name still */
        return machine_fail(machine, ERR_RESULT(log->prepare_op.result));
    }
    struct io_op op = binlog_segment_op(log, IO_OPEN);
    op.path = log->name_to;
    op.open_flags = binlog_open_flags(log) | IO_OPEN_CREATE;
    op.ret_handle = &log->next_handle;
    return prepare_start(log, PREPARE_OPENED, op);
}

static int prepare_opened(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->prepare_op.result < 0)
        return machine_fail(machine, ERR_RESULT(log->prepare_op.result));
    if (log->zeroed >= log->options.segment_size)
        return PREPARE_SYNC;
    log->is_partial = true;
    if (!binlog_find_segment(log, log->next_number))
        log->segments[log->segment_count++] =
            (struct log_segment){.number = log->next_number, .last_lsn = UINT64_MAX};
    return PREPARE_ZERO;
}

static int prepare_zero(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    uint64_t left = log->options.segment_size - log->zeroed;
    log->prepare_iov =
        (struct iovec){log->zeros, left < LOG_ZERO_PIECE ? (size_t)left : LOG_ZERO_PIECE};
    struct io_op op = binlog_segment_op(log, IO_WRITE);
    op.fd = log->next_handle.fd;
    op.iov = &log->prepare_iov;
    op.iov_count = 1;
    op.offset = log->zeroed;
    return prepare_start(log, PREPARE_ZEROED, op);
}

static int prepare_zeroed(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->prepare_op.result <= 0)
        return machine_fail(machine,
            log->prepare_op.result < 0 ? ERR_RESULT(log->prepare_op.result) : ERR(IO, EIO));
    log->zeroed += (uint64_t)log->prepare_op.result / LOG_PAGE * LOG_PAGE;
    if (log->zeroed < log->options.segment_size)
        return PREPARE_ZERO;
    struct io_op op = binlog_segment_op(log, IO_SYNC);
    op.fd = log->next_handle.fd;
    return prepare_start(log, PREPARE_SYNC, op);
}

static int prepare_sync(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->prepare_op.result < 0)
        return machine_fail(machine, ERR_RESULT(log->prepare_op.result));
    struct io_op op = binlog_segment_op(log, IO_SYNC);
    op.fd = log->directory.fd;
    return prepare_start(log, PREPARE_READY, op);
}

static int prepare_ready(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (log->prepare_op.result < 0)
        return machine_fail(machine, ERR_RESULT(log->prepare_op.result));
    log->is_next_ready = true;
    log->is_partial = false;
    binlog_commit_kick(log);
    return PREPARE_PICK;
}

/* A new segment that can't be made because the disk is full is no failure while old ones can be
 * recycled: what was written of it goes, and the log waits for a checkpoint. Everything else ends
 * the log. */
static int prepare_give_up_growing(struct binlog *log)
{
    struct log_segment *partial = binlog_find_segment(log, log->next_number);
    log->is_partial = false;
    if (partial)
        *partial = log->segments[--log->segment_count];
    log->options.segment_count_max = log->segment_count;
    struct io_op op = binlog_segment_op(log, IO_UNLINK);
    op.path = log->name_to;
    return prepare_start(log, PREPARE_CLEANED, op);
}

/* A refusal of a descriptor or a ring entry passes: appends wait meanwhile. */
static int prepare_retry(struct binlog *log)
{
    struct log_segment *next = binlog_find_segment(log, log->next_number);
    if (next)
        next->last_lsn = 0;
    struct io_op op = binlog_segment_op(log, IO_TIMER);
    op.fd = IO_FD_NONE;
    op.deadline_ns = io_now(log->options.io) + PREPARE_RETRY_NS;
    return prepare_start(log, PREPARE_PICK, op);
}

static int prepare_cleaned(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    if (binlog_find_to_break(log) >= 0)
        return PREPARE_PICK;
    log->options.on_pressure(log->options.context);
    return prepare_sleep(log);
}

static int prepare_unwind(struct machine *machine)
{
    struct binlog *log = CONTAINER_OF(machine, struct binlog, prepare);
    io_handle_close(log->options.io, &log->next_handle);
    log->is_next_ready = false;
    err_t err = machine->err;
    bool goes_on = err_is(err) && !err_is(log->failure) && !log->is_closing;
    machine->err = ERR_OK;
    if (goes_on && err_has(err, ERR_CODE_NO_SPACE) && log->zeroed < log->options.segment_size)
        return prepare_give_up_growing(log);
    if (goes_on && (err_has(err, ERR_CODE_NO_RESOURCE) || err_has(err, ERR_CODE_BUSY)))
        return prepare_retry(log);
    if (err_is(err) && !err_is(log->failure)) {
        log->failure = err;
        log->options.on_failure(log->options.context, err);
        binlog_wake_waiters(log);
        binlog_commit_kick(log);
    }
    return PREPARE_DONE;
}

static int prepare_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage prepare_stages[PREPARE_STAGES] = {
    [PREPARE_PICK] = {"pick", prepare_pick, BIT(PREPARE_OPEN), STAGE_RESTS},
    [PREPARE_OPEN] = {"open", prepare_open, BIT(PREPARE_OPENED), 5000},
    [PREPARE_OPENED] = {"opened", prepare_opened, BIT(PREPARE_ZERO) | BIT(PREPARE_SYNC), 5000},
    [PREPARE_ZERO] = {"zero", prepare_zero, BIT(PREPARE_ZEROED), 5000},
    [PREPARE_ZEROED] = {"zeroed", prepare_zeroed, BIT(PREPARE_ZERO) | BIT(PREPARE_SYNC), 5000},
    [PREPARE_SYNC] = {"sync", prepare_sync, BIT(PREPARE_READY), 5000},
    [PREPARE_READY] = {"ready", prepare_ready, BIT(PREPARE_PICK), 5000},
    [PREPARE_CLEANED] = {"cleaned", prepare_cleaned, BIT(PREPARE_PICK), 5000},
    [PREPARE_UNWIND] = {"unwind", prepare_unwind,
        BIT(PREPARE_DONE) | BIT(PREPARE_CLEANED) | BIT(PREPARE_PICK), 0},
    [PREPARE_DONE] = {"done", prepare_done, 0, 0},
};
static const struct machine_kind prepare_kind = {
    "log-prepare", prepare_stages, PREPARE_STAGES, PREPARE_UNWIND, PREPARE_DONE};

void binlog_prepare_start(struct binlog *log)
{
    machine_start(&log->prepare, &prepare_kind, &log->options.io->run, DIRECTION_OWN);
}
