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

#include "base/mem.h"
#include "client/route.h"
#include "io/io.h"
#include "wire/frame.h"
#include "wire/msg.h"

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
    struct client_op *op; /* set by client_start */
};

/** `result`: how many bytes, 0 at the end, or -errno (-ECANCELED: the caller gives up). */
void client_source_filled(struct client_source *source, int64_t result);

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
    struct msg_upload upload; /* nonce is filled in */
    struct msg_find find;
    struct msg_modify modify; /* nonce is filled in */
    struct msg_delete delete; /* nonce is filled in */
    struct msg_stat stat;
    struct msg_list list;
    struct msg_status status;
    struct msg_query query;
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
};

struct client_config {
    struct io_address trackers[CLIENT_TRACKERS_MAX];
    size_t tracker_count;
    struct span secret;           /* borrowed as long as the client lives; size 0: none */
    uint64_t timeout_ns;          /* longest silence of an operation */
    uint32_t retries;             /* further rounds after the first */
    uint32_t connections_max;     /* per server, at least 1: opened as all others are busy */
    uint32_t operations_max;      /* in flight at once, for the sums; more is a failed check */
};

struct client_op {
    struct machine machine; /* machine.err: how it ended */
    struct client *client;
    /** Called once, at the end; the op may be started again inside, or be gone after. */
    void (*done)(struct client_op *op);
    void *context;
    /* what to do: set before client_start, untouched until done. Texts are borrowed */
    uint8_t type; /* MSG_UPLOAD, FIND, MODIFY, DELETE, STAT, LIST, STATUS, QUERY */
    union client_request request;
    struct client_source *source; /* UPLOAD; MODIFY but for TRUNCATE */
    uint8_t *buffer;              /* FRAME_DATA_MAX bytes, where there is a source */
    struct client_sink *sink;     /* FIND, LIST, STATUS */
    struct io_address server;     /* LIST, STATUS, QUERY: whom to ask; family 0: a tracker */
    uint32_t machine_only;        /* only this storage may answer; 0: any */
    /* what came of it: valid in done */
    union client_reply reply;
    uint32_t answered_by;             /* machine, 0: a tracker or unknown */
    char sentence[CLIENT_SENTENCE_MAX]; /* of a failure: which server, what */
    uint64_t content_size;            /* bytes of content that were moved in the end */
    uint32_t content_crc;             /* of them */
    /* the machine's own: see op.h */
    uint64_t reserved_begin;
};
