#include "net/buffer.h"

err_t net_buffers_init(struct net_buffers *buffers, struct mem *mem, struct ledger *ledger,
    uint32_t small_count, uint32_t large_count, struct owner *owner)
{
    TRY(pool_init(&buffers->small, mem, ledger, "net.small",
        sizeof(struct net_buffer) + NET_SMALL_SIZE, small_count, 0, owner));
    err_t err = pool_init(&buffers->large, mem, ledger, "net.large",
        sizeof(struct net_buffer) + NET_LARGE_SIZE, large_count, 0, owner);
    if (err_is(err))
        pool_fini(&buffers->small);
    else
        buffers->small.life = LIFE_CONNECTION; /* each connection has one */
    return err;
}

void net_buffers_fini(struct net_buffers *buffers)
{
    pool_fini(&buffers->large);
    pool_fini(&buffers->small);
}

struct net_buffer *net_buffer_take_at(
    struct pool *pool, struct owner *owner, const struct site *site)
{
    struct net_buffer *buffer = pool_take_at(pool, owner, site);
    if (buffer)
        *buffer = (struct net_buffer){.pool = pool,
            .references = 1,
            .capacity = (uint32_t)(pool->slot_size - sizeof *buffer)};
    return buffer;
}

void net_buffer_drop(struct net_buffer **buffer)
{
    struct net_buffer *dropped = *buffer;
    *buffer = NULL;
    if (!dropped)
        return;
    CHECK(dropped->references > 0);
    if (--dropped->references == 0)
        pool_give(dropped->pool, dropped);
}
