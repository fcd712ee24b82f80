/* Request heads and chunked bodies: what is read, what is refused with which status, and that it makes
 * no difference how the bytes arrive. */
#include "wire/http.h"

#include "base/prng.h"
#include "tests/lib/test.h"

static char text_of[8][256];

static const char *text(struct span span, unsigned slot)
{
    EXPECT(span_to_text(span, text_of[slot], sizeof text_of[slot]));
    return text_of[slot];
}

static int parse(const char *bytes, struct http_head *ret)
{
    size_t scanned = 0, size = 0;
    int status = http_head_parse(span_of_text(bytes), &scanned, ret, &size);
    if (status == 0)
        EXPECT_EQ(size, strlen(bytes));
    return status;
}

static int status_of(const char *bytes)
{
    struct http_head head;
    return parse(bytes, &head);
}

#define GET(lines) "GET / HTTP/1.1\r\nHost: h\r\n" lines "\r\n"
#define PUT(lines) "PUT /x HTTP/1.1\r\nHost: h\r\n" lines "\r\n"

TEST(a_request_head_is_read)
{
    struct http_head head;
    EXPECT_EQ(parse("GET /group1/M00/a?download=x%20y&b HTTP/1.1\r\nHost: store:80\r\n"
                    "If-None-Match: \"1.2\" \r\nRANGE:bytes=0-9\r\nX-Other: \xc3\xa4 \"(\r\n\r\n",
                  &head),
        0);
    EXPECT_EQ(head.method, HTTP_METHOD_GET);
    EXPECT_EQ(head.minor, 1);
    EXPECT_TEXT(text(head.path, 0), "/group1/M00/a");
    EXPECT_TEXT(text(head.query, 1), "download=x%20y&b");
    EXPECT_TEXT(text(head.headers[HTTP_HEADER_HOST], 2), "store:80");
    EXPECT_TEXT(text(head.headers[HTTP_HEADER_IF_NONE_MATCH], 3), "\"1.2\"");
    EXPECT_TEXT(text(head.headers[HTTP_HEADER_RANGE], 4), "bytes=0-9");
    EXPECT(head.headers[HTTP_HEADER_IF_MATCH].data == NULL);
    EXPECT(head.is_kept_alive && !head.has_length && !head.is_chunked && !head.expects_continue);
}

