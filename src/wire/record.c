#include "wire/record.h"

#include "base/crc.h"

/* ---- segment header page: 0 magic | 4 CRC of bytes 8.. | 8 format u32 | 12 machine u32
 * 16 storage uuid | 32 mount uuid | 48 number | 56 incarnation | 64 salt | 72 first LSN
 * 80 previous number | 88 previous end | 96 mount u8, stream u8 | zeros ---- */

void log_segment_encode(const struct log_segment_header *header, uint8_t ret[LOG_PAGE])
{
    memset(ret, 0, LOG_PAGE);
    put_u32(ret, LOG_SEGMENT_MAGIC);
    put_u32(ret + 8, LOG_FORMAT);
    put_u32(ret + 12, header->machine);
    memcpy(ret + 16, header->storage_uuid, 16);
    memcpy(ret + 32, header->mount_uuid, 16);
    put_u64(ret + 48, header->number);
    put_u64(ret + 56, header->incarnation);
    put_u64(ret + 64, header->salt);
    put_u64(ret + 72, header->first_lsn);
    put_u64(ret + 80, header->previous_number);
    put_u64(ret + 88, header->previous_end);
    ret[96] = header->mount;
    ret[97] = header->stream;
    put_u32(ret + 4, crc32_update(0, ret + 8, LOG_PAGE - 8));
}

err_t log_segment_decode(const uint8_t page[LOG_PAGE], struct log_segment_header *ret)
{
    if (get_u32(page) != LOG_SEGMENT_MAGIC)
        return ERR(CORRUPT, 0);
    if (get_u32(page + 4) != crc32_update(0, page + 8, LOG_PAGE - 8))
        return ERR(CORRUPT, 0);
    if (get_u32(page + 8) < 1 || get_u32(page + 8) > LOG_FORMAT)
        return ERR(FORMAT, 0);
    *ret = (struct log_segment_header){.number = get_u64(page + 48),
        .incarnation = get_u64(page + 56),
        .salt = get_u64(page + 64),
        .first_lsn = get_u64(page + 72),
        .previous_number = get_u64(page + 80),
        .previous_end = get_u64(page + 88),
        .machine = get_u32(page + 12),
        .mount = page[96],
        .stream = page[97]};
    memcpy(ret->storage_uuid, page + 16, 16);
    memcpy(ret->mount_uuid, page + 32, 16);
    return ERR_OK;
}

/* ---- batch header: 0 magic | 4 CRC | 8 size u32 | 12 used u32 | 16 record count u32, 20 zero
 * 24 first LSN | 32 durable LSN | 40 segment number | 48 incarnation | 56 zero ---- */

static uint32_t batch_crc(
    const uint8_t *batch, uint32_t size, const struct log_segment_header *segment)
{
    uint8_t key[24];
    put_u64(key, segment->salt);
    put_u64(key + 8, segment->number);
    put_u64(key + 16, segment->incarnation);
    uint32_t crc = crc32_update(0, key, sizeof key);
    return crc32_update(crc, batch + 8, size - 8);
}

void log_batch_seal(
    uint8_t *batch, const struct log_batch_header *header, const struct log_segment_header *segment)
{
    CHECK(header->size % LOG_PAGE == 0 && header->used <= header->size);
    memset(batch, 0, LOG_BATCH_HEADER_SIZE);
    put_u32(batch, LOG_BATCH_MAGIC);
    put_u32(batch + 8, header->size);
    put_u32(batch + 12, header->used);
    put_u32(batch + 16, header->record_count);
    put_u64(batch + 24, header->first_lsn);
    put_u64(batch + 32, header->durable_lsn);
    put_u64(batch + 40, segment->number);
    put_u64(batch + 48, segment->incarnation);
    put_u32(batch + 4, batch_crc(batch, header->size, segment));
}

err_t log_batch_peek(struct span bytes, struct log_batch_header *ret)
{
    if (bytes.size < LOG_BATCH_HEADER_SIZE || get_u32(bytes.data) != LOG_BATCH_MAGIC)
        return ERR(CORRUPT, 0);
    struct log_batch_header header = {.size = get_u32(bytes.data + 8),
        .used = get_u32(bytes.data + 12),
        .record_count = get_u32(bytes.data + 16),
        .first_lsn = get_u64(bytes.data + 24),
        .durable_lsn = get_u64(bytes.data + 32)};
    if (header.size == 0 || header.size % LOG_PAGE != 0 || header.used > header.size
        || header.used < LOG_BATCH_HEADER_SIZE)
        return ERR(CORRUPT, 0);
    *ret = header;
    return ERR_OK;
}

