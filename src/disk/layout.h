/* The directories beneath a mount point that a stream needs:
 *
 *   log/<ss>  new/<ss>    of the stream
 *   singles/00 .. ff      of all streams of the mount point
 *   chunks  ckpt          made by mount_format */
#ifndef CAIRN_DISK_LAYOUT_H
#define CAIRN_DISK_LAYOUT_H

#include "io/io.h"

/** Make what is missing, durably. Uses io_call; a call for each of 256 directories the first time, a
 * look at the last one later. Errors: NO_SPACE, IO, NO_RESOURCE, DENIED. */
MUST err_t layout_make(
    struct io *io, struct owner *owner, const struct io_handle *root, uint8_t stream);

#endif
