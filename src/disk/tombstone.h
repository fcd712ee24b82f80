/* Tombstones of single files: a delete that came before what it deletes leaves a file whose header says
 * DELETED, so that what comes late is not taken for new. When the kept watermark of its home's source
 * has passed its clock, an absent file is known to be deleted, and the tombstone goes.
 *
 *   DELETE with RENAMES is durable: noted -> after a checkpoint: lock, read, unlink if it still is one
 *
 * What finds no place, or was noted before a restart and is covered by a checkpoint, stays until a walk
 * of all files meets it (stream_tombstone_is_over). It costs 4 KiB and nothing else. */
#ifndef CAIRN_DISK_TOMBSTONE_H
#define CAIRN_DISK_TOMBSTONE_H

#include "disk/lock.h"
#include "disk/single_entry.h"

struct stream;

enum { TOMBSTONES_MAX = 256 };

struct tombstone {
    struct identity identity;
    struct place home;
};

struct tombstones {
    struct machine machine;
    struct stream *stream;
    struct tombstone all[TOMBSTONES_MAX];
    uint32_t count, at; /* at: that is being seen to */
    struct file_lock lock;
    struct io_op op;
    struct iovec iov;
    struct io_handle handle;
    struct single_entry entry;
    bool is_running;
    uint8_t head[SINGLE_META_MAX];
    char path[SINGLE_PATH_MAX];
};

/** A record is durable. */
void tombstones_note(struct stream *stream, const struct record *record);
/** See which are over, and unlink them; in the background. Nothing to do while it does so. */
void tombstones_kick(struct stream *stream);
/** Is a file with this home needed as a tombstone no more? */
bool stream_tombstone_is_over(
    struct stream *stream, const struct identity *identity, const struct place *home);

#endif
