#include "storage/push_single.h"

#include "base/crc.h"
#include "storage/push.h"

enum {
    SINGLE_BEGIN,
    SINGLE_LEFT, /* the entry has left */
    SINGLE_OPENED,
    SINGLE_PACE,
    SINGLE_READ,
    SINGLE_CHECK,
    SINGLE_SENT,
    SINGLE_UNWIND,
    SINGLE_DONE,
    SINGLE_STAGES
};

static struct push_single *single_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct push_single, machine);
}

static struct push *push_of(struct push_single *single)
{
    return CONTAINER_OF(single, struct push, single);
}

static bool is_cut(struct push_single *single)
{
    return !single->call->is_out || push_of(single)->is_lost;
}

/* This change can't be told any more: a later one has its own record. */
static int overtaken(struct push_single *single)
{
    struct push *push = push_of(single);
    push_note_missed(push, single->lsn);
    push->left_out++;
    net_call_send(&single->call->call, NULL, 0, false);
    return SINGLE_UNWIND;
}

/* A trouble of the loop passes; everything else is the file's. */
static int fail(struct push_single *single, err_t err)
{
    bool may_pass = err_has(err, ERR_CODE_NO_RESOURCE) || err_has(err, ERR_CODE_BUSY)
                    || err_has(err, ERR_CODE_OFFLINE);
    return may_pass ? machine_fail(&single->machine, err) : overtaken(single);
}

static int wait_sent(struct push_single *single, int next)
{
    single->is_sending = true;
    return machine_wait_in(&single->machine, next, 1);
}

static int single_begin(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    if (single->has_left || is_cut(single))
        return SINGLE_LEFT;
    return wait_sent(single, SINGLE_LEFT);
}

static int single_left(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    if (is_cut(single))
        return SINGLE_UNWIND;
    int wait = machine_wait_in(machine, SINGLE_OPENED, 1);
    single_reader_open(&single->reader, &push_of(single)->stream->stream->single_mount, machine,
        &single->identity, single->buffer);
    return wait;
}

/* The file is the one that this change made, or one that was appended to since. */
static bool has_content(const struct push_single *single)
{
    const struct slot_header *header = &single->reader.header;
    return header->size >= single->to
           && (single->is_part || version_equals(header->birth, single->version));
}

static int single_opened(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    if (is_cut(single))
        return SINGLE_UNWIND;
    if (err_is(single->reader.chain.err))
        return fail(single, single->reader.chain.err);
    return has_content(single) ? SINGLE_PACE : overtaken(single);
}

static int single_pace(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    struct pushes *pushes = push_of(single)->stream->pushes;
    single->is_paced = false;
    if (is_cut(single))
        return SINGLE_UNWIND;
    if (push_rate_allows(&pushes->rate, io_now(pushes->options.net->io)))
        return SINGLE_READ;
    single->is_paced = true;
    return machine_wait_in(machine, SINGLE_PACE, 1);
}

static int single_read(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    uint64_t end = single->at / BLOCK_SIZE * BLOCK_SIZE + PUSH_PIECE_SIZE;
    if (end > single->to)
        end = single->to;
    int wait = machine_wait_in(machine, SINGLE_CHECK, 1);
    single_reader_read(
        &single->reader, single->at, end - single->at, single->buffer + SINGLE_READER_BUFFER);
    return wait;
}

static int single_check(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    struct push *push = push_of(single);
    struct span data = single->reader.data;
    if (is_cut(single))
        return SINGLE_UNWIND;
    if (err_is(single->reader.chain.err))
        return fail(single, single->reader.chain.err);
    single->at += data.size;
    single->crc = crc32_update(single->crc, data.data, data.size);
    bool is_last = single->at == single->to;
    if (data.size == 0 || (is_last && single->crc != single->wanted_crc))
        return overtaken(single);
    single->call->iov = (struct iovec){(void *)(uintptr_t)data.data, data.size};
    int wait = wait_sent(single, SINGLE_SENT);
    net_call_send(&single->call->call, &single->call->iov, 1, !is_last);
    push->bytes_sent += data.size;
    push_rate_spend(&push->stream->pushes->rate, data.size + FRAME_HEADER_SIZE);
    return wait;
}

static int single_sent(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    return is_cut(single) || single->at == single->to ? SINGLE_UNWIND : SINGLE_PACE;
}

static int single_unwind(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    single_reader_close(&single->reader);
    return SINGLE_DONE;
}

static int single_done(struct machine *machine)
{
    struct push_single *single = single_of(machine);
    struct push *push = push_of(single);
    owner_close(&machine->owner);
    if (single->call->is_out)
        push_expect_answer(single->call);
    if (err_is(machine->err))
        push_lose(push, machine->err);
    push_streamed(push);
    return STAGE_END;
}

static const struct stage single_stages[SINGLE_STAGES] = {
    [SINGLE_BEGIN] = {"begin", single_begin, BIT(SINGLE_LEFT), 0},
    [SINGLE_LEFT] = {"left", single_left, BIT(SINGLE_OPENED), 30000},
    [SINGLE_OPENED] = {"opened", single_opened, BIT(SINGLE_PACE), 5000},
    [SINGLE_PACE] = {"pace", single_pace, BIT(SINGLE_PACE) | BIT(SINGLE_READ), 0},
    [SINGLE_READ] = {"read", single_read, BIT(SINGLE_CHECK), 0},
    [SINGLE_CHECK] = {"check", single_check, BIT(SINGLE_SENT), 5000},
    [SINGLE_SENT] = {"sent", single_sent, BIT(SINGLE_PACE), 30000},
    [SINGLE_UNWIND] = {"unwind", single_unwind, BIT(SINGLE_DONE), 0},
    [SINGLE_DONE] = {"done", single_done, 0, 0},
};
static const struct machine_kind single_kind = {
    "push-single", single_stages, SINGLE_STAGES, SINGLE_UNWIND, SINGLE_DONE};

void push_single_start(struct push *push, struct push_call *call, const struct record *record)
{
    struct push_single *single = &push->single;
    *single = (struct push_single){.call = call,
        .buffer = call->buffer,
        .identity = record->identity,
        .version = record->version,
        .from = record->content_offset,
        .at = record->content_offset,
        .to = record->content_offset + push_streamed_size(record),
        .lsn = record->lsn,
        .wanted_crc = record->content_crc,
        .is_part = record->kind == RECORD_APPEND};
    machine_start(&single->machine, &single_kind, &push->stream->stream->options.io->run,
        DIRECTION_SYNC_SEND);
    single->machine.owner.peer_machine = push->machine;
}

void push_single_wake(struct push *push)
{
    if (push->single.is_paced) {
        push->single.is_paced = false;
        machine_arrive(&push->single.machine);
    }
}

void push_single_sent(struct push *push)
{
    push->single.has_left = true;
    if (push->single.is_sending) {
        push->single.is_sending = false;
        machine_arrive(&push->single.machine);
    } else {
        push_single_wake(push);
    }
}
