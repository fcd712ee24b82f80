#include "wire/base64url.h"

void base64url_encode(const uint8_t *data, size_t size, char *ret)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (bit_count += 8; bit_count >= 6; bit_count -= 6)
            *ret++ = alphabet[bits >> (bit_count - 6) & 63];
    }
    if (bit_count > 0)
        *ret = alphabet[bits << (6 - bit_count) & 63];
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool base64url_decode(struct span text, uint8_t *ret, size_t size)
{
    if (text.size != base64url_length(size))
        return false;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            *ret++ = (uint8_t)(bits >> bit_count);
        }
    }
    return (bits & (BIT(bit_count) - 1)) == 0;
}
