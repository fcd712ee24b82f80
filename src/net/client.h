/* The client's end of the native protocol: one outgoing connection and the calls on it. Used by the
 * client library, by storages for heartbeats, and between peers. doc/protocol.md.
 *
 *   net_client_start -> (connects, shakes hands) -> calls ... -> net_client_close, or the loss of
 *   the connection -> on_closed(): the struct is free, and may be started again
 *
 * Calls may be started at once; they leave when the handshake is done. They are pipelined: replies
 * come in any order. A call lives from net_call_start() until its on_end(), which comes exactly
 * once; between them come on_frame() for every reply frame, and on_sent() for every frame that the
 * caller sent. Callbacks come from the loop, never from inside the caller's own calls.
 *
 * A request in several frames is pushed: FRAME_MORE in the first, then net_call_send() each time
 * on_sent() says that the one before has left. Other calls wait until that body is complete. */
#ifndef CAIRN_NET_CLIENT_H
#define CAIRN_NET_CLIENT_H

#include "net/error.h"
#include "net/handshake.h"
#include "net/loop.h"
#include "net/stream.h"
#include "wire/msg.h"

struct net_client;
struct net_call;

struct net_client_config {
    struct io_address address;
    const struct secret *secret; /* of the role; borrowed; NULL or not set: none */
    enum node_role role;
    enum direction direction;    /* for the ledger */
    uint32_t machine;            /* ours, if a node */
    uint32_t call_max;           /* calls at one time */
    uint64_t connect_timeout_ns; /* until the handshake is done */
    uint64_t send_timeout_ns;    /* nothing leaves although there is something to send */
    /** The handshake is done: client->handshake.welcome tells who the server is. May be NULL. */
    void (*on_ready)(struct net_client *client);
    /** The connection is over, all calls have ended, nothing is held. `err`: CANCELLED after
     * net_client_close(); else the cause: UNAVAILABLE, TIMEOUT, CLOSED, PROTOCOL, and from the
     * handshake DENIED, UNSUPPORTED, BUSY. May start or free the client. */
    void (*on_closed)(struct net_client *client, err_t err);
    void *context;
};

struct net_client {
    struct machine machine;
    struct net_loop *loop;
    struct net_client_config config;
    struct net_stream stream;
    struct io_op connect;
    struct io_address address;
    struct handshake_client handshake;
    struct out_frame control;
    struct held held;      /* HELD_CONN */
    struct list calls;     /* started and not ended, oldest first */
    struct list waiting;   /* calls whose first frame has not been queued yet */
    struct net_call *body; /* whose request body is open */
    uint32_t call_count;
    uint64_t next_id;
    struct net_tick tick;
    bool is_running;               /* from start to on_closed */
    struct net_buffer *delivering; /* where the spans of on_frame() lie: net_buffer_keep() it to
                                    * keep them beyond */
    bool is_connecting, is_ready, is_unwinding;
    bool is_paused;
    bool is_kicked;
};

/** Connect. The client must not be running. Errors: BUSY (ledger); nothing is held then. */
MUST err_t net_client_start(
    struct net_client *client, struct net_loop *loop, const struct net_client_config *config);

/** End now: every call ends with CLOSED, then on_closed(CANCELLED). Nothing to do if not running. */
void net_client_close(struct net_client *client);

/** Stop and go on reading replies: back-pressure for a caller that cannot take more now. */
void net_client_pause(struct net_client *client);
void net_client_resume(struct net_client *client);

/* ---- calls ---- */

struct net_call {
    /** A reply frame; ERROR frames come as on_end(). The spans live until it returns, or
     * as long as a reference to client->delivering is kept. frame->flags has FRAME_MORE while others follow. */
    void (*on_frame)(
        struct net_call *call, const struct frame *frame, struct span meta, struct span data);
    /** The frame has left: its data is the caller's again. Not called for frames without data
     * that were the last of their request. May be NULL if the request has one frame. */
    void (*on_sent)(struct net_call *call);
    /** Exactly once: OK (the last reply frame was delivered), TIMEOUT, CLOSED (the connection was
     * lost), PROTOCOL, CANCELLED, or what the server's ERROR said. The call's memory and data are
     * the caller's again. */
    void (*on_end)(struct net_call *call, err_t err);
    void *context;
    uint64_t deadline_ns; /* absolute; 0: none */
    /* of an ERROR: what the server said */
    struct version error_version;
    char error_text[128];
    /* net's own */
    struct list link;         /* in client->calls */
    struct list waiting_link; /* in client->waiting */
    struct net_client *client;
    struct out_frame out;
    uint64_t id;
    err_t err; /* why it ends, once is_over */
    uint16_t flags;
    uint8_t type;
    bool is_body_open; /* further frames of the request are to come */
    bool is_sent_wanted;
    bool is_over; /* on_end() is due as soon as its frame is out of the queue */
};

/** Reset the net's own part and return a writer for the fields of the request (NET_META_MAX). */
struct writer net_call_begin(struct net_call *call);

/**
 * Send the request; with FRAME_MORE in `flags` its body goes on by net_call_send().
 *
 * Errors: BUSY (call_max calls are there), CLOSED (the client is not running); the call has not
 *         started then.
 * Owns:   call and the bytes of `data` are borrowed until on_end().
 */
MUST err_t net_call_start(struct net_client *client, struct net_call *call, uint8_t type,
    uint16_t flags, const struct writer *fields, const struct iovec *data, unsigned data_count);

/** The next frame of the request's body, after on_sent() of the one before; `has_more` false: the
 * last (it may be empty). Nothing to do if the call is over. Borrows as net_call_start(). */
void net_call_send(
    struct net_call *call, const struct iovec *data, unsigned data_count, bool has_more);

/** End the call early with CANCELLED. If its request is only partly sent, the connection is cut. */
void net_call_cancel(struct net_call *call);

#endif
