/* Receive buffers: two pools per loop, with reference counts, so that small frames are read where
 * they arrived.
 *
 *   take (1 reference) -> keep (+1) ... drop (-1) ... -> the last drop gives it back to its pool
 *
 * Small buffers hold what a connection read ahead; small frames of a pipeline share one. A large
 * buffer holds the body of one frame, received straight into it. */
#ifndef CAIRN_NET_BUFFER_H
#define CAIRN_NET_BUFFER_H

#include "base/pool.h"
#include "wire/frame.h"

enum {
    NET_SMALL_SIZE = 16 * 1024,
    /* the message of a request, and beside it one DATA frame of its body after the other */
    NET_LARGE_SIZE = FRAME_META_MAX + FRAME_BODY_MAX,
};

struct net_buffer {
    struct pool *pool;
    uint32_t references;
    uint32_t capacity; /* of data, bytes */
    uint8_t data[];
};

struct net_buffers {
    struct pool small, large;
};

/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t net_buffers_init(struct net_buffers *buffers, struct mem *mem, struct ledger *ledger,
    uint32_t small_count, uint32_t large_count, struct owner *owner);
/** CHECKs that all are back. */
void net_buffers_fini(struct net_buffers *buffers);

/** A buffer with one reference; NULL as pool_take(). `owner` must live as long as every reference. */
struct net_buffer *net_buffer_take_at(
    struct pool *pool, struct owner *owner, const struct site *site);
#define net_buffer_take(pool, owner) net_buffer_take_at((pool), (owner), SITE())

static inline struct net_buffer *net_buffer_keep(struct net_buffer *buffer)
{
    buffer->references++;
    return buffer;
}
/** Drop *buffer and set it to NULL; nothing to do if it is. */
void net_buffer_drop(struct net_buffer **buffer);

#endif
