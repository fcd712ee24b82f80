#include "storage/full_entry.h"

struct metas {
    uint8_t home[SLOT_META_MAX], target[SLOT_META_MAX];
};

/* Header, attributes and table of the content, where it lies. */
static struct span content_meta(const struct object *object, uint8_t *bytes)
{
    const struct slot_header *header = &object->header;
    if (object->is_single)
        return span_of(bytes, single_meta_encode(header, object->attributes, bytes));
    return span_of(object->meta, slot_meta_size(header->slot_size, header->attributes_size));
}

/* A forward has the attributes of its content if they fit, and a table of zeros. */
static struct span forward_meta(const struct object *object, uint8_t *bytes)
{
    static const uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE];
    struct slot_header header = object->home_header;
    header.attributes_size = forward_attributes_size(header.slot_size, &object->attributes);
    return span_of(
        bytes, slot_meta_encode(&header, object->attributes.data, table, object->home_seed, bytes));
}

static void fill_record(
    const struct object *object, bool is_inline, struct metas *metas, struct record *ret)
{
    const struct slot_header *header = &object->header;
    *ret = (struct record){.kind = RECORD_FULL,
        .origin = object->store->config.machine,
        .mount = object->home.mount,
        .stream = object->home.stream,
        .identity = header->identity,
        .version = header->version,
        .nonce = header->nonce,
        .time_ns = header->modify_ns,
        .home = object->home,
        .total_size = header->size,
        .content_size = header->size < UINT32_MAX ? (uint32_t)header->size : UINT32_MAX,
        .content_crc = header->content_crc};
    if (object->is_single)
        ret->flags |= RECORD_RENAMES;
    if (object->at_target) {
        ret->flags |= RECORD_AT_TARGET;
        ret->target = object->place;
        ret->home_meta = forward_meta(object, metas->home);
        ret->target_meta = content_meta(object, metas->target);
    } else {
        ret->home_meta = content_meta(object, metas->home);
    }
    if (!is_inline)
        return;
    ret->flags |= RECORD_INLINE;
    ret->content = object->data;
}

size_t full_entry_size(const struct object *object, bool is_inline)
{
    const struct slot_header *header = &object->header;
    size_t size = ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE
                  + slot_meta_size(header->slot_size, header->attributes_size) + 8;
    if (object->at_target) {
        uint32_t slot_size = object->home_header.slot_size;
        size += slot_meta_size(slot_size, forward_attributes_size(slot_size, &object->attributes));
    }
    return size + (is_inline ? (size_t)header->size : 0);
}

err_t full_entry_write(const struct object *object, bool is_inline, struct writer *w)
{
    struct metas metas;
    struct entry entry = {0};
    bool is_packed = object->place.kind == PLACE_PACKED;
    CHECK(object->is_open && (!is_inline || object->data.size == object->header.size));
    fill_record(object, is_inline, &metas, &entry.record);
    if (object->has_home_header)
        entry.home_seed = object->home_seed;
    if (object->at_target && is_packed)
        entry.target_seed = object->ref.file->header.seed;
    entry_encode(&entry, w);
    return ERR_OK;
}
