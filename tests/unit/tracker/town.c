#include "tests/unit/tracker/town.h"

#include "io/backend.h"

void town_turn(struct town *town)
{
    io_turn(town->io, true); /* tickers see to it that this returns */
}

void town_open(struct town *town)
{
    memset(town, 0, sizeof *town);
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 256}, &town->io));
    mem_init(&town->mem, &town->io->ledger);
    owner_open(&town->owner, "town", DIRECTION_OWN, 0);
    io_turn(town->io, false); /* the clock is read */
    EXPECT_OK(net_loop_init(&town->loop, town->io, &town->mem,
        &(struct net_loop_config){.small_count = 64, .large_count = 4, .tick_ns = 5 * NS_PER_MS}));
    tracker_config_default(&town->tracker_config);
    town->tracker_config.secrets = &town->secrets;
    town->tracker_config.connection_max = 16;
    town->tracker_config.interval_ns = 20 * NS_PER_MS;
    town->tracker_config.tick_ns = 5 * NS_PER_MS;
}

static void disconnect_if_running(struct town *town)
{
    if (town->client.is_running)
        town_disconnect(town);
}

void town_close(struct town *town)
{
    disconnect_if_running(town);
    for (unsigned i = 0; i < TOWN_STORAGES; i++)
        town_stop_storage(town, &town->storages[i]);
    for (unsigned i = 0; i < TOWN_TRACKERS; i++)
        town_close_tracker(town, i);
    for (unsigned i = 0; i < TOWN_CALLS; i++)
        free(town->calls[i].data);
    TURN_UNTIL(town, net_loop_is_idle(&town->loop));
    net_loop_fini(&town->loop);
    owner_close(&town->owner);
    ledger_check_empty(&town->io->ledger);
    town->io->backend->free(town->io);
}

void town_open_tracker(struct town *town, unsigned index)
{
    struct tracker *tracker = &town->trackers[index];
    struct tracker_config config = town->tracker_config;
    if (tracker->io) /* was open before */
        config.address = *tracker_address(tracker);
    EXPECT_OK(tracker_open(tracker, town->io, &town->mem, &config));
    town->has_tracker[index] = true;
}

void town_close_tracker(struct town *town, unsigned index)
{
    if (!town->has_tracker[index])
        return;
    town->has_tracker[index] = false;
    tracker_cut(&town->trackers[index]);
    TURN_UNTIL(town, tracker_is_idle(&town->trackers[index]));
    tracker_close(&town->trackers[index]);
}

/* ---- storages ---- */

static void fill(void *context, struct msg_heartbeat *ret)
{
    const struct town_storage *storage = context;
    *ret = storage->says;
}

static void on_refused(
    void *context, const struct io_address *tracker, err_t err, const char *reason)
{
    struct town_storage *storage = context;
    (void)tracker;
    storage->refused_count++;
    storage->refused_err = err;
    (void)snprintf(storage->refused_reason, sizeof storage->refused_reason, "%s", reason);
}

struct town_storage *town_storage(
    struct town *town, unsigned index, const char *group, const char *pool)
{
    struct town_storage *storage = &town->storages[index];
    *storage = (struct town_storage){.says = {.group = span_of_text(group),
                                         .pool = span_of_text(pool),
                                         .state = STATE_RUNNING,
                                         .total_bytes = 200 * GIB,
                                         .free_bytes = 100 * GIB}};
    (void)snprintf(storage->address, sizeof storage->address, "127.0.0.1:%u", 23000 + index);
    storage->says.address = span_of_text(storage->address);
    heartbeat_config_default(&storage->config);
    storage->config.machine = index + 1;
    storage->config.uuid = (struct nonce){{(uint8_t)(index + 1), 1}};
    storage->config.interval_ns = 20 * NS_PER_MS;
    storage->config.retry_min_ns = 5 * NS_PER_MS;
    storage->config.retry_max_ns = 40 * NS_PER_MS;
    storage->config.fill = fill;
    storage->config.on_refused = on_refused;
    storage->config.context = storage;
    for (unsigned i = 0; i < TOWN_TRACKERS; i++)
        if (town->has_tracker[i])
            storage->config.trackers[storage->config.tracker_count++] =
                *tracker_address(&town->trackers[i]);
    return storage;
}

void town_start_storage(struct town *town, struct town_storage *storage)
{
    heartbeat_start(&storage->heartbeat, &town->loop, &storage->config);
    storage->is_open = true;
}

void town_stop_storage(struct town *town, struct town_storage *storage)
{
    if (!storage->is_open)
        return;
    storage->is_open = false;
    heartbeat_leave(&storage->heartbeat);
    TURN_UNTIL(town, heartbeat_is_idle(&storage->heartbeat));
}

/* ---- the client ---- */

