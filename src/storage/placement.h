/* Which mount point takes the next upload. */
#ifndef CAIRN_STORAGE_PLACEMENT_H
#define CAIRN_STORAGE_PLACEMENT_H

#include "core/balance.h"
#include "storage/config.h"
#include "storage/store.h"

/** Choose among the mount points that are in, by the configured policy and the room they had when it
 * was last looked. When none has room, a content that would be packed is sent to the one with most
 * free space all the same: only its streams know the free slots in their chunks.
 *
 *   size       of the content; 0: unknown, any room will do
 *   is_packed  it goes into a slot for certain
 *
 * Errors: OFFLINE (no mount point is in), NO_SPACE. */
MUST err_t placement_pick(const struct store *store, const struct storage_config *config,
    struct balance_cursor *cursor, uint64_t size, bool is_packed, uint8_t *ret_mount);

#endif
