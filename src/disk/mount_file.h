/* cairn.mount and the directories of a mount point, by io_call: what mount_format, mount_open and
 * mount_enter have in common. For the modules named mount* only. */
#ifndef CAIRN_DISK_MOUNT_FILE_H
#define CAIRN_DISK_MOUNT_FILE_H

#include "disk/mount.h"

#define MOUNT_FILE "cairn.mount"
#define MOUNT_FILE_NEW "cairn.mount.new"

enum { MOUNT_DIRECTORY_COUNT = 5 };
/** Made at format; what is in them is made as it is needed. */
extern const char *const mount_directories[MOUNT_DIRECTORY_COUNT];

/** Begin: nothing held, nothing known. */
void mount_begin(struct mount *mount, struct io *io, const char *path);

/** Do `op` on behalf of the mount point; returns its result. */
int64_t mount_call(struct mount *mount, struct io_op op);

/** Open the directory and lock it. Errors: NOT_FOUND, BUSY (refusals), IO, DENIED, NO_RESOURCE. */
MUST err_t mount_hold(struct mount *mount);

/** Read one copy into mount->page. Errors: CORRUPT (too short), IO, NO_RESOURCE. */
MUST err_t mount_read_copy(struct mount *mount, unsigned copy);

/** Write mount->page as copy `copy`. Errors: IO, NO_SPACE, NO_RESOURCE. */
MUST err_t mount_write_copy(struct mount *mount, unsigned copy);

/** Make durable: the file's bytes, a directory's names. Errors: IO, NO_RESOURCE. */
MUST err_t mount_sync(struct mount *mount, const struct io_handle *handle);

/** The generation that the next write gets, and so the copy: never that of the newest good one, and
 * above all that others saw. */
uint64_t mount_next_generation(const struct mount *mount);

/** A write of the page failed: fence, unless it was refused for want of room or resources, which says
 * nothing about the disk and leaves the newest good copy as it was. */
void mount_write_failed(struct mount *mount, err_t err);

/** Fill mount->page with the image as the next generation. */
void mount_encode_next(struct mount *mount);

#endif
