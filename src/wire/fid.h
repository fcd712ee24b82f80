/* File ids: text <-> struct. FastDFS-shaped, opaque to clients; the layout is in
 * doc/protocol.md section "File ids" (bit layout: FastDFS fact sheet section 5, DESIGN section 3).
 *
 *   <group>/M<hh>/<hh>/<hh>/<27 base64>[<16 base64>]<7 suffix part>
 *      M<hh>     index of the mount point where the origin placed it
 *      first hh  index of the stream on that mount point
 *      second hh low 8 bits of the chunk number (packed) or of the clock (single)
 *   27 chars = 20 bytes: origin (4, little endian, 1..2^24-1), unix seconds (4, big endian),
 *      size word (8, big endian), CRC-32 (4, big endian)
 *   size word, native: bit 63 = 1, bits 60-62 = format (FID_FORMAT), bit 59 = packed, bit 58 =
 *      appender (set for mutable files and for sizes >= 4 GiB), bits 32-54 = sequence, bits 0-31 =
 *      size (0 with the appender bit)
 *   16 chars (packed only) = chunk number (4), offset (4), slot size (4), big endian; offset and
 *      slot size in bytes */
#ifndef CAIRN_WIRE_FID_H
#define CAIRN_WIRE_FID_H

#include "base/err.h"
#include "wire/version.h"

enum {
    FID_FORMAT = 1,
    FID_TEXT_MAX = 96, /* 16 + 1 + 3 + 1 + 2 + 1 + 2 + 1 + 27 + 16 + 7 = 77, and NUL */
    GROUP_NAME_MAX = 16,
    MACHINE_MAX = (1 << 24) - 1,
    CLOCK_SEQUENCE_BITS = 23,
};
#define FID_CLOCK_MAX ((UINT64_C(1) << (32 + CLOCK_SEQUENCE_BITS)) - 1)
#define FID_SIZE_MAX UINT32_MAX /* the largest size that an id can carry */

struct fid {
    char group[GROUP_NAME_MAX + 1];
    struct identity identity;
    uint64_t size;      /* exact for immutable ids < 4 GiB; else 0 (fid_format: any) */
    uint32_t crc;       /* CRC-32 (IEEE) of the content; uploads set 0 where the id says to ask */
    uint32_t chunk;     /* packed: chunk number of the origin, >= 1 */
    uint32_t offset;    /* packed: of the slot in the chunk file, bytes */
    uint32_t slot_size; /* packed: bytes */
    uint8_t mount;      /* at the origin */
    uint8_t stream;     /* on that mount point */
    bool is_mutable;    /* appender bit: ask the server for size and CRC. Set by fid_parse for files
                         * of 4 GiB and more too; whether they may change, the server knows */
    bool is_packed;
};

/** The group of what looks like an id of ours or of FastDFS: "<group>/M<hh>/...". False: it does not. */
bool fid_group_of(struct span text, struct span *ret);

/** Parse and range-check every field (alphabets, lengths, group name, machine 1..2^24-1, chunk >= 1,
 * offset and slot size multiples of SLOT_UNIT (wire/slot.h), slot size >= SLOT_UNIT, offset + slot size <= 4 GiB,
 * second hh consistent). An id has one spelling only: formatting what was parsed gives `text` again.
 * Errors: USAGE (not an id), UNSUPPORTED (a FastDFS id, or a native one of another format). */
MUST err_t fid_parse(struct span text, struct fid *ret);

/** Write `fid` as text with NUL; returns its length. CHECKs that the fields are in range. The size
 * is written as 0, with the appender bit, for mutable files and for 4 GiB and more. */
size_t fid_format(const struct fid *fid, char text[FID_TEXT_MAX]);

/** Group names: [A-Za-z0-9]{1,16}. */
bool group_name_is_valid(struct span name);
/** Suffix: [A-Za-z0-9_-]{0,6}, without the dot; dots between other characters ("tar.gz"). */
bool suffix_is_valid(struct span suffix);
/** The 7-char suffix part: fill from `random` digits, dot, suffix. CHECKs that it is valid. */
void suffix_part(struct span suffix, uint64_t random, char ret[SUFFIX_FIELD + 1]);
/** Could suffix_part() have made these bytes? */
bool suffix_part_is_valid(struct span part);

#endif
