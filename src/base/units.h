/* Units by name: sizes in bytes, times in nanoseconds. */
#ifndef CAIRN_BASE_UNITS_H
#define CAIRN_BASE_UNITS_H

#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MINUTE (60 * NS_PER_S)
#define NS_PER_HOUR (60 * NS_PER_MINUTE)
#define NS_PER_DAY (24 * NS_PER_HOUR)

static inline uint64_t ns_from_ms(uint64_t ms)
{
    return ms * NS_PER_MS;
}
static inline uint64_t ns_from_s(uint64_t s)
{
    return s * NS_PER_S;
}

/** The least multiple of `unit` that is not below `value`; `unit` need not be a power of two. */
static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}
static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value / unit * unit;
}

#endif
