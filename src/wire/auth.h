/* Shared secrets and the proofs that both ends of a connection know one: HMAC-SHA256 (RFC 2104)
 * over everything both ends said. doc/protocol.md section "Handshake".
 *
 *   transcript (114 bytes): label 16 | version min u16, max u16, chosen u16 | capabilities of the
 *   client u64, of the server u64 | role u8, server role u8, proof needed u8, 0 u8 | machine of the
 *   client u32, of the server u32 | challenge of the client 32, of the server 32 */
#ifndef CAIRN_WIRE_AUTH_H
#define CAIRN_WIRE_AUTH_H

#include "wire/msg.h"

enum { SECRET_SIZE_MIN = 16, SECRET_SIZE_MAX = 64 };

/** The key of an HMAC, at most one block of SHA-256. size 0: none is set. */
struct secret {
    uint8_t bytes[SECRET_SIZE_MAX];
    uint8_t size;
};

static inline bool secret_is_set(const struct secret *secret)
{
    return secret->size > 0;
}

/** Take a secret from the content of its file: white space at the end is not part of it.
 * Errors: USAGE (shorter than SECRET_SIZE_MIN or longer than SECRET_SIZE_MAX). */
MUST err_t secret_read(struct span content, struct secret *ret);

/** Who proves: the label at the front differs, so that a proof cannot be sent back as an answer. */
enum auth_side { AUTH_SERVER, AUTH_CLIENT };

/** The proof of `side` for this pair of messages (welcome->proof does not enter). Cost: ~1 us. */
void auth_prove(const struct secret *secret, enum auth_side side, const struct msg_hello *hello,
    const struct msg_welcome *welcome, struct key32 *ret);

/** HMAC-SHA256 of `text`. */
void auth_sign(const struct secret *secret, struct span text, struct key32 *ret);

/** Compare in constant time. */
bool auth_proof_equals(const struct key32 *a, const struct key32 *b);

#endif
