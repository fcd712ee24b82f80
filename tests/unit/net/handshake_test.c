#include "net/handshake.h"

#include "net/error.h"
#include "tests/lib/test.h"

static const char client_text[] = "the clients' secret 0123456789";
static const char node_text[] = "the nodes' secret 9876543210 abcdef";

struct exchange { /* one client, one server, and what each said last */
    struct handshake_secrets secrets;
    struct handshake_policy policy;
    struct handshake_server server;
    struct handshake_client client;
    struct secret client_secret;
    struct handshake_effect said;
    uint8_t challenge_seed;
};

static struct secret secret_of(const char *text)
{
    struct secret secret = {};
    if (text)
        EXPECT_OK(secret_read(span_of_text(text), &secret));
    return secret;
}

static struct key32 challenge_of(uint8_t seed)
{
    struct key32 challenge;
    for (size_t i = 0; i < sizeof challenge.bytes; i++)
        challenge.bytes[i] = (uint8_t)(seed + i);
    return challenge;
}

static void begin(
    struct exchange *x, const char *client, const char *node, const char *ours, enum node_role role)
{
    x->secrets = (struct handshake_secrets){secret_of(client), secret_of(node)};
    x->policy = (struct handshake_policy){.secrets = &x->secrets,
        .capabilities = 0xc0ffee,
        .machine = 7,
        .server_role = SERVER_STORAGE};
    x->server = (struct handshake_server){};
    x->client_secret = secret_of(ours);
    struct key32 challenge = challenge_of(x->challenge_seed++);
    handshake_client_start(&x->client, &x->client_secret, role, 9, 0xbeef, &challenge, &x->said);
    EXPECT_EQ(x->said.type, MSG_HELLO);
}

static struct handshake_effect to_server(struct exchange *x, uint8_t type, struct span meta)
{
    struct handshake_effect effect;
    struct key32 challenge = challenge_of((uint8_t)(100 + x->challenge_seed++));
    struct frame frame = {.type = type, .meta_size = (uint32_t)meta.size};
    handshake_server_step(&x->server, &x->policy, &frame, meta, &challenge, &effect);
    return effect;
}

static struct handshake_effect to_client(
    struct exchange *x, const struct handshake_effect *from_server)
{
    struct handshake_effect effect;
    struct frame frame = {.type = from_server->type, .meta_size = from_server->meta_size};
    handshake_client_step(
        &x->client, &frame, span_of(from_server->meta, from_server->meta_size), &effect);
    return effect;
}

/* Pass what was said to and fro until somebody is done or has failed; the failure, or OK. */
static err_t run(struct exchange *x)
{
    struct handshake_effect from_server, from_client = x->said;
    for (int i = 0; i < 4; i++) {
        from_server =
            to_server(x, from_client.type, span_of(from_client.meta, from_client.meta_size));
        from_client = to_client(x, &from_server);
        if (err_is(from_client.err))
            return from_client.err;
        if (from_client.is_done) {
            EXPECT_EQ(x->server.stage, HANDSHAKE_DONE);
            return ERR_OK;
        }
    }
    return ERR(FAILED, 0);
}

static err_t run_with(const char *client, const char *node, const char *ours, enum node_role role)
{
    struct exchange x = {};
    begin(&x, client, node, ours, role);
    return run(&x);
}

TEST(without_secrets_welcome_is_enough)
{
    struct exchange x = {};
    begin(&x, NULL, NULL, NULL, ROLE_NODE);
    EXPECT_OK(run(&x));
    EXPECT_EQ(x.server.hello.role, ROLE_NODE);
    EXPECT_EQ(x.server.hello.machine, 9);
    EXPECT_EQ(x.client.welcome.machine, 7);
    EXPECT_EQ(x.client.welcome.capabilities, 0xc0ffee);
    EXPECT_EQ(x.client.welcome.proof_needed, 0);
}

TEST(the_right_secret_of_the_role_opens)
{
    EXPECT_OK(run_with(client_text, node_text, client_text, ROLE_CLIENT));
    EXPECT_OK(run_with(client_text, node_text, node_text, ROLE_NODE));
}

