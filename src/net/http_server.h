/* The server's end of HTTP/1.1, one per loop: listens, accepts, reads request heads and bodies, sends
 * responses. What a request means is the role's. RFC 9112; the parser is wire/http.h.
 *
 *   http_server_start -> on_request(request) ... http_reply ... http_request_end
 *   -> http_server_drain -> (http_server_is_idle) -> http_server_fini
 *
 * One request of a connection is served at a time; what a client pipelines waits in its buffer. A body
 * is pulled: http_request_next_data() asks for the next piece and gives the one before back; the first
 * pull sends "100 Continue" to who waits for it. A request that ends before its body was read ends its
 * connection, unless the rest is short.
 *
 * Slow clients: a head must be complete within head_timeout_ns, a body must come with at least
 * HTTP_BODY_RATE_MIN bytes a second, responses must be taken within send_timeout_ns.
 *
 * Nothing here calls the role from inside one of the role's own calls. */
#ifndef CAIRN_NET_HTTP_SERVER_H
#define CAIRN_NET_HTTP_SERVER_H

#include "net/listener.h"
#include "net/stream.h"
#include "wire/http.h"

enum {
    HTTP_BODY_RATE_MIN = 512,   /* bytes a second, from ten seconds on */
    HTTP_DRAIN_MAX = 64 * 1024, /* of a body that nobody wants is read; above: close */
    HTTP_REPLY_HEAD_MAX = 2048, /* bytes */
};

struct http_server;
struct http_connection;
struct http_request;

struct http_server_config {
    struct io_address address;           /* port 0: any; the real one is in listener.address */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    uint32_t connection_max;
    uint64_t idle_timeout_ns; /* between requests */
    uint64_t head_timeout_ns; /* from the first byte of a head to its last */
    uint64_t send_timeout_ns; /* nothing leaves although there is something to send */
    void (*on_request)(struct http_server *server, struct http_request *request);
    void *role; /* for on_request */
};

struct http_server {
    struct net_loop *loop;
    struct http_server_config config;
    struct owner owner; /* "http-listener" */
    struct net_listener listener;
    struct pool connections;
    struct list live; /* every http_connection */
    uint32_t connection_count;
    uint64_t opened, requests_served;
    bool is_draining;
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t http_server_start(
    struct http_server *server, struct net_loop *loop, const struct http_server_config *config);
/** Accept nobody and no request any more; the ones that run end. */
void http_server_drain(struct http_server *server);
/** Cut every connection now; requests still have to end. */
void http_server_cut(struct http_server *server);
bool http_server_is_idle(const struct http_server *server);
void http_server_fini(struct http_server *server);
/** Bytes of memory for this many connections, without buffers. */
uint64_t http_server_bytes(uint32_t connection_max);

/* ---- requests ---- */

struct http_request {
    struct http_head head; /* spans are stable until the request ends */
    struct span data;      /* of the newest piece of the body: stable until the next is asked for */
    bool has_more;         /* the body goes on behind `data`; at first: there is one */
    err_t body_err;        /* a body ended early: CLOSED, PROTOCOL, TIMEOUT */
    struct http_server *server;
    struct http_connection *connection;
    uint64_t connection_number; /* of this server, never used twice */
    struct io_address peer;     /* who asks */
    void *op;                   /* the role's */
    /* net's own */
    struct net_buffer *buffer; /* head and body piece, or the small buffer that the head came in */
    uint32_t base;             /* bytes of the head in a large buffer */
    uint32_t filled;           /* chunked: content that is there */
    struct http_chunked chunked;
    uint64_t body_left;     /* with a length: bytes that have not been given out */
    uint64_t body_since_ns; /* when the body was first waited for */
    uint64_t body_size;     /* bytes given out so far */
    uint64_t reply_left;    /* bytes of the response's body that are still owed */
    void (*wake)(struct http_request *request);
    void (*sent)(struct http_request *request, err_t err);
    struct out_frame out;
    bool is_ended, is_head_sent, is_last;
};

/** Ask for the next piece of the body. `wake` is called once, later: request->data and has_more are
 * new (data may be empty with the last), or body_err is set. CHECKs that has_more is set. */
void http_request_next_data(
    struct http_request *request, void (*wake)(struct http_request *request));

/** A writer for further header lines ("Name: value\r\n"), behind status line, Date and Connection. */
struct writer http_reply_begin(struct http_request *request, unsigned status);
void http_header_add(struct writer *w, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

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
    void (*sent)(struct http_request *request, err_t err));
/** The whole response at once, with a short body that is copied: head and body together
 * HTTP_REPLY_HEAD_MAX bytes at most. */
void http_reply_with(struct http_request *request, const struct writer *headers, struct span body);
/** The next bytes of the response's body. */
void http_reply_data(struct http_request *request, const struct iovec *data, unsigned data_count,
    void (*sent)(struct http_request *request, err_t err));

/** The request is over: spans die. If less than what http_reply() announced was sent, the connection
 * is cut, so that the client knows. CHECKs that no `wake` is pending. */
void http_request_end(struct http_request *request);

/** Nothing sent to this peer can arrive any more. */
bool http_request_is_gone(const struct http_request *request);

/** Serve this request, and its connection from now on, on the loop of `to`: from inside on_request(),
 * or later, while nothing was replied and no byte of the body was asked for. The request is not the
 * caller's any more; on_request() of `to` gets it as a new one. When `to` has no room the client is
 * answered 503. `to` must be of this process, and started. */
void http_request_move(struct http_request *request, struct http_server *to);

/** "Not Found" */
const char *http_status_text(unsigned status);

#endif
