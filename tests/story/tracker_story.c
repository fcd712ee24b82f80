/* Two trackers and four storages in the simulator, each on a node of its own: kills, restarts,
 * partitions, resets and pauses drawn from a seed. Whatever happens, a tracker names nobody whom it
 * has not heard for longer than the deadline; and when it is over, both know all within seconds. */
#include "base/units.h"
#include "sim/net.h"
#include "storage/heartbeat.h"
#include "tests/lib/test.h"
#include "tracker/tracker.h"

enum { TRACKERS = 2, STORAGES = 4, NODES = TRACKERS + STORAGES, PORT = 22122 };

struct process { /* of one node; which of the roles is in use follows from its index */
    struct sim_node *node;
    struct io *io; /* NULL: it is down */
    struct mem mem;
    struct net_loop loop;
    struct tracker tracker;
    struct heartbeat heartbeat;
    uint32_t machine;
    char address[32];
};

struct land {
    struct sim_world *world;
    struct process processes[NODES];
};

static bool is_tracker(const struct process *process)
{
    return process->machine == 0;
}

static void fill(void *context, struct msg_heartbeat *ret)
{
    const struct process *process = context;
    *ret = (struct msg_heartbeat){.group = span_of_text(process->machine < 3 ? "g1" : "g2"),
        .pool = span_of_text("images"),
        .address = span_of_text(process->address),
        .state = STATE_RUNNING,
        .total_bytes = 200 * GIB,
        .free_bytes = 100 * GIB};
}

static void boot_tracker(struct process *process)
{
    struct tracker_config config;
    tracker_config_default(&config);
    config.address = sim_node_address(process->node, PORT);
    config.connection_max = 64;
    EXPECT_OK(tracker_open(&process->tracker, process->io, &process->mem, &config));
}

static void boot_storage(struct land *land, struct process *process)
{
    struct heartbeat_config config;
    heartbeat_config_default(&config);
    for (unsigned i = 0; i < TRACKERS; i++)
        config.trackers[config.tracker_count++] = sim_node_address(land->processes[i].node, PORT);
    config.machine = process->machine;
    config.uuid = (struct nonce){{(uint8_t)process->machine}};
    config.fill = fill;
    config.context = process;
    EXPECT_OK(net_loop_init(&process->loop, process->io, &process->mem,
        &(struct net_loop_config){.small_count = 8, .large_count = 1, .tick_ns = 100 * NS_PER_MS}));
    heartbeat_start(&process->heartbeat, &process->loop, &config);
}

static void boot(struct land *land, struct process *process)
{
    if (process->io)
        return;
    process->io = sim_loop_new(land->world, process->node, 0);
    mem_init(&process->mem, &process->io->ledger);
    if (is_tracker(process))
        boot_tracker(process);
    else
        boot_storage(land, process);
}

/* The memory of a dead process is the harness's. */
static void bury(struct process *process)
{
    struct list *blocks = &process->io->ledger.kinds[HELD_MEM];
    while (!list_is_empty(blocks)) {
        struct held *held = CONTAINER_OF(blocks->next, struct held, link);
        mem_give(&process->mem, (void *)(uintptr_t)held->handle);
    }
    process->io = NULL;
}

static void kill_process(struct process *process)
{
    if (!process->io)
        return;
    sim_node_kill(process->node);
    bury(process);
}

static void open_land(struct land *land, uint64_t seed)
{
    memset(land, 0, sizeof *land);
    land->world = sim_world_new(seed);
    for (unsigned i = 0; i < NODES; i++) {
        struct process *process = &land->processes[i];
        char name[8];
        (void)snprintf(name, sizeof name, "n%u", i);
        process->node = sim_node_new(land->world, name, NULL);
        process->machine = i < TRACKERS ? 0 : i - TRACKERS + 1;
        (void)snprintf(process->address, sizeof process->address, "10.0.0.%u:23000", i + 1);
    }
    for (unsigned i = 0; i < NODES; i++)
        boot(land, &land->processes[i]);
}

static const struct registry_storage *known(const struct process *tracker, uint32_t machine)
{
    for (uint32_t i = 0; i < tracker->tracker.tables.storages_max; i++)
        if (tracker->tracker.tables.storages[i].machine == machine)
            return &tracker->tracker.tables.storages[i];
    return NULL;
}

static bool all_know_all(void *context)
{
    struct land *land = context;
    for (unsigned t = 0; t < TRACKERS; t++) {
        for (uint32_t machine = 1; machine <= STORAGES; machine++) {
            const struct registry_storage *storage = known(&land->processes[t], machine);
            if (!storage || !registry_is_running(storage))
                return false;
        }
    }
    return true;
}

/* Who is named was heard within the deadline, give or take a tick of the tracker. */
static void expect_honest(const struct land *land)
{
    for (unsigned t = 0; t < TRACKERS; t++) {
        const struct process *tracker = &land->processes[t];
        for (unsigned s = TRACKERS; tracker->io && s < NODES; s++) {
            const struct process *storage = &land->processes[s];
            const struct registry_storage *entry = known(tracker, storage->machine);
            if (!entry || !registry_is_running(entry))
                continue;
            EXPECT(io_now(tracker->io) - entry->heard_ns <= 5 * NS_PER_S + 200 * NS_PER_MS);
        }
    }
}

