#include "disk/single_redo.h"

#include <errno.h>

/* ---- plain operations ---- */

static struct io_op redo_op(struct owner *owner, enum io_kind kind, int fd)
{
    return (struct io_op){.kind = kind, .fd = fd, .owner = owner, .handle_life = LIFE_REQUEST};
}

static int64_t redo_call(const struct single_mount *mount, struct io_op op)
{
    return io_call(mount->io, &op);
}

static int64_t call_path(const struct single_mount *mount, struct owner *owner, enum io_kind kind,
    const char *path, const char *path_to)
{
    struct io_op op = redo_op(owner, kind, mount->root->fd);
    struct io_stat stat;
    op.path = path;
    op.path_to = path_to;
    op.ret_stat = &stat;
    return redo_call(mount, op);
}

static int64_t call_open(const struct single_mount *mount, struct owner *owner, const char *path,
    uint32_t flags, struct io_handle *handle)
{
    struct io_op op = redo_op(owner, IO_OPEN, mount->root->fd);
    op.path = path;
    op.open_flags = flags;
    op.ret_handle = handle;
    return redo_call(mount, op);
}

/* Until `size` bytes or the end of the file; returns bytes or -errno. */
static int64_t call_read(const struct single_mount *mount, struct owner *owner, int fd,
    uint8_t *data, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        struct iovec iov = {data + done, size - done};
        struct io_op op = redo_op(owner, IO_READ, fd);
        op.iov = &iov;
        op.iov_count = 1;
        op.offset = offset + done;
        int64_t result = redo_call(mount, op);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        done += (size_t)result;
    }
    return (int64_t)done;
}

static err_t call_write(const struct single_mount *mount, struct owner *owner, int fd,
    struct span bytes, uint64_t offset)
{
    union { /* a write only reads: iovec has no const */
        const uint8_t *from;
        void *to;
    } base = {bytes.data};
    for (size_t done = 0; done < bytes.size;) {
        struct iovec iov = {(char *)base.to + done, bytes.size - done};
        struct io_op op = redo_op(owner, IO_WRITE, fd);
        op.iov = &iov;
        op.iov_count = 1;
        op.offset = offset + done;
        int64_t result = redo_call(mount, op);
        if (result <= 0)
            return result < 0 ? ERR_RESULT(result) : ERR(IO, EIO);
        done += (size_t)result;
    }
    return ERR_OK;
}

/* ---- what the log says ---- */

/* The birth in a header that a record brings; none if it can't be read. */
static struct version meta_birth(struct span meta)
{
    struct slot_header header;
    if (err_is(single_meta_decode(meta, NULL, &header)))
        return (struct version){0};
    return header.birth;
}

static bool record_is_of(const struct record *record, const struct identity *identity)
{
    return record->identity.clock == identity->clock && record->identity.origin == identity->origin;
}

/* Did the rename of this record happen? Then the file in new/ is gone. */
static bool survey_is_renamed(struct single_survey *survey, const struct record *record)
{
    char path[SINGLE_PATH_MAX];
    single_new_path(path, survey->mount->stream, &record->identity, record->version);
    int64_t result = call_path(survey->mount, survey->owner, IO_STAT, path, NULL);
    if (result < 0 && result != -ENOENT && !err_is(survey->err))
        survey->err = ERR_RESULT(result);
    return result == -ENOENT;
}

void single_survey_record(struct single_survey *survey, const struct record *record)
{
    if (!record_is_change(record) || !record_is_of(record, &survey->identity))
        return;
    struct span meta;
    bool frees = record->flags & RECORD_FREES && record->freed.kind == PLACE_SINGLE;
    bool renames = record->flags & RECORD_RENAMES;
    if (!renames && (record->kind == RECORD_DELETE || frees))
        survey->birth = (struct version){0};
    if ((record->kind == RECORD_DELETE && !renames) || !single_record_meta(record, &meta))
        return;
    if (record->flags & RECORD_RENAMES)
        survey->is_pending = !survey_is_renamed(survey, record);
    if (!survey->is_pending && meta.size > 0)
        survey->birth = meta_birth(meta);
}