err_t log_batch_check(
    struct span bytes, const struct log_segment_header *segment, struct log_batch_header *ret)
{
    struct log_batch_header header;
    TRY(log_batch_peek(bytes, &header));
    if (header.size > bytes.size || get_u64(bytes.data + 40) != segment->number
        || get_u64(bytes.data + 48) != segment->incarnation)
        return ERR(CORRUPT, 0);
    if (get_u32(bytes.data + 4) != batch_crc(bytes.data, header.size, segment))
        return ERR(CORRUPT, 0);
    *ret = header;
    return ERR_OK;
}

/* ---- record header: 0 size u32 | 4 CRC of bytes 8.. | 8 LSN | 16 incarnation | 24 origin u32
 * 28 mount, stream, kind, flags | 32 clock | 40 identity origin u32 | 44 suffix 7, zero
 * 52 version machine u32 | 56 version counter | 64 base counter | 72 base machine u32
 * 76 home meta size u16, 78 target meta size u16 | 80 nonce | 96 time | 104 watermark
 * 112 home | 136 target | 160 freed | 184 content offset | 192 total size
 * 200 content size u32 | 204 content CRC u32 | 208 entry count u32 | 212 zero ---- */
_Static_assert(RECORD_HEADER_SIZE == 216, "doc/disk-format.md");
/* ---- extension: 0 source incarnation | 8 source LSN | 16 digest delta | 24 live delta i8, 7 zero
 * 32 zero ---- */
_Static_assert(RECORD_EXTENSION_SIZE == 40, "doc/disk-format.md");

static size_t inline_size(const struct record *record)
{
    return record->flags & RECORD_INLINE ? record->content_size : 0;
}

static size_t extension_size(const struct record *record)
{
    return record->flags & RECORD_EXTENDED ? RECORD_EXTENSION_SIZE : 0;
}

size_t record_size(const struct record *record)
{
    size_t size = RECORD_HEADER_SIZE + extension_size(record) + record->home_meta.size
                  + record->target_meta.size + record->entries.size + inline_size(record);
    return (size + 7) & ~(size_t)7;
}

static void record_header_encode(const struct record *record, uint8_t *p)
{
    put_u64(p + 8, record->lsn);
    put_u64(p + 16, record->incarnation);
    put_u32(p + 24, record->origin);
    p[28] = record->mount;
    p[29] = record->stream;
    p[30] = record->kind;
    p[31] = record->flags;
    put_u64(p + 32, record->identity.clock);
    put_u32(p + 40, record->identity.origin);
    memcpy(p + 44, record->identity.suffix, SUFFIX_FIELD);
    p[51] = 0;
    put_u32(p + 52, record->version.machine);
    put_u64(p + 56, record->version.counter);
    put_u64(p + 64, record->base.counter);
    put_u32(p + 72, record->base.machine);
    put_u16(p + 76, (uint16_t)record->home_meta.size);
    put_u16(p + 78, (uint16_t)record->target_meta.size);
    memcpy(p + 80, record->nonce.bytes, 16);
    put_u64(p + 96, record->time_ns);
    put_u64(p + 104, record->watermark);
    place_encode(&record->home, p + 112);
    place_encode(&record->target, p + 136);
    place_encode(&record->freed, p + 160);
    put_u64(p + 184, record->content_offset);
    put_u64(p + 192, record->total_size);
    put_u32(p + 200, record->content_size);
    put_u32(p + 204, record->content_crc);
    put_u32(p + 208, (uint32_t)(record->entries.size / 8));
    put_u32(p + 212, 0);
}

static void extension_encode(const struct record *record, uint8_t *p)
{
    memset(p, 0, RECORD_EXTENSION_SIZE);
    put_u64(p, record->source_incarnation);
    put_u64(p + 8, record->source_lsn);
    put_u64(p + 16, record->digest_delta);
    p[24] = (uint8_t)record->live_delta;
}

static void extension_decode(const uint8_t *p, struct record *ret)
{
    ret->source_incarnation = get_u64(p);
    ret->source_lsn = get_u64(p + 8);
    ret->digest_delta = get_u64(p + 16);
    ret->live_delta = (int8_t)p[24];
}

static struct span copy_in(struct span from, uint8_t **at)
{
    struct span copy = span_of(*at, from.size);
    if (from.size > 0)
        memcpy(*at, from.data, from.size);
    *at += from.size;
    return copy;
}

