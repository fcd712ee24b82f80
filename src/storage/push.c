#include "storage/push.h"

#include "base/units.h"
#include "storage/push_hold.h"

enum {
    PUSH_ANSWER_S = 20,  /* for PUSHED, once all has left */
    PUSH_IDLE_MS = 1000, /* between pushes that only move position and watermark */
};

const char *push_state_name(enum push_state state)
{
    static const char *const names[PUSH_STATE_COUNT] = {
        "off", "waiting", "connecting", "running", "must-rebuild", "behind-itself"};
    return (unsigned)state < PUSH_STATE_COUNT ? names[state] : "unknown";
}

/* ---- buffers ---- */

/* Who holds none may take the last; who holds some leaves half of them to the others. */
uint8_t *push_take_buffer(struct push *push)
{
    struct pool *pool = &push->stream->pushes->buffers;
    bool is_modest = push->buffers_held == 0 || pool->free_count * 2 > pool->count;
    uint8_t *buffer = is_modest ? pool_take(pool, &push->owner) : NULL;
    if (buffer)
        push->buffers_held++;
    return buffer;
}

void push_give_buffer(struct push *push, uint8_t *buffer)
{
    if (!buffer)
        return;
    push->buffers_held--;
    pool_give(&push->stream->pushes->buffers, buffer);
}

/* ---- what a peer does not hold ---- */

void push_note_missed(struct push *push, uint64_t lsn)
{
    if (push->missed_count == PUSH_MISSED_MAX) {
        uint64_t oldest = push->missed[push->missed_at];
        if (push->missed_floor < oldest)
            push->missed_floor = oldest;
    } else {
        push->missed_count++;
    }
    push->missed[push->missed_at] = lsn;
    push->missed_at = (push->missed_at + 1) % PUSH_MISSED_MAX;
}

bool push_misses(const struct push *push, uint64_t lsn)
{
    for (uint32_t i = 0; i < push->missed_count; i++)
        if (push->missed[i] == lsn)
            return true;
    return push->held_lsn >= lsn && lsn <= push->missed_floor;
}

bool push_holds(const struct push *push, uint64_t lsn)
{
    return push->is_wanted && push->held_lsn >= lsn && !push_misses(push, lsn);
}

/* ---- positions ---- */

static void take_pushed(struct push_call *call, const struct msg_pushed *pushed, struct span missed)
{
    struct push *push = call->push;
    if (pushed->held_lsn > push->stream->stream->log.lsn_durable) {
        push_lose(push, ERR(PROTOCOL, 0));
        return;
    }
    /* more than this connection has sent: pushes of the one before were still at work */
    uint64_t held = pushed->held_lsn < push->sent_lsn ? pushed->held_lsn : push->sent_lsn;
    for (size_t i = 0; i + 8 <= missed.size; i += 8)
        push_note_missed(push, get_u64(missed.data + i));
    if (push->held_lsn < held)
        push->held_lsn = held;
    push->kept_lsn = pushed->kept_lsn < held ? pushed->kept_lsn : held;
    push->has_kept = true;
    push->retry_ns = 0;
    push_retain(push->stream);
    push_holds_look(push->stream);
}

/* ---- calls ---- */

static struct push_call *call_of(struct net_call *call)
{
    return CONTAINER_OF(call, struct push_call, call);
}

static void call_frame(
    struct net_call *net_call, const struct frame *frame, struct span meta, struct span data)
{
    struct push_call *call = call_of(net_call);
    struct msg_pushed pushed;
    bool is_it = frame->type == MSG_PUSHED && !(frame->flags & FRAME_MORE)
                 && !err_is(msg_pushed_decode(meta, &pushed))
                 && data.size == (uint64_t)pushed.missed * 8;
    if (!is_it)
        push_lose(call->push, ERR(PROTOCOL, 0));
    else if (!call->push->is_lost)
        take_pushed(call, &pushed, data);
}

