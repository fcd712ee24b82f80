/* What becomes of the operations that are in flight when a process or a machine dies. */
#include <string.h>

#include "sim/parts.h"

enum fate { FATE_OLD, FATE_NEW, FATE_TORN, FATE_NOISE };

/* New bytes [0, size) of a write, as far as they reached the file at `offset`. */
struct remains {
    struct sim_task *task;
    uint8_t *data;
    uint64_t size;
};

static struct remains gather(struct sim_task *task)
{
    const struct io_op *op = task->op;
    struct remains remains = {.task = task};
    for (unsigned i = 0; i < op->iov_count; i++)
        remains.size += op->iov[i].iov_len;
    remains.data = sim_alloc((size_t)remains.size + 1);
    uint64_t done = 0;
    for (unsigned i = 0; i < op->iov_count; i++) {
        if (op->iov[i].iov_len > 0)
            memcpy(remains.data + done, op->iov[i].iov_base, op->iov[i].iov_len);
        done += op->iov[i].iov_len;
    }
    struct sim_content *content = &task->description->inode->content;
    struct sim_disk *disk = task->description->mount->disk;
    remains.size =
        sim_content_fitting(content, op->offset, remains.size, sim_disk_pages_free(disk));
    return remains;
}

static void put(const struct remains *remains, uint64_t from, uint64_t to)
{
    struct sim_task *task = remains->task;
    struct sim_disk *disk = task->description->mount->disk;
    struct sim_content *content = &task->description->inode->content;
    uint64_t pages = content->pages_allocated;
    if (to > from)
        sim_content_write(
            content, task->op->offset + from, remains->data + from, to - from, &disk->prng, 0);
    disk->tree.pages_used += content->pages_allocated - pages;
}

static enum fate fate_draw(struct sim_disk *disk)
{
    enum fate fate = (enum fate)prng_below(&disk->prng, 4);
    return fate == FATE_NOISE && !disk->options.garbles ? FATE_TORN : fate;
}

/* Each sector has its own fate; only bytes of the write itself change. */
static void put_by_sector(const struct remains *remains)
{
    struct sim_disk *disk = remains->task->description->mount->disk;
    uint64_t offset = remains->task->op->offset;
    for (uint64_t at = 0, end; at < remains->size; at = end) {
        end = at + SIM_SECTOR_SIZE - (offset + at) % SIM_SECTOR_SIZE;
        end = end < remains->size ? end : remains->size;
        enum fate fate = fate_draw(disk);
        if (fate == FATE_NOISE)
            for (uint64_t i = at; i < end; i++)
                remains->data[i] = (uint8_t)prng_next(&disk->prng);
        uint64_t to = fate == FATE_TORN ? at + prng_below(&disk->prng, end - at + 1) : end;
        if (fate != FATE_OLD)
            put(remains, at, to);
    }
}

static bool is_writable(const struct sim_task *task)
{
    const struct sim_description *description = task->description;
    return description && description->kind == SIM_FILE && description->may_write
           && task->op->offset <= SIM_FILE_SIZE_MAX && !description->mount->disk->faults.is_offline;
}

static void interrupt_write(struct sim_task *task, enum sim_crash how)
{
    if (!is_writable(task))
        return;
    struct remains remains = gather(task);
    struct sim_disk *disk = task->description->mount->disk;
    uint64_t choice = prng_below(&disk->prng, 4);
    if (choice == 0)
        put(&remains, 0, remains.size);
    else if (choice == 1)
        put(&remains, 0, prng_below(&disk->prng, remains.size + 1));
    else if (choice == 2 && how == SIM_CRASH_POWER)
        put_by_sector(&remains);
    bool bypasses = task->description->is_direct || task->op->write_flags & IO_WRITE_DSYNC;
    if (bypasses && prng_chance(&disk->prng, 500000))
        sim_content_sync_range(&task->description->inode->content, task->op->offset, remains.size);
    sim_free(remains.data);
}

static void interrupt_sync(struct sim_task *task, enum sim_crash how)
{
    if (how == SIM_CRASH_POWER)
        return; /* what it covers may tear: the content knows that a sync is in flight */
    if (prng_chance(&task->node->prng, 500000))
        (void)sim_disk_execute(task);
    else
        sim_disk_cancel(task);
}

void sim_disk_interrupt(struct sim_task *task, enum sim_crash how)
{
    switch (task->op->kind) {
    case IO_WRITE:
        interrupt_write(task, how);
        return;
    case IO_SYNC:
        interrupt_sync(task, how);
        return;
    case IO_OPEN: /* creates; the descriptor dies with the process */
    case IO_ALLOCATE:
    case IO_PUNCH:
    case IO_RESIZE:
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        if (prng_chance(&task->node->prng, 500000))
            (void)sim_disk_execute(task);
        return;
    default:
        return;
    }
}
