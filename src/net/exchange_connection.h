/* A connection that serves one request after the other, and what its protocol does for it. */
#ifndef CAIRN_NET_EXCHANGE_CONNECTION_H
#define CAIRN_NET_EXCHANGE_CONNECTION_H

#include "net/accepted.h"
#include "net/exchange.h"

struct exchange_connection {
    struct accepted accepted;
    struct exchange *exchange;  /* in the protocol's connection; at work while request_count is 1 */
    struct out_frame control;   /* what belongs to no answer */
    struct pool_waiter in_line; /* the request waits for room */
    uint64_t head_since_ns;     /* the first byte of a head came; 0: none has */
    uint64_t drain_left;        /* bytes of a body that nobody wanted */
    uint64_t drain_size, drain_since_ns;
    bool has_room_come; /* it waited, and is to be served */
    bool closes;        /* behind the answer */
    bool has_rest;      /* the peer sends what nobody reads */
};

enum exchange_head {
    EXCHANGE_NEED_MORE,
    EXCHANGE_NONE, /* nothing to serve: it was refused, or the peer says good-bye */
    EXCHANGE_OPEN, /* exchange_open() was called */
};

struct exchange_kind {
    struct accepted_kind accepted; /* EXCHANGE_ACCEPTED("http", struct http_connection) */
    size_t exchange_offset;        /* of the struct exchange in the connection */
    /** Decode a head at the beginning of `unread`, which is not empty. */
    enum exchange_head (*read_head)(struct exchange_connection *c, struct span unread);
    /** The role's on_request(). */
    void (*serve)(struct exchange *exchange);
    /** Bring the next piece of the body together: exchange_deliver() and true, or false. */
    bool (*read_body)(struct exchange *exchange);
    /** What lacks of the body is about to be received. May be NULL. */
    void (*body_lacks)(struct exchange *exchange);
    /** The head lies somewhere else now: decode it once more. */
    void (*head_moved)(struct exchange *exchange, struct span head);
    /** A head does not come to its end. True: cut the connection. NULL: the same. */
    bool (*head_is_late)(struct exchange_connection *c);
    /** Answer that there is no room, and end. */
    void (*refuse_busy)(struct exchange *exchange);
};

/* What the kind's struct accepted_kind calls: exchange_connection.c */
void exchange_opened(struct accepted *c);
void exchange_work(struct accepted *c);
void exchange_unwind(struct accepted *c);
bool exchange_lingers(struct accepted *c);
bool exchange_is_late(struct accepted *c, uint64_t now_ns);
bool exchange_take(struct accepted *to, struct accepted *from);
void exchange_leave(struct accepted *c);
void exchange_stay(struct accepted *c);

#define EXCHANGE_ACCEPTED(text, connection)                                                      \
    {                                                                                            \
        .machine = ACCEPTED_MACHINE(text "-connection"), .listener_name = text "-listener",      \
        .pool_name = text ".connections", .size = sizeof(connection), .opened = exchange_opened, \
        .work = exchange_work, .end = exchange_unwind, .lingers = exchange_lingers,              \
        .is_late = exchange_is_late, .take = exchange_take, .leave = exchange_leave,             \
        .stay = exchange_stay                                                                    \
    }

static inline struct exchange_server *exchange_server_of(const struct exchange_connection *c)
{
    return CONTAINER_OF(c->accepted.acceptor, struct exchange_server, acceptor);
}

static inline const struct exchange_kind *exchange_kind_of(const struct exchange_connection *c)
{
    _Static_assert(offsetof(struct exchange_kind, accepted) == 0, "they are cast");
    return (const struct exchange_kind *)(const void *)c->accepted.acceptor->kind;
}

/** Throw the next `size` bytes away, and go on behind them. */
void exchange_drain(struct exchange_connection *c, uint64_t size);
/** Nothing more is read; the peer has time for what it was told. */
void exchange_close_input(struct exchange_connection *c);
/** Send the first `size` bytes of c->control.head, which is not queued. */
void exchange_send_control(struct exchange_connection *c, size_t size);

/* ---- of a request: exchange.c ---- */

/** A head of `head_size` bytes was read, a body of `body_size` follows (0 where has_more and it is not
 * known). The rest of the protocol's request is set already; the exchange is all new. */
void exchange_open(
    struct exchange_connection *c, size_t head_size, bool has_more, uint64_t body_size);
/** A large buffer for the body, with the head in front, so that the small one is free again. False: one
 * is waited for. */
bool exchange_take_large(struct exchange *exchange);
/** exchange_kind.read_body where the body's size is known. */
bool exchange_read_body(struct exchange *exchange);
/** Give the role a piece. Returns true. */
bool exchange_deliver(struct exchange *exchange, struct span data, bool has_more);
/** What the role did not take of its room goes back. */
void exchange_give_room(struct exchange *exchange);
/** Nothing more comes: the role is told. */
void exchange_fail_body(struct exchange *exchange, err_t err);
/** Send the first `head_size` bytes of exchange->out.head, and `data`; then sent() if there is one. */
void exchange_queue_reply(struct exchange *exchange, size_t head_size, const struct iovec *data,
    unsigned data_count, void (*sent)(struct exchange *exchange, err_t err));

#endif
