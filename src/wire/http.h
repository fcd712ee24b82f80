/* HTTP/1.1 as bytes: request heads, chunked bodies, ranges, dates. Pure: points into the caller's
 * buffer, allocates nothing. RFC 9110, 9112.
 *
 * Strict, because this is where requests are smuggled: every line ends with CR LF, no folded lines, no
 * space before a colon, no second Host or Content-Length, never Content-Length together with
 * Transfer-Encoding. What is refused carries the status that the client should get; the connection
 * ends behind it, since nobody knows where the next request begins. */
#ifndef CAIRN_WIRE_HTTP_H
#define CAIRN_WIRE_HTTP_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    HTTP_HEAD_MAX = 16 * 1024,  /* bytes of a request head, above: 431 */
    HTTP_TARGET_MAX = 8 * 1024, /* bytes of its target, above: 414 */
    HTTP_LINES_MAX = 100,       /* header lines, above: 431 */
    HTTP_DATE_SIZE = 29,        /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    HTTP_RANGES_MAX = 16,       /* of one request; above, the header is ignored (RFC 9110 14.2) */
    HTTP_CHUNK_LINE_MAX = 256,  /* bytes of a chunk's size line with extensions */
};

#define HTTP_VERBS(X) X(GET) X(HEAD) X(PUT) X(POST) X(PATCH) X(DELETE) X(OPTIONS)

enum http_verb {
#define X(name) HTTP_METHOD_##name,
    HTTP_VERBS(X)
#undef X
        HTTP_METHOD_OTHER, /* a method by syntax, none that we know */
    HTTP_METHOD_COUNT
};
const char *http_method_name(enum http_verb method);

/* Headers whose values are kept: everything else is checked for form and passed over. */
#define HTTP_HEADERS(X)                               \
    X(HOST, "host")                                   \
    X(CONTENT_LENGTH, "content-length")               \
    X(TRANSFER_ENCODING, "transfer-encoding")         \
    X(CONNECTION, "connection")                       \
    X(EXPECT, "expect")                               \
    X(RANGE, "range")                                 \
    X(CONTENT_RANGE, "content-range")                 \
    X(CONTENT_TYPE, "content-type")                   \
    X(CONTENT_DISPOSITION, "content-disposition")     \
    X(IF_MATCH, "if-match")                           \
    X(IF_NONE_MATCH, "if-none-match")                 \
    X(IF_MODIFIED_SINCE, "if-modified-since")         \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")     \
    X(IF_RANGE, "if-range")                           \
    X(ORIGIN, "origin")                               \
    X(CORS_METHOD, "access-control-request-method")   \
    X(CORS_HEADERS, "access-control-request-headers") \
    X(AUTHORIZATION, "authorization")                 \
    X(ACK, "x-cairn-ack")                             \
    X(NONCE, "x-cairn-nonce")                         \
    X(META, "x-cairn-meta")                           \
    X(SLACK, "x-cairn-slack")                         \
    X(SENT_ON, "x-cairn-sent-on")

enum http_header {
#define X(name, text) HTTP_HEADER_##name,
    HTTP_HEADERS(X)
#undef X
        HTTP_HEADER_COUNT
};

struct http_head {
    enum http_verb method;
    uint8_t minor;                          /* HTTP/1.minor: 0 or 1 */
    struct span target;                     /* as it stands there */
    struct span path;                       /* up to '?', still %-encoded; "/" at least */
    struct span query;                      /* behind '?'; empty: none */
    struct span headers[HTTP_HEADER_COUNT]; /* without white space around; data NULL: not there */
    uint64_t content_length;                /* bytes of body, if has_length */
    bool has_length;
    bool is_chunked;
    bool expects_continue;
    bool is_kept_alive;
};

/** Parse the request head at the start of `bytes`. `*scanned` is 0 at first and goes on with the same
 * bytes when more came, so that slow heads cost no more than fast ones.
 * Returns 0: *ret and *ret_size (bytes of the head, with the empty line) are set; HTTP_NEED_MORE; or
 * the status to refuse it with: 400, 414, 431, 501 (a transfer coding but chunked), 505. */
enum { HTTP_NEED_MORE = -1 };
int http_head_parse(struct span bytes, size_t *scanned, struct http_head *ret, size_t *ret_size);

/* ---- chunked bodies ---- */

struct http_chunked {
    uint64_t left; /* bytes of the present chunk that have not come yet */
    enum {
        HTTP_CHUNK_SIZE,
        HTTP_CHUNK_DATA,
        HTTP_CHUNK_END,
        HTTP_CHUNK_TRAILER,
        HTTP_CHUNK_OVER
    } at;
    uint32_t trailer_size; /* bytes of trailers so far */
};

/** What comes next in `bytes`. Returns 0 and *ret_used: bytes that are dealt with; *ret_data: content
 * among them (may be empty). is over when at == HTTP_CHUNK_OVER. HTTP_NEED_MORE: nothing can be used
 * before more comes. 400: not a chunked body. */
int http_chunked_next(
    struct http_chunked *chunked, struct span bytes, size_t *ret_used, struct span *ret_data);

/* ---- values ---- */

struct http_range {
    uint64_t first, last; /* inclusive, within the content */
};

/** "bytes=0-99,200-,-5" against a content of `total` bytes: the ranges that can be met, in order.
 * Returns how many; 0: none can be met (416); -1: no byte ranges, or too many: ignore the header. */
int http_range_parse(struct span value, uint64_t total, struct http_range ret[HTTP_RANGES_MAX]);

/** "bytes 10-19/100", "bytes 10-19/\*". False: something else. *ret_total UINT64_MAX: unknown. */
bool http_content_range_parse(struct span value, struct http_range *ret, uint64_t *ret_total);

/** Unix seconds <-> "Sun, 06 Nov 1994 08:49:37 GMT"; the two obsolete forms are read too. */
void http_date_format(uint64_t seconds, char ret[HTTP_DATE_SIZE + 1]);
bool http_date_parse(struct span value, uint64_t *ret);

/** Does the list `value` ("*", "\"a\", W/\"b\"") hold `tag` (with its quotes)? is_strong: weak tags never
 * match (RFC 9110 8.8.3.2). */
bool http_tag_matches(struct span value, struct span tag, bool is_strong);

/** Equal but for the case of ASCII letters; `text` is lower case. */
bool http_word_equals(struct span span, const char *text);

/** The value of `name` in a query or form ("a=1&b=2"), still encoded. data NULL: not there. */
struct span http_query_find(struct span query, const char *name);
/** Digits and nothing else, 19 at most. */
bool http_number(struct span text, uint64_t *ret);
/** A number in the query. False: not there. Errors of form: *ret_err. */
bool http_query_number(struct span query, const char *name, uint64_t *ret, err_t *ret_err);
/** Undo %XX and, with is_query, '+'. Errors: USAGE (a bad escape, a NUL, longer than `size` - 1). */
MUST err_t http_decode(struct span value, bool is_query, char *ret, size_t size);

/** A parameter of a header: name="value" or name=value, quotes undone into `ret`. False: not there, or
 * longer than `size` - 1. */
bool http_parameter(struct span value, const char *name, char *ret, size_t size);

#endif
