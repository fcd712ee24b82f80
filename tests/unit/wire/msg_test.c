#include "wire/msg.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static uint8_t texts[256]; /* what the texts of random messages point into */

static struct span random_text(struct prng *random)
{
    size_t size = prng_below(random, 40);
    return span_of(texts + prng_below(random, sizeof texts - 40), size);
}

static bool spans_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#define RANDOM_U8(name) msg.name = (uint8_t)prng_next(random);
#define RANDOM_U16(name) msg.name = (uint16_t)prng_next(random);
#define RANDOM_U32(name) msg.name = (uint32_t)prng_next(random);
#define RANDOM_U64(name) msg.name = prng_next(random);
#define RANDOM_VERSION(name) \
    msg.name = (struct version){prng_next(random), (uint32_t)prng_next(random)};
#define RANDOM_NONCE(name) prng_fill(random, &msg.name, sizeof msg.name);
#define RANDOM_LATER8(name) msg.name = (uint8_t)prng_next(random);
#define RANDOM_KEY32(name) prng_fill(random, &msg.name, sizeof msg.name);
#define RANDOM_TEXT(name) msg.name = random_text(random);

#define SAME_U8(name) EXPECT_EQ(a->name, b->name);
#define SAME_U16(name) EXPECT_EQ(a->name, b->name);
#define SAME_U32(name) EXPECT_EQ(a->name, b->name);
#define SAME_U64(name) EXPECT_EQ(a->name, b->name);
#define SAME_VERSION(name) EXPECT(version_equals(a->name, b->name));
#define SAME_NONCE(name) EXPECT(memcmp(&a->name, &b->name, sizeof a->name) == 0);
#define SAME_LATER8(name) EXPECT_EQ(a->name, b->name);
#define SAME_KEY32(name) EXPECT(memcmp(&a->name, &b->name, sizeof a->name) == 0);
#define SAME_TEXT(name) EXPECT(spans_equal(a->name, b->name));

/* For every message: random ones survive, every cut is refused, what follows is ignored. */
#define F(kind, name) RANDOM_##kind(name)
#define MESSAGE(NAME, name, number, fields)                     \
    static struct msg_##name random_##name(struct prng *random) \
    {                                                           \
        struct msg_##name msg = {};                             \
        (void)random;                                           \
        fields return msg;                                      \
    }
#include "wire/msg.def"
#undef MESSAGE
#undef F

#define F(kind, name) SAME_##kind(name)
#define MESSAGE(NAME, name, number, fields)                                                \
    static void expect_same_##name(const struct msg_##name *a, const struct msg_##name *b) \
    {                                                                                      \
        (void)a;                                                                           \
        (void)b;                                                                           \
        fields                                                                             \
    }
#include "wire/msg.def"
#undef MESSAGE
#undef F

/* Bytes at the end that may be missing. */
#define LATER_U8(name)
#define LATER_U16(name)
#define LATER_U32(name)
#define LATER_U64(name)
#define LATER_VERSION(name)
#define LATER_NONCE(name)
#define LATER_KEY32(name)
#define LATER_TEXT(name)
#define LATER_LATER8(name) +1
#define F(kind, name) LATER_##kind(name)
#define MESSAGE(NAME, name, number, fields) enum { later_##name = 0 fields };
#include "wire/msg.def"
#undef MESSAGE
#undef F

