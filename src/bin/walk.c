#include "bin/walk.h"

#include <stdlib.h>

enum { NAMES_CAPACITY_FIRST = 4096 };

void walk_init(struct walk *walk, struct io *io, struct mem *mem, struct owner *owner,
    char *const *roots, size_t root_count, bool is_recursive)
{
    *walk = (struct walk){.io = io,
        .mem = mem,
        .owner = owner,
        .roots = roots,
        .root_count = root_count,
        .is_recursive = is_recursive};
}

static void level_fini(struct walk *walk, struct walk_level *level)
{
    mem_give(walk->mem, level->names);
    mem_give(walk->mem, level->order);
    *level = (struct walk_level){0};
}

void walk_fini(struct walk *walk)
{
    while (walk->depth > 0)
        level_fini(walk, &walk->levels[--walk->depth]);
}

static bool level_grow(struct walk *walk, struct walk_level *level, size_t size)
{
    size_t capacity = level->names_capacity > 0 ? level->names_capacity : NAMES_CAPACITY_FIRST;
    while (capacity < size)
        capacity *= 2;
    if (capacity == level->names_capacity)
        return true;
    void *names;
    if (err_is(mem_take(walk->mem, walk->owner, capacity, 0, &names)))
        return false;
    if (level->names_size > 0)
        memcpy(names, level->names, level->names_size);
    mem_give(walk->mem, level->names);
    level->names = names;
    level->names_capacity = capacity;
    return true;
}

static void note_name(void *context, const char *name, bool is_directory)
{
    (void)is_directory; /* asked again when it is its turn */
    struct walk *walk = context;
    struct walk_level *level = &walk->levels[walk->depth];
    size_t size = strlen(name) + 1;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    if (!level_grow(walk, level, level->names_size + size)) {
        walk->is_out_of_memory = true;
        return;
    }
    memcpy(level->names + level->names_size, name, size);
    level->names_size += size;
    level->count++;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static err_t level_sort(struct walk *walk, struct walk_level *level)
{
    void *order;
    TRY(mem_take(walk->mem, walk->owner, (level->count + 1) * sizeof *level->order, 0, &order));
    level->order = order;
    const char *at = level->names;
    for (size_t i = 0; i < level->count; i++, at += strlen(at) + 1)
        level->order[i] = at;
    qsort(level->order, level->count, sizeof *level->order, compare_names);
    return ERR_OK;
}

static err_t list_directory(struct walk *walk)
{
    struct io_handle directory = IO_HANDLE_NONE;
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = walk->path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &directory,
        .owner = walk->owner};
    int64_t result = io_call(walk->io, &open);
    if (result < 0)
        return ERR_RESULT(result);
    walk->is_out_of_memory = false;
    struct io_op list = {.kind = IO_LIST,
        .fd = directory.fd,
        .each_entry = note_name,
        .context = walk,
        .owner = walk->owner};
    result = io_call(walk->io, &list);
    io_handle_close(walk->io, &directory);
    if (result < 0)
        return ERR_RESULT(result);
    if (walk->is_out_of_memory)
        return ERR(NO_RESOURCE, 0);
    return level_sort(walk, &walk->levels[walk->depth]);
}

/* walk->path names a directory: go into it. */
static err_t enter_directory(struct walk *walk)
{
    if (walk->depth == WALK_DEPTH_MAX)
        return ERR(TOO_LARGE, 0);
    struct walk_level *level = &walk->levels[walk->depth];
    *level = (struct walk_level){.path_size = strlen(walk->path)};
    err_t err = list_directory(walk);
    if (err_is(err))
        level_fini(walk, level);
    else
        walk->depth++;
    return err;
}

static bool path_set(struct walk *walk, size_t prefix, const char *name)
{
    bool needs_slash = prefix > 0 && walk->path[prefix - 1] != '/';
    size_t size = strlen(name) + 1;
    if (prefix + needs_slash + size > sizeof walk->path)
        return false;
    if (needs_slash)
        walk->path[prefix] = '/';
    memcpy(walk->path + prefix + needs_slash, name, size);
    return true;
}

/* Move to the next name. Returns it, NULL at the end; its directory is path[0..*ret_prefix). */
static const char *next_name(struct walk *walk, size_t *ret_prefix)
{
    while (walk->depth > 0) {
        struct walk_level *level = &walk->levels[walk->depth - 1];
        if (level->next < level->count) {
            *ret_prefix = level->path_size;
            return level->order[level->next++];
        }
        level_fini(walk, level);
        walk->depth--;
    }
    *ret_prefix = 0;
    return walk->root_next < walk->root_count ? walk->roots[walk->root_next++] : NULL;
}

static enum walk_result failed(struct walk_entry *entry, err_t err, const char *why)
{
    entry->err = err;
    entry->why = why ? why : err_sentence(err.code);
    return WALK_FAILED;
}

static err_t stat_path(struct walk *walk, uint32_t flags, struct io_stat *ret)
{
    struct io_op stat = {.kind = IO_STAT,
        .fd = IO_FD_NONE,
        .path = walk->path,
        .open_flags = flags,
        .ret_stat = ret,
        .owner = walk->owner};
    int64_t result = io_call(walk->io, &stat);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* What lies at walk->path? Directories are entered: then the answer is WALK_END, go on. Links are
 * followed to files, and to directories only where the user named them: no cycles. */
static enum walk_result look_at(struct walk *walk, struct walk_entry *ret)
{
    bool is_root = walk->depth == 0, is_link = false;
    err_t err = stat_path(walk, IO_STAT_NO_FOLLOW, &ret->stat);
    if (!err_is(err) && !ret->stat.is_directory && !ret->stat.is_regular) {
        is_link = true;
        err = stat_path(walk, 0, &ret->stat);
    }
    if (err_is(err))
        return failed(ret, err, NULL);
    if (ret->stat.is_regular)
        return WALK_FILE;
    if (!ret->stat.is_directory || (is_link && !is_root)) {
        ret->why = ret->stat.is_directory ? "a link to a directory" : "not a regular file";
        return WALK_SKIPPED;
    }
    if (!walk->is_recursive)
        return failed(ret, ERR(USAGE, 0), "is a directory (use -r)");
    err = enter_directory(walk);
    return err_is(err) ? failed(ret, err, NULL) : WALK_END;
}

enum walk_result walk_next(struct walk *walk, struct walk_entry *ret)
{
    size_t prefix;
    for (const char *name; (name = next_name(walk, &prefix)) != NULL;) {
        *ret = (struct walk_entry){.path = walk->path};
        if (!path_set(walk, prefix, name)) {
            ret->path = name;
            return failed(ret, ERR(TOO_LARGE, 0), "the path is too long");
        }
        if (walk->depth == 0 && strcmp(name, "-") == 0)
            return WALK_FILE;
        enum walk_result result = look_at(walk, ret);
        if (result != WALK_END)
            return result;
    }
    return WALK_END;
}
