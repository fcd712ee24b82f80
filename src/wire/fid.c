#include "wire/fid.h"

#include "wire/base64url.h"
#include "wire/slot.h"

/* The 20 bytes behind the 27 characters, the 12 behind the 16. */
enum {
    ORIGIN_AT = 0,
    SECONDS_AT = 4,
    SIZE_WORD_AT = 8,
    CRC_AT = 16,
    CORE_SIZE = 20,
    CORE_LENGTH = 27,
    CHUNK_AT = 0,
    OFFSET_AT = 4,
    SLOT_SIZE_AT = 8,
    PLACE_SIZE = 12,
    PLACE_LENGTH = 16,
    SUFFIX_LENGTH = SUFFIX_FIELD,
};

enum { /* bits of the size word */
    SIZE_BIT = 63,
    FORMAT_SHIFT = 60,
    FORMAT_MASK = 7,
    PACKED_BIT = 59,
    APPENDER_BIT = 58,
    UNUSED_SHIFT = 55,
    UNUSED_MASK = 7,
    SEQUENCE_SHIFT = 32,
    SEQUENCE_MASK = (1 << CLOCK_SEQUENCE_BITS) - 1,
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(uint8_t c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool group_name_is_valid(struct span name)
{
    if (name.size == 0 || name.size > GROUP_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_letter_or_digit(name.data[i]))
            return false;
    return true;
}

bool suffix_is_valid(struct span suffix)
{
    bool was_dot = true; /* none at either end, no two in a row */
    if (suffix.size > SUFFIX_MAX)
        return false;
    for (size_t i = 0; i < suffix.size; i++) {
        uint8_t c = suffix.data[i];
        bool is_dot = c == '.';
        if (is_dot ? was_dot : !is_letter_or_digit(c) && c != '_' && c != '-')
            return false;
        was_dot = is_dot;
    }
    return suffix.size == 0 || !was_dot;
}

void suffix_part(struct span suffix, uint64_t random, char ret[SUFFIX_FIELD + 1])
{
    CHECK(suffix_is_valid(suffix));
    size_t fill = suffix.size > 0 ? SUFFIX_FIELD - 1 - suffix.size : SUFFIX_FIELD;
    for (size_t i = 0; i < fill; i++, random /= 10)
        ret[i] = (char)('0' + random % 10);
    if (suffix.size > 0) {
        ret[fill] = '.';
        memcpy(ret + fill + 1, suffix.data, suffix.size);
    }
    ret[SUFFIX_FIELD] = '\0';
}

/* Digits, and if there are fewer than 7, a dot and 1 to 6 characters. */
bool suffix_part_is_valid(struct span part)
{
    size_t fill = 0;
    while (fill < part.size && is_digit(part.data[fill]))
        fill++;
    if (fill == SUFFIX_FIELD)
        return true;
    struct span suffix = span_of(part.data + fill + 1, part.size - fill - 1);
    return part.data[fill] == '.' && suffix.size > 0 && suffix_is_valid(suffix);
}

/* A cursor over the text; one failure is enough. */
static bool take_char(struct span *rest, char c)
{
    if (rest->size == 0 || rest->data[0] != (uint8_t)c)
        return false;
    *rest = span_of(rest->data + 1, rest->size - 1);
    return true;
}

static int hex_value(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_hex(struct span *rest, uint8_t *ret)
{
    if (rest->size < 2)
        return false;
    int high = hex_value(rest->data[0]), low = hex_value(rest->data[1]);
    if (high < 0 || low < 0)
        return false;
    *ret = (uint8_t)(high << 4 | low);
    *rest = span_of(rest->data + 2, rest->size - 2);
    return true;
}

static bool take_group(struct span *rest, char ret[GROUP_NAME_MAX + 1])
{
    const uint8_t *slash = rest->size > 0 ? memchr(rest->data, '/', rest->size) : NULL;
    if (!slash)
        return false;
    struct span name = span_of(rest->data, (size_t)(slash - rest->data));
    *rest = span_of(slash, rest->size - name.size);
    return group_name_is_valid(name) && span_to_text(name, ret, GROUP_NAME_MAX + 1);
}

/* "<group>/M<hh>/<hh>/<hh>/" */
static bool take_path(struct span *rest, struct fid *fid, uint8_t *ret_low)
{
    return take_group(rest, fid->group) && take_char(rest, '/') && take_char(rest, 'M')
           && take_hex(rest, &fid->mount) && take_char(rest, '/') && take_hex(rest, &fid->stream)
           && take_char(rest, '/') && take_hex(rest, ret_low) && take_char(rest, '/');
}

static err_t read_core(struct span text, struct fid *fid)
{
    uint8_t core[CORE_SIZE];
    if (text.size < CORE_LENGTH
        || !base64url_decode(span_of(text.data, CORE_LENGTH), core, CORE_SIZE))
        return ERR(USAGE, 0);
    uint64_t word = get_u64_be(core + SIZE_WORD_AT);
    if ((word >> FORMAT_SHIFT & FORMAT_MASK) != FID_FORMAT)
        return ERR(UNSUPPORTED, 0);
    if (!(word >> SIZE_BIT & 1) || (word >> UNUSED_SHIFT & UNUSED_MASK) != 0)
        return ERR(USAGE, 0);
    fid->is_packed = word >> PACKED_BIT & 1;
    fid->is_mutable = word >> APPENDER_BIT & 1;
    fid->size = (uint32_t)word;
    if (fid->is_mutable && fid->size != 0)
        return ERR(USAGE, 0);
    fid->crc = get_u32_be(core + CRC_AT);
    fid->identity.origin = get_u32(core + ORIGIN_AT);
    if (fid->identity.origin == 0 || fid->identity.origin > MACHINE_MAX)
        return ERR(USAGE, 0);
    fid->identity.clock = (uint64_t)get_u32_be(core + SECONDS_AT) << CLOCK_SEQUENCE_BITS
                          | (word >> SEQUENCE_SHIFT & SEQUENCE_MASK);
    return ERR_OK;
}

static bool place_is_valid(const struct fid *fid)
{
    return fid->chunk >= 1 && fid->offset % SLOT_UNIT == 0 && fid->slot_size >= SLOT_UNIT
           && fid->slot_size % SLOT_UNIT == 0
           && (uint64_t)fid->offset + fid->slot_size <= UINT64_C(1) << 32;
}

static bool read_place(struct span text, struct fid *fid)
{
    uint8_t place[PLACE_SIZE];
    if (!base64url_decode(text, place, PLACE_SIZE))
        return false;
    fid->chunk = get_u32_be(place + CHUNK_AT);
    fid->offset = get_u32_be(place + OFFSET_AT);
    fid->slot_size = get_u32_be(place + SLOT_SIZE_AT);
    return place_is_valid(fid);
}

static uint8_t low_bits(const struct fid *fid)
{
    return (uint8_t)(fid->is_packed ? fid->chunk : fid->identity.clock);
}

bool fid_group_of(struct span text, struct span *ret)
{
    const uint8_t *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    size_t size = slash ? (size_t)(slash - text.data) : 0;
    if (size == 0 || size > GROUP_NAME_MAX || text.size < size + 5 || slash[1] != 'M'
        || slash[4] != '/')
        return false;
    *ret = span_of(text.data, size);
    return true;
}

err_t fid_parse(struct span text, struct fid *ret)
{
    struct fid fid = {};
    uint8_t low;
    if (!take_path(&text, &fid, &low))
        return ERR(USAGE, 0);
    TRY(read_core(text, &fid));
    size_t place_length = fid.is_packed ? PLACE_LENGTH : 0;
    if (text.size != CORE_LENGTH + place_length + SUFFIX_LENGTH)
        return ERR(USAGE, 0);
    if (fid.is_packed && !read_place(span_of(text.data + CORE_LENGTH, PLACE_LENGTH), &fid))
        return ERR(USAGE, 0);
    struct span part = span_of(text.data + CORE_LENGTH + place_length, SUFFIX_LENGTH);
    if (low != low_bits(&fid) || !suffix_part_is_valid(part))
        return ERR(USAGE, 0);
    memcpy(fid.identity.suffix, part.data, SUFFIX_LENGTH);
    *ret = fid;
    return ERR_OK;
}

static void check_ranges(const struct fid *fid)
{
    CHECK(group_name_is_valid(span_of_text(fid->group)));
    CHECK(fid->identity.origin >= 1 && fid->identity.origin <= MACHINE_MAX);
    CHECK(fid->identity.clock <= FID_CLOCK_MAX);
    CHECK(strlen(fid->identity.suffix) == SUFFIX_FIELD);
    CHECK(suffix_part_is_valid(span_of(fid->identity.suffix, SUFFIX_FIELD)));
    CHECK(!fid->is_packed || place_is_valid(fid));
}

static uint64_t size_word(const struct fid *fid)
{
    bool has_no_size = fid->is_mutable || fid->size > FID_SIZE_MAX;
    return UINT64_C(1) << SIZE_BIT | (uint64_t)FID_FORMAT << FORMAT_SHIFT
           | (uint64_t)fid->is_packed << PACKED_BIT | (uint64_t)has_no_size << APPENDER_BIT
           | (fid->identity.clock & SEQUENCE_MASK) << SEQUENCE_SHIFT
           | (has_no_size ? 0 : fid->size);
}

static void write_hex(struct writer *w, uint8_t value)
{
    static const char digits[] = "0123456789ABCDEF";
    write_u8(w, (uint8_t)digits[value >> 4]);
    write_u8(w, (uint8_t)digits[value & 15]);
}

static void write_base64(struct writer *w, const uint8_t *data, size_t size)
{
    char text[CORE_LENGTH];
    base64url_encode(data, size, text);
    write_bytes(w, text, base64url_length(size));
}

static void write_core(struct writer *w, const struct fid *fid)
{
    uint8_t core[CORE_SIZE];
    put_u32(core + ORIGIN_AT, fid->identity.origin);
    put_u32_be(core + SECONDS_AT, (uint32_t)(fid->identity.clock >> CLOCK_SEQUENCE_BITS));
    put_u64_be(core + SIZE_WORD_AT, size_word(fid));
    put_u32_be(core + CRC_AT, fid->crc);
    write_base64(w, core, sizeof core);
}

static void write_place(struct writer *w, const struct fid *fid)
{
    uint8_t place[PLACE_SIZE];
    put_u32_be(place + CHUNK_AT, fid->chunk);
    put_u32_be(place + OFFSET_AT, fid->offset);
    put_u32_be(place + SLOT_SIZE_AT, fid->slot_size);
    write_base64(w, place, sizeof place);
}

size_t fid_format(const struct fid *fid, char text[FID_TEXT_MAX])
{
    check_ranges(fid);
    struct writer w = {.data = (uint8_t *)text, .capacity = FID_TEXT_MAX - 1};
    write_bytes(&w, fid->group, strlen(fid->group));
    write_bytes(&w, "/M", 2);
    write_hex(&w, fid->mount);
    write_u8(&w, '/');
    write_hex(&w, fid->stream);
    write_u8(&w, '/');
    write_hex(&w, low_bits(fid));
    write_u8(&w, '/');
    write_core(&w, fid);
    if (fid->is_packed)
        write_place(&w, fid);
    write_bytes(&w, fid->identity.suffix, SUFFIX_FIELD);
    CHECK(!w.failed);
    text[w.size] = '\0';
    return w.size;
}
