#include "io/plain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/plain_net.h"

enum { FILE_MODE = 0640, DIRECTORY_MODE = 0750, BYTES_PER_BLOCK = 512 };

#define RETRY_EINTR(expression)                     \
    (__extension__({                                \
        int64_t retry_result;                       \
        do                                          \
            retry_result = (int64_t)(expression);   \
        while (retry_result < 0 && errno == EINTR); \
        retry_result < 0 ? -errno : retry_result;   \
    }))

int plain_directory(const struct io_op *op)
{
    return op->fd == IO_FD_NONE ? AT_FDCWD : op->fd;
}

static uint64_t open_access(uint32_t open_flags)
{
    if ((open_flags & IO_OPEN_WRITE) == 0)
        return O_RDONLY;
    return (open_flags & IO_OPEN_READ) != 0 ? O_RDWR : O_WRONLY;
}

struct open_how plain_open_how(const struct io_op *op)
{
    static const struct {
        uint32_t ours;
        uint64_t system;
    } flags[] = {{IO_OPEN_CREATE, O_CREAT}, {IO_OPEN_EXCLUSIVE, O_EXCL}, {IO_OPEN_DIRECT, O_DIRECT},
        {IO_OPEN_DIRECTORY, O_DIRECTORY}};
    struct open_how how = {.flags = O_CLOEXEC | open_access(op->open_flags)};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        how.flags |= (op->open_flags & flags[i].ours) != 0 ? flags[i].system : 0;
    how.mode = (op->open_flags & IO_OPEN_CREATE) != 0 ? FILE_MODE : 0;
    how.resolve = op->fd == IO_FD_NONE ? 0 : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    return how;
}

struct open_how plain_stat_how(const struct io_op *op)
{
    struct open_how how = {.flags = O_CLOEXEC | O_PATH};
    how.flags |= (op->open_flags & IO_STAT_NO_FOLLOW) != 0 ? O_NOFOLLOW : 0;
    how.resolve = op->fd == IO_FD_NONE ? 0 : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    return how;
}

static bool path_stays_beneath(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += part[0] == '/' ? 1 : 0;
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

bool plain_paths_stay_beneath(const struct io_op *op)
{
    if (op->fd == IO_FD_NONE)
        return true;
    return path_stays_beneath(op->path) && (op->path_to == NULL || path_stays_beneath(op->path_to));
}

static int64_t openat_how(const struct io_op *op, struct open_how how)
{
    return RETRY_EINTR(syscall(SYS_openat2, plain_directory(op), op->path, &how, sizeof how));
}

int64_t plain_stat(int fd, struct io_stat *ret)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    *ret = (struct io_stat){.size = (uint64_t)status.st_size,
        .allocated = (uint64_t)status.st_blocks * BYTES_PER_BLOCK,
        .inode = status.st_ino,
        .modify_ns =
            (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec,
        .is_directory = S_ISDIR(status.st_mode),
        .is_regular = S_ISREG(status.st_mode)};
    return 0;
}

static int64_t stat_and_close(int fd, struct io_stat *ret)
{
    int64_t result = plain_stat(fd, ret);
    (void)close(fd);
    return result;
}

static int64_t stat_run(const struct io_op *op)
{
    if (op->path == NULL)
        return plain_stat(op->fd, op->ret_stat);
    int64_t fd = openat_how(op, plain_stat_how(op));
    if (fd < 0)
        return fd;
    return stat_and_close((int)fd, op->ret_stat);
}

enum fd_nature plain_fd_nature(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return FD_UNKNOWN;
    if (S_ISDIR(status.st_mode))
        return FD_DIRECTORY;
    if (!S_ISREG(status.st_mode))
        return FD_STREAM;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) != 0 ? FD_DIRECT : FD_BUFFERED;
}

static int64_t space_run(const struct io_op *op)
{
    struct statvfs space;
    int64_t result = RETRY_EINTR(fstatvfs(op->fd, &space));
    if (result == 0)
        *op->ret_stat = (struct io_stat){.size = (uint64_t)space.f_blocks * space.f_frsize,
            .allocated = (uint64_t)space.f_bavail * space.f_frsize};
    return result;
}

