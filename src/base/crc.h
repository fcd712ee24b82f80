/* CRC-32 (IEEE 802.3, reflected, the convention of zlib): the one polynomial of frames, records,
 * blocks and file ids, so that block checksums combine into the checksum of a file. */
#ifndef CAIRN_BASE_CRC_H
#define CAIRN_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/** Continue `crc` (0 at the start) over `size` bytes. About 10 bytes per nanosecond (ISA-L). */
uint32_t crc32_update(uint32_t crc, const void *data, size_t size);

/** The CRC of A followed by B, from the CRCs of A and B and the length of B in bytes.
 * Cost: one multiplication per bit of `size_b`. Source: zlib's crc32_combine (x^n modulo p). */
uint32_t crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

#endif