static void client_ready(struct net_client *client)
{
    ((struct town *)client->config.context)->is_client_ready = true;
}

static void client_closed(struct net_client *client, err_t err)
{
    struct town *town = client->config.context;
    town->is_client_closed = true;
    town->client_err = err;
}

bool town_connect(
    struct town *town, unsigned index, enum node_role role, const struct secret *secret)
{
    disconnect_if_running(town);
    town->is_client_ready = town->is_client_closed = false;
    EXPECT_OK(net_client_start(&town->client, &town->loop,
        &(struct net_client_config){.address = *tracker_address(&town->trackers[index]),
            .secret = secret,
            .role = role,
            .machine = role == ROLE_NODE ? 77 : 0,
            .call_max = TOWN_CALLS,
            .connect_timeout_ns = 10 * NS_PER_S,
            .send_timeout_ns = 10 * NS_PER_S,
            .on_ready = client_ready,
            .on_closed = client_closed,
            .context = town}));
    TURN_UNTIL(town, town->is_client_ready || town->is_client_closed);
    return town->is_client_ready;
}

void town_disconnect(struct town *town)
{
    net_client_close(&town->client);
    TURN_UNTIL(town, town->is_client_closed);
}

static void take_answer(struct town_call *call, struct span meta)
{
    struct msg_answer answer;
    EXPECT_OK(msg_answer_decode(meta, &answer));
    call->answer_count = answer.count;
    EXPECT(span_to_text(answer.group, call->group, sizeof call->group));
}

static void call_frame(
    struct net_call *net_call, const struct frame *frame, struct span meta, struct span data)
{
    struct town_call *call = net_call->context;
    if (call->frame_count++ == 0)
        call->type = frame->type;
    if (frame->type == MSG_ANSWER)
        take_answer(call, meta);
    if (call->size + data.size <= TOWN_DATA_MAX && data.size > 0) {
        memcpy(call->data + call->size, data.data, data.size);
        call->size += data.size;
    }
}

static void call_end(struct net_call *net_call, err_t err)
{
    struct town_call *call = net_call->context;
    call->is_over = true;
    call->err = err;
}

struct writer town_call_begin(struct town *town, unsigned index)
{
    struct town_call *call = &town->calls[index];
    uint8_t *data = call->data ? call->data : malloc(TOWN_DATA_MAX + 1);
    *call = (struct town_call){.data = data};
    call->call.on_frame = call_frame;
    call->call.on_end = call_end;
    call->call.context = call;
    return net_call_begin(&call->call);
}

void town_call_start(struct town *town, unsigned index, uint8_t type, const struct writer *fields)
{
    EXPECT_OK(net_call_start(&town->client, &town->calls[index].call, type, 0, fields, NULL, 0));
}

err_t town_call_wait(struct town *town, unsigned index)
{
    struct town_call *call = &town->calls[index];
    TURN_UNTIL(town, call->is_over);
    call->data[call->size] = '\0';
    return call->err;
}

static const char *machines_of(const struct town_call *call)
{
    static char digits[REGISTRY_ANSWER_MAX + 1];
    struct reader r = {.data = call->data, .size = call->size};
    for (uint32_t i = 0; i < call->answer_count; i++) {
        digits[i] = (char)('0' + read_u32(&r));
        EXPECT(read_text(&r).size > 0);
    }
    EXPECT(!r.failed && r.at == r.size);
    digits[call->answer_count] = '\0';
    return digits;
}

const char *town_ask(
    struct town *town, enum query_purpose purpose, const char *name, uint32_t origin)
{
    struct span span = span_of_text(name), none = {NULL, 0};
    bool is_upload = purpose == QUERY_UPLOAD;
    struct writer fields = town_call_begin(town, 0);
    msg_query_encode(&(struct msg_query){.purpose = (uint8_t)purpose,
                         .pool = is_upload ? span : none,
                         .group = is_upload ? none : span,
                         .origin = origin},
        &fields);
    town_call_start(town, 0, MSG_QUERY, &fields);
    err_t err = town_call_wait(town, 0);
    if (err_is(err))
        return err_name(err.code);
    EXPECT_EQ(town->calls[0].type, MSG_ANSWER);
    return machines_of(&town->calls[0]);
}

/* ---- looking in ---- */

const struct registry_storage *town_known(const struct town *town, unsigned index, uint32_t machine)
{
    const struct registry_tables *tables = &town->trackers[index].tables;
    for (uint32_t i = 0; i < tables->storages_max; i++)
        if (tables->storages[i].machine == machine)
            return &tables->storages[i];
    return NULL;
}

bool town_is_running(const struct town *town, unsigned index, uint32_t machine)
{
    const struct registry_storage *storage = town_known(town, index, machine);
    return storage && registry_is_running(storage);
}
