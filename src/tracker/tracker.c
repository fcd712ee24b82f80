#include "tracker/tracker.h"

#include "base/units.h"
#include "tracker/internal.h"

static const struct handshake_secrets no_secrets;

void tracker_config_default(struct tracker_config *ret)
{
    *ret = (struct tracker_config){.address = {.bytes = {127, 0, 0, 1}, .family = 4},
        .secrets = &no_secrets,
        .storages_max = 256,
        .groups_max = 64,
        .pools_max = 64,
        .connection_max = 1024,
        .fastdfs_connection_max = 256,
        .http_connection_max = 256,
        .interval_ns = NS_PER_S,
        .idle_ns = NS_PER_MINUTE,
        .tick_ns = 100 * NS_PER_MS,
        .registry = {.dead_ns = 5 * NS_PER_S,
            .claim_ns = 60 * NS_PER_S,
            .forget_ns = NS_PER_DAY,
            .lag_max_ns = 10 * NS_PER_S,
            .policy = BALANCE_LOOP}};
}

void tracker_log_change(struct tracker *tracker, const struct registry_effects *effects)
{
    struct event_log *log = tracker->config.log;
    if (!log || effects->change == REGISTRY_UNCHANGED)
        return;
    bool is_bad = effects->change == REGISTRY_DIED;
    event_write(log, is_bad ? EVENT_WARN : EVENT_INFO, "storage_changed", &tracker->owner,
        (const struct event_field[]){EVENT_MACHINE("storage", effects->machine),
            EVENT_TEXT("change", registry_change_name(effects->change)),
            EVENT_TEXT("state_before", storage_state_name(effects->state_before))},
        3, SITE());
}

/* LOST and TICK may change several storages: one at a time. */
static void step_all(struct tracker *tracker, const struct registry_event *event)
{
    struct registry_effects effects;
    do {
        registry_step(&tracker->registry, event, &effects);
        tracker_log_change(tracker, &effects);
    } while (effects.is_more);
}

static void on_gone(struct net_server *server, uint64_t connection)
{
    step_all(server->config.role, &(struct registry_event){.kind = REGISTRY_LOST,
                                      .now_ns = io_now(server->acceptor.loop->io),
                                      .connection = connection});
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    step_all(CONTAINER_OF(tick, struct tracker, tick),
        &(struct registry_event){.kind = REGISTRY_TICK, .now_ns = now_ns});
}

/* ---- life ---- */

static err_t take_tables(struct tracker *tracker)
{
    const struct tracker_config *config = &tracker->config;
    struct registry_tables *tables = &tracker->tables;
    uint32_t storages = config->storages_max, groups = config->groups_max;
    uint32_t candidates = storages > groups ? storages : groups;
    void *memory;
    CHECK(storages > 0 && groups > 0 && config->pools_max > 0);
    TRY(mem_take(tracker->mem, &tracker->owner, storages * sizeof *tables->storages, 0, &memory));
    tables->storages = memory;
    TRY(mem_take(tracker->mem, &tracker->owner, groups * sizeof *tables->groups, 0, &memory));
    tables->groups = memory;
    TRY(mem_take(
        tracker->mem, &tracker->owner, config->pools_max * sizeof *tables->pools, 0, &memory));
    tables->pools = memory;
    TRY(mem_take(
        tracker->mem, &tracker->owner, candidates * sizeof *tables->candidates, 0, &memory));
    tables->candidates = memory;
    tables->storages_max = storages;
    tables->groups_max = groups;
    tables->pools_max = config->pools_max;
    return ERR_OK;
}

/* One request per connection is the rule; a few may pipeline, and then others may have to wait. */
static struct net_server_config server_config(struct tracker *tracker)
{
    const struct tracker_config *config = &tracker->config;
    return (struct net_server_config){.address = config->address,
        .listen_count = 1,
        .connection_max = config->connection_max,
        .request_max = config->connection_max,
        .pipeline_max = 4,
        .idle_timeout_ns = config->idle_ns,
        .send_timeout_ns = 10 * NS_PER_S,
        .handshake_timeout_ns = 5 * NS_PER_S,
        .policy = {.secrets = config->secrets, .server_role = SERVER_TRACKER},
        .on_request = tracker_on_request,
        .on_gone = on_gone,
        .role = tracker};
}

static err_t open_sight(struct tracker *tracker)
{
    const struct tracker_config *config = &tracker->config;
    return sight_open(&tracker->sight, &(struct sight_options){.loops = {tracker->io},
                                           .loop_count = 1,
                                           .mem = tracker->mem,
                                           .log = config->log,
                                           .descriptor_limit = config->descriptor_limit,
                                           .process = config->process,
                                           .has_kernel = config->has_kernel});
}

static err_t take_recorder(struct tracker *tracker)
{
    void *recorder;
    if (!tracker->config.has_kernel)
        return ERR_OK;
    TRY(mem_take(tracker->mem, &tracker->owner, sizeof(struct recorder), 0, &recorder));
    tracker->recorder = tracker->io->run.recorder = recorder;
    return ERR_OK;
}

