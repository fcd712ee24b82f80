/* Errors as HTTP tells them: a status, and a short JSON { "status", "error", "message" }. */
#ifndef CAIRN_NET_HTTP_ERROR_H
#define CAIRN_NET_HTTP_ERROR_H

#include "net/http_server.h"

enum { HTTP_ERROR_SIZE = 512 }; /* the text is cut where it would not fit */

/** The status that goes with `err`. */
unsigned http_status_of(err_t err);

/** Answer, behind what `headers` has already (http_reply_begin()), and end the request. `text` NULL:
 * the usual sentence. 503 gets a Retry-After. */
void http_reply_error(struct http_request *request, struct writer *headers, unsigned status,
    err_t err, const char *text);

#endif
