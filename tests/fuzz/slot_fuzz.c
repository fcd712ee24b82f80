/* Any bytes as a slot header, and again with the CRC made right: what decodes has sane sizes and
 * encodes to the same bytes. */
#include "base/crc.h"
#include "wire/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED = 0x1234567 };

static void check(struct span bytes)
{
    struct slot_header header;
    uint32_t need = 0;
    err_t err = slot_meta_decode(bytes, SEED, &header, &need);
    if (err_has(err, ERR_CODE_PARTIAL))
        CHECK(need > bytes.size && need <= SLOT_META_MAX);
    if (err_is(err))
        return;
    uint32_t meta = slot_meta_size(header.slot_size, header.attributes_size);
    CHECK(meta <= bytes.size);
    bool holds_content = (header.flags & (SLOT_DELETED | SLOT_FORWARDED)) == 0;
    if (header.slot_size > 0 && holds_content)
        CHECK(header.size <= slot_capacity(header.slot_size, header.attributes_size));
    struct span attributes = slot_attributes(bytes, &header);
    for (unsigned type = 0; type < 8; type++) {
        struct span value = attribute_find(attributes, (enum attribute_type)type);
        CHECK(value.size == 0
              || (value.data >= attributes.data
                  && value.data + value.size <= attributes.data + attributes.size));
    }
}

/* The CRC as slot_meta_decode wants it, if the header's sizes allow. */
static void seal(uint8_t *bytes, size_t size)
{
    static const uint8_t zero[4];
    uint32_t slot_size = get_u32(bytes + 28) % (SLOT_SIZE_MAX / SLOT_UNIT) * SLOT_UNIT;
    uint16_t attributes = (uint16_t)(get_u16(bytes + 112) % SLOT_ATTRIBUTES_MAX);
    put_u32(bytes, SLOT_MAGIC);
    put_u32(bytes + 28, slot_size / SLOT_UNIT);
    put_u16(bytes + 112, attributes);
    uint32_t meta = slot_meta_size(slot_size, attributes);
    if (meta > size)
        return;
    uint8_t key[4];
    put_u32(key, SEED);
    uint32_t crc = crc32_update(0, key, 4);
    crc = crc32_update(crc, bytes, 4);
    crc = crc32_update(crc, zero, 4);
    put_u32(bytes + 4, crc32_update(crc, bytes + 8, meta - 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(span_of(data, size));
    if (size < SLOT_HEADER_SIZE)
        return 0;
    uint8_t copy[SLOT_META_MAX * 2] = {0};
    size_t used = size < sizeof copy ? size : sizeof copy;
    memcpy(copy, data, used);
    seal(copy, sizeof copy);
    check(span_of(copy, sizeof copy));
    return 0;
}
