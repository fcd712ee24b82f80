#include <errno.h>

#include "disk/mount_file.h"

enum { PATH_SIZE_MAX = 4096 };

static err_t make_directory(struct mount *mount, int fd, const char *path, bool *ret_is_made)
{
    int64_t result = mount_call(mount, (struct io_op){.kind = IO_MKDIR, .fd = fd, .path = path});
    if (result == -ENOENT)
        return mount_refuse(mount, MOUNT_NO_DIRECTORY);
    if (result < 0 && result != -EEXIST)
        return ERR_RESULT(result);
    *ret_is_made = result >= 0;
    return ERR_OK;
}

static err_t open_directory(struct mount *mount, int fd, const char *path, struct io_handle *ret)
{
    int64_t result = mount_call(mount, (struct io_op){
                                           .kind = IO_OPEN,
                                           .fd = fd,
                                           .path = path,
                                           .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                           .ret_handle = ret,
                                       });
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* The directory's own name, durable in its parent. When it was there before, its parent need not be
 * ours to open (the root of a file system, say). */
static err_t sync_parent(struct mount *mount, bool is_made)
{
    char parent[PATH_SIZE_MAX];
    size_t size = strlen(mount->path);
    while (size > 1 && mount->path[size - 1] == '/')
        size--;
    while (size > 1 && mount->path[size - 1] != '/')
        size--;
    if (size >= sizeof parent)
        return ERR(TOO_LARGE, 0);
    memcpy(parent, mount->path, size);
    parent[size] = '\0';
    struct io_handle handle = IO_HANDLE_NONE;
    err_t err = open_directory(mount, IO_FD_NONE, parent, &handle);
    if (!err_is(err))
        err = mount_sync(mount, &handle);
    io_handle_close(mount->io, &handle);
    return is_made ? err : ERR_OK;
}

struct listing {
    bool is_root;
    bool has_mount;  /* cairn.mount */
    bool has_others; /* anything that format did not make */
};

static void see_entry(void *context, const char *name, bool is_directory)
{
    struct listing *listing = context;
    if (listing->is_root && strcmp(name, MOUNT_FILE) == 0)
        listing->has_mount = true;
    bool is_ours = listing->is_root && strcmp(name, MOUNT_FILE_NEW) == 0;
    for (size_t i = 0; i < MOUNT_DIRECTORY_COUNT; i++)
        is_ours |= listing->is_root && is_directory && strcmp(name, mount_directories[i]) == 0;
    is_ours |= listing->is_root && strcmp(name, "lost+found") == 0;
    listing->has_others |= !is_ours;
}

static err_t judge_empty(struct mount *mount, const struct io_handle *handle)
{
    struct listing listing = {.is_root = handle == &mount->directory};
    int64_t result = mount_call(mount, (struct io_op){
                                           .kind = IO_LIST,
                                           .fd = handle->fd,
                                           .each_entry = see_entry,
                                           .context = &listing,
                                       });
    if (result < 0)
        return ERR_RESULT(result);
    if (listing.has_mount)
        return mount_refuse(mount, MOUNT_FORMATTED);
    return listing.has_others ? mount_refuse(mount, MOUNT_NOT_EMPTY) : ERR_OK;
}

/* What an earlier format may have begun is taken over, if it is empty. */
static err_t make_directories(struct mount *mount)
{
    for (size_t i = 0; i < MOUNT_DIRECTORY_COUNT; i++) {
        bool is_made = false;
        TRY(make_directory(mount, mount->directory.fd, mount_directories[i], &is_made));
        struct io_handle handle = IO_HANDLE_NONE;
        if (is_made)
            continue;
        err_t err = open_directory(mount, mount->directory.fd, mount_directories[i], &handle);
        if (!err_is(err))
            err = judge_empty(mount, &handle);
        io_handle_close(mount->io, &handle);
        TRY(err);
    }
    return ERR_OK;
}

static void uuid_make(struct io *io, uint8_t ret[UUID_SIZE])
{
    uint64_t random[2] = {io_random(io), io_random(io)};
    memcpy(ret, random, UUID_SIZE);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

static void fill_image(struct mount *mount, const struct mount_format_options *options)
{
    struct mount_image *image = &mount->image;
    image->identity = options->identity;
    if (uuid_is_none(image->identity.mount_uuid))
        uuid_make(mount->io, image->identity.mount_uuid);
    image->shape = options->shape;
    image->shape.created_ns = image->status.written_ns = io_wall(mount->io);
    image->status.is_clean = true;
    image->status.is_unfilled = options->is_unfilled;
    image->generation = options->generation_min;
    CHECK(image->generation < UINT64_MAX / 2);
}

/* Two generations, so that both copies are good from the start. */
static err_t write_file(struct mount *mount)
{
    int64_t result = mount_call(mount, (struct io_op){
                                           .kind = IO_OPEN,
                                           .fd = mount->directory.fd,
                                           .path = MOUNT_FILE_NEW,
                                           .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
                                           .ret_handle = &mount->file,
                                       });
    if (result < 0)
        return ERR_RESULT(result);
    for (unsigned i = 0; i < MOUNT_COPIES; i++) {
        mount_encode_next(mount);
        mount->image.generation = mount_next_generation(mount);
        TRY(mount_write_copy(mount, (unsigned)(mount->image.generation % MOUNT_COPIES)));
    }
    TRY(mount_sync(mount, &mount->file));
    result = mount_call(mount, (struct io_op){
                                   .kind = IO_RENAME,
                                   .fd = mount->directory.fd,
                                   .path = MOUNT_FILE_NEW,
                                   .path_to = MOUNT_FILE,
                               });
    return result < 0 ? ERR_RESULT(result) : mount_sync(mount, &mount->directory);
}

static err_t format_steps(struct mount *mount, const struct mount_format_options *options)
{
    bool is_made = false;
    TRY(make_directory(mount, IO_FD_NONE, mount->path, &is_made));
    TRY(mount_hold(mount));
    TRY(judge_empty(mount, &mount->directory));
    TRY(make_directories(mount));
    TRY(sync_parent(mount, is_made));
    TRY(mount_sync(mount, &mount->directory));
    fill_image(mount, options);
    return write_file(mount);
}

err_t mount_format(struct mount *mount, struct io *io, const struct mount_format_options *options)
{
    mount_begin(mount, io, options->path);
    err_t err = format_steps(mount, options);
    mount_close(mount);
    return err;
}