static void call_release_buffer(struct push_call *call)
{
    push_give_buffer(call->push, call->buffer);
    call->buffer = NULL;
}

static void call_end(struct net_call *net_call, err_t err)
{
    struct push_call *call = call_of(net_call);
    struct push *push = call->push;
    call->is_out = false;
    push->calls_out--;
    push->credit_used -= call->cost;
    push->wants_room = false;
    if (err_is(err))
        push_lose(push, err);
    if (call == push->single.call)
        push_single_sent(push); /* it gives the buffer back */
    else
        call_release_buffer(call);
    push_pump(push);
    pushes_pump_waiting(push->stream->pushes);
}

static size_t next_frame(struct push_call *call)
{
    size_t size = call->rest.size < FRAME_DATA_MAX ? call->rest.size : FRAME_DATA_MAX;
    call->iov = (struct iovec){(void *)(uintptr_t)call->rest.data, size};
    if (size > 0)
        call->rest = span_of(call->rest.data + size, call->rest.size - size);
    return size;
}

static void call_sent(struct net_call *net_call)
{
    struct push_call *call = call_of(net_call);
    struct push *push = call->push;
    if (call == push->single.call) {
        push_single_sent(push);
        return;
    }
    if (call->rest.size > 0) {
        (void)next_frame(call);
        net_call_send(net_call, &call->iov, 1, call->rest.size > 0);
        return;
    }
    call_release_buffer(call);
    push_pump(push);
    pushes_pump_waiting(push->stream->pushes);
}

struct push_call *push_free_call(struct push *push)
{
    for (size_t i = 0; i < PUSH_CALLS_MAX; i++)
        if (!push->calls[i].is_out)
            return &push->calls[i];
    return NULL;
}

bool push_send(struct push *push, struct push_call *call, uint8_t type, const struct writer *fields,
    struct span first, bool has_more)
{
    struct pushes *pushes = push->stream->pushes;
    call->push = push;
    call->is_single = type == MSG_PUSH_SINGLE;
    call->rest = first;
    size_t size = next_frame(call);
    call->call.on_frame = call_frame;
    call->call.on_sent = call_sent;
    call->call.on_end = call_end;
    call->call.deadline_ns =
        has_more ? 0 : io_now(pushes->options.net->io) + PUSH_ANSWER_S * NS_PER_S;
    bool goes_on = has_more || call->rest.size > 0;
    err_t err = net_call_start(
        &push->client, &call->call, type, goes_on ? FRAME_MORE : 0, fields, &call->iov, size > 0);
    if (err_is(err)) {
        push_lose(push, err);
        return false;
    }
    call->is_out = true;
    push->calls_out++;
    push->credit_used += call->cost;
    push->sent_lsn = call->lsn_to;
    push->sent_ns = io_now(pushes->options.net->io);
    push->pushes_sent++;
    push->bytes_sent += first.size;
    push_rate_spend(&pushes->rate, first.size + FRAME_HEADER_SIZE);
    return true;
}

void push_expect_answer(struct push_call *call)
{
    call->call.deadline_ns =
        io_now(call->push->stream->pushes->options.net->io) + PUSH_ANSWER_S * NS_PER_S;
}

/* ---- what is sent ---- */

uint64_t push_watermark(const struct push *push, uint64_t lsn)
{
    struct stream *stream = push->stream->stream;
    return lsn == stream->log.lsn_durable ? stream_watermark(stream) : push->read_watermark;
}

static bool send_entries(struct push *push, struct span entries, uint32_t count)
{
    const struct stream_options *stream = &push->stream->stream->options;
    struct push_call *call = push_free_call(push);
    CHECK(call != NULL);
    struct msg_push msg = {.mount = stream->mount,
        .stream = stream->stream,
        .incarnation = push->read_incarnation,
        .lsn_from = push->sent_lsn,
        .lsn_to = push->read_lsn,
        .count = count,
        .watermark = push_watermark(push, push->read_lsn),
        .lost_clock = push->stream->stream->sources.all[0].lost_clock,
        .time_ns = push->read_time_ns};
    struct writer fields = net_call_begin(&call->call);
    msg_push_encode(&msg, &fields);
    call->lsn_from = msg.lsn_from;
    call->lsn_to = msg.lsn_to;
    call->cost = (uint32_t)entries.size;
    if (!push_send(push, call, MSG_PUSH, &fields, entries, false))
        return false;
    push->sent_watermark = msg.watermark;
    push->records_sent += count;
    return true;
}

