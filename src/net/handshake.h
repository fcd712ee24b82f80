/* The start of every connection as two step functions: frames in, frames out, no I/O.
 *
 *   client                         server
 *   HELLO    -------------------->
 *            <--------------------  WELCOME   proof of the server if it has a secret for the role
 *   PROVE    -------------------->            only if the server asked for it
 *            <--------------------  PROVEN
 *
 * A wrong proof is answered DENIED, a foreign version UNSUPPORTED, anything else PROTOCOL; then the
 * connection closes. Fields and proofs: doc/protocol.md section "Handshake", wire/auth.h. */
#ifndef CAIRN_NET_HANDSHAKE_H
#define CAIRN_NET_HANDSHAKE_H

#include "wire/auth.h"
#include "wire/frame.h"

enum { PROTOCOL_VERSION_MIN = 1, PROTOCOL_VERSION_MAX = 1 };

enum { HANDSHAKE_META_MAX = 256 };

/** The two secrets of a cluster. Where one is set, whoever claims its role must prove it. Where
 * only the client secret is set, nobody can be a node. */
struct handshake_secrets {
    struct secret client, node;
};

static inline const struct secret *handshake_secret(
    const struct handshake_secrets *secrets, uint8_t role)
{
    return role == ROLE_NODE ? &secrets->node : &secrets->client;
}

/** What a step wants done. */
struct handshake_effect {
    err_t err;    /* the handshake failed: send the frame if there is one, then close */
    bool is_done; /* the connection is ready */
    uint8_t type; /* frame to send (enum msg_type), or 0 */
    uint16_t meta_size;
    uint8_t meta[HANDSHAKE_META_MAX];
};

/* ---- server ---- */

struct handshake_policy {
    const struct handshake_secrets *secrets; /* borrowed */
    uint64_t capabilities;
    uint32_t machine;
    uint8_t server_role; /* enum server_role */
};

enum handshake_stage { HANDSHAKE_HELLO, HANDSHAKE_PROVE, HANDSHAKE_DONE, HANDSHAKE_FAILED };

/** All zero at the start. When done: hello.role and hello.machine are who the peer is. */
struct handshake_server {
    enum handshake_stage stage;
    struct msg_hello hello;
    struct msg_welcome welcome;
};

/** One frame has come. `challenge`: 32 fresh random bytes, used when the frame is a HELLO.
 * Effect errors: PROTOCOL, UNSUPPORTED (no common version), DENIED (wrong or impossible proof). */
void handshake_server_step(struct handshake_server *handshake,
    const struct handshake_policy *policy, const struct frame *frame, struct span meta,
    const struct key32 *challenge, struct handshake_effect *ret);

/* ---- client ---- */

struct handshake_client {
    enum handshake_stage stage;
    struct msg_hello hello;
    struct msg_welcome welcome;  /* when done: the server's role, machine, capabilities */
    const struct secret *secret; /* borrowed; of the role */
};

/** Begin: the effect carries HELLO. `challenge`: 32 fresh random bytes. A secret that is set must
 * be proven by the server too, or the client refuses it. */
void handshake_client_start(struct handshake_client *handshake, const struct secret *secret,
    enum node_role role, uint32_t machine, uint64_t capabilities, const struct key32 *challenge,
    struct handshake_effect *ret);

/** One frame has come. Effect errors: PROTOCOL, UNSUPPORTED, DENIED (the server refused us, gave no
 * or a wrong proof, or wants one and we have no secret), or what the server's ERROR said. */
void handshake_client_step(struct handshake_client *handshake, const struct frame *frame,
    struct span meta, struct handshake_effect *ret);

#endif
