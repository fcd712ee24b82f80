/* Native protocol frames (doc/protocol.md). Little endian, 32-byte header, then `meta_size` bytes
 * of message fields, then data. Requests may be pipelined; replies carry the request's id and may
 * come in any order. The DATA frames of one request body follow each other without other frames
 * in between; those of replies may interleave. */
#ifndef CAIRN_WIRE_FRAME_H
#define CAIRN_WIRE_FRAME_H

#include "base/bytes.h"

enum {
    FRAME_MAGIC = 0x314e5243, /* "CRN1" */
    FRAME_VERSION = 1,
    FRAME_HEADER_SIZE = 32,
    FRAME_META_MAX = 4096,
    FRAME_DATA_MAX = 256 * 1024,
    FRAME_BODY_MAX = FRAME_META_MAX + FRAME_DATA_MAX,
};

enum {                        /* frame flags */
    FRAME_MORE = 1,           /* DATA frames with this request id follow; the last has it clear */
    FRAME_FLAGS = FRAME_MORE, /* all that exist; others are FRAME_BAD until negotiated */
};

/*  0 magic u32 | 4 version u8, type u8, flags u16 | 8 request id u64 | 16 meta size u32
 * 20 data size u32 | 24 CRC-32 of meta and data u32 | 28 CRC-32 of bytes 0..27 u32 */
struct frame {
    uint64_t request;
    uint32_t meta_size;
    uint32_t data_size;
    uint32_t body_crc;
    uint16_t flags;
    uint8_t type; /* enum msg_type */
};

enum frame_result { FRAME_NEED_MORE, FRAME_BAD, FRAME_OK };

/** Decode a header from the start of `bytes`. FRAME_BAD: wrong magic (told from the first byte on),
 * version, flags, CRC, or a size above the limits; the connection cannot be used any more. Pure. */
enum frame_result frame_decode_header(struct span bytes, struct frame *ret);
void frame_encode_header(const struct frame *frame, uint8_t ret[FRAME_HEADER_SIZE]);

#endif