static void begin_stream(struct push *push, struct push_batch *batch, uint8_t *buffer)
{
    const struct stream_options *stream = &push->stream->stream->options;
    const struct record *record = &batch->entry.record;
    struct push_call *call = push_free_call(push);
    CHECK(call != NULL);
    struct msg_push_single msg = {.mount = stream->mount,
        .stream = stream->stream,
        .incarnation = push->read_incarnation,
        .lsn_from = push->sent_lsn,
        .lsn_to = push->read_lsn,
        .content_size = push_streamed_size(record),
        .watermark = push_watermark(push, push->read_lsn),
        .lost_clock = push->stream->stream->sources.all[0].lost_clock,
        .time_ns = push->read_time_ns};
    struct writer fields = net_call_begin(&call->call);
    msg_push_single_encode(&msg, &fields);
    uint64_t size = batch->writer.size + msg.content_size;
    call->lsn_from = msg.lsn_from;
    call->lsn_to = msg.lsn_to;
    call->cost = size < PUSH_STREAM_COST ? (uint32_t)size : PUSH_STREAM_COST;
    call->buffer = buffer;
    struct span entry = span_of(batch->writer.data, batch->writer.size);
    bool has_content = msg.content_size > 0 && !batch->is_cut;
    if (!push_send(push, call, MSG_PUSH_SINGLE, &fields, entry, has_content)) {
        call_release_buffer(call);
        return;
    }
    push->sent_watermark = msg.watermark;
    push->records_sent++;
    if (has_content)
        push_single_start(push, call, record);
}

static void take_batch(struct push *push, struct push_batch *batch)
{
    push->read_lsn = batch->lsn_to;
    push->read_incarnation = batch->incarnation;
    if (batch->watermark > 0)
        push->read_watermark = batch->watermark;
    if (batch->time_ns > 0)
        push->read_time_ns = batch->time_ns;
    push->is_checked = true;
}

void push_built(struct push *push, struct push_batch *batch)
{
    uint8_t *out = batch->out;
    struct push_call *call;
    push->batch = NULL;
    batch->push = NULL;
    if (push->is_lost || batch->outcome == PUSH_FAILED) {
        push_give_buffer(push, out);
        if (!push->is_lost)
            push_lose(push, batch->machine.err);
        push_link_settle(push);
        return;
    }
    switch (batch->outcome) {
    case PUSH_ENTRIES:
        take_batch(push, batch);
        call = push_free_call(push);
        call->buffer = out;
        if (send_entries(push, span_of(out, batch->writer.size), batch->count))
            break;
        call_release_buffer(call);
        return;
    case PUSH_STREAM:
        take_batch(push, batch);
        begin_stream(push, batch, out);
        break;
    case PUSH_PRUNED:
        push_give_buffer(push, out);
        push_link_stick(push, PUSH_MUST_REBUILD);
        return;
    case PUSH_FOREIGN:
        push_give_buffer(push, out);
        push_link_stick(push, PUSH_AHEAD);
        return;
    default:
        push->wants_applied = batch->outcome == PUSH_APPLIED;
        push->wants_room = batch->outcome == PUSH_EMPTY && batch->lsn_to == push->read_lsn;
        take_batch(push, batch);
        push_give_buffer(push, out);
        break;
    }
    push_holds_look(push->stream);
    push_pump(push);
}

