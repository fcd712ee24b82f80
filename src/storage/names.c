#include "storage/names.h"

#include "base/units.h"
#include "storage/internal.h"

#define SAVE_AGAIN_NS (5 * NS_PER_S)

static struct storage_loop *first_of(const struct names_book *book)
{
    return &book->storage->loops[0];
}

/* "group/" in front: ids travel and lie on disk without it. */
static err_t parse_map(const struct storage *storage, struct span id, struct fid *ret)
{
    char text[FID_TEXT_MAX];
    struct writer w = {(uint8_t *)text, sizeof text, 0, false};
    struct fid fid;
    write_bytes(&w, storage->config.group, strlen(storage->config.group));
    write_u8(&w, '/');
    write_bytes(&w, id.data, id.size);
    if (w.failed)
        return ERR(USAGE, 0);
    TRY(fid_parse(span_of(text, w.size), &fid));
    if (fid.is_mutable || fid.size == 0 || fid.size % NAMES_PAGE_SIZE != 0)
        return ERR(USAGE, 0);
    *ret = fid;
    return ERR_OK;
}

static struct span format_map(const struct fid *fid, char text[FID_TEXT_MAX])
{
    size_t skip = strlen(fid->group) + 1, size = fid_format(fid, text);
    CHECK(size - skip <= NAMES_ID_MAX);
    return span_of(text + skip, size - skip);
}

static bool is_known(const struct names *names, const struct fid *fid)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (identity_equals(&names->maps[i].identity, &fid->identity))
            return true;
    return false;
}

/* ---- kept ---- */

static bool is_of(const struct storage_mount *it, const struct names_image *image)
{
    const struct mount_identity *identity = &it->mount.image.identity;
    return image->machine == identity->machine
           && uuid_equals(image->storage_uuid, identity->storage_uuid);
}

/* What one copy has is added; a damaged one is as if it were not there: members tell again. */
static err_t load_copy(struct names_book *book, struct storage_mount *it,
    const struct io_handle *handle, unsigned copy)
{
    uint8_t bytes[MEMBERS_COPY_SIZE];
    struct names_image image;
    err_t err = members_file_read(it, handle, copy, bytes);
    if (!err_is(err))
        err = names_image_decode(bytes, copy, &image);
    if (err_has(err, ERR_CODE_FORMAT) || err_has(err, ERR_CODE_NO_RESOURCE))
        return err;
    if (err_is(err) || !is_of(it, &image))
        return ERR_OK;
    if (image.generation > book->generation)
        book->generation = image.generation;
    for (uint32_t i = 0; i < image.count; i++) {
        err = names_add(book, span_of_text(image.maps[i]));
        if (err_has(err, ERR_CODE_TOO_LARGE))
            return err;
    }
    return ERR_OK;
}

static err_t load_one(struct names_book *book, struct storage_mount *it)
{
    struct io_handle handle = IO_HANDLE_NONE;
    err_t err = members_file_open(it, NAMES_FILE, &handle);
    if (err_has(err, ERR_CODE_NO_RESOURCE))
        return err;
    bool is_there = !err_is(err) && handle.fd >= 0;
    err = ERR_OK;
    for (unsigned copy = 0; is_there && copy < MEMBERS_COPIES && !err_is(err); copy++)
        err = load_copy(book, it, &handle, copy);
    io_handle_close(it->mount.io, &handle);
    return err;
}

/* The list only grows: all copies of all mount points together are what was known. */
err_t names_open(struct names_book *book, struct storage *storage)
{
    *book = (struct names_book){.storage = storage, .is_open = true};
    list_init(&book->waiters);
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        if (!err_is(storage->mounts.all[i].err))
            TRY(load_one(book, &storage->mounts.all[i]));
    book->told_count = book->names.count;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        storage->loops[i].names = book->names;
    return ERR_OK;
}

static void tell_waiters(struct names_book *book, err_t err)
{
    struct list *node;
    while ((node = list_pop_front(&book->waiters)) != NULL) {
        struct names_waiter *waiter = CONTAINER_OF(node, struct names_waiter, link);
        waiter->known(waiter, err);
    }
}

