/* Operations that speak of names: opening, making, moving, removing, listing. */
#include <string.h>

#include "sim/parts.h"

static bool stays_beneath(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (size_t size; *path; path += size) {
        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (size == 2 && path[0] == '.' && path[1] == '.')
            return false;
    }
    return true;
}

/* Changes of names refuse what could leave the directory handle before they look at anything. */
static bool leaves(const struct sim_task *task)
{
    const struct io_op *op = task->op;
    if (op->kind == IO_OPEN || op->kind == IO_STAT || !task->description)
        return false;
    return !stays_beneath(op->path) || (op->path_to && !stays_beneath(op->path_to));
}

/* Where a path of the op leads: absolute, or beneath the directory op->fd. */
static int locate(const struct sim_task *task, const char *path, struct sim_mount **ret_mount,
    struct sim_place *ret)
{
    const struct sim_description *description = task->description;
    if (path[0] == '\0')
        return leaves(task) ? -EXDEV : -ENOENT;
    if (!description) {
        const char *rest;
        *ret_mount = sim_mount_find(task->node, path, &rest);
        return *ret_mount ? sim_tree_walk((*ret_mount)->disk->tree.root, rest, ret) : -ENOENT;
    }
    if (description->kind != SIM_DIRECTORY)
        return -ENOTDIR;
    *ret_mount = description->mount;
    if (path[0] == '/' || leaves(task))
        return -EXDEV;
    return sim_tree_walk(description->inode, path, ret);
}

static int64_t open_inode(struct sim_task *task, struct sim_mount *mount, struct sim_inode *inode)
{
    uint32_t flags = task->op->open_flags;
    struct sim_description *description =
        sim_description_new(task->node, inode->is_directory ? SIM_DIRECTORY : SIM_FILE);
    description->mount = mount;
    description->inode = inode;
    description->may_write = (flags & IO_OPEN_WRITE) != 0;
    description->may_read = (flags & IO_OPEN_READ) || !description->may_write;
    description->is_direct = (flags & IO_OPEN_DIRECT) != 0;
    sim_tree_open(inode);
    int fd = sim_fd_open(task->node, description);
    if (fd < 0)
        sim_description_unref(description);
    return fd;
}

int64_t sim_execute_open(struct sim_task *task)
{
    uint32_t flags = task->op->open_flags;
    struct sim_mount *mount;
    struct sim_place place;
    int refused = locate(task, task->op->path, &mount, &place);
    if (refused)
        return refused;
    if (task->node->fd_count >= task->node->fd_limit)
        return -EMFILE;
    if ((flags & IO_OPEN_DIRECT) && mount->disk->options.refuses_direct)
        return -EINVAL;
    if (!place.inode) {
        if (!(flags & IO_OPEN_CREATE))
            return -ENOENT;
        place.inode = sim_tree_create(&mount->disk->tree, &place, false);
        return open_inode(task, mount, place.inode);
    }
    if ((flags & IO_OPEN_CREATE) && (flags & IO_OPEN_EXCLUSIVE))
        return -EEXIST;
    if ((flags & IO_OPEN_DIRECTORY) && !place.inode->is_directory)
        return -ENOTDIR;
    if (place.inode->is_directory && (flags & (IO_OPEN_WRITE | IO_OPEN_CREATE)))
        return -EISDIR;
    return open_inode(task, mount, place.inode);
}

int64_t sim_execute_mkdir(struct sim_task *task)
{
    struct sim_mount *mount;
    struct sim_place place;
    int refused = locate(task, task->op->path, &mount, &place);
    if (refused)
        return refused;
    if (place.inode)
        return -EEXIST;
    (void)sim_tree_create(&mount->disk->tree, &place, true);
    return 0;
}

int64_t sim_execute_unlink(struct sim_task *task)
{
    bool wants_directory = (task->op->open_flags & IO_OPEN_DIRECTORY) != 0;
    struct sim_mount *mount;
    struct sim_place place;
    int refused = locate(task, task->op->path, &mount, &place);
    if (refused)
        return refused;
    if (!place.inode)
        return -ENOENT;
    if (!place.directory)
        return -EBUSY;
    if (place.inode->is_directory != wants_directory)
        return wants_directory ? -ENOTDIR : -EISDIR;
    if (place.inode->live > 0)
        return -ENOTEMPTY;
    sim_tree_unlink(&mount->disk->tree, &place);
    return 0;
}

static bool is_within(
    const struct sim_tree *tree, const struct sim_inode *inode, const struct sim_inode *directory)
{
    while (inode != directory && inode != tree->root && inode->entry)
        inode = inode->entry->directory;
    return inode == directory;
}

static int check_rename(
    const struct sim_tree *tree, const struct sim_place *from, const struct sim_place *to)
{
    if (!from->inode)
        return -ENOENT;
    if (!from->directory || !to->directory)
        return -EBUSY;
    if (from->inode == to->inode)
        return 0;
    if (from->inode->is_directory && is_within(tree, to->directory, from->inode))
        return -EINVAL;
    if (!to->inode)
        return 0;
    if (is_within(tree, from->directory, to->inode))
        return -ENOTEMPTY;
    if (from->inode->is_directory != to->inode->is_directory)
        return to->inode->is_directory ? -EISDIR : -ENOTDIR;
    return to->inode->live > 0 ? -ENOTEMPTY : 0;
}

int64_t sim_execute_rename(struct sim_task *task)
{
    struct sim_mount *mount, *to_mount;
    struct sim_place from, to;
    int refused = locate(task, task->op->path, &mount, &from);
    if (!refused)
        refused = locate(task, task->op->path_to, &to_mount, &to);
    if (!refused && mount != to_mount)
        refused = -EXDEV;
    if (!refused)
        refused = check_rename(&mount->disk->tree, &from, &to);
    if (refused)
        return refused;
    if (from.inode != to.inode)
        sim_tree_rename(&mount->disk->tree, &from, &to);
    return 0;
}

int64_t sim_execute_stat(struct sim_task *task)
{
    const struct sim_inode *inode = task->description ? task->description->inode : NULL;
    if (task->op->path) {
        struct sim_mount *mount;
        struct sim_place place;
        int refused = locate(task, task->op->path, &mount, &place);
        if (refused)
            return refused;
        if (!place.inode)
            return -ENOENT;
        inode = place.inode;
    }
    if (!inode)
        return -EBADF;
    *task->op->ret_stat = (struct io_stat){
        .size = inode->is_directory ? SIM_PAGE_SIZE : inode->content.size,
        .allocated = inode->content.pages_allocated * SIM_PAGE_SIZE,
        .inode = inode->number,
        .is_directory = inode->is_directory,
    };
    return 0;
}

int64_t sim_execute_list(struct sim_task *task)
{
    const struct sim_inode *inode = task->description->inode;
    if (!inode->is_directory)
        return -ENOTDIR;
    struct prng *prng = &task->description->mount->disk->prng;
    const struct sim_entry **entries = sim_alloc((inode->live + 1) * sizeof(*entries));
    size_t count = 0;
    LIST_EACH (at, &inode->entries) {
        const struct sim_entry *entry = CONTAINER_OF(at, struct sim_entry, link);
        if (entry->now)
            entries[count++] = entry;
    }
    for (size_t i = 0; i < count; i++) {
        size_t other = i + (size_t)prng_below(prng, count - i);
        const struct sim_entry *entry = entries[other];
        entries[other] = entries[i];
        task->op->each_entry(task->op->context, entry->name, entry->now->is_directory);
    }
    sim_free(entries);
    return 0;
}
