#include "wire/http.h"

const char *http_method_name(enum http_verb method)
{
    static const char *const names[HTTP_METHOD_COUNT] = {
#define X(name) #name,
        HTTP_VERBS(X)
#undef X
            "other"};
    return method < HTTP_METHOD_COUNT ? names[method] : "other";
}

/* ---- characters: RFC 9110 5.6.2 token, 5.5 field value, RFC 3986 target ---- */

enum { IS_TOKEN = 1, IS_VALUE = 2, IS_TARGET = 4 };
#define T (IS_TOKEN | IS_VALUE | IS_TARGET)
#define V (IS_VALUE | IS_TARGET)
static const uint8_t classes[256] = {['\t'] = IS_VALUE,
    [' '] = IS_VALUE,
    ['!'] = T,
    ['"'] = IS_VALUE,
    ['#'] = IS_TOKEN | IS_VALUE,
    ['$'] = T,
    ['%'] = T,
    ['&'] = T,
    ['\''] = T,
    ['('] = V,
    [')'] = V,
    ['*'] = T,
    ['+'] = T,
    [','] = V,
    ['-'] = T,
    ['.'] = T,
    ['/'] = V,
    ['0' ... '9'] = T,
    [':'] = V,
    [';'] = V,
    ['<'] = IS_VALUE,
    ['='] = V,
    ['>'] = IS_VALUE,
    ['?'] = V,
    ['@'] = V,
    ['A' ... 'Z'] = T,
    ['['] = V,
    ['\\'] = IS_VALUE,
    [']'] = V,
    ['^'] = IS_TOKEN | IS_VALUE,
    ['_'] = T,
    ['`'] = IS_TOKEN | IS_VALUE,
    ['a' ... 'z'] = T,
    ['{'] = IS_VALUE,
    ['|'] = IS_TOKEN | IS_VALUE,
    ['}'] = IS_VALUE,
    ['~'] = T,
    [0x80 ... 0xff] = IS_VALUE};
#undef T
#undef V

static bool all_are(struct span span, uint8_t class)
{
    uint8_t common = class;
    for (size_t i = 0; i < span.size; i++)
        common &= classes[span.data[i]];
    return common == class;
}

/* ---- lines ---- */

/* Where the head ends: behind CR LF CR LF. 0: not there yet. A bare LF is found when its line is. */
static size_t find_end(struct span bytes, size_t from)
{
    const uint8_t *at = bytes.data + (from > 3 ? from - 3 : 0), *end = bytes.data + bytes.size;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at + 2 - bytes.data);
        if (end - at >= 1 && at[0] == '\n')
            return (size_t)(at + 1 - bytes.data);
    }
    return 0;
}

/* The line at *at, without its CR LF. False: it ends otherwise. */
static bool take_line(struct span head, size_t *at, struct span *ret)
{
    const uint8_t *begin = head.data + *at;
    const uint8_t *end = memchr(begin, '\n', head.size - *at);
    if (!end || end == begin || end[-1] != '\r')
        return false;
    *ret = span_of(begin, (size_t)(end - 1 - begin));
    *at += (size_t)(end + 1 - begin);
    return true;
}

/* ---- the request line ---- */

static enum http_verb method_of(struct span name)
{
    static const char *const names[] = {
#define X(name) #name,
        HTTP_VERBS(X)
#undef X
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_equals_text(name, names[i]))
            return (enum http_verb)i;
    return HTTP_METHOD_OTHER;
}

static int parse_version(struct span version, struct http_head *ret)
{
    if (version.size != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.'
        || version.data[5] < '0' || version.data[5] > '9' || version.data[7] < '0'
        || version.data[7] > '9')
        return 400;
    if (version.data[5] != '1')
        return 505;
    ret->minor = version.data[7] > '0';
    return 0;
}

/* "/path?query", or "http://host/path?query" as proxies send it, or "*" of OPTIONS. */
static int parse_target(struct span target, struct http_head *ret)
{
    if (target.size == 0 || !all_are(target, IS_TARGET))
        return 400;
    if (target.size > HTTP_TARGET_MAX)
        return 414;
    ret->target = ret->path = target;
    if (target.size > 7 && memcmp(target.data, "http://", 7) == 0) {
        const uint8_t *slash = memchr(target.data + 7, '/', target.size - 7);
        ret->path =
            slash ? span_of(slash, target.size - (size_t)(slash - target.data)) : span_of("/", 1);
    } else if (target.data[0] != '/'
               && !(ret->method == HTTP_METHOD_OPTIONS && span_equals_text(target, "*"))) {
        return 400;
    }
    const uint8_t *mark = memchr(ret->path.data, '?', ret->path.size);
    if (!mark)
        return 0;
    size_t size = (size_t)(mark - ret->path.data);
    ret->query = span_of(mark + 1, ret->path.size - size - 1);
    ret->path.size = size;
    return size > 0 ? 0 : 400;
}

static int parse_request_line(struct span line, struct http_head *ret)
{
    const uint8_t *end = line.data + line.size;
    const uint8_t *first = memchr(line.data, ' ', line.size);
    if (!first || first == line.data)
        return 400;
    const uint8_t *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (!second)
        return 400;
    struct span method = span_of(line.data, (size_t)(first - line.data));
    if (!all_are(method, IS_TOKEN))
        return 400;
    ret->method = method_of(method);
    int status = parse_target(span_of(first + 1, (size_t)(second - first - 1)), ret);
    return status ? status : parse_version(span_of(second + 1, (size_t)(end - second - 1)), ret);
}

