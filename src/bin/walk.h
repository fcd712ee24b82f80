/* Walking what the user named on the command line: files as they are, directories entry by entry in
 * the order of their names, so that two walks of the same tree see the same order. A pull iterator:
 * holds one level of names per directory that it is in, never the whole tree. */
#ifndef CAIRN_BIN_WALK_H
#define CAIRN_BIN_WALK_H

#include "base/mem.h"
#include "bin/manifest.h"
#include "io/io.h"

enum { WALK_DEPTH_MAX = 128 };

struct walk_level {
    char *names;        /* NUL-terminated, one after the other */
    const char **order; /* sorted */
    size_t names_size, names_capacity;
    size_t count, next;
    size_t path_size; /* bytes of walk->path that name this directory */
};

struct walk {
    struct io *io;
    struct mem *mem;
    struct owner *owner;
    char *const *roots; /* borrowed */
    size_t root_count, root_next;
    bool is_recursive;
    bool is_out_of_memory; /* within one listing */
    size_t depth;
    char path[MANIFEST_PATH_MAX];
    struct walk_level levels[WALK_DEPTH_MAX];
};

enum walk_result {
    WALK_FILE,    /* `path` and `stat` tell which */
    WALK_SKIPPED, /* `path` was left out: `why` says why; not a failure */
    WALK_FAILED,  /* `path` could not be read: `err`, `why` */
    WALK_END,
};

struct walk_entry {
    const char *path; /* valid until the next call; "-" is standard input */
    struct io_stat stat;
    const char *why;
    err_t err;
};

void walk_init(struct walk *walk, struct io *io, struct mem *mem, struct owner *owner,
    char *const *roots, size_t root_count, bool is_recursive);

/** The next thing. Blocks for the file system. */
enum walk_result walk_next(struct walk *walk, struct walk_entry *ret);

/** Give the memory back; may be called at any time. */
void walk_fini(struct walk *walk);

#endif
