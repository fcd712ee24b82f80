#include "bin/resume.h"

#include "base/units.h"

static uint64_t hash_path(const struct resume *resume, const char *path)
{
    uint64_t hash = resume->seed ^ UINT64_C(0xcbf29ce484222325);
    for (const char *at = path; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

/* The line that starts at `at`, without its LF; false at the end of whole lines. */
static bool take_line(const struct resume *resume, size_t at, struct span *ret)
{
    if (at >= resume->text_size)
        return false;
    const char *start = resume->text + at, *end = memchr(start, '\n', resume->text_size - at);
    if (!end)
        return false;
    *ret = span_of(start, (size_t)(end - start));
    return true;
}

/* Is there a later line of the same path than the one that starts at `start`? */
static bool is_replaced(const struct resume *resume, const char *path, size_t start)
{
    uint64_t place;
    struct span span;
    struct manifest_line last;
    return map_get(&resume->lines, map_key(hash_path(resume, path)), &place) && place - 1 > start
           && take_line(resume, (size_t)place - 1, &span)
           && manifest_parse(span, &last) == MANIFEST_LINE && strcmp(last.path, path) == 0;
}

bool resume_next(struct resume *resume, size_t *at, struct manifest_line *ret)
{
    struct span line;
    while (take_line(resume, *at, &line)) {
        size_t start = *at;
        *at += line.size + 1;
        enum manifest_result result = manifest_parse(line, ret);
        if (result == MANIFEST_LINE && !is_replaced(resume, ret->path, start))
            return true;
        resume->bad_count += result == MANIFEST_BAD;
    }
    return false;
}

static err_t read_all(struct resume *resume)
{
    struct io_stat stat;
    struct io_op look = {
        .kind = IO_STAT, .fd = resume->handle.fd, .ret_stat = &stat, .owner = resume->owner};
    int64_t result = io_call(resume->io, &look);
    if (result < 0)
        return ERR_RESULT(result);
    if (stat.size > GIB)
        return ERR(TOO_LARGE, 0);
    void *block;
    TRY(mem_take(resume->mem, resume->owner, (size_t)stat.size + 1, 0, &block));
    resume->text = block;
    while (resume->text_size < stat.size) {
        struct iovec piece = {
            resume->text + resume->text_size, (size_t)stat.size - resume->text_size};
        struct io_op read = {.kind = IO_READ,
            .fd = resume->handle.fd,
            .offset = resume->text_size,
            .iov = &piece,
            .iov_count = 1,
            .owner = resume->owner};
        result = io_call(resume->io, &read);
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        resume->text_size += (size_t)result;
    }
    return ERR_OK;
}

/* Two paths with the same hash: the later one is not entered, and will be stored again. */
static err_t index_lines(struct resume *resume)
{
    size_t count = 1, at = 0, start;
    struct manifest_line line;
    struct span span;
    for (size_t i = 0; i < resume->text_size; i++)
        count += resume->text[i] == '\n';
    TRY(map_init(&resume->lines, resume->mem, count, resume->seed, resume->owner));
    for (start = 0; take_line(resume, start, &span); start = at) {
        at = start + span.size + 1;
        if (manifest_parse(span, &line) == MANIFEST_LINE
            && !map_put(&resume->lines, map_key(hash_path(resume, line.path)), start + 1))
            return ERR(NO_RESOURCE, 0);
    }
    resume->offset = start;
    return ERR_OK;
}

static err_t cut_at_offset(struct resume *resume)
{
    struct io_op cut = {
        .kind = IO_RESIZE, .fd = resume->handle.fd, .size = resume->offset, .owner = resume->owner};
    int64_t result = io_call(resume->io, &cut);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t append_bytes(struct resume *resume, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        struct iovec piece = {(void *)(uintptr_t)(bytes + done), size - done};
        struct io_op write = {.kind = IO_WRITE,
            .fd = resume->handle.fd,
            .offset = resume->offset,
            .iov = &piece,
            .iov_count = 1,
            .owner = resume->owner};
        int64_t result = io_call(resume->io, &write);
        if (result < 0)
            return ERR_RESULT(result);
        done += (size_t)result;
        resume->offset += (uint64_t)result;
    }
    return ERR_OK;
}

static err_t open_file(struct resume *resume, struct io *io, struct mem *mem, struct owner *owner,
    const char *path, uint32_t flags)
{
    *resume = (struct resume){
        .io = io, .mem = mem, .owner = owner, .handle = IO_HANDLE_NONE, .seed = io_random(io)};
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = flags,
        .ret_handle = &resume->handle,
        .handle_life = LIFE_PROCESS,
        .owner = owner};
    int64_t result = io_call(io, &open);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t load(struct resume *resume, bool must_load)
{
    if (must_load) {
        TRY(read_all(resume));
        TRY(index_lines(resume));
    }
    TRY(cut_at_offset(resume));
    if (resume->offset == 0)
        TRY(append_bytes(resume, MANIFEST_HEADER, strlen(MANIFEST_HEADER)));
    return ERR_OK;
}

err_t resume_open(struct resume *resume, struct io *io, struct mem *mem, struct owner *owner,
    const char *path, bool must_load)
{
    TRY(open_file(resume, io, mem, owner, path,
        IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | (must_load ? 0 : IO_OPEN_EXCLUSIVE)));
    err_t err = load(resume, must_load);
    if (err_is(err))
        resume_close(resume);
    return err;
}

err_t resume_open_to_read(
    struct resume *resume, struct io *io, struct mem *mem, struct owner *owner, const char *path)
{
    TRY(open_file(resume, io, mem, owner, path, IO_OPEN_READ));
    err_t err = read_all(resume);
    if (!err_is(err))
        err = index_lines(resume);
    if (err_is(err))
        resume_close(resume);
    return err;
}

void resume_close(struct resume *resume)
{
    if (resume->lines.entries)
        map_fini(&resume->lines);
    mem_give(resume->mem, resume->text);
    resume->text = NULL;
    io_handle_close(resume->io, &resume->handle);
}

bool resume_find(const struct resume *resume, const char *path, struct manifest_line *ret)
{
    uint64_t place;
    struct span span;
    return resume->lines.entries
           && map_get(&resume->lines, map_key(hash_path(resume, path)), &place)
           && take_line(resume, (size_t)place - 1, &span)
           && manifest_parse(span, ret) == MANIFEST_LINE && strcmp(ret->path, path) == 0;
}

bool resume_knows(const struct resume *resume, const char *path, uint64_t size, uint64_t modify_ns)
{
    struct manifest_line line;
    return resume_find(resume, path, &line) && line.size == size && line.modify_ns == modify_ns;
}

err_t resume_append(struct resume *resume, const struct manifest_line *line)
{
    char bytes[MANIFEST_LINE_MAX];
    struct text text;
    text_init(&text, bytes, sizeof bytes);
    manifest_format(line, &text);
    CHECK(!text.is_cut);
    return append_bytes(resume, bytes, text.size);
}