static err_t take_pools(struct tracker *tracker)
{
    struct ledger *ledger = &tracker->io->ledger;
    size_t page_size = sizeof(struct tracker_page) + tracker_page_size(&tracker->tables);
    TRY(pool_init(&tracker->answers, tracker->mem, ledger, "tracker.answers",
        sizeof(struct tracker_answer), tracker->config.connection_max, 0, &tracker->owner));
    tracker->has_answers = true;
    TRY(pool_init(&tracker->pages, tracker->mem, ledger, "tracker.pages", page_size, TRACKER_PAGES,
        0, &tracker->owner));
    tracker->has_pages = true;
    return ERR_OK;
}

/* Small frames only: no request of a tracker has a body. */
static struct net_loop_config loop_config(const struct tracker_config *config)
{
    return (struct net_loop_config){
        .small_count = config->connection_max
                       + (config->fastdfs_address.family ? config->fastdfs_connection_max : 0)
                       + (config->http_address.family ? config->http_connection_max : 0),
        .large_count = 1,
        .tick_ns = config->tick_ns};
}

static void give_back(struct tracker *tracker)
{
    if (tracker->has_server)
        net_server_fini(&tracker->server);
    sight_close(&tracker->sight);
    if (tracker->recorder)
        tracker->io->run.recorder = NULL;
    mem_give(tracker->mem, tracker->recorder);
    tracker_fdfs_give_back(tracker);
    if (tracker->has_http)
        http_server_fini(&tracker->http);
    if (tracker->has_loop)
        net_loop_fini(&tracker->loop);
    if (tracker->has_pages)
        pool_fini(&tracker->pages);
    if (tracker->has_answers)
        pool_fini(&tracker->answers);
    mem_give(tracker->mem, tracker->tables.candidates);
    mem_give(tracker->mem, tracker->tables.pools);
    mem_give(tracker->mem, tracker->tables.groups);
    mem_give(tracker->mem, tracker->tables.storages);
    owner_close(&tracker->owner);
}

static err_t start(struct tracker *tracker)
{
    struct net_loop_config net_config = loop_config(&tracker->config);
    struct net_server_config listen_config = server_config(tracker);
    TRY(take_tables(tracker));
    TRY(registry_init(&tracker->registry, &tracker->config.registry, &tracker->tables));
    TRY(take_pools(tracker));
    TRY(open_sight(tracker));
    TRY(take_recorder(tracker));
    TRY(net_loop_init(&tracker->loop, tracker->io, tracker->mem, &net_config));
    tracker->has_loop = true;
    TRY(net_server_start(&tracker->server, &tracker->loop, &listen_config));
    tracker->has_server = true;
    TRY(tracker_fdfs_start(tracker));
    TRY(tracker_http_start(tracker));
    tracker->tick.tick = on_tick;
    net_ticker_join(&tracker->loop.ticker, &tracker->tick);
    if (tracker->config.has_kernel)
        sight_watch(&tracker->sight);
    return ERR_OK;
}

err_t tracker_open(
    struct tracker *tracker, struct io *io, struct mem *mem, const struct tracker_config *config)
{
    *tracker =
        (struct tracker){.io = io, .mem = mem, .config = *config, .started_wall_ns = io_wall(io)};
    owner_open(&tracker->owner, "tracker", DIRECTION_OWN, io_now(io));
    err_t err = start(tracker);
    if (err_is(err))
        give_back(tracker);
    return err;
}

const struct io_address *tracker_address(const struct tracker *tracker)
{
    return &tracker->server.address;
}

const struct io_address *tracker_fastdfs_address(const struct tracker *tracker)
{
    return &tracker->fdfs.exchange.acceptor.listener.address;
}

const struct io_address *tracker_http_address(const struct tracker *tracker)
{
    return &tracker->http.exchange.acceptor.listener.address;
}

void tracker_drain(struct tracker *tracker)
{
    if (tracker->has_fdfs)
        fdfs_server_drain(&tracker->fdfs);
    if (tracker->has_http)
        http_server_drain(&tracker->http);
    net_ticker_leave(&tracker->loop.ticker, &tracker->tick);
    sight_stop(&tracker->sight);
    net_server_drain(&tracker->server);
}

void tracker_cut(struct tracker *tracker)
{
    if (tracker->has_fdfs)
        fdfs_server_cut(&tracker->fdfs);
    if (tracker->has_http)
        http_server_cut(&tracker->http);
    net_ticker_leave(&tracker->loop.ticker, &tracker->tick);
    sight_stop(&tracker->sight);
    net_server_cut(&tracker->server);
}

bool tracker_is_idle(const struct tracker *tracker)
{
    return net_server_is_idle(&tracker->server)
           && (!tracker->has_fdfs || fdfs_server_is_idle(&tracker->fdfs))
           && (!tracker->has_http || http_server_is_idle(&tracker->http))
           && sight_is_idle(&tracker->sight) && net_loop_is_idle(&tracker->loop);
}

void tracker_close(struct tracker *tracker)
{
    CHECK(tracker_is_idle(tracker));
    give_back(tracker);
}