/* ---- the file as it is ---- */

struct redo_file {
    struct io_handle handle;
    struct slot_header header; /* if is_good */
    bool exists, is_good;
};

static err_t file_open(
    struct single_redo *redo, const struct identity *identity, struct redo_file *file)
{
    char path[SINGLE_PATH_MAX];
    uint8_t head[SINGLE_META_MAX];
    *file = (struct redo_file){.handle = IO_HANDLE_NONE};
    single_path(path, identity);
    int64_t result =
        call_open(redo->mount, redo->owner, path, IO_OPEN_READ | IO_OPEN_WRITE, &file->handle);
    if (result == -ENOENT)
        return ERR_OK;
    if (result < 0)
        return ERR_RESULT(result);
    file->exists = true;
    result = call_read(redo->mount, redo->owner, file->handle.fd, head, sizeof head, 0);
    if (result < 0)
        return ERR_RESULT(result);
    struct span bytes = span_of(head, (size_t)result);
    file->is_good = !err_is(single_meta_decode(bytes, identity, &file->header));
    return ERR_OK;
}

static void file_close(struct single_redo *redo, struct redo_file *file)
{
    io_handle_close(redo->mount->io, &file->handle);
}

/* Is what stands in the file of a later life than the record? */
static err_t file_is_later(struct single_redo *redo, const struct redo_file *file,
    const struct record *record, bool *ret_later)
{
    struct version birth = {0};
    if (file->exists && file->is_good) {
        birth = file->header.birth;
    } else if (file->exists) {
        struct single_survey survey = {
            .mount = redo->mount, .owner = redo->owner, .identity = record->identity};
        TRY(redo->survey(redo->context, &survey));
        TRY(survey.err);
        birth = survey.birth;
    }
    *ret_later = version_compare(birth, record->version) > 0;
    return ERR_OK;
}

