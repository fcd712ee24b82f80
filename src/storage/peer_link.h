/* A connection to one member at a time, and one question on it at a time, with the whole answer in the
 * asker's memory. For machines that go step by step (reconcile.h).
 *
 *   peer_link_begin -> (fields) -> peer_link_ask -> machine arrives: err, type, meta, data -> ... -> hang up
 *
 * A connection is made when it is needed and kept until another member is asked, or hang up. Several links may
 * ask over the connection of one, side by side: `through`. */
#ifndef CAIRN_STORAGE_PEER_LINK_H
#define CAIRN_STORAGE_PEER_LINK_H

#include "net/client.h"
#include "storage/members.h"

struct storage_loop;

enum { PEER_LINK_TIMEOUT_S = 30, PEER_LINK_CALLS = 5 /* of one connection */ };

struct peer_link {
    struct peer_link *through; /* whose connection; NULL: its own */
    struct storage_loop *loop; /* where the client lives */
    struct net_client client;
    struct net_call call;
    struct machine *machine; /* waits for the answer */
    struct iovec body;       /* of the question; at most FRAME_DATA_MAX bytes, 0: none */
    bool is_out, is_hung_up;
    /* the answer */
    err_t err;
    uint8_t type;
    size_t meta_size, size;
    uint8_t *data; /* the asker's: `capacity` bytes */
    size_t capacity;
    uint8_t meta[64];
};

/** Connect to `member`, if that is not so already, and begin the fields of a question. Only while
 * peer_link_is_idle() or connected to the same member (else BUSY).
 * Errors: BUSY, CLOSED (the old connection is going: hang up, and try when it is idle). */
MUST err_t peer_link_begin(struct peer_link *link, struct storage_loop *loop,
    const struct member *member, struct writer *ret_fields);

/** Ask; link->body, if set since peer_link_begin, goes with it and is lent until the arrival. Arrives, whatever happens: link->err OK and the answer, or TIMEOUT, CLOSED, UNAVAILABLE, TOO_LARGE
 * (the answer does not fit) or what the peer said. */
void peer_link_ask(
    struct peer_link *link, uint8_t type, const struct writer *fields, struct machine *machine);

/** Of its own connection. */
void peer_link_hang_up(struct peer_link *link);
/** No connection; of another's: no question. */
bool peer_link_is_idle(const struct peer_link *link);

static inline struct span peer_link_meta(const struct peer_link *link)
{
    return span_of(link->meta, link->meta_size);
}

#endif
