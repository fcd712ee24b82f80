/* Numbers in buffers, and cursors that fail once and for all. */
#include "base/bytes.h"
#include "tests/lib/test.h"

TEST(what_is_written_is_read_back)
{
    uint8_t data[64];
    struct writer w = {data, sizeof data, 0, false};
    write_u8(&w, 1);
    write_u16(&w, 0x0203);
    write_u32(&w, 0x04050607);
    write_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    write_text(&w, span_of_text("stone"));
    EXPECT(!w.failed);
    EXPECT_EQ(w.size, 1 + 2 + 4 + 8 + 2 + 5);
    EXPECT_EQ(data[1], 3); /* little endian */
    struct reader r = {data, w.size, 0, false};
    EXPECT_EQ(read_u8(&r), 1);
    EXPECT_EQ(read_u16(&r), 0x0203);
    EXPECT_EQ(read_u32(&r), 0x04050607);
    EXPECT(read_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    EXPECT(span_equals_text(read_text(&r), "stone"));
    EXPECT(!r.failed);
    EXPECT_EQ(r.at, w.size);
}

TEST(a_writer_that_ran_out_stays_failed_and_writes_nothing_more)
{
    uint8_t data[4] = {9, 9, 9, 9};
    struct writer w = {data, 3, 0, false};
    write_u16(&w, 1);
    write_u16(&w, 2);
    EXPECT(w.failed);
    write_u8(&w, 7);
    EXPECT_EQ(w.size, 2);
    EXPECT_EQ(data[2], 9);
}

TEST(a_text_longer_than_its_length_field_fails_the_writer)
{
    static uint8_t data[70000], text[65536];
    struct writer w = {data, sizeof data, 0, false};
    write_text(&w, span_of(text, sizeof text));
    EXPECT(w.failed);
    EXPECT_EQ(w.size, 0);
}

TEST(a_reader_past_the_end_gives_zeros_from_there_on)
{
    uint8_t data[] = {1, 2, 3};
    struct reader r = {data, sizeof data, 0, false};
    EXPECT_EQ(read_u16(&r), 0x0201);
    EXPECT_EQ(read_u32(&r), 0);
    EXPECT(r.failed);
    EXPECT_EQ(read_u8(&r), 0);
    uint8_t out[2] = {5, 5};
    read_bytes(&r, out, 2);
    EXPECT_EQ(out[0] + out[1], 0);
    EXPECT(read_text(&r).data == NULL);
}

TEST(a_text_that_claims_more_than_there_is_fails_the_reader)
{
    uint8_t data[] = {10, 0, 'a', 'b'};
    struct reader r = {data, sizeof data, 0, false};
    EXPECT_EQ(read_text(&r).size, 0);
    EXPECT(r.failed);
}

TEST(big_endian_numbers_for_foreign_formats)
{
    uint8_t data[8];
    put_u32_be(data, 0x01020304);
    EXPECT_EQ(data[0], 1);
    EXPECT_EQ(get_u32_be(data), 0x01020304);
    put_u64_be(data, UINT64_C(0x0102030405060708));
    EXPECT_EQ(data[7], 8);
    EXPECT(get_u64_be(data) == UINT64_C(0x0102030405060708));
}

TEST(a_span_becomes_a_text_only_if_it_fits_and_holds_no_zero)
{
    char field[4];
    EXPECT(span_to_text(span_of("abc", 3), field, sizeof field));
    EXPECT_TEXT(field, "abc");
    EXPECT(!span_to_text(span_of("abcd", 4), field, sizeof field));
    EXPECT_TEXT(field, "");
    EXPECT(!span_to_text(span_of("a\0b", 3), field, sizeof field));
    EXPECT(span_to_text(span_of(NULL, 0), field, sizeof field));
}

TEST(a_decimal_has_no_leading_zeros_and_fits_or_fails)
{
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = {{0, "0"}, {7, "7"}, {10, "10"}, {404, "404"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t data[21] = {0};
        struct writer w = {data, 20, 0, false};
        write_decimal(&w, rows[i].value);
        EXPECT(!w.failed);
        EXPECT_TEXT((const char *)data, rows[i].text);
    }
    uint8_t data[2];
    struct writer w = {data, 2, 0, false};
    write_decimal(&w, 404);
    EXPECT(w.failed);
}
