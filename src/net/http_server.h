/* The server's end of HTTP/1.1, one per loop: reads request heads and bodies, sends responses; exchange.h
 * has what it shares with others. What a request means is the role's. RFC 9112; the parser is
 * wire/http.h.
 *
 *   http_server_start -> on_request(request) ... http_reply ... http_request_end
 *   -> http_server_drain -> (http_server_is_idle) -> http_server_fini
 *
 * The first pull of a body sends "100 Continue" to who waits for it. A request that ends before its body
 * was read ends its connection, unless the rest is short. A head that does not come to its end is
 * answered 408. */
#ifndef CAIRN_NET_HTTP_SERVER_H
#define CAIRN_NET_HTTP_SERVER_H

#include "net/exchange.h"
#include "wire/http.h"

enum {
    HTTP_DRAIN_MAX = 64 * 1024, /* of a body that nobody wants is read; above: close */
    HTTP_REPLY_HEAD_MAX = 2048, /* bytes */
};

struct http_server;
struct http_request;

struct http_server_config {
    struct exchange_config exchange;
    void (*on_request)(struct http_server *server, struct http_request *request);
    void *role; /* for on_request */
};

struct http_server {
    struct exchange_server exchange;
    struct http_server_config config;
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t http_server_start(
    struct http_server *server, struct net_loop *loop, const struct http_server_config *config);
/** Accept nobody and no request any more; the ones that run end. */
static inline void http_server_drain(struct http_server *server)
{
    acceptor_drain(&server->exchange.acceptor);
}
/** Cut every connection now; requests still have to end. */
static inline void http_server_cut(struct http_server *server)
{
    acceptor_cut(&server->exchange.acceptor);
}
static inline bool http_server_is_idle(const struct http_server *server)
{
    return acceptor_is_idle(&server->exchange.acceptor);
}
static inline void http_server_fini(struct http_server *server)
{
    acceptor_fini(&server->exchange.acceptor);
}
/** Bytes of memory for this many connections, without buffers. */
uint64_t http_server_bytes(uint32_t connection_max);

/* ---- requests ---- */

struct http_request {
    struct exchange exchange; /* the body, and what the role keeps */
    struct http_head head;    /* spans are stable until the request ends */
    struct http_server *server;
    /* net's own */
    struct http_chunked chunked;
    bool is_last; /* nothing follows the response's head */
};

static inline struct http_request *http_request_of(struct exchange *exchange)
{
    return CONTAINER_OF(exchange, struct http_request, exchange);
}

/** A writer for further header lines ("Name: value\r\n"), behind status line, Date and Connection. */
struct writer http_reply_begin(struct http_request *request, unsigned status);
void http_header_add(struct writer *w, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Two ways that cost a tenth of http_header_add(), for what most answers have. */
void http_header_text(struct writer *w, const char *name, const char *value);
void http_header_number(struct writer *w, const char *name, uint64_t value);

/**
 * Send the response's head, and the first `data` of its body of `body_size` bytes in total (HEAD
 * requests: the size is told and nothing follows). With 1xx, 204 and 304 there is no body.
 *
 * Owns: the bytes of `data` are borrowed until `sent` is called, once, later (OK, or CLOSED when the
 *       peer is gone). `sent` may be NULL and the request be ended at once if there is no data or it
 *       outlives the server.
 */
void http_reply(struct http_request *request, const struct writer *headers, uint64_t body_size,
    const struct iovec *data, unsigned data_count,
    void (*sent)(struct exchange *exchange, err_t err));
/** The whole response at once, with a short body that is copied: head and body together
 * HTTP_REPLY_HEAD_MAX bytes at most. */
void http_reply_with(struct http_request *request, const struct writer *headers, struct span body);
/** The next bytes of the response's body. */
void http_reply_data(struct http_request *request, const struct iovec *data, unsigned data_count,
    void (*sent)(struct exchange *exchange, err_t err));

/** The request is over: exchange_end(). */
static inline void http_request_end(struct http_request *request)
{
    exchange_end(&request->exchange);
}

/** The loop of `to` serves it: exchange_move(). Without room there the client is answered 503. */
static inline void http_request_move(struct http_request *request, struct http_server *to)
{
    exchange_move(&request->exchange, &to->exchange);
}

/** "Not Found" */
const char *http_status_text(unsigned status);

#endif
