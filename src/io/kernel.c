#include "io/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static err_t open_failed(int error)
{
    bool is_short = error == EMFILE || error == ENFILE || error == ENOMEM;
    return is_short ? ERR(NO_RESOURCE, error) : ERR(IO, error);
}

/* ---- descriptors ---- */

err_t kernel_fds_begin(struct kernel_fds *fds)
{
    fds->at = fds->size = 0;
    fds->directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fds->directory < 0 ? open_failed(errno) : ERR_OK;
}

void kernel_fds_end(struct kernel_fds *fds)
{
    if (fds->directory >= 0)
        (void)close(fds->directory);
    fds->directory = -1;
}

static bool fds_fill(struct kernel_fds *fds)
{
    long size = syscall(SYS_getdents64, fds->directory, fds->bytes, sizeof fds->bytes);
    fds->at = 0;
    fds->size = size > 0 ? (size_t)size : 0;
    return fds->size > 0;
}

static bool fd_of_name(const char *name, int *ret)
{
    char *end;
    long number = strtol(name, &end, 10);
    *ret = (int)number;
    return end != name && *end == '\0';
}

size_t kernel_fds_next(struct kernel_fds *fds, int *ret_fds, size_t max)
{
    size_t count = 0;
    while (fds->directory >= 0 && count < max) {
        if (fds->at == fds->size && !fds_fill(fds))
            break;
        const struct dirent64 *entry =
            (const struct dirent64 *)(const void *)(fds->bytes + fds->at);
        fds->at += entry->d_reclen;
        int fd;
        if (fd_of_name(entry->d_name, &fd) && fd != fds->directory)
            ret_fds[count++] = fd;
    }
    if (count == 0)
        kernel_fds_end(fds);
    return count;
}

bool kernel_fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

bool kernel_fd_is_forsaken(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < 1)
        return false;
    return info.tcpi_state == TCP_CLOSE_WAIT || info.tcpi_state == TCP_CLOSE;
}

const char *kernel_fd_name(int fd, char text[KERNEL_NAME_MAX])
{
    char path[32], target[512];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0)
        size = 0;
    target[size] = '\0';
    (void)snprintf(text, KERNEL_NAME_MAX, "%.*s", KERNEL_NAME_MAX - 1, target);
    return text;
}

/* ---- mappings ---- */

err_t kernel_maps_begin(struct kernel_maps *maps)
{
    maps->size = 0;
    maps->file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    return maps->file < 0 ? open_failed(errno) : ERR_OK;
}

void kernel_maps_end(struct kernel_maps *maps)
{
    if (maps->file >= 0)
        (void)close(maps->file);
    maps->file = -1;
}

/* Code is mapped executable and its data beside it: by name, libraries, the loader, locales; and what the
 * kernel names in brackets, but for the heap, is none of ours. */
static bool is_program(const char *name)
{
    return name[0] == '[' || strstr(name, ".so") != NULL || strstr(name, "/locale") != NULL
           || strstr(name, "/gconv") != NULL || strstr(name, "/cairn") == name + strlen(name) - 6;
}

/* "begin-end perm offset device inode     name" */
static bool map_parse(char *line, struct kernel_map *ret)
{
    char *at = line;
    ret->begin = strtoull(at, &at, 16);
    if (*at != '-')
        return false;
    ret->end = strtoull(at + 1, &at, 16);
    bool is_code = false;
    for (int field = 0; field < 4; field++) { /* permissions, offset, device, inode */
        at += strspn(at, " ");
        is_code |= field == 0 && at[0] != '\0' && at[1] != '\0' && at[2] == 'x';
        at += strcspn(at, " ");
    }
    at += strspn(at, " ");
    size_t length = strlen(at), skip = length < KERNEL_NAME_MAX ? 0 : length - KERNEL_NAME_MAX + 1;
    (void)snprintf(ret->name, sizeof ret->name, "%s", at + skip);
    ret->is_anonymous = length == 0;
    ret->is_program = is_code || (length > 6 && is_program(at)) || (length > 0 && at[0] == '[');
    return ret->end > ret->begin;
}

static void maps_fill(struct kernel_maps *maps)
{
    ssize_t size = read(maps->file, maps->bytes + maps->size, sizeof maps->bytes - 1 - maps->size);
    if (size > 0)
        maps->size += (size_t)size;
    maps->bytes[maps->size] = '\0';
}

size_t kernel_maps_next(struct kernel_maps *maps, struct kernel_map *ret_maps, size_t max)
{
    size_t count = 0, at = 0;
    if (maps->file < 0)
        return 0;
    maps_fill(maps);
    for (char *end; count < max && (end = memchr(maps->bytes + at, '\n', maps->size - at));) {
        *end = '\0';
        count += map_parse(maps->bytes + at, &ret_maps[count]);
        at = (size_t)(end - maps->bytes) + 1;
    }
    if (at == 0 && maps->size > 0 && maps->size == sizeof maps->bytes - 1)
        maps->size = 0; /* a line longer than a path can be */
    memmove(maps->bytes, maps->bytes + at, maps->size - at);
    maps->size -= at;
    if (count == 0)
        kernel_maps_end(maps);
    return count;
}
