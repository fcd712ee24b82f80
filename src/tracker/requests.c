/* The tracker's verbs: decode, ask the registry, answer. */
#include "base/units.h"
#include "doors/ops_page.h"
#include "io/drill.h"
#include "sight/report.h"
#include "tracker/internal.h"

/* Requests of a tracker have no body; one that comes all the same is drained by the connection. */

static void end_with(struct net_request *request, uint8_t type, const struct writer *fields)
{
    net_reply(request, type, 0, fields, NULL, 0, NULL);
    net_request_end(request);
}

static void refuse(struct net_request *request, err_t err, const char *reason)
{
    struct writer fields = net_reply_begin(request);
    error_encode(err, reason, (struct version){0}, &fields);
    end_with(request, MSG_ERROR, &fields);
}

static void refuse_plainly(struct net_request *request, err_t err)
{
    net_reply_error(request, err, (struct version){0});
    net_request_end(request);
}

static void answer_sent(struct net_request *request, err_t err)
{
    struct tracker *tracker = request->server->config.role;
    (void)err; /* nobody is there any more: nothing to do about it */
    pool_give(&tracker->answers, request->op);
    net_request_end(request);
}

static void send_with(struct net_request *request, uint8_t type, const struct writer *fields,
    struct tracker_answer *out, const struct writer *data)
{
    CHECK(!data->failed);
    out->data = (struct iovec){out->bytes, data->size};
    request->op = out;
    net_reply(request, type, 0, fields, &out->data, 1, answer_sent);
}

/* ---- storages ---- */

static void log_refusal(struct tracker *tracker, const struct registry_effects *effects)
{
    struct event_log *log = tracker->config.log;
    if (log)
        EVENT(log, WARN, "heartbeat_refused", &tracker->owner,
            EVENT_MACHINE("storage", effects->machine), EVENT_TEXT("reason", effects->reason),
            EVENT_ERR(effects->err));
}

static void welcome(struct tracker *tracker, struct net_request *request, uint32_t machine)
{
    struct member_entry members[REGISTRY_TOLD_MAX];
    struct tracker_answer *out = pool_take(&tracker->answers, request->owner);
    if (!out) {
        refuse_plainly(request, ERR(BUSY, 0));
        return;
    }
    struct writer data = {.data = out->bytes, .capacity = sizeof out->bytes};
    uint32_t count = registry_tell_members(&tracker->registry, machine, members);
    for (uint32_t i = 0; i < count; i++)
        member_entry_encode(&members[i], &data);
    struct writer fields = net_reply_begin(request);
    msg_heartbeat_ack_encode(
        &(struct msg_heartbeat_ack){.tracker_started_ns = tracker->started_wall_ns,
            .interval_ms = (uint32_t)(tracker->config.interval_ns / NS_PER_MS),
            .count = count},
        &fields);
    send_with(request, MSG_HEARTBEAT_ACK, &fields, out, &data);
}

static void serve_heartbeat(struct tracker *tracker, struct net_request *request)
{
    struct msg_heartbeat heartbeat;
    struct registry_effects effects;
    err_t err = msg_heartbeat_decode(request->meta, &heartbeat);
    if (err_is(err)) {
        refuse_plainly(request, err);
        return;
    }
    tracker->counters.heartbeats++;
    registry_step(&tracker->registry,
        &(struct registry_event){.kind = REGISTRY_HEARTBEAT,
            .now_ns = io_now(tracker->io),
            .connection = request->connection_number,
            .heartbeat = &heartbeat},
        &effects);
    tracker_log_change(tracker, &effects);
    if (err_is(effects.err)) {
        tracker->counters.heartbeats_refused++;
        log_refusal(tracker, &effects);
        refuse(request, effects.err, effects.reason);
        return;
    }
    welcome(tracker, request, heartbeat.machine);
}

