#include "base/crc.h"

#include <isa-l/crc.h>

/* Polynomials over GF(2) modulo the CRC-32 polynomial, reflected: bit 31 is the coefficient of
 * x^0, bit 0 that of x^31. */
static const uint32_t POLYNOMIAL = 0xedb88320;
static const uint32_t X_TO_0 = 1u << 31;
static const uint32_t X_TO_1 = 1u << 30;

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    return size > 0 ? crc32_gzip_refl(crc, data, size) : crc;
}

static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t term = X_TO_0; term != 0; term >>= 1) {
        if (a & term)
            product ^= b;
        b = (b & 1) ? (b >> 1) ^ POLYNOMIAL : b >> 1; /* b times x */
    }
    return product;
}

/* x^(8 * bytes): what appending that many zero bytes multiplies by. */
static uint32_t shift_of(uint64_t bytes)
{
    uint32_t square = X_TO_1, result = X_TO_0;
    for (int i = 0; i < 3; i++)
        square = multiply(square, square);
    for (; bytes > 0; bytes >>= 1) {
        if (bytes & 1)
            result = multiply(result, square);
        square = multiply(square, square);
    }
    return result;
}

uint32_t crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    return multiply(shift_of(size_b), crc_a) ^ crc_b;
}
