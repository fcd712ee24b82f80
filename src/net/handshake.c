#include "net/handshake.h"

#include "net/error.h"

#define EFFECT_MESSAGE(effect, NAME, name, message)                                   \
    do {                                                                              \
        struct writer w = {.data = (effect)->meta, .capacity = sizeof(effect)->meta}; \
        msg_##name##_encode((message), &w);                                           \
        CHECK(!w.failed);                                                             \
        (effect)->type = MSG_##NAME;                                                  \
        (effect)->meta_size = (uint16_t)w.size;                                       \
    } while (0)

static bool is_plain(const struct frame *frame, enum msg_type type)
{
    return frame->type == type && frame->flags == 0 && frame->data_size == 0;
}

/* ---- server ---- */

static void server_fail_saying(
    struct handshake_server *handshake, err_t err, const char *text, struct handshake_effect *ret)
{
    handshake->stage = HANDSHAKE_FAILED;
    struct writer w = {.data = ret->meta, .capacity = sizeof ret->meta};
    error_encode(err, text, (struct version){}, &w);
    ret->type = MSG_ERROR;
    ret->meta_size = (uint16_t)w.size;
    ret->err = err;
}

static void server_fail(struct handshake_server *handshake, err_t err, struct handshake_effect *ret)
{
    server_fail_saying(handshake, err, err_sentence(err.code), ret);
}

static void server_refuse_version(
    struct handshake_server *handshake, const struct msg_hello *hello, struct handshake_effect *ret)
{
    char buffer[160];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_add(&text, "no common version: this server speaks %d to %d, the peer %u to %u",
        PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, (unsigned)hello->version_min,
        (unsigned)hello->version_max);
    server_fail_saying(handshake, ERR(UNSUPPORTED, 0), buffer, ret);
}

/* Without a node secret in a cluster that has a client secret, the node role cannot be proven. */
static bool role_is_possible(const struct handshake_policy *policy, uint8_t role)
{
    if (role != ROLE_NODE || secret_is_set(&policy->secrets->node))
        return true;
    return !secret_is_set(&policy->secrets->client);
}

static void server_welcome(struct handshake_server *handshake,
    const struct handshake_policy *policy, const struct key32 *challenge,
    struct handshake_effect *ret)
{
    const struct msg_hello *hello = &handshake->hello;
    const struct secret *secret = handshake_secret(policy->secrets, hello->role);
    handshake->welcome = (struct msg_welcome){
        .version =
            hello->version_max < PROTOCOL_VERSION_MAX ? hello->version_max : PROTOCOL_VERSION_MAX,
        .capabilities = policy->capabilities,
        .server_role = policy->server_role,
        .proof_needed = secret_is_set(secret),
        .machine = policy->machine,
        .challenge = *challenge,
    };
    if (secret_is_set(secret))
        auth_prove(secret, AUTH_SERVER, hello, &handshake->welcome, &handshake->welcome.proof);
    EFFECT_MESSAGE(ret, WELCOME, welcome, &handshake->welcome);
    handshake->stage = secret_is_set(secret) ? HANDSHAKE_PROVE : HANDSHAKE_DONE;
    ret->is_done = handshake->stage == HANDSHAKE_DONE;
}

static void server_hello(struct handshake_server *handshake, const struct handshake_policy *policy,
    const struct frame *frame, struct span meta, const struct key32 *challenge,
    struct handshake_effect *ret)
{
    struct msg_hello hello;
    if (!is_plain(frame, MSG_HELLO) || err_is(msg_hello_decode(meta, &hello))
        || (hello.role != ROLE_CLIENT && hello.role != ROLE_NODE)
        || hello.version_min > hello.version_max)
        server_fail(handshake, ERR(PROTOCOL, 0), ret);
    else if (hello.version_min > PROTOCOL_VERSION_MAX || hello.version_max < PROTOCOL_VERSION_MIN)
        server_refuse_version(handshake, &hello, ret);
    else if (!role_is_possible(policy, hello.role))
        server_fail(handshake, ERR(DENIED, 0), ret);
    else {
        handshake->hello = hello;
        server_welcome(handshake, policy, challenge, ret);
    }
}

static void server_prove(struct handshake_server *handshake, const struct handshake_policy *policy,
    const struct frame *frame, struct span meta, struct handshake_effect *ret)
{
    struct msg_prove prove;
    struct key32 expected;
    if (!is_plain(frame, MSG_PROVE) || err_is(msg_prove_decode(meta, &prove))) {
        server_fail(handshake, ERR(PROTOCOL, 0), ret);
        return;
    }
    auth_prove(handshake_secret(policy->secrets, handshake->hello.role), AUTH_CLIENT,
        &handshake->hello, &handshake->welcome, &expected);
    if (!auth_proof_equals(&expected, &prove.proof)) {
        server_fail(handshake, ERR(DENIED, 0), ret);
        return;
    }
    struct msg_proven proven = {.role = handshake->hello.role};
    EFFECT_MESSAGE(ret, PROVEN, proven, &proven);
    handshake->stage = HANDSHAKE_DONE;
    ret->is_done = true;
}

