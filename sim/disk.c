/* What the kernel does for an operation on files, at the moment when it does it. */
#include <string.h>

#include "sim/parts.h"

bool sim_kind_is_disk(enum io_kind kind)
{
    return kind >= IO_OPEN && kind <= IO_LIST;
}

static struct sim_disk *disk_of(const struct sim_task *task)
{
    return task->description->mount->disk;
}

static struct sim_content *content_of(const struct sim_task *task)
{
    return &task->description->inode->content;
}

static struct sim_disk *disk_concerned(const struct sim_task *task)
{
    const char *rest;
    if (task->description && task->description->mount)
        return disk_of(task);
    if (task->description || !task->op->path)
        return NULL;
    struct sim_mount *mount = sim_mount_find(task->node, task->op->path, &rest);
    return mount ? mount->disk : NULL;
}

static uint64_t bytes_asked(const struct io_op *op)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

static uint64_t mean_ns(const struct sim_task *task, const struct sim_disk_options *options)
{
    const struct io_op *op = task->op;
    bool is_direct = task->description && task->description->is_direct;
    uint64_t transfer_ns = bytes_asked(op) / 2; /* 2 GB/s */
    switch (op->kind) {
    case IO_READ:
        return options->read_ns + transfer_ns;
    case IO_WRITE:
        if (op->write_flags & IO_WRITE_DSYNC)
            return options->sync_ns + transfer_ns;
        return (is_direct ? options->read_ns : options->write_ns) + transfer_ns;
    case IO_SYNC:
        return options->sync_ns;
    default:
        return options->meta_ns;
    }
}

uint64_t sim_disk_latency(struct sim_task *task)
{
    struct sim_disk *disk = disk_concerned(task);
    if (!disk)
        return sim_latency(&task->node->prng, 1000);
    uint64_t factor = disk->faults.latency_factor;
    return sim_latency(&disk->prng, mean_ns(task, &disk->options) * (factor ? factor : 1));
}

static int check_transfer(const struct sim_task *task, bool is_write)
{
    const struct sim_description *description = task->description;
    if (description->kind == SIM_DIRECTORY)
        return is_write ? -EBADF : -EISDIR;
    if (!(is_write ? description->may_write : description->may_read))
        return -EBADF;
    const struct io_op *op = task->op;
    if (op->offset > SIM_FILE_SIZE_MAX || bytes_asked(op) > SIM_FILE_SIZE_MAX - op->offset)
        return -EFBIG;
    if (!description->is_direct)
        return 0;
    uint64_t mask = disk_of(task)->options.direct_alignment - 1;
    uint64_t all = op->offset;
    for (unsigned i = 0; i < op->iov_count; i++)
        all |= (uint64_t)(uintptr_t)op->iov[i].iov_base | op->iov[i].iov_len;
    return all & mask ? -EINVAL : 0;
}

/* Short at will, but never nothing. */
static uint64_t cut_short(const struct sim_task *task, uint64_t size)
{
    struct sim_disk *disk = disk_of(task);
    uint64_t unit = task->description->is_direct ? disk->options.direct_alignment : 1;
    if (size <= unit || !prng_chance(&disk->prng, disk->options.short_per_million))
        return size;
    return unit * (1 + prng_below(&disk->prng, size / unit - 1));
}

static int64_t execute_read(struct sim_task *task)
{
    int refused = check_transfer(task, false);
    if (refused)
        return refused;
    struct sim_disk *disk = disk_of(task);
    const struct sim_content *content = content_of(task);
    const struct io_op *op = task->op;
    uint64_t left = op->offset < content->size ? content->size - op->offset : 0;
    uint64_t size = bytes_asked(op);
    size = cut_short(task, size < left ? size : left);
    if (size > 0 && prng_chance(&disk->prng, disk->faults.read_error_per_million))
        return -EIO;
    if (sim_content_range_is_bad(content, op->offset, size, false))
        return -EIO;
    uint64_t done = 0;
    for (unsigned i = 0; i < op->iov_count && done < size; i++) {
        uint64_t part = op->iov[i].iov_len < size - done ? op->iov[i].iov_len : size - done;
        sim_content_read(content, op->offset + done, op->iov[i].iov_base, part);
        done += part;
    }
    return (int64_t)done;
}

static void write_bytes(struct sim_task *task, uint64_t size)
{
    struct sim_disk *disk = disk_of(task);
    const struct io_op *op = task->op;
    uint64_t done = 0;
    for (unsigned i = 0; i < op->iov_count && done < size; i++) {
        uint64_t part = op->iov[i].iov_len < size - done ? op->iov[i].iov_len : size - done;
        sim_content_write(content_of(task), op->offset + done, op->iov[i].iov_base, part,
            &disk->prng, disk->options.writeback_per_million);
        done += part;
    }
}

