/* One accepted connection: a stage machine that reads frames, dispatches requests and sends
 * replies. Every event (bytes, a reply queued, a body asked for, a free buffer, the tick) kicks it;
 * it runs once per turn and does all that is possible.
 *
 *   WORK -> MOVING -> WORK     offered to another loop (move.c), which had no room
 *     |        `----> UNWIND   ... which took it: the socket is no longer ours
 *     |---> LINGER -> UNWIND   an ERROR was sent: let the peer read it before the socket goes
 *     `-------------> UNWIND -> DONE   cancel what is out, wait for requests, give all back */
#ifndef CAIRN_NET_CONNECTION_H
#define CAIRN_NET_CONNECTION_H

#include "net/server.h"
#include "net/stream.h"

enum move_stage {
    MOVE_NONE,
    MOVE_WANTED, /* waiting until the other requests have ended */
    MOVE_ASKED,  /* the other loop reads this connection: nothing here may change */
    MOVE_ACCEPTED,
    MOVE_REFUSED,
};

/** The question to the other loop; embedded, so that asking takes no memory. */
struct net_move {
    struct io_message message;
    struct net_server *to;
    struct net_request *request; /* the one that makes it move */
    int fd;
    enum move_stage stage;
    bool is_taken; /* the answer, written by the other loop */
};

struct net_connection {
    struct machine machine;
    struct net_server *server;
    uint64_t number;
    struct held held;
    struct list link; /* in server->live */
    struct net_stream stream;
    struct handshake_server handshake;
    struct out_frame control; /* handshake, and errors that concern no request */
    struct list requests;     /* in flight, oldest first */
    uint32_t request_count;
    struct net_request *body; /* whose body is open; NULL with is_body_open: it is drained */
    uint64_t body_id;         /* request id of the open body */
    bool is_body_open;
    struct pool_waiter slot_waiter; /* for a request slot */
    struct net_request *spare;      /* the slot that came */
    bool is_kicked;
    bool is_input_over; /* nothing more is read: end of stream, error or drain */
    bool is_fault_told;
    err_t fault; /* why the input is over early; the peer is told, unless it is gone */
    uint64_t linger_since_ns;
    struct net_tick tick;
    struct net_move move;
};

/** A connection in the first stage of its life, without a socket yet; NULL: no slot. */
struct net_connection *connection_open(struct net_server *server);

/** Give it the socket (moved out of *socket). */
void connection_attach(struct net_connection *connection, struct io_handle *socket);

/** Something has happened: run soon. */
void connection_kick(struct net_connection *connection);

/** Stop at once; requests in flight still have to end. */
void connection_cut(struct net_connection *connection);

/** server.c: one is gone: accept others again. */
void server_connection_ended(struct net_server *server);

/** request.c: a slot, a request in the connection's list; NULL as pool_take(). */
struct net_request *request_open(struct net_connection *connection);
/** request.c: take the body that was asked for to its end. */
void request_fail_body(struct net_request *request, err_t err);
/** request.c: end it without the role: it was never dispatched, or lives on elsewhere. */
void request_close(struct net_request *request);

/** move.c: may the connection be offered now? */
bool move_is_ready(const struct net_connection *connection);
/** move.c: offer it. */
void move_ask(struct net_connection *connection);
/** move.c: it was refused: the request is answered BUSY, the connection goes on. */
void move_resume(struct net_connection *connection);

#endif
