/* Names that change when a record is applied, and what a record writes into a single file. */
#ifndef CAIRN_DISK_SINGLE_ENTRY_H
#define CAIRN_DISK_SINGLE_ENTRY_H

#include "disk/single_chain.h"
#include "disk/single_dirty.h"
#include "disk/single_name.h"

/** A name on its way; embedded in the operation, all zero before its first use. */
struct single_entry {
    struct single_chain chain;
    struct single_dirty *dirty;
    uint8_t directory;
    bool is_rename;
    char path[SINGLE_PATH_MAX], path_to[SINGLE_PATH_MAX];
};

/** A record with RENAMES is committed: the file in new/ takes its place. Readers of the file that was
 * there keep it. Arrives; entry->chain.err: IO, NO_SPACE (fence). `dirty` hears of it. */
void single_rename(struct single_entry *entry, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct version version,
    struct single_dirty *dirty);

/** A record that deletes the file, or frees it because its content moved, is committed. A file that
 * is gone already is fine. Arrives; entry->chain.err: IO (fence). `dirty` hears of it. */
void single_unlink(struct single_entry *entry, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct single_dirty *dirty);

/** What a WRITE, APPEND or TRUNCATE writes into the file, piece by piece: content, entries, header
 * last. Pure. */
struct single_plan {
    struct span content, entries, meta; /* what is left */
    uint64_t content_offset;
    uint32_t run[RECORD_ENTRIES_MAX]; /* entries that lie side by side in a checksum page */
};
void single_plan_begin(struct single_plan *plan, const struct record *record);
/** The next piece: `*ret` goes to *ret_offset of the file; valid until the next call. */
bool single_plan_next(struct single_plan *plan, struct span *ret, uint64_t *ret_offset);

#endif
