#include "storage/heartbeat.h"

#include "base/units.h"

void heartbeat_config_default(struct heartbeat_config *ret)
{
    *ret = (struct heartbeat_config){.interval_ns = NS_PER_S,
        .timeout_ns = 3 * NS_PER_S,
        .retry_min_ns = 100 * NS_PER_MS,
        .retry_max_ns = 2 * NS_PER_S};
}

static uint64_t now_of(const struct heartbeat_link *link)
{
    return io_now(link->heartbeat->loop->io);
}

/* ---- refusals ---- */

static void tell_refusal(struct heartbeat_link *link, err_t err, const char *reason)
{
    const struct heartbeat_config *config = &link->heartbeat->config;
    if (link->refused_code == err.code)
        return;
    link->refused_code = err.code;
    if (config->on_refused)
        config->on_refused(config->context, &link->client.address, err,
            reason[0] != '\0' ? reason : err_sentence(err.code));
}

/* The connection works and the tracker says no: an operator has to know. */
static bool is_refusal(err_t err)
{
    return !err_has(err, ERR_CODE_CLOSED) && !err_has(err, ERR_CODE_TIMEOUT)
           && !err_has(err, ERR_CODE_CANCELLED) && !err_has(err, ERR_CODE_UNAVAILABLE);
}

/* ---- heartbeats ---- */

/* Who the tracker knows of our group. False: it makes no sense. */
static bool read_members(const struct heartbeat *heartbeat, uint32_t count, struct span data)
{
    struct member_entry members[HEARTBEAT_MEMBERS_MAX];
    struct reader r = {.data = data.data, .size = data.size};
    if (count > HEARTBEAT_MEMBERS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (err_is(member_entry_decode(&r, &members[i])))
            return false;
    if (heartbeat->config.on_answer && !heartbeat->is_leaving)
        heartbeat->config.on_answer(heartbeat->config.context, members, count);
    return true;
}

static void beat_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct heartbeat_link *link = call->context;
    struct msg_heartbeat_ack ack;
    bool is_ack = frame->type == MSG_HEARTBEAT_ACK && !err_is(msg_heartbeat_ack_decode(meta, &ack));
    if (!is_ack || !read_members(link->heartbeat, ack.count, data)) {
        net_client_close(&link->client);
        return;
    }
    uint64_t asked_ns = ns_from_ms(ack.interval_ms);
    link->interval_ns = link->heartbeat->config.interval_ns;
    if (asked_ns > 0 && asked_ns < link->interval_ns)
        link->interval_ns = asked_ns;
    link->answered_ns = now_of(link);
    link->refused_code = 0;
    link->retry_ns = link->heartbeat->config.retry_min_ns;
}

static void send_beat(struct heartbeat_link *link);

static void beat_end(struct net_call *call, err_t err)
{
    struct heartbeat_link *link = call->context;
    link->is_beating = false;
    if (err_has(err, ERR_CODE_TIMEOUT))
        net_client_close(&link->client);
    else if (err_is(err) && is_refusal(err))
        tell_refusal(link, err, call->error_text);
    if (link->is_due && link->stage == HEARTBEAT_CONNECTED && !err_is(err))
        send_beat(link);
}

static void send_beat(struct heartbeat_link *link)
{
    const struct heartbeat_config *config = &link->heartbeat->config;
    struct msg_heartbeat heartbeat = {0};
    config->fill(config->context, &heartbeat);
    heartbeat.machine = config->machine;
    heartbeat.uuid = config->uuid;
    struct writer fields = net_call_begin(&link->beat);
    msg_heartbeat_encode(&heartbeat, &fields);
    link->beat.on_frame = beat_frame;
    link->beat.on_end = beat_end;
    link->beat.context = link;
    link->beat.deadline_ns = now_of(link) + config->timeout_ns;
    link->is_due = false;
    link->next_ns = now_of(link) + link->interval_ns;
    err_t err = net_call_start(&link->client, &link->beat, MSG_HEARTBEAT, 0, &fields, NULL, 0);
    if (err_is(err))
        return; /* the connection is going: on_closed is on its way */
    link->is_beating = true;
    link->sent++;
}

/* ---- the connection ---- */

static void on_ready(struct net_client *client)
{
    struct heartbeat_link *link = client->config.context;
    if (link->stage != HEARTBEAT_CONNECTING)
        return;
    link->stage = HEARTBEAT_CONNECTED;
    link->next_ns = now_of(link); /* from the tick, or from heartbeat_now(): not from in here */
}

/* Half of the time is certain, the other half drawn. */
static uint64_t draw_delay(struct heartbeat_link *link)
{
    uint64_t delay_ns = link->retry_ns / 2 + 1;
    link->retry_ns *= 2;
    if (link->retry_ns > link->heartbeat->config.retry_max_ns)
        link->retry_ns = link->heartbeat->config.retry_max_ns;
    return delay_ns + io_random(link->heartbeat->loop->io) % delay_ns;
}

static void wait_again(struct heartbeat_link *link)
{
    link->stage = HEARTBEAT_WAITING;
    link->next_ns = now_of(link) + draw_delay(link);
}