void push_streamed(struct push *push)
{
    struct push_call *call = push->single.call;
    push->single.call = NULL;
    call_release_buffer(call);
    push_link_settle(push);
    push_pump(push);
    pushes_pump_waiting(push->stream->pushes);
}

/* ---- the pump ---- */

bool push_is_allowed(struct push *push)
{
    struct pushes *pushes = push->stream->pushes;
    struct io *io = pushes->options.net->io;
    return push_window_is_open(&pushes->options.window, io_wall(io))
           && push_rate_allows(&pushes->rate, io_now(io));
}

/* One that has read what comes next, or else one that keeps nothing for others. */
static struct push_batch *free_builder(struct pushes *pushes, const struct push *push)
{
    struct push_batch *found = NULL;
    for (size_t i = 0; i < PUSH_BUILDERS; i++) {
        struct push_batch *batch = &pushes->builders[i];
        if (batch->push)
            continue;
        if (push_batch_keeps(batch, push))
            return batch;
        if (!found || found->kept_of)
            found = batch;
    }
    return found;
}

static bool is_busy(const struct push *push)
{
    return push->batch || push->single.call;
}

static bool has_more(const struct push *push)
{
    struct stream *stream = push->stream->stream;
    if (stream->state != STREAM_OPEN || push->read_lsn >= stream->log.lsn_durable)
        return false;
    if (!push->wants_applied || binlog_applied_lsn(&stream->log) > push->read_lsn)
        return true;
    stream->tells_applied = true;
    return false;
}

static uint32_t credit_left(const struct push *push)
{
    return push->credit > push->credit_used ? push->credit - push->credit_used : 0;
}

/* Behind as many bytes as the peer takes, it is worth waiting for a whole frame. */
static bool has_room(const struct push *push)
{
    uint32_t least = push->credit / 4 < FRAME_DATA_MAX ? push->credit / 4 : FRAME_DATA_MAX;
    return push->calls_out == 0
           || (push->calls_out < PUSH_CALLS_MAX && !push->wants_room && credit_left(push) > 0
               && credit_left(push) >= least);
}

void push_pump(struct push *push)
{
    struct pushes *pushes = push->stream->pushes;
    if (push->state != PUSH_RUNNING || push->is_lost || is_busy(push) || pushes->is_stopping)
        return;
    if (!has_room(push) || !has_more(push) || !push_is_allowed(push))
        return;
    struct push_batch *batch = free_builder(pushes, push);
    uint8_t *out = batch ? push_take_buffer(push) : NULL;
    push->wants_builder = !batch;
    push->wants_buffer = batch && !out;
    if (!out)
        return;
    uint32_t left = credit_left(push);
    push->wants_applied = push->wants_room = false;
    push->batch = batch;
    push_batch_start(batch, push, out, left < FRAME_DATA_MAX ? left : FRAME_DATA_MAX);
}

void pushes_pump(struct pushes *pushes, bool only_waiting)
{
    uint32_t peers = pushes->options.peers_max, count = pushes->stream_count * peers;
    uint32_t first = count > 0 ? pushes->next_turn++ % count : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (first + i) % count;
        struct push *push = &pushes->streams[at / peers].all[at % peers];
        if (!only_waiting || push->wants_buffer || push->wants_builder)
            push_pump(push);
    }
}

void pushes_pump_waiting(struct pushes *pushes)
{
    pushes_pump(pushes, true);
}

void push_send_idle(struct push *push, uint64_t now_ns)
{
    bool is_free = push->state == PUSH_RUNNING && !push->is_lost && !is_busy(push)
                   && push->calls_out == 0 && !push->stream->pushes->is_stopping;
    if (!is_free || now_ns - push->sent_ns < PUSH_IDLE_MS * NS_PER_MS || !push_is_allowed(push))
        return;
    bool has_moved = push->read_lsn > push->sent_lsn
                     || push_watermark(push, push->read_lsn) > push->sent_watermark;
    if (has_moved)
        (void)send_entries(push, span_of(NULL, 0), 0);
}
