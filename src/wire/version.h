/* Object versions, identities and nonces: the words that every record and message speaks. */
#ifndef CAIRN_WIRE_VERSION_H
#define CAIRN_WIRE_VERSION_H

#include "base/bytes.h"

/** (counter, machine): a total order per file, printed as counter.machine. 0.0: no version. */
struct version {
    uint64_t counter;
    uint32_t machine;
};

static inline int version_compare(struct version a, struct version b)
{
    if (a.counter != b.counter)
        return a.counter < b.counter ? -1 : 1;
    return a.machine < b.machine ? -1 : a.machine > b.machine;
}
static inline bool version_equals(struct version a, struct version b)
{
    return version_compare(a, b) == 0;
}
static inline bool version_is_none(struct version v)
{
    return v.counter == 0 && v.machine == 0;
}

enum { SUFFIX_MAX = 6, SUFFIX_FIELD = 7 }; /* "jpg"; the 7 chars of the id include fill and dot */

/** Who a file is, for ever: never changes, never used twice. clock: DESIGN section 3, 55 bits:
 * unix seconds << 23 | sequence. */
struct identity {
    uint64_t clock;
    uint32_t origin; /* machine number, 1 .. 2^24-1 */
    char suffix[8];  /* the id's last 7 characters, NUL-terminated */
};

static inline bool identity_equals(const struct identity *a, const struct identity *b)
{
    return a->clock == b->clock && a->origin == b->origin && memcmp(a->suffix, b->suffix, 8) == 0;
}

/** A client's mark on a request, so that a retry is recognised. All zero: none given. */
struct nonce {
    uint8_t bytes[16];
};

static inline bool nonce_is_none(const struct nonce *n)
{
    static const struct nonce none;
    return memcmp(n, &none, sizeof none) == 0;
}

#endif