static err_t file_sync(struct single_redo *redo, const struct redo_file *file)
{
    struct io_op op = redo_op(redo->owner, IO_SYNC, file->handle.fd);
    int64_t result = redo_call(redo->mount, op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t file_note(
    struct single_redo *redo, const struct redo_file *file, const struct identity *identity)
{
    return single_dirty_add_file(redo->dirty, identity) ? ERR_OK : file_sync(redo, file);
}

/* ---- names ---- */

static err_t redo_unlink_path(struct single_redo *redo, const char *path)
{
    int64_t result = call_path(redo->mount, redo->owner, IO_UNLINK, path, NULL);
    return result < 0 && result != -ENOENT ? ERR_RESULT(result) : ERR_OK;
}

static err_t redo_unlink(struct single_redo *redo, const struct identity *identity)
{
    char path[SINGLE_PATH_MAX];
    single_path(path, identity);
    single_dirty_add_directory(redo->dirty, single_directory_of(identity));
    redo->applied++;
    return redo_unlink_path(redo, path);
}

/* The file in new/ is complete: it was synced before its record was written. */
static err_t redo_move(struct single_redo *redo, const struct record *record, const char *path)
{
    char path_to[SINGLE_PATH_MAX];
    single_path(path_to, &record->identity);
    int64_t result = call_path(redo->mount, redo->owner, IO_RENAME, path, path_to);
    redo->applied++;
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* Renamed already, and its header then torn by a change in place, whose record follows. */
static err_t redo_heal(struct single_redo *redo, const struct redo_file *file,
    const struct record *record, struct span meta)
{
    if (!file->exists || file->is_good || meta.size == 0)
        return ERR_OK;
    redo->healed++;
    TRY(call_write(redo->mount, redo->owner, file->handle.fd, meta, 0));
    return file_note(redo, file, &record->identity);
}

static err_t redo_rename_over(struct single_redo *redo, const struct redo_file *file,
    const struct record *record, struct span meta)
{
    char path[SINGLE_PATH_MAX];
    single_new_path(path, redo->mount->stream, &record->identity, record->version);
    /* also if it was renamed before a mere kill: that may not be durable yet */
    single_dirty_add_directory(redo->dirty, single_directory_of(&record->identity));
    single_dirty_add_new(redo->dirty);
    int64_t result = call_path(redo->mount, redo->owner, IO_STAT, path, NULL);
    if (result < 0 && result != -ENOENT)
        return ERR_RESULT(result);
    bool is_made = result >= 0, is_later;
    if (!is_made && (!file->exists || file->is_good)) {
        redo->skipped++;
        return ERR_OK;
    }
    TRY(file_is_later(redo, file, record, &is_later));
    if (is_made)
        return is_later ? redo_unlink_path(redo, path) : redo_move(redo, record, path);
    return is_later ? ERR_OK : redo_heal(redo, file, record, meta);
}

static err_t redo_rename(struct single_redo *redo, const struct record *record, struct span meta)
{
    struct redo_file file;
    err_t err = file_open(redo, &record->identity, &file);
    if (!err_is(err))
        err = redo_rename_over(redo, &file, record, meta);
    file_close(redo, &file);
    return err;
}

static err_t redo_free(struct single_redo *redo, const struct record *record)
{
    struct redo_file file;
    bool is_later = false;
    err_t err = file_open(redo, &record->identity, &file);
    if (!err_is(err))
        err = file_is_later(redo, &file, record, &is_later);
    file_close(redo, &file);
    if (err_is(err) || is_later)
        return err;
    return redo_unlink(redo, &record->identity);
}

/* ---- changes in place ---- */

static bool record_can_be_meant(const struct record *record)
{
    uint64_t content = record->flags & RECORD_INLINE ? record->content.size : 0;
    if (record->content_offset > BLOCKS_CONTENT_MAX || record->total_size > BLOCKS_CONTENT_MAX
        || content > BLOCKS_CONTENT_MAX - record->content_offset)
        return false;
    for (size_t at = 0; at + 8 <= record->entries.size; at += 8)
        if (get_u32(record->entries.data + at) >= blocks_count(BLOCKS_CONTENT_MAX))
            return false;
    return true;
}

static void redo_note_shrunk(struct single_redo *redo, const struct record *record)
{
    for (uint32_t i = 0; i < redo->shrunk_count; i++)
        if (record_is_of(record, &redo->shrunk[i]))
            return;
    if (redo->shrunk_count < SINGLE_REDO_SHRUNK)
        redo->shrunk[redo->shrunk_count++] = record->identity;
}

/* The file keeps its length until all records are applied: behind the end that a truncate made may lie
 * what a later append wrote, and that is nowhere else. */
static err_t redo_write(
    struct single_redo *redo, const struct redo_file *file, const struct record *record)
{
    bool is_later;
    TRY(file_is_later(redo, file, record, &is_later));
    if (is_later) {
        redo->skipped++;
        return ERR_OK;
    }
    struct single_plan plan;
    struct span bytes;
    uint64_t offset;
    single_plan_begin(&plan, record);
    while (single_plan_next(&plan, &bytes, &offset))
        TRY(call_write(redo->mount, redo->owner, file->handle.fd, bytes, offset));
    if (record->kind == RECORD_TRUNCATE)
        redo_note_shrunk(redo, record);
    redo->applied++;
    redo->healed += !file->is_good;
    return file_note(redo, file, &record->identity);
}

static err_t redo_change(struct single_redo *redo, const struct record *record)
{
    if (!record_can_be_meant(record))
        return ERR(CORRUPT, 0);
    struct redo_file file;
    err_t err = file_open(redo, &record->identity, &file);
    if (!err_is(err) && file.exists)
        err = redo_write(redo, &file, record);
    else if (!err_is(err))
        redo->skipped++; /* a later record deletes it, and that happened */
    file_close(redo, &file);
    return err;
}

/* How a file was made tells more than the kind: any modify may have gone out of place. */
err_t single_redo(struct single_redo *redo, const struct record *record)
{
    struct span meta;
    bool is_single = single_record_meta(record, &meta);
    bool frees = record->flags & RECORD_FREES && record->freed.kind == PLACE_SINGLE;
    if (!record_is_change(record))
        return ERR_OK;
    if (is_single && record->flags & RECORD_RENAMES)
        return redo_rename(redo, record, meta);
    if (record->kind == RECORD_DELETE)
        return is_single || frees ? redo_unlink(redo, &record->identity) : ERR_OK;
    if (is_single && record->kind >= RECORD_WRITE && record->kind <= RECORD_TRUNCATE)
        return redo_change(redo, record);
    return frees ? redo_free(redo, record) : ERR_OK;
}

/* ---- the end ---- */

static err_t redo_trim(struct single_redo *redo, const struct redo_file *file)
{
    if (!file->is_good)
        return ERR_OK;
    struct io_stat stat;
    struct io_op op = redo_op(redo->owner, IO_STAT, file->handle.fd);
    op.ret_stat = &stat;
    int64_t result = redo_call(redo->mount, op);
    if (result >= 0 && stat.size > blocks_file_size(file->header.size)) {
        op = redo_op(redo->owner, IO_RESIZE, file->handle.fd);
        op.size = blocks_file_size(file->header.size);
        result = redo_call(redo->mount, op);
    }
    return result < 0 ? ERR_RESULT(result) : file_sync(redo, file);
}

err_t single_redo_finish(struct single_redo *redo)
{
    while (redo->shrunk_count > 0) {
        struct redo_file file;
        err_t err = file_open(redo, &redo->shrunk[redo->shrunk_count - 1], &file);
        if (!err_is(err) && file.exists)
            err = redo_trim(redo, &file);
        file_close(redo, &file);
        TRY(err);
        redo->shrunk_count--;
    }
    return ERR_OK;
}

/* ---- what never was committed ---- */

enum { CLEAN_BATCH = 64 };

struct clean {
    bool (*is_committed)(void *context, const struct identity *identity, struct version version);
    void *context;
    uint32_t count;
    struct {
        struct identity identity;
        struct version version;
    } orphans[CLEAN_BATCH];
};

static void clean_each(void *context, const char *name, bool is_directory)
{
    struct clean *clean = context;
    struct identity identity;
    struct version version;
    if (is_directory || clean->count == CLEAN_BATCH
        || !single_new_name_parse(name, &identity, &version))
        return;
    if (clean->is_committed && clean->is_committed(clean->context, &identity, version))
        return;
    clean->orphans[clean->count].identity = identity;
    clean->orphans[clean->count++].version = version;
}

static err_t clean_batch(
    const struct single_mount *mount, struct owner *owner, int directory, struct clean *clean)
{
    struct io_op op = redo_op(owner, IO_LIST, directory);
    op.each_entry = clean_each;
    op.context = clean;
    clean->count = 0;
    int64_t result = redo_call(mount, op);
    if (result < 0)
        return ERR_RESULT(result);
    for (uint32_t i = 0; i < clean->count; i++) {
        char path[SINGLE_PATH_MAX];
        single_new_path(
            path, mount->stream, &clean->orphans[i].identity, clean->orphans[i].version);
        result = call_path(mount, owner, IO_UNLINK, path, NULL);
        if (result < 0)
            return ERR_RESULT(result);
    }
    return ERR_OK;
}

err_t single_clean_new(const struct single_mount *mount, struct owner *owner,
    bool (*is_committed)(void *context, const struct identity *identity, struct version version),
    void *context, uint64_t *ret_count)
{
    struct clean clean = {.is_committed = is_committed, .context = context};
    struct io_handle directory = IO_HANDLE_NONE;
    char path[SINGLE_DIRECTORY_MAX];
    uint64_t count = 0;
    single_new_directory_path(path, mount->stream);
    int64_t result = call_open(mount, owner, path, IO_OPEN_READ | IO_OPEN_DIRECTORY, &directory);
    err_t err = result < 0 ? ERR_RESULT(result) : ERR_OK;
    do { /* names are gathered first: a directory that changes while it is listed skips some */
        if (!err_is(err))
            err = clean_batch(mount, owner, directory.fd, &clean);
        count += clean.count;
    } while (!err_is(err) && clean.count == CLEAN_BATCH);
    io_handle_close(mount->io, &directory);
    if (!err_is(err) && ret_count)
        *ret_count = count;
    return err;
}
