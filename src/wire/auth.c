/* The streaming SHA-256 of libcrypto keeps its state where the caller wants it. The EVP interface
 * that replaces it takes memory for every digest, which servers do not do after start. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "wire/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

enum { LABEL_SIZE = 16, TRANSCRIPT_SIZE = 114, BLOCK_SIZE = SHA256_CBLOCK };
_Static_assert(
    SECRET_SIZE_MAX <= SHA256_CBLOCK, "a key longer than a block would have to be hashed");
_Static_assert(sizeof(struct key32) == SHA256_DIGEST_LENGTH, "a proof is one digest");

err_t secret_read(struct span content, struct secret *ret)
{
    size_t size = content.size;
    while (size > 0 && memchr(" \t\r\n", content.data[size - 1], 4))
        size--;
    if (size < SECRET_SIZE_MIN || size > SECRET_SIZE_MAX)
        return ERR(USAGE, 0);
    struct secret secret = {.size = (uint8_t)size};
    memcpy(secret.bytes, content.data, size);
    *ret = secret;
    return ERR_OK;
}

static void write_transcript(struct writer *w, enum auth_side side, const struct msg_hello *hello,
    const struct msg_welcome *welcome)
{
    static const char labels[][LABEL_SIZE] = {"cairn server 1", "cairn client 1"};
    write_bytes(w, labels[side], LABEL_SIZE);
    write_u16(w, hello->version_min);
    write_u16(w, hello->version_max);
    write_u16(w, welcome->version);
    write_u64(w, hello->capabilities);
    write_u64(w, welcome->capabilities);
    write_u8(w, hello->role);
    write_u8(w, welcome->server_role);
    write_u8(w, welcome->proof_needed);
    write_u8(w, 0);
    write_u32(w, hello->machine);
    write_u32(w, welcome->machine);
    write_bytes(w, hello->challenge.bytes, sizeof hello->challenge.bytes);
    write_bytes(w, welcome->challenge.bytes, sizeof welcome->challenge.bytes);
    CHECK(!w->failed && w->size == w->capacity);
}

/* H((key ^ pad) | text) */
static void hash_padded(const struct secret *secret, uint8_t pad, const void *text, size_t size,
    uint8_t ret[SHA256_DIGEST_LENGTH])
{
    uint8_t block[BLOCK_SIZE];
    SHA256_CTX context;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        block[i] = (uint8_t)((i < secret->size ? secret->bytes[i] : 0) ^ pad);
    CHECK(SHA256_Init(&context) == 1);
    CHECK(SHA256_Update(&context, block, sizeof block) == 1);
    CHECK(SHA256_Update(&context, text, size) == 1);
    CHECK(SHA256_Final(ret, &context) == 1);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(&context, sizeof context);
}

void auth_sign(const struct secret *secret, struct span text, struct key32 *ret)
{
    uint8_t inner[SHA256_DIGEST_LENGTH];
    hash_padded(secret, 0x36, text.data, text.size, inner);
    hash_padded(secret, 0x5c, inner, sizeof inner, ret->bytes);
}

void auth_prove(const struct secret *secret, enum auth_side side, const struct msg_hello *hello,
    const struct msg_welcome *welcome, struct key32 *ret)
{
    CHECK(secret_is_set(secret));
    uint8_t transcript[TRANSCRIPT_SIZE];
    struct writer w = {.data = transcript, .capacity = sizeof transcript};
    write_transcript(&w, side, hello, welcome);
    auth_sign(secret, span_of(transcript, sizeof transcript), ret);
}

bool auth_proof_equals(const struct key32 *a, const struct key32 *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
