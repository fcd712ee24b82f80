/* The client's operations without blocking: many in flight on one loop, over pooled, pipelined
 * connections. The command line, the benchmark and libcairn are built on this.
 *
 *   client_init -> client_start(op) ... op->done(op) ... -> client_shutdown -> client_fini
 *
 * An operation asks a tracker where to go (answers are kept for a moment), tries the storages named
 * in their order, and asks again after a growing pause, until the outcome is known, the rounds are
 * used up, or its deadline has passed: timeout_ns after the start, and after the last piece of
 * content that moved.
 *
 * Repeating is harmless: a change carries one nonce through all its attempts. When the last attempt
 * leaves open whether the change happened, the error is OUTCOME_UNKNOWN, never a guess. */
#ifndef CAIRN_CLIENT_CLIENT_H
#define CAIRN_CLIENT_CLIENT_H

#include "client/link.h"
#include "client/route.h"

enum {
    CLIENT_TRACKERS_MAX = 16,
    CLIENT_SERVERS_MAX = 64, /* trackers and storages that are remembered */
    CLIENT_SENTENCE_MAX = 320,
};

struct client_op;

/** A content on its way out. Given by the caller, one operation at a time. */
struct client_source {
    /** Begin to put up to `size` bytes into `buffer`, which stays put until
     * client_source_filled(). That may be called before this returns, never later than the
     * operation's end. */
    void (*fill)(struct client_source *source, uint8_t *buffer, size_t size);
    /** Start again at the first byte. NULL, or false: it can't. */
    bool (*rewind)(struct client_source *source);
    /** A fill is out and nobody waits for it any more: let it come home soon. NULL: it does. */
    void (*cancel)(struct client_source *source);
    struct client_op *op; /* set by client_start */
};

/** `result`: how many bytes are in the buffer, 0 at the end, or -errno (-ECANCELED: the caller
 * gives up). */
void client_source_filled(struct client_source *source, int64_t result);
/** The same with bytes that lie elsewhere and stay put until the next fill or the end; at most
 * FRAME_DATA_MAX. */
void client_source_lent(struct client_source *source, const uint8_t *data, size_t size);

/** A content on its way in. */
struct client_sink {
    /** The next bytes, in order; `data` is valid during the call only. An error ends the operation
     * with it. */
    err_t (*take)(struct client_sink *sink, struct span data);
    /** The reply's fields are known (op->reply): before the first take, again if the operation had
     * to begin anew at another server. May be NULL. */
    err_t (*begin)(struct client_sink *sink, const struct client_op *op);
};

union client_request {
    struct msg_upload upload; /* nonce: none is filled in; else that of a repetition */
    struct msg_find find;
    struct msg_modify modify; /* the same */
    struct msg_delete delete; /* the same */
    struct msg_stat stat;
    struct msg_list list;
    struct msg_status status;
    struct msg_query query;
    struct msg_member member;
    struct msg_verify verify;
    struct msg_names names;
    struct msg_translate translate; /* op.c's own */
};

union client_reply { /* texts point into op->meta */
    struct msg_uploaded uploaded;
    struct msg_found found; /* of the first answer; offset and size as asked for */
    struct msg_modified modified;
    struct msg_deleted deleted;
    struct msg_stated stated;
    struct msg_listed listed;
    struct msg_status_reply status;
    struct msg_answer answer;
    struct msg_member_reply member;
    struct msg_verified verified;
    struct msg_named named;
    struct msg_translated translated;
};

/** What the caller wants of a file that it names by an old name of FastDFS: the id that the file has is
 * asked for first, by the same operation. */
struct client_wanted {
    uint8_t type; /* 0: nothing is being translated */
    union client_request request;
    struct client_source *source;
    struct client_sink *sink;
};

struct client_config {
    struct io_address trackers[CLIENT_TRACKERS_MAX];
    size_t tracker_count;     /* at least 1 */
    struct secret secret;     /* not set: none */
    uint64_t timeout_ns;      /* longest silence of an operation */
    uint32_t retries;         /* further rounds through trackers and storages after the first */
    uint32_t connections_max; /* per server, at least 1: opened while all others are busy */
    uint32_t operations_max;  /* in flight at once: sizes the pools; more is a failed check */
};

