/* Connections to servers, kept for reuse. Each is pipelined; an operation takes an idle one, else a
 * new one while the server has fewer than its share, else the one with the fewest calls. */
#ifndef CAIRN_CLIENT_LINK_H
#define CAIRN_CLIENT_LINK_H

#include "net/client.h"

enum { LINK_SPARE_COUNT = 32 }; /* to trackers, and idle ones to other storages */

struct link_pool;

struct link {
    struct net_client net;
    struct link_pool *pool;
    uint64_t used_ns; /* when a call was started last */
    bool is_suspect;  /* a call timed out: no new calls; closed when the others have ended */
};

struct link_pool {
    struct net_loop *net;
    struct mem *mem;
    const struct secret *secret; /* borrowed */
    struct link *links;
    size_t count;
    uint32_t per_server_max;
    uint32_t call_max;
    uint64_t connect_timeout_ns;
    uint64_t send_timeout_ns;
    size_t running_count;
};

/** Take memory for `count` connections. The other fields of the pool are set by the caller.
 * Errors: BUSY, NO_RESOURCE. */
MUST err_t link_pool_init(struct link_pool *pool, size_t count, struct owner *owner);
/** Close all; finished when running_count is 0. */
void link_pool_shutdown(struct link_pool *pool);
/** Give the memory back; CHECKs that no connection is running. */
void link_pool_fini(struct link_pool *pool);

/** A connection to `address` for one more call, connecting if need be. `is_light`: a small question
 * that can share a busy connection.
 * Errors: BUSY (all are in use; an idle one is being closed to make room: try again soon). */
MUST err_t link_pick(
    struct link_pool *pool, const struct io_address *address, bool is_light, struct link **ret);

/** A call on this connection got no answer in time: others should not wait for it, too. */
void link_suspect(struct link *link);
/** A call has ended: close the connection if it is suspect and idle. */
void link_release(struct link *link);

bool address_equals(const struct io_address *a, const struct io_address *b);

#endif
