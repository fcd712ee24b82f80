/* Operations done by plain system calls, before the call returns.
 *
 * For io_call (start-up, offline tools), and for what the ring has no operation for or does worse:
 * results are those of enum io_kind, -errno on failure; EINTR is handled here. */
#ifndef CAIRN_IO_PLAIN_H
#define CAIRN_IO_PLAIN_H

#include <linux/openat2.h>

#include "io/io.h"

/** Any kind but IO_NOP (which returns op->result). Blocks; deadline_ns is kept for IO_TIMER and
 * the network kinds: -ETIME. */
int64_t plain_run(struct io_op *op);

/** IO_READ of a file, IO_OPEN, IO_STAT: done now if that needs no device; else -EAGAIN, and
 * plain_run() would wait. Also -EAGAIN where the kernel or the file system cannot tell. */
int64_t plain_try(const struct io_op *op);

/* What a descriptor is: how it is best written, synced and waited for. */
enum fd_nature {
    FD_UNKNOWN,
    FD_BUFFERED, /* a regular file through the page cache */
    FD_DIRECT,   /* a regular file past it */
    FD_DIRECTORY,
    FD_STREAM, /* a pipe, socket, terminal */
};
/** FD_UNKNOWN: it is no descriptor. */
enum fd_nature plain_fd_nature(int fd);

/** How IO_OPEN opens: beneath the directory handle, symbolic links that leave it refused. */
struct open_how plain_open_how(const struct io_op *op);
/** How IO_STAT of a path opens it: for its inode only. */
struct open_how plain_stat_how(const struct io_op *op);
/** The directory descriptor that the system calls want for op->fd. */
int plain_directory(const struct io_op *op);

/** False if op->path or op->path_to (unless NULL) could leave the directory handle: absolute, empty
 * or with a ".." in it. Rename, unlink and mkdir have no way to let the kernel check that, and
 * end with -EXDEV, like an open that would leave. Without a directory handle all paths pass. */
bool plain_paths_stay_beneath(const struct io_op *op);

/** IO_STAT of a descriptor. */
int64_t plain_stat(int fd, struct io_stat *ret);

#endif
