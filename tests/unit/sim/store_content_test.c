/* The contents of the reference model, with their run of zeros, are what a flat copy says. */
#include "base/crc.h"
#include "base/prng.h"
#include "sim/store_content.h"
#include "tests/lib/test.h"

enum { SIZE_MAX_HERE = 1 << 20, BODY_MAX = 100000 };

struct flat {
    uint8_t bytes[SIZE_MAX_HERE];
    uint64_t size;
};

static void flat_edit(struct flat *flat, uint64_t at, struct span bytes, uint64_t total)
{
    if (total > flat->size)
        memset(flat->bytes + flat->size, 0, total - flat->size);
    if (bytes.size > 0)
        memcpy(flat->bytes + at, bytes.data, bytes.size);
    flat->size = total;
}

static void expect_same(const struct model_content *content, struct flat *flat, struct prng *prng)
{
    EXPECT_EQ(content->size, flat->size);
    EXPECT_EQ(model_content_crc(content), crc32_update(0, flat->bytes, flat->size));
    EXPECT(model_content_matches(content, 0, span_of(flat->bytes, flat->size)));
    uint64_t from = prng_below(prng, flat->size + 1);
    uint64_t size = prng_below(prng, flat->size - from + 1);
    EXPECT(model_content_matches(content, from, span_of(flat->bytes + from, size)));
    if (flat->size == 0)
        return;
    uint8_t *byte = &flat->bytes[prng_below(prng, flat->size)];
    *byte ^= 1;
    EXPECT(!model_content_matches(content, 0, span_of(flat->bytes, flat->size)));
    EXPECT(model_content_crc(content) != crc32_update(0, flat->bytes, flat->size));
    *byte ^= 1;
    EXPECT(!model_content_matches(content, 1, span_of(flat->bytes, flat->size)));
}

TEST(random_edits_agree_with_a_flat_copy)
{
    static struct flat flat;
    static uint8_t body[BODY_MAX];
    struct prng prng;
    unsigned holes = 0;
    prng_init(&prng, 1);
    prng_fill(&prng, body, sizeof body);
    struct model_content *content = model_content_new(NULL, 0);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t at = prng_below(&prng, flat.size + 1), end;
        struct span bytes = span_of(body, prng_below(&prng, BODY_MAX));
        if (prng_chance(&prng, 400000) || at + bytes.size > SIZE_MAX_HERE) {
            bytes = span_of(body, 0); /* cut, or filled up with zeros */
            at = 0;
        }
        end = bytes.size == 0 ? prng_below(&prng, SIZE_MAX_HERE) : at + bytes.size;
        if (bytes.size > 0 && end < flat.size)
            end = flat.size;
        struct model_content *next = model_content_edit(content, at, bytes, end);
        model_content_unref(content);
        content = next;
        flat_edit(&flat, at, bytes, end);
        expect_same(content, &flat, &prng);
        holes += content->hole_end > content->hole_begin;
    }
    EXPECT(holes > 100);
    model_content_unref(content);
}
