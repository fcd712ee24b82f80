#include "bin/import_store.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/units.h"
#include "bin/file.h"
#include "wire/fid.h"

enum {
    PLACE_LENGTH = 6,      /* "0A/1F/" */
    TRUNK_NAME_LENGTH = 6, /* "000001" */
    META_NAME_LENGTH = FDFS_CORE_LENGTH + FDFS_TRUNK_LENGTH + SUFFIX_FIELD
                       + 2, /* of the metadata of a file in a trunk file: "<27><16><7>-m" */
    TRUNK_TAIL_LENGTH = FDFS_TRUNK_LENGTH + SUFFIX_FIELD,
};

void import_store_init(struct import_store *store, struct io *io, struct mem *mem,
    struct owner *owner, char *const *roots, size_t root_count)
{
    store->io = io;
    store->mem = mem;
    store->owner = owner;
    store->roots = roots;
    store->root_count = root_count;
    store->root = 0;
    store->is_walking = store->is_in_trunk = false;
    store->text[0] = '\0';
}

static void leave_trunk(struct import_store *store)
{
    if (store->is_in_trunk)
        trunk_scan_close(&store->scan);
    store->is_in_trunk = false;
}

static void leave_root(struct import_store *store)
{
    leave_trunk(store);
    if (store->is_walking)
        walk_fini(&store->walk);
    store->is_walking = false;
}

void import_store_fini(struct import_store *store)
{
    leave_root(store);
}

static enum import_result say(struct import_store *store, enum import_result result,
    const char *what, const char *format, ...) __attribute__((format(printf, 4, 5)));

static enum import_result say(struct import_store *store, enum import_result result,
    const char *what, const char *format, ...)
{
    struct text text;
    va_list list;
    text_init(&text, store->text, sizeof store->text);
    text_add(&text, "%s: ", what);
    va_start(list, format);
    text_add_list(&text, format, list);
    va_end(list);
    return result;
}

/* ---- metadata ---- */

static void take_metadata(struct import_store *store, const char *path, struct import_item *item)
{
    err_t err = file_load(
        store->io, store->owner, path, item->metadata, sizeof item->metadata, &item->metadata_size);
    if (!err_is(err))
        return;
    item->metadata_size = 0;
    if (err_has(err, ERR_CODE_NOT_FOUND))
        return;
    item->lacks_metadata = true;
    if (err_has(err, ERR_CODE_TOO_LARGE))
        (void)say(store, IMPORT_BAD, path, "more than %d bytes of metadata: left out",
            IMPORT_METADATA_MAX);
    else
        (void)say(store, IMPORT_BAD, path, "metadata left out: %s", err_sentence(err.code));
}

/* Of a file in a trunk file: its name holds what is not known here (import_trunk.h), so that it is sought
 * among the names of the directory, by what is known. False: there is none. */
static bool find_metadata(const struct import_store *store, const char *name, struct text *ret)
{
    const struct walk_level *level = &store->walk.levels[store->walk.depth - 1];
    const char *tail = name + FDFS_PATH_LENGTH + FDFS_CORE_LENGTH;
    const char *slash = strrchr(store->trunk_path, '/');
    for (size_t i = 0; i < level->count; i++) {
        const char *other = level->order[i];
        if (strlen(other) != META_NAME_LENGTH || strcmp(other + META_NAME_LENGTH - 2, "-m") != 0
            || memcmp(other + FDFS_CORE_LENGTH, tail, TRUNK_TAIL_LENGTH) != 0)
            continue;
        text_add(ret, "%.*s/%s", (int)(slash - store->trunk_path), store->trunk_path, other);
        return true;
    }
    return false;
}

/* ---- trunk files ---- */

static enum import_result take_slot(
    struct import_store *store, const struct trunk_slot *slot, struct import_item *ret)
{
    char path[MANIFEST_PATH_MAX];
    struct text text;
    memcpy(ret->name, slot->name, sizeof ret->name);
    if (err_is(fdfs_id_parse(span_of_text(ret->name), &ret->id)) || ret->id.is_slave)
        return say(store, IMPORT_BAD, store->trunk_path, "offset %" PRIu64 ": no name of a file",
            slot->at - TRUNK_SLOT_HEADER);
    memcpy(ret->path, store->trunk_path, sizeof ret->path);
    ret->base = slot->at;
    ret->size = slot->size;
    ret->modify_ns = slot->time_s * NS_PER_S;
    ret->is_crc_known = true;
    text_init(&text, path, sizeof path);
    if (find_metadata(store, slot->name, &text) && !text.is_cut)
        take_metadata(store, path, ret);
    return IMPORT_FILE;
}

static enum import_result next_in_trunk(
    struct import_store *store, struct import_item *ret, err_t *ret_err)
{
    struct trunk_slot slot;
    uint64_t from, size;
    enum trunk_result result = trunk_scan_next(&store->scan, &slot, &from, &size, ret_err);
    switch (result) {
    case TRUNK_FILE:
        *ret_err = ERR(CORRUPT, 0);
        return take_slot(store, &slot, ret);
    case TRUNK_LINK:
        return say(store, IMPORT_NOTICE, store->trunk_path,
            "offset %" PRIu64 ": a link of FastDHT is left out", from);
    case TRUNK_NO_SLOT:
        *ret_err = ERR(CORRUPT, 0);
        return say(store, IMPORT_BAD, store->trunk_path,
            "offset %" PRIu64 ": %" PRIu64 " bytes are no slot: damaged, or left over", from, size);
    case TRUNK_FAILED:
        leave_trunk(store);
        return say(store, IMPORT_BAD, store->trunk_path, "%s", err_sentence(ret_err->code));
    default:
        leave_trunk(store);
        return IMPORT_END;
    }
}

