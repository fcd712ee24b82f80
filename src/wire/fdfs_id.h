/* The names of files that a FastDFS store made itself, taken apart: files that were imported keep them.
 *
 *   M00/0A/1F/<27 base64>[<16 base64>]<rest>
 *     `--- place ---'  `- trunk file -'
 *
 * rest: of a file its suffix part (7 characters); of a slave what FastDFS put in its place. The 20 bytes
 * and the 12 bytes behind the base64: doc/decisions/0024-imported-names.md, FastDFS 6.16. Pure. */
#ifndef CAIRN_WIRE_FDFS_ID_H
#define CAIRN_WIRE_FDFS_ID_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    FDFS_PATH_LENGTH = 10, /* "M00/00/00/" */
    FDFS_CORE_LENGTH = 27,
    FDFS_TRUNK_LENGTH = 16,
    FDFS_REST_LENGTH = 7, /* of a file that is no slave */
};

struct fdfs_id {
    struct span name;   /* all of it */
    struct span rest;   /* behind core and trunk place */
    uint8_t path;       /* index of the store path */
    uint8_t source[4];  /* IPv4, or a number, little endian, whose last byte is 0 */
    uint32_t time_s;    /* unix seconds */
    uint64_t size;      /* 0 of an appender: the name does not tell */
    uint32_t crc;       /* of an appender: of what it began with */
    uint32_t trunk;     /* is_trunk: number of the trunk file */
    uint32_t offset;    /* is_trunk: of the slot, bytes */
    uint32_t allocated; /* is_trunk: bytes, with the slot's header */
    bool is_trunk;      /* lies in a trunk file; of a slave: its master does */
    bool is_appender;   /* of a slave: its master is one */
    bool is_slave;      /* time, size and CRC are the master's */
};

/** `name` has no group. Errors: USAGE (no name of FastDFS; one of ours is none). */
MUST err_t fdfs_id_parse(struct span name, struct fdfs_id *ret);

#endif
