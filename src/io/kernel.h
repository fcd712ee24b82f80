/* What the kernel says this process holds: descriptors and mappings, a few at a time, so that a loop
 * can go on between two pieces. For the comparison with the ledger. Linux: /proc/self. */
#ifndef CAIRN_IO_KERNEL_H
#define CAIRN_IO_KERNEL_H

#include "base/err.h"

enum { KERNEL_NAME_MAX = 96, KERNEL_PIECE = 4096 };

/** Walks /proc/self/fd; its own descriptor is left out. */
struct kernel_fds {
    int directory; /* -1: over */
    size_t at, size;
    _Alignas(8) char bytes[KERNEL_PIECE];
};

/** Errors: NO_RESOURCE (no descriptor), IO (no /proc). */
MUST err_t kernel_fds_begin(struct kernel_fds *fds);
/** Up to `max` numbers; 0: over, and nothing is held any more. */
size_t kernel_fds_next(struct kernel_fds *fds, int *ret_fds, size_t max);
void kernel_fds_end(struct kernel_fds *fds);

/** Is there such a descriptor? */
bool kernel_fd_is_open(int fd);
/** A TCP connection whose peer has closed its side, or that is dead, and that is still open here. */
bool kernel_fd_is_forsaken(int fd);
/** What is behind it: a path, "socket:[123]", cut at the end. Returns `text`. */
const char *kernel_fd_name(int fd, char text[KERNEL_NAME_MAX]);

struct kernel_map {
    uint64_t begin, end; /* addresses */
    bool is_program;     /* of the program and its libraries, the stack, what the kernel gives */
    bool is_anonymous;
    char name[KERNEL_NAME_MAX]; /* path or [heap]; "" if anonymous; its end, if it is long */
};

/** Walks /proc/self/maps. */
struct kernel_maps {
    int file; /* -1: over */
    size_t size;
    char bytes[KERNEL_PIECE];
};

/** Errors: NO_RESOURCE, IO. */
MUST err_t kernel_maps_begin(struct kernel_maps *maps);
/** Up to `max`, by address; 0: over, and nothing is held any more. */
size_t kernel_maps_next(struct kernel_maps *maps, struct kernel_map *ret_maps, size_t max);
void kernel_maps_end(struct kernel_maps *maps);

#endif
