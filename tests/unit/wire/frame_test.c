#include "wire/frame.h"

#include "base/crc.h"
#include "base/prng.h"
#include "tests/lib/test.h"

static const struct frame sample = {.request = 0x1122334455667788,
    .meta_size = 100,
    .data_size = 5000,
    .body_crc = 0xcafef00d,
    .flags = FRAME_MORE,
    .type = 16};

static bool frames_equal(const struct frame *a, const struct frame *b)
{
    return a->request == b->request && a->meta_size == b->meta_size && a->data_size == b->data_size
           && a->body_crc == b->body_crc && a->flags == b->flags && a->type == b->type;
}

static void seal(uint8_t bytes[FRAME_HEADER_SIZE])
{
    put_u32(bytes + 28, crc32_update(0, bytes, 28));
}

static enum frame_result decode(const uint8_t *bytes, size_t size)
{
    struct frame frame;
    return frame_decode_header(span_of(bytes, size), &frame);
}

TEST(random_headers_survive_a_round_trip)
{
    struct prng random;
    prng_init(&random, 4);
    for (int i = 0; i < 10000; i++) {
        struct frame in = {.request = prng_next(&random),
            .meta_size = (uint32_t)prng_below(&random, FRAME_META_MAX + 1),
            .data_size = (uint32_t)prng_below(&random, FRAME_DATA_MAX + 1),
            .body_crc = (uint32_t)prng_next(&random),
            .flags = prng_chance(&random, 500000) ? FRAME_MORE : 0,
            .type = (uint8_t)prng_next(&random)};
        struct frame out;
        uint8_t bytes[FRAME_HEADER_SIZE];
        frame_encode_header(&in, bytes);
        EXPECT_EQ(frame_decode_header(span_of(bytes, sizeof bytes), &out), FRAME_OK);
        EXPECT(frames_equal(&in, &out));
    }
}

TEST(the_published_header_keeps_its_bytes)
{
    static const uint8_t published[FRAME_HEADER_SIZE] = {'C', 'R', 'N', '1', 1, 16, 1, 0, 0x88,
        0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 100, 0, 0, 0, 0x88, 0x13, 0, 0, 0x0d, 0xf0, 0xfe,
        0xca, 0x62, 0x81, 0xb8, 0x00};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame out;
    frame_encode_header(&sample, bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        EXPECT_EQ(bytes[i], published[i]);
    EXPECT_EQ(frame_decode_header(span_of(published, sizeof published), &out), FRAME_OK);
    EXPECT(frames_equal(&sample, &out));
}

TEST(a_header_cut_anywhere_needs_more)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_encode_header(&sample, bytes);
    for (size_t size = 0; size < sizeof bytes; size++)
        EXPECT_EQ(decode(bytes, size), FRAME_NEED_MORE);
    EXPECT_EQ(decode(NULL, 0), FRAME_NEED_MORE);
}

TEST(every_flipped_bit_is_bad)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_encode_header(&sample, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_OK);
}

TEST(another_protocol_is_told_from_its_first_byte)
{
    EXPECT_EQ(decode((const uint8_t *)"G", 1), FRAME_BAD);
    EXPECT_EQ(decode((const uint8_t *)"C", 1), FRAME_NEED_MORE);
    EXPECT_EQ(decode((const uint8_t *)"CO", 2), FRAME_BAD); /* CONNECT */
    EXPECT_EQ(decode((const uint8_t *)"CRN2", 4), FRAME_BAD);
}

TEST(sizes_above_the_limits_are_bad_though_sealed)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame largest = {.meta_size = FRAME_META_MAX, .data_size = FRAME_DATA_MAX};
    frame_encode_header(&largest, bytes);
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_OK);
    put_u32(bytes + 16, FRAME_META_MAX + 1);
    seal(bytes);
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
    frame_encode_header(&largest, bytes);
    put_u32(bytes + 20, FRAME_DATA_MAX + 1);
    seal(bytes);
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
    put_u32(bytes + 20, UINT32_MAX);
    seal(bytes);
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
}

TEST(other_versions_and_unknown_flags_are_bad_though_sealed)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_encode_header(&sample, bytes);
    bytes[4] = 2;
    seal(bytes);
    EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
    for (int bit = 1; bit < 16; bit++) {
        frame_encode_header(&sample, bytes);
        put_u16(bytes + 6, (uint16_t)(1 << bit));
        seal(bytes);
        EXPECT_EQ(decode(bytes, sizeof bytes), FRAME_BAD);
    }
}