TEST(methods_are_told_apart)
{
    struct http_head head;
#define X(name)                                                         \
    EXPECT_EQ(parse(#name " / HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0); \
    EXPECT_EQ(head.method, HTTP_METHOD_##name);
    HTTP_VERBS(X)
#undef X
    EXPECT_EQ(parse("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    EXPECT_EQ(head.method, HTTP_METHOD_OTHER);
    EXPECT_EQ(parse("get / HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    EXPECT_EQ(head.method, HTTP_METHOD_OTHER); /* methods are case-sensitive */
}

TEST(targets_are_paths_urls_or_a_star)
{
    struct http_head head;
    EXPECT_EQ(parse("GET http://h:80/a/b?c HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    EXPECT_TEXT(text(head.path, 0), "/a/b");
    EXPECT_TEXT(text(head.query, 1), "c");
    EXPECT_EQ(parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    EXPECT_TEXT(text(head.path, 0), "/");
    EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    EXPECT_EQ(status_of("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET a HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET  HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

TEST(versions)
{
    struct http_head head;
    EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n", &head), 0);
    EXPECT_EQ(head.minor, 0);
    EXPECT(!head.is_kept_alive);
    EXPECT_EQ(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &head), 0);
    EXPECT(head.is_kept_alive);
    EXPECT_EQ(parse(GET("Connection: te , Close\r\n"), &head), 0);
    EXPECT(!head.is_kept_alive);
    EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
    EXPECT_EQ(status_of("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), 505);
    EXPECT_EQ(status_of("GET / http/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET / HTTP/1.1 \r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(status_of("GET /\r\n\r\n"), 400);
}

TEST(a_host_is_needed_once)
{
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
    EXPECT_EQ(status_of(GET("Host: i\r\n")), 400);
}

TEST(lines_that_smuggle_are_refused)
{
    EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: h\r\n\r\n"), 400); /* bare LF */
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\n\n"), 400);
    EXPECT_EQ(status_of(GET("A: b\r\n c\r\n")), 400); /* obs-fold */
    EXPECT_EQ(status_of(GET("A : b\r\n")), 400);      /* space before colon */
    EXPECT_EQ(status_of(GET(": b\r\n")), 400);
    EXPECT_EQ(status_of(GET("A\r\n")), 400);
    EXPECT_EQ(status_of(GET("A: b\rc\r\n")), 400); /* bare CR */
    EXPECT_EQ(status_of(GET("A: \x7f\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: 1\r\nContent-Length: 1\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: 1, 1\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: +1\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: \r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: 12345678901234567890\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")), 400);
    EXPECT_EQ(status_of(PUT("Transfer-Encoding: gzip, chunked\r\n")), 501);
    EXPECT_EQ(status_of(PUT("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
    EXPECT_EQ(status_of("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    static const char with_nul[] = "GET / HTTP/1.1\r\nHost: h\0i\r\n\r\n";
    struct http_head head;
    size_t scanned = 0, size;
    EXPECT_EQ(http_head_parse(span_of(with_nul, sizeof with_nul - 1), &scanned, &head, &size), 400);
}

TEST(bodies_are_framed_by_length_or_chunks)
{
    struct http_head head;
    EXPECT_EQ(parse(PUT("Content-Length: 00123\r\nExpect: 100-Continue\r\n"), &head), 0);
    EXPECT(head.has_length && head.expects_continue && !head.is_chunked);
    EXPECT_EQ(head.content_length, 123u);
    EXPECT_EQ(parse(PUT("Transfer-Encoding: Chunked\r\n"), &head), 0);
    EXPECT(head.is_chunked && !head.has_length);
    EXPECT_EQ(status_of(PUT("Expect: miracles\r\n")), 417);
}

TEST(an_empty_line_before_a_request_is_passed_over)
{
    struct http_head head;
    EXPECT_EQ(parse("\r\n" GET(""), &head), 0);
    EXPECT_EQ(status_of("\r\n\r\n" GET("")), 400);
}

TEST(heads_end_at_their_limits)
{
    static char bytes[HTTP_HEAD_MAX * 2];
    struct http_head head;
    size_t scanned = 0, size;
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET / HTTP/1.1\r\nHost: h\r\nA: ", 28);
    EXPECT_EQ(
        http_head_parse(span_of(bytes, HTTP_HEAD_MAX - 1), &scanned, &head, &size), HTTP_NEED_MORE);
    EXPECT_EQ(http_head_parse(span_of(bytes, HTTP_HEAD_MAX), &scanned, &head, &size), 431);
    scanned = 0;
    memcpy(bytes, "GET /", 5);
    memset(bytes + 5, 'a', HTTP_TARGET_MAX);
    memcpy(bytes + 5 + HTTP_TARGET_MAX, " HTTP/1.1\r\nHost: h\r\n\r\n", 23);
    EXPECT_EQ(
        http_head_parse(span_of(bytes, 5 + HTTP_TARGET_MAX + 23), &scanned, &head, &size), 414);
    char *at = bytes + sprintf(bytes, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < HTTP_LINES_MAX; i++)
        at += sprintf(at, "a: b\r\n");
    at += sprintf(at, "\r\n");
    scanned = 0;
    EXPECT_EQ(http_head_parse(span_of(bytes, (size_t)(at - bytes)), &scanned, &head, &size), 431);
}

TEST(it_makes_no_difference_how_a_head_arrives)
{
    static const char *const heads[] = {GET("If-Match: *\r\n"), PUT("Content-Length: 7\r\n"),
        "\r\n" GET(""), "GET / HTTP/1.1\r\nHost: h\n\r\n"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t whole = strlen(heads[i]), scanned = 0, size = 0;
        struct http_head head;
        int expected = status_of(heads[i]), status = HTTP_NEED_MORE;
        for (size_t have = 0; have <= whole && status == HTTP_NEED_MORE; have++)
            status = http_head_parse(span_of(heads[i], have), &scanned, &head, &size);
        EXPECT_EQ(status, expected);
        if (status == 0)
            EXPECT_EQ(size, whole);
    }
}

/* ---- chunked ---- */

static char body[4096];
static size_t body_size;

/* Feed `bytes` in pieces of up to `piece`; returns the status, 0 when the body is over. */
static int feed(const char *bytes, size_t total, size_t piece, size_t *ret_used)
{
    struct http_chunked chunked = {0};
    size_t at = 0, have = 0;
    body_size = 0;
    while (chunked.at != HTTP_CHUNK_OVER) {
        size_t used;
        struct span data;
        int status = http_chunked_next(&chunked, span_of(bytes + at, have - at), &used, &data);
        if (status == HTTP_NEED_MORE && have < total) {
            have = have + piece < total ? have + piece : total;
            continue;
        }
        if (status != 0)
            return status;
        if (data.size > 0)
            memcpy(body + body_size, data.data, data.size);
        body_size += data.size;
        at += used;
    }
    *ret_used = at;
    return 0;
}

TEST(chunks_are_joined_whatever_their_arrival)
{
    static const char bytes[] = "5\r\nhello\r\n00A;x=\"y\"\r\n, my world\r\n0\r\nT: u\r\n\r\nNEXT";
    for (size_t piece = 1; piece < sizeof bytes; piece++) {
        size_t used;
        EXPECT_EQ(feed(bytes, sizeof bytes - 1, piece, &used), 0);
        EXPECT_EQ(used, sizeof bytes - 1 - 4);
        EXPECT_EQ(body_size, 15u);
        EXPECT(memcmp(body, "hello, my world", 15) == 0);
    }
}

TEST(what_is_no_chunked_body_is_refused)
{
    static const char *const bad[] = {"\r\n", "g\r\n", "-1\r\n", " 5\r\nhello\r\n", "5\nhello\r\n",
        "5\r\nhelloX", "5\r\nhello\n", "5\r\nhello\rX", "1234567890123456\r\n", "5 \r\nhello\r\n",
        "0\r\nT: u\n\r\n", "0x5\r\nhello\r\n", "5;a\x01\r\nhello\r\n"};
    size_t used;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(feed(bad[i], strlen(bad[i]), 1, &used), 400);
    static char line[HTTP_CHUNK_LINE_MAX + 10];
    memset(line, '1', sizeof line);
    line[1] = ';';
    EXPECT_EQ(feed(line, sizeof line, 1, &used), 400);
    EXPECT_EQ(feed("5\r\nhel", 6, 1, &used), HTTP_NEED_MORE);
}

TEST(trailers_are_bounded)
{
    static char bytes[8192];
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "0\r\n", 3);
    size_t used;
    EXPECT_EQ(feed(bytes, sizeof bytes, 100, &used), 400);
}

TEST(random_bytes_do_no_harm)
{
    struct prng prng;
    prng_init(&prng, 7);
    static const char alphabet[] = "GET /HP1.:\r\n\r\n \t0aZ%?,;\"*-";
    for (int round = 0; round < 20000; round++) {
        char bytes[80];
        size_t size = (size_t)prng_below(&prng, sizeof bytes), scanned = 0, head_size, used;
        for (size_t i = 0; i < size; i++)
            bytes[i] = alphabet[prng_below(&prng, sizeof alphabet - 1)];
        struct http_head head;
        int status = http_head_parse(span_of(bytes, size), &scanned, &head, &head_size);
        EXPECT(status != 0 || head_size <= size);
        (void)feed(bytes, size, 3, &used);
    }
}
