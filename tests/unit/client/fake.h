/* A scripted cluster on the loop of the test: real listeners and the real protocol, answers by plan.
 * The client under test cannot tell it from servers that misbehave. */
#ifndef CAIRN_TESTS_CLIENT_FAKE_H
#define CAIRN_TESTS_CLIENT_FAKE_H

#include "client/client.h"
#include "io/backend.h"
#include "net/server.h"
#include "tests/lib/test.h"

enum action {
    ACT_SERVE,         /* as a storage would */
    ACT_BUSY,          /* ERROR BUSY */
    ACT_REFUSE,        /* ERROR fake->code */
    ACT_CUT,           /* take the whole request, then cut the connection without an answer */
    ACT_CUT_EARLY,     /* cut the connection at once, before the body has come */
    ACT_CUT_MIDWAY,    /* send half of the content, then cut the connection */
    ACT_SILENT,        /* never answer */
    ACT_WRONG_CRC,     /* serve with a wrong checksum */
    ACT_OTHER_VERSION, /* serve, but a newer version */
    ACT_NONSENSE,      /* a reply of another type */
    ACT_KNOWN,         /* a change: as one that was made before, without waiting for the content */
};

enum { FAKE_PLAN_MAX = 16, FAKE_CONTENT_MAX = 2 << 20, FAKE_REQUESTS_MAX = 64 };

/** One server: a storage, or the tracker. The plan says what to do with the first, second ...
 * request; after its end everything is served. */
struct fake {
    struct net_loop loop;
    struct net_server server;
    struct fake_cluster *cluster;
    uint32_t machine;
    bool is_up;
    enum action plan[FAKE_PLAN_MAX];
    size_t plan_count;
    enum err_code code;
    size_t request_count; /* that were dispatched: queries not counted */
    size_t query_count;
    struct nonce nonces[FAKE_REQUESTS_MAX];
    uint8_t retries[FAKE_REQUESTS_MAX]; /* is_retry of uploads */
    uint64_t find_offsets[FAKE_REQUESTS_MAX];
    /* what was stored last, and is found */
    uint8_t *content;
    size_t size;
    struct net_request *silent[FAKE_REQUESTS_MAX]; /* held until the end */
    size_t silent_count;
};

struct fake_cluster {
    struct io *io;
    struct mem mem;
    struct client client;
    struct fake tracker, storages[2];
    size_t named; /* storages that the tracker names, best first */
};

/** Open loop, servers and client. `timeout_ms` and `retries` are the client's. */
void cluster_open(struct fake_cluster *cluster, uint64_t timeout_ms, uint32_t retries);
/** Stop one server: its port refuses connections from now on. */
void fake_stop(struct fake_cluster *cluster, struct fake *fake);
/** Close everything; CHECKs that nothing is held. */
void cluster_close(struct fake_cluster *cluster);
void fake_plan(struct fake *fake, enum action first, enum action second, enum action third);

/** Run one operation to its end. Errors: how it ended. */
MUST err_t cluster_run(struct fake_cluster *cluster, struct client_op *op);

#endif
