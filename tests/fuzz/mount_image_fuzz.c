/* Any bytes as a copy of cairn.mount, as they are and with their checksum made good: what is decoded
 * is valid and comes back from its own bytes. */
#include "base/crc.h"
#include "disk/mount_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *bytes, unsigned copy)
{
    struct mount_image image, again;
    uint8_t encoded[MOUNT_COPY_SIZE];
    if (err_is(mount_image_decode(bytes, copy, &image)))
        return;
    mount_image_encode(&image, encoded);
    CHECK(!err_is(mount_image_decode(encoded, copy, &again)));
    CHECK(again.generation == image.generation && strlen(again.identity.group) <= GROUP_NAME_MAX);
    CHECK(again.status.epoch == image.status.epoch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[MOUNT_COPY_SIZE] = {0};
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    decode(bytes, 0);
    put_u32(bytes + 12, 0);
    put_u32(bytes + 12, crc32_update(0, bytes, sizeof bytes));
    decode(bytes, 0);
    decode(bytes, 1);
    return 0;
}
