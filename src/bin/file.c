#include "bin/file.h"

#include <errno.h>
#include <stdio.h>

#include "base/crc.h"
#include "io/process.h"

enum { FILE_NAME_BYTES = 255 }; /* of one name in a directory, on the usual file systems */

/* Until the end or until `data` is full; one byte more than fits is an error. */
static err_t read_whole(
    struct io *io, struct owner *owner, int fd, char *data, size_t capacity, size_t *ret_size)
{
    size_t size = 0;
    for (;;) {
        char beyond;
        struct iovec piece = size < capacity ? (struct iovec){data + size, capacity - size}
                                             : (struct iovec){&beyond, 1};
        struct io_op read = {.kind = IO_READ,
            .fd = fd,
            .offset = size,
            .iov = &piece,
            .iov_count = 1,
            .owner = owner};
        int64_t result = io_call(io, &read);
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        if (size == capacity)
            return ERR(TOO_LARGE, 0);
        size += (size_t)result;
    }
    *ret_size = size;
    return ERR_OK;
}

err_t file_load(struct io *io, struct owner *owner, const char *path, char *data, size_t capacity,
    size_t *ret_size)
{
    struct io_handle handle = IO_HANDLE_NONE;
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = &handle,
        .handle_life = LIFE_REQUEST,
        .owner = owner};
    int64_t result = io_call(io, &open);
    if (result < 0)
        return ERR_RESULT(result);
    err_t err = read_whole(io, owner, handle.fd, data, capacity, ret_size);
    io_handle_close(io, &handle);
    return err;
}

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
        .fd = file->handle.fd,
        .offset = file->is_stream ? IO_OFFSET_STREAM : file->base + file->offset,
        .iov = &file->piece,
        .iov_count = 1,
        .owner = &source->op->machine.owner,
        .wake = source_wake,
        .context = file};
    io_submit(file->io, &file->read);
}

