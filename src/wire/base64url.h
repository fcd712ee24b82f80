/* Base64 with the URL alphabet (A-Z a-z 0-9 - _) and without padding: RFC 4648 section 5. */
#ifndef CAIRN_WIRE_BASE64URL_H
#define CAIRN_WIRE_BASE64URL_H

#include "base/bytes.h"

/** Characters that `size` bytes become. */
static inline size_t base64url_length(size_t size)
{
    return (size * 8 + 5) / 6;
}

/** Write base64url_length(size) characters, without NUL. */
void base64url_encode(const uint8_t *data, size_t size, char *ret);

/** Decode exactly base64url_length(size) characters of `text` into `size` bytes. False if the
 * length differs, a character is foreign, or the spare bits of the last one are not zero: every
 * value has one spelling only. */
bool base64url_decode(struct span text, uint8_t *ret, size_t size);

#endif