TEST(a_wrong_or_missing_secret_does_not_open)
{
    EXPECT_ERR(run_with(client_text, node_text, node_text, ROLE_CLIENT), DENIED);
    EXPECT_ERR(run_with(client_text, node_text, client_text, ROLE_NODE), DENIED);
    EXPECT_ERR(run_with(client_text, node_text, NULL, ROLE_CLIENT), DENIED);
    EXPECT_ERR(run_with(client_text, node_text, NULL, ROLE_NODE), DENIED);
}

TEST(a_role_without_its_secret_is_open_for_clients_only)
{
    EXPECT_OK(run_with(NULL, node_text, NULL, ROLE_CLIENT));
    EXPECT_ERR(run_with(client_text, NULL, NULL, ROLE_NODE), DENIED);
}

TEST(a_client_with_a_secret_refuses_a_server_without)
{
    EXPECT_ERR(run_with(NULL, NULL, client_text, ROLE_CLIENT), DENIED);
}

/* The server itself checks: a client that skips its own checks gets no further. */
static int prove_to_server(struct exchange *x, const struct key32 *proof)
{
    struct handshake_effect effect = to_server(x, MSG_PROVE, span_of(proof->bytes, 32));
    if (effect.type == MSG_PROVEN)
        return ERR_CODE_OK;
    EXPECT_EQ(effect.type, MSG_ERROR);
    EXPECT_EQ(x->server.stage, HANDSHAKE_FAILED);
    EXPECT_EQ(error_decode(span_of(effect.meta, effect.meta_size)).code, (int)effect.err.code);
    return effect.err.code;
}

static struct msg_welcome say_hello(struct exchange *x)
{
    struct msg_welcome welcome;
    struct handshake_effect effect =
        to_server(x, MSG_HELLO, span_of(x->said.meta, x->said.meta_size));
    EXPECT_EQ(effect.type, MSG_WELCOME);
    EXPECT_OK(msg_welcome_decode(span_of(effect.meta, effect.meta_size), &welcome));
    return welcome;
}

TEST(a_wrong_proof_is_denied_by_the_server)
{
    struct exchange x = {};
    struct key32 proof;
    begin(&x, client_text, node_text, client_text, ROLE_CLIENT);
    struct msg_welcome welcome = say_hello(&x);
    auth_prove(&x.client_secret, AUTH_CLIENT, &x.client.hello, &welcome, &proof);
    proof.bytes[31] ^= 1;
    EXPECT_EQ(prove_to_server(&x, &proof), ERR_CODE_DENIED);
}

TEST(a_replayed_proof_is_denied)
{
    struct exchange x = {};
    struct key32 proof;
    begin(&x, client_text, node_text, client_text, ROLE_CLIENT);
    struct handshake_effect hello = x.said;
    struct msg_welcome welcome = say_hello(&x);
    auth_prove(&x.client_secret, AUTH_CLIENT, &x.client.hello, &welcome, &proof);
    EXPECT_EQ(prove_to_server(&x, &proof), ERR_CODE_OK);
    x.server = (struct handshake_server){};
    x.said = hello; /* the same HELLO, word by word */
    (void)say_hello(&x);
    EXPECT_EQ(prove_to_server(&x, &proof), ERR_CODE_DENIED);
}

TEST(a_reflected_proof_is_denied)
{
    struct exchange x = {};
    begin(&x, client_text, node_text, client_text, ROLE_CLIENT);
    struct msg_welcome welcome = say_hello(&x);
    EXPECT_EQ(prove_to_server(&x, &welcome.proof), ERR_CODE_DENIED);
}

