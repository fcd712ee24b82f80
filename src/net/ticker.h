/* One coarse timer per loop for all deadlines of connections and calls: members are asked once per
 * period whether their time is up. It runs only while it has members. */
#ifndef CAIRN_NET_TICKER_H
#define CAIRN_NET_TICKER_H

#include "io/io.h"

struct net_ticker {
    struct io *io;
    struct io_op op;
    struct owner *owner;
    uint64_t period_ns;
    struct list members;
};

struct net_tick {
    struct list link; /* in ticker->members */
    /** The time is `now_ns`. May join and leave this and other members. */
    void (*tick)(struct net_tick *tick, uint64_t now_ns);
};

void net_ticker_init(
    struct net_ticker *ticker, struct io *io, struct owner *owner, uint64_t period_ns);
void net_ticker_join(struct net_ticker *ticker, struct net_tick *member);
/** Nothing to do for who is not a member. When the last leaves, the timer is cancelled. */
void net_ticker_leave(struct net_ticker *ticker, struct net_tick *member);
/** True when no operation is out: the ticker may be freed. */
bool net_ticker_is_idle(const struct net_ticker *ticker);

#endif
