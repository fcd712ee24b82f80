#include "bin/manifest.h"

#include <inttypes.h>

void manifest_format(const struct manifest_line *line, struct text *text)
{
    text_add(text, "%s\t%" PRIu64 "\t%08" PRIx32 "\t%" PRIu64 "\t", line->id, line->size, line->crc,
        line->modify_ns);
    for (const char *at = line->path; *at != '\0'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (byte == '\\')
            text_add(text, "\\\\");
        else if (byte < 0x20 || byte == 0x7f)
            text_add(text, "\\x%02x", byte);
        else
            text_add_char(text, *at);
    }
    text_add_char(text, '\n');
}

/* The bytes up to the next TAB, which is skipped. False: there is none. */
static bool take_column(struct span *rest, struct span *ret)
{
    const uint8_t *tab = rest->size > 0 ? memchr(rest->data, '\t', rest->size) : NULL;
    if (!tab)
        return false;
    size_t size = (size_t)(tab - rest->data);
    *ret = span_of(rest->data, size);
    *rest = span_of(tab + 1, rest->size - size - 1);
    return true;
}

static bool digit_value(uint8_t c, uint64_t base, uint64_t *ret)
{
    uint64_t digit;
    if (c >= '0' && c <= '9')
        digit = (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        digit = (uint64_t)(c - 'a') + 10;
    else
        return false;
    *ret = digit;
    return digit < base;
}

static bool span_to_number(struct span span, uint64_t base, uint64_t *ret)
{
    uint64_t value = 0, digit;
    if (span.size == 0)
        return false;
    for (size_t i = 0; i < span.size; i++) {
        if (!digit_value(span.data[i], base, &digit) || value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *ret = value;
    return true;
}

/* One character of an escaped path; returns how many bytes it took, 0 if it is malformed. */
static size_t unescape_one(struct span rest, char *ret)
{
    uint64_t value;
    if (rest.data[0] != '\\') {
        *ret = (char)rest.data[0];
        return rest.data[0] == '\0' ? 0 : 1;
    }
    if (rest.size >= 2 && rest.data[1] == '\\') {
        *ret = '\\';
        return 2;
    }
    if (rest.size < 4 || rest.data[1] != 'x'
        || !span_to_number(span_of(rest.data + 2, 2), 16, &value) || value == 0)
        return 0;
    *ret = (char)value;
    return 4;
}

static bool unescape_path(struct span span, char ret[MANIFEST_PATH_MAX])
{
    size_t size = 0;
    for (size_t at = 0; at < span.size; size++) {
        if (size == MANIFEST_PATH_MAX - 1)
            return false;
        size_t taken = unescape_one(span_of(span.data + at, span.size - at), &ret[size]);
        if (taken == 0)
            return false;
        at += taken;
    }
    ret[size] = '\0';
    return size > 0;
}

enum manifest_result manifest_parse(struct span bytes, struct manifest_line *ret)
{
    struct span rest = bytes, id, size, crc, modified;
    uint64_t crc_number;
    if (bytes.size == 0 || bytes.data[0] == '#')
        return MANIFEST_COMMENT;
    if (!take_column(&rest, &id) || !take_column(&rest, &size) || !take_column(&rest, &crc)
        || !take_column(&rest, &modified))
        return MANIFEST_BAD;
    if (id.size == 0 || !span_to_text(id, ret->id, sizeof ret->id)
        || !span_to_number(size, 10, &ret->size) || crc.size != 8
        || !span_to_number(crc, 16, &crc_number) || !span_to_number(modified, 10, &ret->modify_ns)
        || !unescape_path(rest, ret->path))
        return MANIFEST_BAD;
    ret->crc = (uint32_t)crc_number;
    return MANIFEST_LINE;
}

/* The first part of a path: its length; *ret_next is where the next part begins. */
static size_t path_part(const char *path, const char **ret_next)
{
    size_t length = strcspn(path, "/");
    *ret_next = path + length + (path[length] == '/');
    return length;
}

static bool part_is(const char *part, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(part, name, length) == 0;
}

bool manifest_path_is_safe(const char *path)
{
    size_t total = strlen(path);
    if (total == 0 || total >= MANIFEST_PATH_MAX || path[total - 1] == '/')
        return false;
    for (const char *at = path, *next; *at != '\0'; at = next) {
        size_t length = path_part(at, &next);
        if (length == 0 || part_is(at, length, ".") || part_is(at, length, ".."))
            return false;
    }
    return true;
}

bool manifest_path_normalize(const char *path, char ret[MANIFEST_PATH_MAX])
{
    size_t size = 0;
    for (const char *at = path, *next; *at != '\0'; at = next) {
        size_t length = path_part(at, &next);
        bool is_up = part_is(at, length, "..");
        if (length == 0 || part_is(at, length, ".") || (is_up && size == 0))
            continue;
        if (is_up || size + (size > 0) + length >= MANIFEST_PATH_MAX)
            return false;
        if (size > 0)
            ret[size++] = '/';
        memcpy(ret + size, at, length);
        size += length;
    }
    ret[size] = '\0';
    return size > 0;
}
