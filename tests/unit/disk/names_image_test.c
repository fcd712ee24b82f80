/* cairn.names as bytes. */
#include "base/crc.h"
#include "disk/names_image.h"
#include "tests/lib/test.h"

static uint8_t bytes[MEMBERS_COPY_SIZE];

/* Format 1, made from doc/disk-format.md by another program: the first bytes of a copy; the rest is
 * zero. Never changed: it must be readable for ever. */
static const char old_image[] = "434149524e4e414d01000000a90cc74e06000000000000002021222324252627"
                                "28292a2b2c2d2e2f070000000200000000000000000000000000000000000000"
                                "4d30302f30302f30312f66697273740000000000000000000000000000000000"
                                "0000000000000000000000000000000000000000000000000000000000000000"
                                "7878787878787878787878787878787878787878787878787878787878787878"
                                "7878787878787878787878787878787878787878787878787878787800000000";

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct names_image sample(void)
{
    struct names_image image = {.generation = 6, .machine = 7, .count = 2};
    for (uint8_t i = 0; i < UUID_SIZE; i++)
        image.storage_uuid[i] = (uint8_t)(0x20 + i);
    memcpy(image.maps[0], "M00/00/01/first", 16);
    memset(image.maps[1], 'x', NAMES_ID_MAX);
    return image;
}

static void seal(void)
{
    put_u32(bytes + 12, 0);
    put_u32(bytes + 12, crc32_update(0, bytes, sizeof bytes));
}

static void expect_same(const struct names_image *a, const struct names_image *b)
{
    EXPECT_EQ(a->generation, b->generation);
    EXPECT_EQ(a->machine, b->machine);
    EXPECT(uuid_equals(a->storage_uuid, b->storage_uuid));
    EXPECT_EQ(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        EXPECT_TEXT(a->maps[i], b->maps[i]);
}

TEST(maps_come_back_from_their_bytes)
{
    struct names_image image = sample(), decoded;
    names_image_encode(&image, bytes);
    EXPECT_OK(names_image_decode(bytes, 0, &decoded));
    expect_same(&image, &decoded);
    image.generation++;
    image.count = NAMES_MAPS_MAX;
    for (uint32_t i = 0; i < NAMES_MAPS_MAX; i++)
        memset(image.maps[i], 'a' + (int)(i % 26), 1 + i % NAMES_ID_MAX);
    names_image_encode(&image, bytes);
    EXPECT_OK(names_image_decode(bytes, 1, &decoded));
    expect_same(&image, &decoded);
}

TEST(an_image_of_format_1_is_read)
{
    struct names_image image = sample(), decoded;
    memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i + 1 < sizeof old_image; i += 2)
        bytes[i / 2] = (uint8_t)(nibble(old_image[i]) << 4 | nibble(old_image[i + 1]));
    EXPECT_OK(names_image_decode(bytes, 0, &decoded));
    expect_same(&image, &decoded);
}

TEST(what_was_torn_damaged_or_stands_in_the_other_place_is_refused)
{
    struct names_image image = sample(), decoded;
    memset(bytes, 0, sizeof bytes);
    EXPECT_ERR(names_image_decode(bytes, 0, &decoded), CORRUPT);
    names_image_encode(&image, bytes);
    EXPECT_ERR(names_image_decode(bytes, 1, &decoded), CORRUPT);
    for (size_t at = 0; at < sizeof bytes; at += 61) {
        names_image_encode(&image, bytes);
        bytes[at] ^= 1;
        EXPECT_ERR(names_image_decode(bytes, 0, &decoded), CORRUPT);
    }
    names_image_encode(&image, bytes);
    put_u32(bytes + 44, NAMES_MAPS_MAX + 1);
    seal();
    EXPECT_ERR(names_image_decode(bytes, 0, &decoded), CORRUPT);
}

TEST(a_later_format_is_refused_as_such)
{
    struct names_image image = sample(), decoded;
    names_image_encode(&image, bytes);
    bytes[8] = NAMES_FILE_FORMAT + 1;
    seal();
    EXPECT_ERR(names_image_decode(bytes, 0, &decoded), FORMAT);
}
