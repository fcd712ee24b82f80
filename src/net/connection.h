/* One accepted connection of the native protocol: reads frames, dispatches requests side by side, and
 * sends replies. accepted.h has the machine that runs it. */
#ifndef CAIRN_NET_CONNECTION_H
#define CAIRN_NET_CONNECTION_H

#include "net/accepted.h"
#include "net/server.h"

struct net_connection {
    struct accepted accepted;
    struct handshake_server handshake;
    struct out_frame control; /* handshake, and errors that concern no request */
    struct list requests;     /* in flight, oldest first: accepted.request_count */
    struct net_request *body; /* whose body is open; NULL with is_body_open: it is drained */
    uint64_t body_id;         /* request id of the open body */
    bool is_body_open;
    struct pool_waiter slot_waiter; /* for a request slot */
    struct net_request *spare;      /* the slot that came */
    struct net_request *moving;     /* the one that makes the connection move */
    bool is_fault_told;
    err_t fault; /* why the input is over early; the peer is told, unless it is gone */
};

static inline struct net_connection *net_connection_of(struct accepted *accepted)
{
    return CONTAINER_OF(accepted, struct net_connection, accepted);
}

static inline struct net_server *net_server_of(const struct net_connection *connection)
{
    return CONTAINER_OF(connection->accepted.acceptor, struct net_server, acceptor);
}

extern const struct accepted_kind net_connection_kind;

/** request.c: a slot, a request in the connection's list; NULL as pool_take(). */
struct net_request *request_open(struct net_connection *connection);
/** request.c: take the body that was asked for to its end. */
void request_fail_body(struct net_request *request, err_t err);
/** request.c: end it without the role: it was never dispatched, or lives on elsewhere. */
void request_close(struct net_request *request);

/* move.c: accepted_kind. */
bool connection_take(struct accepted *to, struct accepted *from);
void connection_taken(struct accepted *to);
void connection_leave(struct accepted *accepted);
void connection_stay(struct accepted *accepted);

#endif
