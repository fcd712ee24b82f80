/* Protocols whose connections serve one request after the other (HTTP, FastDFS): an exchange is a
 * request, its body, and its answer; what a client sends ahead waits in its buffer.
 *
 * A body is pulled: exchange_next_data() asks for the next piece and gives the one before back. What a
 * request leaves unread is thrown away, or the connection is closed behind the answer: the protocol
 * says which.
 *
 * Slow clients: a head must be complete within head_timeout_ns; bodies, also those that are thrown away,
 * must come with at least EXCHANGE_BODY_RATE_MIN bytes a second; answers must be taken within
 * send_timeout_ns.
 *
 * Nothing here calls the role from inside one of the role's own calls. */
#ifndef CAIRN_NET_EXCHANGE_H
#define CAIRN_NET_EXCHANGE_H

#include "net/acceptor.h"
#include "net/output.h"

enum { EXCHANGE_BODY_RATE_MIN = 512 }; /* bytes a second, from ten seconds on */

struct exchange_connection;
struct exchange_kind;

struct exchange_config {
    struct io_address address;           /* port 0: any */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    uint32_t connection_max;
    uint64_t idle_timeout_ns; /* between requests */
    uint64_t head_timeout_ns; /* from the first byte of a request's head to its last */
    uint64_t send_timeout_ns; /* nothing leaves although there is something to send */
    struct pool
        *ops; /* of the role: a request takes a slot of it, or stands in line; may be NULL */
};

struct exchange_server {
    struct acceptor acceptor;
    uint64_t idle_timeout_ns, head_timeout_ns;
    struct pool *ops;
    uint64_t requests_served; /* counter */
};

/** As acceptor_start(); `refusal` is what is told above connection_max, borrowed for ever.
 * Errors: those of acceptor_start(). */
MUST err_t exchange_server_start(struct exchange_server *server, struct net_loop *loop,
    const struct exchange_kind *kind, const struct exchange_config *config, struct span refusal);

struct exchange {
    struct span data; /* of the newest piece of the body: stable until the next is asked for */
    bool has_more;    /* the body goes on behind `data`; at first: there is one */
    err_t body_err;   /* the body ended early: CLOSED, PROTOCOL */
    void *op;         /* the role's */
    void *room;       /* slot of config.ops; who takes it sets NULL and gives it back; NULL: none */
    struct exchange_connection *connection;
    uint64_t connection_number; /* of this server, never used twice */
    struct io_address peer;     /* who asks */
    /* net's own */
    struct span bytes;         /* head and what came behind it, in the small buffer */
    struct net_buffer *buffer; /* head and body piece, or the small buffer that the head came in */
    uint32_t base;             /* bytes of the head in a large buffer */
    uint32_t filled;           /* of the next piece, where the protocol puts it together itself */
    uint64_t body_left;        /* bytes that have not been given out, if that is known */
    uint64_t body_since_ns;    /* when the body was first waited for */
    uint64_t body_size;        /* bytes given out so far */
    uint64_t reply_left;       /* bytes of the answer's body that are still owed */
    void (*wake)(struct exchange *exchange);
    void (*sent)(struct exchange *exchange, err_t err);
    struct out_frame out;
    bool is_ended, is_answered;
};

/** Ask for the next piece of the body. `wake` is called once, later: data and has_more are new (data
 * may be empty with the last), or body_err is set. CHECKs that has_more is set. */
void exchange_next_data(struct exchange *exchange, void (*wake)(struct exchange *exchange));

/** What was asked for is not wanted any more: `wake` does not come. The connection ends behind the
 * answer. */
void exchange_cancel_data(struct exchange *exchange);

/** The request is over: spans die. If nothing was answered, or less than was announced, the connection
 * is cut, so that the client knows. CHECKs that no `wake` is pending. */
void exchange_end(struct exchange *exchange);

/** Nothing sent to this peer can arrive any more. */
bool exchange_is_gone(const struct exchange *exchange);

/** Serve this request, and its connection from now on, on the loop of `to`: from inside on_request(),
 * or later, while nothing was answered and no byte of the body was asked for. The request is not the
 * caller's any more; on_request() of `to` gets it as a new one. When `to` has no room the client is
 * told that the server is busy. `to` must be of this process, and started. */
void exchange_move(struct exchange *exchange, struct exchange_server *to);

#endif
