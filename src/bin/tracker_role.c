#include "bin/tracker_role.h"

#include "base/units.h"

static const char *const balances[] = {"loop", "maxdisk", "turn", "load", NULL};
static const enum balance_policy balance_policies[] = {
    BALANCE_LOOP, BALANCE_MAXDISK, BALANCE_TURN, BALANCE_LOAD};

static const struct config_key keys[] = {
    {.name = "listen",
        CONFIG_AT_ADDRESS(struct tracker_settings, listen),
        .default_text = "127.0.0.1:7700",
        .help = "where storages and clients connect; port 0: any free port"},
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
    {.name = "balance",
        CONFIG_AT_ENUM(struct tracker_settings, balance),
        .default_text = "loop",
        .choices = balances,
        .help = "how uploads are spread over the groups of a pool"},
};
const struct config_table tracker_settings_table = {
    .section = "tracker", .keys = keys, .count = ARRAY_LEN(keys)};

void tracker_settings_take(
    struct server *server, const struct tracker_settings *settings, struct tracker_config *ret)
{
    tracker_config_default(ret);
    ret->address = server_listen(server, "listen", settings->listen);
    ret->secrets = &server->secrets;
    ret->storages_max = (uint32_t)settings->max_storages;
    ret->groups_max = (uint32_t)settings->max_groups;
    ret->pools_max = (uint32_t)settings->max_pools;
    ret->connection_max = (uint32_t)settings->max_connections;
    ret->interval_ns = settings->heartbeat_ns;
    ret->registry.dead_ns = settings->dead_ns;
    ret->registry.policy = balance_policies[settings->balance];
    if (settings->dead_ns < 2 * settings->heartbeat_ns)
        config_problem(&server->config,
            "dead: less than two heartbeats would call living storages dead: raise dead or lower "
            "heartbeat");
    server_sum_add(server, "tracker: connections (max_connections)", settings->max_connections);
    server_sum_add(server, "tracker: listener and one refused connection", 2);
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

static void on_signal(struct signal_watch *watch, enum signal_wish wish)
{
    struct tracker_role *role = watch->context;
    if (wish != SIGNAL_WISH_END)
        return;
    if (role->is_draining) { /* asked twice: at once */
        tracker_cut(&role->tracker);
        return;
    }
    role->is_draining = true;
    EVENT(&role->log, INFO, "draining", NULL,
        EVENT_DURATION("at_most", role->server->settings.drain_ns));
    tracker_drain(&role->tracker);
    role->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = &role->owner,
        .wake = patience_over,
        .context = role,
        .deadline_ns = io_now(role->io) + role->server->settings.drain_ns};
    io_submit(role->io, &role->timer);
}

err_t tracker_role_open(struct tracker_role *role, struct server *server, struct io *io,
    const struct tracker_config *config)
{
    struct tracker_config with_log = *config;
    *role = (struct tracker_role){.server = server, .io = io, .timer = {.wake = no_wake}};
    mem_init(&role->mem, &io->ledger);
    owner_open(&role->owner, "tracker", DIRECTION_OWN, io_now(io));
    server_log_init(server, &role->log, io);
    with_log.log = &role->log;
    TRY(tracker_open(&role->tracker, io, &role->mem, &with_log));
    err_t err = signal_watch(io, &role->signals, on_signal, role);
    if (!err_is(err))
        return ERR_OK;
    tracker_cut(&role->tracker);
    while (!tracker_is_idle(&role->tracker))
        io_turn(io, true);
    tracker_close(&role->tracker);
    return err;
}

bool tracker_role_is_over(const struct tracker_role *role)
{
    return role->is_draining && tracker_is_idle(&role->tracker);
}

void tracker_role_close(struct tracker_role *role)
{
    io_cancel(role->io, &role->timer);
    signal_unwatch(&role->signals);
    while (io_op_is_out(&role->timer) || !signal_watch_is_idle(&role->signals))
        io_turn(role->io, true);
    tracker_close(&role->tracker);
    EVENT(&role->log, INFO, "left", NULL, EVENT_NUMBER("queries", role->tracker.counters.queries));
    owner_close(&role->owner);
}
