/*   NEXT -> OPENED -> WRITE <-> WRITTEN -> SYNCED -> NAMED -> NEXT ... -> UNWIND -> DONE */
#include "storage/members_file.h"

#include <errno.h>

#include "disk/mount_file.h"

/* ---- reading ---- */

err_t members_file_read(struct storage_mount *it, const struct io_handle *handle, unsigned copy,
    uint8_t ret[MEMBERS_COPY_SIZE])
{
    for (size_t done = 0; done < MEMBERS_COPY_SIZE;) {
        struct iovec iov = {ret + done, MEMBERS_COPY_SIZE - done};
        int64_t result =
            mount_call(&it->mount, (struct io_op){.kind = IO_READ,
                                       .fd = handle->fd,
                                       .iov = &iov,
                                       .iov_count = 1,
                                       .offset = copy * (uint64_t)MEMBERS_COPY_SIZE + done});
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            return ERR(CORRUPT, 0);
        done += (size_t)result;
    }
    return ERR_OK;
}

err_t members_file_open(struct storage_mount *it, const char *name, struct io_handle *ret_handle)
{
    int64_t result = mount_call(&it->mount, (struct io_op){.kind = IO_OPEN,
                                                .fd = it->mount.directory.fd,
                                                .path = name,
                                                .open_flags = IO_OPEN_READ,
                                                .ret_handle = ret_handle});
    return result < 0 && result != -ENOENT ? ERR_RESULT(result) : ERR_OK;
}

static err_t read_copy(struct storage_mount *it, const struct io_handle *handle, unsigned copy,
    struct members_image *ret)
{
    uint8_t bytes[MEMBERS_COPY_SIZE];
    TRY(members_file_read(it, handle, copy, bytes));
    return members_image_decode(bytes, copy, ret);
}

static bool is_of(const struct storage_mount *it, const struct members_image *image)
{
    const struct mount_identity *identity = &it->mount.image.identity;
    return image->machine == identity->machine
           && uuid_equals(image->storage_uuid, identity->storage_uuid);
}

/* ret->generation 0: there is none. */
static err_t load_one(struct storage_mount *it, struct members_image *ret)
{
    struct io_handle handle = IO_HANDLE_NONE;
    *ret = (struct members_image){0};
    err_t err = members_file_open(it, MEMBERS_FILE, &handle);
    if (err_is(err) || handle.fd < 0)
        return err;
    for (unsigned copy = 0; copy < MEMBERS_COPIES && !err_is(err); copy++) {
        struct members_image image;
        err_t copy_err = read_copy(it, &handle, copy, &image);
        bool is_newer =
            !err_is(copy_err) && is_of(it, &image) && image.generation > ret->generation;
        if (is_newer)
            *ret = image;
        if (err_has(copy_err, ERR_CODE_FORMAT) || err_has(copy_err, ERR_CODE_NO_RESOURCE))
            err = copy_err;
    }
    io_handle_close(it->mount.io, &handle);
    return err;
}

err_t members_file_load(
    struct storage_mounts *mounts, struct members_image *ret, bool *ret_found, bool *ret_complete)
{
    uint64_t least = UINT64_MAX;
    *ret = (struct members_image){0};
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct members_image image;
        if (err_is(mounts->all[i].err))
            continue;
        err_t err = load_one(&mounts->all[i], &image);
        if (err_has(err, ERR_CODE_FORMAT) || err_has(err, ERR_CODE_NO_RESOURCE))
            return err;
        if (image.generation > ret->generation)
            *ret = image;
        if (image.generation < least)
            least = image.generation;
    }
    *ret_found = ret->generation > 0;
    *ret_complete = least == ret->generation;
    return ERR_OK;
}

/* ---- writing ---- */

enum { NEXT, OPENED, WRITE, WRITTEN, SYNCED, NAMED, UNWIND, DONE, STAGE_COUNT };

static struct members_file *file_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct members_file, machine);
}

static struct storage_mount *mount_of(struct members_file *file)
{
    return &file->mounts->all[file->position];
}

