#include "wire/fdfs_id.h"

#include "wire/base64url.h"
#include "wire/fdfs.h"
#include "wire/fid.h"

enum {
    CORE_SIZE = 20,
    TIME_AT = 4,
    SIZE_AT = 8,
    CRC_AT = 16,
    TRUNK_SIZE = 12,
    REST_MAX = SUFFIX_FIELD + FDFS_PREFIX_SIZE + 1 + FDFS_SUFFIX_SIZE,
};

enum {              /* bits of the size word */
    SMALL_BIT = 63, /* the low 32 bits are the size, random bits are above them */
    OURS_SHIFT = 60,
    OURS_MASK = 7, /* FastDFS leaves these bits 0 */
    TRUNK_BIT = 59,
    APPENDER_BIT = 58,
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "M00/0A/1F/" */
static bool path_is_valid(struct span name, uint8_t *ret_index)
{
    static const char form[] = "MHH/HH/HH/";
    for (size_t i = 0; i < FDFS_PATH_LENGTH; i++)
        if (form[i] == 'H' ? hex_value(name.data[i]) < 0 : name.data[i] != (uint8_t)form[i])
            return false;
    *ret_index = (uint8_t)(hex_value(name.data[1]) << 4 | hex_value(name.data[2]));
    return true;
}

static void take_size(uint64_t word, struct fdfs_id *id)
{
    id->is_appender = word >> APPENDER_BIT & 1;
    id->is_trunk = word >> TRUNK_BIT & 1;
    id->size = word >> SMALL_BIT & 1 ? (uint32_t)word : word;
    if (id->is_appender)
        id->size = 0;
}

/* Sizes of 4 GiB and more, and only they, stand there as they are: they are below 2^58. */
static bool word_is_valid(uint64_t word)
{
    bool is_plain = (word >> SMALL_BIT & 1) == 0;
    return (word >> OURS_SHIFT & OURS_MASK) == 0
           && (!is_plain || (word > UINT32_MAX && word >> APPENDER_BIT == 0));
}

static bool take_trunk(struct span text, struct fdfs_id *id)
{
    uint8_t place[TRUNK_SIZE];
    if (text.size < FDFS_TRUNK_LENGTH
        || !base64url_decode(span_of(text.data, FDFS_TRUNK_LENGTH), place, sizeof place))
        return false;
    id->trunk = get_u32_be(place);
    id->offset = get_u32_be(place + 4);
    id->allocated = get_u32_be(place + 8);
    return true;
}

err_t fdfs_id_parse(struct span name, struct fdfs_id *ret)
{
    struct fdfs_id id = {.name = name};
    uint8_t core[CORE_SIZE];
    size_t at = FDFS_PATH_LENGTH + FDFS_CORE_LENGTH;
    if (name.size <= at || name.size > FDFS_NAME_MAX || !path_is_valid(name, &id.path)
        || !base64url_decode(
            span_of(name.data + FDFS_PATH_LENGTH, FDFS_CORE_LENGTH), core, sizeof core))
        return ERR(USAGE, 0);
    uint64_t word = get_u64_be(core + SIZE_AT);
    if (!word_is_valid(word))
        return ERR(USAGE, 0);
    memcpy(id.source, core, sizeof id.source);
    id.time_s = get_u32_be(core + TIME_AT);
    id.crc = get_u32_be(core + CRC_AT);
    take_size(word, &id);
    if (id.is_trunk && !take_trunk(span_of(name.data + at, name.size - at), &id))
        return ERR(USAGE, 0);
    at += id.is_trunk ? FDFS_TRUNK_LENGTH : 0;
    id.rest = span_of(name.data + at, name.size - at);
    if (id.rest.size == 0 || id.rest.size > REST_MAX || !fdfs_word_is_valid(id.rest))
        return ERR(USAGE, 0);
    id.is_slave = id.rest.size != SUFFIX_FIELD || !suffix_part_is_valid(id.rest);
    *ret = id;
    return ERR_OK;
}
