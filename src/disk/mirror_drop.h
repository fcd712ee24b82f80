/* Gives back the space of mirrored chunks in which nothing lives any more; run by the checkpoint when it
 * is on disk.
 *
 *   for each: barred -> its headers are looked at -> entry removed, file unlinked, directory synced
 *
 * What lies in such a chunk are tombstones, and they may go when nothing can come that would need them:
 *
 * - By the tables nothing lives there, and no record named the chunk since the checkpoint's snapshot. So
 *   every record about it is at or below the checkpoint, and applied: recovery never writes it again, and
 *   what it is made anew for later is behind. Nobody holds it, and nobody gets to until it is gone: no
 *   change is under way that counts on it.
 * - Its headers say so too: none of them lives.
 * - The kept watermark of its source is at or above all their births. So for an identity that was at home
 *   there: it is absent and complete, and every record about it is FINAL, also after a crash, since what is
 *   kept is what a restart finds. For a content that was placed there: whatever the origin said of
 *   older tenants of its slot is at or before the position, for the origin draws a birth when the slot is
 *   free by its log, and a watermark that has reached it stands behind (0004: obligation 2).
 * - Nobody brings files as if nothing was known (stream_hold_tombstones).
 *
 * A later record for the chunk makes the file anew (mirror_chunk.h). */
#ifndef CAIRN_DISK_MIRROR_DROP_H
#define CAIRN_DISK_MIRROR_DROP_H

#include "disk/mirror_chunk.h"

enum { MIRROR_DROPS_MAX = 16 }; /* chunks looked at by one checkpoint */

struct mirror_drop {
    struct machine machine;
    struct stream *stream;
    struct machine *parent;
    err_t err;
    uint8_t *window; /* lent */
    size_t window_size;
    struct mirror_chunk bar;
    struct chunk_key key;
    struct chunk_ref ref;
    struct io_op op;
    struct iovec iov;
    uint32_t at, end;  /* in the chunk file, bytes */
    uint32_t have;     /* bytes of the window, which begins at `at` */
    uint32_t number;   /* the walk goes on behind (source, number) */
    uint32_t looks;    /* so far */
    uint64_t youngest; /* birth met */
    uint16_t source;
    bool has_life;
    char path[CHUNK_NAME_MAX];
    uint64_t dropped; /* for status; never reset */
};

/** Might this chunk be dropped, as far as is known without a look into it? */
bool mirror_drop_may(const struct stream *stream, const struct chunk_entry *entry);

/** Drop what may go. `parent` arrives; drop->err: IO, when a chunk could not be unlinked or the directory
 * not be synced. `window` has at least SLOT_META_MAX + SLOT_UNIT bytes. */
void mirror_drop_start(struct mirror_drop *drop, struct stream *stream, uint8_t *window,
    size_t window_size, struct machine *parent);

#endif
