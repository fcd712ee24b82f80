/* Nodes: their life, clocks, refusals and crashes. */
#include "sim/parts.h"

#define WALL_START_NS (UINT64_C(1800000000) * 1000000000)

struct sim_node *sim_node_new(
    struct sim_world *world, const char *name, const struct io_address *host)
{
    struct sim_node *node = SIM_NEW(struct sim_node);
    node->world = world;
    node->name = sim_text_copy(name);
    node->index = ++world->node_count;
    node->fd_limit = 1024;
    node->host = host ? *host
                      : (struct io_address){.family = 4,
                          .bytes = {10, 0, (uint8_t)(node->index >> 8), (uint8_t)node->index}};
    prng_init(&node->prng, world->seed ^ (uint64_t)node->index << 32);
    node->wall_at_anchor_ns = WALL_START_NS;
    list_init(&node->loops);
    list_init(&node->tasks);
    list_init(&node->mounts);
    list_push_back(&world->nodes, &node->link);
    return node;
}

void sim_node_free(struct sim_node *node)
{
    for (struct list *at; (at = list_pop_front(&node->mounts));)
        sim_mount_free(CONTAINER_OF(at, struct sim_mount, link));
    sim_free(node->descriptions);
    sim_free(node->name);
    sim_free(node);
}

const char *sim_node_name(const struct sim_node *node)
{
    return node->name;
}

struct io_address sim_node_address(const struct sim_node *node, uint16_t port)
{
    struct io_address address = node->host;
    address.port = port;
    return address;
}

bool sim_node_is_down(const struct sim_node *node)
{
    return !node->is_up;
}

uint64_t sim_node_now(const struct sim_node *node)
{
    uint64_t now_ns = node->world->now_ns;
    return node->busy_until_ns > now_ns ? node->busy_until_ns : now_ns;
}

uint64_t sim_node_wall(const struct sim_node *node)
{
    uint64_t passed = sim_node_now(node) - node->wall_anchor_ns;
    int64_t drift = (int64_t)(passed / 1000000) * node->drift_ppm;
    return node->wall_at_anchor_ns + passed + (uint64_t)drift;
}

void sim_node_clock_set(struct sim_node *node, int64_t by_ns, int32_t drift_ppm)
{
    uint64_t wall_ns = sim_node_wall(node);
    node->wall_anchor_ns = sim_node_now(node);
    node->wall_at_anchor_ns = wall_ns + (uint64_t)by_ns;
    node->drift_ppm = drift_ppm;
}

void sim_node_pause(struct sim_node *node, uint64_t ns)
{
    uint64_t until_ns = node->world->now_ns + ns;
    if (until_ns > node->busy_until_ns)
        node->busy_until_ns = until_ns;
}

struct sim_refusal *sim_node_refusal(struct sim_node *node)
{
    return &node->refusal;
}

static int usual_error(enum io_kind kind)
{
    switch (kind) {
    case IO_OPEN:
    case IO_LISTEN:
    case IO_ACCEPT:
        return EMFILE;
    case IO_ALLOCATE:
    case IO_MKDIR:
        return ENOSPC;
    case IO_CONNECT:
        return ECONNREFUSED;
    case IO_RECV:
    case IO_SEND:
        return ECONNRESET;
    case IO_LOCK:
        return ENOLCK;
    case IO_NOP:
    case IO_TIMER:
        return ENOBUFS;
    default:
        return EIO;
    }
}

int sim_node_refuse(struct sim_node *node, enum io_kind kind)
{
    struct sim_refusal *refusal = &node->refusal;
    if (refusal->kinds != 0 && !(refusal->kinds & BIT(kind)))
        return 0;
    refusal->seen++;
    bool fires = refusal->fired && refusal->for_ever;
    if (refusal->countdown > 0 && --refusal->countdown == 0)
        fires = refusal->fired = true;
    if (!fires)
        return 0;
    return -(refusal->error ? refusal->error : usual_error(kind));
}

void sim_node_fd_limit(struct sim_node *node, unsigned count)
{
    node->fd_limit = count;
}

unsigned sim_node_fd_count(const struct sim_node *node)
{
    return node->fd_count;
}

uint64_t sim_node_disk_op_count(const struct sim_node *node)
{
    return node->disk_op_count;
}

void sim_world_crash_at(
    struct sim_world *world, struct sim_node *node, uint64_t nth, enum sim_crash how)
{
    CHECK(node->world == world && (nth == 0 || how != SIM_CRASH_NONE));
    node->crash_countdown = nth;
    node->crash_how = how;
}

static enum sim_farewell farewell_draw(struct sim_node *node, enum sim_crash how)
{
    uint64_t draw = prng_below(&node->prng, 10);
    if (how == SIM_CRASH_POWER)
        return draw < 8 ? SIM_FAREWELL_SILENCE : SIM_FAREWELL_RESET;
    return draw < 2 ? SIM_FAREWELL_SILENCE : draw < 5 ? SIM_FAREWELL_RESET : SIM_FAREWELL_CLOSE;
}

static void process_end(struct sim_node *node, enum sim_crash how)
{
    node->farewell = farewell_draw(node, how);
    LIST_EACH_SAFE (at, &node->tasks) {
        struct sim_task *task = CONTAINER_OF(at, struct sim_task, link);
        if (sim_kind_is_disk(task->op->kind) && !task->forced)
            sim_disk_interrupt(task, how);
        sim_task_abandon(task);
    }
    LIST_EACH_SAFE (at, &node->loops)
        sim_loop_kill(CONTAINER_OF(at, struct sim_loop, link));
    sim_fd_close_all(node);
    node->is_up = false;
    node->crash_countdown = 0;
    node->busy_until_ns = 0;
    node->refusal = (struct sim_refusal){0};
}

/* The characters of losses: nothing, a little, half, most, all that was not synced survives. */
static struct sim_loss loss_draw(struct sim_disk *disk)
{
    static const uint32_t keeps[] = {0, 0, 100000, 500000, 500000, 900000, 1000000};
    static const uint32_t tears[] = {0, 0, 50000, 500000};
    return (struct sim_loss){
        .keep_per_million = keeps[prng_below(&disk->prng, ARRAY_LEN(keeps))],
        .tear_per_million = tears[prng_below(&disk->prng, ARRAY_LEN(tears))],
        .by_page = prng_chance(&disk->prng, 300000),
    };
}

void sim_node_crash(struct sim_node *node, enum sim_crash how)
{
    sim_world_note(
        node->world, "%s: %s", node->name, how == SIM_CRASH_KILL ? "killed" : "loses its power");
    sim_world_mix(node->world, (uint64_t)how);
    process_end(node, how);
    if (how != SIM_CRASH_POWER)
        return;
    LIST_EACH (at, &node->mounts) {
        struct sim_disk *disk = CONTAINER_OF(at, struct sim_mount, link)->disk;
        struct sim_loss loss = loss_draw(disk);
        sim_tree_crash(&disk->tree, &loss, &disk->prng);
    }
}

void sim_node_kill(struct sim_node *node)
{
    if (node->is_up)
        sim_node_crash(node, SIM_CRASH_KILL);
}

void sim_node_power_loss(struct sim_node *node)
{
    sim_node_crash(node, SIM_CRASH_POWER);
}
