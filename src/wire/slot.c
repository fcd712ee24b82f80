#include "wire/slot.h"

#include "base/crc.h"

/*   0 magic | 4 header CRC | 8 clock u64 | 16 origin u32 | 20 suffix 7, flags u8
 *  28 slot units u32 | 32 version counter u64 | 40 version machine u32 | 44 content CRC u32
 *  48 size u64 | 56 create ns u64 | 64 modify ns u64 | 72 nonce 16
 *  88 other place 24 | 112 attributes size u16, 114 zero u16 | 116 birth machine u32
 * 120 birth counter u64 */
enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_CLOCK = 8,
    AT_ORIGIN = 16,
    AT_SUFFIX = 20,
    AT_FLAGS = 27,
    AT_SLOT_UNITS = 28,
    AT_VERSION = 32,
    AT_VERSION_MACHINE = 40,
    AT_CONTENT_CRC = 44,
    AT_SIZE = 48,
    AT_CREATE = 56,
    AT_MODIFY = 64,
    AT_NONCE = 72,
    AT_OTHER = 88,
    AT_ATTRIBUTES_SIZE = 112,
    AT_ZERO = 114,
    AT_BIRTH_MACHINE = 116,
    AT_BIRTH = 120,
};
_Static_assert(AT_BIRTH + 8 == SLOT_HEADER_SIZE, "the header is full");
_Static_assert(AT_OTHER + 24 == AT_ATTRIBUTES_SIZE, "a place is 24 bytes");

uint32_t slot_size_for(uint64_t content_size, uint64_t slack, uint32_t attributes_size)
{
    uint64_t room = content_size + slack;
    if (content_size > SLOT_SIZE_MAX || slack > SLOT_SIZE_MAX)
        return 0;
    uint64_t size = SLOT_HEADER_SIZE + attributes_size + room;
    size = (size + SLOT_UNIT - 1) / SLOT_UNIT * SLOT_UNIT;
    while (size <= SLOT_SIZE_MAX && slot_capacity((uint32_t)size, attributes_size) < room)
        size += SLOT_UNIT; /* the block table grew with the slot: at most a few rounds */
    return size <= SLOT_SIZE_MAX ? (uint32_t)size : 0;
}

/* 0 kind, 1 mount, 2 stream, 3 machine u24, 6 slot units u24, 9 birth u56 | 16 chunk | 20 offset */
void place_encode(const struct place *place, uint8_t ret[24])
{
    uint32_t units = place->slot_size / SLOT_UNIT;
    CHECK(place->machine < 1 << 24 && units < 1 << 24 && place->birth < UINT64_C(1) << 56);
    ret[0] = place->kind;
    ret[1] = place->mount;
    ret[2] = place->stream;
    memcpy(ret + 3, &place->machine, 3);
    memcpy(ret + 6, &units, 3);
    memcpy(ret + 9, &place->birth, 7);
    put_u32(ret + 16, place->chunk);
    put_u32(ret + 20, place->offset);
}

void place_decode(const uint8_t bytes[24], struct place *ret)
{
    uint32_t units = 0;
    *ret = (struct place){.kind = bytes[0],
        .mount = bytes[1],
        .stream = bytes[2],
        .chunk = get_u32(bytes + 16),
        .offset = get_u32(bytes + 20)};
    memcpy(&ret->machine, bytes + 3, 3);
    memcpy(&units, bytes + 6, 3);
    memcpy(&ret->birth, bytes + 9, 7);
    ret->slot_size = units * SLOT_UNIT;
}

static uint32_t meta_crc(const uint8_t *meta, uint32_t size, uint32_t seed)
{
    uint8_t key[4], zero[4] = {0};
    put_u32(key, seed);
    uint32_t crc = crc32_update(0, key, sizeof key);
    crc = crc32_update(crc, meta, AT_CRC);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, meta + AT_CRC + 4, size - AT_CRC - 4);
}

uint32_t slot_meta_encode(const struct slot_header *header, const void *attributes,
    const uint32_t *table, uint32_t seed, uint8_t *ret)
{
    CHECK(header->attributes_size <= SLOT_ATTRIBUTES_MAX && header->slot_size % SLOT_UNIT == 0);
    uint32_t entries = slot_table_entries(header->slot_size);
    uint32_t size = slot_meta_size(header->slot_size, header->attributes_size);
    memset(ret, 0, size);
    put_u32(ret + AT_MAGIC, SLOT_MAGIC);
    put_u64(ret + AT_CLOCK, header->identity.clock);
    put_u32(ret + AT_ORIGIN, header->identity.origin);
    memcpy(ret + AT_SUFFIX, header->identity.suffix, SUFFIX_FIELD);
    ret[AT_FLAGS] = header->flags;
    put_u32(ret + AT_SLOT_UNITS, header->slot_size / SLOT_UNIT);
    put_u64(ret + AT_VERSION, header->version.counter);
    put_u32(ret + AT_VERSION_MACHINE, header->version.machine);
    put_u32(ret + AT_CONTENT_CRC, header->content_crc);
    put_u64(ret + AT_SIZE, header->size);
    put_u64(ret + AT_CREATE, header->create_ns);
    put_u64(ret + AT_MODIFY, header->modify_ns);
    memcpy(ret + AT_NONCE, header->nonce.bytes, sizeof header->nonce.bytes);
    place_encode(&header->other, ret + AT_OTHER);
    put_u16(ret + AT_ATTRIBUTES_SIZE, header->attributes_size);
    put_u32(ret + AT_BIRTH_MACHINE, header->birth.machine);
    put_u64(ret + AT_BIRTH, header->birth.counter);
    if (header->attributes_size > 0)
        memcpy(ret + SLOT_HEADER_SIZE, attributes, header->attributes_size);
    for (uint32_t i = 0; i < entries; i++)
        put_u32(ret + SLOT_HEADER_SIZE + header->attributes_size + 4 * (size_t)i, table[i]);
    put_u32(ret + AT_CRC, meta_crc(ret, size, seed));
    return size;
}

