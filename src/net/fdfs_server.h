/* The server's end of FastDFS's protocol, one per loop: listens, accepts, reads requests and their
 * content, sends answers. What a request means is the role's; the bytes are wire/fdfs.h.
 *
 *   fdfs_server_start -> on_request(request) ... fdfs_reply ... fdfs_request_end
 *   -> fdfs_server_drain -> (fdfs_server_is_idle) -> fdfs_server_fini
 *
 * One request of a connection is served at a time; what a client sends ahead waits in its buffer. A
 * content is pulled: fdfs_request_next_data() asks for the next piece and gives the one before back.
 * Clients send a content to its end whatever is answered meanwhile: what a request leaves unread is
 * read and thrown away, and the connection is kept. A malformed request is answered, and the
 * connection kept, if its body is at most FDFS_DRAIN_MAX; else it is closed behind the answer.
 *
 * Slow clients: parameters must be complete within head_timeout_ns, a content must come with at least
 * FDFS_BODY_RATE_MIN bytes a second, answers must be taken within send_timeout_ns.
 *
 * Nothing here calls the role from inside one of the role's own calls. */
#ifndef CAIRN_NET_FDFS_SERVER_H
#define CAIRN_NET_FDFS_SERVER_H

#include "net/listener.h"
#include "net/stream.h"
#include "wire/fdfs.h"

enum {
    FDFS_BODY_RATE_MIN = 512,    /* bytes a second, from ten seconds on */
    FDFS_DRAIN_MAX = 256 * 1024, /* of a malformed request's body */
    FDFS_REPLY_BODY_MAX = 1536,  /* bytes that an answer takes along */
};

struct fdfs_server;
struct fdfs_connection;
struct fdfs_request;

struct fdfs_server_config {
    struct io_address address;           /* port 0: any; the real one is in listener.address */
    uint16_t listen_index, listen_count; /* of the loops that share the address; 0, 1 alone */
    uint32_t connection_max;
    uint64_t idle_timeout_ns; /* between requests */
    uint64_t head_timeout_ns; /* from the first byte of a request to its last parameter */
    uint64_t send_timeout_ns; /* nothing leaves although there is something to send */
    void (*on_request)(struct fdfs_server *server, struct fdfs_request *request);
    void *role; /* for on_request */
};

struct fdfs_server {
    struct net_loop *loop;
    struct fdfs_server_config config;
    struct owner owner; /* "fastdfs-listener" */
    struct net_listener listener;
    struct pool connections;
    struct list live; /* every fdfs_connection */
    uint32_t connection_count;
    uint64_t requests_served, requests_malformed;
    bool is_draining;
};

/** Listen, and serve from the next turn of the loop. To be called before the loop runs.
 * Errors: BUSY, NO_RESOURCE, and those of IO_LISTEN; nothing is held then. */
MUST err_t fdfs_server_start(
    struct fdfs_server *server, struct net_loop *loop, const struct fdfs_server_config *config);
/** Accept nobody and no request any more; the ones that run end. */
void fdfs_server_drain(struct fdfs_server *server);
/** Cut every connection now; requests still have to end. */
void fdfs_server_cut(struct fdfs_server *server);
bool fdfs_server_is_idle(const struct fdfs_server *server);
void fdfs_server_fini(struct fdfs_server *server);
/** Bytes of memory for this many connections, without buffers. */
uint64_t fdfs_server_bytes(uint32_t connection_max);

/* ---- requests ---- */

struct fdfs_request {
    struct fdfs_head head; /* spans are stable until the request ends */
    struct span data; /* of the newest piece of the content: stable until the next is asked for */
    bool has_more;    /* the content goes on behind `data`; at first: there is one */
    err_t body_err;   /* the content ended early: CLOSED */
    struct fdfs_server *server;
    struct fdfs_connection *connection;
    void *op; /* the role's */
    /* net's own */
    struct net_buffer *buffer; /* parameters and piece, or the small buffer that they came in */
    uint32_t base;             /* bytes of the parameters in a large buffer */
    uint64_t body_left;        /* bytes that have not been given out */
    uint64_t body_since_ns;    /* when content was first waited for */
    uint64_t body_size;        /* bytes given out so far */
    uint64_t reply_left;       /* bytes of the answer's body that are still owed */
    void (*wake)(struct fdfs_request *request);
    void (*sent)(struct fdfs_request *request, err_t err);
    struct out_frame out;
    bool is_ended, is_answered;
};

/** Ask for the next piece of the content. `wake` is called once, later: request->data and has_more
 * are new, or body_err is set. CHECKs that has_more is set. */
void fdfs_request_next_data(
    struct fdfs_request *request, void (*wake)(struct fdfs_request *request));

/** Answer: the status, and a short body (copied; FDFS_REPLY_BODY_MAX bytes at most; none with an
 * error). The request may be ended at once. */
void fdfs_reply(struct fdfs_request *request, uint8_t status, struct span body);

/** Answer with a body of `body_size` bytes, of which `data` are the first (borrowed until `sent` is
 * called, once, later: OK, or CLOSED when the peer is gone). */
void fdfs_reply_begin(struct fdfs_request *request, uint64_t body_size, struct span data,
    void (*sent)(struct fdfs_request *request, err_t err));
/** The next bytes of the body. */
void fdfs_reply_data(struct fdfs_request *request, struct span data,
    void (*sent)(struct fdfs_request *request, err_t err));

/** The request is over: spans die. If nothing was answered, or less than fdfs_reply_begin() announced,
 * the connection is cut, so that the client knows. CHECKs that no `wake` is pending. */
void fdfs_request_end(struct fdfs_request *request);

/** Nothing sent to this peer can arrive any more. */
bool fdfs_request_is_gone(const struct fdfs_request *request);

/** Serve this request, and its connection from now on, on the loop of `to`: from inside on_request(),
 * or later, while nothing was answered and no byte of the content was asked for. The request is not
 * the caller's any more; on_request() of `to` gets it as a new one. When `to` has no room the client
 * is answered EBUSY. `to` must be of this process, and started. */
void fdfs_request_move(struct fdfs_request *request, struct fdfs_server *to);

#endif