/* Standard input may have nothing to give for ever. */
static void source_cancel(struct client_source *source)
{
    struct file_source *file = CONTAINER_OF(source, struct file_source, source);
    io_cancel(file->io, &file->read);
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
    struct io_op look = {.kind = IO_STAT, .fd = file->handle.fd, .ret_stat = &stat, .owner = owner};
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
    *file = (struct file_source){
        .source = {.fill = source_fill, .rewind = source_rewind, .cancel = source_cancel},
        .io = io,
        .handle = IO_HANDLE_NONE,
        .progress = progress,
        .is_stream = strcmp(path, "-") == 0,
        .size = UINT64_MAX};
    if (file->is_stream)
        return process_stream_open(io, STANDARD_INPUT, owner, &file->handle);
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
            .fd = file->handle.fd,
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

static int64_t path_call(struct file_sink *file, enum io_kind kind, int directory_fd,
    const char *path, const char *path_to)
{
    struct io_op op = {
        .kind = kind, .fd = directory_fd, .path = path, .path_to = path_to, .owner = file->owner};
    return io_call(file->io, &op);
}

static int64_t path_open(struct file_sink *file, int directory_fd, const char *path,
    uint32_t open_flags, struct io_handle *ret)
{
    struct io_op open = {.kind = IO_OPEN,
        .fd = directory_fd,
        .path = path,
        .open_flags = open_flags,
        .ret_handle = ret,
        .handle_life = LIFE_REQUEST,
        .owner = file->owner};
    return io_call(file->io, &open);
}

/* One step down, made if it is not there. One part of a path at a time: mkdir follows links in
 * the parts before the last, open refuses those that lead outside. */
static err_t enter_directory(struct file_sink *file, int directory_fd, const char *part)
{
    struct io_handle next = IO_HANDLE_NONE;
    int64_t result = path_call(file, IO_MKDIR, directory_fd, part, NULL);
    if (result < 0 && result != -EEXIST)
        return ERR_RESULT(result);
    result = path_open(file, directory_fd, part, IO_OPEN_READ | IO_OPEN_DIRECTORY, &next);
    if (result < 0)
        return ERR_RESULT(result);
    io_handle_close(file->io, &file->directory);
    io_handle_move(&file->directory, &next);
    return ERR_OK;
}

/* Go where `path` lies beneath the directory; its last part becomes file->name. */
static err_t enter_path(struct file_sink *file, int directory_fd, const char *path)
{
    const char *rest = path;
    for (const char *slash; (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
        char part[MANIFEST_PATH_MAX];
        CHECK(span_to_text(span_of(rest, (size_t)(slash - rest)), part, sizeof part));
        int from = file->directory.fd == IO_FD_NONE ? directory_fd : file->directory.fd;
        TRY(enter_directory(file, from, part));
    }
    if (file->directory.fd == IO_FD_NONE)
        TRY(enter_directory(file, directory_fd, "."));
    memcpy(file->name, rest, strlen(rest) + 1);
    return ERR_OK;
}

/* Beside the file: its name with an ending. A name too long for that gives up its own end for the
 * checksum of all of it. */
static err_t set_part_name(struct file_sink *file)
{
    static const char ending[] = ".cairn-part";
    const char *slash = strrchr(file->name, '/');
    size_t front = slash ? (size_t)(slash - file->name) + 1 : 0;
    size_t base = strlen(file->name) - front;
    char checksum[16] = "";
    if (base + sizeof ending - 1 > FILE_NAME_BYTES) {
        (void)snprintf(checksum, sizeof checksum, "~%08x",
            (unsigned)crc32_update(0, file->name + front, base));
        base = FILE_NAME_BYTES - strlen(checksum) - (sizeof ending - 1);
    }
    int size = snprintf(file->name_part, sizeof file->name_part, "%.*s%s%s", (int)(front + base),
        file->name, checksum, ending);
    return size < 0 || (size_t)size >= sizeof file->name_part ? ERR(TOO_LARGE, ENAMETOOLONG)
                                                              : ERR_OK;
}

static err_t open_part(struct file_sink *file)
{
    TRY(set_part_name(file));
    int64_t result = path_open(
        file, file->directory.fd, file->name_part, IO_OPEN_WRITE | IO_OPEN_CREATE, &file->handle);
    if (result < 0)
        return ERR_RESULT(result);
    struct io_op resize = {
        .kind = IO_RESIZE, .fd = file->handle.fd, .size = 0, .owner = file->owner};
    result = io_call(file->io, &resize);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* A device or a pipe is written to, never put something else in the place of. */
static err_t open_special(struct file_sink *file, const char *path)
{
    struct io_stat stat = {.is_regular = true};
    struct io_op look = {
        .kind = IO_STAT, .fd = IO_FD_NONE, .path = path, .ret_stat = &stat, .owner = file->owner};
    if (io_call(file->io, &look) < 0 || stat.is_regular || stat.is_directory)
        return ERR(NOT_FOUND, 0);
    file->is_stream = true;
    int64_t result = path_open(file, IO_FD_NONE, path, IO_OPEN_WRITE, &file->handle);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t sink_open(struct file_sink *file, int directory_fd, const char *path)
{
    if (strlen(path) >= sizeof file->name)
        return ERR(TOO_LARGE, ENAMETOOLONG);
    if (directory_fd != IO_FD_NONE) {
        CHECK(manifest_path_is_safe(path));
        TRY(enter_path(file, directory_fd, path));
    } else {
        err_t err = open_special(file, path);
        if (!err_is(err) || file->is_stream)
            return err;
        memcpy(file->name, path, strlen(path) + 1);
    }
    return open_part(file);
}

err_t file_sink_open(struct file_sink *file, struct io *io, struct owner *owner, int directory_fd,
    const char *path, struct progress *progress)
{
    *file = (struct file_sink){.sink = {.take = sink_take},
        .io = io,
        .owner = owner,
        .directory = IO_HANDLE_NONE,
        .handle = IO_HANDLE_NONE,
        .progress = progress,
        .is_stream = directory_fd == IO_FD_NONE && strcmp(path, "-") == 0};
    if (file->is_stream)
        return process_stream_open(io, STANDARD_OUTPUT, owner, &file->handle);
    err_t err = sink_open(file, directory_fd, path);
    if (err_is(err))
        file_sink_close(file);
    return err;
}

err_t file_sink_finish(struct file_sink *file)
{
    if (!file->is_stream) {
        int64_t result =
            path_call(file, IO_RENAME, file->directory.fd, file->name_part, file->name);
        if (result < 0)
            return ERR_RESULT(result);
    }
    file->is_finished = true;
    return ERR_OK;
}

void file_sink_close(struct file_sink *file)
{
    bool is_leftover = file->handle.fd != IO_FD_NONE && !file->is_stream && !file->is_finished;
    io_handle_close(file->io, &file->handle);
    if (is_leftover) /* that it stays is no failure */
        (void)path_call(file, IO_UNLINK, file->directory.fd, file->name_part, NULL);
    io_handle_close(file->io, &file->directory);
}
