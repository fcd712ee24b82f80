/* What other members of the group ask at the native door when they compare, repair and rebuild:
 * POSITIONS, UNITS, INVENTORY, HARVEST, FETCH. All are reads. Each runs on the loop of the stream where
 * the home source is kept here; the connection moves there. doc/decisions/0021-mirrors.md.
 *
 * Memory: a few pages for replies and walks per loop; when they are out the answer is BUSY, and the
 * peer asks again. */
#ifndef CAIRN_STORAGE_NATIVE_NODE_H
#define CAIRN_STORAGE_NATIVE_NODE_H

#include "base/pool.h"
#include "net/server.h"
#include "storage/unit_walk.h"

struct native;
struct native_op;
struct storage_loop;

struct native_node {
    struct pool sheets; /* of a reply; the size of a work buffer and an entry's overhead */
    struct pool walks;  /* struct unit_walk_memory */
};

enum {
    NATIVE_NODE_SHEETS = 4,
    NATIVE_NODE_WALKS = 2,
    NATIVE_HARVEST_MAX = 4096, /* wants in one request */
};

uint64_t native_node_bytes(const struct store_config *config);
/** Errors: BUSY, NO_RESOURCE; native_node_fini() gives back what was taken. */
MUST err_t native_node_init(
    struct native_node *node, struct storage_loop *loop, struct owner *owner);
void native_node_fini(struct native_node *node);

/** The stream here that keeps the files of home source (machine, mount, stream). False: the request
 * was moved to its loop, or answered: NOT_FOUND (no such source here), OFFLINE. */
MUST bool native_node_stream(struct storage_loop *loop, struct net_request *request,
    uint32_t machine, uint8_t mount, uint8_t stream, struct stream **ret);

/** An operation with a sheet; NULL: the request was answered BUSY. */
struct native_op *native_node_open(struct native *native, struct net_request *request);
/** The reply: `size` bytes of the sheet; then the operation closes. */
void native_sheet_send(
    struct native_op *op, size_t size, uint8_t type, const struct writer *fields);

/** Where the streams of this loop are, and what they follow (wire/unit.h); as much as fits. */
void positions_write(const struct storage_loop *loop, struct writer *page);

void native_positions(struct native *native, struct net_request *request);
void native_units(struct native *native, struct net_request *request);
void native_inventory(struct native *native, struct net_request *request);
void native_harvest(struct native *native, struct net_request *request);
void native_fetch(struct native *native, struct net_request *request);

#endif
