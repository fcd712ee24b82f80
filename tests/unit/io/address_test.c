#include "io/io.h"
#include "tests/lib/test.h"

static const char *round_trip(const char *text, char *ret)
{
    struct io_address address;
    EXPECT_OK(io_address_parse(text, &address));
    return io_address_format(&address, ret);
}

TEST(an_address_is_printed_as_it_was_read)
{
    static const char *const texts[] = {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535",
        "[::1]:22122", "[::]:1", "[2001:db8::7]:443"};
    char text[IO_ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        EXPECT_TEXT(round_trip(texts[i], text), texts[i]);
}

TEST(localhost_is_127_0_0_1)
{
    char text[IO_ADDRESS_TEXT_MAX];
    EXPECT_TEXT(round_trip("localhost:8080", text), "127.0.0.1:8080");
}

TEST(an_ipv4_address_in_ipv6_form_becomes_ipv4)
{
    char text[IO_ADDRESS_TEXT_MAX];
    EXPECT_TEXT(round_trip("[::ffff:10.1.2.3]:9", text), "10.1.2.3:9");
}

TEST(malformed_addresses_are_refused_and_leave_the_result_alone)
{
    static const char *const texts[] = {"", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
        "127.0.0.1:65536", "127.0.0.1:000080", "127.0.0.1:-1", "127.0.0.1: 80", "127.0.0.1:80 ",
        "1.2.3:80", "::1:80", "[::1]80", "[::1]", "[::1:80", "[]:80", "[127.0.0.1]:80",
        "example.com:80", "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80",
        "localhost"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct io_address address = {.port = 7, .family = 99};
        EXPECT_ERR(io_address_parse(texts[i], &address), USAGE);
        EXPECT(address.port == 7 && address.family == 99);
    }
}

TEST(the_longest_address_fits_its_text)
{
    char text[IO_ADDRESS_TEXT_MAX];
    const char *longest = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
    EXPECT_TEXT(round_trip(longest, text), longest);
}

TEST(loopback_is_127_slash_8_and_double_colon_1)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } cases[] = {{"127.0.0.1:1", true}, {"127.9.9.9:1", true}, {"[::1]:1", true},
        {"[::ffff:127.0.0.1]:1", true}, {"128.0.0.1:1", false}, {"0.0.0.0:1", false},
        {"[::]:1", false}, {"[::2]:1", false}, {"[2001:db8::1]:1", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct io_address address;
        EXPECT_OK(io_address_parse(cases[i].text, &address));
        EXPECT_EQ(io_address_is_loopback(&address), cases[i].is_loopback);
    }
    EXPECT(!io_address_is_loopback(&(struct io_address){.family = 0}));
}

TEST(no_address_is_printed_as_none)
{
    char text[IO_ADDRESS_TEXT_MAX];
    EXPECT_TEXT(io_address_format(&(struct io_address){.family = 0}, text), "none");
}
