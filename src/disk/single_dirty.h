/* What was touched since the last checkpoint and is not known durable: directories whose names
 * changed, files that were changed in place. One per stream.
 *
 * Add when the change stands in the page cache and before its record is released: a checkpoint that
 * counts the record as applied then finds it here. A checkpoint takes the whole set; what is added
 * while it syncs is for the next one. */
#ifndef CAIRN_DISK_SINGLE_DIRTY_H
#define CAIRN_DISK_SINGLE_DIRTY_H

#include "disk/single_chain.h"
#include "disk/single_name.h"

enum { SINGLE_DIRTY_FILES = 1024 };

struct single_dirty_set {
    uint64_t directories[SINGLE_DIRECTORIES / 64];
    bool has_new; /* new/<stream> */
    uint32_t count;
    struct {
        uint64_t clock;
        uint32_t origin;
    } files[SINGLE_DIRTY_FILES];
};

struct single_dirty {
    struct single_dirty_set sets[2];
    unsigned current; /* the set that is added to; the other is empty or being synced */
    const struct single_mount *mount;
    struct single_chain chain;
    struct io_handle handle;
    uint32_t at;     /* directories below were seen to */
    bool has_second; /* the set that is added to is to be synced as well */
    char path[SINGLE_PATH_MAX];
};

void single_dirty_init(struct single_dirty *dirty, const struct single_mount *mount);

void single_dirty_add_directory(struct single_dirty *dirty, uint8_t directory);
void single_dirty_add_new(struct single_dirty *dirty);
/** False: no room; sync the file instead. Cost: a look at each one there, 1 us when full. */
MUST bool single_dirty_add_file(struct single_dirty *dirty, const struct identity *identity);
bool single_dirty_is_empty(const struct single_dirty *dirty);

/** For a checkpoint, one at a time: sync everything added so far. Arrives; dirty->chain.err: IO,
 * NO_RESOURCE: nothing is known durable, the mount point is to be fenced (except for a refused
 * descriptor: what is left is kept and may be synced by a later call).
 * A file that is gone since counts as done. One descriptor at a time. */
void single_dirty_sync(struct single_dirty *dirty, struct machine *machine);
/** The same at start-up, with io_call. Errors: IO, NO_RESOURCE. */
MUST err_t single_dirty_sync_now(struct single_dirty *dirty, struct owner *owner);
/** After a sync that failed: nothing is held. Also fine otherwise. */
void single_dirty_close(struct single_dirty *dirty);

#endif