static void serve_goodbye(struct tracker *tracker, struct net_request *request)
{
    struct msg_goodbye goodbye;
    struct registry_effects effects;
    err_t err = msg_goodbye_decode(request->meta, &goodbye);
    if (err_is(err)) {
        refuse_plainly(request, err);
        return;
    }
    registry_step(&tracker->registry,
        &(struct registry_event){
            .kind = REGISTRY_GOODBYE, .now_ns = io_now(tracker->io), .goodbye = &goodbye},
        &effects);
    tracker_log_change(tracker, &effects);
    if (err_is(effects.err)) {
        refuse(request, effects.err, effects.reason);
        return;
    }
    struct writer fields = net_reply_begin(request);
    msg_goodbye_ack_encode(&(struct msg_goodbye_ack){}, &fields);
    end_with(request, MSG_GOODBYE_ACK, &fields);
}

/* ---- clients ---- */

static void send_answer(struct net_request *request, uint8_t door, struct tracker_answer *out,
    const struct registry_answer *answer)
{
    struct writer data = {.data = out->bytes, .capacity = sizeof out->bytes};
    uint32_t count = 0;
    for (uint32_t i = 0; i < answer->count; i++) {
        const struct registry_named *named = &answer->storages[i];
        const char *address = door == QUERY_DOOR_HTTP ? named->http_address : named->address;
        if (address[0] == '\0')
            continue;
        write_u32(&data, named->machine);
        write_text(&data, span_of_text(address));
        count++;
    }
    struct writer fields = net_reply_begin(request);
    msg_answer_encode(
        &(struct msg_answer){.count = count, .group = span_of_text(answer->group)}, &fields);
    send_with(request, MSG_ANSWER, &fields, out, &data);
}

static void serve_query(struct tracker *tracker, struct net_request *request)
{
    struct msg_query query;
    struct registry_answer answer;
    err_t err = msg_query_decode(request->meta, &query);
    if (err_is(err)) {
        refuse_plainly(request, err);
        return;
    }
    tracker->counters.queries++;
    err = registry_query(&tracker->registry, &query, &answer);
    if (err_is(err)) {
        tracker->counters.queries_refused++;
        refuse(request, err, answer.reason);
        return;
    }
    if (DRILL_IS_ON(tracker->io, TRACKER_HEAP))
        DRILL_LEAK_MEMORY(tracker->mem, &tracker->owner);
    struct tracker_answer *out = pool_take(&tracker->answers, request->owner);
    if (out)
        send_answer(request, query.door, out, &answer);
    else
        refuse_plainly(request, ERR(BUSY, 0));
}

/* ---- operators ---- */

static void page_sent(struct net_request *request, err_t err);

/* The next piece of the page: the first behind STATUS_REPLY, the others in DATA frames. */
static void send_page(struct net_request *request)
{
    struct tracker_page *page = request->op;
    bool is_first = page->sent == 0;
    size_t size = page->size - page->sent;
    if (size > FRAME_DATA_MAX)
        size = FRAME_DATA_MAX;
    page->data = (struct iovec){page->bytes + page->sent, size};
    page->sent += size;
    struct writer fields = net_reply_begin(request);
    if (is_first)
        msg_status_reply_encode(&(struct msg_status_reply){.state = STATE_RUNNING}, &fields);
    net_reply(request, is_first ? MSG_STATUS_REPLY : MSG_DATA,
        page->sent < page->size ? FRAME_MORE : 0, &fields, &page->data, 1, page_sent);
}

static void page_sent(struct net_request *request, err_t err)
{
    struct tracker *tracker = request->server->config.role;
    struct tracker_page *page = request->op;
    if (!err_is(err) && page->sent < page->size) {
        send_page(request);
        return;
    }
    pool_give(&tracker->pages, page);
    net_request_end(request);
}

void tracker_write_status(const struct tracker *tracker, struct writer *w)
{
    status_write(&tracker->registry,
        &(struct status_times){.started_wall_ns = tracker->started_wall_ns,
            .now_wall_ns = io_wall(tracker->io),
            .now_ns = io_now(tracker->io)},
        w);
}

static void write_ops(const struct tracker *tracker, bool shows_resting, struct writer *w)
{
    struct ops_page page;
    ops_page_begin(&page, w, "tracker", 0, shows_resting);
    if (!tracker->config.shares_loop)
        ops_page_add(&page, tracker->io);
    ops_page_end(&page);
}

static void write_metrics(const struct tracker *tracker, struct writer *w)
{
    struct text text;
    text_init(&text, (char *)w->data, w->capacity);
    tracker_write_metrics(tracker, &text);
    w->size = text.size;
    w->failed = text.is_cut;
}

