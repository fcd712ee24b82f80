#include "storage/fdfs_slave.h"

enum {
    FILE_SIZE = 42,
    FLAG_MUTABLE = 1,
    FLAG_PACKED = 2,
    PATH_LENGTH = 10, /* "M00/00/00/" */
    CORE_LENGTH = 27,
    PLACE_LENGTH = 16,
};

/* ---- names ---- */

/* As if it had no suffix: what is left is the name's tail. */
static err_t parse_slave(const char *group, struct span name, size_t core, struct fdfs_name *ret)
{
    char text[FID_TEXT_MAX];
    struct writer w = {(uint8_t *)text, sizeof text, 0, false};
    size_t size = PATH_LENGTH + core;
    if (name.size <= size + 1 || name.size - size > FDFS_TAIL_MAX)
        return ERR(USAGE, 0);
    write_bytes(&w, group, strlen(group));
    write_u8(&w, '/');
    write_bytes(&w, name.data, size);
    write_bytes(&w, "0000000", SUFFIX_FIELD);
    if (w.failed)
        return ERR(USAGE, 0);
    TRY(fid_parse(span_of(text, w.size), &ret->fid));
    memset(ret->fid.identity.suffix, 0, sizeof ret->fid.identity.suffix);
    ret->tail = span_of(name.data + size, name.size - size);
    return ERR_OK;
}

err_t fdfs_name_parse(const char *group, struct span name, struct fdfs_name *ret)
{
    char text[FID_TEXT_MAX + 64];
    struct writer w = {(uint8_t *)text, sizeof text, 0, false};
    *ret = (struct fdfs_name){0};
    write_bytes(&w, group, strlen(group));
    write_u8(&w, '/');
    write_bytes(&w, name.data, name.size);
    if (w.failed)
        return ERR(USAGE, 0);
    err_t err = fid_parse(span_of(text, w.size), &ret->fid);
    if (!err_is(err) || err_has(err, ERR_CODE_UNSUPPORTED))
        return err;
    err = parse_slave(group, name, CORE_LENGTH + PLACE_LENGTH, ret);
    return err_is(err) ? parse_slave(group, name, CORE_LENGTH, ret) : err;
}

size_t fdfs_tail_make(
    const char *master_suffix, struct span prefix, struct span suffix, char ret[FDFS_TAIL_MAX + 1])
{
    struct writer w = {(uint8_t *)ret, FDFS_TAIL_MAX, 0, false};
    write_bytes(&w, master_suffix, strcspn(master_suffix, "."));
    write_bytes(&w, prefix.data, prefix.size);
    if (suffix.size > 0) {
        write_u8(&w, '.');
        write_bytes(&w, suffix.data, suffix.size);
    }
    CHECK(!w.failed);
    ret[w.size] = '\0';
    return w.size;
}

/* ---- the list ---- */

static void write_file(struct writer *w, const struct fid *fid)
{
    write_u32(w, fid->identity.origin);
    write_u64(w, fid->identity.clock);
    write_u32(w, (uint32_t)fid->size);
    write_u32(w, fid->crc);
    write_u32(w, fid->chunk);
    write_u32(w, fid->offset);
    write_u32(w, fid->slot_size);
    write_u8(w, fid->mount);
    write_u8(w, fid->stream);
    write_u8(w, (fid->is_mutable ? FLAG_MUTABLE : 0) | (fid->is_packed ? FLAG_PACKED : 0));
    write_bytes(w, fid->identity.suffix, SUFFIX_FIELD);
}

static void read_file(struct reader *r, const char *group, struct fid *ret)
{
    *ret = (struct fid){.identity.origin = read_u32(r)};
    ret->identity.clock = read_u64(r);
    ret->size = read_u32(r);
    ret->crc = read_u32(r);
    ret->chunk = read_u32(r);
    ret->offset = read_u32(r);
    ret->slot_size = read_u32(r);
    ret->mount = read_u8(r);
    ret->stream = read_u8(r);
    uint8_t flags = read_u8(r);
    ret->is_mutable = flags & FLAG_MUTABLE;
    ret->is_packed = flags & FLAG_PACKED;
    read_bytes(r, ret->identity.suffix, SUFFIX_FIELD);
    memcpy(ret->group, group, strlen(group) + 1);
}

/* The next entry. False: there is none, or the list is damaged. */
static bool next(struct reader *r, struct span *ret_tail, struct span *ret_file)
{
    size_t size = read_u8(r);
    const uint8_t *tail = reader_take(r, size), *file = reader_take(r, FILE_SIZE);
    if (r->failed)
        return false;
    *ret_tail = span_of(tail, size);
    *ret_file = span_of(file, FILE_SIZE);
    return true;
}

static struct reader list_of(struct span attributes)
{
    struct span list = attribute_find(attributes, ATTRIBUTE_SLAVES);
    return (struct reader){.data = list.data, .size = list.size};
}

static bool equals(struct span a, struct span b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

bool fdfs_slave_find(struct span attributes, struct span tail, const char *group, struct fid *ret)
{
    struct reader r = list_of(attributes);
    struct span each, file;
    while (next(&r, &each, &file)) {
        struct reader bytes = {.data = file.data, .size = file.size};
        if (!equals(each, tail))
            continue;
        read_file(&bytes, group, ret);
        return true;
    }
    return false;
}

bool fdfs_slave_at(struct span attributes, size_t index, const char *group, struct fid *ret)
{
    struct reader r = list_of(attributes);
    struct span each, file;
    for (size_t i = 0; next(&r, &each, &file); i++) {
        struct reader bytes = {.data = file.data, .size = file.size};
        if (i < index)
            continue;
        read_file(&bytes, group, ret);
        return true;
    }
    return false;
}

/* All but that tail. */
static void copy_list(struct span attributes, struct span without, struct writer *list)
{
    struct reader r = list_of(attributes);
    struct span tail, file;
    while (next(&r, &tail, &file)) {
        if (equals(tail, without))
            continue;
        write_u8(list, (uint8_t)tail.size);
        write_bytes(list, tail.data, tail.size);
        write_bytes(list, file.data, file.size);
    }
}

static void finish(struct span attributes, const struct writer *list, struct writer *w)
{
    attributes_write_but(w, attributes, ATTRIBUTE_SLAVES);
    if (list->size > 0)
        attribute_write(w, ATTRIBUTE_SLAVES, span_of(list->data, list->size));
    w->failed |= list->failed;
}

void fdfs_slave_put(
    struct span attributes, struct span tail, const struct fid *slave, struct writer *w)
{
    uint8_t bytes[SLOT_ATTRIBUTES_MAX];
    struct writer list = {bytes, sizeof bytes, 0, false};
    copy_list(attributes, tail, &list);
    write_u8(&list, (uint8_t)tail.size);
    write_bytes(&list, tail.data, tail.size);
    write_file(&list, slave);
    finish(attributes, &list, w);
}

void fdfs_slave_remove(struct span attributes, struct span tail, struct writer *w)
{
    uint8_t bytes[SLOT_ATTRIBUTES_MAX];
    struct writer list = {bytes, sizeof bytes, 0, false};
    copy_list(attributes, tail, &list);
    finish(attributes, &list, w);
}
