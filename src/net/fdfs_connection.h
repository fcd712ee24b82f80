/* One accepted FastDFS connection: a stage machine that reads requests and their content and sends
 * answers, one request after the other. Every event kicks it; it runs once per turn and does all that
 * is possible.
 *
 *   WORK -> MOVING -> WORK     offered to another loop, which had no room
 *     |        `----> UNWIND   ... which took it
 *     |---> LINGER -> UNWIND   the peer still sends what nobody reads: let it have the answer first
 *     `-------------> UNWIND -> DONE */
#ifndef CAIRN_NET_FDFS_CONNECTION_H
#define CAIRN_NET_FDFS_CONNECTION_H

#include "net/fdfs_server.h"

enum fdfs_move_stage {
    FDFS_MOVE_NONE,
    FDFS_MOVE_WANTED,
    FDFS_MOVE_ASKED, /* the other loop reads this connection: nothing here may change */
    FDFS_MOVE_TAKEN,
    FDFS_MOVE_REFUSED,
};

struct fdfs_connection {
    struct machine machine;
    struct fdfs_server *server;
    struct held held;
    struct list link; /* in server->live */
    struct net_stream stream;
    struct fdfs_request request;
    struct out_frame control; /* refusals of what is malformed */
    uint64_t head_since_ns;   /* the first byte of a request came; 0: none has */
    uint64_t drain_left;      /* bytes of a content that nobody wanted */
    uint64_t drain_size, drain_since_ns;
    uint64_t linger_since_ns;
    struct net_tick tick;
    struct {
        struct io_message message;
        struct fdfs_server *to;
        struct span bytes; /* the request, and what came behind it */
        int fd;
        enum fdfs_move_stage stage;
        bool is_taken; /* the answer, written by the other loop */
    } move;
    bool is_busy; /* a request is being served */
    bool is_kicked;
    bool is_input_over; /* nothing more is read */
    bool has_rest;      /* the peer sends what nobody reads */
};

/** A connection without a socket yet; NULL: no slot. */
struct fdfs_connection *fdfs_connection_open(struct fdfs_server *server);
void fdfs_connection_attach(struct fdfs_connection *c, struct io_handle *socket);
void fdfs_connection_kick(struct fdfs_connection *c);
void fdfs_connection_cut(struct fdfs_connection *c);

/* fdfs_request.c */
/** Read what the request's content lacks. True: a piece was delivered. */
bool fdfs_body_read(struct fdfs_connection *c);
void fdfs_body_fail(struct fdfs_connection *c, err_t err);
/** Header and parameters were read: `size` of the unread bytes. */
void fdfs_request_open(struct fdfs_connection *c, const struct fdfs_head *head, size_t size);
/** Answer what is malformed. */
void fdfs_refuse(struct fdfs_connection *c, uint8_t status);

/* fdfs_move.c */
void fdfs_move_ask(struct fdfs_connection *c);
/** It was refused: EBUSY, and the connection goes on. */
void fdfs_move_resume(struct fdfs_connection *c);

#endif
