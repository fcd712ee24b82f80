/* Errors as messages: what an ERROR frame carries, and back. doc/protocol.md section "Errors". */
#ifndef CAIRN_NET_ERROR_H
#define CAIRN_NET_ERROR_H

#include "base/text.h"
#include "wire/msg.h"

/** Encode `err`, which must be one, with a sentence for people. `version`: for CONFLICT the one
 * that is there; else none. */
void error_encode(err_t err, const char *text, struct version version, struct writer *w);

/** The error that an ERROR message stands for, without a site; never OK.
 * Errors: the one that was sent; FAILED (its number is not known here), PROTOCOL (the message is
 *         malformed or says OK). */
MUST err_t error_decode(struct span meta);

#endif
