/* Where an operation may go: the ranked answer of a tracker, kept for a moment so that a client
 * that stores many files asks once per route and second, not once per file. Pure. */
#ifndef CAIRN_CLIENT_ROUTE_H
#define CAIRN_CLIENT_ROUTE_H

#include "io/io.h"
#include "wire/fid.h"
#include "wire/msg.h"

enum {
    ROUTE_NAME_MAX = 64, /* pool or group with NUL */
    ROUTE_CANDIDATES_MAX = 16,
    ROUTE_CACHE_SIZE = 32,
};

/* A second of an old answer costs at most one refused attempt; a query per file costs every file a
 * round trip. Uploads move on sooner, so that the trackers' balance is felt. */
#define ROUTE_LIFE_NS UINT64_C(1000000000)
#define ROUTE_LIFE_UPLOAD_NS UINT64_C(100000000)

struct candidate {
    struct io_address address;
    uint32_t machine;
};

struct route {
    char name[ROUTE_NAME_MAX]; /* pool for uploads, else group */
    uint32_t origin;
    uint8_t purpose; /* enum query_purpose; 0: free */
    bool is_group;   /* of an upload: `name` is a group all the same */
    size_t count;
    struct candidate candidates[ROUTE_CANDIDATES_MAX]; /* best first */
    uint64_t answered_ns;
};

struct route_cache {
    struct route routes[ROUTE_CACHE_SIZE];
};

/** Take the entries { machine u32, address TEXT } of an answer; more than fit are left out, as are
 * addresses that are none. Errors: PROTOCOL. */
MUST err_t route_decode(struct span data, uint32_t count, struct route *route);

/** Fill *ret (a copy) from an answer to the same question that is still fresh. */
MUST bool route_recall(const struct route_cache *cache, const struct route *question,
    uint64_t now_ns, struct route *ret);

/** Remember an answer in place of the oldest. */
void route_remember(struct route_cache *cache, const struct route *answer, uint64_t now_ns);

/** Drop the answer to this question: it led nowhere. */
void route_forget(struct route_cache *cache, const struct route *question);

#endif
