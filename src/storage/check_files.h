/* Parts of a check: chunk files and single files. For check*.c only. */
#ifndef CAIRN_STORAGE_CHECK_FILES_H
#define CAIRN_STORAGE_CHECK_FILES_H

#include "storage/check.h"

/** Note a finding. `identity` may be NULL. */
void check_note(
    struct check *check, enum check_kind kind, const char *path, uint64_t offset, const char *id);

int64_t check_call(struct check *check, struct io_op op);
/** Open beneath the mount point for reading. Errors: NOT_FOUND, IO, NO_RESOURCE. */
MUST err_t check_open(struct check *check, const char *path, uint32_t flags, struct io_handle *ret);
/** Read up to `size` bytes; short only at the end. Errors: IO, NO_RESOURCE. */
MUST err_t check_read(
    struct check *check, int fd, void *into, size_t size, uint64_t offset, size_t *ret_size);
/** Call `each` for every name in a directory. A directory that is missing has none. Errors: IO ... */
MUST err_t check_list(struct check *check, const char *path,
    void (*each)(void *context, const char *name, bool is_directory), void *context);

/** Is the file's state still in the log, to be applied by the next start? Counts it. */
bool check_is_pending(struct check *check, uint64_t clock);

/** Chunk files of `stream`, whose table is in check->table. Errors: IO, NO_RESOURCE. */
MUST err_t check_chunks(struct check *check, uint8_t stream);
/** All single files of the mount point, and what is left in new/. Errors: IO, NO_RESOURCE. */
MUST err_t check_singles(struct check *check);

#endif
