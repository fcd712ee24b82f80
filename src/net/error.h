/* Errors as messages: what an ERROR frame carries, and back. doc/protocol.md section "Errors". */
#ifndef CAIRN_NET_ERROR_H
#define CAIRN_NET_ERROR_H

#include "base/text.h"
#include "wire/msg.h"

/** Encode `err`, which must be one, with a sentence for people. `version`: for CONFLICT the one
 * that is there; else none. */
void error_encode(err_t err, const char *text, struct version version, struct writer *w);

/** The error that an ERROR message stands for: its code, without a site. PROTOCOL if the message
 * is malformed or says OK. Numbers that this version does not know become FAILED. */
err_t error_decode(struct span meta);

#endif