static void saved(struct members_file *file)
{
    struct names_book *book = CONTAINER_OF(file, struct names_book, file);
    struct storage_loop *first = first_of(book);
    book->is_saving = false;
    book->generation = file->generation;
    if (file->failed == 0)
        return;
    book->is_unsaved = true;
    book->save_ns = io_now(first->io) + SAVE_AGAIN_NS;
    tell_waiters(book, file->err);
    EVENT(&first->log, WARN, "names_not_saved", &first->owner, EVENT_NUMBER("mounts", file->failed),
        EVENT_ERR(file->err));
}

static void save(struct names_book *book)
{
    struct storage *storage = book->storage;
    struct names_image image = {.generation = book->generation + 1,
        .machine = storage->config.machine_number,
        .count = book->names.count};
    uint8_t page[MEMBERS_COPY_SIZE];
    memcpy(image.storage_uuid, storage->uuid.bytes, UUID_SIZE);
    for (uint32_t i = 0; i < image.count; i++) {
        char text[FID_TEXT_MAX];
        struct span id = format_map(&book->names.maps[i], text);
        memcpy(image.maps[i], id.data, id.size);
    }
    names_image_encode(&image, page);
    book->is_unsaved = false;
    book->is_saving = true;
    members_file_start_page(
        &book->file, &storage->mounts, NAMES_FILE, image.generation, page, saved);
}

/* ---- told to the loops ---- */

static void word_acknowledged(struct io *here, struct io_message *message)
{
    struct names_word *word = CONTAINER_OF(message, struct names_word, message);
    (void)here;
    word->is_out = false;
}

static void word_arrived(struct io *here, struct io_message *message)
{
    struct names_word *word = CONTAINER_OF(message, struct names_word, message);
    word->loop->names = word->names;
    word->message.deliver = word->acknowledged;
    io_post(here, word->loop->first, &word->message);
}

static bool is_word_out(const struct names_book *book)
{
    for (uint16_t i = 0; i < book->storage->loop_count; i++)
        if (book->storage->loops[i].names_word.is_out)
            return true;
    return false;
}

static void tell_loops(struct names_book *book)
{
    struct storage *storage = book->storage;
    book->told_count = book->names.count;
    for (uint16_t i = 0; i < storage->loop_count; i++) {
        struct names_word *word = &storage->loops[i].names_word;
        word->names = book->names;
        word->loop = &storage->loops[i];
        word->is_out = true;
        word->acknowledged = word_acknowledged;
        word->message.deliver = word_arrived;
        io_post(storage->loops[0].io, word->loop->io, &word->message);
    }
}

/* ---- use ---- */

err_t names_add(struct names_book *book, struct span id)
{
    struct names *names = &book->names;
    struct fid fid;
    TRY(parse_map(book->storage, id, &fid));
    if (is_known(names, &fid))
        return ERR_OK;
    if (names->count == NAMES_MAPS_MAX)
        return ERR(TOO_LARGE, 0);
    names->maps[names->count++] = fid;
    book->is_unsaved = true;
    return ERR_OK;
}

void names_step(struct names_book *book)
{
    const struct storage *storage = book->storage;
    if (!book->is_open || book->is_closed)
        return;
    bool is_busy = is_word_out(book);
    if (book->told_count != book->names.count && !is_busy && storage->verb == STORAGE_RUN
        && storage->answers == 0)
        tell_loops(book);
    if (book->is_unsaved && !book->is_saving && io_now(first_of(book)->io) >= book->save_ns)
        save(book);
    if (!book->is_unsaved && !book->is_saving && !is_busy && book->told_count == book->names.count)
        tell_waiters(book, ERR_OK);
}

void names_wait(struct names_book *book, struct names_waiter *waiter)
{
    list_push_back(&book->waiters, &waiter->link);
    book->save_ns = 0;
}

/* ---- the end ---- */

void names_close(struct names_book *book)
{
    if (!book->is_open)
        return;
    tell_waiters(book, ERR(CANCELLED, 0));
    book->is_closed = true;
}

bool names_is_idle(const struct names_book *book)
{
    return !book->is_open || (!book->is_saving && !is_word_out(book));
}
