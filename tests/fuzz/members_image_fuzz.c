/* Any bytes as a copy of cairn.members, as they are and with their checksum made good: what is decoded
 * is valid and comes back from its own bytes. */
#include "base/crc.h"
#include "disk/members_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *bytes, unsigned copy)
{
    struct members_image image, again;
    uint8_t encoded[MEMBERS_COPY_SIZE];
    if (err_is(members_image_decode(bytes, copy, &image)))
        return;
    CHECK(members_image_is_valid(&image));
    members_image_encode(&image, encoded);
    CHECK(!err_is(members_image_decode(encoded, copy, &again)));
    CHECK(again.generation == image.generation && again.count == image.count);
    for (uint32_t i = 0; i < image.count; i++)
        CHECK(again.entries[i].machine == image.entries[i].machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[MEMBERS_COPY_SIZE] = {0};
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    decode(bytes, 0);
    put_u32(bytes + 12, 0);
    put_u32(bytes + 12, crc32_update(0, bytes, sizeof bytes));
    decode(bytes, 0);
    decode(bytes, 1);
    return 0;
}
