/* The body of a browser's form (multipart/form-data, RFC 7578): finds the first part with a file name
 * and gives out its content as it comes. Pure; bounded: what could be the beginning of a delimiter at
 * the end of a piece is kept here until the next one.
 *
 *   http_form_init -> http_form_next ... until HTTP_FORM_OVER */
#ifndef CAIRN_WIRE_HTTP_FORM_H
#define CAIRN_WIRE_HTTP_FORM_H

#include "wire/http.h"

enum {
    HTTP_BOUNDARY_MAX = 70, /* RFC 2046 */
    HTTP_FORM_DELIMITER_MAX = HTTP_BOUNDARY_MAX + 4,
    HTTP_FORM_PART_MAX = 2048, /* bytes of a part's head */
};

struct http_form {
    char delimiter[HTTP_FORM_DELIMITER_MAX + 1]; /* CR LF -- boundary */
    uint32_t delimiter_size;
    uint32_t matched; /* bytes of the delimiter that the last piece ended with */
    enum { HTTP_FORM_SKIP, HTTP_FORM_AFTER, HTTP_FORM_HEAD, HTTP_FORM_FILE, HTTP_FORM_OVER } at;
    char head[HTTP_FORM_PART_MAX];
    uint32_t head_size;
    char name[256]; /* of the file, without directories; "" before it was found */
    char type[128]; /* its content type; "" none */
    bool was_found;
};

/** `content_type`: the request's. Errors: USAGE (not multipart/form-data, or a bad boundary). */
MUST err_t http_form_init(struct http_form *form, struct span content_type);

/** Look at what is next of `bytes`, of which *ret_used are dealt with then. *ret_data: content of the
 * file; it points into `bytes` or into the form, and may be empty. Errors: PROTOCOL (not a form). */
MUST err_t http_form_next(
    struct http_form *form, struct span bytes, size_t *ret_used, struct span *ret_data);

#endif
