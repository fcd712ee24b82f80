/* Which mount point takes the next upload. */
#ifndef CAIRN_STORAGE_PLACEMENT_H
#define CAIRN_STORAGE_PLACEMENT_H

#include "core/balance.h"
#include "storage/config.h"
#include "storage/store.h"

/** Choose among the mount points that are in, by the configured policy and the room they had when it
 * was last looked. When none has room, the one with most of it is asked all the same: only its
 * streams know the free slots in their chunks, and they say NO_SPACE.
 * `size`: of the content; 0: unknown. Returns false if no mount point is in. */
MUST bool placement_pick(const struct store *store, const struct storage_config *config,
    struct balance_cursor *cursor, uint64_t size, uint8_t *ret_mount);

#endif
