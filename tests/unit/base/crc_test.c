/* CRC-32: known answers, and every way to split a buffer gives the same checksum. */
#include "base/crc.h"
#include "base/prng.h"
#include "tests/lib/test.h"

TEST(the_checksum_is_that_of_zlib)
{
    EXPECT_EQ(crc32_update(0, "123456789", 9), 0xcbf43926);
    EXPECT_EQ(crc32_update(0, "", 0), 0);
    EXPECT_EQ(crc32_update(0, "a", 1), 0xe8b7be43);
}

TEST(a_checksum_can_be_continued_and_combined_at_every_split)
{
    uint8_t data[300];
    struct prng prng;
    prng_init(&prng, 1);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)prng_next(&prng);
    uint32_t whole = crc32_update(0, data, sizeof data);
    for (size_t at = 0; at <= sizeof data; at++) {
        uint32_t a = crc32_update(0, data, at), b = crc32_update(0, data + at, sizeof data - at);
        EXPECT_EQ(crc32_update(a, data + at, sizeof data - at), whole);
        EXPECT_EQ(crc32_combine(a, b, sizeof data - at), whole);
    }
}

TEST(combining_works_for_sizes_that_no_buffer_has)
{
    /* (A + zeros) + zeros == A + (zeros + zeros), where zeros are 2^40 + 3 bytes each */
    uint64_t size = (UINT64_C(1) << 40) + 3;
    uint32_t zero = crc32_combine(0, 0, 1), a = crc32_update(0, "abc", 3);
    EXPECT_EQ(zero, 0);
    uint32_t left = crc32_combine(crc32_combine(a, 7, size), 9, size);
    uint32_t right = crc32_combine(a, crc32_combine(7, 9, size), 2 * size);
    EXPECT_EQ(left, right);
    EXPECT(left != crc32_combine(a, crc32_combine(7, 9, size), 2 * size + 1));
}
