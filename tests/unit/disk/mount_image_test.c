/* cairn.mount as bytes. */
#include "base/crc.h"
#include "base/prng.h"
#include "disk/mount_image.h"
#include "tests/lib/test.h"

static uint8_t bytes[MOUNT_COPY_SIZE];

static struct mount_image sample(void)
{
    struct mount_image image = {
        .generation = 0x1234,
        .identity = {.machine = 77, .index = 9, .group = "abcdefghij012345"},
        .shape = {256, 64 << 20, 1 << 20, 4 << 20, 5},
        .status = {6, 7, 8, 9, 10, true, false},
    };
    struct prng prng;
    prng_init(&prng, 1);
    for (size_t i = 0; i < UUID_SIZE; i++) {
        image.identity.cluster_uuid[i] = (uint8_t)prng_next(&prng);
        image.identity.storage_uuid[i] = (uint8_t)prng_next(&prng);
        image.identity.mount_uuid[i] = (uint8_t)prng_next(&prng);
    }
    for (size_t i = 0; i < MOUNT_INDEX_COUNT; i++)
        image.witness[i].generation = prng_next(&prng) >> 8;
    image.witness[9].generation = image.generation; /* its own place says itself */
    memcpy(image.witness[9].mount_uuid, image.identity.mount_uuid, UUID_SIZE);
    return image;
}

static void expect_same(const struct mount_image *a, const struct mount_image *b)
{
    EXPECT_EQ(a->generation, b->generation);
    EXPECT(memcmp(a->identity.cluster_uuid, b->identity.cluster_uuid, UUID_SIZE) == 0);
    EXPECT(memcmp(a->identity.storage_uuid, b->identity.storage_uuid, UUID_SIZE) == 0);
    EXPECT(memcmp(a->identity.mount_uuid, b->identity.mount_uuid, UUID_SIZE) == 0);
    EXPECT_TEXT(a->identity.group, b->identity.group);
    EXPECT_EQ(a->identity.machine, b->identity.machine);
    EXPECT_EQ(a->identity.index, b->identity.index);
    EXPECT_EQ(a->shape.stream_count, b->shape.stream_count);
    EXPECT_EQ(a->shape.chunk_size, b->shape.chunk_size);
    EXPECT_EQ(a->shape.log_segment_size, b->shape.log_segment_size);
    EXPECT_EQ(a->shape.single_min, b->shape.single_min);
    EXPECT_EQ(a->shape.created_ns, b->shape.created_ns);
    EXPECT_EQ(a->status.epoch, b->status.epoch);
    EXPECT_EQ(a->status.incarnation, b->status.incarnation);
    EXPECT_EQ(a->status.expected_files, b->status.expected_files);
    EXPECT_EQ(a->status.expected_bytes, b->status.expected_bytes);
    EXPECT_EQ(a->status.written_ns, b->status.written_ns);
    EXPECT_EQ(a->status.is_clean, b->status.is_clean);
    EXPECT_EQ(a->status.is_unfilled, b->status.is_unfilled);
    EXPECT(memcmp(a->witness, b->witness, sizeof a->witness) == 0);
}

TEST(an_image_comes_back_from_its_bytes)
{
    struct mount_image image = sample(), decoded;
    mount_image_encode(&image, bytes);
    EXPECT_OK(mount_image_decode(bytes, 0, &decoded));
    expect_same(&image, &decoded);
    image.status.is_clean = false;
    image.status.is_unfilled = true;
    image.generation++;
    image.witness[9].generation++;
    mount_image_encode(&image, bytes);
    EXPECT_OK(mount_image_decode(bytes, 1, &decoded));
    expect_same(&image, &decoded);
}

TEST(the_bytes_are_where_the_document_says)
{
    struct mount_image image = sample();
    mount_image_encode(&image, bytes);
    EXPECT(memcmp(bytes, "CAIRNMNT", 8) == 0);
    EXPECT_EQ(get_u64(bytes + 16), 0x1234);
    EXPECT_EQ(get_u32(bytes + 72), 77);
    EXPECT_EQ(get_u16(bytes + 76), 9);
    EXPECT_EQ(bytes[80], 'a');
    EXPECT_EQ(get_u64(bytes + 128), 6);
    EXPECT_EQ(get_u32(bytes + 168), 1);
    EXPECT_EQ(get_u64(bytes + 2048 + 9 * 24 + 16), 0x1234);
}

TEST(every_flipped_byte_and_the_wrong_copy_are_found)
{
    struct mount_image image = sample(), decoded;
    mount_image_encode(&image, bytes);
    EXPECT_ERR(mount_image_decode(bytes, 1, &decoded), CORRUPT);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x20;
        EXPECT_ERR(mount_image_decode(bytes, 0, &decoded), CORRUPT);
        bytes[i] ^= 0x20;
    }
    static const uint8_t zeros[MOUNT_COPY_SIZE];
    EXPECT_ERR(mount_image_decode(zeros, 0, &decoded), CORRUPT);
}

static void seal(void)
{
    put_u32(bytes + 12, 0);
    put_u32(bytes + 12, crc32_update(0, bytes, sizeof bytes));
}

TEST(fields_out_of_range_are_refused_under_a_good_checksum)
{
    static const struct {
        size_t at;
        uint8_t flip;
    } damages[] = {
        {75, 1},     /* machine above 2^24 - 1 */
        {77, 1},     /* index above 255 */
        {79, 1},     /* 512 streams */
        {80, 0x80},  /* group of other characters */
        {96, 'x'},   /* group of 17 characters */
        {104, 1},    /* chunk size not a multiple of 64 */
        {108, 1},    /* segment size not a multiple of 4096 */
        {110, 0x10}, /* segment size 0 */
    };
    struct mount_image image = sample(), decoded;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        mount_image_encode(&image, bytes);
        bytes[damages[i].at] ^= damages[i].flip;
        seal();
        EXPECT_ERR(mount_image_decode(bytes, 0, &decoded), CORRUPT);
    }
    static const size_t uuids[] = {40, 56};
    for (size_t i = 0; i < ARRAY_LEN(uuids); i++) {
        mount_image_encode(&image, bytes);
        memset(bytes + uuids[i], 0, UUID_SIZE);
        seal();
        EXPECT_ERR(mount_image_decode(bytes, 0, &decoded), CORRUPT);
    }
    mount_image_encode(&image, bytes);
    bytes[8] = MOUNT_FORMAT + 1;
    seal();
    EXPECT_ERR(mount_image_decode(bytes, 0, &decoded), FORMAT);
}
