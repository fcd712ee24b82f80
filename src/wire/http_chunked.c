#include "wire/http.h"

enum { TRAILERS_MAX = 4096 };

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Where the line at the start of `bytes` ends, behind its CR LF. 0: not there yet; SIZE_MAX: it never
 * ends well. */
static size_t line_end(struct span bytes, size_t max)
{
    const uint8_t *end = memchr(bytes.data, '\n', bytes.size < max ? bytes.size : max);
    if (!end)
        return bytes.size >= max ? SIZE_MAX : 0;
    size_t size = (size_t)(end - bytes.data) + 1;
    return size >= 2 && end[-1] == '\r' ? size : SIZE_MAX;
}

/* hex digits, then CR LF or an extension, which is passed over. At most 15 digits: no overflow. */
static int parse_size(struct span line, uint64_t *ret)
{
    uint64_t size = 0;
    size_t i = 0;
    for (; i < line.size && digit_of(line.data[i]) >= 0; i++)
        size = size << 4 | (unsigned)digit_of(line.data[i]);
    if (i == 0 || i > 15 || (line.data[i] != '\r' && line.data[i] != ';'))
        return 400;
    for (size_t j = i; j < line.size - 2; j++)
        if (line.data[j] < ' ' && line.data[j] != '\t')
            return 400;
    *ret = size;
    return 0;
}

static int next_size(struct http_chunked *chunked, struct span bytes, size_t *ret_used)
{
    size_t size = line_end(bytes, HTTP_CHUNK_LINE_MAX);
    if (size == 0)
        return HTTP_NEED_MORE;
    if (size == SIZE_MAX || parse_size(span_of(bytes.data, size), &chunked->left) != 0)
        return 400;
    chunked->at = chunked->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
    *ret_used = size;
    return 0;
}

static int next_data(
    struct http_chunked *chunked, struct span bytes, size_t *ret_used, struct span *ret_data)
{
    if (bytes.size == 0)
        return HTTP_NEED_MORE;
    size_t size = bytes.size < chunked->left ? bytes.size : (size_t)chunked->left;
    chunked->left -= size;
    if (chunked->left == 0)
        chunked->at = HTTP_CHUNK_END;
    *ret_used = size;
    *ret_data = span_of(bytes.data, size);
    return 0;
}

static int next_end(struct http_chunked *chunked, struct span bytes, size_t *ret_used)
{
    if (bytes.size >= 1 && bytes.data[0] != '\r')
        return 400;
    if (bytes.size < 2)
        return HTTP_NEED_MORE;
    if (bytes.data[1] != '\n')
        return 400;
    chunked->at = HTTP_CHUNK_SIZE;
    *ret_used = 2;
    return 0;
}

/* Trailers are passed over, line by line. */
static int next_trailer(struct http_chunked *chunked, struct span bytes, size_t *ret_used)
{
    size_t size = line_end(bytes, TRAILERS_MAX - chunked->trailer_size);
    if (size == 0)
        return HTTP_NEED_MORE;
    if (size == SIZE_MAX)
        return 400;
    chunked->trailer_size += (uint32_t)size;
    if (size == 2)
        chunked->at = HTTP_CHUNK_OVER;
    *ret_used = size;
    return 0;
}

int http_chunked_next(
    struct http_chunked *chunked, struct span bytes, size_t *ret_used, struct span *ret_data)
{
    *ret_used = 0;
    *ret_data = span_of(NULL, 0);
    switch (chunked->at) {
    case HTTP_CHUNK_SIZE:
        return next_size(chunked, bytes, ret_used);
    case HTTP_CHUNK_DATA:
        return next_data(chunked, bytes, ret_used, ret_data);
    case HTTP_CHUNK_END:
        return next_end(chunked, bytes, ret_used);
    case HTTP_CHUNK_TRAILER:
        return next_trailer(chunked, bytes, ret_used);
    case HTTP_CHUNK_OVER:
        break;
    }
    return HTTP_NEED_MORE;
}
