#include "wire/base64url.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static const char *encoded(const char *text, char *ret)
{
    size_t length = base64url_length(strlen(text));
    base64url_encode((const uint8_t *)text, strlen(text), ret);
    ret[length] = '\0';
    return ret;
}

TEST(the_vectors_of_rfc_4648_hold)
{
    char text[16];
    EXPECT_TEXT(encoded("", text), "");
    EXPECT_TEXT(encoded("f", text), "Zg");
    EXPECT_TEXT(encoded("fo", text), "Zm8");
    EXPECT_TEXT(encoded("foo", text), "Zm9v");
    EXPECT_TEXT(encoded("foob", text), "Zm9vYg");
    EXPECT_TEXT(encoded("fooba", text), "Zm9vYmE");
    EXPECT_TEXT(encoded("foobar", text), "Zm9vYmFy");
    EXPECT_TEXT(encoded("\xfb\xff\xbf", text), "-_-_");
}

TEST(any_bytes_survive_a_round_trip)
{
    struct prng random;
    prng_init(&random, 3);
    for (size_t size = 0; size < 64; size++) {
        uint8_t in[64] = {0}, out[64];
        char text[96];
        prng_fill(&random, in, size);
        base64url_encode(in, size, text);
        EXPECT(base64url_decode(span_of(text, base64url_length(size)), out, size));
        EXPECT(memcmp(in, out, size) == 0);
    }
}

TEST(a_second_spelling_of_the_same_bytes_is_refused)
{
    uint8_t out[2];
    EXPECT(base64url_decode(span_of_text("Zg"), out, 1));
    EXPECT(!base64url_decode(span_of_text("Zh"), out, 1));
    EXPECT(base64url_decode(span_of_text("Zm8"), out, 2));
    EXPECT(!base64url_decode(span_of_text("Zm9"), out, 2));
}

TEST(foreign_characters_and_lengths_are_refused)
{
    uint8_t out[3];
    EXPECT(!base64url_decode(span_of_text("Zm9="), out, 3));
    EXPECT(!base64url_decode(span_of_text("Zm+v"), out, 3));
    EXPECT(!base64url_decode(span_of_text("Zm/v"), out, 3));
    EXPECT(!base64url_decode(span_of_text("Zm\xffv"), out, 3));
    EXPECT(!base64url_decode(span_of("Zm\0v", 4), out, 3));
    EXPECT(!base64url_decode(span_of_text("Zm9"), out, 3));
    EXPECT(!base64url_decode(span_of_text("Zm9vY"), out, 3));
}
