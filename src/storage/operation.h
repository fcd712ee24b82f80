/* The operations on files: upload, find, modify, delete, stat. Each is a stage machine that the
 * caller embeds (from its pool), fills, and starts; `on_result` comes when the answer is known, `done`
 * when the machine is over and its memory the caller's again. They know no connection (body.h).
 *
 *   fill -> xxx_start -> ... on_result (once, unless it failed) ... -> done (once; err tells)
 *
 * A change is visible and durable (as asked) when on_result comes. All run on the loop that owns the
 * file (store_owner_loop); find and stat on any. */
#ifndef CAIRN_STORAGE_OPERATION_H
#define CAIRN_STORAGE_OPERATION_H

#include "storage/apply.h"
#include "storage/body.h"
#include "storage/heal.h"
#include "storage/object.h"
#include "wire/msg.h"

/** What an operation answers. */
struct file_result {
    struct fid fid; /* upload */
    struct version version;
    uint64_t size; /* of the whole content */
    uint32_t crc;
    uint8_t ack;  /* enum ack_level that was reached */
    bool existed; /* delete */
};

/* ---- upload ---- */

struct upload_request {
    uint8_t mount;                                    /* chosen by the caller (balance) */
    struct span pool, content_type, metadata, suffix; /* borrowed until on_result */
    uint64_t expires;                                 /* unix seconds, 0 never */
    struct nonce nonce;
    uint8_t ack; /* ACK_MEMORY or ACK_LOCAL */
    bool is_mutable;
    bool size_known;
    uint64_t size;
    uint32_t slack; /* as in UPLOAD; ignored for immutable files */
    bool crc_known; /* the content must have this CRC, else CORRUPT and nothing is stored */
    uint32_t crc;
};

struct upload {
    struct machine machine;
    struct store *store;
    struct upload_request request;
    struct body *body;
    /* A repetition of this upload, which is durable: its content is compared, its id answered. NULL:
     * it is new. Borrowed until done */
    const struct recent_upload *known;
    struct file_result result;
    void (*on_result)(struct upload *upload);
    void (*done)(struct upload *upload); /* machine.err tells; the memory is the caller's again */
    void *context;
    /* the machine's */
    struct list link;   /* in store->uploads; not linked: it has no nonce, or is known */
    bool is_superseded; /* a repetition takes its place: it must not be appended any more */
    struct stream *stream;
    struct buffer_claim work;
    struct span content; /* all of it, if packed */
    uint64_t received;
    uint32_t crc;
    struct reservation reservation;
    struct io_op op;
    struct iovec iov;
    uint32_t written, meta_size;
    struct clock_hold clock_hold; /* of the new id, until its record is appended */
    struct log_append append;
    struct log_waiter log_waiter;
    struct packed_apply apply;
    struct single_writer writer;
    struct single_entry entry;
    struct slot_header header;
    bool is_single, is_referenced, is_told;
    uint16_t attributes_size;
    uint8_t attributes[SLOT_ATTRIBUTES_MAX];
};

/** Errors at the end: NO_SPACE, OFFLINE, BUSY, TOO_LARGE (attributes), CORRUPT (not the CRC that the
 * caller named), PROTOCOL (not the size that was announced), CLOSED (the content ended early),
 * BUSY (its repetition has taken its place), CONFLICT (known, with another content), OUTCOME_UNKNOWN, IO.
 * Nothing is stored then, except for OUTCOME_UNKNOWN. */
void upload_start(struct upload *upload, struct store *store, struct body *body);

/* ---- find ---- */

/** A read that met a mismatch looks again under the lock of the file, and then, without it, what another
 * member has (heal.h). Its own: nobody else's. */
struct second_look {
    bool is_taken; /* this is the second look: the lock is held */
    struct stream *stream;
    struct file_lock lock;
    struct heal heal;
};

struct find {
    struct machine machine;
    struct store *store;
    struct fid fid;
    bool is_by_identity;       /* for a peer: see object_open_identity() */
    bool local_only;           /* what is here; no other member is asked */
    uint64_t offset, size;     /* size 0: to the end */
    struct version if_version; /* 0.0: any */
    struct outlet *outlet;
    /* Asked when the file's header is known (object.header, object.attributes), perhaps twice: may set
     * offset and size, or end the find with an error of its own. NULL: not asked */
    err_t (*judge)(struct find *find);
    struct object object;                 /* on_result: header, attributes */
    uint64_t at, end;                     /* range of the content that is being sent */
    void (*on_result)(struct find *find); /* header known, first piece verified; put() follows */
    void (*done)(struct find *find);
    void *context;
    struct second_look second;
    bool is_told;
};

