/* The sending side of mirroring: what each own stream of a loop has committed is brought to every
 * other member of the group, over a connection of its own. doc/decisions/0021-mirrors.md.
 *
 *   pushes_init (one push per stream and possible peer) -> pushes_members() each time members change
 *   -> pushes_stop -> until pushes_is_idle -> pushes_fini
 *
 *   of a push:
 *
 *   OFF -> WAITING -> CONNECTING -> FOLLOWING -> RUNNING: PUSH | PUSH_SINGLE, several on their way
 *            ^           |             |           |
 *            `-----------+-------------+-----------'   lost, refused: again, with back-off, from FOLLOWED
 *            `--- MUST_REBUILD | AHEAD: what it would need is not in the log; asked again slowly
 *
 * What is sent next is made by a builder (push_batch.h: reads the log, and slots that the log refers
 * to), of which the loop has few, each with its buffers; it waits for disks only, never for a peer. A
 * change of a single file is streamed (push_single.h). What is on its way to a peer lies in buffers of
 * a pool, each push holds few: a peer that takes nothing holds up nobody else.
 *
 * A position moves only when the peer says so (FOLLOWED, PUSHED). The log is kept from the least
 * position on that a peer would go on from after a restart (stream_retain). */
#ifndef CAIRN_STORAGE_PUSH_H
#define CAIRN_STORAGE_PUSH_H

#include "base/event.h"
#include "net/client.h"
#include "storage/members.h"
#include "storage/push_batch.h"
#include "storage/push_gate.h"
#include "storage/push_lag.h"
#include "storage/push_report.h"
#include "storage/push_single.h"
#include "storage/store.h"

enum {
    PUSH_CALLS_MAX = 8,   /* pushes of one peer that are on their way */
    PUSH_BUFFERS_MIN = 4, /* of a loop */
    PUSH_MISSED_MAX = 64, /* LSNs remembered that a peer does not hold */
};

enum push_state {
    PUSH_OFF,        /* no member, or removed */
    PUSH_WAITING,    /* for the next attempt */
    PUSH_CONNECTING, /* and until FOLLOWED */
    PUSH_RUNNING,
    PUSH_MUST_REBUILD, /* the log begins behind the peer's position */
    PUSH_AHEAD,        /* the peer has what this storage never had: state was lost here */
    PUSH_STATE_COUNT
};
/** "running", "must-rebuild", "behind-itself" ...; of the state and of what else stands in the way */
const char *push_state_name(enum push_state state);

/** A PUSH or PUSH_SINGLE on its way. */
struct push_call {
    struct net_call call;
    struct push *push;
    uint8_t *buffer;  /* of the pool; NULL: all has left */
    struct span rest; /* that has not left yet */
    struct iovec iov;
    uint32_t cost; /* of the peer's credit, bytes */
    uint64_t lsn_from, lsn_to;
    bool is_out, is_single;
};

/** A stream and a peer. */
struct push {
    struct push_stream *stream;
    struct owner owner;
    uint32_t machine;  /* of the peer; 0: there is none */
    uint8_t its_state; /* as members were told */
    struct nonce uuid;
    struct io_address address;
    bool is_wanted; /* a member that counts */
    bool is_lost;   /* the connection goes, or must: nothing new begins */
    bool is_told;   /* its trouble is in the log */
    enum push_state state;
    struct net_client client;
    struct net_call follow;
    struct push_call calls[PUSH_CALLS_MAX];
    uint32_t calls_out;
    uint32_t credit, credit_used; /* bytes */
    uint64_t next_ns, retry_ns;   /* of the next attempt; back-off */
    struct log_read read;         /* open while the peer follows */
    bool is_read_open;
    struct push_batch *batch; /* being built */
    struct push_single single;
    uint32_t buffers_held;
    bool wants_buffer, wants_builder, wants_applied, wants_room;
    /* the peer's position: what is durable there; what it would go on from; what was sent */
    uint64_t incarnation, held_lsn, kept_lsn, sent_lsn;
    uint64_t read_incarnation, read_lsn; /* up to here the log was looked through */
    bool is_checked;                     /* its position is one of ours */
    bool has_kept;
    uint64_t sent_ns, sent_watermark;
    uint64_t read_watermark, read_time_ns; /* of the last own record that was read */
    /* LSNs that were left out here, or that the peer has no use for; those up to the floor are not known
     * one by one */
    uint64_t missed[PUSH_MISSED_MAX], missed_floor;
    uint32_t missed_count, missed_at;
    err_t err; /* why the last connection ended */
    uint64_t pushes_sent, records_sent, bytes_sent, left_out;
};

/** An own stream. */
struct push_stream {
    struct stream_watcher watcher;
    struct pushes *pushes;
    struct stream *stream;
    struct push *all;  /* by index of the member */
    struct list holds; /* struct push_hold */
    struct push_lag lag;
    uint64_t retained_lsn;
    bool is_watched;
};

