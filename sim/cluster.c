#include "sim/cluster.h"

#include "base/text.h"
#include "base/units.h"
#include "sim/mem.h"

enum { TRACKER_PORT = 22122, STORAGE_PORT = 23000, DESCRIPTOR_LIMIT = 4000 };

const char *cluster_mount_path(unsigned mount)
{
    static const char *const paths[CLUSTER_MOUNTS_MAX] = {"/m0", "/m1", "/m2"};
    CHECK(mount < CLUSTER_MOUNTS_MAX);
    return paths[mount];
}

/* ---- trackers ---- */

void cluster_boot_tracker(struct cluster *cluster, unsigned index)
{
    struct cluster_tracker *tracker = &cluster->trackers[index];
    if (tracker->io)
        return;
    struct tracker_config config;
    tracker_config_default(&config);
    config.address = sim_node_address(tracker->node, TRACKER_PORT);
    config.secrets = &cluster->secrets;
    config.connection_max = 64;
    config.storages_max = 16;
    config.groups_max = config.pools_max = 8;
    tracker->io = sim_loop_new(cluster->world, tracker->node, 0);
    mem_init(&tracker->mem, &tracker->io->ledger);
    err_t err = tracker_open(&tracker->tracker, tracker->io, &tracker->mem, &config);
    CHECK(!err_is(err));
}

void cluster_kill_tracker(struct cluster *cluster, unsigned index)
{
    struct cluster_tracker *tracker = &cluster->trackers[index];
    if (!tracker->io)
        return;
    sim_node_kill(tracker->node);
    sim_mem_bury(&tracker->mem);
    tracker->io = NULL;
}

/* ---- storages ---- */

static void set_flag(struct config *config, const char *name, const char *value)
{
    char text[128];
    char *argv[] = {text};
    int at = 0;
    (void)snprintf(text, sizeof text, "--%s=%s", name, value);
    err_t err = config_flag(config, 1, argv, &at);
    CHECK(!err_is(err));
}

static void set_number(struct config *config, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    set_flag(config, name, text);
}

static void configure_pools(struct config *config, const struct cluster_shape *shape)
{
    set_number(config, "connection-max", 24);
    set_number(config, "request-max", shape->request_max);
    set_number(config, "chunk-files", 48);
    set_number(config, "small-buffers", 8);
    set_number(config, "work-buffers", 6);
    set_number(config, "modify-buffers", 4);
    set_number(config, "receive-buffers", 12);
    set_number(config, "receive-large-buffers", 6);
    set_number(config, "free-slots", shape->free_slots);
}

static void configure_sizes(struct config *config, const struct cluster_shape *shape)
{
    static const char *const policies[] = {"loop", "maxdisk", "turn"};
    set_number(config, "loops", shape->loops);
    set_number(config, "streams", shape->streams);
    set_flag(config, "balance", policies[shape->balance]);
    set_number(config, "chunk-size", shape->chunk_size);
    set_number(config, "log-segment-size", shape->log_segment_size);
    set_number(config, "log-segments", shape->log_segments);
    set_number(config, "log-buffer-size", shape->log_buffer_size);
    set_number(config, "inline-max", shape->inline_max);
    set_number(config, "single-min", shape->single_min);
    set_number(config, "piece-size", shape->piece_size);
    set_number(config, "checkpoint-bytes", shape->checkpoint_bytes);
    set_flag(config, "reserve", "0");
    set_flag(config, "drain-timeout", "5s");
    set_flag(config, "send-timeout", "10s");
    set_flag(config, "replace-lost", "1");   /* an operator who knows */
    set_flag(config, "idle-timeout", "30s"); /* who lost its power says nothing */
}

static void configure(struct cluster *cluster, struct cluster_storage *storage)
{
    const struct cluster_shape *shape = &cluster->options.shapes[storage->machine - 1];
    struct config *config = storage->config = SIM_NEW(struct config);
    char text[IO_ADDRESS_TEXT_MAX];
    config_init(config);
    config_add(config, &storage_config_table, &storage->storage_config);
    set_number(config, "machine", storage->machine);
    set_flag(config, "group", "g1");
    for (unsigned i = 0; i < shape->mounts; i++)
        set_flag(config, "mount", cluster_mount_path(i));
    struct io_address address = sim_node_address(storage->node, STORAGE_PORT);
    set_flag(config, "listen", io_address_format(&address, text));
    for (unsigned i = 0; i < cluster->options.trackers; i++) {
        address = sim_node_address(cluster->trackers[i].node, TRACKER_PORT);
        set_flag(config, "tracker", io_address_format(&address, text));
    }
    configure_sizes(config, shape);
    configure_pools(config, shape);
    storage_config_check(&storage->storage_config, config);
    err_t err = config_finish(config);
    if (err_is(err))
        sim_world_note(cluster->world, "configuration: %s", config_problems(config));
    CHECK(!err_is(err));
}

