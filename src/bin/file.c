#include "bin/file.h"

#include <errno.h>
#include <stdio.h>

enum { FD_STDIN = 0, FD_STDOUT = 1 };

static void source_wake(struct io_op *op)
{
    struct file_source *file = op->context;
    int64_t result = op->result;
    if (result > 0) {
        file->offset += (uint64_t)result;
        if (file->progress)
            file->progress->bytes_done += (uint64_t)result;
    }
    if (result == 0 && !file->is_stream && file->offset < file->size)
        file->was_cut = true;
    client_source_filled(&file->source, result);
}

static void source_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct file_source *file = CONTAINER_OF(source, struct file_source, source);
    uint64_t left = file->is_stream ? UINT64_MAX : file->size - file->offset;
    if (left == 0) {
        client_source_filled(source, 0);
        return;
    }
    file->piece = (struct iovec){buffer, left < size ? (size_t)left : size};
    file->read = (struct io_op){.kind = IO_READ,
        .fd = file->is_stream ? FD_STDIN : file->handle.fd,
        .offset = file->is_stream ? IO_OFFSET_STREAM : file->offset,
        .iov = &file->piece,
        .iov_count = 1,
        .owner = &source->op->machine.owner,
        .wake = source_wake,
        .context = file};
    io_submit(file->io, &file->read);
}

static bool source_rewind(struct client_source *source)
{
    struct file_source *file = CONTAINER_OF(source, struct file_source, source);
    if (file->is_stream)
        return false;
    if (file->progress)
        file->progress->bytes_done -= file->offset;
    file->offset = 0;
    return true;
}

static err_t source_look(struct file_source *file, struct owner *owner)
{
    struct io_stat stat;
    struct io_op look = {
        .kind = IO_STAT, .fd = file->handle.fd, .ret_stat = &stat, .owner = owner};
    int64_t result = io_call(file->io, &look);
    if (result < 0)
        return ERR_RESULT(result);
    if (!stat.is_regular)
        return ERR(USAGE, stat.is_directory ? EISDIR : 0);
    file->size = stat.size;
    file->modify_ns = stat.modify_ns;
    return ERR_OK;
}

err_t file_source_open(struct file_source *file, struct io *io, struct owner *owner,
    const char *path, struct progress *progress)
{
    *file = (struct file_source){.source = {.fill = source_fill, .rewind = source_rewind},
        .io = io,
        .handle = IO_HANDLE_NONE,
        .progress = progress,
        .is_stream = strcmp(path, "-") == 0,
        .size = UINT64_MAX};
    if (file->is_stream)
        return ERR_OK;
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = &file->handle,
        .handle_life = LIFE_REQUEST,
        .owner = owner};
    int64_t result = io_call(io, &open);
    if (result < 0)
        return ERR_RESULT(result);
    err_t err = source_look(file, owner);
    if (err_is(err))
        file_source_close(file);
    return err;
}

void file_source_close(struct file_source *file)
{
    io_handle_close(file->io, &file->handle);
}

static err_t sink_take(struct client_sink *sink, struct span data)
{
    struct file_sink *file = CONTAINER_OF(sink, struct file_sink, sink);
    for (size_t done = 0; done < data.size;) {
        struct iovec piece = {(void *)(uintptr_t)(data.data + done), data.size - done};
        struct io_op write = {.kind = IO_WRITE,
            .fd = file->is_stream ? FD_STDOUT : file->handle.fd,
            .offset = file->is_stream ? IO_OFFSET_STREAM : file->offset,
            .iov = &piece,
            .iov_count = 1,
            .owner = file->owner};
        int64_t result = io_call(file->io, &write);
        if (result < 0)
            return ERR_RESULT(result);
        done += (size_t)result;
        file->offset += (uint64_t)result;
        if (file->progress)
            file->progress->bytes_done += (uint64_t)result;
    }
    return ERR_OK;
}

static err_t path_call(
    struct file_sink *file, enum io_kind kind, const char *path, const char *path_to)
{
    struct io_op op = {.kind = kind,
        .fd = file->directory_fd,
        .path = path,
        .path_to = path_to,
        .owner = file->owner};
    int64_t result = io_call(file->io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* Make the directories of a path given beneath a directory descriptor. */
static err_t make_directories(struct file_sink *file)
{
    char path[MANIFEST_PATH_MAX];
    for (size_t i = 0; file->path[i] != '\0'; i++) {
        if (file->path[i] == '/') {
            path[i] = '\0';
            err_t err = path_call(file, IO_MKDIR, path, NULL);
            if (err_is(err) && !err_has(err, ERR_CODE_EXISTS))
                return err;
        }
        path[i] = file->path[i];
    }
    return ERR_OK;
}

static err_t sink_open_part(struct file_sink *file)
{
    struct io_op open = {.kind = IO_OPEN,
        .fd = file->directory_fd,
        .path = file->path_part,
        .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
        .ret_handle = &file->handle,
        .handle_life = LIFE_REQUEST,
        .owner = file->owner};
    int64_t result = io_call(file->io, &open);
    if (result < 0)
        return ERR_RESULT(result);
    struct io_op resize = {
        .kind = IO_RESIZE, .fd = file->handle.fd, .size = 0, .owner = file->owner};
    result = io_call(file->io, &resize);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

err_t file_sink_open(struct file_sink *file, struct io *io, struct owner *owner, int directory_fd,
    const char *path, struct progress *progress)
{
    *file = (struct file_sink){.sink = {.take = sink_take},
        .io = io,
        .owner = owner,
        .directory_fd = directory_fd,
        .handle = IO_HANDLE_NONE,
        .progress = progress,
        .is_stream = directory_fd == IO_FD_NONE && strcmp(path, "-") == 0};
    if (file->is_stream)
        return ERR_OK;
    int size = snprintf(file->path_part, sizeof file->path_part, "%s.cairn-part", path);
    if (size < 0 || (size_t)size >= sizeof file->path_part)
        return ERR(TOO_LARGE, ENAMETOOLONG);
    memcpy(file->path, path, strlen(path) + 1);
    if (directory_fd != IO_FD_NONE) {
        CHECK(manifest_path_is_safe(path));
        TRY(make_directories(file));
    }
    err_t err = sink_open_part(file);
    if (err_is(err))
        file_sink_close(file);
    return err;
}

err_t file_sink_finish(struct file_sink *file)
{
    if (!file->is_stream)
        TRY(path_call(file, IO_RENAME, file->path_part, file->path));
    file->is_finished = true;
    return ERR_OK;
}

void file_sink_close(struct file_sink *file)
{
    bool was_open = file->handle.fd != IO_FD_NONE;
    io_handle_close(file->io, &file->handle);
    if (was_open && !file->is_finished)
        (void)path_call(file, IO_UNLINK, file->path_part, NULL); /* a leftover, no failure */
}
