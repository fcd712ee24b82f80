/* A request at work at the HTTP door: what the files http_*.c share. */
#ifndef CAIRN_STORAGE_HTTP_OP_H
#define CAIRN_STORAGE_HTTP_OP_H

#include "net/http_error.h"
#include "net/tunnel.h"
#include "storage/name_lookup.h"
#include "storage/push_hold.h"
#include "storage/server.h"

enum { HTTP_PART_HEAD_MAX = 256, HTTP_NAME_MAX = 256, HTTP_TAG_MAX = 48 };

/** What a find answers, once the file's header is known. */
struct http_find_answer {
    unsigned status;
    struct slot_header header;
    char content_type[128];
    struct http_range ranges[HTTP_RANGES_MAX];
    int range_count, range_at; /* more than one: multipart/byteranges */
    uint64_t body_size;
    char boundary[20];
    char part[HTTP_PART_HEAD_MAX]; /* head of the part that is being sent */
    char end[32];                  /* what closes the last */
};

struct http_op {
    struct door_op door;
    struct http_request *request;
    struct fid fid;
    bool is_told;
    struct http_form form;
    bool is_form;
    char suffix[SUFFIX_MAX + 1];
    uint8_t mount;
    bool has_condition;     /* the request named a version */
    err_t err;              /* what is answered when nobody else can do it */
    struct version version; /* that the answer is bound to, from the first range on */
    struct http_find_answer answer;
    uint8_t ack; /* that a change is to reach */
    struct push_hold hold;
    void (*tell)(struct http_op *op); /* the answer of a change: op->hold says who holds it */
    union {
        struct name_lookup lookup;
        struct upload upload;
        struct find find;
        struct modify modify;
        struct remove_file remove;
        struct elsewhere_ask ask;
        struct tunnel tunnel;
    } file;
};

static inline struct http_op *http_op_of(struct door_op *door)
{
    return CONTAINER_OF(door, struct http_op, door);
}

/** NULL: no room; the request was answered 503. */
struct http_op *http_op_open(struct storage_loop *loop, struct http_request *request);
/** The operation is over, the request lives on (it is answered or moved by the caller). */
void http_op_close(struct http_op *op);

/* ---- http_answer.c ---- */

/** The beginning of every answer: status, CORS. */
struct writer http_answer_begin(
    struct storage_loop *loop, struct http_request *request, unsigned status);
/** Answer an error in JSON and end the request. `text` NULL: the usual sentence. */
void http_answer_error(struct storage_loop *loop, struct http_request *request, unsigned status,
    err_t err, const char *text);
/** The same as one step at the end of an operation: error, or cut if something was told. */
void http_op_fail(struct http_op *op, err_t err);
/** The change has come to `ack` here: op->tell() now, or, when the operation is over and op->ack asks for
 * mirrors, by http_op_over(). */
void http_op_changed(struct http_op *op, uint8_t ack);
/** The operation of a change is over: its answer went out, or waits for mirrors, or is `err`. */
void http_op_over(
    struct http_op *op, err_t err, const struct stream *stream, const struct log_append *append);
/** "local" */
const char *http_ack_name(uint8_t ack);
/** Answer a change in JSON: id, version, size, CRC, level reached, holders; and end the request. */
void http_answer_change(
    struct http_op *op, unsigned status, const struct fid *fid, const struct file_result *result);
/** "\"3.1\"" */
void http_tag_format(struct version version, char ret[HTTP_TAG_MAX]);
/** The version of a tag as we give it. False: another's. */
bool http_tag_parse(struct span value, struct version *ret);
/** Is it GET /metrics, and may it be asked for? Then it is answered, later. */
bool http_metrics(struct storage_loop *loop, struct http_request *request);
void http_answer_options(struct storage_loop *loop, struct http_request *request);

/* ---- http_access.c ---- */

/** May this request do what it asks? Errors: DENIED. */
MUST err_t http_access_check(
    struct storage_loop *loop, const struct http_request *request, bool is_change);
/** The signature of a path: HMAC-SHA256(secret, "METHOD\npath\nexpires"); HEAD counts as GET. */
void http_access_sign(const struct secret *secret, const char *method, struct span path,
    uint64_t expires, struct key32 *ret);

/* ---- http_elsewhere.c ---- */

/** Another storage has to do it: redirect the client, or do it for the client, as configured; `err`
 * (WRONG_NODE, UNAVAILABLE) is what is answered where that is not possible. */
void http_send_on(struct storage_loop *loop, struct http_request *request, err_t err);

/* ---- verbs ---- */

void http_read(struct storage_loop *loop, struct http_request *request, const struct fid *fid);
void http_upload(
    struct storage_loop *loop, struct http_request *request, struct span pool, struct span name);
void http_modify(struct storage_loop *loop, struct http_request *request, const struct fid *fid);
void http_delete(struct storage_loop *loop, struct http_request *request, const struct fid *fid);

/** door_op.filter: the file in a browser's form is the content. */
bool http_form_filter(struct door_op *door);

/** ?ack= or X-Cairn-Ack; the storage's default without. Errors: USAGE. */
MUST err_t http_ack_of(
    const struct storage_loop *loop, const struct http_request *request, uint8_t *ret);
/** Exactly 2 * size hexadecimal digits. False: something else. */
bool http_hex_read(struct span text, uint8_t *ret, size_t size);
/** X-Cairn-Nonce, 32 hexadecimal digits; none without. Errors: USAGE. */
MUST err_t http_nonce_of(const struct http_request *request, struct nonce *ret);

#endif
