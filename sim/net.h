/* The network among simulated nodes: streams with delay and little windows, and what can happen to
 * them. A stream never loses, repeats or reorders bytes: it stalls, and then it breaks. */
#ifndef CAIRN_SIM_NET_H
#define CAIRN_SIM_NET_H

#include "sim/world.h"

/** The manners of the network; drawn from the seed, may be changed at any time. */
struct sim_net_options {
    uint64_t delay_ns;            /* mean, one way; a tenth within a node */
    uint64_t stall_max_ns;        /* unacknowledged for so long: the sender sees -ETIMEDOUT */
    uint32_t window;              /* bytes on the way and unread, per direction */
    uint32_t segment_size_max;    /* bytes that arrive together */
    uint32_t short_per_million;   /* receives and sends that do less than they could */
    uint32_t loss_per_million;    /* segments that need another try, 200 ms later */
    uint32_t reset_per_million;   /* sends that find the connection reset */
    uint32_t corrupt_per_million; /* segments with a flipped bit that no one noticed; never drawn */
};

void sim_net_options_draw(struct sim_net_options *options, struct prng *prng);
struct sim_net_options *sim_world_net(struct sim_world *world);

/** What `from` sends does not reach `to` (one way), until healed. */
void sim_net_cut(struct sim_node *from, struct sim_node *to);
/** Both ways. */
void sim_net_partition(struct sim_node *a, struct sim_node *b);
/** Both ways; clogs end too. */
void sim_net_heal(struct sim_node *a, struct sim_node *b);
void sim_net_heal_all(struct sim_world *world);
/** What `from` sends to `to` stands still for `ns`. */
void sim_net_clog(struct sim_node *from, struct sim_node *to, uint64_t ns);
/** Every connection between the two breaks: both see -ECONNRESET. */
void sim_net_reset(struct sim_node *a, struct sim_node *b);
/** Connections that are open at one end at least. */
unsigned sim_net_connection_count(const struct sim_world *world);

#endif
