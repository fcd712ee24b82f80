#include "disk/recount.h"

#include <errno.h>

enum { RECOUNT_NAMES = 128 };

struct recount {
    struct stream *stream;
    uint8_t *window;
    size_t window_size;
    uint32_t at, have; /* of the chunk file: what is in the window */
};

static int64_t recount_call(struct recount *recount, struct io_op op)
{
    op.owner = &recount->stream->owner;
    op.handle_life = LIFE_REQUEST;
    return io_call(recount->stream->options.io, &op);
}

/* Until `size` bytes or the end of the file: bytes or -errno. */
static int64_t recount_read(
    struct recount *recount, int fd, uint8_t *into, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        struct iovec iov = {into + done, size - done};
        int64_t result = recount_call(recount,
            (struct io_op){
                .kind = IO_READ, .fd = fd, .iov = &iov, .iov_count = 1, .offset = offset + done});
        if (result < 0)
            return result;
        if (result == 0)
            break;
        done += (size_t)result;
    }
    return (int64_t)done;
}

static void count_file(
    struct recount *recount, const struct place *home, const struct slot_header *content)
{
    struct digest *digest = stream_digest_of(recount->stream, home, &content->identity);
    if (digest)
        digest_add(digest,
            file_digest(&content->identity, content->version, content->size, content->content_crc),
            1);
}

/* ---- single files ---- */

/* The header of a single file. NOT_FOUND: there is none that is good. */
static err_t read_single(
    struct recount *recount, const struct identity *identity, struct slot_header *ret)
{
    char path[SINGLE_PATH_MAX];
    uint8_t head[SINGLE_META_MAX];
    struct io_handle handle = IO_HANDLE_NONE;
    single_path(path, identity);
    int64_t result = recount_call(recount, (struct io_op){.kind = IO_OPEN,
                                               .fd = recount->stream->options.root->fd,
                                               .path = path,
                                               .open_flags = IO_OPEN_READ,
                                               .ret_handle = &handle});
    if (result == -ENOENT)
        return ERR(NOT_FOUND, 0);
    if (result >= 0)
        result = recount_read(recount, handle.fd, head, sizeof head, 0);
    io_handle_close(recount->stream->options.io, &handle);
    if (result < 0)
        return ERR_RESULT(result);
    err_t err = single_meta_decode(span_of(head, (size_t)result), identity, ret);
    return err_is(err) ? ERR(NOT_FOUND, 0) : ERR_OK;
}

static err_t count_single(struct recount *recount, const struct identity *identity)
{
    struct slot_header header;
    err_t err = read_single(recount, identity, &header);
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return ERR_OK;
    TRY(err);
    if (header.other.kind == PLACE_SINGLE && !(header.flags & SLOT_DELETED))
        count_file(recount, &header.other, &header); /* else a target: its home counts */
    return ERR_OK;
}

/* The next names of a directory in order, since what is listed may not be opened meanwhile. */
struct name_batch {
    struct identity after, names[RECOUNT_NAMES];
    uint32_t count;
};

static int identity_compare(const struct identity *a, const struct identity *b)
{
    if (a->origin != b->origin)
        return a->origin < b->origin ? -1 : 1;
    return a->clock < b->clock ? -1 : a->clock > b->clock;
}

static void see_name(void *context, const char *name, bool is_directory)
{
    struct name_batch *batch = context;
    struct identity identity;
    if (is_directory || !single_final_name_parse(name, &identity)
        || identity_compare(&identity, &batch->after) <= 0)
        return;
    uint32_t at = batch->count;
    while (at > 0 && identity_compare(&batch->names[at - 1], &identity) > 0)
        at--;
    if (at == RECOUNT_NAMES)
        return;
    uint32_t kept = batch->count < RECOUNT_NAMES ? batch->count : RECOUNT_NAMES - 1;
    memmove(&batch->names[at + 1], &batch->names[at], sizeof *batch->names * (kept - at));
    batch->names[at] = identity;
    batch->count = kept + 1;
}

static err_t count_directory(struct recount *recount, int fd)
{
    struct name_batch batch = {0};
    do {
        batch.count = 0;
        int64_t result = recount_call(recount,
            (struct io_op){.kind = IO_LIST, .fd = fd, .each_entry = see_name, .context = &batch});
        if (result < 0)
            return ERR_RESULT(result);
        for (uint32_t i = 0; i < batch.count; i++)
            TRY(count_single(recount, &batch.names[i]));
        if (batch.count > 0)
            batch.after = batch.names[batch.count - 1];
    } while (batch.count == RECOUNT_NAMES);
    return ERR_OK;
}

static err_t count_singles(struct recount *recount)
{
    for (unsigned i = 0; i < SINGLE_DIRECTORIES; i++) {
        char path[SINGLE_DIRECTORY_MAX];
        struct io_handle handle = IO_HANDLE_NONE;
        single_directory_path(path, (uint8_t)i);
        int64_t result = recount_call(recount, (struct io_op){.kind = IO_OPEN,
                                                   .fd = recount->stream->options.root->fd,
                                                   .path = path,
                                                   .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                                   .ret_handle = &handle});
        if (result == -ENOENT)
            continue;
        if (result < 0)
            return ERR_RESULT(result);
        err_t err = count_directory(recount, handle.fd);
        io_handle_close(recount->stream->options.io, &handle);
        TRY(err);
    }
    return ERR_OK;
}

