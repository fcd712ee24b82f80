#include "storage/buffer_claim.h"

static void buffer_ready(struct pool_waiter *waiter)
{
    struct buffer_claim *claim = CONTAINER_OF(waiter, struct buffer_claim, waiter);
    claim->data = pool_take(claim->pool, &claim->machine->owner);
    machine_arrive(claim->machine);
}

bool buffer_claim(struct buffer_claim *claim, struct pool *pool, struct machine *machine)
{
    CHECK(claim->data == NULL);
    claim->pool = pool;
    claim->machine = machine;
    claim->waiter.ready = buffer_ready;
    claim->data = pool_take(pool, &machine->owner);
    return claim->data || !pool_wait(pool, &claim->waiter);
}

void buffer_claim_end(struct buffer_claim *claim)
{
    pool_wait_cancel(&claim->waiter);
    if (claim->data)
        pool_give(claim->pool, claim->data);
    claim->data = NULL;
}
