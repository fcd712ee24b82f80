#include "base/crc.h"
#include "storage/intake.h"

#define REFUSE(code, text)   \
    do {                     \
        *ret_why = (text);   \
        return ERR(code, 0); \
    } while (0)

static bool slot_is_sane(const struct place *place, uint32_t chunk_size)
{
    return place->chunk > 0 && place->offset >= CHUNK_HEADER_SIZE && place->offset % SLOT_UNIT == 0
           && place->slot_size >= SLOT_HEADER_SIZE && place->slot_size <= SLOT_SIZE_MAX
           && place->slot_size <= chunk_size && place->offset <= chunk_size - place->slot_size;
}

static bool machine_is_sane(uint32_t machine)
{
    return machine > 0 && machine <= MACHINE_MAX;
}

static err_t check_place(const struct place *place, uint32_t chunk_size, const char **ret_why)
{
    if (!machine_is_sane(place->machine))
        REFUSE(PROTOCOL, "the record names a place of no storage");
    if (place->kind == PLACE_SINGLE)
        return ERR_OK;
    if (place->kind != PLACE_PACKED || place->chunk == 0 || place->offset % SLOT_UNIT != 0)
        REFUSE(PROTOCOL, "the record names a place that can't be");
    if (!slot_is_sane(place, chunk_size))
        REFUSE(UNSUPPORTED, "the record names a slot outside of the chunks of this storage");
    return ERR_OK;
}

static err_t check_who(const struct record *record, uint32_t self, const char **ret_why)
{
    bool is_change = record->kind >= RECORD_UPLOAD && record->kind <= RECORD_DELETE;
    if (!is_change && record->kind != RECORD_FULL)
        REFUSE(PROTOCOL, "the record is no change of a file");
    if (!machine_is_sane(record->origin) || record->origin == self)
        REFUSE(PROTOCOL, "the record is said to be of this storage itself");
    if (record->identity.origin != record->home.machine || record->identity.clock == 0
        || record->identity.clock > FID_CLOCK_MAX
        || strlen(record->identity.suffix) != SUFFIX_FIELD)
        REFUSE(PROTOCOL, "the record names no identity, or a home elsewhere");
    if (record->version.counter == 0 || !machine_is_sane(record->version.machine))
        REFUSE(PROTOCOL, "the record has no version");
    return ERR_OK;
}

static err_t check_target(const struct record *record, uint32_t chunk_size, const char **ret_why)
{
    const struct place *home = &record->home, *target = &record->target;
    if (!(record->flags & RECORD_AT_TARGET))
        return ERR_OK;
    TRY(check_place(target, chunk_size, ret_why));
    bool has_birth = target->birth > 0 && target->birth <= FID_CLOCK_MAX;
    if (home->kind != PLACE_PACKED || !has_birth || apply_place_overlaps(home, target))
        REFUSE(PROTOCOL, "the record names a target that can't be");
    if (target->mount != home->mount || target->stream != home->stream)
        REFUSE(PROTOCOL, "the record names a target of another stream than its home");
    return ERR_OK;
}

/* ---- the content's header ---- */

static err_t check_block_table(
    const struct record *record, struct span meta, const struct slot_header *header)
{
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE];
    uint64_t count = blocks_count(header->size);
    for (uint32_t i = 0; i < count; i++)
        table[i] = slot_table_entry(meta, header, i);
    struct blocks_range range = blocks_covering(header->size, 0, header->size);
    return blocks_verify(&range, table, record->content.data, NULL);
}

