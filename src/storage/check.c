#include "storage/check.h"

#include <errno.h>

#include "disk/log_scan.h"
#include "storage/check_files.h"

static const struct {
    const char *name, *sentence;
    bool is_damage;
} kinds[CHECK_KIND_COUNT] = {
#define X(name, is_damage, text) {#name, text, is_damage},
    CHECK_KINDS(X)
#undef X
};

const char *check_kind_name(enum check_kind kind)
{
    return kinds[kind].name;
}

const char *check_kind_sentence(enum check_kind kind)
{
    return kinds[kind].sentence;
}

bool check_kind_is_damage(enum check_kind kind)
{
    return kinds[kind].is_damage;
}

void check_note(
    struct check *check, enum check_kind kind, const char *path, uint64_t offset, const char *id)
{
    check->counts.findings[kind]++;
    if (check->on_finding)
        check->on_finding(check->context,
            &(struct check_finding){.kind = kind, .path = path, .offset = offset, .id = id});
}

/* ---- reading ---- */

int64_t check_call(struct check *check, struct io_op op)
{
    op.owner = &check->owner;
    return io_call(check->io, &op);
}

err_t check_open(struct check *check, const char *path, uint32_t flags, struct io_handle *ret)
{
    int64_t result = check_call(check, (struct io_op){.kind = IO_OPEN,
                                           .fd = check->root.fd,
                                           .path = path,
                                           .open_flags = IO_OPEN_READ | flags,
                                           .ret_handle = ret});
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

err_t check_read(
    struct check *check, int fd, void *into, size_t size, uint64_t offset, size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        struct iovec iov = {(uint8_t *)into + done, size - done};
        int64_t result = check_call(check,
            (struct io_op){
                .kind = IO_READ, .fd = fd, .iov = &iov, .iov_count = 1, .offset = offset + done});
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        done += (size_t)result;
    }
    *ret_size = done;
    return ERR_OK;
}

