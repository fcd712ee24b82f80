/* The FastDFS door into a loop of a storage. doc/fastdfs.md.
 *
 *   upload, upload appender, upload slave    changes run on the loop that owns the file: the
 *   append, modify, truncate, delete         connection moves there
 *   set metadata
 *   download, get metadata, file info        on any loop, unless only the owner can tell: then the
 *                                            connection moves there too
 *
 * The name of a slave is its master's, with a prefix put behind it. The master's attributes tell which
 * file that is (fdfs_slave.h): so every command looks its name up first. */
#ifndef CAIRN_STORAGE_FDFS_DOOR_H
#define CAIRN_STORAGE_FDFS_DOOR_H

#include "net/fdfs_server.h"
#include "storage/door.h"
#include "storage/operation.h"

struct storage_loop;

struct fdfs_door {
    struct door door;
    struct fdfs_server server;
};

struct storage_config;

/** Bytes of memory that the door of one loop takes; 0 when it is not wanted. */
uint64_t fdfs_door_bytes(const struct storage_config *config, uint32_t connection_max);

/** Take memory; nothing to do when the configuration names no address. Errors: BUSY, NO_RESOURCE;
 * nothing is held then. */
MUST err_t fdfs_door_open(struct fdfs_door *door, struct storage_loop *loop);
/** Listen: loop 0 where the configuration says, the others where loop 0 does. Errors: those of
 * listening. */
MUST err_t fdfs_door_listen(struct fdfs_door *door);

#endif
