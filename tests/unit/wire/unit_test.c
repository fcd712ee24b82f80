#include "wire/unit.h"

#include "tests/lib/test.h"

static const struct identity someone = {.clock = 12345678901, .origin = 7, .suffix = "444.txt"};
static const struct place slot = {.kind = PLACE_PACKED,
    .machine = 7,
    .mount = 3,
    .stream = 2,
    .chunk = 9,
    .offset = 8192,
    .slot_size = 640};
static const struct place file = {.kind = PLACE_SINGLE, .machine = 7, .mount = 3, .stream = 2};

TEST(a_file_is_told_and_understood)
{
    uint8_t bytes[UNIT_FILE_SIZE];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    struct unit_file in = {.identity = someone,
        .flags = UNIT_FILE_FORWARDED,
        .version = {5, 8},
        .size = 600,
        .crc = 0xabcdef01,
        .home = slot};
    unit_file_encode(&in, &w);
    EXPECT(!w.failed);
    EXPECT_EQ(w.size, UNIT_FILE_SIZE);
    struct reader r = {.data = bytes, .size = w.size};
    struct unit_file out;
    EXPECT_OK(unit_file_decode(&r, &out));
    EXPECT(identity_equals(&in.identity, &out.identity));
    EXPECT(version_equals(in.version, out.version));
    EXPECT(place_equals(&in.home, &out.home));
    EXPECT(out.flags == in.flags && out.size == in.size && out.crc == in.crc);
    EXPECT_ERR(unit_file_decode(&r, &out), PROTOCOL);
}

TEST(a_want_and_a_position_and_a_digest_are_told_and_understood)
{
    uint8_t bytes[UNIT_WANT_SIZE + UNIT_POSITION_SIZE + UNIT_DIGEST_SIZE];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    unit_want_encode(&someone, &file, &w);
    unit_position_encode(&(struct unit_position){7, 3, 2, 11, 12, {13, 14, 15}}, &w);
    unit_digest_encode(&(struct unit_digest){UNIT_BUCKET_FIRST + 63, 1, 2, 3}, &w);
    EXPECT(!w.failed);
    EXPECT_EQ(w.size, sizeof bytes);
    struct reader r = {.data = bytes, .size = w.size};
    struct identity identity;
    struct place home;
    struct unit_position position;
    struct unit_digest digest;
    EXPECT_OK(unit_want_decode(&r, &identity, &home));
    EXPECT(identity_equals(&identity, &someone) && place_equals(&home, &file));
    EXPECT_OK(unit_position_decode(&r, &position));
    EXPECT(position.machine == 7 && position.mount == 3 && position.stream == 2);
    EXPECT(position.incarnation == 11 && position.lsn == 12);
    EXPECT(coverage_equals(&position.coverage, &(struct coverage){13, 14, 15}));
    EXPECT_OK(unit_digest_decode(&r, &digest));
    EXPECT(digest.unit == UNIT_BUCKET_FIRST + 63 && digest.digest == 1 && digest.files == 2);
    EXPECT_ERR(unit_digest_decode(&r, &digest), PROTOCOL);
    EXPECT_ERR(unit_position_decode(&r, &position), PROTOCOL);
    EXPECT_ERR(unit_want_decode(&r, &identity, &home), PROTOCOL);
}

TEST(homes_that_no_id_can_name_are_refused)
{
    struct place home = slot;
    struct identity identity = someone;
    EXPECT(unit_home_is_valid(&someone, &slot) && unit_home_is_valid(&someone, &file));
    home.machine = 8;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.chunk = 0;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.offset = 8193;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.offset = UINT32_MAX - 63;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.slot_size = 0;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.slot_size = SLOT_SIZE_MAX + SLOT_UNIT;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = slot, home.kind = PLACE_NONE;
    EXPECT(!unit_home_is_valid(&someone, &home));
    home = file, home.offset = 64;
    EXPECT(!unit_home_is_valid(&someone, &home));
    identity.clock = 0;
    EXPECT(!unit_home_is_valid(&identity, &slot));
    identity = someone, identity.origin = 1 << 24;
    EXPECT(!unit_home_is_valid(&identity, &slot));
    identity = someone, identity.suffix[0] = 'x';
    EXPECT(!unit_home_is_valid(&identity, &slot));
}

TEST(a_unit_is_a_chunk_or_a_bucket)
{
    EXPECT(unit_of(&someone, &slot) == 9);
    EXPECT(unit_of(&someone, &file) == UNIT_BUCKET_FIRST + 12345678901 % 64);
    EXPECT(!unit_is_valid(0) && unit_is_valid(1) && unit_is_valid(UNIT_BUCKET_FIRST + 63));
    EXPECT(!unit_is_valid(UNIT_BUCKET_FIRST + 64));
}