static err_t check_packed_meta(const struct entry *entry, struct span meta, const char **ret_why)
{
    const struct record *record = &entry->record;
    bool at_target = record->flags & RECORD_AT_TARGET;
    const struct place *place = at_target ? &record->target : &record->home;
    struct slot_header header;
    uint32_t need;
    *ret_why = "the record's slot header is damaged";
    err_t err =
        slot_meta_decode(meta, at_target ? entry->target_seed : entry->home_seed, &header, &need);
    if (err_is(err))
        return ERR(CORRUPT, 0);
    bool is_its = identity_equals(&header.identity, &record->identity)
                  && version_equals(header.version, record->version)
                  && header.slot_size == place->slot_size && header.size == record->total_size
                  && meta.size == slot_meta_size(header.slot_size, header.attributes_size)
                  && (header.flags & ~SLOT_MUTABLE) == (at_target ? SLOT_TARGET : 0);
    if (is_its && at_target)
        is_its = place_equals(&header.other, &record->home) && header.birth.counter == place->birth
                 && header.birth.machine == place->machine;
    if (is_its && at_target) /* the forward has to fit, at least without attributes */
        is_its = slot_meta_size(record->home.slot_size, 0) <= record->home.slot_size;
    if (!is_its)
        REFUSE(PROTOCOL, "the record's slot header is not the record's");
    if (!(record->flags & RECORD_INLINE))
        return ERR_OK;
    if (record->content.size != record->total_size
        || crc32_update(0, record->content.data, record->content.size) != header.content_crc)
        REFUSE(CORRUPT, "the record's content is damaged");
    if (slot_table_entries(header.slot_size) > 0
        && err_is(check_block_table(record, meta, &header)))
        REFUSE(CORRUPT, "the record's block checksums are damaged");
    return ERR_OK;
}

static err_t check_single_meta(const struct record *record, struct span meta, const char **ret_why)
{
    struct slot_header header;
    if (err_is(single_meta_decode(meta, &record->identity, &header)))
        REFUSE(CORRUPT, "the record's header of a single file is damaged");
    bool is_its = version_equals(header.version, record->version)
                  && header.size == record->total_size && !(header.flags & ~SLOT_MUTABLE)
                  && place_equals(&header.other, &record->home);
    if (!is_its)
        REFUSE(PROTOCOL, "the record's header of a single file is not the record's");
    return ERR_OK;
}

/* A write brings its bytes in the record, or behind it; a truncate has none; all others come behind. */
static err_t check_single_bytes(const struct record *record, bool has_body, const char **ret_why)
{
    bool is_part = !(record->flags & RECORD_RENAMES);
    bool is_inline = record->flags & RECORD_INLINE;
    if (is_inline && (!is_part || record->kind != RECORD_WRITE))
        REFUSE(PROTOCOL, "a change of a single file brings its content in the record");
    if (is_inline
        && crc32_update(0, record->content.data, record->content.size) != record->content_crc)
        REFUSE(CORRUPT, "the record's content is damaged");
    bool has_none = is_part && record->kind == RECORD_TRUNCATE;
    if (!is_inline && !has_none && !has_body)
        REFUSE(PROTOCOL, "a change of a single file came without its content");
    return ERR_OK;
}

static err_t check_content(const struct entry *entry, bool has_body, const char **ret_why)
{
    const struct record *record = &entry->record;
    bool at_target = record->flags & RECORD_AT_TARGET;
    struct span meta = at_target ? record->target_meta : record->home_meta;
    const struct place *place = at_target ? &record->target : &record->home;
    if (record->total_size > BLOCKS_CONTENT_MAX)
        REFUSE(PROTOCOL, "the record's content is larger than any");
    if (place->kind == PLACE_SINGLE) {
        TRY(check_single_bytes(record, has_body, ret_why));
        return check_single_meta(record, meta, ret_why);
    }
    if (!(record->flags & RECORD_INLINE) && !has_body)
        REFUSE(PROTOCOL, "a change of a slot came without its content");
    if (record->flags & RECORD_RENAMES || record->content_offset != 0)
        REFUSE(PROTOCOL, "a change of a slot does not bring the whole content");
    return check_packed_meta(entry, meta, ret_why);
}

err_t intake_check(const struct entry *entry, uint32_t self, uint32_t chunk_size, bool has_body,
    const char **ret_why)
{
    const struct record *record = &entry->record;
    TRY(check_who(record, self, ret_why));
    TRY(check_place(&record->home, chunk_size, ret_why));
    if (record->home.birth != 0)
        REFUSE(PROTOCOL, "the record names a home that is a target");
    if (record->kind == RECORD_DELETE)
        return ERR_OK;
    TRY(check_target(record, chunk_size, ret_why));
    return check_content(entry, has_body, ret_why);
}