static void write_log(void *context, enum event_level level, struct span line)
{
    struct cluster_storage *storage = context;
    (void)level;
    sim_world_note(storage->cluster->world, "%s | %.*s", sim_node_name(storage->node),
        (int)line.size, (const char *)line.data);
}

static void on_running(struct storage *it, void *context)
{
    struct cluster_storage *storage = context;
    (void)it;
    storage->has_run = true;
}

static void boot_process(struct cluster_storage *storage)
{
    struct cluster *cluster = storage->cluster;
    unsigned loops = storage->storage->loop_count;
    for (uint16_t i = 0; i < loops; i++) {
        storage->loops[i] = sim_loop_new(cluster->world, storage->node, i);
        storage->is_over[i] = false;
    }
    for (uint16_t i = 0; i < loops; i++)
        storage_loop_enter(storage->storage, i, storage->loops[i], storage->loops[0]);
}

void cluster_boot_storage(struct cluster *cluster, unsigned index)
{
    struct cluster_storage *storage = &cluster->storages[index];
    if (storage->is_up)
        return;
    struct storage_options options = {.config = &storage->storage_config,
        .secrets = &cluster->secrets,
        .processors = CLUSTER_LOOPS_MAX,
        .reserved_descriptors = 4,
        .descriptor_limit = DESCRIPTOR_LIMIT,
        .write_log = write_log,
        .log_level = EVENT_INFO,
        .on_running = on_running,
        .context = storage};
    sim_world_note(cluster->world, "%s boots", sim_node_name(storage->node));
    err_t err = storage_open(storage->storage, &options);
    CHECK(!err_is(err) && storage->storage->loop_count <= CLUSTER_LOOPS_MAX);
    storage->has_run = storage->is_stopping = false;
    storage->is_up = true;
    storage->boots++;
    boot_process(storage);
}

static void went_down(struct cluster_storage *storage, bool has_crashed)
{
    struct cluster *cluster = storage->cluster;
    storage->is_up = false;
    memset(storage->loops, 0, sizeof storage->loops);
    if (cluster->on_down)
        cluster->on_down(cluster->context, storage->machine - 1, has_crashed);
}

/* The memory of a dead process is ours to free. */
static void bury(struct cluster_storage *storage)
{
    for (unsigned i = 0; i < storage->storage->loop_count; i++)
        sim_mem_bury(&storage->storage->loops[i].mem);
    went_down(storage, true);
}

static void end_process(struct cluster_storage *storage)
{
    storage->result = storage_result(storage->storage);
    (void)snprintf(storage->why, sizeof storage->why, "%s", storage->storage->why);
    for (unsigned i = 0; i < storage->storage->loop_count; i++)
        sim_loop_free(storage->loops[i]);
    went_down(storage, false);
}

static void step_storage(struct cluster_storage *storage)
{
    if (!storage->is_up)
        return;
    if (sim_node_is_down(storage->node)) {
        bury(storage);
        return;
    }
    bool is_over = true;
    for (uint16_t i = 0; i < storage->storage->loop_count; i++) {
        if (!storage->is_over[i])
            storage->is_over[i] = !storage_loop_step(storage->storage, i);
        is_over = is_over && storage->is_over[i];
    }
    if (sim_node_is_down(storage->node)) /* in the middle of a call */
        bury(storage);
    else if (is_over)
        end_process(storage);
}

void cluster_kill_storage(struct cluster *cluster, unsigned index, bool loses_power)
{
    struct cluster_storage *storage = &cluster->storages[index];
    if (!storage->is_up)
        return;
    if (loses_power)
        sim_node_power_loss(storage->node);
    else
        sim_node_kill(storage->node);
    bury(storage);
}

void cluster_stop_storage(struct cluster *cluster, unsigned index)
{
    struct cluster_storage *storage = &cluster->storages[index];
    if (!storage->is_up)
        return;
    storage->is_stopping = true;
    storage_stop(storage->storage);
}

bool cluster_is_running(const struct cluster *cluster, unsigned index)
{
    const struct cluster_storage *storage = &cluster->storages[index];
    return storage->is_up && storage->has_run && storage->storage->state == STATE_RUNNING;
}

/* ---- clients ---- */

