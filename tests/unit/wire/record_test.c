/* Records, batches, segments: round trips; every damaged byte is found; another life of the same
 * file never passes. */
#include "wire/record.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static uint8_t bytes[LOG_PAGE * 4], content[3000], metas[2][300], entries[80];

static struct record some_record(struct prng *prng)
{
    prng_fill(prng, content, sizeof content);
    prng_fill(prng, metas[0], sizeof metas[0]);
    prng_fill(prng, metas[1], sizeof metas[1]);
    struct record record = {.lsn = prng_next(prng),
        .incarnation = prng_below(prng, 100),
        .origin = 12,
        .mount = 1,
        .stream = 3,
        .kind = (uint8_t)(1 + prng_below(prng, RECORD_KIND_COUNT - 1)),
        .identity = {.clock = prng_below(prng, UINT64_C(1) << 55), .origin = 12},
        .version = {5, 12},
        .base = {4, 12},
        .time_ns = prng_next(prng),
        .watermark = prng_next(prng),
        .home = {.kind = PLACE_PACKED, .machine = 12, .chunk = 4, .offset = 4096, .slot_size = 640},
        .target = {.kind = PLACE_SINGLE, .machine = 12, .birth = 99},
        .total_size = prng_next(prng),
        .content_offset = prng_next(prng),
        .home_meta = span_of(metas[0], prng_below(prng, sizeof metas[0])),
        .target_meta = span_of(metas[1], prng_below(prng, sizeof metas[1])),
        .entries = span_of(entries, prng_below(prng, 10) * 8)};
    if (prng_below(prng, 2) == 0) {
        record.flags |= RECORD_EXTENDED;
        record.source_incarnation = prng_next(prng);
        record.source_lsn = prng_next(prng);
        record.digest_delta = prng_next(prng);
        record.live_delta = (int8_t)((int)prng_below(prng, 3) - 1);
    }
    record.content_size = (uint32_t)prng_below(prng, sizeof content);
    if (prng_below(prng, 2) == 0) {
        record.flags |= RECORD_INLINE;
        record.content = span_of(content, record.content_size);
    }
    return record;
}

static bool same_span(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void expect_same(const struct record *a, const struct record *b)
{
    EXPECT(a->lsn == b->lsn && a->incarnation == b->incarnation && a->origin == b->origin);
    EXPECT(a->mount == b->mount && a->stream == b->stream && a->kind == b->kind);
    EXPECT(a->flags == b->flags && identity_equals(&a->identity, &b->identity));
    EXPECT(version_equals(a->version, b->version) && version_equals(a->base, b->base));
    EXPECT(a->time_ns == b->time_ns && a->watermark == b->watermark);
    EXPECT(place_equals(&a->home, &b->home) && place_equals(&a->target, &b->target));
    EXPECT(a->target.birth == b->target.birth && place_equals(&a->freed, &b->freed));
    EXPECT(a->content_offset == b->content_offset && a->total_size == b->total_size);
    EXPECT(a->content_size == b->content_size && a->content_crc == b->content_crc);
    EXPECT(a->source_incarnation == b->source_incarnation && a->source_lsn == b->source_lsn);
    EXPECT(a->digest_delta == b->digest_delta && a->live_delta == b->live_delta);
    EXPECT(same_span(a->home_meta, b->home_meta) && same_span(a->target_meta, b->target_meta));
    EXPECT(same_span(a->entries, b->entries) && same_span(a->content, b->content));
}

TEST(a_record_comes_back_as_it_was_written)
{
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 5000; i++) {
        struct record record = some_record(&prng), stored, back, viewed;
        struct writer w = {bytes, sizeof bytes, 0, false};
        size_t size;
        record_encode(&record, &w, &stored);
        EXPECT(!w.failed && w.size == record_size(&record) && w.size % 8 == 0);
        EXPECT_OK(record_decode(span_of(bytes, w.size), &back, &size));
        EXPECT_EQ(size, w.size);
        EXPECT_EQ(record_view(bytes, &viewed), w.size);
        expect_same(&record, &back);
        expect_same(&record, &stored);
        expect_same(&record, &viewed);
        EXPECT(back.content.size == 0 || back.content.data >= bytes);
    }
}

