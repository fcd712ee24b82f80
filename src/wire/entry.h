/* Records on the way between storages: the body of PUSH, PUSH_SINGLE, HARVESTED and FETCHED.
 *
 *   entry   | size u32 | seed of the home's chunk u32 | seed of the target's chunk u32 | 0 u32 | record ... |
 *
 * The size counts the 16 bytes before the record. Entries follow each other without gaps, also across
 * frames. The record is as it stands in the sender's log: its own LSN and incarnation, metas keyed
 * with the seeds given (a mirror makes its copy of a chunk with the same seed). Contents of slots are
 * always INLINE here, whatever the sender's log did. doc/protocol.md section "Between storages". */
#ifndef CAIRN_WIRE_ENTRY_H
#define CAIRN_WIRE_ENTRY_H

#include "wire/record.h"

enum {
    ENTRY_HEADER_SIZE = 16,
    /* the largest: a record of the largest content */
    ENTRY_SIZE_MAX = ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE + RECORD_EXTENSION_SIZE
                     + 2 * SLOT_META_MAX + 8 * RECORD_ENTRIES_MAX + RECORD_CONTENT_MAX + 8,
};

struct entry {
    uint32_t home_seed, target_seed; /* 0: no such chunk */
    struct record record;            /* decoded: spans point into the bytes */
};

/** Bytes of an entry for `record`. */
size_t entry_size(const struct record *record);
/** Write it; fails (writer.failed) when it does not fit. */
void entry_encode(const struct entry *entry, struct writer *w);
/** Decode the entry at the start of `bytes`. Errors: PARTIAL (*ret_size bytes are needed, at least),
 * PROTOCOL (the size is out of range), CORRUPT (the record is damaged). */
MUST err_t entry_decode(struct span bytes, struct entry *ret, size_t *ret_size);

#endif
