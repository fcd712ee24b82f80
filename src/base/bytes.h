/* Little- and big-endian numbers in byte buffers, and cursors whose failure is sticky: encode or
 * decode a whole struct, then ask once whether it fitted. */
#ifndef CAIRN_BASE_BYTES_H
#define CAIRN_BASE_BYTES_H

#include <string.h>

#include "base/check.h"

struct span {
    const uint8_t *data; /* borrowed */
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){data, size};
}
static inline struct span span_of_text(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}
static inline bool span_equals_text(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}
/** Copy into a NUL-terminated field of `size` bytes. False (field empty) if it does not fit or
 * holds a NUL. */
static inline bool span_to_text(struct span span, char *field, size_t size)
{
    field[0] = '\0';
    if (span.size >= size || (span.size > 0 && memchr(span.data, 0, span.size)))
        return false;
    if (span.size > 0)
        memcpy(field, span.data, span.size);
    field[span.size] = '\0';
    return true;
}

static inline void put_u16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, 2);
}
static inline void put_u32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}
static inline void put_u64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
}
static inline uint16_t get_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little endian only");

static inline void put_u32_be(uint8_t *p, uint32_t v)
{
    put_u32(p, __builtin_bswap32(v));
}
static inline void put_u64_be(uint8_t *p, uint64_t v)
{
    put_u64(p, __builtin_bswap64(v));
}
static inline uint32_t get_u32_be(const uint8_t *p)
{
    return __builtin_bswap32(get_u32(p));
}
static inline uint64_t get_u64_be(const uint8_t *p)
{
    return __builtin_bswap64(get_u64(p));
}

struct writer {
    uint8_t *data;
    size_t capacity;
    size_t size;
    bool failed; /* something did not fit; size stays where it was */
};

static inline uint8_t *writer_take(struct writer *w, size_t size)
{
    if (w->failed || w->capacity - w->size < size) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}
static inline void write_bytes(struct writer *w, const void *data, size_t size)
{
    uint8_t *at = writer_take(w, size);
    if (at && size > 0)
        memcpy(at, data, size);
}
/** `value` as text, without leading zeros. */
static inline void write_decimal(struct writer *w, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    write_bytes(w, digits + at, sizeof digits - at);
}
static inline void write_u8(struct writer *w, uint8_t v)
{
    write_bytes(w, &v, 1);
}
static inline void write_u16(struct writer *w, uint16_t v)
{
    write_bytes(w, &v, 2);
}
static inline void write_u32(struct writer *w, uint32_t v)
{
    write_bytes(w, &v, 4);
}
static inline void write_u64(struct writer *w, uint64_t v)
{
    write_bytes(w, &v, 8);
}
/** u16 length, then the bytes. */
static inline void write_text(struct writer *w, struct span text)
{
    if (text.size > UINT16_MAX) {
        w->failed = true;
        return;
    }
    write_u16(w, (uint16_t)text.size);
    write_bytes(w, text.data, text.size);
}

struct reader {
    const uint8_t *data;
    size_t size;
    size_t at;
    bool failed; /* ran past the end: everything read since is zero */
};

static inline const uint8_t *reader_take(struct reader *r, size_t size)
{
    if (r->failed || r->size - r->at < size) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->data + r->at;
    r->at += size;
    return at;
}
static inline uint8_t read_u8(struct reader *r)
{
    const uint8_t *at = reader_take(r, 1);
    return at ? *at : 0;
}
static inline uint16_t read_u16(struct reader *r)
{
    const uint8_t *at = reader_take(r, 2);
    return at ? get_u16(at) : 0;
}
static inline uint32_t read_u32(struct reader *r)
{
    const uint8_t *at = reader_take(r, 4);
    return at ? get_u32(at) : 0;
}
static inline uint64_t read_u64(struct reader *r)
{
    const uint8_t *at = reader_take(r, 8);
    return at ? get_u64(at) : 0;
}
static inline void read_bytes(struct reader *r, void *ret, size_t size)
{
    const uint8_t *at = reader_take(r, size);
    if (at)
        memcpy(ret, at, size);
    else
        memset(ret, 0, size);
}
/** u16 length, then the bytes: points into the reader's buffer. */
static inline struct span read_text(struct reader *r)
{
    size_t size = read_u16(r);
    const uint8_t *at = reader_take(r, size);
    return at ? span_of(at, size) : span_of(NULL, 0);
}

#endif
