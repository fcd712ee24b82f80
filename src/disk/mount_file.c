#include "disk/mount_file.h"

#include <errno.h>

const char *const mount_directories[MOUNT_DIRECTORY_COUNT] = {
    "chunks", "singles", "new", "log", "ckpt"};

void mount_begin(struct mount *mount, struct io *io, const char *path)
{
    CHECK(path[0] == '/');
    *mount = (struct mount){
        .io = io,
        .path = path,
        .directory = IO_HANDLE_NONE,
        .file = IO_HANDLE_NONE,
        .fenced = ERR_OK,
    };
    owner_open(&mount->owner, "mount", DIRECTION_OWN, io_now(io));
}

int64_t mount_call(struct mount *mount, struct io_op op)
{
    op.owner = &mount->owner;
    op.handle_life = LIFE_PROCESS;
    return io_call(mount->io, &op);
}

err_t mount_hold(struct mount *mount)
{
    int64_t result = mount_call(mount, (struct io_op){
                                           .kind = IO_OPEN,
                                           .fd = IO_FD_NONE,
                                           .path = mount->path,
                                           .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                           .ret_handle = &mount->directory,
                                       });
    if (result == -ENOENT)
        return mount_refuse(mount, MOUNT_NO_DIRECTORY);
    if (result < 0)
        return ERR_RESULT(result);
    result = mount_call(mount, (struct io_op){.kind = IO_LOCK, .fd = mount->directory.fd});
    if (result == -EWOULDBLOCK)
        return mount_refuse(mount, MOUNT_LOCKED);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* The whole of a copy, in as many pieces as it takes. */
static err_t copy_transfer(struct mount *mount, enum io_kind kind, unsigned copy)
{
    for (size_t done = 0; done < MOUNT_COPY_SIZE;) {
        struct iovec iov = {mount->page + done, MOUNT_COPY_SIZE - done};
        int64_t result = mount_call(mount, (struct io_op){
                                               .kind = kind,
                                               .fd = mount->file.fd,
                                               .iov = &iov,
                                               .iov_count = 1,
                                               .offset = copy * (uint64_t)MOUNT_COPY_SIZE + done,
                                           });
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            return kind == IO_READ ? ERR(CORRUPT, 0) : ERR(IO, 0);
        done += (size_t)result;
    }
    return ERR_OK;
}

err_t mount_read_copy(struct mount *mount, unsigned copy)
{
    return copy_transfer(mount, IO_READ, copy);
}

err_t mount_write_copy(struct mount *mount, unsigned copy)
{
    return copy_transfer(mount, IO_WRITE, copy);
}

err_t mount_sync(struct mount *mount, const struct io_handle *handle)
{
    int64_t result = mount_call(mount, (struct io_op){.kind = IO_SYNC, .fd = handle->fd});
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* A newest copy that rotted may have been seen by others: its number is not given again. */
uint64_t mount_next_generation(const struct mount *mount)
{
    uint64_t seen = mount->image.witness[mount->image.identity.index].generation;
    uint64_t next = mount->image.generation + 1;
    return next > seen ? next : next + (seen - next) / MOUNT_COPIES * MOUNT_COPIES + MOUNT_COPIES;
}

void mount_encode_next(struct mount *mount)
{
    uint64_t generation = mount->image.generation;
    mount->image.generation = mount_next_generation(mount);
    mount_image_encode(&mount->image, mount->page);
    mount->image.generation = generation;
}

void mount_write_failed(struct mount *mount, err_t err)
{
    if (!err_has(err, ERR_CODE_NO_RESOURCE) && !err_has(err, ERR_CODE_NO_SPACE))
        mount_fence(mount, err);
}