void cluster_open_client(struct cluster *cluster, unsigned index)
{
    struct cluster_client *client = &cluster->clients[index];
    struct client_config config = {.secret = cluster->secrets.client,
        .timeout_ns = cluster->options.timeout_ns,
        .retries = cluster->options.retries,
        .connections_max = 2,
        .operations_max = CLUSTER_OPERATIONS_MAX};
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        config.trackers[config.tracker_count++] =
            sim_node_address(cluster->trackers[i].node, TRACKER_PORT);
    client->io = sim_loop_new(cluster->world, client->node, 0);
    mem_init(&client->mem, &client->io->ledger);
    err_t err = client_init(&client->client, client->io, &client->mem, &config);
    CHECK(!err_is(err));
    client->is_open = true;
}

/* ---- life of the cluster ---- */

static void make_secrets(struct cluster *cluster)
{
    if (!cluster->options.has_secrets)
        return;
    memset(cluster->secrets.client.bytes, 'c', 32);
    memset(cluster->secrets.node.bytes, 'n', 32);
    cluster->secrets.client.size = cluster->secrets.node.size = 32;
}

static struct sim_node *make_node(struct cluster *cluster, char letter, unsigned number)
{
    char name[8];
    (void)snprintf(name, sizeof name, "%c%u", letter, number);
    return sim_node_new(cluster->world, name, NULL);
}

static void make_storage(struct cluster *cluster, unsigned index)
{
    struct cluster_storage *storage = &cluster->storages[index];
    const struct cluster_shape *shape = &cluster->options.shapes[index];
    storage->cluster = cluster;
    storage->machine = index + 1;
    storage->node = make_node(cluster, 's', storage->machine);
    for (unsigned i = 0; i < shape->mounts; i++)
        sim_mount_new(storage->node, cluster_mount_path(i), &shape->disk);
    storage->storage = SIM_NEW(struct storage);
}

void cluster_open(struct cluster *cluster, uint64_t seed, const struct cluster_options *options,
    FILE *trace, bool is_brief)
{
    *cluster = (struct cluster){.world = sim_world_new(seed), .options = *options};
    if (is_brief)
        sim_world_trace_brief(cluster->world, trace);
    else
        sim_world_trace_to(cluster->world, trace);
    make_secrets(cluster);
    for (unsigned i = 0; i < options->trackers; i++)
        cluster->trackers[i].node = make_node(cluster, 't', i + 1);
    for (unsigned i = 0; i < options->storages; i++)
        make_storage(cluster, i);
    for (unsigned i = 0; i < options->clients; i++)
        cluster->clients[i].node = make_node(cluster, 'c', i + 1);
    for (unsigned i = 0; i < options->storages; i++)
        configure(cluster, &cluster->storages[i]);
}

void cluster_boot_all(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        cluster_boot_tracker(cluster, i);
    for (unsigned i = 0; i < cluster->options.storages; i++)
        cluster_boot_storage(cluster, i);
    for (unsigned i = 0; i < cluster->options.clients; i++)
        if (!cluster->clients[i].is_open)
            cluster_open_client(cluster, i);
}

void cluster_close(struct cluster *cluster)
{
    cluster->on_down = NULL;
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        cluster_kill_tracker(cluster, i);
    for (unsigned i = 0; i < cluster->options.storages; i++) {
        cluster_kill_storage(cluster, i, false);
        sim_free(cluster->storages[i].storage);
        sim_free(cluster->storages[i].config);
    }
    for (unsigned i = 0; i < cluster->options.clients; i++) {
        struct cluster_client *client = &cluster->clients[i];
        if (!client->is_open)
            continue;
        sim_node_kill(client->node);
        sim_mem_bury(&client->mem);
    }
    sim_world_free(cluster->world);
}

/* ---- turning ---- */

struct wish {
    struct cluster *cluster;
    bool (*is_true)(void *context);
    void *context;
};

static bool step(void *context)
{
    struct wish *wish = context;
    struct cluster *cluster = wish->cluster;
    for (unsigned i = 0; i < cluster->options.storages; i++)
        step_storage(&cluster->storages[i]);
    return wish->is_true(wish->context);
}

