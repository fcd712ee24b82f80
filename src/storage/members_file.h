/* cairn.members on every mount point: read at start, written while the storage runs.
 *
 *   members_file_load (start) ... members_file_start -> done(): durable where it could be written
 *
 * Who is written to: mount points that are in. A mount point that fails keeps its older copy; at the
 * next start the newest of all counts. */
#ifndef CAIRN_STORAGE_MEMBERS_FILE_H
#define CAIRN_STORAGE_MEMBERS_FILE_H

#include "disk/members_image.h"
#include "storage/mounts.h"

struct members_file {
    struct machine machine;
    struct storage_mounts *mounts;
    const char *name; /* of the file */
    struct io_op op;
    struct iovec iov;
    struct io_handle handle;
    uint32_t position; /* of the mount point in work */
    uint32_t failed;   /* mount points */
    err_t err;         /* of the first that failed */
    size_t written;
    uint64_t generation;
    uint8_t page[MEMBERS_COPY_SIZE];
    void (*done)(struct members_file *file);
};

/** The newest good copy. *ret_found is false if there is none; *ret_complete: every mount point has it.
 * Uses io_call. Errors: FORMAT (written by a later version), NO_RESOURCE. Damage is no error: there
 * are other copies, and members are told again. */
MUST err_t members_file_load(
    struct storage_mounts *mounts, struct members_image *ret, bool *ret_found, bool *ret_complete);

/** Write `image`. One at a time; `file` stays put until done(), which is called once. */
void members_file_start(struct members_file *file, struct storage_mounts *mounts,
    const struct members_image *image, void (*done)(struct members_file *file));

/** The same for another file of two such copies: `page` as generation `generation` of `name`. */
void members_file_start_page(struct members_file *file, struct storage_mounts *mounts,
    const char *name, uint64_t generation, const uint8_t page[MEMBERS_COPY_SIZE],
    void (*done)(struct members_file *file));

/** Open such a file of a mount point to read; *ret_handle stays IO_HANDLE_NONE if there is none. Uses
 * io_call. Errors: those of open. */
MUST err_t members_file_open(
    struct storage_mount *it, const char *name, struct io_handle *ret_handle);
/** Read one copy. Errors: CORRUPT (too short), those of read. */
MUST err_t members_file_read(struct storage_mount *it, const struct io_handle *handle,
    unsigned copy, uint8_t ret[MEMBERS_COPY_SIZE]);

#endif
