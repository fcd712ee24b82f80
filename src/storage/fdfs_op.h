/* A request at work at the FastDFS door: what the files fdfs_*.c share.
 *
 *   on_request -> [resolve: a slave's name] -> fdfs_op_open -> (operations, one after the other)
 *   -> fdfs_op_reply | fdfs_op_fail | fdfs_op_move */
#ifndef CAIRN_STORAGE_FDFS_OP_H
#define CAIRN_STORAGE_FDFS_OP_H

#include "storage/fdfs_slave.h"
#include "storage/name_lookup.h"
#include "storage/push.h"
#include "storage/push_hold.h"
#include "storage/server.h"

struct fdfs_op {
    struct door_op door;
    struct fdfs_request *request;
    struct fdfs_name name;
    struct fid fid;         /* of the file that is meant */
    struct span attributes; /* of the file that was looked at: a copy */
    bool is_told;           /* the answer has begun */
    bool is_done;           /* the file was there and is deleted */
    uint8_t ack;            /* enum ack_level */
    err_t err;              /* of what is being undone */
    size_t slave_index;     /* that is being deleted */
    struct fid slave;       /* that was uploaded */
    struct fid replaced;    /* what its name named before: nothing that is there */
    uint8_t mount;          /* for an upload */
    char tail[FDFS_TAIL_MAX + 1];
    void (*begin)(struct fdfs_op *op); /* when the first piece of the content is there */
    void (*next)(struct fdfs_op *op);  /* when a name is resolved, or a file was looked at */
    struct push_hold hold;
    uint8_t answer[FDFS_REPLY_BODY_MAX];
    size_t answer_size;
    uint8_t attributes_bytes[SLOT_ATTRIBUTES_MAX];
    struct slot_header header; /* of the file that was looked at */
    struct fdfs_id old; /* is_old: the name that was imported; spans point into the request */
    bool is_old;
    union {
        struct name_lookup lookup;
        struct upload upload;
        struct find find;
        struct stat_file stat;
        struct modify modify;
        struct remove_file remove;
    } file;
};

/** NULL: no room; the request was answered EBUSY. */
struct fdfs_op *fdfs_op_open(struct storage_loop *loop, struct fdfs_request *request);
/** Answer OK with op->answer, and end. */
void fdfs_op_reply(struct fdfs_op *op);
/** The answer was given: end. */
void fdfs_op_end(struct fdfs_op *op);
/** Answer an error, or cut an answer that has begun; and end. */
void fdfs_op_fail(struct fdfs_op *op, err_t err);
/** The loop that owns `fid` serves the request, from the beginning. CHECKs that it is another. */
void fdfs_op_move(struct fdfs_op *op, const struct fid *fid);

/** Answer a request that has no operation. */
void fdfs_refuse_request(struct storage_loop *loop, struct fdfs_request *request, uint8_t status);

static inline bool fdfs_is_owner(const struct storage_loop *loop, const struct fid *fid)
{
    return store_owner_loop(&loop->store, fid) == loop->index;
}

/** The level that the configuration asks for: the protocol has no word for it. Errors: UNAVAILABLE. */
MUST err_t fdfs_choose_ack(const struct storage_loop *loop, uint8_t *ret);
/** The change is durable here: wait for mirrors if the configuration asks for them, then answer. */
void fdfs_op_hold(struct fdfs_op *op, const struct stream *stream, const struct log_append *append);

/** Pull the first piece of the content, then begin(op), with op->door.body set up. */
void fdfs_body_begin(struct fdfs_op *op, void (*begin)(struct fdfs_op *op));

/* ---- fdfs_read.c ---- */

/** Look at `fid`: header and attributes are in the operation when next(op) comes. Errors end it. */
void fdfs_look(struct fdfs_op *op, const struct fid *fid, void (*next)(struct fdfs_op *op));
/** Set op->fid from the names in op->name, then next(op). */
void fdfs_resolve(struct fdfs_op *op, void (*next)(struct fdfs_op *op));
void fdfs_download(struct fdfs_op *op);
void fdfs_query(struct fdfs_op *op);
void fdfs_get_metadata(struct fdfs_op *op);

/* ---- fdfs_upload.c ---- */

void fdfs_upload(struct storage_loop *loop, struct fdfs_request *request);
void fdfs_upload_slave(struct fdfs_op *op);
/** upload.on_result. */
void fdfs_upload_known(struct upload *upload);

/* ---- fdfs_change.c: on the loop that owns op->fid ---- */

void fdfs_change(struct fdfs_op *op);
void fdfs_regenerate(struct fdfs_op *op);
void fdfs_delete(struct fdfs_op *op);
void fdfs_set_metadata(struct fdfs_op *op);
/** Change the attributes of `fid` by `edit`; `done` comes at the end. */
void fdfs_edit(struct fdfs_op *op, const struct fid *fid,
    err_t (*edit)(struct modify *modify, struct span attributes, struct writer *w),
    void (*done)(struct modify *modify));
/** Delete `fid`; `done` comes at the end. */
void fdfs_remove(
    struct fdfs_op *op, const struct fid *fid, void (*done)(struct remove_file *remove));

#endif
