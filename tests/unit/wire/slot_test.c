/* Slot headers: round trips, every damaged byte is found, sizes are computed in one place. */
#include "wire/slot.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static struct slot_header some_header(struct prng *prng, uint32_t content, uint16_t attributes_size)
{
    struct slot_header header = {.identity = {.clock = prng_below(prng, UINT64_C(1) << 55),
                                     .origin = 1 + (uint32_t)prng_below(prng, 1 << 20)},
        .version = {prng_below(prng, 1000) + 1, 7},
        .birth = {prng_below(prng, 1000), 9},
        .create_ns = prng_next(prng),
        .modify_ns = prng_next(prng),
        .size = content,
        .content_crc = (uint32_t)prng_next(prng),
        .attributes_size = attributes_size,
        .flags = SLOT_MUTABLE,
        .other = {.kind = PLACE_PACKED,
            .mount = 3,
            .stream = 2,
            .machine = 77,
            .chunk = 5,
            .offset = 8192,
            .slot_size = 640,
            .birth = prng_below(prng, UINT64_C(1) << 55)}};
    memcpy(header.identity.suffix, "123.jpg", 8);
    prng_fill(prng, header.nonce.bytes, sizeof header.nonce.bytes);
    header.slot_size = slot_size_for(content, 0, attributes_size);
    return header;
}

static void check_round_trip(struct prng *prng, uint32_t content, uint16_t attributes_size)
{
    uint8_t attributes[SLOT_ATTRIBUTES_MAX], meta[SLOT_META_MAX];
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE], seed = (uint32_t)prng_next(prng), need;
    prng_fill(prng, attributes, attributes_size);
    prng_fill(prng, (uint8_t *)table, sizeof table);
    struct slot_header header = some_header(prng, content, attributes_size), back;
    uint32_t size = slot_meta_encode(&header, attributes, table, seed, meta);
    EXPECT_EQ(size, slot_meta_size(header.slot_size, attributes_size));
    EXPECT_OK(slot_meta_decode(span_of(meta, size), seed, &back, &need));
    EXPECT(identity_equals(&back.identity, &header.identity));
    EXPECT(version_equals(back.version, header.version));
    EXPECT(version_equals(back.birth, header.birth));
    EXPECT(place_equals(&back.other, &header.other));
    EXPECT_EQ(back.other.birth, header.other.birth);
    EXPECT_EQ(back.size, header.size);
    EXPECT_EQ(back.slot_size, header.slot_size);
    EXPECT_EQ(back.content_crc, header.content_crc);
    EXPECT_EQ(back.create_ns, header.create_ns);
    EXPECT_EQ(back.modify_ns, header.modify_ns);
    EXPECT_EQ(back.flags, header.flags);
    EXPECT(memcmp(&back.nonce, &header.nonce, sizeof back.nonce) == 0);
    struct span stored = slot_attributes(span_of(meta, size), &back);
    EXPECT(stored.size == attributes_size && memcmp(stored.data, attributes, stored.size) == 0);
    for (uint32_t i = 0; i < slot_table_entries(back.slot_size); i++)
        EXPECT_EQ(slot_table_entry(span_of(meta, size), &back, i), table[i]);
    EXPECT_ERR(slot_meta_decode(span_of(meta, size), seed + 1, &back, &need), CORRUPT);
    EXPECT_ERR(slot_meta_decode(span_of(meta, size - 1), seed, &back, &need), PARTIAL);
    EXPECT_EQ(need, size);
}

TEST(a_header_comes_back_as_it_was_written)
{
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 2000; i++)
        check_round_trip(&prng, (uint32_t)prng_below(&prng, 1 << 20),
            (uint16_t)prng_below(&prng, SLOT_ATTRIBUTES_MAX + 1));
}

TEST(every_flipped_bit_of_a_header_is_found)
{
    struct prng prng;
    prng_init(&prng, 2);
    uint8_t attributes[100], meta[SLOT_META_MAX];
    uint32_t need, table[8] = {1, 2, 3, 4};
    prng_fill(&prng, attributes, sizeof attributes);
    struct slot_header header = some_header(&prng, 200000, sizeof attributes), back;
    uint32_t size = slot_meta_encode(&header, attributes, table, 99, meta);
    for (uint32_t bit = 0; bit < size * 8; bit++) {
        meta[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT(err_is(slot_meta_decode(span_of(meta, size), 99, &back, &need)));
        meta[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

TEST(a_slot_is_the_smallest_that_holds_its_content_and_slack)
{
    for (uint32_t attributes = 0; attributes <= SLOT_ATTRIBUTES_MAX; attributes += 61)
        for (uint32_t content = 0; content < 140000; content += content < 5000 ? 1 : 977) {
            uint32_t slack = content / 5, size = slot_size_for(content, slack, attributes);
            EXPECT_EQ(size % SLOT_UNIT, 0);
            EXPECT(slot_capacity(size, attributes) >= content + slack);
            if (content + slack > 0)
                EXPECT(slot_capacity(size - SLOT_UNIT, attributes) < content + slack);
        }
    EXPECT_EQ(slot_size_for(SLOT_SIZE_MAX, 0, 0), 0);
    EXPECT_EQ(slot_size_for(1, UINT64_MAX, 0), 0);
}

TEST(a_content_larger_than_its_slot_is_damage)
{
    struct prng prng;
    prng_init(&prng, 3);
    uint8_t meta[SLOT_META_MAX];
    uint32_t need;
    struct slot_header header = some_header(&prng, 1000, 0), back;
    header.size = slot_capacity(header.slot_size, 0) + 1;
    uint32_t size = slot_meta_encode(&header, NULL, NULL, 5, meta);
    EXPECT_ERR(slot_meta_decode(span_of(meta, size), 5, &back, &need), CORRUPT);
    header.flags |= SLOT_DELETED; /* a tombstone's size says nothing */
    size = slot_meta_encode(&header, NULL, NULL, 5, meta);
    EXPECT_OK(slot_meta_decode(span_of(meta, size), 5, &back, &need));
}

TEST(attributes_are_found_by_type_and_malformed_ones_are_none)
{
    uint8_t bytes[256];
    struct writer w = {bytes, sizeof bytes, 0, false};
    attribute_write(&w, ATTRIBUTE_POOL, span_of_text("avatars"));
    attribute_write(&w, ATTRIBUTE_METADATA, span_of_text(""));
    attribute_write(&w, ATTRIBUTE_CONTENT_TYPE, span_of_text("image/png"));
    struct span all = span_of(bytes, w.size);
    EXPECT(span_equals_text(attribute_find(all, ATTRIBUTE_POOL), "avatars"));
    EXPECT(span_equals_text(attribute_find(all, ATTRIBUTE_CONTENT_TYPE), "image/png"));
    EXPECT_EQ(attribute_find(all, ATTRIBUTE_METADATA).size, 0);
    EXPECT_EQ(attribute_find(span_of(bytes, w.size - 1), ATTRIBUTE_CONTENT_TYPE).size, 0);
    EXPECT_EQ(attribute_find(span_of(NULL, 0), ATTRIBUTE_POOL).size, 0);
}
