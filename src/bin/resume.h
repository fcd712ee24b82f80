/* The manifest that `put` writes and `--resume` reads again: which files are known to be stored.
 *
 * A line is written after the acknowledgement, so that a file without a line is stored again and
 * never skipped. A file is known if a line has its path, its size and its change time. */
#ifndef CAIRN_BIN_RESUME_H
#define CAIRN_BIN_RESUME_H

#include <stdio.h>

#include "base/map.h"
#include "bin/manifest.h"
#include "io/io.h"

struct resume {
    struct io *io;
    struct mem *mem;
    struct owner *owner;
    struct io_handle handle;
    uint64_t offset; /* where the next line goes */
    char *text;      /* the manifest as it was at the start */
    size_t text_size;
    struct map lines; /* hash of path -> offset in text, + 1 */
    uint64_t seed;
    uint64_t bad_count; /* lines that could not be read */
};

/** Open the manifest to append. `must_load`: read what is there, if anything, and cut a torn last
 * line off; else the file must be new.
 * Errors: those of open and read; EXISTS; TOO_LARGE (over 1 GiB); NO_RESOURCE. */
MUST err_t resume_open(struct resume *resume, struct io *io, struct mem *mem, struct owner *owner,
    const char *path, bool must_load);
void resume_close(struct resume *resume);

/** Has a line like this been written? */
MUST bool resume_knows(
    const struct resume *resume, const char *path, uint64_t size, uint64_t modify_ns);

/** The last line of this path that was loaded. False: none. */
MUST bool resume_find(const struct resume *resume, const char *path, struct manifest_line *ret);

/** Append a line: it is in the file, for any other process, when this returns.
 * Errors: those of write. */
MUST err_t resume_append(struct resume *resume, const struct manifest_line *line);

/** Load a manifest only to read it; then resume_next, from *at = 0. Errors: as resume_open. */
MUST err_t resume_open_to_read(
    struct resume *resume, struct io *io, struct mem *mem, struct owner *owner, const char *path);
/** The next line of what was loaded that no later line of the same path replaces. False: the end.
 * Lines that can't be read are counted. */
MUST bool resume_next(struct resume *resume, size_t *at, struct manifest_line *ret);

#endif
