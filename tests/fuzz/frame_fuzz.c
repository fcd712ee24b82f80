/* Any bytes as a frame header, and again with the CRC made right: encode(decode(x)) is x. */
#include "base/crc.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(struct span bytes)
{
    struct frame frame;
    uint8_t again[FRAME_HEADER_SIZE];
    enum frame_result result = frame_decode_header(bytes, &frame);
    CHECK(result != FRAME_NEED_MORE || bytes.size < FRAME_HEADER_SIZE);
    if (result != FRAME_OK)
        return;
    CHECK(frame.meta_size <= FRAME_META_MAX && frame.data_size <= FRAME_DATA_MAX);
    frame_encode_header(&frame, again);
    CHECK(memcmp(again, bytes.data, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_header(span_of(data, size));
    if (size < FRAME_HEADER_SIZE)
        return 0;
    uint8_t sealed[FRAME_HEADER_SIZE];
    memcpy(sealed, data, sizeof sealed);
    put_u32(sealed, FRAME_MAGIC);
    put_u32(sealed + 28, crc32_update(0, sealed, 28));
    check_header(span_of(sealed, sizeof sealed));
    return 0;
}