static void on_closed(struct net_client *client, err_t err)
{
    struct heartbeat_link *link = client->config.context;
    bool is_early = link->stage == HEARTBEAT_CONNECTING;
    if (link->heartbeat->is_leaving) {
        link->stage = HEARTBEAT_GONE;
        return;
    }
    if (is_early && is_refusal(err) && !err_has(err, ERR_CODE_IO))
        tell_refusal(link, err, "");
    wait_again(link);
}

static void connect_link(struct heartbeat_link *link)
{
    const struct heartbeat_config *config = &link->heartbeat->config;
    uint32_t index = (uint32_t)(link - link->heartbeat->links);
    err_t err = net_client_start(&link->client, link->heartbeat->loop,
        &(struct net_client_config){.address = config->trackers[index],
            .secret = config->node_secret,
            .role = ROLE_NODE,
            .direction = DIRECTION_HEARTBEAT,
            .machine = config->machine,
            .call_max = 2,
            .connect_timeout_ns = config->timeout_ns,
            .send_timeout_ns = config->timeout_ns,
            .on_ready = on_ready,
            .on_closed = on_closed,
            .context = link});
    if (err_is(err))
        wait_again(link); /* the loop has no room now */
    else
        link->stage = HEARTBEAT_CONNECTING;
}

static void do_due(struct heartbeat *heartbeat, uint64_t now_ns)
{
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++) {
        struct heartbeat_link *link = &heartbeat->links[i];
        if (now_ns < link->next_ns)
            continue;
        if (link->stage == HEARTBEAT_WAITING)
            connect_link(link);
        else if (link->stage == HEARTBEAT_CONNECTED && !link->is_beating)
            send_beat(link);
    }
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    do_due(CONTAINER_OF(tick, struct heartbeat, tick), now_ns);
}

void heartbeat_go_on(struct heartbeat *heartbeat)
{
    if (!heartbeat->is_leaving)
        do_due(heartbeat, io_now(heartbeat->loop->io));
}

/* ---- life ---- */

void heartbeat_start(
    struct heartbeat *heartbeat, struct net_loop *loop, const struct heartbeat_config *config)
{
    CHECK(config->tracker_count <= HEARTBEAT_TRACKERS_MAX && config->fill);
    CHECK(config->retry_min_ns > 0 && config->retry_max_ns >= config->retry_min_ns);
    *heartbeat = (struct heartbeat){.loop = loop, .config = *config, .tick = {.tick = on_tick}};
    for (uint32_t i = 0; i < config->tracker_count; i++)
        heartbeat->links[i] = (struct heartbeat_link){.heartbeat = heartbeat,
            .retry_ns = config->retry_min_ns,
            .interval_ns = config->interval_ns};
    net_ticker_join(&loop->ticker, &heartbeat->tick);
}

void heartbeat_now(struct heartbeat *heartbeat)
{
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++) {
        struct heartbeat_link *link = &heartbeat->links[i];
        if (link->is_beating)
            link->is_due = true;
        else if (link->stage == HEARTBEAT_CONNECTED)
            send_beat(link);
    }
}

static void goodbye_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    (void)call, (void)frame, (void)meta, (void)data;
}

static void goodbye_end(struct net_call *call, err_t err)
{
    struct heartbeat_link *link = call->context;
    (void)err; /* we are leaving either way */
    net_client_close(&link->client);
}

static void leave_link(struct heartbeat_link *link)
{
    const struct heartbeat_config *config = &link->heartbeat->config;
    bool is_connected = link->stage == HEARTBEAT_CONNECTED;
    link->stage = link->client.is_running ? HEARTBEAT_LEAVING : HEARTBEAT_GONE;
    if (is_connected) {
        struct writer fields = net_call_begin(&link->goodbye);
        msg_goodbye_encode(
            &(struct msg_goodbye){.machine = config->machine, .uuid = config->uuid}, &fields);
        link->goodbye.on_frame = goodbye_frame;
        link->goodbye.on_end = goodbye_end;
        link->goodbye.context = link;
        link->goodbye.deadline_ns = now_of(link) + config->timeout_ns;
        is_connected = !err_is(
            net_call_start(&link->client, &link->goodbye, MSG_GOODBYE, 0, &fields, NULL, 0));
    }
    if (!is_connected)
        net_client_close(&link->client);
}

void heartbeat_leave(struct heartbeat *heartbeat)
{
    if (heartbeat->is_leaving)
        return;
    heartbeat->is_leaving = true;
    net_ticker_leave(&heartbeat->loop->ticker, &heartbeat->tick);
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++)
        leave_link(&heartbeat->links[i]);
}

bool heartbeat_is_idle(const struct heartbeat *heartbeat)
{
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++)
        if (heartbeat->links[i].stage != HEARTBEAT_GONE)
            return false;
    return heartbeat->is_leaving;
}

uint32_t heartbeat_answered_count(const struct heartbeat *heartbeat)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++)
        count += heartbeat->links[i].answered_ns > 0;
    return count;
}

uint32_t heartbeat_welcome_count(const struct heartbeat *heartbeat, uint64_t within_ns)
{
    uint32_t count = 0;
    uint64_t now_ns = io_now(heartbeat->loop->io);
    for (uint32_t i = 0; i < heartbeat->config.tracker_count; i++) {
        const struct heartbeat_link *link = &heartbeat->links[i];
        count += link->answered_ns > 0 && now_ns - link->answered_ns <= within_ns;
    }
    return count;
}