TEST(a_record_that_does_not_fit_fails_the_writer)
{
    struct prng prng;
    prng_init(&prng, 2);
    struct record record = some_record(&prng);
    struct writer w = {bytes, record_size(&record) - 1, 0, false};
    record_encode(&record, &w, NULL);
    EXPECT(w.failed);
}

TEST(every_flipped_byte_of_a_record_is_found)
{
    struct prng prng;
    prng_init(&prng, 3);
    struct record record = some_record(&prng), back;
    struct writer w = {bytes, sizeof bytes, 0, false};
    size_t size;
    record_encode(&record, &w, NULL);
    for (size_t at = 0; at < w.size; at++) {
        bytes[at] ^= 0x40;
        EXPECT_ERR(record_decode(span_of(bytes, w.size), &back, &size), CORRUPT);
        bytes[at] ^= 0x40;
    }
    for (size_t cut = 0; cut < w.size; cut++)
        EXPECT_ERR(record_decode(span_of(bytes, cut), &back, &size), CORRUPT);
}

static struct log_segment_header some_segment(void)
{
    return (struct log_segment_header){.storage_uuid = {1, 2},
        .mount_uuid = {3},
        .number = 7,
        .incarnation = 2,
        .salt = 0xabcdef,
        .first_lsn = 100,
        .previous_number = 6,
        .previous_end = 8192,
        .machine = 12,
        .mount = 1,
        .stream = 3};
}

TEST(a_segment_header_comes_back_and_its_damage_is_found)
{
    struct log_segment_header segment = some_segment(), back;
    log_segment_encode(&segment, bytes);
    EXPECT_OK(log_segment_decode(bytes, &back));
    EXPECT(back.number == 7 && back.salt == 0xabcdef && back.first_lsn == 100);
    EXPECT(back.previous_number == 6 && back.previous_end == 8192 && back.incarnation == 2);
    EXPECT(back.machine == 12 && back.mount == 1 && back.stream == 3);
    EXPECT(memcmp(back.storage_uuid, segment.storage_uuid, 16) == 0);
    EXPECT(memcmp(back.mount_uuid, segment.mount_uuid, 16) == 0);
    for (size_t at = 0; at < LOG_PAGE; at++) {
        bytes[at] ^= 1;
        EXPECT_ERR(log_segment_decode(bytes, &back), CORRUPT);
        bytes[at] ^= 1;
    }
}

TEST(a_batch_of_another_life_of_its_segment_never_passes)
{
    struct log_segment_header segment = some_segment();
    struct log_batch_header header = {.size = LOG_PAGE,
                                .used = 1000,
                                .record_count = 3,
                                .first_lsn = 5,
                                .durable_lsn = 4},
                            back;
    memset(bytes, 0x5a, LOG_PAGE);
    log_batch_seal(bytes, &header, &segment);
    EXPECT_OK(log_batch_check(span_of(bytes, LOG_PAGE), &segment, &back));
    EXPECT(back.size == LOG_PAGE && back.used == 1000 && back.record_count == 3);
    EXPECT(back.first_lsn == 5 && back.durable_lsn == 4);
    struct log_segment_header other = segment;
    other.salt++;
    EXPECT_ERR(log_batch_check(span_of(bytes, LOG_PAGE), &other, &back), CORRUPT);
    other = segment;
    other.number++;
    EXPECT_ERR(log_batch_check(span_of(bytes, LOG_PAGE), &other, &back), CORRUPT);
    other = segment;
    other.incarnation++;
    EXPECT_ERR(log_batch_check(span_of(bytes, LOG_PAGE), &other, &back), CORRUPT);
    EXPECT_ERR(log_batch_check(span_of(bytes, LOG_PAGE - 1), &segment, &back), CORRUPT);
    for (size_t at = 0; at < LOG_PAGE; at++) {
        bytes[at] ^= 1;
        EXPECT_ERR(log_batch_check(span_of(bytes, LOG_PAGE), &segment, &back), CORRUPT);
        bytes[at] ^= 1;
    }
}
