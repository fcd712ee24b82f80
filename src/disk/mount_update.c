/* Free space and status while the storage runs.
 *
 *   ASK -> ASKED -> WRITE <-> WRITE ... -> UNWIND -> DONE
 *            `---- no status ----------------^ */
#include "disk/mount.h"
#include "disk/mount_file.h"

enum { ASK, ASKED, WRITE, WRITTEN, UNWIND, DONE, STAGE_COUNT };

static struct mount_update *update_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct mount_update, machine);
}

static void update_submit(struct mount_update *update, struct io_op op)
{
    op.wake = io_wake_machine;
    op.context = &update->machine;
    op.owner = &update->machine.owner;
    update->op = op;
    io_submit(update->mount->io, &update->op);
}

static int ask(struct machine *machine)
{
    struct mount_update *update = update_of(machine);
    if (err_is(update->mount->fenced))
        return machine_fail(machine, ERR(OFFLINE, 0));
    int wait = machine_wait_in(machine, ASKED, 1);
    update_submit(update, (struct io_op){
                              .kind = IO_SPACE,
                              .fd = update->mount->directory.fd,
                              .ret_stat = &update->space,
                          });
    return wait;
}

static int asked(struct machine *machine)
{
    struct mount_update *update = update_of(machine);
    if (update->op.result < 0)
        return machine_fail(machine, ERR_RESULT(update->op.result));
    update->mount->total_bytes = update->space.size;
    update->mount->free_bytes = update->space.allocated;
    if (!update->writes_status)
        return UNWIND;
    if (err_is(update->mount->fenced))
        return machine_fail(machine, ERR(OFFLINE, 0));
    update->mount->image.status.written_ns = io_wall(update->mount->io);
    mount_encode_next(update->mount);
    return WRITE;
}

/* Durable when complete: the file has its size since format. */
static int write_page(struct machine *machine)
{
    struct mount_update *update = update_of(machine);
    struct mount *mount = update->mount;
    uint64_t copy = mount_next_generation(mount) % MOUNT_COPIES;
    update->iov = (struct iovec){mount->page + update->written, MOUNT_COPY_SIZE - update->written};
    int wait = machine_wait_in(machine, WRITTEN, 1);
    update_submit(update, (struct io_op){
                              .kind = IO_WRITE,
                              .fd = mount->file.fd,
                              .iov = &update->iov,
                              .iov_count = 1,
                              .offset = copy * MOUNT_COPY_SIZE + update->written,
                              .write_flags = IO_WRITE_DSYNC,
                          });
    return wait;
}

static int written(struct machine *machine)
{
    struct mount_update *update = update_of(machine);
    if (update->op.result <= 0) {
        err_t err = update->op.result < 0 ? ERR_RESULT(update->op.result) : ERR(IO, 0);
        mount_write_failed(update->mount, err);
        return machine_fail(machine, err);
    }
    update->written += (size_t)update->op.result;
    if (update->written < MOUNT_COPY_SIZE)
        return WRITE;
    update->mount->image.generation = mount_next_generation(update->mount);
    return UNWIND;
}

static int unwind(struct machine *machine)
{
    update_of(machine)->mount->is_updating = false;
    return DONE;
}

static int done(struct machine *machine)
{
    struct mount_update *update = update_of(machine);
    owner_close(&machine->owner);
    update->ended(update, machine->err);
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [ASK] = {"ask", ask, BIT(ASKED), 0},
    [ASKED] = {"asked", asked, BIT(WRITE), 5000},
    [WRITE] = {"write", write_page, BIT(WRITTEN), 0},
    [WRITTEN] = {"written", written, BIT(WRITE), 5000},
    [UNWIND] = {"unwind", unwind, BIT(DONE), 0},
    [DONE] = {"done", done, 0, 0},
};
static const struct machine_kind kind = {"mount-update", stages, STAGE_COUNT, UNWIND, DONE};

bool mount_update_start(struct mount_update *update, struct mount *mount, bool writes_status,
    void (*ended)(struct mount_update *update, err_t err))
{
    CHECK(mount->is_entered || !writes_status);
    if (mount->is_updating)
        return false;
    mount->is_updating = true;
    *update = (struct mount_update){
        .mount = mount,
        .writes_status = writes_status,
        .ended = ended,
    };
    machine_start(&update->machine, &kind, &mount->io->run, DIRECTION_OWN);
    return true;
}
