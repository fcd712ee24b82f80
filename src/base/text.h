/* Bounded string building. Append to a buffer of fixed size, then ask once whether all fitted; the
 * buffer always holds a NUL-terminated text. */
#ifndef CAIRN_BASE_TEXT_H
#define CAIRN_BASE_TEXT_H

#include <stdarg.h>

#include "base/bytes.h"

struct text {
    char *data;      /* borrowed; NUL-terminated */
    size_t capacity; /* bytes, with the NUL */
    size_t size;     /* bytes, without the NUL */
    bool is_cut;     /* something did not fit; what fitted of it is there */
};

/** An empty text in `data`, `capacity` >= 1 bytes. */
void text_init(struct text *text, char *data, size_t capacity);

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_list(struct text *text, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));
void text_add_char(struct text *text, char c);
void text_add_span(struct text *text, struct span span);

/** Bytes for people: "512 B", "1.2 GiB", "64 KiB". */
void text_add_size(struct text *text, uint64_t size);
/** Nanoseconds for people: "850 ns", "1.5 ms", "12.0 s", "3m05s", "2h07m", "4d11h". */
void text_add_duration(struct text *text, uint64_t duration_ns);
/** As the content of a JSON string: quotes, backslashes and control characters escaped; bytes that
 * are not UTF-8 become U+FFFD. */
void text_add_json(struct text *text, struct span span);
/** In quotes if it is empty or holds anything but plain characters; control characters and
 * non-ASCII bytes as \xNN. For logs. */
void text_add_quoted(struct text *text, struct span span);

/** Set the text back to `size` bytes, which it had before. */
void text_cut_to(struct text *text, size_t size);

#endif
