#include "disk/layout.h"

#include <errno.h>
#include <stdio.h>

enum { PATH_MAX_HERE = 24, SINGLES = 256 };

struct layout {
    struct io *io;
    struct owner *owner;
    const struct io_handle *root;
};

static err_t make(struct layout *layout, const char *path)
{
    struct io_op op = {
        .kind = IO_MKDIR, .fd = layout->root->fd, .path = path, .owner = layout->owner};
    int64_t result = io_call(layout->io, &op);
    return result < 0 && result != -EEXIST ? ERR_RESULT(result) : ERR_OK;
}

static err_t sync_directory(struct layout *layout, const char *path)
{
    struct io_handle handle = IO_HANDLE_NONE;
    struct io_op op = {.kind = IO_OPEN,
        .fd = layout->root->fd,
        .path = path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &handle,
        .owner = layout->owner};
    int64_t result = io_call(layout->io, &op);
    if (result < 0)
        return ERR_RESULT(result);
    op = (struct io_op){.kind = IO_SYNC, .fd = handle.fd, .owner = layout->owner};
    result = io_call(layout->io, &op);
    io_handle_close(layout->io, &handle);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t make_singles(struct layout *layout)
{
    struct io_stat stat;
    struct io_op op = {.kind = IO_STAT,
        .fd = layout->root->fd,
        .path = "singles/ff",
        .ret_stat = &stat,
        .owner = layout->owner};
    int64_t result = io_call(layout->io, &op);
    if (result >= 0)
        return ERR_OK; /* made last, and synced with the others: see below */
    if (result != -ENOENT)
        return ERR_RESULT(result);
    for (unsigned i = 0; i < SINGLES; i++) {
        char path[PATH_MAX_HERE];
        (void)snprintf(path, sizeof path, "singles/%02x", i);
        if (i == SINGLES - 1) /* its presence says that all others are durable */
            TRY(sync_directory(layout, "singles"));
        TRY(make(layout, path));
    }
    return sync_directory(layout, "singles");
}

err_t layout_make(struct io *io, struct owner *owner, const struct io_handle *root, uint8_t stream)
{
    struct layout layout = {io, owner, root};
    static const char *const parents[] = {"log", "new"};
    for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
        char path[PATH_MAX_HERE];
        (void)snprintf(path, sizeof path, "%s/%02x", parents[i], stream);
        TRY(make(&layout, path));
        TRY(sync_directory(&layout, parents[i]));
    }
    return make_singles(&layout);
}
