/* Applies a durable record to chunk files: a machine inside an operation. What is written is decided
 * by packed_plan(), which recovery uses as well. */
#ifndef CAIRN_STORAGE_APPLY_H
#define CAIRN_STORAGE_APPLY_H

#include "disk/packed.h"
#include "disk/stream.h"

struct packed_apply {
    struct machine machine;
    struct stream *stream;
    struct machine *parent;
    const struct record *record;
    err_t err; /* how it ended: anything but OK means that the mount point is to be fenced */
    struct packed_write writes[PACKED_WRITES_MAX];
    unsigned count, at;
    struct chunk_ref ref;
    struct io_op op;
    struct iovec iov[2];
    size_t done;
    uint8_t tombstone[SLOT_META_MAX];
};

/** Write what `record` (stored in the log's buffer until binlog_release) says; `parent` arrives. A
 * write that fails fences the stream. */
void packed_apply_start(struct packed_apply *apply, struct stream *stream,
    const struct record *record, struct machine *parent);

#endif
