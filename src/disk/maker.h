/* Makes room for new slots ahead of need: new chunk files, or old ones reopened because much of them
 * is free; and writes the slot maps of chunks that are full.
 *
 *   pick -> seal: the map of the full chunk, both copies
 *        -> make: file created, blocks allocated, header written, all synced -> activate
 *        -> reopen: map read, headers of its live slots looked at, checkpoint -> activate
 *   activate: a record says that the chunk takes new slots from here on; when it is durable the chunk
 *   stands as stream->next
 *
 * When the disk has no room for another chunk, anything that is free anywhere is reopened; when there
 * is nothing, stream->is_full and the waiting reservations end with NO_SPACE. */
#ifndef CAIRN_DISK_MAKER_H
#define CAIRN_DISK_MAKER_H

#include "disk/checkpoint.h"
#include "disk/stream.h"

enum { MAKER_WINDOW = 64 * 1024 };

struct maker {
    struct machine machine;
    struct stream *stream;
    struct io_op op;
    struct iovec iov;
    struct io_handle handle, directory;
    struct io_stat space;
    struct log_append append;
    struct log_waiter log_waiter;
    struct checkpoint_waiter checkpoint;
    struct chunk_key key;
    uint8_t *page;   /* LOG_PAGE: header of a new chunk */
    uint8_t *images; /* both copies of a slot map */
    uint8_t *window; /* MAKER_WINDOW */
    size_t image_size, done;
    uint32_t scan_at; /* where the scan of live slots goes on, bytes */
    uint32_t window_at;
    unsigned copy;
    uint64_t map_at;
    bool is_idle, is_new, tried_drop;
    bool is_created; /* there is a new file that the table does not know */
    char path[CHUNK_NAME_MAX];
    uint64_t made, reopened, sealed; /* for status */
};

/** Take memory, open the directory of chunks. Uses io_call. Errors: BUSY, NO_RESOURCE, IO. */
MUST err_t maker_init(struct maker *maker, struct stream *stream);
/** Begin the machine. */
void maker_start(struct maker *maker);
/** There may be something to do. */
void maker_kick(struct stream *stream);
void maker_fini(struct maker *maker);

#endif
