/* Counts the digests of a stream anew, from the headers of all files that it knows. For the start, when
 * the tables can't tell: the checkpoint or records of the log are older than digests, or records were
 * lost to rot. Reads every slot header and every header of a single file of the mount point: minutes on
 * a large disk, once. */
#ifndef CAIRN_DISK_RECOUNT_H
#define CAIRN_DISK_RECOUNT_H

#include "disk/stream.h"

enum { RECOUNT_WINDOW_MIN = 2 * SLOT_META_MAX };

/** All records are applied. `window` is lent: `window_size` bytes, at least RECOUNT_WINDOW_MIN. Uses
 * io_call. Files with damaged headers don't count. Errors: IO, NO_RESOURCE, BUSY. */
MUST err_t stream_recount(struct stream *stream, uint8_t *window, size_t window_size);

#endif
