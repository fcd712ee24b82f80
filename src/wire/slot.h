/* The header in front of every content on disk: of a slot in a chunk file, and of a single file.
 * doc/disk-format.md section "Slots".
 *
 *   | header 128 | attributes | block table | pad 8 | content ........ | slack ... |   slot
 *   `------------- meta, covered by the header CRC ' '-- capacity ---------------'
 *
 * The CRC is keyed with the chunk's random seed, so that content cannot forge a header. */
#ifndef CAIRN_WIRE_SLOT_H
#define CAIRN_WIRE_SLOT_H

#include "base/err.h"
#include "wire/version.h"

enum {
    SLOT_UNIT = 64, /* slots begin and end at multiples of this */
    SLOT_HEADER_SIZE = 128,
    SLOT_MAGIC = 0x314c5343, /* "CSL1" */
    SLOT_ATTRIBUTES_MAX = 1024,
    SLOT_BLOCK_SIZE = 64 * 1024,
    SLOT_SIZE_MAX = 8 * 1024 * 1024,
    SLOT_META_MAX =
        SLOT_HEADER_SIZE + SLOT_ATTRIBUTES_MAX + 4 * (SLOT_SIZE_MAX / SLOT_BLOCK_SIZE) + 8,
};

enum {                  /* slot flags */
    SLOT_DELETED = 1,   /* the tenant is gone; the slot is free; identity tells the last tenant */
    SLOT_FORWARDED = 2, /* home of a file whose content lies at `other` */
    SLOT_TARGET = 4,    /* content of a file whose home is at `other` */
    SLOT_MUTABLE = 8,
    SLOT_STALE = 16,    /* a mirror knows that it lacks the content of the newest version */
    SLOT_PUNCHED = 32,  /* free, and its whole blocks were given back to the file system */
    SLOT_CHANGING = 64, /* single file: what the header says is being written */
};

enum place_kind { PLACE_NONE = 0, PLACE_PACKED = 1, PLACE_SINGLE = 2 };

/** Where a content lies at this storage. 24 bytes on disk. */
struct place {
    uint8_t kind; /* enum place_kind */
    uint8_t mount;
    uint8_t stream;
    uint32_t machine;   /* its allocator */
    uint32_t chunk;     /* packed: number in (machine, mount, stream), >= 1 */
    uint32_t offset;    /* packed: bytes in the chunk file, multiple of SLOT_UNIT */
    uint32_t slot_size; /* packed: bytes, multiple of SLOT_UNIT */
    /* Targets: id clock of the allocator when it placed this content, so that the tenants of a slot
     * are ordered (a home is ordered by its identity's clock). The target's own slot header keeps
     * it as birth.counter. */
    uint64_t birth;
};

/** The same location, whenever it was placed there. */
static inline bool place_equals(const struct place *a, const struct place *b)
{
    return a->kind == b->kind && a->mount == b->mount && a->stream == b->stream
           && a->machine == b->machine && a->chunk == b->chunk && a->offset == b->offset
           && a->slot_size == b->slot_size;
}

struct slot_header {
    struct identity identity;
    struct version version;
    struct version birth; /* single files: the version that made this file (out of place);
                           * SLOT_TARGET in a chunk: {place.birth, allocator} */
    struct nonce nonce;   /* of the request that made this version */
    uint64_t create_ns;   /* wall clock */
    uint64_t modify_ns;
    uint64_t size;        /* content, bytes */
    uint32_t slot_size;   /* bytes; 0: a single file */
    uint32_t content_crc; /* CRC-32 of the whole content */
    uint16_t attributes_size;
    uint8_t flags;
    struct place other; /* see SLOT_FORWARDED, SLOT_TARGET; else kind PLACE_NONE */
};

/** Entries of the block table (u32 CRC per 64 KiB of content): none in slots up to 64 KiB. */
static inline uint32_t slot_table_entries(uint32_t slot_size)
{
    return slot_size > SLOT_BLOCK_SIZE ? (slot_size + SLOT_BLOCK_SIZE - 1) / SLOT_BLOCK_SIZE : 0;
}

/** Bytes before the content of a slot, a multiple of 8. */
static inline uint32_t slot_meta_size(uint32_t slot_size, uint32_t attributes_size)
{
    return (SLOT_HEADER_SIZE + attributes_size + 4 * slot_table_entries(slot_size) + 7u) & ~7u;
}

/** Bytes of content that a slot can hold. */
static inline uint32_t slot_capacity(uint32_t slot_size, uint32_t attributes_size)
{
    uint32_t meta = slot_meta_size(slot_size, attributes_size);
    return slot_size > meta ? slot_size - meta : 0;
}

/** The smallest slot for `content` bytes with `slack` bytes of room: the one place where slot sizes
 * are computed. 0: larger than SLOT_SIZE_MAX. */
uint32_t slot_size_for(uint64_t content_size, uint64_t slack, uint32_t attributes_size);

void place_encode(const struct place *place, uint8_t ret[24]);
void place_decode(const uint8_t bytes[24], struct place *ret);

/** Write the meta of a slot: header, attributes, block table, padding. `table` has
 * slot_table_entries(slot_size) entries (may be NULL if that is 0). Returns its size
 * (slot_meta_size). `ret` has room for SLOT_META_MAX bytes. */
uint32_t slot_meta_encode(const struct slot_header *header, const void *attributes,
    const uint32_t *table, uint32_t seed, uint8_t *ret);

/** The flags of a meta that was checked already, as in a record. 0: there is none. */
static inline uint8_t slot_meta_flags(struct span meta)
{
    return meta.size >= SLOT_HEADER_SIZE ? meta.data[27] : 0;
}

/** Decode and check a header with its attributes and table. `bytes` begins at the slot; if it is
 * too short for the whole meta, *ret_need is set to the size that is wanted (bytes) and OK with
 * ret->slot_size intact is not returned but ERR(PARTIAL). Ranges of all fields are checked.
 * Errors: PARTIAL (more bytes needed), CORRUPT (magic, CRC or a field out of range). */
MUST err_t slot_meta_decode(
    struct span bytes, uint32_t seed, struct slot_header *ret, uint32_t *ret_need);

/** After a successful decode: where in `bytes` the attributes and the table are. */
static inline struct span slot_attributes(struct span bytes, const struct slot_header *header)
{
    return span_of(bytes.data + SLOT_HEADER_SIZE, header->attributes_size);
}
static inline uint32_t slot_table_entry(
    struct span bytes, const struct slot_header *header, uint32_t index)
{
    return get_u32(bytes.data + SLOT_HEADER_SIZE + header->attributes_size + 4 * (size_t)index);
}

/* ---- attributes: TLV {type u8, size u16, bytes} ---- */
enum attribute_type {
    ATTRIBUTE_POOL = 1,
    ATTRIBUTE_CONTENT_TYPE = 2,
    ATTRIBUTE_METADATA = 3,
    ATTRIBUTE_EXPIRES = 4, /* u64 unix seconds */
    ATTRIBUTE_SLAVES = 5,  /* storage/fdfs_slave.h */
};
void attribute_write(struct writer *w, enum attribute_type type, struct span value);
/** All attributes of the list but those of `type`. */
void attributes_write_but(struct writer *w, struct span attributes, enum attribute_type type);
/** The value of the first attribute of `type`; empty if there is none or the list is malformed. */
struct span attribute_find(struct span attributes, enum attribute_type type);

#endif