/* ---- header lines ---- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool equals_lower(struct span span, const char *text, size_t size)
{
    if (span.size != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (lower(span.data[i]) != (uint8_t)text[i])
            return false;
    return true;
}

bool http_word_equals(struct span span, const char *text)
{
    return equals_lower(span, text, strlen(text));
}

static const struct {
    const char *text;
    size_t size;
} header_names[HTTP_HEADER_COUNT] = {
#define X(name, text) {text, sizeof(text) - 1},
    HTTP_HEADERS(X)
#undef X
};

static int header_of(struct span name)
{
    for (int i = 0; i < HTTP_HEADER_COUNT; i++)
        if (equals_lower(name, header_names[i].text, header_names[i].size))
            return i;
    return -1;
}

static struct span trimmed(struct span span)
{
    while (span.size > 0 && (span.data[0] == ' ' || span.data[0] == '\t'))
        span = span_of(span.data + 1, span.size - 1);
    while (span.size > 0 && (span.data[span.size - 1] == ' ' || span.data[span.size - 1] == '\t'))
        span.size--;
    return span;
}

/* A name that comes twice is an attack where it frames the message, and ambiguous elsewhere: of the
 * headers that we look at none may be a list over several lines. */
static int parse_header(struct span line, struct http_head *ret)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (!colon)
        return 400;
    struct span name = span_of(line.data, (size_t)(colon - line.data));
    struct span value = span_of(colon + 1, line.size - name.size - 1);
    if (name.size == 0 || !all_are(name, IS_TOKEN) || !all_are(value, IS_VALUE))
        return 400;
    int header = header_of(name);
    if (header < 0)
        return 0;
    if (ret->headers[header].data)
        return 400;
    ret->headers[header] = trimmed(value);
    return 0;
}

/* ---- what the headers say about the message ---- */

static int parse_length(struct span value, uint64_t *ret)
{
    uint64_t length = 0;
    if (value.size == 0 || value.size > 19)
        return 400;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 400;
        length = length * 10 + (value.data[i] - '0');
    }
    *ret = length;
    return 0;
}

/* Is `word` (lower case) in the list? */
static bool list_has(struct span list, const char *word)
{
    size_t size = strlen(word), at = 0;
    while (at < list.size) {
        const uint8_t *comma = memchr(list.data + at, ',', list.size - at);
        size_t end = comma ? (size_t)(comma - list.data) : list.size;
        if (equals_lower(trimmed(span_of(list.data + at, end - at)), word, size))
            return true;
        at = end + 1;
    }
    return false;
}

static int judge_body(struct http_head *head)
{
    struct span length = head->headers[HTTP_HEADER_CONTENT_LENGTH];
    struct span coding = head->headers[HTTP_HEADER_TRANSFER_ENCODING];
    if (coding.data) {
        if (length.data || head->minor == 0)
            return 400;
        if (!equals_lower(coding, "chunked", 7))
            return 501;
        head->is_chunked = true;
    } else if (length.data) {
        head->has_length = true;
        return parse_length(length, &head->content_length);
    }
    return 0;
}

static int judge(struct http_head *head)
{
    struct span connection = head->headers[HTTP_HEADER_CONNECTION];
    struct span expect = head->headers[HTTP_HEADER_EXPECT];
    if (head->minor == 1 && !head->headers[HTTP_HEADER_HOST].data)
        return 400;
    head->is_kept_alive =
        head->minor == 1 ? !list_has(connection, "close") : list_has(connection, "keep-alive");
    if (expect.data && head->minor == 1) {
        if (!equals_lower(expect, "100-continue", 12))
            return 417;
        head->expects_continue = true;
    }
    return judge_body(head);
}

static int parse_lines(struct span bytes, struct http_head *ret)
{
    struct span line;
    size_t at = 0;
    if (!take_line(bytes, &at, &line))
        return 400;
    int status = parse_request_line(line, ret);
    for (unsigned count = 0; status == 0; count++) {
        if (!take_line(bytes, &at, &line))
            return 400;
        if (line.size == 0)
            return judge(ret);
        status = count < HTTP_LINES_MAX ? parse_header(line, ret) : 431;
    }
    return status;
}

/* One empty line before a request is passed over (RFC 9112 2.2). */
int http_head_parse(struct span bytes, size_t *scanned, struct http_head *ret, size_t *ret_size)
{
    size_t skip = bytes.size >= 2 && memcmp(bytes.data, "\r\n", 2) == 0 ? 2 : 0;
    size_t end = find_end(
        span_of(bytes.data + skip, bytes.size - skip), *scanned > skip ? *scanned - skip : 0);
    *scanned = bytes.size;
    if (end > HTTP_HEAD_MAX || (end == 0 && bytes.size >= HTTP_HEAD_MAX + skip))
        return 431;
    if (end == 0)
        return HTTP_NEED_MORE;
    *ret = (struct http_head){0};
    *ret_size = skip + end;
    return parse_lines(span_of(bytes.data + skip, end), ret);
}
