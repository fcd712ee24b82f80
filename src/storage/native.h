/* The native protocol's door into a loop of a storage: requests are decoded, an operation is taken
 * from the pool and started, and its result becomes the one reply.
 *
 *   changes       on the loop that owns the file; the connection moves there (net_request_move)
 *   find, stat    on any loop; what only the owner can tell is asked of it by a message (relay.h)
 *   list, status  on any loop, loop 0
 *   peers         see native_node.h
 *
 * There is an operation for each request that the net layer lets in, so the pool is never empty
 * unless the ledger refuses: then the answer is BUSY. */
#ifndef CAIRN_STORAGE_NATIVE_H
#define CAIRN_STORAGE_NATIVE_H

#include "net/server.h"
#include "storage/list.h"
#include "storage/native_node.h"
#include "storage/operation.h"

struct storage_loop;

struct native {
    struct storage_loop *loop;
    struct owner owner;
    struct pool ops;   /* struct native_op */
    struct pool pages; /* of 256 KiB: list and status */
    struct list_memory list;
    struct native_node node;
    struct list running;
    uint32_t running_count;
};

enum {
    NATIVE_PAGE_SIZE = FRAME_DATA_MAX,
    NATIVE_PAGES = 2,
    NATIVE_RESERVE = 2, /* operations for operators' questions */
    NATIVE_RELAYS = 4,  /* operations that work for requests of other loops */
};

/** Bytes of memory for the operations of one loop. */
uint64_t native_bytes(uint32_t request_max, uint32_t chunk_size);

/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t native_init(struct native *native, struct storage_loop *loop, uint32_t request_max);
void native_fini(struct native *native);

/** net_server_config.on_request; the server's role is the struct storage_loop. */
void native_on_request(struct net_server *server, struct net_request *request);

#endif