void record_encode(const struct record *record, struct writer *w, struct record *stored)
{
    CHECK(record->home_meta.size <= SLOT_META_MAX && record->target_meta.size <= SLOT_META_MAX);
    CHECK(record->entries.size % 8 == 0 && record->entries.size / 8 <= RECORD_ENTRIES_MAX);
    CHECK(!(record->flags & RECORD_INLINE) || record->content.size == record->content_size);
    size_t size = record_size(record);
    uint8_t *p = writer_take(w, size);
    if (!p)
        return;
    record_header_encode(record, p);
    struct record copy = *record;
    uint8_t *at = p + RECORD_HEADER_SIZE;
    if (record->flags & RECORD_EXTENDED)
        extension_encode(record, at);
    at += extension_size(record);
    copy.home_meta = copy_in(record->home_meta, &at);
    copy.target_meta = copy_in(record->target_meta, &at);
    copy.entries = copy_in(record->entries, &at);
    if (record->flags & RECORD_INLINE)
        copy.content = copy_in(record->content, &at);
    memset(at, 0, size - (size_t)(at - p));
    put_u32(p, (uint32_t)size);
    put_u32(p + 4, crc32_update(0, p + 8, size - 8));
    if (stored)
        *stored = copy;
}

static void record_header_decode(const uint8_t *p, struct record *ret)
{
    *ret = (struct record){
        .lsn = get_u64(p + 8),
        .incarnation = get_u64(p + 16),
        .origin = get_u32(p + 24),
        .mount = p[28],
        .stream = p[29],
        .kind = p[30],
        .flags = p[31],
        .identity = {.clock = get_u64(p + 32), .origin = get_u32(p + 40)},
        .version = {get_u64(p + 56), get_u32(p + 52)},
        .base = {get_u64(p + 64), get_u32(p + 72)},
        .time_ns = get_u64(p + 96),
        .watermark = get_u64(p + 104),
        .content_offset = get_u64(p + 184),
        .total_size = get_u64(p + 192),
        .content_size = get_u32(p + 200),
        .content_crc = get_u32(p + 204),
    };
    memcpy(ret->identity.suffix, p + 44, SUFFIX_FIELD);
    memcpy(ret->nonce.bytes, p + 80, 16);
    place_decode(p + 112, &ret->home);
    place_decode(p + 136, &ret->target);
    place_decode(p + 160, &ret->freed);
    ret->home_meta.size = get_u16(p + 76);
    ret->target_meta.size = get_u16(p + 78);
    ret->entries.size = (size_t)get_u32(p + 208) * 8;
}

static void record_point_spans(const uint8_t *bytes, struct record *ret)
{
    const uint8_t *at = bytes + RECORD_HEADER_SIZE;
    if (ret->flags & RECORD_EXTENDED)
        extension_decode(at, ret);
    at += extension_size(ret);
    ret->home_meta.data = at;
    ret->target_meta.data = at += ret->home_meta.size;
    ret->entries.data = at += ret->target_meta.size;
    at += ret->entries.size;
    ret->content = span_of(at, inline_size(ret));
}

static bool record_is_in_range(const struct record *record)
{
    return record->kind >= RECORD_UPLOAD && record->kind < RECORD_KIND_COUNT
           && record->home_meta.size <= SLOT_META_MAX && record->target_meta.size <= SLOT_META_MAX
           && record->entries.size / 8 <= RECORD_ENTRIES_MAX
           && (!(record->flags & RECORD_INLINE) || record->content_size <= RECORD_CONTENT_MAX);
}

err_t record_decode(struct span bytes, struct record *ret, size_t *ret_size)
{
    if (bytes.size < RECORD_HEADER_SIZE)
        return ERR(CORRUPT, 0);
    size_t size = get_u32(bytes.data);
    if (size < RECORD_HEADER_SIZE || size > bytes.size || size % 8 != 0)
        return ERR(CORRUPT, 0);
    if (get_u32(bytes.data + 4) != crc32_update(0, bytes.data + 8, size - 8))
        return ERR(CORRUPT, 0);
    struct record record;
    record_header_decode(bytes.data, &record);
    if (!record_is_in_range(&record) || record_size(&record) != size)
        return ERR(CORRUPT, 0);
    record_point_spans(bytes.data, &record);
    *ret = record;
    *ret_size = size;
    return ERR_OK;
}

size_t record_view(const uint8_t *bytes, struct record *ret)
{
    record_header_decode(bytes, ret);
    record_point_spans(bytes, ret);
    return get_u32(bytes);
}

const char *record_kind_name(uint8_t kind)
{
    static const char *const names[RECORD_KIND_COUNT] = {[RECORD_UPLOAD] = "upload",
        [RECORD_REPLACE] = "replace",
        [RECORD_WRITE] = "write",
        [RECORD_APPEND] = "append",
        [RECORD_TRUNCATE] = "truncate",
        [RECORD_DELETE] = "delete",
        [RECORD_LEASE] = "lease",
        [RECORD_ACTIVATE] = "activate",
        [RECORD_FULL] = "full",
        [RECORD_POSITION] = "position"};
    return kind < RECORD_KIND_COUNT && names[kind] ? names[kind] : "unknown";
}