#define MESSAGE(NAME, name, number, fields)                               \
    static void check_##name(struct prng *random)                         \
    {                                                                     \
        uint8_t bytes[1024] = {};                                         \
        struct writer w = {.data = bytes, .capacity = sizeof bytes - 8};  \
        struct msg_##name in = random_##name(random), out;                \
        msg_##name##_encode(&in, &w);                                     \
        EXPECT(!w.failed);                                                \
        EXPECT_OK(msg_##name##_decode(span_of(bytes, w.size), &out));     \
        expect_same_##name(&in, &out);                                    \
        EXPECT_OK(msg_##name##_decode(span_of(bytes, w.size + 8), &out)); \
        expect_same_##name(&in, &out);                                    \
        for (size_t size = 0; size < w.size - later_##name; size++) {     \
            uint8_t *copy = malloc(size + 1);                             \
            EXPECT(copy != NULL);                                         \
            memcpy(copy, bytes, size);                                    \
            err_t err = msg_##name##_decode(span_of(copy, size), &out);   \
            free(copy);                                                   \
            EXPECT_ERR(err, PROTOCOL);                                    \
            expect_same_##name(&in, &out);                                \
        }                                                                 \
        for (size_t room = 0; room < w.size; room++) {                    \
            struct writer small = {.data = bytes, .capacity = room};      \
            msg_##name##_encode(&in, &small);                             \
            EXPECT(small.failed);                                         \
        }                                                                 \
    }
#include "wire/msg.def"
#undef MESSAGE

TEST(random_messages_survive_and_every_cut_is_refused)
{
    struct prng random;
    prng_init(&random, 5);
    prng_fill(&random, texts, sizeof texts);
    for (int i = 0; i < 50; i++) {
#define MESSAGE(NAME, name, number, fields) check_##name(&random);
#include "wire/msg.def"
#undef MESSAGE
    }
}

TEST(a_field_that_was_added_later_may_be_missing_and_is_zero_then)
{
    uint8_t bytes[256];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    struct msg_upload in = {.size = 7, .metadata = span_of_text("m"), .is_retry = 1}, out;
    msg_upload_encode(&in, &w);
    EXPECT_OK(msg_upload_decode(span_of(bytes, w.size), &out));
    EXPECT_EQ(out.is_retry, 1);
    EXPECT_OK(msg_upload_decode(span_of(bytes, w.size - 1), &out));
    EXPECT_EQ(out.is_retry, 0);
    EXPECT(span_equals_text(out.metadata, "m"));
    EXPECT_ERR(msg_upload_decode(span_of(bytes, w.size - 2), &out), PROTOCOL);
}

TEST(message_numbers_are_unique_and_named)
{
    EXPECT_TEXT(msg_type_name(MSG_UPLOAD), "upload");
    EXPECT_TEXT(msg_type_name(MSG_STATUS_REPLY), "status_reply");
    EXPECT_TEXT(msg_type_name(0), "unknown");
    EXPECT_TEXT(msg_type_name(255), "unknown");
}

TEST(a_text_longer_than_its_length_field_does_not_fit)
{
    static uint8_t bytes[128 * 1024], text[UINT16_MAX + 1];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    struct msg_stat msg = {.id = span_of(text, UINT16_MAX)};
    msg_stat_encode(&msg, &w);
    EXPECT(!w.failed);
    EXPECT_EQ(w.size, 2 + UINT16_MAX);
    msg.id.size++;
    msg_stat_encode(&msg, &w);
    EXPECT(w.failed);
}

/* Bytes as published in doc/protocol.md. */
TEST(the_published_delete_keeps_its_bytes)
{
    static const uint8_t published[] = {2, 0, 'i', 'd', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
        14, 15, 16, ACK_ONE, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0};
    struct msg_delete msg = {.id = span_of_text("id"), .ack = ACK_ONE, .if_version = {7, 513}};
    for (size_t i = 0; i < 16; i++)
        msg.nonce.bytes[i] = (uint8_t)(i + 1);
    uint8_t bytes[64];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    msg_delete_encode(&msg, &w);
    EXPECT_EQ(w.size, sizeof published);
    EXPECT(memcmp(bytes, published, sizeof published) == 0);
}

TEST(states_have_names)
{
    EXPECT_TEXT(storage_state_name(STATE_INITING), "initing");
    EXPECT_TEXT(storage_state_name(STATE_DSYNCED), "dsynced");
    EXPECT_TEXT(storage_state_name(STATE_RUNNING), "running");
    EXPECT_TEXT(storage_state_name(STATE_CLOSED), "closed");
    EXPECT_TEXT(storage_state_name(0), "unknown");
    EXPECT_TEXT(storage_state_name(STATE_COUNT), "unknown");
    EXPECT_TEXT(storage_state_name(255), "unknown");
}