err_t check_list(struct check *check, const char *path,
    void (*each)(void *context, const char *name, bool is_directory), void *context)
{
    struct io_handle handle = IO_HANDLE_NONE;
    err_t err = check_open(check, path, IO_OPEN_DIRECTORY, &handle);
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return ERR_OK;
    TRY(err);
    int64_t result = check_call(check,
        (struct io_op){.kind = IO_LIST, .fd = handle.fd, .each_entry = each, .context = context});
    io_handle_close(check->io, &handle);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* ---- cairn.mount ---- */

static err_t fail(struct check *check, err_t err, const char *why)
{
    check->why = why;
    return err;
}

static err_t lock_root(struct check *check)
{
    int64_t result = check_call(check, (struct io_op){.kind = IO_OPEN,
                                           .fd = IO_FD_NONE,
                                           .path = check->path,
                                           .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                           .ret_handle = &check->root});
    if (result < 0)
        return fail(check, ERR_RESULT(result), "the directory cannot be opened");
    result = check_call(check, (struct io_op){.kind = IO_LOCK, .fd = check->root.fd});
    if (result == -EWOULDBLOCK)
        return fail(check, ERR(BUSY, 0), "a server uses it: stop that first");
    return result < 0 ? fail(check, ERR_RESULT(result), "it cannot be locked") : ERR_OK;
}

static err_t read_image(struct check *check)
{
    struct io_handle handle = IO_HANDLE_NONE;
    size_t size = 0;
    err_t err = check_open(check, "cairn.mount", 0, &handle);
    if (err_is(err))
        return fail(check, err, "it is not a mount point of cairn");
    err = check_read(
        check, handle.fd, check->buffer, MOUNT_COPIES * (size_t)MOUNT_COPY_SIZE, 0, &size);
    io_handle_close(check->io, &handle);
    TRY(err);
    memset(check->buffer + size, 0, MOUNT_COPIES * (size_t)MOUNT_COPY_SIZE - size);
    bool is_found = false;
    for (unsigned copy = 0; copy < MOUNT_COPIES; copy++) {
        struct mount_image image;
        err = mount_image_decode(check->buffer + copy * (size_t)MOUNT_COPY_SIZE, copy, &image);
        if (err_has(err, ERR_CODE_FORMAT))
            return fail(check, err, "it was written by a later version of cairn");
        if (err_is(err))
            check_note(
                check, CHECK_MOUNT_COPY, "cairn.mount", copy * (uint64_t)MOUNT_COPY_SIZE, "");
        else if (!is_found || image.generation > check->image.generation)
            check->image = image;
        is_found |= !err_is(err);
    }
    return is_found ? ERR_OK
                    : fail(check, ERR(CORRUPT, 0), "both copies in cairn.mount are damaged");
}

/* ---- checkpoint and log of a stream ---- */

static bool is_ours(
    const struct check *check, const struct checkpoint_header *header, uint8_t stream)
{
    const struct mount_identity *identity = &check->image.identity;
    return memcmp(header->storage_uuid, identity->storage_uuid, UUID_SIZE) == 0
           && memcmp(header->mount_uuid, identity->mount_uuid, UUID_SIZE) == 0
           && header->stream == stream && header->chunk_size == check->image.shape.chunk_size;
}

static err_t take_checkpoint(
    struct check *check, uint8_t stream, const char *path, struct span bytes)
{
    struct checkpoint_header header;
    err_t err = checkpoint_open(bytes, &header);
    if (err_is(err) || !is_ours(check, &header, stream))
        return ERR_OK;
    if (check->has_checkpoint && header.generation < check->checkpoint.generation)
        return ERR_OK;
    struct reader r = {.data = bytes.data, .size = bytes.size, .at = checkpoint_chunks_at(&header)};
    if (check->table.entries)
        chunk_table_fini(&check->table);
    TRY(chunk_table_init(&check->table, check->mem, &check->owner, header.chunk_count + 1));
    err = chunk_table_decode(
        &check->table, header.format, header.source_count + 1, header.chunk_count, &r);
    if (err_is(err))
        check_note(check, CHECK_CHECKPOINT, path, 0, "");
    check->checkpoint = header;
    check->has_checkpoint = true;
    return ERR_OK;
}

static err_t read_checkpoints(struct check *check, uint8_t stream)
{
    check->has_checkpoint = false;
    for (unsigned copy = 0; copy < 2; copy++) {
        char path[CHECKPOINT_NAME_MAX];
        struct io_handle handle = IO_HANDLE_NONE;
        size_t size = 0;
        checkpoint_path(path, stream, copy);
        err_t err = check_open(check, path, 0, &handle);
        if (err_has(err, ERR_CODE_NOT_FOUND))
            continue;
        TRY(err);
        err = check_read(check, handle.fd, check->buffer, CHECK_BUFFER, 0, &size);
        io_handle_close(check->io, &handle);
        TRY(err);
        TRY(take_checkpoint(check, stream, path, span_of(check->buffer, size)));
    }
    return ERR_OK;
}

static err_t touch(void *context, const struct record *record)
{
    struct check *check = context;
    check->counts.log_records++;
    if (record->identity.clock != 0
        && !map_put(&check->touched, map_key(record->identity.clock), 1))
        check->is_touched_full = true;
    return ERR_OK;
}

bool check_is_pending(struct check *check, uint64_t clock)
{
    uint64_t value;
    bool is_pending = check->is_touched_full || map_get(&check->touched, map_key(clock), &value);
    check->counts.pending += is_pending;
    return is_pending;
}

/* Batches may be as large as the largest buffer that was ever configured. */
static err_t scan_log(struct check *check, uint8_t stream)
{
    struct log_scan *scan;
    void *block;
    char path[LOG_NAME_MAX];
    TRY(mem_take(check->mem, &check->owner, sizeof *scan, 0, &block));
    scan = block;
    *scan = (struct log_scan){.io = check->io,
        .mem = check->mem,
        .owner = &check->owner,
        .root = &check->root,
        .stream = stream,
        .segment_size = check->image.shape.log_segment_size,
        .buffer_size = check->image.shape.log_segment_size};
    memcpy(scan->storage_uuid, check->image.identity.storage_uuid, UUID_SIZE);
    memcpy(scan->mount_uuid, check->image.identity.mount_uuid, UUID_SIZE);
    binlog_directory_path(path, stream);
    uint64_t lsn = check->has_checkpoint ? check->checkpoint.lsn : 0;
    err_t err = log_scan_open(scan);
    bool has_log = !err_is(err) && scan->count > 0;
    if (!err_is(err))
        err = log_scan_run(scan, lsn, touch, check);
    if (err_has(err, ERR_CODE_CORRUPT) || err_has(err, ERR_CODE_FOREIGN)) {
        check_note(check, CHECK_LOG_MISSING, path, 0, "");
        err = ERR_OK;
    }
    for (uint64_t i = 0; i < scan->rotten; i++)
        check_note(check, CHECK_LOG_ROT, path, 0, "");
    if (scan->is_torn)
        check_note(check, CHECK_LOG_TORN, path, scan->end_offset, "");
    if (has_log && !check->has_checkpoint && scan->lsn_next > 1 && scan->records == 0)
        check_note(check, CHECK_CHECKPOINT, path, 0, "");
    mem_give(check->mem, block);
    return err_has(err, ERR_CODE_NOT_FOUND) ? ERR_OK : err; /* a stream that never began */
}

/* Two passes: what is pending must be known of all streams before any file is judged. */
static err_t check_streams(struct check *check)
{
    unsigned count = check->image.shape.stream_count;
    check->counts.streams = count;
    for (unsigned i = 0; i < count; i++) {
        TRY(read_checkpoints(check, (uint8_t)i));
        TRY(scan_log(check, (uint8_t)i));
    }
    for (unsigned i = 0; i < count; i++) {
        TRY(read_checkpoints(check, (uint8_t)i));
        TRY(check_chunks(check, (uint8_t)i));
    }
    return ERR_OK;
}

/* ---- all of it ---- */

static err_t take_memory(struct check *check)
{
    void *block;
    TRY(mem_take(check->mem, &check->owner, CHECK_BUFFER, LOG_PAGE, &block));
    check->buffer = block;
    TRY(map_init(&check->touched, check->mem, CHECK_TOUCHED_MAX, 1, &check->owner));
    check->has_touched = true;
    return ERR_OK;
}

static err_t take_map_memory(struct check *check)
{
    uint32_t chunk_size = check->image.shape.chunk_size;
    void *block;
    if (!chunk_size_is_valid(chunk_size))
        return fail(check, ERR(CORRUPT, 0), "its chunk size is impossible");
    TRY(mem_take(
        check->mem, &check->owner, SLOTMAP_COPIES * slotmap_image_size(chunk_size), 0, &block));
    check->images = block;
    return mem_take(
        check->mem, &check->owner, slotmap_memory_size(chunk_size), 0, &check->map_memory);
}

static err_t run_steps(struct check *check)
{
    TRY(take_memory(check));
    TRY(lock_root(check));
    TRY(read_image(check));
    TRY(take_map_memory(check));
    TRY(check_streams(check));
    return check_singles(check);
}

err_t check_run(struct check *check)
{
    struct check fresh = {.io = check->io,
        .mem = check->mem,
        .path = check->path,
        .on_finding = check->on_finding,
        .context = check->context,
        .why = "",
        .root = IO_HANDLE_NONE};
    *check = fresh;
    owner_open(&check->owner, "check", DIRECTION_OWN, io_now(check->io));
    err_t err = run_steps(check);
    if (err_is(err) && check->why[0] == '\0')
        check->why = err_sentence(err.code);
    if (check->table.entries)
        chunk_table_fini(&check->table);
    if (check->has_touched)
        map_fini(&check->touched);
    mem_give(check->mem, check->map_memory);
    mem_give(check->mem, check->images);
    mem_give(check->mem, check->buffer);
    io_handle_close(check->io, &check->root);
    owner_close(&check->owner);
    return err;
}

err_t check_verdict(const struct check *check)
{
    for (int i = 0; i < CHECK_KIND_COUNT; i++)
        if (kinds[i].is_damage && check->counts.findings[i] > 0)
            return ERR(CORRUPT, 0);
    return ERR_OK;
}

/* ---- for people and programs ---- */

void check_finding_print(const struct check_finding *finding, struct text *text)
{
    text_add(text, "%s: %s at %llu: %s", kinds[finding->kind].name, finding->path,
        (unsigned long long)finding->offset, kinds[finding->kind].sentence);
    if (finding->id[0] != '\0')
        text_add(text, " (%s)", finding->id);
}

void check_print(const struct check *check, struct text *text)
{
    const struct check_counts *counts = &check->counts;
    text_add(text, "%s: machine m%03u, mount point M%02X, %llu streams, left %s\n", check->path,
        check->image.identity.machine, check->image.identity.index,
        (unsigned long long)counts->streams,
        check->image.status.is_clean ? "in order" : "without a clean end");
    text_add(text, "%llu live files, ", (unsigned long long)counts->live_files);
    text_add_size(text, counts->live_bytes);
    text_add(text, "; %llu chunks with %llu slots, ", (unsigned long long)counts->chunks,
        (unsigned long long)counts->slots);
    text_add_size(text, counts->free_bytes + counts->fresh_bytes);
    text_add(text, " free in them; %llu single files; %llu log records behind the checkpoints\n",
        (unsigned long long)counts->singles, (unsigned long long)counts->log_records);
    for (int i = 0; i < CHECK_KIND_COUNT; i++)
        if (counts->findings[i] > 0)
            text_add(text, "%llu %s: %s\n", (unsigned long long)counts->findings[i], kinds[i].name,
                kinds[i].sentence);
    if (counts->pending > 0)
        text_add(text, "%llu files were not judged: the next start applies their records\n",
            (unsigned long long)counts->pending);
    text_add(text, "%s\n", err_is(check_verdict(check)) ? "DAMAGED" : "good");
}

void check_print_json(const struct check *check, struct writer *w)
{
    const struct check_counts *counts = &check->counts;
    struct json json;
    json_begin(&json, w);
    json_begin_object(&json, NULL);
    json_text(&json, "path", check->path);
    json_number(&json, "machine", check->image.identity.machine);
    json_number(&json, "index", check->image.identity.index);
    json_bool(&json, "clean", check->image.status.is_clean);
    json_number(&json, "streams", counts->streams);
    json_number(&json, "live_files", counts->live_files);
    json_number(&json, "live_bytes", counts->live_bytes);
    json_number(&json, "chunks", counts->chunks);
    json_number(&json, "slots", counts->slots);
    json_number(&json, "free_bytes", counts->free_bytes);
    json_number(&json, "fresh_bytes", counts->fresh_bytes);
    json_number(&json, "singles", counts->singles);
    json_number(&json, "log_records", counts->log_records);
    json_number(&json, "pending", counts->pending);
    json_begin_object(&json, "findings");
    for (int i = 0; i < CHECK_KIND_COUNT; i++)
        if (counts->findings[i] > 0)
            json_number(&json, kinds[i].name, counts->findings[i]);
    json_end(&json);
    json_bool(&json, "damaged", err_is(check_verdict(check)));
    json_end(&json);
}
