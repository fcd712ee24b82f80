/* What the doors for foreign protocols have in common, on one loop: memory for their operations, and
 * the content of requests as operations want it.
 *
 *   door_open -> door_serve -> (door_op_open ... door_op_close) -> door_drain -> (door_is_idle)
 *   -> door_close */
#ifndef CAIRN_STORAGE_DOOR_H
#define CAIRN_STORAGE_DOOR_H

#include "net/exchange.h"
#include "storage/body.h"

struct storage_loop;

struct door {
    struct storage_loop *loop;
    struct exchange_server *server; /* NULL: it does not listen */
    struct owner owner;
    struct pool ops;
    struct list running; /* struct door_op */
    uint32_t running_count;
    bool is_open;
};

/** Take memory for `op_max` operations of `op_size` bytes. `name` of the owner, `pool_name` of the pool.
 * Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t door_open(struct door *door, struct storage_loop *loop, const char *name,
    const char *pool_name, size_t op_size, uint64_t op_max);
/** Where to listen, for the loop of this door: loop 0 where `address` says, the others where loop 0
 * does, which `shared` tells them; with the send timeout of the configuration. */
struct exchange_config door_listen(
    struct door *door, const struct io_address *address, const struct io_address *shared);
void door_drain(struct door *door);
void door_cut(struct door *door);
/** No connection, no operation. */
bool door_is_idle(const struct door *door);
/** The server is closed, the memory given back. */
void door_close(struct door *door);

/** A request at work; the operation of a door begins with it. */
struct door_op {
    struct list link; /* in door->running */
    struct door *door;
    struct storage_loop *loop;
    struct exchange *exchange;
    struct body body;
    struct machine *body_machine;
    void (*begin)(struct door_op *op); /* when the first piece of the body is there */
    /** Look for content in op->piece, what is left of what was pulled, and set op->body. False: more
     * has to be pulled. NULL: everything is content. */
    bool (*filter)(struct door_op *op);
    struct span piece;
    struct outlet outlet;
    struct machine *outlet_machine;
};

/** The request has room from its connection, or stood in line for it; NULL: the ledger refused. The
 * first `clear_size` bytes are zero but for what is set here. */
void *door_op_open(struct door *door, struct exchange *exchange, size_t clear_size);
/** The operation is over, the request lives on (it is answered or moved by the caller). */
void door_op_close(struct door_op *op);
/** The same, and the room stays with the request: it goes on to another operation. The request has not
 * ended. */
void door_op_leave(struct door_op *op);

/** Pull the first piece of the body, then begin(op), with op->body set up. */
void door_body_begin(struct door_op *op, void (*begin)(struct door_op *op));

/** The `sent` of pieces that op->outlet took for op->outlet_machine. */
void door_piece_sent(struct exchange *exchange, err_t err);

#endif