static enum import_result enter_trunk(
    struct import_store *store, const char *path, const char *name, err_t *ret_err)
{
    char place[FDFS_PATH_LENGTH + 1];
    uint32_t number = 0;
    for (const char *at = strrchr(name, '/') + 1; *at != '\0'; at++)
        number = number * 10 + (uint32_t)(*at - '0');
    (void)span_to_text(span_of(name, FDFS_PATH_LENGTH), place, sizeof place);
    (void)span_to_text(span_of_text(path), store->trunk_path, sizeof store->trunk_path);
    *ret_err = trunk_scan_open(&store->scan, store->io, store->owner, path, place, number);
    if (err_is(*ret_err))
        return say(store, IMPORT_BAD, path, "%s", err_sentence(ret_err->code));
    store->is_in_trunk = true;
    return IMPORT_END;
}

/* ---- flat files ---- */

static bool is_trunk_name(const char *name)
{
    return strlen(name) == TRUNK_NAME_LENGTH && strspn(name, "0123456789") == TRUNK_NAME_LENGTH;
}

static bool is_metadata(const char *name, size_t size)
{
    struct fdfs_id id;
    return size > 2 && strcmp(name + size - 2, "-m") == 0
           && !err_is(fdfs_id_parse(span_of(name, size - 2), &id));
}

static enum import_result take_flat(
    struct import_store *store, const struct walk_entry *entry, struct import_item *ret)
{
    char path[MANIFEST_PATH_MAX];
    struct text text;
    const struct fdfs_id *id = &ret->id;
    bool tells_size = !id->is_slave && !id->is_appender;
    (void)span_to_text(span_of_text(entry->path), ret->path, sizeof ret->path);
    ret->size = entry->stat.size;
    ret->modify_ns = entry->stat.modify_ns;
    ret->is_crc_known = tells_size;
    if (tells_size && id->size != entry->stat.size)
        return say(store, IMPORT_BAD, entry->path,
            "has %" PRIu64 " bytes, its name tells of %" PRIu64, entry->stat.size, id->size);
    text_init(&text, path, sizeof path);
    text_add(&text, "%s-m", entry->path);
    if (!text.is_cut)
        take_metadata(store, path, ret);
    return IMPORT_FILE;
}

/* `entry` lies somewhere below DIR/data. IMPORT_END: nothing to tell of it. */
static enum import_result look_at(struct import_store *store, const struct walk_entry *entry,
    struct import_item *ret, err_t *ret_err)
{
    const char *below = entry->path + strlen(store->data_path) + 1;
    const char *name = below + PLACE_LENGTH;
    struct text text;
    bool is_placed = strlen(below) > PLACE_LENGTH && below[2] == '/' && below[5] == '/'
                     && strchr(name, '/') == NULL;
    if (!is_placed)
        return IMPORT_END; /* logs and states of FastDFS */
    text_init(&text, ret->name, sizeof ret->name);
    text_add(&text, "M%02zX/%s", store->root, below);
    *ret_err = ERR(CORRUPT, 0);
    if (text.is_cut)
        return say(store, IMPORT_NOTICE, entry->path, "no name of FastDFS: left out");
    if (is_trunk_name(name))
        return enter_trunk(store, entry->path, ret->name, ret_err);
    if (is_metadata(ret->name, text.size))
        return IMPORT_END; /* taken along with its file */
    if (err_is(fdfs_id_parse(span_of_text(ret->name), &ret->id))
        || (ret->id.is_trunk && !ret->id.is_slave))
        return say(store, IMPORT_NOTICE, entry->path, "no name of FastDFS: left out");
    return take_flat(store, entry, ret);
}

/* ---- all of it ---- */

static enum import_result enter_root(struct import_store *store, err_t *ret_err)
{
    struct text text;
    text_init(&text, store->data_path, sizeof store->data_path);
    text_add(&text, "%s", store->roots[store->root]);
    while (text.size > 1 && text.data[text.size - 1] == '/')
        text_cut_to(&text, text.size - 1);
    text_add(&text, "/data");
    *ret_err = ERR(TOO_LARGE, 0);
    if (text.is_cut)
        return say(store, IMPORT_BAD, store->roots[store->root], "the path is too long");
    store->data_roots[0] = store->data_path;
    walk_init(&store->walk, store->io, store->mem, store->owner, store->data_roots, 1, true);
    store->is_walking = true;
    return IMPORT_END;
}

static enum import_result next_on_disk(
    struct import_store *store, struct import_item *ret, err_t *ret_err)
{
    struct walk_entry entry;
    switch (walk_next(&store->walk, &entry)) {
    case WALK_FILE:
        return look_at(store, &entry, ret, ret_err);
    case WALK_SKIPPED:
        return say(store, IMPORT_NOTICE, entry.path, "%s: left out", entry.why);
    case WALK_FAILED:
        *ret_err = entry.err;
        return say(store, IMPORT_BAD, entry.path, "%s", entry.why);
    default:
        leave_root(store);
        store->root++;
        return IMPORT_END;
    }
}

enum import_result import_store_next(
    struct import_store *store, struct import_item *ret, err_t *ret_err)
{
    enum import_result result = IMPORT_END;
    while (result == IMPORT_END) {
        ret->base = ret->metadata_size = 0;
        ret->lacks_metadata = false;
        if (store->is_in_trunk)
            result = next_in_trunk(store, ret, ret_err);
        else if (store->is_walking)
            result = next_on_disk(store, ret, ret_err);
        else if (store->root < store->root_count)
            result = enter_root(store, ret_err);
        else
            break;
    }
    return result;
}
