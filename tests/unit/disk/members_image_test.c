/* cairn.members as bytes. */
#include "base/crc.h"
#include "disk/members_image.h"
#include "tests/lib/test.h"

static uint8_t bytes[MEMBERS_COPY_SIZE];

/* Format 1, made from doc/disk-format.md by another program: the first bytes of a copy; the rest is
 * zero. Never changed: it must be readable for ever. */
static const char old_image[] = "434149524e4d454d01000000361f201906000000000000002021222324252627"
                                "28292a2b2c2d2e2f070000000300000001000000000000000000000000000000"
                                "0800000000041e1e0a0000080000000000000000000000005051525354555657"
                                "58595a5b5c5d5e5f000000000000000000000000000000000000000000000000"
                                "0900000001061f1e0102030405060708090a0b0c0d0e0f106061626364656667"
                                "68696a6b6c6d6e6f000000000000000000000000000000000000000000000000"
                                "0900000000000000000000000000000000000000000000007071727374757677"
                                "78797a7b7c7d7e7f000000000000000000000000000000000000000000000000";

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void fill_uuid(uint8_t uuid[UUID_SIZE], uint8_t first)
{
    for (size_t i = 0; i < UUID_SIZE; i++)
        uuid[i] = (uint8_t)(first + i);
}

static struct members_image sample(void)
{
    struct members_image image = {.generation = 6, .machine = 7, .is_draining = true, .count = 3};
    fill_uuid(image.storage_uuid, 0x20);
    image.entries[0] = (struct members_entry){
        .machine = 8, .address = {.bytes = {10, 0, 0, 8}, .port = 7710, .family = 4}};
    image.entries[1] = (struct members_entry){
        .machine = 9, .address = {.port = 7711, .family = 6}, .is_removed = true};
    fill_uuid(image.entries[1].address.bytes, 1);
    image.entries[2] = (struct members_entry){.machine = 9};
    for (uint8_t i = 0; i < 3; i++)
        fill_uuid(image.entries[i].uuid, (uint8_t)(0x50 + 16 * i));
    return image;
}

static void expect_same(const struct members_image *a, const struct members_image *b)
{
    EXPECT_EQ(a->generation, b->generation);
    EXPECT_EQ(a->machine, b->machine);
    EXPECT_EQ(a->is_draining, b->is_draining);
    EXPECT(uuid_equals(a->storage_uuid, b->storage_uuid));
    EXPECT_EQ(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        EXPECT_EQ(a->entries[i].machine, b->entries[i].machine);
        EXPECT_EQ(a->entries[i].is_removed, b->entries[i].is_removed);
        EXPECT_EQ(a->entries[i].address.port, b->entries[i].address.port);
        EXPECT_EQ(a->entries[i].address.family, b->entries[i].address.family);
        EXPECT(memcmp(a->entries[i].address.bytes, b->entries[i].address.bytes, 16) == 0);
        EXPECT(uuid_equals(a->entries[i].uuid, b->entries[i].uuid));
    }
}

TEST(members_come_back_from_their_bytes)
{
    struct members_image image = sample(), decoded;
    members_image_encode(&image, bytes);
    EXPECT_OK(members_image_decode(bytes, 0, &decoded));
    expect_same(&image, &decoded);
    image.is_draining = false;
    image.generation++;
    image.count = MEMBERS_ENTRIES_MAX;
    for (uint32_t i = 3; i < image.count; i++)
        image.entries[i] = (struct members_entry){.machine = i, .uuid = {(uint8_t)i}};
    members_image_encode(&image, bytes);
    EXPECT_OK(members_image_decode(bytes, 1, &decoded));
    expect_same(&image, &decoded);
}

TEST(an_old_image_stays_readable_and_is_what_is_still_written)
{
    static uint8_t old[MEMBERS_COPY_SIZE];
    struct members_image image = sample(), decoded;
    for (size_t i = 0; i < sizeof old_image / 2; i++)
        old[i] = (uint8_t)(nibble(old_image[2 * i]) << 4 | nibble(old_image[2 * i + 1]));
    EXPECT_OK(members_image_decode(old, 0, &decoded));
    expect_same(&image, &decoded);
    members_image_encode(&image, bytes);
    EXPECT(memcmp(bytes, old, sizeof old) == 0);
}

TEST(every_flipped_byte_and_the_wrong_copy_are_found)
{
    struct members_image image = sample(), decoded;
    members_image_encode(&image, bytes);
    EXPECT_ERR(members_image_decode(bytes, 1, &decoded), CORRUPT);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x20;
        EXPECT_ERR(members_image_decode(bytes, 0, &decoded), CORRUPT);
        bytes[i] ^= 0x20;
    }
    static const uint8_t zeros[MEMBERS_COPY_SIZE];
    EXPECT_ERR(members_image_decode(zeros, 0, &decoded), CORRUPT);
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
        uint8_t value;
    } damages[] = {
        {43, 1},     /* machine above 2^24 - 1 */
        {44, 64},    /* entries that the copy has no room for */
        {44, 4},     /* an entry of zeros */
        {64 + 3, 1}, /* member's machine above 2^24 - 1 */
        {64 + 5, 5}, /* family of address */
    };
    struct members_image image = sample(), decoded;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        members_image_encode(&image, bytes);
        bytes[damages[i].at] = damages[i].value;
        seal();
        EXPECT_ERR(members_image_decode(bytes, 0, &decoded), CORRUPT);
    }
    static const size_t uuids[] = {24, 64 + 24, 128 + 24};
    for (size_t i = 0; i < ARRAY_LEN(uuids); i++) {
        members_image_encode(&image, bytes);
        memset(bytes + uuids[i], 0, UUID_SIZE);
        seal();
        EXPECT_ERR(members_image_decode(bytes, 0, &decoded), CORRUPT);
    }
    members_image_encode(&image, bytes);
    bytes[8] = MEMBERS_FORMAT + 1;
    seal();
    EXPECT_ERR(members_image_decode(bytes, 0, &decoded), FORMAT);
}
