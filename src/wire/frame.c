#include "wire/frame.h"

#include "base/crc.h"

enum {
    MAGIC_AT = 0,
    VERSION_AT = 4,
    TYPE_AT = 5,
    FLAGS_AT = 6,
    REQUEST_AT = 8,
    META_SIZE_AT = 16,
    DATA_SIZE_AT = 20,
    BODY_CRC_AT = 24,
    HEADER_CRC_AT = 28,
};
_Static_assert(HEADER_CRC_AT + 4 == FRAME_HEADER_SIZE, "the header ends with its CRC");

/* Garbage is told by its first byte: whoever speaks another protocol need not send 32 of them. */
static bool begins_like_a_frame(struct span bytes)
{
    uint8_t magic[4];
    put_u32(magic, FRAME_MAGIC);
    size_t size = bytes.size < sizeof magic ? bytes.size : sizeof magic;
    return size == 0 || memcmp(bytes.data, magic, size) == 0;
}

enum frame_result frame_decode_header(struct span bytes, struct frame *ret)
{
    if (!begins_like_a_frame(bytes))
        return FRAME_BAD;
    if (bytes.size < FRAME_HEADER_SIZE)
        return FRAME_NEED_MORE;
    const uint8_t *at = bytes.data;
    if (get_u32(at + HEADER_CRC_AT) != crc32_update(0, at, HEADER_CRC_AT))
        return FRAME_BAD;
    struct frame frame = {
        .request = get_u64(at + REQUEST_AT),
        .meta_size = get_u32(at + META_SIZE_AT),
        .data_size = get_u32(at + DATA_SIZE_AT),
        .body_crc = get_u32(at + BODY_CRC_AT),
        .flags = get_u16(at + FLAGS_AT),
        .type = at[TYPE_AT],
    };
    if (at[VERSION_AT] != FRAME_VERSION || (frame.flags & ~FRAME_FLAGS) != 0)
        return FRAME_BAD;
    if (frame.meta_size > FRAME_META_MAX || frame.data_size > FRAME_DATA_MAX)
        return FRAME_BAD;
    *ret = frame;
    return FRAME_OK;
}

void frame_encode_header(const struct frame *frame, uint8_t ret[FRAME_HEADER_SIZE])
{
    CHECK(frame->meta_size <= FRAME_META_MAX && frame->data_size <= FRAME_DATA_MAX);
    CHECK((frame->flags & ~FRAME_FLAGS) == 0);
    put_u32(ret + MAGIC_AT, FRAME_MAGIC);
    ret[VERSION_AT] = FRAME_VERSION;
    ret[TYPE_AT] = frame->type;
    put_u16(ret + FLAGS_AT, frame->flags);
    put_u64(ret + REQUEST_AT, frame->request);
    put_u32(ret + META_SIZE_AT, frame->meta_size);
    put_u32(ret + DATA_SIZE_AT, frame->data_size);
    put_u32(ret + BODY_CRC_AT, frame->body_crc);
    put_u32(ret + HEADER_CRC_AT, crc32_update(0, ret, HEADER_CRC_AT));
}