bool cluster_run_until(
    struct cluster *cluster, bool (*is_true)(void *context), void *context, uint64_t max_ns)
{
    struct wish wish = {cluster, is_true, context};
    return sim_world_run_until(cluster->world, step, &wish, max_ns);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

void cluster_run_for(struct cluster *cluster, uint64_t ns)
{
    (void)cluster_run_until(cluster, never, NULL, ns);
}

static bool tracker_knows(const struct cluster_tracker *tracker, uint32_t machine)
{
    const struct registry_tables *tables = &tracker->tracker.tables;
    for (uint32_t i = 0; i < tables->storages_max; i++)
        if (tables->storages[i].machine == machine && registry_is_running(&tables->storages[i]))
            return true;
    return false;
}

/* Every loop of it knows all others of the group, and that they are there. */
static bool storage_knows_all(const struct cluster *cluster, unsigned index)
{
    const struct storage *storage = cluster->storages[index].storage;
    for (unsigned i = 0; i < storage->loop_count; i++) {
        const struct members *members = &storage->loops[i].members;
        unsigned alive = 0;
        for (uint32_t k = 0; k < members->count; k++)
            alive += members->all[k].is_alive;
        if (alive + 1 < cluster->options.storages)
            return false;
    }
    return true;
}

bool cluster_is_whole(void *context)
{
    const struct cluster *cluster = context;
    for (unsigned i = 0; i < cluster->options.storages; i++) {
        if (!cluster_is_running(cluster, i) || !storage_knows_all(cluster, i))
            return false;
        for (unsigned t = 0; t < cluster->options.trackers; t++)
            if (!cluster->trackers[t].io
                || !tracker_knows(&cluster->trackers[t], cluster->storages[i].machine))
                return false;
    }
    return true;
}

/* ---- the end in order ---- */

static bool clients_are_closed(void *context)
{
    const struct cluster *cluster = context;
    for (unsigned i = 0; i < cluster->options.clients; i++)
        if (cluster->clients[i].is_open && !client_is_closed(&cluster->clients[i].client))
            return false;
    return true;
}

bool cluster_close_clients(struct cluster *cluster, uint64_t max_ns)
{
    for (unsigned i = 0; i < cluster->options.clients; i++)
        if (cluster->clients[i].is_open)
            client_shutdown(&cluster->clients[i].client);
    if (!cluster_run_until(cluster, clients_are_closed, cluster, max_ns))
        return false;
    for (unsigned i = 0; i < cluster->options.clients; i++) {
        struct cluster_client *client = &cluster->clients[i];
        if (!client->is_open)
            continue;
        client_fini(&client->client);
        sim_loop_free(client->io);
        client->is_open = false;
    }
    return true;
}

static bool storages_are_down(void *context)
{
    const struct cluster *cluster = context;
    for (unsigned i = 0; i < cluster->options.storages; i++)
        if (cluster->storages[i].is_up)
            return false;
    return true;
}

static bool trackers_are_idle(void *context)
{
    const struct cluster *cluster = context;
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        if (cluster->trackers[i].io && !tracker_is_idle(&cluster->trackers[i].tracker))
            return false;
    return true;
}

static bool close_trackers(struct cluster *cluster, uint64_t max_ns)
{
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        if (cluster->trackers[i].io)
            tracker_drain(&cluster->trackers[i].tracker);
    if (!cluster_run_until(cluster, trackers_are_idle, cluster, max_ns))
        return false;
    for (unsigned i = 0; i < cluster->options.trackers; i++) {
        struct cluster_tracker *tracker = &cluster->trackers[i];
        if (!tracker->io)
            continue;
        tracker_close(&tracker->tracker);
        sim_loop_free(tracker->io);
        tracker->io = NULL;
    }
    return true;
}

bool cluster_stop_all(struct cluster *cluster, uint64_t max_ns)
{
    if (!cluster_close_clients(cluster, max_ns))
        return false;
    for (unsigned i = 0; i < cluster->options.storages; i++)
        cluster_stop_storage(cluster, i);
    return cluster_run_until(cluster, storages_are_down, cluster, max_ns)
           && close_trackers(cluster, max_ns);
}

/* ---- what hangs ---- */

static void describe_loop(const struct cluster_storage *storage, unsigned index, struct text *text)
{
    const struct storage_loop *loop = &storage->storage->loops[index];
    text_add(text, " [loop %u phase %d", index, (int)loop->phase);
    LIST_EACH (node, &storage->loops[index]->run.machines) {
        const struct machine *machine = CONTAINER_OF(node, struct machine, link);
        text_add(text, " %s:%s", machine->kind->name, machine_stage_name(machine));
    }
    text_add(text, "]");
}

void cluster_describe(const struct cluster *cluster, char *ret, size_t size)
{
    struct text text;
    text_init(&text, ret, size);
    for (unsigned i = 0; i < cluster->options.storages; i++) {
        const struct cluster_storage *storage = &cluster->storages[i];
        text_add(&text, "%sm%03u %s", i ? "; " : "", storage->machine,
            storage->is_up ? storage_state_name(storage->storage->state) : "down");
        if (storage->is_up)
            for (unsigned k = 0; k < storage->storage->loop_count; k++)
                describe_loop(storage, k, &text);
        else if (err_is(storage->result))
            text_add(&text, " (%s)", storage->why);
    }
}
