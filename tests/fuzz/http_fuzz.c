/* Any bytes as HTTP, beside another parser (http-parser of Debian) as an oracle: whatever we accept it
 * accepts as well, with the same method, target, headers, framing and end. The other way round does not
 * hold: we are stricter. */
#include <http_parser.h>
#include <strings.h>

#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct span target, field;
    struct span values[HTTP_HEADER_COUNT];
    bool is_over;
};

static const char *const names[HTTP_HEADER_COUNT] = {
#define X(name, text) text,
    HTTP_HEADERS(X)
#undef X
};

static int on_url(http_parser *parser, const char *at, size_t length)
{
    struct seen *seen = parser->data;
    seen->target = span_of(
        seen->target.data ? seen->target.data : (const uint8_t *)at, seen->target.size + length);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t length)
{
    struct seen *seen = parser->data;
    seen->field = span_of(at, length);
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t length)
{
    struct seen *seen = parser->data;
    for (int i = 0; i < HTTP_HEADER_COUNT; i++)
        if (seen->field.size == strlen(names[i])
            && strncasecmp((const char *)seen->field.data, names[i], seen->field.size) == 0)
            seen->values[i] = span_of(at, length);
    return 0;
}

static int on_head(http_parser *parser)
{
    struct seen *seen = parser->data;
    seen->is_over = true;
    return 1; /* no body: only the head is compared */
}

static bool same(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* White space behind a value: the oracle may keep it. */
static struct span trimmed(struct span span)
{
    while (span.size > 0 && (span.data[span.size - 1] == ' ' || span.data[span.size - 1] == '\t'))
        span.size--;
    return span;
}

static void compare(const uint8_t *data, const struct http_head *head, size_t head_size)
{
    static const http_parser_settings settings = {.on_url = on_url,
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_headers_complete = on_head};
    struct seen seen = {0};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &seen;
    (void)http_parser_execute(&parser, &settings, (const char *)data, head_size);
    if (HTTP_PARSER_ERRNO(&parser) == HPE_INVALID_METHOD && head->method == HTTP_METHOD_OTHER)
        return; /* it knows a list of its own */
    CHECK(HTTP_PARSER_ERRNO(&parser) == HPE_OK);
    CHECK(seen.is_over && parser.http_major == 1 && (parser.http_minor > 0) == head->minor);
    CHECK(same(seen.target, head->target));
    for (int i = 0; i < HTTP_HEADER_COUNT; i++)
        CHECK(same(trimmed(seen.values[i]), head->headers[i]));
    CHECK(((parser.flags & F_CHUNKED) != 0) == head->is_chunked);
    CHECK(!head->has_length || parser.content_length == head->content_length
          || head->content_length == 0);
}

static void check_head(const uint8_t *data, size_t size)
{
    struct http_head head, again;
    size_t scanned = 0, head_size, size_again;
    int status = http_head_parse(span_of(data, size), &scanned, &head, &head_size);
    if (status != 0)
        return;
    compare(data, &head, head_size);
    size_t piecewise = 0;
    for (size_t have = 0; have < head_size; have++)
        CHECK(http_head_parse(span_of(data, have), &piecewise, &again, &size_again)
              == HTTP_NEED_MORE);
}

static void check_chunked(const uint8_t *data, size_t size)
{
    struct http_chunked chunked = {0};
    size_t at = 0, used;
    struct span piece;
    while (chunked.at != HTTP_CHUNK_OVER
           && http_chunked_next(&chunked, span_of(data + at, size - at), &used, &piece) == 0) {
        CHECK(used > 0 && used <= size - at && piece.size <= used);
        at += used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_range ranges[HTTP_RANGES_MAX];
    char text[64];
    uint64_t number;
    check_head(data, size);
    check_chunked(data, size);
    int count = http_range_parse(span_of(data, size), 1000, ranges);
    for (int i = 0; i < count; i++)
        CHECK(ranges[i].first <= ranges[i].last && ranges[i].last < 1000);
    (void)http_content_range_parse(span_of(data, size), ranges, &number);
    (void)http_date_parse(span_of(data, size), &number);
    (void)http_tag_matches(span_of(data, size), span_of_text("\"a\""), size % 2);
    (void)http_parameter(span_of(data, size), "name", text, sizeof text);
    (void)err_is(http_decode(span_of(data, size), size % 2, text, sizeof text));
    return 0;
}
