/* The connection of a push: back-off, handshake, FOLLOW, and what its loss leaves to do. */
#include "base/units.h"
#include "storage/push.h"

enum {
    LINK_RETRY_MIN_MS = 100,
    LINK_RETRY_MAX_MS = 2000,
    LINK_RETRY_SLOW_MS = 5000, /* while the peer has to rebuild, or knows more than we do */
    LINK_ANSWER_S = 10,        /* for the handshake, and for FOLLOWED */
};

static struct push *push_of(struct net_client *client)
{
    return client->config.context;
}

static uint64_t now_of(const struct push *push)
{
    return io_now(push->stream->pushes->options.net->io);
}

static bool is_stuck(const struct push *push)
{
    return push->state == PUSH_MUST_REBUILD || push->state == PUSH_AHEAD;
}

/* ---- the end of a connection ---- */

/* Half of the time is certain, the other half drawn. */
static uint64_t draw_delay(struct push *push)
{
    struct io *io = push->stream->pushes->options.net->io;
    uint64_t retry_ns = push->retry_ns > 0 ? push->retry_ns : LINK_RETRY_MIN_MS * NS_PER_MS;
    push->retry_ns = retry_ns * 2;
    if (push->retry_ns > LINK_RETRY_MAX_MS * NS_PER_MS)
        push->retry_ns = LINK_RETRY_MAX_MS * NS_PER_MS;
    if (is_stuck(push))
        retry_ns = LINK_RETRY_SLOW_MS * NS_PER_MS;
    uint64_t half_ns = retry_ns / 2 + 1;
    return half_ns + io_random(io) % half_ns;
}

static void tell_loss(struct push *push)
{
    const struct stream_options *stream = &push->stream->stream->options;
    bool is_order = err_has(push->err, ERR_CODE_CANCELLED);
    if (push->is_told || is_order || is_stuck(push))
        return;
    push->is_told = true;
    EVENT(push->stream->pushes->options.log, WARN, "mirror_lost", &push->owner,
        EVENT_MACHINE("mirror", push->machine), EVENT_NUMBER("mount", stream->mount),
        EVENT_NUMBER("stream", stream->stream), EVENT_NUMBER("held_lsn", push->held_lsn),
        EVENT_TEXT("reason", push->follow.error_text), EVENT_ERR(push->err));
}

void push_link_settle(struct push *push)
{
    bool is_over = push->is_lost && !push->client.is_running && !push->batch && !push->single.call;
    if (!is_over)
        return;
    if (push->is_read_open)
        log_read_close(&push->read);
    push->is_read_open = push->is_lost = false;
    push->wants_buffer = push->wants_builder = push->wants_applied = false;
    tell_loss(push);
    if (!push->is_wanted)
        push->state = push->machine ? PUSH_OFF : push->state;
    else if (!is_stuck(push))
        push->state = PUSH_WAITING;
    push->next_ns = err_has(push->err, ERR_CODE_CANCELLED) ? 0 : now_of(push) + draw_delay(push);
}

static void on_closed(struct net_client *client, err_t err)
{
    struct push *push = push_of(client);
    if (!push->is_lost || err_has(push->err, ERR_CODE_CLOSED)) /* the calls ended by it first */
        push->err = err;
    push->is_lost = true;
    if (push->single.call)
        push_single_wake(push);
    push_link_settle(push);
}

void push_lose(struct push *push, err_t err)
{
    if (push->is_lost || !push->client.is_running)
        return;
    push->is_lost = true;
    push->err = err;
    net_client_close(&push->client);
    if (push->single.call)
        push_single_wake(push);
}

void push_link_drop(struct push *push)
{
    push_lose(push, ERR(CANCELLED, 0));
    push->next_ns = 0;
    push->retry_ns = 0;
    if (!push->client.is_running && !push->is_wanted)
        push->state = PUSH_OFF;
}

bool push_link_is_idle(const struct push *push)
{
    return !push->client.is_running && !push->batch && !push->single.call && !push->is_read_open;
}

/* ---- the beginning ---- */

static void tell_stuck(struct push *push, const struct msg_followed *followed)
{
    const struct stream_options *stream = &push->stream->stream->options;
    struct pushes *pushes = push->stream->pushes;
    bool is_ahead = push->state == PUSH_AHEAD;
    event_write(pushes->options.log, is_ahead ? EVENT_ERROR : EVENT_WARN,
        is_ahead ? "behind_itself" : "mirror_must_rebuild", &push->owner,
        (const struct event_field[]){EVENT_MACHINE("mirror", push->machine),
            EVENT_NUMBER("mount", stream->mount), EVENT_NUMBER("stream", stream->stream),
            EVENT_NUMBER("its_incarnation", followed->incarnation),
            EVENT_NUMBER("its_lsn", followed->lsn),
            EVENT_NUMBER("our_incarnation", stream->incarnation),
            EVENT_NUMBER("first_lsn", log_tail_first(&push->stream->stream->tail)),
            EVENT_NUMBER("last_lsn", push->stream->stream->log.lsn_durable)},
        8, SITE());
    if (is_ahead && pushes->options.on_ahead)
        pushes->options.on_ahead(pushes->options.context, push);
}

