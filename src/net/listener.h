/* Accepts connections and hands them on; who finds no place is told so.
 *
 *   listener_start -> accepted(socket) ... -> listener_drain -> (listener_is_idle)
 *
 * One accept is out at a time. A refused one is sent a fixed text and gets a second to read it and to
 * close: closing first would reset the connection and lose the text. Some may be refused at a time;
 * above that a socket is just closed. */
#ifndef CAIRN_NET_LISTENER_H
#define CAIRN_NET_LISTENER_H

#include "net/loop.h"

enum { LISTENER_REFUSALS = 2, LISTENER_REFUSAL_MAX = 512 };

struct net_listener;

/** One who is refused. */
struct net_refusal {
    struct net_listener *listener;
    struct io_handle socket;
    struct io_op op;
    struct iovec iov;
    uint64_t deadline_ns;
    uint8_t said[256]; /* what it says meanwhile */
    bool is_hurried;   /* others wait for its place */
};

struct net_listener_config {
    struct io_address address;           /* port 0: any */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    struct span refusal;                 /* borrowed for ever; at most LISTENER_REFUSAL_MAX bytes */
    /** Take *socket (io_handle_move). False: there is no place, refuse it. */
    bool (*accepted)(struct net_listener *listener, struct io_handle *socket);
    void *context;
};

struct net_listener {
    struct net_loop *loop;
    struct owner *owner; /* of the listening socket */
    struct net_listener_config config;
    struct io_address address; /* that it listens on, with the real port */
    struct io_handle handle;
    struct io_op accept;
    struct io_handle socket; /* the accepted one; stays while it waits to be refused */
    struct io_address peer;
    struct net_tick retry; /* an accept that failed is tried again at the next tick */
    struct net_refusal refusals[LISTENER_REFUSALS];
    uint64_t accepted, refused; /* counters */
    bool is_draining;
};

/** Listen, and accept from the next turn of the loop. Uses io_call: start-up only.
 * Errors: those of IO_LISTEN; nothing is held then. */
MUST err_t listener_start(struct net_listener *listener, struct net_loop *loop, struct owner *owner,
    const struct net_listener_config *config);

/** Accept nobody any more. Turn the loop until listener_is_idle(). */
void listener_drain(struct net_listener *listener);
bool listener_is_idle(const struct net_listener *listener);

#endif
