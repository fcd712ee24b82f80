/* The mount points of a storage, as loop 0 holds them: opened, formatted where they are empty, judged
 * against each other, entered, refreshed, left in order.
 *
 * First start: all directories are empty; a storage UUID is made. Later: who is formatted tells the
 * UUID, and an empty directory is formatted only if no other mount point knows that one was there, or
 * the operator says that its disk was replaced (replace_lost).
 * What cannot be used is refused by name and stays out; the others go on. */
#ifndef CAIRN_STORAGE_MOUNTS_H
#define CAIRN_STORAGE_MOUNTS_H

#include "base/event.h"
#include "base/mem.h"
#include "disk/binlog.h"
#include "disk/mount.h"
#include "storage/config.h"

/** What every loop may know of a mount point; fixed once streams are opened. */
struct storage_mount_plan {
    bool is_usable;
    uint8_t mount_uuid[UUID_SIZE];
    uint16_t stream_count;
    uint64_t total_bytes, free_bytes, reserve_bytes;
    uint32_t chunk_count_max; /* of one stream */
};

struct storage_mount {
    struct mount mount;
    struct mount_update update;
    struct storage_mounts *mounts;
    bool is_open, is_new;
    err_t err; /* why it is out; ERR_OK: it is in */
    char why[MOUNT_REFUSAL_TEXT_MAX];
};

struct storage_mounts {
    struct io *io;
    struct mem *mem;
    struct owner *owner;
    const struct storage_config *config;
    struct event_log *log;
    struct storage_mount *all; /* by position in the configuration */
    uint32_t count;
    uint64_t incarnation; /* highest that is known */
    uint8_t storage_uuid[UUID_SIZE];
    uint64_t created_ns; /* of the oldest */
    uint32_t refreshing; /* updates under way */
    void (*refreshed)(struct storage_mounts *mounts);
};

/** Open, format and enter what can be used. `streams`: of a mount point that is formatted. Uses
 * io_call. Errors: BUSY, NO_RESOURCE; what the last mount point was refused for if none is left.
 * mounts_close() gives back, in any case. */
MUST err_t mounts_open(struct storage_mounts *mounts, struct io *io, struct mem *mem,
    struct owner *owner, const struct storage_config *config, uint32_t streams,
    struct event_log *log);

void mounts_plan(const struct storage_mounts *mounts, struct storage_mount_plan *ret);

/** One failed: it is out from now on. Told once, loudly. */
void mounts_fence(struct storage_mounts *mounts, uint32_t position, err_t err);

/** Ask all for their free space and, with `writes_status`, write their status; mounts->refreshed is
 * called when all have answered. CHECKs that none is under way. */
void mounts_refresh(struct storage_mounts *mounts, bool writes_status);

/** Mark as clean those that are in. Uses io_call. A failure is told in the log. */
void mounts_finish(struct storage_mounts *mounts);
void mounts_close(struct storage_mounts *mounts);

/** Online, or full: then small files may still find room in chunks that are there. */
MUST bool mounts_takes_uploads(const struct storage_mount *mount);
uint32_t mounts_online(const struct storage_mounts *mounts); /* those that take uploads */
uint32_t mounts_usable(const struct storage_mounts *mounts); /* online or full */
/** Sums over those that are in; free: what uploads may take. */
void mounts_space(const struct storage_mounts *mounts, uint64_t *ret_total, uint64_t *ret_free);

/** Position of the mount point with this index; count if there is none. */
uint32_t mounts_position(const struct storage_config *config, uint8_t index);

#endif
