/* What a durable record writes into chunk files: pure. Shared by the operations (apply) and by
 * recovery (redo), so that there is one path. */
#ifndef CAIRN_DISK_PACKED_H
#define CAIRN_DISK_PACKED_H

#include <sys/uio.h>

#include "wire/record.h"

enum { PACKED_WRITES_MAX = 4 };

struct packed_write {
    const struct place *place; /* which chunk file */
    uint64_t offset;           /* in it, bytes */
    bool is_tombstone;         /* packed_tombstone() gives the bytes */
    unsigned span_count;
    struct span spans[2];
};

/** The writes of `record` into chunk files, in any order; returns how many. Metas and inline content
 * of home and target; tombstones where slots become free. `writes` has PACKED_WRITES_MAX entries. */
unsigned packed_plan(const struct record *record, struct packed_write *writes);

/** The header of a slot that became free by `record`: its last tenant, deleted. Returns its size.
 * `ret` has room for SLOT_META_MAX bytes. */
uint32_t packed_tombstone(
    const struct record *record, const struct place *place, uint32_t seed, uint8_t *ret);

#endif
