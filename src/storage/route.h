/* Where the files of a home source, and the positions of a change source, are kept at this storage.
 * Fixed for the life of the process, the same on every loop (doc/decisions/0021-mirrors.md).
 *
 *   own streams                                       where they are
 *   (mount, stream) of another storage, held already  where it is held        (a note)
 *   ... and there are such a mount point and stream   there
 *   else                                              by a hash of (mount, stream)
 *
 * The machine does not count: what all storages of the group have in (mount, stream) comes together
 * in one local stream. So a home and the slot of another storage that its content grew into are always
 * changed through one log, on one loop, and a mount point stays complete in itself. */
#ifndef CAIRN_STORAGE_ROUTE_H
#define CAIRN_STORAGE_ROUTE_H

#include "disk/source.h"

struct store;

enum { ROUTE_MOUNTS_MAX = 256, ROUTE_NOTES_MAX = 64 };

/** A local stream and the loop that owns it. */
struct stream_place {
    uint8_t mount, stream;
    uint16_t loop;
};

struct route_mount {
    uint16_t stream_count; /* 0: not known, the mount point is out */
    uint8_t index;
};

struct route_note {
    uint8_t mount, stream; /* of other storages */
    struct stream_place place;
};

struct store_routes {
    struct route_mount mounts[ROUTE_MOUNTS_MAX];
    struct route_note notes[ROUTE_NOTES_MAX];
    uint32_t mount_count, note_count;
};

/** The mount point `index` belongs to this storage, whether it can be used or not: before the first
 * store_route(), on every loop the same. Again: stream_count becomes known. */
void route_add_mount(struct store_routes *routes, uint8_t index, uint16_t stream_count);

/** A stream of this loop holds `source`: noted if that is elsewhere than the rule says. To be called as
 * soon as recovery meets the source, before it looks for files; then every loop's notes go to every
 * loop (route_merge). Errors: BUSY (more than ROUTE_NOTES_MAX). */
MUST err_t route_note_held(
    struct store *store, const struct source_key *source, uint8_t mount, uint8_t stream);
/** Add the notes of another loop. Errors: BUSY. */
MUST err_t route_merge(struct store_routes *routes, const struct store_routes *other);

/** The local stream of `source`. Its mount point may be out, or (without any mount point) not be
 * there: the caller looks. */
struct stream_place store_route(const struct store *store, const struct source_key *source);

#endif