/* fdatasync of a directory may leave out an entry that did not make it grow. */
static int64_t sync_run(const struct io_op *op)
{
    struct stat status;
    if (fstat(op->fd, &status) != 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? RETRY_EINTR(fsync(op->fd)) : RETRY_EINTR(fdatasync(op->fd));
}

static int64_t change_name_run(const struct io_op *op)
{
    int directory = plain_directory(op);
    bool is_directory = (op->open_flags & IO_OPEN_DIRECTORY) != 0;
    if (!plain_paths_stay_beneath(op))
        return -EXDEV;
    if (op->kind == IO_RENAME)
        return RETRY_EINTR(renameat(directory, op->path, directory, op->path_to));
    if (op->kind == IO_UNLINK)
        return RETRY_EINTR(unlinkat(directory, op->path, is_directory ? AT_REMOVEDIR : 0));
    return RETRY_EINTR(mkdirat(directory, op->path, DIRECTORY_MODE));
}

/* The kernel's record of one directory entry (getdents64(2)). */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static bool entry_is_directory(int fd, const struct entry *entry)
{
    struct stat status;
    if (entry->type != DT_UNKNOWN)
        return entry->type == DT_DIR;
    return fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

static void list_each(const struct io_op *op, int fd, const char *buffer, int64_t size)
{
    for (int64_t at = 0; at < size;) {
        const struct entry *entry = (const void *)(buffer + at);
        if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
            op->each_entry(op->context, entry->name, entry_is_directory(fd, entry));
        at += entry->size;
    }
}

/* Through a descriptor of its own: the handle's position is shared and stays as it is. */
static int64_t list_run(const struct io_op *op)
{
    _Alignas(struct entry) char buffer[16 * 1024];
    int64_t fd = RETRY_EINTR(openat(op->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return fd;
    int64_t size;
    while ((size = RETRY_EINTR(syscall(SYS_getdents64, (int)fd, buffer, sizeof buffer))) > 0)
        list_each(op, (int)fd, buffer, size);
    (void)close((int)fd);
    return size;
}

/* An offset of IO_OFFSET_STREAM is -1 for the system: the descriptor's own position. */
static int64_t read_run(const struct io_op *op)
{
    return RETRY_EINTR(preadv2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, 0));
}

/* pwrite where it is enough: 0.1 us less than pwritev2 for a cached 4 KiB. */
static int64_t write_run(const struct io_op *op)
{
    off_t offset = (off_t)op->offset;
    int flags = (op->write_flags & IO_WRITE_DSYNC) != 0 ? RWF_DSYNC : 0;
    const struct iovec *iov = op->iov;
    if (flags == 0 && op->iov_count == 1 && op->offset != IO_OFFSET_STREAM)
        return RETRY_EINTR(pwrite(op->fd, iov->iov_base, iov->iov_len, offset));
    return RETRY_EINTR(pwritev2(op->fd, iov, (int)op->iov_count, offset, flags));
}

static bool is_unsure(int64_t result)
{
    return result == -EAGAIN || result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS;
}

static uint64_t iov_size(const struct io_op *op)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

/* What is cached in part is read again as a whole: few callers like a short read. At the
 * descriptor's own position what was read is gone. */
static int64_t read_try(const struct io_op *op)
{
    int64_t size =
        RETRY_EINTR(preadv2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, RWF_NOWAIT));
    bool can_repeat = op->offset != IO_OFFSET_STREAM;
    return can_repeat && size > 0 && (uint64_t)size < iov_size(op) ? -EAGAIN : size;
}

int64_t plain_try(const struct io_op *op)
{
    struct open_how how = op->kind == IO_STAT ? plain_stat_how(op) : plain_open_how(op);
    int64_t result = -EAGAIN;
    how.resolve |= RESOLVE_CACHED;
    how.flags |= op->kind == IO_OPEN ? O_NONBLOCK : 0; /* a FIFO must not hold up the loop */
    if (op->kind == IO_READ)
        result = read_try(op);
    else if ((op->open_flags & IO_OPEN_CREATE) == 0)
        result = openat_how(op, how);
    if (op->kind == IO_STAT && result >= 0)
        result = stat_and_close((int)result, op->ret_stat);
    return is_unsure(result) ? -EAGAIN : result;
}

static int64_t range_run(const struct io_op *op)
{
    int mode = op->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
    return RETRY_EINTR(fallocate(op->fd, mode, (off_t)op->offset, (off_t)op->size));
}

int64_t plain_run(struct io_op *op)
{
    switch (op->kind) {
    case IO_NOP:
        return op->result;
    case IO_OPEN:
        return openat_how(op, plain_open_how(op));
    case IO_READ:
        return read_run(op);
    case IO_WRITE:
        return write_run(op);
    case IO_SYNC:
        return sync_run(op);
    case IO_ALLOCATE:
    case IO_PUNCH:
        return range_run(op);
    case IO_RESIZE:
        return RETRY_EINTR(ftruncate(op->fd, (off_t)op->size));
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        return change_name_run(op);
    case IO_STAT:
        return stat_run(op);
    case IO_SPACE:
        return space_run(op);
    case IO_LOCK:
        return RETRY_EINTR(flock(op->fd, LOCK_EX | LOCK_NB));
    case IO_LIST:
        return list_run(op);
    default:
        return plain_net_run(op);
    }
}
