/* An exchange that is answered by another HTTP server: head and body of the request go there, and what
 * comes back goes to the client as it is, until that server closes.
 *
 *   CONNECT -> WORK -> UNWIND -> DONE: done(tunnel)
 *
 * The other server is told to close behind its answer; so the client's connection ends there too. When
 * it breaks off, the client's connection is cut: an answer that is too short says so itself. */
#ifndef CAIRN_NET_TUNNEL_H
#define CAIRN_NET_TUNNEL_H

#include "net/http_server.h"
#include "net/stream.h"

struct tunnel {
    struct machine machine; /* its err: why it ended early */
    struct net_loop *loop;
    struct http_request *request;
    struct io_address address;
    void (*done)(struct tunnel *tunnel);
    void *context;
    struct net_stream stream; /* to the other server */
    struct io_op connect;
    struct out_frame out; /* the head, then pieces of the body */
    struct net_tick tick;
    uint64_t piece_size; /* of the answer, on its way to the client */
    bool is_connecting, is_kicked, is_body_over, is_piece_out;
};

/**
 * Serve `request` so; nothing of its body was asked for. `mark`: the name of a header that tells the
 * other server that it was sent on. done() comes once, later, when nothing is held: end the request with
 * tunnel_end(). request->exchange.op is the tunnel's until then.
 *
 * Errors: TOO_LARGE (the head does not fit where it is put together); nothing has begun then.
 */
MUST err_t tunnel_start(struct tunnel *tunnel, struct net_loop *loop, struct http_request *request,
    const struct io_address *address, const char *mark);

/** Something went to the client: only tunnel_end() is possible. */
bool tunnel_is_told(const struct tunnel *tunnel);
/** End the request: whole, or cut. */
void tunnel_end(struct tunnel *tunnel);

#endif
