/* A request at work at the native door: what the files native*.c and relay.c share.
 *
 *   on_request -> native_op_open -> verb_start -> (operation) -> reply -> native_op_close
 *
 * Exactly one of them replies: on_result (changes), the last piece (find), or native_op_fail(). */
#ifndef CAIRN_STORAGE_NATIVE_OP_H
#define CAIRN_STORAGE_NATIVE_OP_H

#include "doors/ops_page.h"
#include "storage/follow.h"
#include "storage/harvest.h"
#include "storage/list.h"
#include "storage/name_lookup.h"
#include "storage/push_hold.h"
#include "storage/retry.h"
#include "storage/server.h"

struct native_op;
struct metrics_scrape;

/** Bytes on their way to the client, cut into frames. */
struct native_piece {
    struct span rest; /* not yet given to net */
    struct iovec iov;
    bool is_last;                                  /* no other piece follows */
    bool is_begun;                                 /* the reply's first frame went out */
    void (*left)(struct native_op *op, err_t err); /* all of it has left, or CLOSED */
};

/** A find or stat that only the owner of the file can do: it runs there, on an operation of that
 * loop, and this struct travels between the two. */
struct native_relay {
    struct io_message message;
    struct storage_loop *home, *owner;
    struct native_op *asker;  /* at home */
    struct native_op *worker; /* at the owner */
    struct span piece;
    bool is_last;
    err_t err;
    struct slot_header header; /* result */
    bool is_packed, is_forwarded;
    uint64_t capacity, offset, end;
    struct span attributes;
    uint8_t attributes_bytes[SLOT_ATTRIBUTES_MAX];
};

/** INVENTORY: a walk that writes its page. */
struct native_inventory {
    struct unit_walk walk;
    struct writer page;
    uint32_t count;
};

/** FETCH: a find whose reply begins with an entry. */
struct native_fetch {
    struct find find;
    struct iovec iov[2];
    err_t err;
    bool is_head_only, is_covered;
    size_t entry_size;
    uint8_t entry[FULL_ENTRY_PLAIN_MAX];
};

/** POSITIONS: a message that visits every loop. */
struct native_positions {
    struct io_message message;
    struct native_op *op;
    struct writer page;
    uint16_t at;
};

/** STATUS "ops": a message that visits every loop. */
struct native_ops {
    struct io_message message;
    struct native_op *op;
    struct writer writer;
    struct ops_page page;
    uint16_t at;
};

/** An upload that is asked for again: what was decided before the loops were asked. */
struct native_retry {
    struct upload_ask ask;
    uint8_t mount; /* chosen, unless there is an error */
    err_t err;
};

struct native_op {
    struct native *native;
    struct net_request *request; /* NULL: works for a relay */
    struct list link;            /* in native->running */
    uint8_t type;                /* enum msg_type */
    bool is_told;                /* the reply went out, or its first frame */
    struct fid fid;
    struct body body;
    struct machine *body_machine;
    struct outlet outlet;
    struct machine *outlet_machine;
    struct native_piece piece;
    struct native_relay relay;
    struct native_relay *worked_for; /* at the owner: whose relay this is */
    uint8_t *page;                   /* list, status */
    size_t page_size;
    uint8_t *sheet; /* peers: of the reply */
    struct unit_walk_memory *walk_memory;
    struct storage_tour_waiter tour;
    struct sight_waiter sight;
    uint8_t question; /* enum sight_question */
    uint8_t ack;      /* that a change is to reach */
    struct push_hold hold;
    struct survey_waiter survey;
    struct membership_waiter saved;
    struct native_retry retry; /* upload that is asked for again */
    struct names_waiter named;
    union {
        struct name_lookup lookup;
        struct upload upload;
        struct find find;
        struct stat_file stat;
        struct modify modify;
        struct remove_file remove;
        struct list_walk list;
        struct native_inventory inventory;
        struct native_positions positions;
        struct native_ops ops;
        struct metrics_scrape *scrape;
        struct harvest harvest;
        struct native_fetch fetch;
        struct follow_push push;
    } file;
};

/** NULL: none (the ledger refused). */
struct native_op *native_op_open(struct native *native, struct net_request *request);
/** The reply went out: end request and operation. */
void native_op_close(struct native_op *op);
/** Reply an error if nothing was told yet, or after pieces were; then close. */
void native_op_fail(struct native_op *op, err_t err);

/** Answer a request that has no operation. */
void native_refuse(struct storage_loop *loop, struct net_request *request, err_t err);
void native_refuse_saying(
    struct storage_loop *loop, struct net_request *request, err_t err, const char *text);

/** Parse an id and check that it is one of ours. Errors: USAGE, UNSUPPORTED, WRONG_NODE, NOT_FOUND,
 * OFFLINE. */
MUST err_t native_fid(struct storage_loop *loop, struct span text, struct fid *ret);
/** If another loop owns the file: move the request there. True: it is gone from here. */
bool native_moves(struct storage_loop *loop, struct net_request *request, const struct fid *fid);
/** Does op->ack ask for mirrors? Then, when the change is over, native_hold(). Else op->hold tells at
 * once who holds it: this storage, if `reached` is durable. */
bool native_holds(struct native_op *op, uint8_t reached);
/** Wait until mirrors hold `append` (nothing was appended: what is durable now) of `stream` (NULL:
 * nothing to wait for); then op->hold tells, and `reply` is called. */
void native_hold(struct native_op *op, const struct stream *stream, const struct log_append *append,
    void (*reply)(struct native_op *op));

/** Connect op->body with the frames of its request. */
void native_body_begin(struct native_op *op);

/** Send `piece->rest` in frames; the first frame of the reply is of `type` with `fields`. */
void native_piece_send(struct native_op *op, uint8_t type, const struct writer *fields);

/* one per verb */
void native_upload(struct native *native, struct net_request *request);
void native_find(struct native *native, struct net_request *request);
void native_stat(struct native *native, struct net_request *request);
void native_modify(struct native *native, struct net_request *request);
void native_delete(struct native *native, struct net_request *request);
void native_list(struct native *native, struct net_request *request);
void native_status(struct native *native, struct net_request *request);
void native_metrics(struct native *native, struct net_request *request);
void native_ops(struct native *native, struct net_request *request, bool shows_resting);
void native_verify(struct native *native, struct net_request *request);
void native_recall(struct native *native, struct net_request *request);
void native_member(struct native *native, struct net_request *request);
void native_names(struct native *native, struct net_request *request);
void native_translate(struct native *native, struct net_request *request);

/** The answer to a STATUS: the first `size` bytes of op->page; then the operation closes. */
void native_page_send(struct native_op *op, size_t size);

/* find, stat: shared with relay.c */
void native_found_send(struct native_op *op, const struct slot_header *header,
    struct span attributes, uint64_t offset, uint64_t end);
void native_stated_send(struct native_op *op, const struct slot_header *header,
    struct span attributes, bool is_packed, bool is_forwarded, uint64_t capacity);
/** Ask the owner of op->fid for what op could not find out here. */
void native_relay_begin(struct native_op *op);

#endif
