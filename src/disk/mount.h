/* One mount point: the data directory on one disk, complete in itself. Formatted once, then opened and
 * entered at each start of the storage.
 *
 *   mount_format   directories and cairn.mount, once
 *   mount_open     lock, read cairn.mount, is it the right one?          (nothing written)
 *   mount_learn    between all mount points of the storage: what does each know of the others?
 *   mount_enter    is it stale? then a new epoch, durable                (from here on it is in use)
 *   mount_update_start   while running: free space; status written again; by the caller's timers
 *   mount_finish   the storage leaves in order: status with the clean mark
 *   mount_close    gives everything back, whatever happened
 *
 * The file cairn.mount is made beside its name and renamed, so a directory is formatted or it is not;
 * rewrites go to the older of its two copies. Every write raises the generation, and each mount point
 * remembers the generations of the others: a disk restored from a copy, and one that comes back after
 * it was replaced, are known by having less. A replacement is formatted with more.
 *
 * State, worst first: FENCED (a write or sync failed: nothing is trusted until it is rebuilt),
 * READ_ONLY (by the operator), FULL (free space is down to the reserve), ONLINE. Only ONLINE takes
 * uploads. */
#ifndef CAIRN_DISK_MOUNT_H
#define CAIRN_DISK_MOUNT_H

#include "disk/mount_image.h"
#include "io/io.h"

enum { MOUNT_REFUSAL_TEXT_MAX = 512 };

/* name, code, what it says to the operator */
#define MOUNT_REFUSALS(X)                                                                        \
    X(NO_DIRECTORY, NOT_FOUND, "the directory does not exist")                                   \
    X(NOT_FORMATTED, NOT_FOUND, "the directory was never formatted, or its disk is not mounted") \
    X(FORMATTED, EXISTS, "it is a mount point already")                                          \
    X(NOT_EMPTY, EXISTS, "the directory is not empty: it is not formatted over other data")      \
    X(LOCKED, BUSY, "another server uses it")                                                    \
    X(DAMAGED, CORRUPT, "both copies in cairn.mount are damaged")                                \
    X(LATER_FORMAT, FORMAT, "it was written by a later version of cairn")                        \
    X(OTHER_CLUSTER, FOREIGN, "it belongs to another cluster")                                   \
    X(OTHER_STORAGE, FOREIGN, "it belongs to another storage")                                   \
    X(OTHER_MACHINE, FOREIGN, "it belongs to a storage with another machine number")             \
    X(OTHER_GROUP, FOREIGN, "it belongs to another group")                                       \
    X(SWAPPED, FOREIGN, "it belongs at another place of this storage: disks were swapped")       \
    X(INCOMPLETE, FOREIGN, "a directory of it is missing: it lost data")                         \
    X(STALE, FOREIGN, "it is an old copy of itself: the other mount points know a later one")    \
    X(REPLACED, FOREIGN, "another disk has taken its place since")                               \
    X(EMPTIED, FOREIGN, "it lost everything: the other mount points know that there was one here")

enum mount_refusal {
    MOUNT_ACCEPTED,
#define X(name, code, text) MOUNT_##name,
    MOUNT_REFUSALS(X)
#undef X
        MOUNT_REFUSAL_COUNT
};

#define MOUNT_STATES(X)       \
    X(ONLINE, "online")       \
    X(FULL, "full")           \
    X(READ_ONLY, "read-only") \
    X(FENCED, "fenced")

enum mount_state {
#define X(name, text) MOUNT_STATE_##name,
    MOUNT_STATES(X)
#undef X
        MOUNT_STATE_COUNT
};

struct mount {
    struct io *io;
    struct owner owner;
    const char *path; /* borrowed; absolute */
    struct io_handle directory, file;
    struct mount_image image; /* what was written last; status: what is to be written next */
    bool copy_is_damaged;     /* one of the two copies could not be used at open */
    bool was_clean;           /* the storage left it in order before this start */
    bool is_entered;
    bool is_updating;
    bool is_read_only;
    err_t fenced;                                    /* first cause; ERR_OK: not fenced */
    uint64_t total_bytes, free_bytes, reserve_bytes; /* of the file system; free less what was
                                                        taken since it was asked */
    enum mount_refusal refusal;
    struct mount_identity expected;
    uint8_t page[MOUNT_COPY_SIZE]; /* being read or written */
};

