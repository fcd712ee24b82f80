/* Seeded pseudo random numbers: xoshiro256**, seeded by splitmix64. For tests, the simulator and
 * for spreading load; never for secrets.
 *
 * Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2019. */
#ifndef CAIRN_BASE_PRNG_H
#define CAIRN_BASE_PRNG_H

#include "base/check.h"

struct prng {
    uint64_t state[4];
};

static inline uint64_t prng_rotate(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

/** Any seed is good, 0 too; the same seed gives the same numbers on every machine. */
static inline void prng_init(struct prng *prng, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        prng->state[i] = z ^ z >> 31;
    }
}

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = prng_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

/** A number in 0 .. n-1; n >= 1. The bias is below n / 2^64. */
static inline uint64_t prng_below(struct prng *prng, uint64_t n)
{
    CHECK(n > 0);
    return (uint64_t)((unsigned __int128)prng_next(prng) * n >> 64);
}

/** True in `per_million` of a million calls; 0: never, 1000000 and more: always. */
static inline bool prng_chance(struct prng *prng, uint32_t per_million)
{
    return prng_below(prng, 1000000) < per_million;
}

/** Fill `size` bytes. */
static inline void prng_fill(struct prng *prng, void *ret, size_t size)
{
    uint8_t *at = ret;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(prng_next(prng) >> 56);
}

#endif
