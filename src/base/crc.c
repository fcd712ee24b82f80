#include "base/crc.h"

#include <isa-l/crc.h>

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    return size > 0 ? crc32_gzip_refl(crc, data, size) : crc;
}

/* Polynomials over GF(2) modulo the CRC's, bit-reflected: bit 31 is x^0, bit 0 is x^31. */
static const uint32_t poly_ieee = UINT32_C(0xedb88320);

static uint32_t poly_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b & 1) != 0 ? b >> 1 ^ poly_ieee : b >> 1; /* b * x */
    }
    return product;
}

/* Appending size_b bytes to A multiplies its remainder by x^(8 * size_b); B's remainder is then
 * added. The pre- and post-inversion of both cancel out. The power by repeated squaring. */
uint32_t crc32_combine(uint32_t a, uint32_t b, uint64_t size_b)
{
    return crc32_combine_by(a, b, crc32_factor(size_b));
}

uint32_t crc32_factor(uint64_t size)
{
    uint32_t factor = UINT32_C(1) << 31;       /* x^0 */
    uint32_t square = UINT32_C(1) << (31 - 8); /* x^8: one byte */
    for (uint64_t bytes = size; bytes != 0; bytes >>= 1) {
        if (bytes & 1)
            factor = poly_multiply(square, factor);
        square = poly_multiply(square, square);
    }
    return factor;
}

uint32_t crc32_combine_by(uint32_t a, uint32_t b, uint32_t factor)
{
    return poly_multiply(factor, a) ^ b;
}
