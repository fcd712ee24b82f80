/* One accepted connection, whatever it speaks: a stage machine that every event kicks (bytes, a reply
 * queued, content asked for, a free buffer, the tick); it runs once per turn and does all that is
 * possible. A protocol's connection begins with a struct accepted; its struct accepted_kind does what
 * the protocol has of its own.
 *
 *   WORK -> MOVING -> WORK     offered to another loop (accepted_move.c), which had no room
 *     |        `----> UNWIND   ... which took it: the socket is no longer ours
 *     |---> LINGER -> UNWIND   the peer is still to read, or sends what nobody reads
 *     `-------------> UNWIND -> DONE   cancel what is out, wait for requests, give all back */
#ifndef CAIRN_NET_ACCEPTED_H
#define CAIRN_NET_ACCEPTED_H

#include "net/acceptor.h"
#include "net/stream.h"

struct accepted;

/** What a protocol does. `c` is the beginning of its own connection. */
struct accepted_kind {
    struct machine_kind machine; /* ACCEPTED_MACHINE("http-connection") */
    const char *listener_name, *pool_name;
    size_t size; /* bytes of a connection */
    /** All bytes behind the struct accepted are zero: set what has to be something else. */
    void (*opened)(struct accepted *c);
    /** Read and serve what is there, start receiving what lacks; set is_input_over when nothing more
     * is read. What is queued is sent behind it. */
    void (*work)(struct accepted *c);
    /** Nothing works any more: who waits for input has to hear it, who waits for others is taken out.
     * May be called more than once. */
    void (*end)(struct accepted *c);
    /** Is the peer given time behind the last answer? */
    bool (*lingers)(struct accepted *c);
    /** Has the peer let us wait too long? True: it is cut. */
    bool (*is_late)(struct accepted *c, uint64_t now_ns);
    /** On the other loop: copy what `from` had read and was serving. False: no room. */
    bool (*take)(struct accepted *to, struct accepted *from);
    /** On the other loop, with the socket: serve it. May be NULL. */
    void (*taken)(struct accepted *to);
    /** The request that makes it move lives on elsewhere: end it without an answer. */
    void (*leave)(struct accepted *c);
    /** The other loop had no room: answer that request so. */
    void (*stay)(struct accepted *c);
    /** It has ended; its number was this. May be NULL. */
    void (*gone)(struct acceptor *acceptor, uint64_t number);
};

enum {
    ACCEPTED_WORK,
    ACCEPTED_MOVING,
    ACCEPTED_LINGER,
    ACCEPTED_UNWIND,
    ACCEPTED_DONE,
    ACCEPTED_STAGE_COUNT
};
extern const struct stage accepted_stages[ACCEPTED_STAGE_COUNT];

#define ACCEPTED_MACHINE(name)                                                        \
    {                                                                                 \
        (name), accepted_stages, ACCEPTED_STAGE_COUNT, ACCEPTED_UNWIND, ACCEPTED_DONE \
    }

enum move_stage {
    MOVE_NONE,
    MOVE_WANTED, /* waiting until the connection is quiet */
    MOVE_ASKED,  /* the other loop reads this connection: nothing here may change */
    MOVE_TAKEN,
    MOVE_REFUSED,
};

/** The question to the other loop; embedded, so that asking takes no memory. */
struct accepted_move {
    struct io_message message;
    struct acceptor *to;
    int fd;
    enum move_stage stage;
    bool is_taken; /* the answer, written by the other loop */
};

struct accepted {
    struct machine machine;
    struct acceptor *acceptor;
    uint64_t number; /* of this acceptor, never used twice */
    struct held held;
    struct list link; /* in acceptor->live */
    struct net_stream stream;
    struct io_address peer;
    uint32_t request_count; /* in flight */
    uint64_t linger_since_ns;
    struct net_tick tick;
    struct accepted_move move;
    bool is_kicked;
    bool is_input_over; /* nothing more is read: end of stream, error or drain */
};

/** A connection without a socket yet; NULL: no slot. */
struct accepted *accepted_open(struct acceptor *acceptor);
/** Something has happened: run soon. */
void accepted_kick(struct accepted *c);
/** Stop at once; requests in flight still have to end. */
void accepted_cut(struct accepted *c);

/** Go to another acceptor of the process, with the one request that is in flight, as soon as nothing
 * is on its way. CHECKs that this is another loop. */
void accepted_move_to(struct accepted *c, struct acceptor *to);

/* accepted_move.c: for the machine. */
bool accepted_move_is_ready(const struct accepted *c);
void accepted_move_ask(struct accepted *c);
void accepted_move_resume(struct accepted *c);

#endif
