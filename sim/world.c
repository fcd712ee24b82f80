#include "sim/world.h"

#include "sim/parts.h"

void sim_event_at(struct sim_world *world, struct sim_event *event, uint64_t at_ns)
{
    heap_insert(&world->events, &event->node, at_ns > world->now_ns ? at_ns : world->now_ns);
}

void sim_event_cancel(struct sim_world *world, struct sim_event *event)
{
    if (heap_is_linked(&event->node))
        heap_remove(&world->events, &event->node);
}

void sim_world_mix(struct sim_world *world, uint64_t value)
{
    uint64_t hash = (world->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    world->hash = hash ^ hash >> 29;
}

uint64_t sim_latency(struct prng *prng, uint64_t mean_ns)
{
    uint64_t ns = mean_ns / 4 + prng_below(prng, mean_ns + 1) + prng_below(prng, mean_ns / 2 + 1);
    return 1 + (prng_chance(prng, 10000) ? 10 * ns : ns);
}

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *world = SIM_NEW(struct sim_world);
    world->seed = world->hash = seed;
    heap_init(&world->events);
    list_init(&world->nodes);
    list_init(&world->dead_loops);
    prng_init(&world->prng, seed);
    prng_init(&world->turns, ~seed);
    sim_net_init(&world->net, seed ^ UINT64_C(0x6e6574));
    world->pages.size = SIM_PAGE_SIZE;
    world->tasks.size = sizeof(struct sim_task);
    static const uint32_t delays[] = {0, 0, 1000, 20000};
    world->turn_delay_ns = delays[prng_below(&world->turns, ARRAY_LEN(delays))];
    return world;
}

void sim_world_free(struct sim_world *world)
{
    world->trace = NULL;
    LIST_EACH (at, &world->nodes)
        sim_node_kill(CONTAINER_OF(at, struct sim_node, link));
    sim_net_clear(&world->net);
    for (struct list *at; (at = list_pop_front(&world->nodes));)
        sim_node_free(CONTAINER_OF(at, struct sim_node, link));
    for (struct list *at; (at = list_pop_front(&world->dead_loops));)
        sim_free(CONTAINER_OF(at, struct sim_loop, link));
    sim_blocks_clear(&world->pages);
    sim_blocks_clear(&world->tasks);
    sim_free(world);
}

/* A machine started from outside waits in a run queue for which no event is coming. */
static bool turn_a_ready_loop(struct sim_world *world)
{
    LIST_EACH (at, &world->nodes) {
        struct sim_node *node = CONTAINER_OF(at, struct sim_node, link);
        LIST_EACH (other, &node->loops) {
            struct sim_loop *loop = CONTAINER_OF(other, struct sim_loop, link);
            if (loop->is_turning || list_is_empty(&loop->io.run.ready))
                continue;
            if (node->busy_until_ns > world->now_ns) {
                sim_loop_wake(loop);
                continue;
            }
            io_turn(&loop->io, false);
            return true;
        }
    }
    return false;
}

bool sim_world_step(struct sim_world *world)
{
    if (turn_a_ready_loop(world))
        return true;
    struct heap_node *first = heap_pop(&world->events);
    if (!first)
        return false;
    struct sim_event *event = CONTAINER_OF(first, struct sim_event, node);
    if (first->key > world->now_ns)
        world->now_ns = first->key;
    event->run(world, event);
    return true;
}

static bool has_event_before(const struct sim_world *world, uint64_t end_ns)
{
    const struct heap_node *first = heap_min(&world->events);
    return first && first->key <= end_ns;
}

bool sim_world_run_until(
    struct sim_world *world, bool (*is_true)(void *context), void *context, uint64_t max_ns)
{
    uint64_t end_ns = world->now_ns + max_ns;
    while (!is_true(context)) {
        if (turn_a_ready_loop(world))
            continue;
        if (!has_event_before(world, end_ns)) {
            world->now_ns = end_ns;
            return false;
        }
        (void)sim_world_step(world);
    }
    return true;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

void sim_world_run_for(struct sim_world *world, uint64_t ns)
{
    (void)sim_world_run_until(world, never, NULL, ns);
}

uint64_t sim_world_now(const struct sim_world *world)
{
    return world->now_ns;
}

uint64_t sim_world_hash(const struct sim_world *world)
{
    return world->hash;
}

uint64_t sim_world_op_count(const struct sim_world *world)
{
    return world->op_count;
}

struct prng *sim_world_prng(struct sim_world *world)
{
    return &world->prng;
}

void sim_world_observe(struct sim_world *world, const struct sim_observer *observer)
{
    world->observer = *observer;
}