struct client_op {
    struct machine machine; /* machine.err: how it ended */
    struct client *client;
    /** Called once, at the end; the op may be started again inside, or be gone after. */
    void (*done)(struct client_op *op);
    void *context;
    /* what to do: set before client_start, untouched until done. Texts are borrowed */
    uint8_t
        type; /* MSG_UPLOAD, FIND, MODIFY, DELETE, STAT, LIST, STATUS, MEMBER, VERIFY, NAMES, or QUERY: its end is `route` */
    const char *group; /* UPLOAD: into this group; NULL: the pool decides */
    union client_request request;
    struct client_source *source; /* UPLOAD; MODIFY but for TRUNCATE */
    uint8_t *buffer;              /* FRAME_DATA_MAX bytes, unless the source lends its own */
    struct client_sink *sink;     /* FIND, LIST, STATUS, MEMBER */
    struct io_address server; /* LIST, STATUS, MEMBER, NAMES: whom to ask; family 0: a tracker */
    uint32_t machine_only;    /* only this storage may answer; 0: any */
    /* what came of it: valid in done */
    union client_reply reply;
    uint32_t answered_by;               /* machine; 0: unknown, or a tracker */
    char sentence[CLIENT_SENTENCE_MAX]; /* of a failure: which server, what; else empty */
    uint64_t content_size;              /* bytes of content that came in or went out */
    uint32_t content_crc;               /* CRC-32 of them */
    /* op.c's own */
    struct list link;     /* in client->operations */
    struct link *link_to; /* the connection of the present attempt */
    struct net_call call;
    struct route route;
    struct client_wanted wanted;
    char id[FID_TEXT_MAX]; /* translated */
    size_t candidate_next;
    struct io_address asked; /* the server of the present attempt */
    uint32_t round, trackers_asked, same_again;
    uint64_t deadline_ns, found_total;
    struct version found_version;
    struct nonce nonce;
    struct io_op timer;
    err_t give_up;   /* client_cancel_all: end with this */
    err_t local_err; /* of source, sink or reply check: final */
    err_t call_err;
    err_t last_err;  /* of the last attempt, for the sentence */
    err_t lacks_err; /* a storage said that it has no such file: */
    struct io_address lacks_asked;
    const uint8_t *piece; /* of content, being sent or kept for another attempt */
    size_t piece_size;
    uint64_t piece_count; /* pieces that the source has given since its first byte */
    uint64_t sent_size;   /* bytes handed to the connection in this attempt */
    uint32_t sent_crc;
    bool is_asking; /* the present attempt is a query to a tracker */
    bool is_kicked;
    bool is_call_out; /* call: between start and on_end */
    bool is_source_busy;
    bool is_piece_ready;    /* piece is to be sent */
    bool is_source_at_end;  /* the piece is the last, or everything was sent */
    bool has_left;          /* the frame before has left: the next may go */
    bool is_body_sent;      /* the last frame of the request was handed over */
    bool has_head;          /* the reply's fields have come, in this attempt */
    bool has_begun;         /* sink->begin was called */
    bool was_ready;         /* the connection of the attempt had shaken hands */
    bool may_have_happened; /* a change was sent whole, and its answer was lost */
    bool is_last_round;
    bool is_unwinding;
    uint8_t meta[FRAME_META_MAX];
};

struct client {
    struct io *io;
    struct mem *mem;
    struct client_config config;
    struct owner owner;
    struct net_loop net;
    struct link_pool links;
    struct route_cache routes;
    struct list operations;
    uint32_t tracker_at; /* that answered last: asked first */
    bool is_shut_down;
};

/** Take memory for connections and buffers. `config` is copied.
 * Errors: USAGE (no tracker), BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t client_init(
    struct client *client, struct io *io, struct mem *mem, const struct client_config *config);

/** Begin `op`, whose request is set and everything else zero (reset it before another start); it
 * ends in op->done(), never inside
 * this call. */
void client_start(struct client *client, struct client_op *op);

/** End every operation with `err`, soon. */
void client_cancel_all(struct client *client, err_t err);

/** Close the connections; no operation may be in flight. Turn the loop until client_is_closed(),
 * then client_fini(). */
void client_shutdown(struct client *client);
bool client_is_closed(const struct client *client);
void client_fini(struct client *client);

#endif
