/* A connected socket with both its halves: receives into an input, sends an output, one operation
 * of each at a time, and says when something has changed. What the frames mean is its user's. */
#ifndef CAIRN_NET_STREAM_H
#define CAIRN_NET_STREAM_H

#include "net/input.h"
#include "net/loop.h"
#include "net/output.h"

struct net_stream {
    struct net_loop *loop;
    struct owner *owner;
    void (*changed)(struct net_stream *stream); /* kick the user; never from inside its calls */
    struct io_handle socket;
    struct io_op recv, send;
    struct iovec recv_iov;
    struct net_input input;
    struct net_output output;
    struct pool_waiter waiter; /* for a buffer */
    bool is_waiting;
    bool is_discarding; /* what comes is thrown away */
    bool is_ended;      /* the peer sends nothing more */
    bool is_stopping;
    err_t err; /* the stream is lost: neither half works. ERR_OK: it is not */
    uint64_t read_since_ns, sent_since_ns; /* newest progress, or when waiting for it began */
};

void stream_init(struct net_stream *stream, struct net_loop *loop, struct owner *owner,
    void (*changed)(struct net_stream *stream));

static inline bool stream_is_lost(const struct net_stream *stream)
{
    return err_is(stream->err);
}
/** Give up: the first cause counts. */
void stream_lose(struct net_stream *stream, err_t err);

/** Receive what the input lacks, unless that is going on already. Waits for a buffer if none is
 * there; lost with BUSY if the ledger refused one. */
void stream_receive(struct net_stream *stream);

/** Wait for a buffer that the input lacks (INPUT_NO_SMALL, INPUT_NO_LARGE). */
void stream_wait_buffer(struct net_stream *stream, enum input_result lack);

/** Send what is queued, unless that is going on already. */
void stream_send(struct net_stream *stream);

/** Nothing is queued and nothing is on its way out. */
bool stream_is_flushed(const struct net_stream *stream);

/** Stop both halves and fail what is queued with CLOSED. True when all operations are home; else
 * call it again after changed(). */
bool stream_stop(struct net_stream *stream);

/** Give socket and buffers back; stream_stop() must have said true. */
void stream_fini(struct net_stream *stream);

#endif