struct pushes_options {
    struct store *store;
    struct net_loop *net;
    struct event_log *log;
    const struct secret *node_secret; /* borrowed */
    struct nonce uuid;                /* of this storage */
    uint32_t peers_max;               /* members above are not pushed to */
    uint32_t buffer_count;
    struct push_window window;
    uint64_t rate; /* bytes per second of this loop; 0: no limit */
    uint64_t send_timeout_ns;
    /* A peer knows more of a stream of ours than we do. Once per connection. May be NULL. */
    void (*on_ahead)(void *context, const struct push *push);
    void *context;
};

/** Of one loop. */
struct pushes {
    struct pushes_options options;
    struct owner owner;
    struct members members;
    struct push_stream *streams;
    struct push *all; /* of all streams */
    uint32_t stream_count;
    struct pool buffers;
    size_t buffer_size;
    struct push_batch builders[PUSH_BUILDERS];
    struct push_seeds seeds;
    struct push_report *reports; /* one per push */
    uint32_t report_count;
    struct push_rate rate;
    struct net_tick tick;
    uint32_t next_turn; /* who is asked first */
    bool is_ticking, is_stopping;
};

/** Bytes of memory for `streams` streams of a loop. */
uint64_t pushes_bytes(
    const struct store_config *store, uint32_t streams, uint32_t peers_max, uint32_t buffer_count);

/** For every stream that this loop owns and that is open. Errors: BUSY, NO_RESOURCE; nothing is held
 * then. Durable: nothing; positions are the followers'. */
MUST err_t pushes_init(struct pushes *pushes, const struct pushes_options *options);
void pushes_fini(struct pushes *pushes);

/** The group's members are these from now on. */
void pushes_members(struct pushes *pushes, const struct members *members);

/** That member is there: it has come to us. Who waits for it tries again at once. */
void pushes_greet(struct pushes *pushes, uint32_t machine);

/** Close every connection. What waits for mirrors (push_hold.h) is answered. */
void pushes_stop(struct pushes *pushes);
bool pushes_is_idle(const struct pushes *pushes);

/** Of this stream; NULL: it is not one of the loop's. */
struct push_stream *pushes_find(struct pushes *pushes, const struct stream *stream);

/* ---- among the files push*.c ---- */

#define PUSH_EACH(stream, push)             \
    for (struct push *push = (stream)->all; \
         push < (stream)->all + (stream)->pushes->options.peers_max; push++)

/** Send what can be sent; harmless at any time. */
void push_pump(struct push *push);
/** Position and watermark move on although there is nothing to send: about once a second. */
void push_send_idle(struct push *push, uint64_t now_ns);
/** Everybody once, each time beginning with another one. */
void pushes_pump(struct pushes *pushes, bool only_waiting);
/** A position has moved: keep the log from the least one on. */
void push_retain(struct push_stream *stream);
/** The same for who waits for something that is free now. */
void pushes_pump_waiting(struct pushes *pushes);
/** The window is open, and there are tokens. */
bool push_is_allowed(struct push *push);
/** Give the connection up, and come back later. */
void push_lose(struct push *push, err_t err);
/** What push_batch made is there: send it, or begin to stream. */
void push_built(struct push *push, struct push_batch *batch);
/** The streaming of a single file is over. */
void push_streamed(struct push *push);
/** The peer does not hold what this LSN says, and won't get it by a push. */
void push_note_missed(struct push *push, uint64_t lsn);
/** The peer holds this record durably. */
bool push_holds(const struct push *push, uint64_t lsn);
bool push_misses(const struct push *push, uint64_t lsn);
/** NULL: none may be had now. */
uint8_t *push_take_buffer(struct push *push);
void push_give_buffer(struct push *push, uint8_t *buffer);
/** All of the call has left: an answer is expected soon. */
void push_expect_answer(struct push_call *call);
/** A free call; NULL: none. */
struct push_call *push_free_call(struct push *push);
/** Begin PUSH or PUSH_SINGLE: `first` of the body, more to come if `has_more`. False: it was lost. */
MUST bool push_send(struct push *push, struct push_call *call, uint8_t type,
    const struct writer *fields, struct span first, bool has_more);
/** Of ids of the stream, for who has everything up to `lsn`, which was read with `read_watermark`. */
uint64_t push_watermark(const struct push *push, uint64_t lsn);
/* push_link.c */
void push_link_tick(struct push *push, uint64_t now_ns);
void push_link_drop(struct push *push);
/** Nothing of a lost connection is left: wait for the next attempt. Harmless at any time. */
void push_link_settle(struct push *push);
/** The peer cannot be served from this log: MUST_REBUILD or AHEAD. */
void push_link_stick(struct push *push, enum push_state state);
bool push_link_is_idle(const struct push *push);
/* push_hold.c */
void push_holds_look(struct push_stream *stream);
void push_holds_tick(struct push_stream *stream, uint64_t now_ns);

#endif