static void report_damage(
    const struct sim_task *task, const struct sim_inode *inode, uint64_t offset, uint64_t size)
{
    struct sim_world *world = task->node->world;
    char text[2 * SIM_PATH_MAX];
    if (!world->observer.damage && !world->trace)
        return;
    const char *path = sim_mount_inode_path(task->description->mount, inode, text);
    sim_world_note(world, "%s: damaged %s @%llu+%llu", task->node->name, path,
        (unsigned long long)offset, (unsigned long long)size);
    if (world->observer.damage)
        world->observer.damage(world->observer.context, task->node, path, offset, size);
}

/* Some other place on this disk, at a sector boundary. */
static struct sim_inode *draw_victim(struct sim_disk *disk, uint64_t *ret_offset)
{
    size_t count = 0;
    LIST_EACH (at, &disk->tree.inodes)
        count += CONTAINER_OF(at, struct sim_inode, link)->content.size > 0;
    if (count == 0)
        return NULL;
    size_t left = (size_t)prng_below(&disk->prng, count);
    LIST_EACH (at, &disk->tree.inodes) {
        struct sim_inode *inode = CONTAINER_OF(at, struct sim_inode, link);
        uint64_t sectors = (inode->content.size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
        if (sectors > 0 && left-- == 0) {
            *ret_offset = prng_below(&disk->prng, sectors) * SIM_SECTOR_SIZE;
            return inode;
        }
    }
    UNREACHABLE("a file was counted and is gone");
}

static void write_elsewhere(struct sim_task *task, uint64_t size)
{
    uint64_t offset;
    struct sim_inode *victim = draw_victim(disk_of(task), &offset);
    if (!victim)
        return;
    const struct iovec *iov = &task->op->iov[0];
    uint64_t left = victim->content.size - offset;
    uint64_t part = iov->iov_len < size ? iov->iov_len : size;
    part = part < left ? part : left;
    sim_content_corrupt(&victim->content, offset, iov->iov_base, part);
    report_damage(task, victim, offset, part);
}

/* The disk says yes and does something else. True if it did. */
static bool write_is_damaged(struct sim_task *task, uint64_t size)
{
    struct sim_disk *disk = disk_of(task);
    bool is_lost = prng_chance(&disk->prng, disk->faults.lost_write_per_million);
    bool is_elsewhere = prng_chance(&disk->prng, disk->faults.misdirected_write_per_million);
    if (!is_lost && !is_elsewhere)
        return false;
    sim_content_allocate(content_of(task), task->op->offset, size);
    report_damage(task, task->description->inode, task->op->offset, size);
    if (is_elsewhere)
        write_elsewhere(task, size);
    return true;
}

static bool sync_is_ignored(const struct sim_task *task)
{
    const char *part = disk_of(task)->options.ignores_sync_of;
    if (!part || !task->description->inode)
        return false;
    char text[2 * SIM_PATH_MAX];
    return strstr(
               sim_mount_inode_path(task->description->mount, task->description->inode, text), part)
           != NULL;
}

static int64_t execute_write(struct sim_task *task)
{
    int refused = check_transfer(task, true);
    if (refused)
        return refused;
    struct sim_disk *disk = disk_of(task);
    struct sim_content *content = content_of(task);
    uint64_t offset = task->op->offset, size = cut_short(task, bytes_asked(task->op));
    if (size == 0)
        return 0;
    if (prng_chance(&disk->prng, disk->faults.write_error_per_million)
        || sim_content_range_is_bad(content, offset, size, true))
        return -EIO;
    size = sim_content_fitting(content, offset, size, sim_disk_pages_free(disk));
    if (size == 0)
        return -ENOSPC;
    uint64_t pages = content->pages_allocated;
    if (!write_is_damaged(task, size))
        write_bytes(task, size);
    disk->tree.pages_used += content->pages_allocated - pages;
    if (task->op->write_flags & IO_WRITE_DSYNC && !sync_is_ignored(task))
        sim_content_sync_range(content, offset, size);
    return (int64_t)size;
}

static int64_t execute_reshape(struct sim_task *task)
{
    const struct io_op *op = task->op;
    if (op->kind != IO_RESIZE && op->size == 0)
        return -EINVAL;
    if (task->description->kind != SIM_FILE || !task->description->may_write)
        return op->kind == IO_RESIZE ? -EINVAL : -EBADF;
    if (op->offset > SIM_FILE_SIZE_MAX || op->size > SIM_FILE_SIZE_MAX - op->offset)
        return -EFBIG;
    struct sim_disk *disk = disk_of(task);
    struct sim_content *content = content_of(task);
    uint64_t pages = content->pages_allocated, free = sim_disk_pages_free(disk);
    if (op->kind == IO_ALLOCATE) {
        if (sim_content_fitting(content, op->offset, op->size, free) < op->size)
            return -ENOSPC;
        sim_content_allocate(content, op->offset, op->size);
    } else if (op->kind == IO_PUNCH) {
        sim_content_punch(content, op->offset, op->size);
    } else {
        sim_content_resize(content, op->size);
    }
    disk->tree.pages_used += content->pages_allocated - pages;
    return 0;
}

void sim_disk_begin(struct sim_task *task)
{
    const struct sim_description *description = task->description;
    if (task->op->kind != IO_SYNC || !description || !description->inode)
        return;
    task->change_sequence = disk_of(task)->tree.sequence;
    if (description->kind == SIM_FILE) {
        task->snapshot = sim_content_sync_begin(content_of(task));
        task->has_snapshot = true;
    }
}

static void sync_fail(struct sim_task *task)
{
    struct sim_disk *disk = disk_of(task);
    if (task->has_snapshot)
        sim_content_sync_fail(content_of(task), &task->snapshot, &disk->prng);
    else
        sim_tree_sync_fail(
            &disk->tree, task->description->inode, task->change_sequence, &disk->prng);
    task->has_snapshot = false;
}

static int64_t execute_sync(struct sim_task *task)
{
    struct sim_disk *disk = disk_of(task);
    struct sim_inode *inode = task->description->inode;
    if (prng_chance(&disk->prng, disk->faults.sync_error_per_million)) {
        sync_fail(task);
        return -EIO;
    }
    if (sync_is_ignored(task)) {
        sim_disk_cancel(task);
        return 0;
    }
    if (!task->has_snapshot) {
        sim_tree_sync(&disk->tree, inode, task->change_sequence);
        return 0;
    }
    sim_content_sync_end(content_of(task), &task->snapshot);
    task->has_snapshot = false;
    if (disk->options.sync_makes_name_durable)
        sim_tree_sync_names(&disk->tree, inode, task->change_sequence);
    return 0;
}

void sim_disk_cancel(struct sim_task *task)
{
    if (task->has_snapshot)
        sim_content_sync_abandon(content_of(task));
    task->has_snapshot = false;
}

/* A sync that was refused with EIO is a sync that failed. */
void sim_disk_refuse(struct sim_task *task)
{
    const struct sim_description *description = task->description;
    if (task->op->kind != IO_SYNC || task->forced != -EIO || !description || !description->inode)
        return;
    sim_disk_begin(task);
    sync_fail(task);
}

static int64_t execute_space(struct sim_task *task)
{
    const struct sim_disk *disk = disk_of(task);
    *task->op->ret_stat = (struct io_stat){
        .size = disk->options.capacity,
        .allocated = sim_disk_pages_free(disk) * SIM_PAGE_SIZE,
    };
    return 0;
}

static int64_t execute_lock(struct sim_task *task)
{
    struct sim_inode *inode = task->description->inode;
    if (inode->lock && inode->lock != task->description)
        return -EWOULDBLOCK;
    inode->lock = task->description;
    return 0;
}

int64_t sim_disk_execute(struct sim_task *task)
{
    const struct sim_disk *disk = disk_concerned(task);
    enum io_kind kind = task->op->kind;
    if (disk && disk->faults.is_offline) {
        sim_disk_cancel(task);
        return -EIO;
    }
    bool needs_handle = kind != IO_OPEN && kind != IO_RENAME && kind != IO_UNLINK
                        && kind != IO_MKDIR && kind != IO_STAT;
    if (needs_handle && (!task->description || !task->description->inode))
        return task->description ? -EINVAL : -EBADF;
    switch (kind) {
    case IO_OPEN:
        return sim_execute_open(task);
    case IO_READ:
        return execute_read(task);
    case IO_WRITE:
        return execute_write(task);
    case IO_SYNC:
        return execute_sync(task);
    case IO_ALLOCATE:
    case IO_PUNCH:
    case IO_RESIZE:
        return execute_reshape(task);
    case IO_RENAME:
        return sim_execute_rename(task);
    case IO_UNLINK:
        return sim_execute_unlink(task);
    case IO_MKDIR:
        return sim_execute_mkdir(task);
    case IO_STAT:
        return sim_execute_stat(task);
    case IO_SPACE:
        return execute_space(task);
    case IO_LOCK:
        return execute_lock(task);
    case IO_LIST:
        return sim_execute_list(task);
    default:
        UNREACHABLE("not an operation on files");
    }
}

void sim_disk_observe(struct sim_task *task, int64_t result)
{
    const struct sim_observer *observer = &task->node->world->observer;
    if (!observer->disk_op)
        return;
    const struct sim_description *description = task->description;
    const struct io_op *op = task->op;
    char text[2 * SIM_PATH_MAX];
    const char *path = op->path;
    if (!path)
        path = description && description->inode
                   ? sim_mount_inode_path(description->mount, description->inode, text)
                   : "";
    observer->disk_op(observer->context,
        &(struct sim_disk_event){
            .node = task->node,
            .path = path,
            .kind = op->kind,
            .write_flags = op->write_flags,
            .is_direct = description && description->is_direct,
            .offset = op->offset,
            .size = op->kind == IO_READ || op->kind == IO_WRITE ? bytes_asked(op) : op->size,
            .result = result,
        });
}
