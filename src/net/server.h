/* The server's end of the native protocol, one per loop: listens, accepts, shakes hands, and turns
 * frames into requests for the role. doc/protocol.md.
 *
 *   net_server_start -> on_request(request) ... net_reply / net_request_end -> net_server_drain
 *   -> (net_server_is_idle) -> net_server_fini
 *
 * A request lives from on_request() until net_request_end(); its spans are stable as long. Requests
 * of a connection run side by side up to `pipeline_max` and may be answered in any order; at the
 * limit, or when buffers are out, the connection stops reading: back-pressure, never growth.
 *
 * A body in several frames is pulled: net_request_next_data() asks for the next DATA frame, and
 * gives the one before back. While a body is open its connection dispatches nothing else. A request
 * that ends before its body has the rest drained.
 *
 * Nothing here calls the role from inside one of the role's own calls: wakes come from the loop.
 *
 * Limits: connection_max connections (above: ERROR BUSY, then close), request_max requests. */
#ifndef CAIRN_NET_SERVER_H
#define CAIRN_NET_SERVER_H

#include "net/acceptor.h"
#include "net/error.h"
#include "net/handshake.h"
#include "net/loop.h"
#include "net/output.h"
#include "wire/msg.h"

struct net_server;
struct net_connection;
struct net_request;

/* Peers say something every second; one that lost its power says nothing, and its connections must not keep
 * those of its next life out. */
#define NET_NODE_IDLE_NS (UINT64_C(60) * 1000 * 1000 * 1000)

struct net_server_config {
    struct io_address address; /* port 0: any; the real one is in server->address afterwards */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    uint32_t connection_max;
    uint32_t request_max;  /* of all connections together, at least 1 */
    uint32_t pipeline_max; /* of one connection, at least 1 */
    uint64_t
        idle_timeout_ns; /* nothing comes although we wait for it; nodes: NET_NODE_IDLE_NS at most */
    uint64_t send_timeout_ns; /* nothing leaves although there is something to send */
    uint64_t handshake_timeout_ns;
    struct handshake_policy policy; /* secrets borrowed */
    void (*on_request)(struct net_server *server, struct net_request *request);
    /** A connection has ended; its number was that of its requests. May be NULL. */
    void (*on_gone)(struct net_server *server, uint64_t connection_number);
    void *role; /* for on_request */
};

struct net_server {
    struct acceptor acceptor;
    struct net_server_config config;
    struct io_address address; /* that we listen on */
    struct owner owner;        /* of request slots */
    struct pool requests;
    uint64_t handshakes, requests_served; /* counters */
    struct out_frame refusal;             /* what one above connection_max is told */
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t net_server_start(
    struct net_server *server, struct net_loop *loop, const struct net_server_config *config);

/** Accept nobody and no request any more; requests end, open bodies are read to their end, replies
 * leave, then connections close. Turn the loop until net_server_is_idle(). */
static inline void net_server_drain(struct net_server *server)
{
    acceptor_drain(&server->acceptor);
}

/** Cut every connection now: nothing more is read or sent; requests still have to end. */
static inline void net_server_cut(struct net_server *server)
{
    acceptor_cut(&server->acceptor);
}

/** Nothing is held: no connection, no listener, no operation. */
static inline bool net_server_is_idle(const struct net_server *server)
{
    return acceptor_is_idle(&server->acceptor);
}

/** Give the memory back; the server must be idle. */
void net_server_fini(struct net_server *server);

/* ---- requests ---- */

struct net_request {
    struct frame frame;
    struct span meta;    /* fields, stable until the request ends */
    struct span data;    /* of the newest frame: stable until the next is asked for */
    bool has_more;       /* the body goes on behind `data` */
    err_t body_err;      /* set when a body ended early: CLOSED, PROTOCOL */
    uint8_t role;        /* enum node_role of the peer, proven if secrets are set */
    uint32_t machine;    /* that a node claims to be; 0 for clients */
    struct owner *owner; /* of the connection: who pays for what belongs to the request */
    struct net_server *server;
    struct net_connection *connection;
    uint64_t connection_number; /* of this server, never used twice */
    void *op;                   /* the role's */
    /* net's own */
    struct list link; /* in connection->requests */
    struct net_buffer *buffer;
    void (*wake)(struct net_request *request);
    void (*sent)(struct net_request *request, err_t err);
    struct out_frame out;
    bool is_ended;
};

/** Ask for the next frame of the body. `wake` is called once, later: request->data and has_more
 * are new, or request->body_err is set (CLOSED: the peer is gone; PROTOCOL). The span in
 * request->data is dead from this call on. CHECKs that has_more is set and nothing is asked yet. */
void net_request_next_data(struct net_request *request, void (*wake)(struct net_request *request));

/** A writer for the fields of a reply, NET_META_MAX bytes. No other reply of this request may be
 * on its way. */
struct writer net_reply_begin(struct net_request *request);

/**
 * Send a reply frame; with FRAME_MORE in `flags` others of type MSG_DATA follow.
 *
 * Owns:   the bytes of `data` are borrowed until `sent` is called, once, later (OK, or CLOSED when
 *         the peer is gone). `sent` may be NULL, and the request may be ended at once then, if
 *         there is no data or it outlives the server.
 */
void net_reply(struct net_request *request, uint8_t type, uint16_t flags,
    const struct writer *fields, const struct iovec *data, unsigned data_count,
    void (*sent)(struct net_request *request, err_t err));

/** Reply ERROR with the code of `err` and a sentence. `version`: what is there, for CONFLICT. */
void net_reply_error(struct net_request *request, err_t err, struct version version);

/** The request is over: spans die, the slot goes back when its reply has left. A body that is
 * still open is drained. CHECKs that no `wake` is pending. */
void net_request_end(struct net_request *request);

/** True when nothing sent to this peer can arrive any more. */
bool net_request_is_gone(const struct net_request *request);

/** Cut the request's connection: nothing good can come from it any more. Its requests see CLOSED. */
void net_request_cut(struct net_request *request);

/**
 * Serve this request, and its connection from now on, on the loop of `to`: from inside on_request()
 * only. The request is not the caller's any more; on_request() of `to` gets it as a new one. When
 * `to` has no room, the peer is answered BUSY and the connection stays. The connection reads
 * nothing until its other requests have ended. `to` must be of this process, and started.
 */
void net_request_move(struct net_request *request, struct net_server *to);

#endif