TEST(a_proof_binds_all_that_was_said)
{
    struct secret secret = secret_of(client_text);
    struct msg_hello hello = {.version_min = 1,
        .version_max = 1,
        .capabilities = 5,
        .role = ROLE_CLIENT,
        .machine = 9,
        .challenge = challenge_of(1)};
    struct msg_welcome welcome = {.version = 1,
        .capabilities = 6,
        .server_role = SERVER_STORAGE,
        .proof_needed = 1,
        .machine = 7,
        .challenge = challenge_of(2)};
    struct key32 reference, other;
    auth_prove(&secret, AUTH_CLIENT, &hello, &welcome, &reference);
    auth_prove(&secret, AUTH_CLIENT, &hello, &welcome, &other);
    EXPECT(auth_proof_equals(&reference, &other));
#define EXPECT_BOUND(field, change)                                 \
    do {                                                            \
        field = (typeof(field))(field change);                      \
        auth_prove(&secret, AUTH_CLIENT, &hello, &welcome, &other); \
        EXPECT(!auth_proof_equals(&reference, &other));             \
        field = (typeof(field))(field change);                      \
    } while (0)
    EXPECT_BOUND(hello.version_min, ^1);
    EXPECT_BOUND(hello.version_max, ^1);
    EXPECT_BOUND(hello.capabilities, ^1);
    EXPECT_BOUND(hello.role, ^3);
    EXPECT_BOUND(hello.machine, ^1);
    EXPECT_BOUND(hello.challenge.bytes[31], ^1);
    EXPECT_BOUND(welcome.version, ^1);
    EXPECT_BOUND(welcome.capabilities, ^1);
    EXPECT_BOUND(welcome.server_role, ^1);
    EXPECT_BOUND(welcome.proof_needed, ^1);
    EXPECT_BOUND(welcome.machine, ^1);
    EXPECT_BOUND(welcome.challenge.bytes[0], ^1);
    auth_prove(&secret, AUTH_SERVER, &hello, &welcome, &other);
    EXPECT(!auth_proof_equals(&reference, &other));
}

/* Made by another implementation of HMAC-SHA256 over the transcript of doc/protocol.md. */
TEST(the_published_proof_keeps_its_bytes)
{
    static const uint8_t published[32] = {0x0c, 0x37, 0x0f, 0xaf, 0x52, 0x29, 0x9a, 0x62, 0x5c,
        0x89, 0xc6, 0xc4, 0x6e, 0x38, 0xcf, 0x3e, 0x35, 0xfe, 0xcc, 0x8b, 0x2c, 0x5a, 0x06, 0x02,
        0x23, 0x97, 0xb3, 0x63, 0xf3, 0x0f, 0x59, 0x80};
    struct secret secret = secret_of(client_text);
    struct msg_hello hello = {.version_min = 1,
        .version_max = 2,
        .capabilities = 5,
        .role = ROLE_CLIENT,
        .machine = 9,
        .challenge = challenge_of(1)};
    struct msg_welcome welcome = {.version = 1,
        .capabilities = 6,
        .server_role = SERVER_STORAGE,
        .proof_needed = 1,
        .machine = 7,
        .challenge = challenge_of(2)};
    struct key32 proof;
    auth_prove(&secret, AUTH_CLIENT, &hello, &welcome, &proof);
    EXPECT(memcmp(proof.bytes, published, sizeof published) == 0);
}

TEST(a_tampered_welcome_is_seen_by_the_client)
{
    for (size_t at = 0; at < 80; at++) {
        struct exchange x = {};
        begin(&x, client_text, node_text, client_text, ROLE_CLIENT);
        struct handshake_effect welcome =
            to_server(&x, MSG_HELLO, span_of(x.said.meta, x.said.meta_size));
        EXPECT_EQ(welcome.meta_size, 80);
        welcome.meta[at] ^= 1;
        EXPECT(err_is(to_client(&x, &welcome).err));
    }
}

static int hello_with_versions(uint16_t min, uint16_t max, char *ret_text, size_t text_size)
{
    struct exchange x = {};
    begin(&x, NULL, NULL, NULL, ROLE_CLIENT);
    struct msg_hello hello = x.client.hello;
    hello.version_min = min;
    hello.version_max = max;
    uint8_t meta[128];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_hello_encode(&hello, &w);
    struct handshake_effect effect = to_server(&x, MSG_HELLO, span_of(meta, w.size));
    struct msg_error error = {};
    if (effect.type == MSG_ERROR) {
        EXPECT_OK(msg_error_decode(span_of(effect.meta, effect.meta_size), &error));
        EXPECT(span_to_text(error.text, ret_text, text_size));
    }
    return effect.err.code;
}

