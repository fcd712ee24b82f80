/* JSON: shape, escaping, and what happens when it does not fit. */
#include "base/json.h"
#include "tests/lib/test.h"

struct page {
    char bytes[512];
    struct writer writer;
    struct json json;
};

static void open_page(struct page *page, size_t capacity)
{
    memset(page->bytes, 0x55, sizeof page->bytes);
    page->writer = (struct writer){.data = (uint8_t *)page->bytes, .capacity = capacity};
    json_begin(&page->json, &page->writer);
}

static const char *text_of(struct page *page)
{
    EXPECT(page->writer.size < sizeof page->bytes);
    page->bytes[page->writer.size] = '\0';
    return page->bytes;
}

static void write_sample(struct json *json)
{
    json_begin_object(json, NULL);
    json_text(json, "role", "tracker");
    json_begin_array(json, "numbers");
    json_number(json, NULL, 0);
    json_number(json, NULL, UINT64_MAX);
    json_begin_object(json, NULL);
    json_end(json);
    json_begin_array(json, NULL);
    json_end(json);
    json_end(json);
    json_bool(json, "yes", true);
    json_bool(json, "no", false);
    json_none(json, "nothing");
    json_end(json);
}

static const char sample[] = "{\"role\":\"tracker\",\"numbers\":[0,18446744073709551615,{},[]],"
                             "\"yes\":true,\"no\":false,\"nothing\":null}";

TEST(objects_and_arrays_nest_with_commas_where_they_belong)
{
    struct page page;
    open_page(&page, sizeof page.bytes);
    write_sample(&page.json);
    EXPECT(!page.writer.failed);
    EXPECT_TEXT(text_of(&page), sample);
}

TEST(texts_are_escaped_and_foreign_bytes_replaced)
{
    struct page page;
    open_page(&page, sizeof page.bytes);
    json_span(&page.json, NULL, span_of("a\"\\\n\x01\xff\xc3\xa9", 8));
    EXPECT_TEXT(text_of(&page), "\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\xc3\xa9\"");
    open_page(&page, sizeof page.bytes);
    json_text(&page.json, NULL, "");
    EXPECT_TEXT(text_of(&page), "\"\"");
}

TEST(what_does_not_fit_fails_the_writer_and_stays_inside)
{
    for (size_t capacity = 0; capacity < sizeof sample - 1; capacity++) {
        struct page page;
        open_page(&page, capacity);
        write_sample(&page.json);
        EXPECT(page.writer.failed);
        EXPECT(page.writer.size <= capacity);
        for (size_t i = capacity; i < sizeof page.bytes; i++)
            EXPECT_EQ(page.bytes[i], 0x55);
    }
    struct page page;
    open_page(&page, sizeof sample - 1);
    write_sample(&page.json);
    EXPECT(!page.writer.failed);
}
