/* What all connections of one loop share: receive buffers and the coarse timer. */
#ifndef CAIRN_NET_LOOP_H
#define CAIRN_NET_LOOP_H

#include "net/buffer.h"
#include "net/ticker.h"

struct net_loop_config {
    uint32_t small_count; /* at least one per connection, in and out; more let pipelines overlap */
    uint32_t large_count; /* frames above 16 KiB, and uploads in several frames, at one time */
    uint64_t tick_ns;     /* how exact deadlines are */
};

struct net_loop {
    struct io *io;
    struct mem *mem;
    struct owner owner; /* "net": of pools and timer */
    struct net_buffers buffers;
    struct net_ticker ticker;
};

/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t net_loop_init(
    struct net_loop *loop, struct io *io, struct mem *mem, const struct net_loop_config *config);
/** Every connection and client must be gone, and the ticker idle: turn the loop until
 * net_loop_is_idle(). */
void net_loop_fini(struct net_loop *loop);
static inline bool net_loop_is_idle(const struct net_loop *loop)
{
    return net_ticker_is_idle(&loop->ticker);
}

#endif