static int submit(struct members_file *file, int next, struct io_op op)
{
    int wait = machine_wait_in(&file->machine, next, 1);
    op.wake = io_wake_machine;
    op.context = &file->machine;
    op.owner = &file->machine.owner;
    op.handle_life = LIFE_REQUEST;
    file->op = op;
    io_submit(file->mounts->io, &file->op);
    return wait;
}

static int go_to_next(struct members_file *file)
{
    io_handle_close(file->mounts->io, &file->handle);
    file->position++;
    return NEXT;
}

static int skip_failed(struct members_file *file, int64_t result)
{
    if (file->failed++ == 0)
        file->err = result < 0 ? ERR_RESULT(result) : ERR(IO, 0);
    return go_to_next(file);
}

static int next_mount(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    while (file->position < file->mounts->count
           && (err_is(mount_of(file)->err) || err_is(mount_of(file)->mount.fenced)))
        file->position++;
    if (file->position == file->mounts->count)
        return UNWIND;
    file->written = 0;
    return submit(file, OPENED,
        (struct io_op){.kind = IO_OPEN,
            .fd = mount_of(file)->mount.directory.fd,
            .path = file->name,
            .open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE,
            .ret_handle = &file->handle});
}

static int opened(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    return file->op.result < 0 ? skip_failed(file, file->op.result) : WRITE;
}

static int write_page(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    uint64_t copy = file->generation % MEMBERS_COPIES;
    file->iov = (struct iovec){file->page + file->written, sizeof file->page - file->written};
    return submit(file, WRITTEN,
        (struct io_op){.kind = IO_WRITE,
            .fd = file->handle.fd,
            .iov = &file->iov,
            .iov_count = 1,
            .offset = copy * MEMBERS_COPY_SIZE + file->written});
}

static int written(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    if (file->op.result <= 0)
        return skip_failed(file, file->op.result);
    file->written += (size_t)file->op.result;
    if (file->written < sizeof file->page)
        return WRITE;
    return submit(file, SYNCED, (struct io_op){.kind = IO_SYNC, .fd = file->handle.fd});
}

static int synced(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    if (file->op.result < 0)
        return skip_failed(file, file->op.result);
    return submit(
        file, NAMED, (struct io_op){.kind = IO_SYNC, .fd = mount_of(file)->mount.directory.fd});
}

static int named(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    return file->op.result < 0 ? skip_failed(file, file->op.result) : go_to_next(file);
}

static int unwind(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    io_handle_close(file->mounts->io, &file->handle);
    return DONE;
}

static int done(struct machine *machine)
{
    struct members_file *file = file_of(machine);
    owner_close(&machine->owner);
    file->done(file);
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [NEXT] = {"next", next_mount, BIT(OPENED), 0},
    [OPENED] = {"opened", opened, BIT(WRITE) | BIT(NEXT), 5000},
    [WRITE] = {"write", write_page, BIT(WRITTEN), 0},
    [WRITTEN] = {"written", written, BIT(WRITE) | BIT(SYNCED) | BIT(NEXT), 5000},
    [SYNCED] = {"synced", synced, BIT(NAMED) | BIT(NEXT), 30000},
    [NAMED] = {"named", named, BIT(NEXT), 30000},
    [UNWIND] = {"unwind", unwind, BIT(DONE), 0},
    [DONE] = {"done", done, 0, 0},
};
static const struct machine_kind kind = {"members-file", stages, STAGE_COUNT, UNWIND, DONE};

void members_file_start(struct members_file *file, struct storage_mounts *mounts,
    const struct members_image *image, void (*done_call)(struct members_file *file))
{
    uint8_t page[MEMBERS_COPY_SIZE];
    members_image_encode(image, page);
    members_file_start_page(file, mounts, MEMBERS_FILE, image->generation, page, done_call);
}

void members_file_start_page(struct members_file *file, struct storage_mounts *mounts,
    const char *name, uint64_t generation, const uint8_t page[MEMBERS_COPY_SIZE],
    void (*done_call)(struct members_file *file))
{
    *file = (struct members_file){.mounts = mounts,
        .name = name,
        .handle = IO_HANDLE_NONE,
        .generation = generation,
        .done = done_call};
    memcpy(file->page, page, sizeof file->page);
    machine_start(&file->machine, &kind, &mounts->io->run, DIRECTION_OWN);
}
