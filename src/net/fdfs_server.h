/* The server's end of FastDFS's protocol, one per loop: reads requests and their content, sends answers;
 * exchange.h has what it shares with others. What a request means is the role's; the bytes are
 * wire/fdfs.h.
 *
 *   fdfs_server_start -> on_request(request) ... fdfs_reply ... fdfs_request_end
 *   -> fdfs_server_drain -> (fdfs_server_is_idle) -> fdfs_server_fini
 *
 * Clients send a content to its end whatever is answered meanwhile: what a request leaves unread is
 * read and thrown away, and the connection is kept. A malformed request is answered, and the
 * connection kept, if its body is at most FDFS_DRAIN_MAX; else it is closed behind the answer. Where
 * parameters do not come to their end the connection is cut. */
#ifndef CAIRN_NET_FDFS_SERVER_H
#define CAIRN_NET_FDFS_SERVER_H

#include "net/exchange.h"
#include "wire/fdfs.h"

enum {
    FDFS_DRAIN_MAX = 256 * 1024, /* of a malformed request's body */
    FDFS_REPLY_BODY_MAX = 1536,  /* bytes that an answer takes along */
};

struct fdfs_server;
struct fdfs_request;

struct fdfs_server_config {
    struct exchange_config exchange;
    void (*on_request)(struct fdfs_server *server, struct fdfs_request *request);
    void *role; /* for on_request */
};

struct fdfs_server {
    struct exchange_server exchange;
    struct fdfs_server_config config;
    uint64_t requests_malformed; /* counter */
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t fdfs_server_start(
    struct fdfs_server *server, struct net_loop *loop, const struct fdfs_server_config *config);
/** Accept nobody and no request any more; the ones that run end. */
static inline void fdfs_server_drain(struct fdfs_server *server)
{
    acceptor_drain(&server->exchange.acceptor);
}
/** Cut every connection now; requests still have to end. */
static inline void fdfs_server_cut(struct fdfs_server *server)
{
    acceptor_cut(&server->exchange.acceptor);
}
static inline bool fdfs_server_is_idle(const struct fdfs_server *server)
{
    return acceptor_is_idle(&server->exchange.acceptor);
}
static inline void fdfs_server_fini(struct fdfs_server *server)
{
    acceptor_fini(&server->exchange.acceptor);
}
/** Bytes of memory for this many connections, without buffers. */
uint64_t fdfs_server_bytes(uint32_t connection_max);

/* ---- requests ---- */

struct fdfs_request {
    struct exchange exchange; /* the content, and what the role keeps */
    struct fdfs_head head;    /* spans are stable until the request ends */
    struct fdfs_server *server;
};

static inline struct fdfs_request *fdfs_request_of(struct exchange *exchange)
{
    return CONTAINER_OF(exchange, struct fdfs_request, exchange);
}

/** Answer: the status, and a short body (copied; FDFS_REPLY_BODY_MAX bytes at most; none with an
 * error). The request may be ended at once. */
void fdfs_reply(struct fdfs_request *request, uint8_t status, struct span body);

/** Answer with a body of `body_size` bytes, of which `data` are the first (borrowed until `sent` is
 * called, once, later: OK, or CLOSED when the peer is gone). */
void fdfs_reply_begin(struct fdfs_request *request, uint64_t body_size, struct span data,
    void (*sent)(struct exchange *exchange, err_t err));
/** The next bytes of the body. */
void fdfs_reply_data(struct fdfs_request *request, struct span data,
    void (*sent)(struct exchange *exchange, err_t err));

/** The request is over: exchange_end(). */
static inline void fdfs_request_end(struct fdfs_request *request)
{
    exchange_end(&request->exchange);
}

/** The loop of `to` serves it: exchange_move(). Without room there the client is answered EBUSY. */
static inline void fdfs_request_move(struct fdfs_request *request, struct fdfs_server *to)
{
    exchange_move(&request->exchange, &to->exchange);
}

#endif
