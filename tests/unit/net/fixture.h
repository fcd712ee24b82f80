/* A small server on a real loop, and a peer that speaks bytes: what the tests of net share.
 *
 * The server's role (`demo_*`) answers by message type:
 *   PING    PONG at once
 *   STAT    parked: the test answers it by demo_answer_parked(), in any order
 *   UPLOAD  pulls the body, answers UPLOADED with its size and CRC; pool "refuse": answers ERROR
 *           NO_SPACE after the first frame; pool "slow": asks for more only when the test says so
 *   FIND    FOUND and `size` bytes of a pattern in DATA frames of `offset` bytes each
 *   LIST    moved to the other server if there is one (bounce: every other time); answered LISTED
 *   MODIFY  the same, and then as UPLOAD
 *   HEARTBEAT HEARTBEAT_ACK
 *   others  ERROR UNSUPPORTED */
#ifndef CAIRN_TESTS_NET_FIXTURE_H
#define CAIRN_TESTS_NET_FIXTURE_H

#include "io/io.h"
#include "net/client.h"
#include "net/server.h"
#include "tests/lib/test.h"

enum { DEMO_PARKED_MAX = 256, DEMO_SINKS = 64, DEMO_CHUNK = 256 * 1024 };

struct demo_sink { /* an upload in progress */
    struct net_request *request;
    uint64_t size;
    uint32_t crc;
    bool is_slow;
};

struct demo {
    struct io *io;
    struct mem mem;
    struct net_loop loop;
    struct net_server server;
    struct handshake_secrets secrets;
    struct net_request *parked[DEMO_PARKED_MAX];
    uint32_t parked_count;
    struct demo_sink sinks[DEMO_SINKS];
    struct net_server *other; /* where LIST and MODIFY (an upload) go */
    bool bounce;              /* LIST goes there only if its connection was not moved for it */
    uint64_t list_turn;
    uint64_t request_count, moved_in_count, gone_count;
    err_t body_err;     /* of the last upload that ended early */
    uint32_t streaming; /* FIND replies in progress */
};

struct demo_options {
    uint32_t connection_max, request_max, pipeline_max; /* 0: 16, 64, 8 */
    uint32_t small_count, large_count;                  /* 0: 40, 8 */
    uint64_t idle_ns, send_ns, handshake_ns;            /* 0: 10 s */
    uint64_t tick_ns;                                   /* 0: 5 ms */
    const char *client_secret, *node_secret;            /* NULL: none */
};

void demo_open(struct demo *demo, const struct demo_options *options);
/** The same on a loop of the caller's, listening on `address`; not turned by fixture_turn(). */
void demo_open_on(struct demo *demo, struct io *io, const struct io_address *address,
    const struct demo_options *options);
/** Give everything back but the loop; the server must be idle. */
void demo_fini(struct demo *demo);
/** Cut what is there, wait for the end, check that nothing is held. */
void demo_close(struct demo *demo);
/** Take it out of fixture_turn(), because a thread turns it. */
void demo_hide(struct demo *demo);
void demo_answer_parked(struct demo *demo, uint32_t index);
void demo_pull_slow(struct demo *demo);

/** Turn every open demo until `condition` or for 20 s. */
#define TURN_UNTIL(condition)                                                  \
    do {                                                                       \
        uint64_t turn_end = fixture_now_ns() + 20000000000u;                   \
        while (!(condition)) {                                                 \
            if (fixture_now_ns() > turn_end)                                   \
                test_fail(__FILE__, __LINE__, "turn until " #condition, 0, 0); \
            fixture_turn();                                                    \
        }                                                                      \
    } while (0)
uint64_t fixture_now_ns(void);
void fixture_turn(void);

/* ---- a peer made of bytes: a plain non-blocking socket ---- */

struct raw {
    int fd;
    uint8_t received[2 << 20];
    size_t size; /* of received */
    bool is_closed;
};

void raw_open(struct raw *raw, const struct demo *demo);
void raw_close(struct raw *raw);
/** Send all, turning meanwhile; a reset by the peer ends it. */
void raw_send(struct raw *raw, const void *bytes, size_t size);
/** Take in what has come. */
void raw_poll(struct raw *raw);
/** Wait for one frame; its bytes leave `received`. False: the peer closed instead. */
bool raw_frame(struct raw *raw, struct frame *ret, struct span *ret_meta, struct span *ret_data);
/** Wait for a frame that is ERROR; its code. */
int raw_error_code(struct raw *raw);
void raw_expect_closed(struct raw *raw);
/** HELLO and WELCOME without secrets. */
void raw_handshake(struct raw *raw, uint8_t role);

/** Frames into a buffer: `size` grows. */
struct bytes {
    uint8_t *data;
    size_t size, capacity;
};
void bytes_frame(struct bytes *bytes, uint8_t type, uint16_t flags, uint64_t id, struct span meta,
    struct span data);
void bytes_hello(struct bytes *bytes, uint8_t role, struct msg_hello *ret);
void bytes_ping(struct bytes *bytes, uint64_t id);
void bytes_stat(struct bytes *bytes, uint64_t id);
void bytes_upload(
    struct bytes *bytes, const char *pool, uint16_t flags, uint64_t id, struct span data);
void bytes_find(struct bytes *bytes, uint64_t id, uint64_t size, uint64_t chunk);

void pattern_fill(uint8_t *data, size_t size, uint64_t offset);

#endif
