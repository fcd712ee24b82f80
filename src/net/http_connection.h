/* One accepted HTTP connection: a stage machine that reads heads and bodies and sends responses, one
 * request after the other. Every event kicks it; it runs once per turn and does all that is possible.
 *
 *   WORK -> MOVING -> WORK     offered to another loop, which had no room
 *     |        `----> UNWIND   ... which took it
 *     |---> LINGER -> UNWIND   the peer still sends what nobody reads: let it have the response first
 *     `-------------> UNWIND -> DONE */
#ifndef CAIRN_NET_HTTP_CONNECTION_H
#define CAIRN_NET_HTTP_CONNECTION_H

#include "net/http_server.h"

enum http_move_stage {
    HTTP_MOVE_NONE,
    HTTP_MOVE_WANTED,
    HTTP_MOVE_ASKED, /* the other loop reads this connection: nothing here may change */
    HTTP_MOVE_TAKEN,
    HTTP_MOVE_REFUSED,
};

struct http_connection {
    struct machine machine;
    struct http_server *server;
    uint64_t number;
    struct held held;
    struct list link; /* in server->live */
    struct net_stream stream;
    struct io_address peer;
    struct http_request request;
    struct out_frame control; /* "100 Continue", and refusals of what is no request */
    size_t scanned;           /* of the head that is coming in */
    uint64_t head_since_ns;   /* its first byte came; 0: none has */
    uint64_t drain_left;      /* bytes of a body that nobody wanted */
    uint64_t linger_since_ns;
    struct net_tick tick;
    struct {
        struct io_message message;
        struct http_server *to;
        struct span bytes; /* head and what came behind it */
        int fd;
        enum http_move_stage stage;
        bool is_taken; /* the answer, written by the other loop */
    } move;
    bool is_busy; /* a request is being served */
    bool is_kicked;
    bool is_input_over; /* nothing more is read */
    bool closes;        /* behind the response */
    bool is_continue_told;
    bool has_rest; /* the peer sends what nobody reads */
};

/** A connection without a socket yet; NULL: no slot. */
struct http_connection *http_connection_open(struct http_server *server);
void http_connection_attach(
    struct http_connection *c, struct io_handle *socket, const struct io_address *peer);
void http_connection_kick(struct http_connection *c);
void http_connection_cut(struct http_connection *c);

/* http_request.c */
/** Read what the request's body lacks. True: a piece was delivered. */
bool http_body_read(struct http_connection *c);
void http_body_fail(struct http_connection *c, err_t err);
/** The head of a request was read: `head_size` bytes of the unread ones. */
void http_request_open(struct http_connection *c, const struct http_head *head, size_t head_size);
/** Refuse what is no request, and close. */
void http_refuse(struct http_connection *c, unsigned status);

/* http_move.c */
void http_move_ask(struct http_connection *c);
/** It was refused: 503, and the connection goes on. */
void http_move_resume(struct http_connection *c);

#endif
