/* Accepts connections and keeps them, whatever they speak; one per loop and address. The server of a
 * protocol holds an acceptor; accepted.h has the connections.
 *
 *   acceptor_start -> (connections come and end) -> acceptor_drain -> (acceptor_is_idle) -> acceptor_fini */
#ifndef CAIRN_NET_ACCEPTOR_H
#define CAIRN_NET_ACCEPTOR_H

#include "net/listener.h"

struct accepted_kind;

struct acceptor_config {
    struct io_address address;           /* port 0: any; the real one is in listener.address */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    uint32_t connection_max;
    uint64_t send_timeout_ns; /* nothing leaves although there is something to send */
    struct span refusal;      /* what is told above connection_max; borrowed for ever */
};

struct acceptor {
    struct net_loop *loop;
    const struct accepted_kind *kind;
    struct acceptor_config config;
    struct owner owner; /* of the listening socket and of connection slots */
    struct net_listener listener;
    struct pool connections;
    struct list live; /* every struct accepted */
    uint32_t connection_count;
    uint64_t opened; /* connections so far: their numbers */
    bool is_draining;
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t acceptor_start(struct acceptor *acceptor, struct net_loop *loop,
    const struct accepted_kind *kind, const struct acceptor_config *config);
/** Accept nobody and no request any more; the ones that run end, then connections close. Turn the
 * loop until acceptor_is_idle(). */
void acceptor_drain(struct acceptor *acceptor);
/** Cut every connection now: nothing more is read or sent; requests still have to end. */
void acceptor_cut(struct acceptor *acceptor);
/** Nothing is held: no connection, no listener, no operation. */
bool acceptor_is_idle(const struct acceptor *acceptor);
/** Give the memory back; the acceptor must be idle. */
void acceptor_fini(struct acceptor *acceptor);

#endif
