#include "storage/elsewhere.h"

#include "base/units.h"
#include "storage/server.h"

static const uint64_t ANSWER_NS = 3 * NS_PER_S;

static const struct storage_config *config_of(const struct elsewhere *elsewhere)
{
    return &elsewhere->loop->storage->config;
}

/* The tick goes on only while somebody waits for it. */
static void wait_for_tick(struct elsewhere *elsewhere, struct elsewhere_ask *ask)
{
    list_push_back(&elsewhere->waiting, &ask->link);
    if (!list_is_linked(&elsewhere->tick.link))
        net_ticker_join(&elsewhere->loop->net.ticker, &elsewhere->tick);
}

/* ---- the connection ---- */

static void on_closed(struct net_client *client, err_t err)
{
    (void)client, (void)err; /* its calls were told */
}

static err_t connect_now(struct elsewhere *elsewhere)
{
    const struct storage *storage = elsewhere->loop->storage;
    const struct storage_config *config = &storage->config;
    if (elsewhere->client.is_running)
        return ERR_OK;
    return net_client_start(&elsewhere->client, &elsewhere->loop->net,
        &(struct net_client_config){.address = config->tracker[elsewhere->tracker],
            .secret = &storage->options.secrets->node,
            .role = ROLE_NODE,
            .direction = DIRECTION_CLIENT,
            .machine = config->machine_number,
            .call_max = (uint32_t)config->http_request_max,
            .connect_timeout_ns = ANSWER_NS,
            .send_timeout_ns = ANSWER_NS,
            .on_closed = on_closed,
            .context = elsewhere});
}

/* The connection, not the question, is what failed. */
static bool is_worth_another(const struct elsewhere_ask *ask, err_t err)
{
    bool is_lost = err_has(err, ERR_CODE_CLOSED) || err_has(err, ERR_CODE_TIMEOUT)
                   || err_has(err, ERR_CODE_IO) || err_has(err, ERR_CODE_BUSY);
    return is_lost && ask->elsewhere->is_open
           && ask->tries < config_of(ask->elsewhere)->tracker_count + 1;
}

static void on_end(struct net_call *call, err_t err)
{
    struct elsewhere_ask *ask = call->context;
    struct elsewhere *elsewhere = ask->elsewhere;
    if (is_worth_another(ask, err)) {
        elsewhere->tracker = (elsewhere->tracker + 1) % config_of(elsewhere)->tracker_count;
        net_client_close(&elsewhere->client);
        wait_for_tick(elsewhere, ask);
        return;
    }
    if (!err_is(err) && ask->address[0] == '\0')
        err = ERR(UNAVAILABLE, 0);
    ask->done(ask, err);
}

/* Whoever says it is us is behind the times: we would not ask. */
static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct elsewhere_ask *ask = call->context;
    const char *own = ask->elsewhere->loop->storage->http_address;
    struct reader r = {.data = data.data, .size = data.size};
    struct msg_answer answer;
    if (frame->type != MSG_ANSWER || err_is(msg_answer_decode(meta, &answer)))
        return;
    for (uint32_t i = 0; i < answer.count && !r.failed && ask->address[0] == '\0'; i++) {
        (void)read_u32(&r);
        struct span address = read_text(&r);
        if (!r.failed && !span_equals_text(address, own))
            (void)span_to_text(address, ask->address, sizeof ask->address);
    }
}

/* ---- questions ---- */

static void try_now(struct elsewhere *elsewhere, struct elsewhere_ask *ask)
{
    ask->tries++;
    ask->address[0] = '\0';
    ask->call = (struct net_call){.on_frame = on_frame,
        .on_end = on_end,
        .context = ask,
        .deadline_ns = io_now(elsewhere->loop->io) + ANSWER_NS};
    struct writer fields = net_call_begin(&ask->call);
    msg_query_encode(&ask->query, &fields);
    err_t err = connect_now(elsewhere);
    if (!err_is(err))
        err = net_call_start(&elsewhere->client, &ask->call, MSG_QUERY, 0, &fields, NULL, 0);
    if (err_is(err)) /* the connection is going, or full: at the next tick */
        wait_for_tick(elsewhere, ask);
}

static void go_on(struct elsewhere_ask *ask)
{
    if (ask->tries < config_of(ask->elsewhere)->tracker_count + 1)
        try_now(ask->elsewhere, ask);
    else
        ask->done(ask, ERR(UNAVAILABLE, 0));
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct elsewhere *elsewhere = CONTAINER_OF(tick, struct elsewhere, tick);
    struct list *last = elsewhere->waiting.prev;
    struct list *node = NULL;
    (void)now_ns;
    while (node != last && (node = list_pop_front(&elsewhere->waiting)) != NULL)
        go_on(CONTAINER_OF(node, struct elsewhere_ask, link));
    if (list_is_empty(&elsewhere->waiting))
        net_ticker_leave(&elsewhere->loop->net.ticker, &elsewhere->tick);
}

void elsewhere_ask(struct elsewhere *elsewhere, struct elsewhere_ask *ask)
{
    ask->elsewhere = elsewhere;
    ask->tries = 0;
    ask->query.door = QUERY_DOOR_HTTP;
    CHECK(elsewhere->is_open);
    try_now(elsewhere, ask);
}

/* ---- life ---- */

void elsewhere_open(struct elsewhere *elsewhere, struct storage_loop *loop)
{
    *elsewhere = (struct elsewhere){.loop = loop, .tick = {.tick = on_tick}, .is_open = true};
    list_init(&elsewhere->waiting);
}

void elsewhere_close(struct elsewhere *elsewhere)
{
    struct list *node;
    if (!elsewhere->is_open)
        return;
    elsewhere->is_open = false;
    net_ticker_leave(&elsewhere->loop->net.ticker, &elsewhere->tick);
    while ((node = list_pop_front(&elsewhere->waiting)) != NULL) {
        struct elsewhere_ask *ask = CONTAINER_OF(node, struct elsewhere_ask, link);
        ask->done(ask, ERR(CLOSED, 0));
    }
    net_client_close(&elsewhere->client);
}

bool elsewhere_is_idle(const struct elsewhere *elsewhere)
{
    return !elsewhere->is_open && !elsewhere->client.is_running;
}
