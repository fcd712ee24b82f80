/* What a stream committed last, in memory: records as they stand in the log, oldest out first. Readers
 * that keep up never touch the disk.
 *
 *   position  tail ........................ head        counts bytes for ever; modulo size: where
 *             | record | record | skip | record |       a record never wraps: a zero word says "go on
 *             ^ first_lsn                        ^ next_lsn                     at the beginning" */
#ifndef CAIRN_DISK_LOG_RING_H
#define CAIRN_DISK_LOG_RING_H

#include "base/bytes.h"

struct log_ring {
    uint8_t *data; /* borrowed */
    size_t size;   /* bytes, a multiple of 8; 0: nothing is ever kept */
    uint64_t tail, head;
    uint64_t first_lsn, next_lsn; /* LSNs from first_lsn to before next_lsn are there */
};

/** Where a reader goes on; checked before it is used, so an old one does no harm. */
struct log_ring_cursor {
    uint64_t lsn, position;
};

void log_ring_init(struct log_ring *ring, uint8_t *data, size_t size);
void log_ring_clear(struct log_ring *ring);
/** Records that were committed, the first with this LSN, encoded one behind the other. What is not
 * continued by them goes, so that LSNs have no gaps. */
void log_ring_put(struct log_ring *ring, uint64_t first_lsn, struct span records);
bool log_ring_has(const struct log_ring *ring, uint64_t lsn);
/** Copy whole records from `lsn` (which is there) on, as many as fit `capacity`. Returns the bytes;
 * 0: not even one fits. *ret_next: the LSN behind them. Costs a walk if the cursor does not fit. */
size_t log_ring_get(const struct log_ring *ring, uint64_t lsn, struct log_ring_cursor *cursor,
    uint8_t *into, size_t capacity, uint64_t *ret_next);

#endif
