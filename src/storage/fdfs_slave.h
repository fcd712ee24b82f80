/* Slaves of a file, as its attributes list them. A slave is a file of its own, with an id of its own;
 * FastDFS's clients know it by another name, which tells the master's place and a tail:
 *
 *   M00/00/04/<27>[<16>]444.txt              the master
 *   M00/00/04/<27>[<16>]444_150x150.jpg      its slave with the prefix "_150x150" and the suffix "jpg"
 *                       `----- tail -----'
 *
 *   attribute   | size of tail u8 | tail | file 42 | ...        file: | origin u32 | clock u64
 *                 | size u32 | crc u32 | chunk u32 | offset u32 | slot u32 | mount u8 | stream u8
 *                 | flags u8 | suffix 7 |, little endian; flags: 1 mutable, 2 packed */
#ifndef CAIRN_STORAGE_FDFS_SLAVE_H
#define CAIRN_STORAGE_FDFS_SLAVE_H

#include "wire/fid.h"
#include "wire/slot.h"

enum { FDFS_TAIL_MAX = SUFFIX_FIELD + 16 + 1 + 6 };

/** A name of a file or of a slave. */
struct fdfs_name {
    struct fid fid;   /* of the file; of a slave: of the master, without suffix */
    struct span tail; /* of a slave; else empty */
};

/** Errors: USAGE, UNSUPPORTED. */
MUST err_t fdfs_name_parse(const char *group, struct span name, struct fdfs_name *ret);

/** The slave with this tail. False: none. `group`: the master's. */
bool fdfs_slave_find(struct span attributes, struct span tail, const char *group, struct fid *ret);
/** The slave number `index`. False: there are not so many. */
bool fdfs_slave_at(struct span attributes, size_t index, const char *group, struct fid *ret);

/** Write `attributes` with one slave more, or another one of that tail. Fails if it does not fit. */
void fdfs_slave_put(
    struct span attributes, struct span tail, const struct fid *slave, struct writer *w);
/** Write `attributes` without the slave of this tail. */
void fdfs_slave_remove(struct span attributes, struct span tail, struct writer *w);

/** The tail of a slave: what is in front of the dot in the master's suffix part, prefix and suffix. */
size_t fdfs_tail_make(
    const char *master_suffix, struct span prefix, struct span suffix, char ret[FDFS_TAIL_MAX + 1]);

#endif
