/* Recovery of a stream at start-up: see recover.c. */
#ifndef CAIRN_DISK_RECOVER_H
#define CAIRN_DISK_RECOVER_H

#include "disk/stream.h"

/** Bring the stream's files and tables to where its log ends. `ret`: where the log goes on;
 * *ret_generation: of the checkpoint it began at (0: none). options.incarnation is raised if the
 * shutdown was not clean. Uses io_call. On failure what was taken is given back by stream_open.
 * Errors: CORRUPT (records or checkpoint are missing), FORMAT, FOREIGN, IO, NO_SPACE, NO_RESOURCE,
 * BUSY. */
MUST err_t stream_recover(
    struct stream *stream, struct binlog_position *ret, uint64_t *ret_generation);

#endif
