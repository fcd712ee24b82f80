/* What the machines of one loop have done: of each kind, how many ended with which result, and how
 * long they took. Counted where a machine ends (stage.c), so that no kind can be forgotten. No locks:
 * the loop counts, a copy travels to who asks.
 *
 *   machine ends -> deed_add()      reader: rows, merged over the loops with deeds_merge()
 *
 * Limits: DEED_KINDS_MAX kinds in a program; those above are counted together as "other". */
#ifndef CAIRN_BASE_DEEDS_H
#define CAIRN_BASE_DEEDS_H

#include "base/err.h"
#include "base/timing.h"

enum { DEED_KINDS_MAX = 64, DEED_CODES_MAX = 32 };

struct deed {
    const void *key;                  /* NULL: the row is free */
    const char *name;                 /* static text */
    uint64_t results[DEED_CODES_MAX]; /* by enum err_code; foreign codes count as FAILED */
    struct timing timing;
};

struct deeds {
    struct deed rows[DEED_KINDS_MAX]; /* found by hashing the key; free ones between */
};

/** Count one that ended with `code` after `duration_ns`. `key` names the kind: one address per kind. */
void deed_add(
    struct deeds *deeds, const void *key, const char *name, int32_t code, uint64_t duration_ns);
/** Add all rows of `from`. */
void deeds_merge(struct deeds *into, const struct deeds *from);
uint64_t deed_count(const struct deed *deed);

#endif
