#include "net/loop.h"

err_t net_loop_init(
    struct net_loop *loop, struct io *io, struct mem *mem, const struct net_loop_config *config)
{
    *loop = (struct net_loop){.io = io, .mem = mem};
    owner_open(&loop->owner, "net", DIRECTION_OWN, io_now(io));
    TRY(net_buffers_init(
        &loop->buffers, mem, &io->ledger, config->small_count, config->large_count, &loop->owner));
    net_ticker_init(&loop->ticker, io, &loop->owner, config->tick_ns);
    return ERR_OK;
}

void net_loop_fini(struct net_loop *loop)
{
    CHECK(net_loop_is_idle(loop));
    net_buffers_fini(&loop->buffers);
    owner_close(&loop->owner);
}
