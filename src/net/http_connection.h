/* One accepted HTTP connection: heads, and "100 Continue". */
#ifndef CAIRN_NET_HTTP_CONNECTION_H
#define CAIRN_NET_HTTP_CONNECTION_H

#include "net/exchange_connection.h"
#include "net/http_server.h"

struct http_connection {
    struct exchange_connection exchange; /* its control frame: "100 Continue", and refusals */
    struct http_request request;
    size_t scanned; /* of the head that is coming in */
    bool is_continue_told;
};

static inline struct http_connection *http_connection_of(struct exchange_connection *c)
{
    return CONTAINER_OF(c, struct http_connection, exchange);
}

/* http_body.c: exchange_kind. */
bool http_read_body(struct exchange *exchange);
void http_tell_continue(struct exchange *exchange);
void http_head_moved(struct exchange *exchange, struct span head);

/** Refuse what is no request, and close. */
void http_refuse(struct exchange_connection *c, unsigned status);
/** exchange_kind.refuse_busy */
void http_refuse_busy(struct exchange *exchange);

#endif