TEST(a_foreign_version_is_told_both_ranges)
{
    char text[160];
    EXPECT_EQ(hello_with_versions(2, 3, text, sizeof text), ERR_CODE_UNSUPPORTED);
    EXPECT_TEXT(text, "no common version: this server speaks 1 to 1, the peer 2 to 3");
    EXPECT_EQ(hello_with_versions(0, 0, text, sizeof text), ERR_CODE_UNSUPPORTED);
    EXPECT_EQ(hello_with_versions(0, 1, text, sizeof text), ERR_CODE_OK);
    EXPECT_EQ(hello_with_versions(1, UINT16_MAX, text, sizeof text), ERR_CODE_OK);
    EXPECT_EQ(hello_with_versions(2, 1, text, sizeof text), ERR_CODE_PROTOCOL);
}

TEST(malformed_steps_are_protocol_errors)
{
    struct exchange x = {};
    begin(&x, client_text, node_text, client_text, ROLE_CLIENT);
    struct span hello = span_of(x.said.meta, x.said.meta_size);
    for (size_t size = 0; size < hello.size; size++) {
        x.server = (struct handshake_server){};
        EXPECT_EQ(to_server(&x, MSG_HELLO, span_of(hello.data, size)).err.code, ERR_CODE_PROTOCOL);
    }
    x.server = (struct handshake_server){};
    EXPECT_EQ(to_server(&x, MSG_PROVE, hello).err.code, ERR_CODE_PROTOCOL);
    x.server = (struct handshake_server){};
    (void)say_hello(&x);
    EXPECT_EQ(to_server(&x, MSG_HELLO, hello).err.code, ERR_CODE_PROTOCOL);
    x.server = (struct handshake_server){};
    (void)say_hello(&x);
    EXPECT_EQ(to_server(&x, MSG_PROVE, span_of(hello.data, 31)).err.code, ERR_CODE_PROTOCOL);
}

TEST(an_unknown_role_is_a_protocol_error)
{
    struct exchange x = {};
    begin(&x, NULL, NULL, NULL, (enum node_role)3);
    EXPECT_EQ(to_server(&x, MSG_HELLO, span_of(x.said.meta, x.said.meta_size)).err.code,
        ERR_CODE_PROTOCOL);
}

TEST(what_the_server_says_instead_of_welcome_is_the_error)
{
    struct exchange x = {};
    struct handshake_effect busy = {.type = MSG_ERROR};
    struct writer w = {.data = busy.meta, .capacity = sizeof busy.meta};
    begin(&x, NULL, NULL, NULL, ROLE_CLIENT);
    error_encode(ERR(BUSY, 0), "full", (struct version){}, &w);
    busy.meta_size = (uint16_t)w.size;
    EXPECT_ERR(to_client(&x, &busy).err, BUSY);
    begin(&x, NULL, NULL, NULL, ROLE_CLIENT);
    struct handshake_effect pong = {.type = MSG_PONG, .meta_size = 2};
    EXPECT_ERR(to_client(&x, &pong).err, PROTOCOL);
}

TEST(secrets_are_16_to_64_bytes_without_the_white_space_behind)
{
    struct secret secret;
    char text[80];
    memset(text, 'x', sizeof text);
    EXPECT_ERR(secret_read(span_of(text, 15), &secret), USAGE);
    EXPECT_OK(secret_read(span_of(text, 16), &secret));
    EXPECT_OK(secret_read(span_of(text, 64), &secret));
    EXPECT_EQ(secret.size, 64);
    EXPECT_ERR(secret_read(span_of(text, 65), &secret), USAGE);
    EXPECT_ERR(secret_read(span_of(NULL, 0), &secret), USAGE);
    EXPECT_ERR(secret_read(span_of_text("0123456789abcde \n\n"), &secret), USAGE);
    EXPECT_OK(secret_read(span_of_text("0123456789 abcdef\r\n"), &secret));
    EXPECT_EQ(secret.size, 17);
}

TEST(unknown_and_malformed_errors_are_still_errors)
{
    uint8_t meta[64];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_error_encode(&(struct msg_error){.code = 4711}, &w);
    EXPECT_ERR(error_decode(span_of(meta, w.size)), FAILED);
    EXPECT_ERR(error_decode(span_of(meta, 3)), PROTOCOL);
    w.size = 0;
    msg_error_encode(&(struct msg_error){.code = ERR_CODE_OK}, &w);
    EXPECT_ERR(error_decode(span_of(meta, w.size)), PROTOCOL);
}
