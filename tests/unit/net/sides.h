/* One or two loops with a server on each, against a raw peer: for the protocols that serve one request
 * of a connection after the other. The role is the test's. */
#ifndef CAIRN_TESTS_NET_SIDES_H
#define CAIRN_TESTS_NET_SIDES_H

#include "net/exchange.h"
#include "tests/unit/net/fixture.h"

enum { SIDES_BIG_MAX = 4 << 20 };

struct side {
    struct io *io;
    struct mem mem;
    struct net_loop loop;
    struct exchange_server *server, *other;
    /* what the role saw of the newest request */
    uint32_t crc;
    uint64_t size, pieces, requests;
    err_t body_err;
};
extern struct side sides[2];
extern struct raw raw;
extern uint8_t big[SIDES_BIG_MAX];

/** The next side: a loop; `server` is about to be started on it. */
struct side *side_open(struct exchange_server *server);
/** On loopback, one timeout for everything. */
struct exchange_config side_config(uint64_t timeout_ns, uint32_t connection_max);
struct acceptor *side_acceptor(const struct side *side);
/** A new body begins, and its next piece. */
void side_body_begin(struct side *side);
void side_body_take(struct side *side, const struct exchange *exchange);

void sides_turn(void);
/** Cut all connections and close; nothing may be held. */
void sides_close(void);
/** The raw peer connects. */
void sides_connect(const struct side *side);

#define UNTIL(condition)                                                       \
    do {                                                                       \
        uint64_t turn_end = fixture_now_ns() + 20000000000u;                   \
        while (!(condition)) {                                                 \
            if (fixture_now_ns() > turn_end)                                   \
                test_fail(__FILE__, __LINE__, "turn until " #condition, 0, 0); \
            sides_turn();                                                      \
            raw_poll(&raw);                                                    \
        }                                                                      \
    } while (0)

#endif