/* ---- chunks ---- */

/* The header of the target that a home forwards to. NOT_FOUND: none that is good. */
static err_t read_target(
    struct recount *recount, const struct slot_header *home, struct slot_header *ret)
{
    uint8_t meta[SLOT_META_MAX];
    uint32_t need;
    struct chunk_ref ref;
    if (home->other.kind == PLACE_SINGLE)
        return read_single(recount, &home->identity, ret);
    struct chunk_key key = chunk_key_of(&home->other);
    TRY(chunk_acquire_now(recount->stream->options.files, &key, &ref));
    int64_t result =
        recount_read(recount, ref.file->handle.fd, meta, sizeof meta, home->other.offset);
    uint32_t seed = ref.file->header.seed;
    chunk_release(recount->stream->options.files, &ref);
    if (result < 0)
        return ERR_RESULT(result);
    bool is_it = !err_is(slot_meta_decode(span_of(meta, (size_t)result), seed, ret, &need))
                 && identity_equals(&ret->identity, &home->identity) && (ret->flags & SLOT_TARGET)
                 && !(ret->flags & SLOT_DELETED);
    return is_it ? ERR_OK : ERR(NOT_FOUND, 0);
}

static bool is_passed_over(err_t err)
{
    return err_has(err, ERR_CODE_NOT_FOUND) || err_has(err, ERR_CODE_CORRUPT);
}

static err_t count_slot(struct recount *recount, const struct chunk_key *key, uint32_t offset,
    const struct slot_header *header)
{
    struct place home = {.kind = PLACE_PACKED,
        .machine = key->machine,
        .mount = key->mount,
        .stream = key->stream,
        .chunk = key->number,
        .offset = offset,
        .slot_size = header->slot_size};
    struct slot_header content = *header;
    if (header->flags & (SLOT_DELETED | SLOT_TARGET))
        return ERR_OK;
    err_t err = header->flags & SLOT_FORWARDED ? read_target(recount, header, &content) : ERR_OK;
    if (is_passed_over(err))
        return ERR_OK;
    TRY(err);
    count_file(recount, &home, &content);
    return ERR_OK;
}

static err_t fill_window(struct recount *recount, int fd, uint32_t at, uint32_t end)
{
    bool is_there = recount->have > 0 && at >= recount->at
                    && (at + SLOT_META_MAX <= recount->at + recount->have
                        || recount->at + recount->have >= end);
    if (is_there)
        return ERR_OK;
    size_t size = end - at < recount->window_size ? end - at : recount->window_size;
    int64_t result = recount_read(recount, fd, recount->window, size, at);
    if (result < 0)
        return ERR_RESULT(result);
    recount->at = at;
    recount->have = (uint32_t)result;
    return ERR_OK;
}

static err_t count_slots(
    struct recount *recount, const struct chunk_ref *ref, const struct chunk_key *key, uint32_t end)
{
    bool is_own = key->machine == recount->stream->options.machine;
    recount->have = 0;
    for (uint32_t at = CHUNK_HEADER_SIZE; at < end;) {
        struct slot_header header;
        uint32_t need;
        TRY(fill_window(recount, ref->file->handle.fd, at, end));
        if (recount->have <= at - recount->at)
            return ERR_OK; /* the file ends early */
        struct span bytes =
            span_of(recount->window + (at - recount->at), recount->have - (at - recount->at));
        err_t err = slot_meta_decode(bytes, ref->file->header.seed, &header, &need);
        if (err_is(err) || header.slot_size == 0 || header.slot_size > end - at) {
            at += SLOT_UNIT;
            continue;
        }
        TRY(count_slot(recount, key, at, &header));
        /* a tombstone in the copy of another's chunk may be larger than what is free of it by now */
        bool is_past = is_own || !(header.flags & SLOT_DELETED);
        at += is_past ? header.slot_size : SLOT_UNIT;
    }
    return ERR_OK;
}

static err_t count_chunk(struct recount *recount, const struct chunk_entry *entry)
{
    struct stream *stream = recount->stream;
    struct chunk_key key = stream_chunk_key(stream, entry);
    struct chunk_ref ref;
    if (entry->is_lost)
        return ERR_OK;
    err_t err = chunk_acquire_now(stream->options.files, &key, &ref);
    if (is_passed_over(err))
        return ERR_OK;
    TRY(err);
    err = count_slots(recount, &ref, &key, entry->end);
    chunk_release(stream->options.files, &ref);
    return err;
}

err_t stream_recount(struct stream *stream, uint8_t *window, size_t window_size)
{
    struct recount recount = {stream, window, window_size, 0, 0};
    CHECK(window_size >= RECOUNT_WINDOW_MIN);
    for (uint32_t i = 0; i < stream->chunks.count; i++)
        stream->chunks.entries[i].digest = (struct digest){0};
    for (uint32_t i = 0; i < stream->sources.count; i++)
        memset(stream->sources.all[i].singles, 0, sizeof stream->sources.all[i].singles);
    for (uint32_t i = 0; i < stream->chunks.count; i++)
        TRY(count_chunk(&recount, &stream->chunks.entries[i]));
    return count_singles(&recount);
}
