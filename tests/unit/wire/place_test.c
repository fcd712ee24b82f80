/* Places: 24 bytes that hold every field at its limits. */
#include "tests/lib/test.h"
#include "wire/fid.h"
#include "wire/slot.h"

TEST(a_place_comes_back_with_every_field_at_its_limit)
{
    const struct place places[] = {
        {0},
        {.kind = PLACE_PACKED,
            .mount = 255,
            .stream = 255,
            .machine = MACHINE_MAX,
            .chunk = UINT32_MAX,
            .offset = UINT32_MAX,
            .slot_size = SLOT_SIZE_MAX,
            .birth = (UINT64_C(1) << 56) - 1},
        {.kind = PLACE_SINGLE, .machine = 1, .birth = 1},
        {.kind = PLACE_PACKED, .machine = 7, .chunk = 1, .offset = 64, .slot_size = SLOT_UNIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        uint8_t bytes[24];
        struct place back;
        memset(bytes, 0xaa, sizeof bytes);
        place_encode(&places[i], bytes);
        place_decode(bytes, &back);
        EXPECT(place_equals(&back, &places[i]));
        EXPECT_EQ(back.birth, places[i].birth);
    }
}
