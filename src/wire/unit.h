/* What storages tell each other when they compare: the data of POSITIONS_REPLY, UNITS_REPLY,
 * INVENTORY_REPLY and HARVEST. doc/protocol.md section "Between storages". Pure.
 *
 * Each is a row of entries of one size without gaps, so a page of them is `count` times that size. */
#ifndef CAIRN_WIRE_UNIT_H
#define CAIRN_WIRE_UNIT_H

#include "wire/coverage.h"
#include "wire/slot.h"

/* A unit is a chunk, by its number, or a bucket of single files. */
#define UNIT_BUCKET_FIRST (UINT64_C(1) << 32)

enum {
    UNIT_BUCKETS = 64, /* of single files: id clock modulo 64 */
    UNIT_POSITION_SIZE = 48,
    UNIT_DIGEST_SIZE = 32,
    UNIT_FILE_SIZE = 68,
    UNIT_WANT_SIZE = 44,
};

static inline bool unit_is_bucket(uint64_t unit)
{
    return unit >= UNIT_BUCKET_FIRST;
}

static inline bool unit_is_valid(uint64_t unit)
{
    return unit > 0 && unit < UNIT_BUCKET_FIRST + UNIT_BUCKETS;
}

/** The unit of a file whose home is there. */
static inline uint64_t unit_of(const struct identity *identity, const struct place *home)
{
    return home->kind == PLACE_PACKED ? home->chunk
                                      : UNIT_BUCKET_FIRST + identity->clock % UNIT_BUCKETS;
}

/** How far a storage has followed one stream (of another, or its own). */
struct unit_position {
    uint32_t machine;
    uint8_t mount, stream;
    uint64_t incarnation, lsn;
    struct coverage coverage; /* of its ids */
};

struct unit_digest {
    uint64_t unit;
    uint64_t digest, files;
    uint64_t changed_ns;
};

enum {                       /* flags of unit_file */
    UNIT_FILE_DELETED = 1,   /* a tombstone: only identity, version and home mean something */
    UNIT_FILE_FORWARDED = 2, /* the content is not at home */
    UNIT_FILE_SINGLE = 4,    /* the content is a single file: FETCH, not HARVEST */
};

struct unit_file {
    struct identity identity;
    uint8_t flags;
    struct version version;
    uint64_t size;
    uint32_t crc;
    struct place home;
};

/* Each writes its fixed size; a writer that is full fails. */
void unit_position_encode(const struct unit_position *position, struct writer *w);
void unit_digest_encode(const struct unit_digest *digest, struct writer *w);
void unit_file_encode(const struct unit_file *file, struct writer *w);
/** A want of HARVEST: identity and home only. */
void unit_want_encode(const struct identity *identity, const struct place *home, struct writer *w);

/* Each takes its fixed size from the reader. */
/** Errors: PROTOCOL (too short, or no machine). */
MUST err_t unit_position_decode(struct reader *r, struct unit_position *ret);
/** Errors: PROTOCOL (too short, or no unit). */
MUST err_t unit_digest_decode(struct reader *r, struct unit_digest *ret);
/** Errors: PROTOCOL (too short, or no home: unit_home_is_valid). */
MUST err_t unit_file_decode(struct reader *r, struct unit_file *ret);
/** Errors: as unit_file_decode. */
MUST err_t unit_want_decode(
    struct reader *r, struct identity *ret_identity, struct place *ret_home);

/** Could this be the home of this identity: kind, allocator, and for a slot its chunk, offset and
 * size. What no id can say is refused before anything is opened. */
bool unit_home_is_valid(const struct identity *identity, const struct place *home);

#endif