static void seen(struct sight_waiter *waiter)
{
    struct tracker_page *page = CONTAINER_OF(waiter, struct tracker_page, sight);
    const struct tracker *tracker = page->request->server->config.role;
    struct writer w = {.data = page->bytes, .capacity = tracker_page_size(&tracker->tables)};
    sight_write(&tracker->sight, page->question, "tracker", &w);
    CHECK(!w.failed);
    page->size = w.size;
    send_page(page->request);
}

static void serve_status(struct tracker *tracker, struct net_request *request)
{
    struct msg_status status;
    err_t err = msg_status_decode(request->meta, &status);
    bool shows_resting = false;
    bool is_ops = !err_is(err) && ops_page_is_asked(status.what, &shows_resting);
    bool is_metrics = !err_is(err) && span_equals_text(status.what, "metrics");
    enum sight_question question = err_is(err) ? 0 : sight_question_of(status.what);
    if (!err_is(err) && !is_ops && !is_metrics && question == SIGHT_ASKS_NOTHING
        && status.what.size > 0 && !span_equals_text(status.what, "status"))
        err = ERR(UNSUPPORTED, 0);
    struct tracker_page *page = err_is(err) ? NULL : pool_take(&tracker->pages, request->owner);
    if (!page) {
        refuse_plainly(request, err_is(err) ? err : ERR(BUSY, 0));
        return;
    }
    page->size = page->sent = 0;
    page->request = request;
    request->op = page;
    if (question != SIGHT_ASKS_NOTHING) {
        page->question = (uint8_t)question;
        page->sight = (struct sight_waiter){.seen = seen};
        sight_ask(&tracker->sight, &page->sight);
        return;
    }
    struct writer w = {.data = page->bytes, .capacity = tracker_page_size(&tracker->tables)};
    if (is_metrics)
        write_metrics(tracker, &w);
    else if (is_ops)
        write_ops(tracker, shows_resting, &w);
    else
        tracker_write_status(tracker, &w);
    CHECK(!w.failed);
    page->size = w.size;
    send_page(request);
}

/* Only what concerns the tracker itself: that it forgets a member. It has nothing durable. */
static void serve_member(struct tracker *tracker, struct net_request *request)
{
    struct msg_member member;
    struct registry_effects effects = {0};
    err_t err = msg_member_decode(request->meta, &member);
    if (!err_is(err) && (member.verb != MEMBER_REMOVE || !member.is_sure))
        err = ERR(UNSUPPORTED, 0);
    if (err_is(err)) {
        refuse_plainly(request, err);
        return;
    }
    registry_step(&tracker->registry,
        &(struct registry_event){
            .kind = REGISTRY_REMOVE, .now_ns = io_now(tracker->io), .machine = member.machine},
        &effects);
    tracker_log_change(tracker, &effects);
    if (err_is(effects.err)) {
        refuse(request, effects.err, effects.reason);
        return;
    }
    struct writer fields = net_reply_begin(request);
    msg_member_reply_encode(&(struct msg_member_reply){.is_done = 1}, &fields);
    end_with(request, MSG_MEMBER_REPLY, &fields);
}

static void serve_ping(struct net_request *request)
{
    struct writer fields = net_reply_begin(request);
    msg_pong_encode(&(struct msg_pong){.role = SERVER_TRACKER, .state = STATE_RUNNING}, &fields);
    end_with(request, MSG_PONG, &fields);
}

void tracker_on_request(struct net_server *server, struct net_request *request)
{
    struct tracker *tracker = server->config.role;
    switch (request->frame.type) {
    case MSG_HEARTBEAT:
        serve_heartbeat(tracker, request);
        break;
    case MSG_GOODBYE:
        serve_goodbye(tracker, request);
        break;
    case MSG_QUERY:
        serve_query(tracker, request);
        break;
    case MSG_STATUS:
        serve_status(tracker, request);
        break;
    case MSG_MEMBER:
        serve_member(tracker, request);
        break;
    case MSG_PING:
        serve_ping(request);
        break;
    default:
        refuse(request, ERR(UNSUPPORTED, 0), "a tracker does not serve this message");
    }
}
