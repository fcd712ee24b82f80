#include "bin/tracker_role.h"

#include "base/units.h"
#include "io/process.h"

static const char *const balances[] = {"loop", "maxdisk", "turn", "load", NULL};
static const enum balance_policy balance_policies[] = {
    BALANCE_LOOP, BALANCE_MAXDISK, BALANCE_TURN, BALANCE_LOAD};

static const struct config_key keys[] = {
    {.name = "listen",
        CONFIG_AT_ADDRESS(struct tracker_settings, listen),
        .default_text = "127.0.0.1:7700",
        .help = "where storages and clients connect; port 0: any free port"},
    {.name = "fastdfs_listen",
        CONFIG_AT_TEXT(struct tracker_settings, fastdfs_listen),
        .default_text = "",
        .help = "where clients of FastDFS connect, 127.0.0.1:22122; none: no FastDFS"},
    {.name = "http_listen",
        CONFIG_AT_TEXT(struct tracker_settings, http_listen),
        .default_text = "",
        .help = "where HTTP finds its way to storages, 127.0.0.1:7780; none: no HTTP"},
    {.name = "fastdfs_wide",
        CONFIG_AT_BOOL(struct tracker_settings, fastdfs_wide),
        .default_text = "no",
        .help = "addresses in answers have the size for IPv6, always: some clients want it"},
    {.name = "max_storages",
        CONFIG_AT_INTEGER(struct tracker_settings, max_storages),
        .default_text = "256",
        .min = 1,
        .max = 4096,
        .help = "storages in the cluster"},
    {.name = "max_groups",
        CONFIG_AT_INTEGER(struct tracker_settings, max_groups),
        .default_text = "64",
        .min = 1,
        .max = 4096,
        .help = "groups in the cluster"},
    {.name = "max_pools",
        CONFIG_AT_INTEGER(struct tracker_settings, max_pools),
        .default_text = "64",
        .min = 1,
        .max = 4096,
        .help = "pools in the cluster"},
    {.name = "max_connections",
        CONFIG_AT_INTEGER(struct tracker_settings, max_connections),
        .default_text = "1024",
        .min = 2,
        .max = 1000000,
        .help = "clients and storages together; more are answered busy"},
    {.name = "heartbeat",
        CONFIG_AT_DURATION(struct tracker_settings, heartbeat_ns),
        .default_text = "1s",
        .min = 100 * NS_PER_MS,
        .max = NS_PER_MINUTE,
        .help = "how often storages should tell of themselves"},
    {.name = "dead",
        CONFIG_AT_DURATION(struct tracker_settings, dead_ns),
        .default_text = "5s",
        .min = 200 * NS_PER_MS,
        .max = NS_PER_HOUR,
        .help = "a storage that is silent for so long is dead"},
    {.name = "claim",
        CONFIG_AT_DURATION(struct tracker_settings, claim_ns),
        .default_text = "60s",
        .min = 10 * NS_PER_MS,
        .max = NS_PER_DAY,
        .help = "the machine number of a dead storage is kept for it for so long"},
    {.name = "balance",
        CONFIG_AT_ENUM(struct tracker_settings, balance),
        .default_text = "loop",
        .choices = balances,
        .help = "how uploads are spread over the groups of a pool"},
    {.name = "drain_timeout",
        CONFIG_AT_DURATION(struct tracker_settings, drain_ns),
        .default_text = "10s",
        .max = NS_PER_HOUR,
        .help = "for requests to end when the tracker stops; then they are cut"},
    {.name = "client_secret_file",
        CONFIG_AT_TEXT(struct tracker_settings, client_secret_file),
        .default_text = "",
        .help = "secret that clients must prove: 16 to 64 characters"},
    {.name = "node_secret_file",
        CONFIG_AT_TEXT(struct tracker_settings, node_secret_file),
        .default_text = "",
        .help = "secret that storages must prove: 16 to 64 characters"},
};
const struct config_table tracker_settings_table = {
    .section = "tracker", .keys = keys, .count = ARRAY_LEN(keys)};

