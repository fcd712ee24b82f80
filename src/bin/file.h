/* Local files as contents: what is uploaded is read from them piece by piece, what is found is
 * written beside its final name and renamed when it is whole. */
#ifndef CAIRN_BIN_FILE_H
#define CAIRN_BIN_FILE_H

#include "bin/manifest.h"
#include "bin/progress.h"
#include "client/client.h"

/** Read a small file whole. Errors: those of open and read; TOO_LARGE (more than `capacity`). */
MUST err_t file_load(struct io *io, struct owner *owner, const char *path, char *data,
    size_t capacity, size_t *ret_size);

/** A file, or standard input ("-"), as a source. Life: open -> one operation -> close. */
struct file_source {
    struct client_source source;
    struct io *io;
    struct io_handle handle;
    struct io_op read;
    struct iovec piece;
    struct progress *progress; /* may be NULL */
    uint64_t
        base; /* where the content begins in the file: 0, unless the caller sets it and `size` */
    uint64_t offset;
    uint64_t size; /* as it was when opened; UINT64_MAX for a stream */
    uint64_t modify_ns;
    bool is_stream; /* standard input */
    bool was_cut;   /* it ended before `size`: somebody truncated it meanwhile */
};

/** Errors: those of open and stat; USAGE (no regular file). Relative paths start at the working
 * directory. The caller closes it, also when a later step fails. */
MUST err_t file_source_open(struct file_source *file, struct io *io, struct owner *owner,
    const char *path, struct progress *progress);
void file_source_close(struct file_source *file);

/** A file, or standard output ("-"), as a sink. Nothing stands under the final name before
 * file_sink_finish. Life: open -> one operation -> finish -> close. */
struct file_sink {
    struct client_sink sink;
    struct io *io;
    struct owner *owner;
    struct io_handle directory; /* where `name` is, or none: the working directory */
    struct io_handle handle;
    struct progress *progress; /* may be NULL */
    uint64_t offset;
    bool is_stream; /* standard output, a device or a pipe: written to as it is */
    bool is_finished;
    char name[MANIFEST_PATH_MAX];
    char name_part[MANIFEST_PATH_MAX]; /* where the bytes go meanwhile */
};

/** With a directory descriptor the path must be safe (manifest_path_is_safe), and its directories
 * are made and entered one by one, so that no link in them leads elsewhere (-EXDEV).
 * Errors: those of mkdir and open; TOO_LARGE (path). */
MUST err_t file_sink_open(struct file_sink *file, struct io *io, struct owner *owner,
    int directory_fd, const char *path, struct progress *progress);
/** All came: give the file its name. Errors: those of rename. */
MUST err_t file_sink_finish(struct file_sink *file);
/** Give back; what was not finished is removed. */
void file_sink_close(struct file_sink *file);

#endif
