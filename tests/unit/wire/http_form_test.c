/* A browser's form, in pieces of any size: the first file in it comes out. */
#include "wire/http_form.h"

#include <stdio.h>

#include "base/prng.h"
#include "tests/lib/test.h"

static char out[8192];
static size_t out_size;

/* False: refused. */
static bool feed(
    const char *type, const char *bytes, size_t size, size_t piece, struct http_form *form)
{
    out_size = 0;
    if (err_is(http_form_init(form, span_of_text(type))))
        return false;
    for (size_t at = 0, end = 0; at < size || end < size;) {
        size_t used;
        struct span data;
        if (at == end)
            end = end + piece < size ? end + piece : size;
        if (err_is(http_form_next(form, span_of(bytes + at, end - at), &used, &data)))
            return false;
        EXPECT(used > 0 || data.size > 0);
        if (data.size > 0)
            memcpy(out + out_size, data.data, data.size);
        out_size += data.size;
        at += used;
    }
    return true;
}

#define TYPE "multipart/form-data; boundary=\"-xx-\""

TEST(the_first_file_comes_out_whatever_the_pieces)
{
    static const char bytes[] =
        "---xx-\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--not\r\n"
        "---xx-\r\nContent-Disposition: form-data; name=\"f\"; filename=\"C:\\\\dir\\\\a.png\"\r\n"
        "Content-Type: image/png\r\n\r\nPNG\r\n---xx\r\n--\r\n\r\n---xy-data\r\n---xx-\r\n"
        "Content-Disposition: form-data; name=\"g\"; filename=\"b\"\r\n\r\nsecond\r\n---xx---\r\n";
    static const char wanted[] = "PNG\r\n---xx\r\n--\r\n\r\n---xy-data";
    for (size_t piece = 1; piece <= sizeof bytes; piece++) {
        struct http_form form;
        EXPECT(feed(TYPE, bytes, sizeof bytes - 1, piece, &form));
        EXPECT_EQ(form.at, HTTP_FORM_OVER);
        EXPECT_TEXT(form.name, "a.png");
        EXPECT_TEXT(form.type, "image/png");
        EXPECT_EQ(out_size, sizeof wanted - 1);
        EXPECT(memcmp(out, wanted, out_size) == 0);
    }
}

TEST(an_empty_file_is_a_file)
{
    static const char bytes[] = "---xx-\r\nContent-Disposition: form-data; filename=\"\"\r\n\r\n"
                                "\r\n---xx---";
    struct http_form form;
    EXPECT(feed(TYPE, bytes, sizeof bytes - 1, 7, &form));
    EXPECT(form.was_found && form.at == HTTP_FORM_OVER && out_size == 0);
}

TEST(what_is_no_form_is_refused)
{
    struct http_form form;
    EXPECT_ERR(http_form_init(&form, span_of_text("text/plain; boundary=x")), USAGE);
    EXPECT_ERR(http_form_init(&form, span_of_text("multipart/form-data")), USAGE);
    EXPECT_ERR(http_form_init(&form, span_of_text("multipart/form-data; boundary=\"\"")), USAGE);
    char long_one[200] = "multipart/form-data; boundary=";
    memset(long_one + 30, 'a', 71);
    EXPECT_ERR(http_form_init(&form, span_of_text(long_one)), USAGE);
    EXPECT(!feed(TYPE, "---xx---\r\n", 10, 3, &form));
    EXPECT(!feed(TYPE, "---xx-zz\r\n", 10, 3, &form));
    static char head[HTTP_FORM_PART_MAX + 100];
    memset(head, 'a', sizeof head);
    memcpy(head, "---xx-\r\n", 8);
    EXPECT(!feed(TYPE, head, sizeof head, 100, &form));
}

/* Content made of pieces of the delimiter: never lost, never taken for one. */
TEST(contents_that_look_like_delimiters_come_out_whole)
{
    static const char *const bits[] = {
        "\r", "\n", "\r\n", "-", "--", "\r\n-", "\r\n--", "\r\n---x", "\r\n---xx", "a", "xx-"};
    struct prng prng;
    prng_init(&prng, 11);
    for (int round = 0; round < 3000; round++) {
        char content[200] = "", bytes[1000];
        for (int i = 0; i < 20; i++)
            strcat(content, bits[prng_below(&prng, sizeof bits / sizeof bits[0])]);
        strcat(content, "q");
        if (strstr(content, "\r\n---xx-"))
            continue;
        int size = snprintf(bytes, sizeof bytes,
            "---xx-\r\nContent-Disposition: form-data; filename=\"b\"\r\n\r\n%s\r\n---xx---",
            content);
        struct http_form form;
        EXPECT(feed(TYPE, bytes, (size_t)size, 1 + (size_t)prng_below(&prng, 30), &form));
        EXPECT_EQ(out_size, strlen(content));
        EXPECT(memcmp(out, content, out_size) == 0);
        EXPECT_EQ(form.at, HTTP_FORM_OVER);
    }
}
