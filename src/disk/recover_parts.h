/* Shared by the parts of recovery (recover.c, recover_redo.c, recover_chunks.c); for nobody else. */
#ifndef CAIRN_DISK_RECOVER_PARTS_H
#define CAIRN_DISK_RECOVER_PARTS_H

#include "disk/checkpoint.h"
#include "disk/log_scan.h"
#include "disk/maker.h"
#include "disk/recover.h"

struct recovery {
    struct stream *stream;
    struct log_scan scan;
    struct checkpoint_header header; /* generation 0: there is no checkpoint */
    struct single_redo singles;
    uint32_t
        recent[3];   /* chunks that were sealing, active and next when the log ended, newest last */
    uint8_t *images; /* both copies of a slot map */
    size_t image_size;
    bool has_losses;     /* tables say something else than checkpoint and log */
    bool has_lost_state; /* others know of records that we do not */
    bool lacks_digests;  /* records were applied that do not tell what digests change by */
};

/* Around io_call. */
int64_t recovery_call(struct recovery *recovery, struct io_op op);
/** Errors: IO, NO_SPACE, NO_RESOURCE. */
MUST err_t recovery_write(
    struct recovery *recovery, int fd, const uint8_t *data, size_t size, uint64_t offset);
/** Until `size` bytes or the end of the file: *ret_size. Errors: IO, NO_RESOURCE. */
MUST err_t recovery_read(struct recovery *recovery, int fd, uint8_t *into, size_t size,
    uint64_t offset, size_t *ret_size);
/** Errors: IO, NO_RESOURCE. */
MUST err_t recovery_sync(struct recovery *recovery, int fd);

/** Files of this source may be missing here that were here, or told of here: it does not cover their ids
 * any more. Of the stream itself: nor does anybody who follows it. */
void recovery_lose(struct recovery *recovery, struct source *source);

/** A slot in a chunk that this stream allocates in. */
bool recovery_is_own(const struct stream *stream, const struct place *place);

/** A record of the log behind the checkpoint, in log order: tables, maps, bytes. For log_scan_run.
 * Errors: CORRUPT (a place out of range, a damaged chunk header), BUSY (a table is full), IO, NO_SPACE. */
MUST err_t recovery_redo_record(void *context, const struct record *record);

/** Make `number` the active chunk of the replay; the one before becomes `sealing`, the one before that
 * is stored. Errors: NOT_FOUND (no such file), CORRUPT, IO. */
MUST err_t recovery_use_chunk(struct recovery *recovery, uint32_t number);
/** Both copies of the map. Errors: IO, NO_SPACE. */
MUST err_t recovery_store_map(struct recovery *recovery, struct active_chunk *chunk);
/** After the replay: the chunks that took new slots when the log ended, and those that the checkpoint
 * names. Errors: IO, NO_SPACE, CORRUPT. */
MUST err_t recovery_settle_chunks(struct recovery *recovery);
/** Chunk files against the table: orphans go; a missing one in which nothing lives was dropped.
 * Errors: IO, NO_RESOURCE. */
MUST err_t recovery_sweep_chunks(struct recovery *recovery);

#endif
