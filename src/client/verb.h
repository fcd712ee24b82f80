/* What differs between the operations: the request's fields, the expected reply, the question to
 * the tracker, and how much is at stake when an answer is lost. */
#ifndef CAIRN_CLIENT_VERB_H
#define CAIRN_CLIENT_VERB_H

#include "client/client.h"

struct client_verb {
    uint8_t type;       /* of the request */
    uint8_t reply_type; /* of the reply */
    uint8_t purpose;    /* enum query_purpose; 0: asks the server it is given, or a tracker */
    bool is_change;     /* carries a nonce; a lost answer leaves the outcome open */
    bool has_content;   /* a source is needed (unless MODIFY truncates) */
    bool has_sink;
};

const struct client_verb *verb_of(uint8_t type);

/** The nonce of a change's request; NULL: it has none. */
const struct nonce *verb_nonce(const struct client_op *op);

/** Check what the caller asks for, take the route's question from it, and enter the nonce.
 * Errors: USAGE (a malformed id or suffix, texts that are too long), UNSUPPORTED (an id of another
 * system). */
MUST err_t verb_prepare(struct client_op *op);

/** The operation asked for the id of an old name (verb_prepare began that): take what the caller wanted up
 * again. True: with the id, to be started again; false: it is not known, op->machine.err tells. */
bool verb_end_translation(struct client_op *op);

/** The request's fields for this attempt: a find goes on where the last attempt ended. */
void verb_encode(const struct client_op *op, struct writer *fields);

/** Take the reply's fields from `meta`, which is copied into op->meta. For a find that
 * goes on: checks that it is the same version.
 * Errors: PROTOCOL, CONFLICT. */
MUST err_t verb_decode(struct client_op *op, struct span meta);

/** The reply to a change with content is there: what went out, or, if the server knew the change from
 * an attempt before and did not want its content again, what it told. */
void verb_note_content(struct client_op *op);

/** All of the reply is there: does it agree with what was sent or received?
 * Errors: CORRUPT (sizes or checksums differ), PROTOCOL. */
MUST err_t verb_verify(const struct client_op *op);

#endif