void push_link_stick(struct push *push, enum push_state state)
{
    struct msg_followed at = {.incarnation = push->incarnation, .lsn = push->held_lsn};
    bool is_news = push->state != state;
    push->state = state;
    push->has_kept = false;
    if (is_news)
        tell_stuck(push, &at);
    push_lose(push, state == PUSH_AHEAD ? ERR(CONFLICT, 0) : ERR(NOT_FOUND, 0));
}

/* Everything that was known of the peer is replaced by what it says, but what a restart goes on from. */
static void take_position(struct push *push, const struct msg_followed *followed)
{
    push->incarnation = push->read_incarnation = followed->incarnation;
    if (followed->lsn > push->missed_floor)
        push->missed_floor = followed->lsn > push->held_lsn ? followed->lsn : push->missed_floor;
    push->held_lsn = push->sent_lsn = push->read_lsn = followed->lsn;
    if (push->kept_lsn > followed->lsn)
        push->kept_lsn = followed->lsn;
    push->credit = followed->credit;
    push->read_watermark = push->sent_watermark = push->read_time_ns = 0;
    push->sent_ns = 0;
}

static void begin_running(struct push *push)
{
    const struct stream_options *stream = &push->stream->stream->options;
    struct log_tail *tail = &push->stream->stream->tail;
    push->state = PUSH_RUNNING;
    push->is_told = false;
    push->is_checked =
        push->incarnation == stream->incarnation || push->held_lsn < log_tail_first(tail);
    log_read_open(&push->read, tail, push->stream->pushes->builders[0].raw,
        push->stream->pushes->builders[0].raw_size);
    push->is_read_open = true;
    EVENT(push->stream->pushes->options.log, INFO, "mirror_follows", &push->owner,
        EVENT_MACHINE("mirror", push->machine), EVENT_NUMBER("mount", stream->mount),
        EVENT_NUMBER("stream", stream->stream), EVENT_NUMBER("lsn", push->held_lsn),
        EVENT_NUMBER("last_lsn", push->stream->stream->log.lsn_durable));
    push_pump(push);
}

static void follow_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct push *push = call->context;
    struct stream *stream = push->stream->stream;
    struct msg_followed followed;
    (void)data;
    if (frame->type != MSG_FOLLOWED || err_is(msg_followed_decode(meta, &followed))) {
        push_lose(push, ERR(PROTOCOL, 0));
        return;
    }
    if (push->is_lost)
        return;
    take_position(push, &followed);
    if (followed.incarnation > stream->options.incarnation
        || followed.lsn > stream->log.lsn_durable)
        push_link_stick(push, PUSH_AHEAD);
    else if (followed.lsn + 1 < log_tail_first(&stream->tail))
        push_link_stick(push, PUSH_MUST_REBUILD);
    else
        begin_running(push);
}

static void follow_end(struct net_call *call, err_t err)
{
    struct push *push = call->context;
    if (err_is(err))
        push_lose(push, err);
}

static void on_ready(struct net_client *client)
{
    struct push *push = push_of(client);
    struct stream *stream = push->stream->stream;
    const struct pushes_options *options = &push->stream->pushes->options;
    if (push->is_lost)
        return;
    if (client->handshake.welcome.machine != push->machine) {
        push_lose(push, ERR(WRONG_NODE, 0));
        return;
    }
    struct msg_follow follow = {.uuid = options->uuid,
        .group = span_of_text(options->store->config.group),
        .mount = stream->options.mount,
        .stream = stream->options.stream,
        .incarnation = stream->options.incarnation,
        .lsn_first = log_tail_first(&stream->tail),
        .lsn_last = stream->log.lsn_durable,
        .watermark = stream_watermark(stream)};
    struct writer fields = net_call_begin(&push->follow);
    msg_follow_encode(&follow, &fields);
    push->follow.on_frame = follow_frame;
    push->follow.on_end = follow_end;
    push->follow.context = push;
    push->follow.deadline_ns = now_of(push) + LINK_ANSWER_S * NS_PER_S;
    err_t err = net_call_start(client, &push->follow, MSG_FOLLOW, 0, &fields, NULL, 0);
    if (err_is(err))
        push_lose(push, err);
}

static void begin_connection(struct push *push)
{
    const struct pushes_options *options = &push->stream->pushes->options;
    push->follow.error_text[0] = '\0';
    push->credit_used = 0;
    err_t err = net_client_start(&push->client, options->net,
        &(struct net_client_config){.address = push->address,
            .secret = options->node_secret,
            .role = ROLE_NODE,
            .direction = DIRECTION_SYNC_SEND,
            .machine = options->store->config.machine,
            .call_max = PUSH_CALLS_MAX + 1,
            .connect_timeout_ns = LINK_ANSWER_S * NS_PER_S,
            .send_timeout_ns = options->send_timeout_ns,
            .on_ready = on_ready,
            .on_closed = on_closed,
            .context = push});
    if (err_is(err)) /* the loop has no room now */
        push->next_ns = now_of(push) + draw_delay(push);
    else if (!is_stuck(push))
        push->state = PUSH_CONNECTING;
}

void push_link_tick(struct push *push, uint64_t now_ns)
{
    push_link_settle(push);
    bool may_connect = push->is_wanted && push->address.family != 0 && push_link_is_idle(push)
                       && push->stream->stream->state == STREAM_OPEN;
    if (may_connect && now_ns >= push->next_ns)
        begin_connection(push);
}