/** Errors: NOT_FOUND, RANGE, CONFLICT (if_version; or the file changed under a download of several
 * pieces), CORRUPT, OFFLINE, WRONG_NODE, BUSY, IO, CLOSED. UNAVAILABLE: the file must be read on the
 * loop that owns it (a mismatch was met here, or it is missing): move there and start again;
 * nothing was put. There it means that the file is missing and no other member could be asked. */
void find_start(struct find *find, struct store *store, struct outlet *outlet);

/* ---- stat ---- */

struct stat_file {
    struct machine machine;
    struct store *store;
    struct fid fid;
    struct object object;
    bool is_packed;                            /* where the content lies */
    void (*on_result)(struct stat_file *stat); /* object: header, attributes; valid while it runs */
    void (*done)(struct stat_file *stat);
    void *context;
    struct second_look second;
};

/** Errors as find. */
void stat_start(struct stat_file *stat, struct store *store);

/* ---- modify ---- */

/** A mode of our own, beside those of enum modify_mode: the content stays, the attributes change;
 * immutable files too. */
enum { MODIFY_ATTRIBUTES = 5 };

struct modify;
struct modify_request {
    struct fid fid;
    uint8_t mode;              /* enum modify_mode, or MODIFY_ATTRIBUTES */
    uint64_t offset;           /* MODIFY_WRITE; MODIFY_TRUNCATE: the new size */
    struct version if_version; /* 0.0: any */
    struct nonce nonce;
    uint8_t ack;
    bool size_known;
    uint64_t size; /* of the body */
    bool crc_known;
    uint32_t crc; /* of the body */
    /* MODIFY_ATTRIBUTES: write the attributes as they are to be, from those that are there; the file is
     * locked meanwhile. Its error ends the operation. */
    err_t (*edit)(struct modify *modify, struct span attributes, struct writer *w);
    /* MODIFY_ATTRIBUTES: the file is immutable from now on. Its identity stays, its id does not: ids of
     * mutable files mean it no longer, its new one tells size and CRC */
    bool is_final;
};

struct modify {
    struct machine machine;
    struct store *store;
    struct modify_request request;
    struct body *body;         /* NULL: no content (truncate) */
    struct file_result result; /* with CONFLICT: version is what is there */
    void (*on_result)(struct modify *modify);
    void (*done)(struct modify *modify);
    void *context;
    /* the machine's */
    struct stream *stream;
    struct file_lock lock;
    struct object object; /* the file as it is; open until the end */
    struct buffer_claim buffer;
    uint8_t *area;     /* in it: the content, or the part that was gathered */
    uint64_t position; /* bytes of the area that count */
    uint64_t received; /* of the body */
    uint32_t body_crc;
    uint64_t total;            /* size of the new content */
    uint64_t zeros;            /* still to be written */
    struct slot_header header; /* of the new content */
    struct place target;       /* where the new content goes, if not home */
    struct chunk_ref home_ref;
    struct reservation reservation;
    struct io_op op;
    struct iovec iov;
    uint32_t written, crc;
    struct log_append append;
    struct log_waiter log_waiter;
    struct packed_apply apply;
    struct single_writer writer;
    struct single_change change;
    struct single_reader reader;
    struct single_copy copy;
    struct single_entry entry;
    struct heal heal;
    struct span attributes;                        /* of the new content */
    uint8_t attributes_bytes[SLOT_ATTRIBUTES_MAX]; /* MODIFY_ATTRIBUTES */
    uint8_t way;                                   /* how the new content gets to disk */
    bool is_referenced, is_told, is_gathered, has_writer, has_change, has_reader;
};

/** Errors: NOT_FOUND, IMMUTABLE, CONFLICT, RANGE (offset behind the end), NO_SPACE, TOO_LARGE,
 * CORRUPT (old content is damaged; or not the CRC named), PROTOCOL, CLOSED, OFFLINE, BUSY,
 * OUTCOME_UNKNOWN, IO, those of edit(). The old content stays then, except for OUTCOME_UNKNOWN (old or new). */
void modify_start(struct modify *modify, struct store *store, struct body *body);

/* ---- delete ---- */

struct remove_file {
    struct machine machine;
    struct store *store;
    struct fid fid;
    struct version if_version;
    struct nonce nonce;
    uint8_t ack;
    struct file_result result;
    void (*on_result)(struct remove_file *remove);
    void (*done)(struct remove_file *remove);
    void *context;
    /* the machine's */
    struct stream *stream;
    struct file_lock lock;
    struct heal heal;
    struct object object;
    struct log_append append;
    struct log_waiter log_waiter;
    struct packed_apply apply;
    struct single_writer writer; /* of a tombstone */
    struct single_entry entry;
    bool has_writer;
};

/** Deleting what is not there succeeds (result.existed false). Errors: CONFLICT, OFFLINE,
 * WRONG_NODE, CORRUPT (the header is damaged), BUSY, OUTCOME_UNKNOWN, IO. */
void remove_start(struct remove_file *remove, struct store *store);

#endif
