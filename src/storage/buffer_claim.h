/* A claim of one buffer from a pool, by a machine that can wait for it. Embedded in operations. */
#ifndef CAIRN_STORAGE_BUFFER_CLAIM_H
#define CAIRN_STORAGE_BUFFER_CLAIM_H

#include "base/pool.h"
#include "base/stage.h"

struct buffer_claim {
    struct pool_waiter waiter;
    struct pool *pool;
    struct machine *machine;
    uint8_t *data; /* NULL: none */
};

/** True: claim->data is there, or NULL: refused (answer BUSY). False: the same is so when `machine`
 * has arrived. */
MUST bool buffer_claim(struct buffer_claim *claim, struct pool *pool, struct machine *machine);
/** Give the buffer back, or stop waiting; nothing to do is fine. */
void buffer_claim_end(struct buffer_claim *claim);

#endif