void handshake_server_step(struct handshake_server *handshake,
    const struct handshake_policy *policy, const struct frame *frame, struct span meta,
    const struct key32 *challenge, struct handshake_effect *ret)
{
    *ret = (struct handshake_effect){};
    if (handshake->stage == HANDSHAKE_HELLO)
        server_hello(handshake, policy, frame, meta, challenge, ret);
    else if (handshake->stage == HANDSHAKE_PROVE)
        server_prove(handshake, policy, frame, meta, ret);
    else
        UNREACHABLE("a step after the handshake ended");
}

/* ---- client ---- */

void handshake_client_start(struct handshake_client *handshake, const struct secret *secret,
    enum node_role role, uint32_t machine, uint64_t capabilities, const struct key32 *challenge,
    struct handshake_effect *ret)
{
    *ret = (struct handshake_effect){};
    *handshake = (struct handshake_client){
        .hello = {.version_min = PROTOCOL_VERSION_MIN,
            .version_max = PROTOCOL_VERSION_MAX,
            .capabilities = capabilities,
            .role = (uint8_t)role,
            .machine = machine,
            .challenge = *challenge},
        .secret = secret,
    };
    EFFECT_MESSAGE(ret, HELLO, hello, &handshake->hello);
}

static void client_fail(struct handshake_client *handshake, err_t err, struct handshake_effect *ret)
{
    handshake->stage = HANDSHAKE_FAILED;
    ret->err = err;
}

/* A server that cannot prove the secret that we require is not asked anything else. */
static err_t welcome_check(const struct handshake_client *handshake)
{
    const struct msg_welcome *welcome = &handshake->welcome;
    if (welcome->version < PROTOCOL_VERSION_MIN || welcome->version > PROTOCOL_VERSION_MAX)
        return ERR(UNSUPPORTED, 0);
    if (!secret_is_set(handshake->secret))
        return welcome->proof_needed ? ERR(DENIED, 0) : ERR_OK;
    struct key32 expected;
    auth_prove(handshake->secret, AUTH_SERVER, &handshake->hello, welcome, &expected);
    if (!auth_proof_equals(&expected, &welcome->proof))
        return ERR(DENIED, 0);
    return ERR_OK;
}

static void client_welcome(struct handshake_client *handshake, const struct frame *frame,
    struct span meta, struct handshake_effect *ret)
{
    if (!is_plain(frame, MSG_WELCOME) || err_is(msg_welcome_decode(meta, &handshake->welcome))) {
        client_fail(handshake, ERR(PROTOCOL, 0), ret);
        return;
    }
    err_t err = welcome_check(handshake);
    if (err_is(err)) {
        client_fail(handshake, err, ret);
        return;
    }
    handshake->stage = HANDSHAKE_DONE;
    ret->is_done = true;
    if (!handshake->welcome.proof_needed)
        return;
    struct msg_prove prove;
    auth_prove(
        handshake->secret, AUTH_CLIENT, &handshake->hello, &handshake->welcome, &prove.proof);
    EFFECT_MESSAGE(ret, PROVE, prove, &prove);
    handshake->stage = HANDSHAKE_PROVE;
    ret->is_done = false;
}

static void client_proven(struct handshake_client *handshake, const struct frame *frame,
    struct span meta, struct handshake_effect *ret)
{
    struct msg_proven proven;
    if (!is_plain(frame, MSG_PROVEN) || err_is(msg_proven_decode(meta, &proven))
        || proven.role != handshake->hello.role) {
        client_fail(handshake, ERR(PROTOCOL, 0), ret);
        return;
    }
    handshake->stage = HANDSHAKE_DONE;
    ret->is_done = true;
}

void handshake_client_step(struct handshake_client *handshake, const struct frame *frame,
    struct span meta, struct handshake_effect *ret)
{
    *ret = (struct handshake_effect){};
    CHECK(handshake->stage == HANDSHAKE_HELLO || handshake->stage == HANDSHAKE_PROVE);
    if (frame->type == MSG_ERROR)
        client_fail(handshake, error_decode(meta), ret);
    else if (handshake->stage == HANDSHAKE_HELLO)
        client_welcome(handshake, frame, meta, ret);
    else
        client_proven(handshake, frame, meta, ret);
}
