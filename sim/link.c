/* What lies between the nodes: delays, cuts, clogs. */
#include "sim/stream.h"

void sim_net_options_draw(struct sim_net_options *options, struct prng *prng)
{
    static const uint64_t delays[] = {50000, 50000, 500000, 5000000, 50000000};
    static const uint64_t stalls[] = {5, 20, 60};
    static const uint32_t windows[] = {2048, 65536, 262144, 1048576};
    static const uint32_t segments[] = {100, 1460, 65536, 65536};
    static const uint32_t rates[] = {0, 0, 0, 1000, 30000};
    *options = (struct sim_net_options){
        .delay_ns = delays[prng_below(prng, ARRAY_LEN(delays))],
        .stall_max_ns = stalls[prng_below(prng, ARRAY_LEN(stalls))] * 1000000000,
        .window = windows[prng_below(prng, ARRAY_LEN(windows))],
        .segment_size_max = segments[prng_below(prng, ARRAY_LEN(segments))],
        .short_per_million = 10 * rates[prng_below(prng, ARRAY_LEN(rates))],
        .loss_per_million = rates[prng_below(prng, ARRAY_LEN(rates))],
    };
}

struct sim_net_options *sim_world_net(struct sim_world *world)
{
    return &world->net.options;
}

void sim_net_init(struct sim_net *net, uint64_t seed)
{
    prng_init(&net->prng, seed);
    list_init(&net->links);
    list_init(&net->listeners);
    list_init(&net->connections);
    sim_net_options_draw(&net->options, &net->prng);
}

void sim_net_clear(struct sim_net *net)
{
    LIST_EACH_SAFE (at, &net->connections)
        sim_connection_free(CONTAINER_OF(at, struct sim_connection, link));
    for (struct list *at; (at = list_pop_front(&net->links));)
        sim_free(CONTAINER_OF(at, struct sim_link, link));
}

static struct sim_link *link_find(struct sim_node *from, struct sim_node *to)
{
    LIST_EACH (at, &from->world->net.links) {
        struct sim_link *link = CONTAINER_OF(at, struct sim_link, link);
        if (link->from == from && link->to == to)
            return link;
    }
    return NULL;
}

static struct sim_link *link_make(struct sim_node *from, struct sim_node *to)
{
    struct sim_link *link = link_find(from, to);
    if (link)
        return link;
    link = SIM_NEW(struct sim_link);
    link->from = from;
    link->to = to;
    list_push_back(&from->world->net.links, &link->link);
    return link;
}

void sim_net_cut(struct sim_node *from, struct sim_node *to)
{
    link_make(from, to)->is_cut = true;
    sim_world_note(from->world, "%s: what it sends does not reach %s", from->name, to->name);
}

void sim_net_partition(struct sim_node *a, struct sim_node *b)
{
    sim_net_cut(a, b);
    sim_net_cut(b, a);
}

static void link_heal(struct sim_link *link)
{
    if (!link)
        return;
    link->is_cut = false;
    link->clogged_until_ns = 0;
}

void sim_net_heal(struct sim_node *a, struct sim_node *b)
{
    link_heal(link_find(a, b));
    link_heal(link_find(b, a));
    sim_world_note(a->world, "%s: reaches %s again", a->name, b->name);
}

void sim_net_heal_all(struct sim_world *world)
{
    LIST_EACH (at, &world->net.links)
        link_heal(CONTAINER_OF(at, struct sim_link, link));
    sim_world_note(world, "all links are healed");
}

void sim_net_clog(struct sim_node *from, struct sim_node *to, uint64_t ns)
{
    link_make(from, to)->clogged_until_ns = from->world->now_ns + ns;
}

void sim_net_reset(struct sim_node *a, struct sim_node *b)
{
    LIST_EACH_SAFE (at, &a->world->net.connections) {
        struct sim_connection *connection = CONTAINER_OF(at, struct sim_connection, link);
        struct sim_node *from = connection->ends[0].node, *to = connection->ends[1].node;
        if ((from == a && to == b) || (from == b && to == a))
            sim_connection_reset(connection);
    }
}

unsigned sim_net_connection_count(const struct sim_world *world)
{
    unsigned count = 0;
    LIST_EACH (at, &world->net.connections) {
        const struct sim_connection *connection = CONTAINER_OF(at, struct sim_connection, link);
        count += !connection->ends[0].is_closed || !connection->ends[1].is_closed;
    }
    return count;
}

uint64_t sim_net_delay(struct sim_node *from, struct sim_node *to)
{
    struct sim_net *net = &from->world->net;
    return sim_latency(&net->prng, from == to ? net->options.delay_ns / 10 : net->options.delay_ns);
}

bool sim_net_is_open(struct sim_node *from, struct sim_node *to)
{
    const struct sim_link *link = link_find(from, to);
    return !link || !link->is_cut;
}

uint64_t sim_net_clogged_until(struct sim_node *from, struct sim_node *to)
{
    const struct sim_link *link = link_find(from, to);
    return link ? link->clogged_until_ns : 0;
}