static bool header_is_in_range(const struct slot_header *header)
{
    if (header->attributes_size > SLOT_ATTRIBUTES_MAX || header->slot_size > SLOT_SIZE_MAX)
        return false;
    bool holds_content = (header->flags & (SLOT_DELETED | SLOT_FORWARDED)) == 0;
    if (header->slot_size == 0 || !holds_content)
        return true;
    return header->size <= slot_capacity(header->slot_size, header->attributes_size);
}

static void header_fields_decode(const uint8_t *p, struct slot_header *ret)
{
    *ret = (struct slot_header){
        .identity = {.clock = get_u64(p + AT_CLOCK), .origin = get_u32(p + AT_ORIGIN)},
        .version = {get_u64(p + AT_VERSION), get_u32(p + AT_VERSION_MACHINE)},
        .birth = {get_u64(p + AT_BIRTH), get_u32(p + AT_BIRTH_MACHINE)},
        .create_ns = get_u64(p + AT_CREATE),
        .modify_ns = get_u64(p + AT_MODIFY),
        .size = get_u64(p + AT_SIZE),
        .content_crc = get_u32(p + AT_CONTENT_CRC),
        .attributes_size = get_u16(p + AT_ATTRIBUTES_SIZE),
        .flags = p[AT_FLAGS],
    };
    memcpy(ret->identity.suffix, p + AT_SUFFIX, SUFFIX_FIELD);
    memcpy(ret->nonce.bytes, p + AT_NONCE, sizeof ret->nonce.bytes);
    place_decode(p + AT_OTHER, &ret->other);
}

err_t slot_meta_decode(
    struct span bytes, uint32_t seed, struct slot_header *ret, uint32_t *ret_need)
{
    if (bytes.size < SLOT_HEADER_SIZE) {
        *ret_need = SLOT_HEADER_SIZE;
        return ERR(PARTIAL, 0);
    }
    if (get_u32(bytes.data + AT_MAGIC) != SLOT_MAGIC)
        return ERR(CORRUPT, 0);
    uint64_t slot_size = (uint64_t)get_u32(bytes.data + AT_SLOT_UNITS) * SLOT_UNIT;
    uint16_t attributes_size = get_u16(bytes.data + AT_ATTRIBUTES_SIZE);
    if (slot_size > SLOT_SIZE_MAX || attributes_size > SLOT_ATTRIBUTES_MAX)
        return ERR(CORRUPT, 0);
    uint32_t size = slot_meta_size((uint32_t)slot_size, attributes_size);
    if (bytes.size < size) {
        *ret_need = size;
        return ERR(PARTIAL, 0);
    }
    if (get_u32(bytes.data + AT_CRC) != meta_crc(bytes.data, size, seed))
        return ERR(CORRUPT, 0);
    struct slot_header header;
    header_fields_decode(bytes.data, &header);
    header.slot_size = (uint32_t)slot_size;
    if (!header_is_in_range(&header))
        return ERR(CORRUPT, 0);
    *ret = header;
    return ERR_OK;
}

void attribute_write(struct writer *w, enum attribute_type type, struct span value)
{
    if (value.size == 0)
        return;
    write_u8(w, (uint8_t)type);
    write_text(w, value);
}

void attributes_write_but(struct writer *w, struct span attributes, enum attribute_type type)
{
    struct reader r = {attributes.data, attributes.size, 0, false};
    while (r.at < r.size) {
        uint8_t found = read_u8(&r);
        struct span value = read_text(&r);
        if (r.failed)
            break;
        if (found == type)
            continue;
        write_u8(w, found);
        write_text(w, value);
    }
}

struct span attribute_find(struct span attributes, enum attribute_type type)
{
    struct reader r = {attributes.data, attributes.size, 0, false};
    while (r.at < r.size) {
        uint8_t found = read_u8(&r);
        struct span value = read_text(&r);
        if (r.failed)
            break;
        if (found == type)
            return value;
    }
    return span_of(NULL, 0);
}