struct mount_format_options {
    const char *path;               /* absolute; its parent exists */
    struct mount_identity identity; /* mount_uuid all zero: one is made */
    struct mount_shape shape;       /* created_ns is set by format */
    uint64_t generation_min;        /* more than others know of this index; 0: nothing is known */
    bool is_unfilled;               /* its files may have to be fetched from mirrors first */
};

struct mount_open_options {
    const char *path;               /* borrowed until mount_close */
    struct mount_identity expected; /* all-zero UUIDs and group "" are not compared */
    uint64_t reserve_bytes;
};

/** Format a mount point. Uses io_call. `mount` is for the refusal only and holds nothing afterwards.
 * Durable when it returns OK; a crash before leaves it formatted or not, and it can be repeated.
 * Errors: EXISTS (formatted already, or other files are there), BUSY (locked), NOT_FOUND (no parent),
 * NO_SPACE, DENIED, IO, NO_RESOURCE. */
MUST err_t mount_format(
    struct mount *mount, struct io *io, const struct mount_format_options *options);

/** Lock the directory, read and judge cairn.mount. Uses io_call. After an error nothing is held, and
 * mount_refusal_text() says why.
 * Errors: NOT_FOUND, BUSY, CORRUPT, FORMAT, FOREIGN (by name: mount->refusal), IO, NO_RESOURCE. */
MUST err_t mount_open(struct mount *mount, struct io *io, const struct mount_open_options *options);

/** Let `mount` know what `other`, of the same storage, knows and is. */
void mount_learn(struct mount *mount, const struct mount *other);

/** What `mount` knows of the mount point `index`; NULL: that there is none. If it is not formatted
 * although one is known, mount_refuse(it, MOUNT_EMPTIED) instead of formatting it. */
const struct mount_witness *mount_witness_of(const struct mount *mount, uint8_t index);

/** Judge by what was learned, then begin a new epoch. Durable when OK. Uses io_call.
 * Errors: FOREIGN (STALE, REPLACED), NO_SPACE, IO, NO_RESOURCE; then only mount_close() may follow. */
MUST err_t mount_enter(struct mount *mount);

/** Write the status with the clean mark; nothing may be written to the mount point after it. Uses
 * io_call. CHECKs that no update is under way. A write or sync that failed (IO) has fenced the mount
 * point. Errors: OFFLINE (fenced before), IO, NO_SPACE, NO_RESOURCE. */
MUST err_t mount_finish(struct mount *mount);

/** Give back what is held; nothing to do if nothing is. CHECKs that no update is under way. */
void mount_close(struct mount *mount);

/** Note the refusal and return the error that goes with it.
 * Errors: the code of the refusal in MOUNT_REFUSALS, always. */
MUST err_t mount_refuse(struct mount *mount, enum mount_refusal refusal);

/** A sentence for the operator: the path, why it was refused, what was found and expected. Returns
 * `text`; "" if it was not refused. */
const char *mount_refusal_text(const struct mount *mount, char text[MOUNT_REFUSAL_TEXT_MAX]);

/** Nothing more is written, nothing is trusted. The first cause stays. */
void mount_fence(struct mount *mount, err_t cause);

enum mount_state mount_state(const struct mount *mount);
const char *mount_state_name(enum mount_state state);

/** Bytes that uploads may still take: free less the reserve, 0 at least; 0 unless ONLINE. With
 * mount_state() and the index this is what balancing over mount points asks for. */
uint64_t mount_free_for_upload(const struct mount *mount);

/** Blocks were taken from the file system: counts until the next update asks again. */
void mount_space_taken(struct mount *mount, uint64_t size);

/* Refresh while running. One at a time; `update` stays put until `ended`, which is called once. */
struct mount_update {
    struct machine machine;
    struct mount *mount;
    struct io_op op;
    struct iovec iov;
    struct io_stat space;
    size_t written;
    bool writes_status;
    void (*ended)(struct mount_update *update, err_t err);
};

/** Ask for the free space and, with `writes_status`, write mount->image.status (as it is at that
 * moment) durably. A write that fails (IO) fences the mount point. False: one is under way; nothing begins.
 * Errors at `ended`: OFFLINE (fenced), IO, NO_SPACE, NO_RESOURCE. */
MUST bool mount_update_start(struct mount_update *update, struct mount *mount, bool writes_status,
    void (*ended)(struct mount_update *update, err_t err));

#endif