void tracker_settings_take(
    struct server *server, const struct tracker_settings *settings, struct tracker_config *ret)
{
    tracker_config_default(ret);
    if (err_is(io_address_parse(settings->listen, &ret->address)))
        config_problem(&server->config,
            "listen = %s: not an address; write 127.0.0.1:7700 or [::1]:7700", settings->listen);
    if (settings->fastdfs_listen[0] != '\0'
        && err_is(io_address_parse(settings->fastdfs_listen, &ret->fastdfs_address)))
        config_problem(&server->config, "fastdfs_listen = %s: not an address; write 10.0.0.5:22122",
            settings->fastdfs_listen);
    if (settings->http_listen[0] != '\0'
        && err_is(io_address_parse(settings->http_listen, &ret->http_address)))
        config_problem(&server->config, "http_listen = %s: not an address; write 10.0.0.5:7780",
            settings->http_listen);
    server_listen_openly(server, "fastdfs_listen", &ret->fastdfs_address);
    server_listen_openly(server, "http_listen", &ret->http_address);
    ret->fastdfs_wide = settings->fastdfs_wide;
    server_load_secrets(server, settings->client_secret_file, settings->node_secret_file);
    server_listen(server, "listen", &ret->address);
    ret->secrets = &server->secrets;
    ret->storages_max = (uint32_t)settings->max_storages;
    ret->groups_max = (uint32_t)settings->max_groups;
    ret->pools_max = (uint32_t)settings->max_pools;
    ret->connection_max = (uint32_t)settings->max_connections;
    ret->interval_ns = settings->heartbeat_ns;
    ret->registry.dead_ns = settings->dead_ns;
    ret->registry.claim_ns = settings->claim_ns;
    ret->registry.policy = balance_policies[settings->balance];
    if (settings->dead_ns < 2 * settings->heartbeat_ns)
        config_problem(&server->config,
            "dead: less than two heartbeats would call living storages dead: raise dead or lower "
            "heartbeat");
    tracker_role_sum(server, ret);
}

uint64_t tracker_role_descriptors(const struct tracker_config *config)
{
    uint64_t fastdfs =
        config->fastdfs_address.family != 0 ? (uint64_t)config->fastdfs_connection_max + 2 : 0;
    uint64_t http =
        config->http_address.family != 0 ? (uint64_t)config->http_connection_max + 2 : 0;
    return (uint64_t)config->connection_max + 2 + fastdfs + http;
}

void tracker_role_sum(struct server *server, const struct tracker_config *config)
{
    server_sum_add(server, "tracker: connections", config->connection_max);
    server_sum_add(server, "tracker: listener and one refused connection", 2);
    if (config->fastdfs_address.family != 0)
        server_sum_add(server, "tracker: FastDFS connections and listener",
            config->fastdfs_connection_max + 2);
    if (config->http_address.family != 0)
        server_sum_add(
            server, "tracker: HTTP connections and listener", config->http_connection_max + 2);
    server_sum_add(server, "tracker: ring and wake-up of its loop", 2);
}

static void no_wake(struct io_op *op)
{
    (void)op;
}

static void patience_over(struct io_op *op)
{
    struct tracker_role *role = op->context;
    if (op->result >= 0)
        tracker_cut(&role->tracker);
}

void tracker_role_drain(struct tracker_role *role, uint64_t drain_ns)
{
    if (role->is_draining) {
        tracker_cut(&role->tracker);
        return;
    }
    role->is_draining = true;
    EVENT(&role->log, INFO, "draining", &role->owner, EVENT_DURATION("at_most", drain_ns));
    tracker_drain(&role->tracker);
    role->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = &role->owner,
        .wake = patience_over,
        .context = role,
        .deadline_ns = io_now(role->io) + drain_ns};
    io_submit(role->io, &role->timer);
}

err_t tracker_role_open(struct tracker_role *role, const struct server *server, struct io *io,
    const struct tracker_config *config, bool is_alone)
{
    struct tracker_config with_log = *config;
    *role = (struct tracker_role){.io = io, .timer = {.wake = no_wake}};
    mem_init(&role->mem, &io->ledger);
    owner_open(&role->owner, "tracker", DIRECTION_OWN, io_now(io));
    server_log_init(server, &role->log, io);
    with_log.log = &role->log;
    with_log.process = process_id();
    with_log.descriptor_limit = limit_get(LIMIT_FILES).soft;
    with_log.has_kernel = is_alone;
    TRY(tracker_open(&role->tracker, io, &role->mem, &with_log));
    mem_set_phase(&role->mem, MEM_RUN);
    return ERR_OK;
}

bool tracker_role_is_over(const struct tracker_role *role)
{
    return role->is_draining && tracker_is_idle(&role->tracker);
}

void tracker_role_close(struct tracker_role *role)
{
    io_cancel(role->io, &role->timer);
    while (io_op_is_out(&role->timer))
        io_turn(role->io, true);
    tracker_close(&role->tracker);
    EVENT(&role->log, INFO, "tracker_left", &role->owner,
        EVENT_NUMBER("queries", role->tracker.counters.queries));
    owner_close(&role->owner);
}