static void random_fault(struct land *land, struct prng *prng)
{
    struct process *tracker = &land->processes[prng_below(prng, TRACKERS)];
    struct process *storage = &land->processes[TRACKERS + prng_below(prng, STORAGES)];
    struct process *any = &land->processes[prng_below(prng, NODES)];
    switch (prng_below(prng, 8)) {
    case 0:
        kill_process(any);
        break;
    case 1:
    case 2:
        boot(land, any);
        break;
    case 3:
        sim_net_partition(storage->node, tracker->node);
        break;
    case 4:
        sim_net_cut(tracker->node, storage->node);
        break;
    case 5:
        sim_net_reset(storage->node, tracker->node);
        break;
    case 6:
        sim_net_heal_all(land->world);
        break;
    default:
        if (storage->io)
            sim_node_pause(storage->node, prng_below(prng, 8 * NS_PER_S));
    }
}

static bool all_are_idle(void *context)
{
    struct land *land = context;
    for (unsigned i = 0; i < NODES; i++) {
        struct process *process = &land->processes[i];
        bool is_idle = is_tracker(process) ? tracker_is_idle(&process->tracker)
                                           : heartbeat_is_idle(&process->heartbeat)
                                                 && net_loop_is_idle(&process->loop);
        if (!is_idle)
            return false;
    }
    return true;
}

static void expect_all_left(const struct land *land)
{
    for (unsigned t = 0; t < TRACKERS; t++)
        for (uint32_t machine = 1; machine <= STORAGES; machine++)
            EXPECT_EQ(known(&land->processes[t], machine)->life, REGISTRY_LEFT);
}

/* Storages leave, then trackers drain; afterwards nobody holds anything. */
static void close_land(struct land *land)
{
    for (unsigned s = TRACKERS; s < NODES; s++)
        heartbeat_leave(&land->processes[s].heartbeat);
    sim_world_run_for(land->world, 5 * NS_PER_S);
    expect_all_left(land);
    for (unsigned t = 0; t < TRACKERS; t++)
        tracker_drain(&land->processes[t].tracker);
    EXPECT(sim_world_run_until(land->world, all_are_idle, land, 120 * NS_PER_S));
    for (unsigned i = 0; i < NODES; i++) {
        struct process *process = &land->processes[i];
        if (is_tracker(process))
            tracker_close(&process->tracker);
        else
            net_loop_fini(&process->loop);
        ledger_check_empty(&process->io->ledger);
        sim_loop_free(process->io);
    }
}

/* One life of the land; returns the hash of everything that happened. */
static uint64_t live_through(uint64_t seed, unsigned faults)
{
    static struct land land;
    struct prng prng;
    prng_init(&prng, seed);
    open_land(&land, seed);
    sim_world_net(land.world)->reset_per_million = 0; /* resets come from random_fault */
    EXPECT(sim_world_run_until(land.world, all_know_all, &land, 10 * NS_PER_S));
    for (unsigned i = 0; i < faults; i++) {
        random_fault(&land, &prng);
        sim_world_run_for(land.world, prng_below(&prng, 3 * NS_PER_S));
        expect_honest(&land);
    }
    sim_net_heal_all(land.world);
    for (unsigned i = 0; i < NODES; i++)
        boot(&land, &land.processes[i]);
    bool is_settled = sim_world_run_until(land.world, all_know_all, &land, 30 * NS_PER_S);
    if (!is_settled)
        (void)fprintf(stderr, "  seed %llu\n", (unsigned long long)seed);
    EXPECT(is_settled);
    sim_world_run_for(land.world, 15 * NS_PER_S); /* until every link is up again */
    close_land(&land);
    uint64_t hash = sim_world_hash(land.world);
    sim_world_free(land.world);
    return hash;
}

TEST(trackers_stay_honest_through_faults_and_recover_from_all_of_them)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        (void)live_through(seed, 40);
}

TEST(the_same_seed_is_the_same_story)
{
    EXPECT(live_through(7, 10) == live_through(7, 10));
    EXPECT(live_through(7, 10) != live_through(8, 10));
}

TEST(a_restarted_tracker_is_complete_within_one_heartbeat)
{
    static struct land land;
    open_land(&land, 3);
    EXPECT(sim_world_run_until(land.world, all_know_all, &land, 10 * NS_PER_S));
    sim_world_run_for(land.world, 5 * NS_PER_S);
    kill_process(&land.processes[0]);
    boot(&land, &land.processes[0]);
    uint64_t begin_ns = sim_world_now(land.world);
    EXPECT(sim_world_run_until(land.world, all_know_all, &land, 10 * NS_PER_S));
    (void)fprintf(stderr, "  %llu ms\n",
        (unsigned long long)((sim_world_now(land.world) - begin_ns) / NS_PER_MS));
    EXPECT(sim_world_now(land.world) - begin_ns <= NS_PER_S);
    close_land(&land);
    sim_world_free(land.world);
}
