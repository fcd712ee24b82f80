/* What is held, counted: one row for each kind, place in the code, direction, owner and peer. The rows
 * are filled by walking the ledgers of all loops, one after the other; nothing is allocated.
 *
 *   census_begin -> census_add, for every entry of every ledger -> rows
 *
 * Limit: CENSUS_ROWS different rows; entries that find no row are counted in `unlisted`. */
#ifndef CAIRN_SIGHT_CENSUS_H
#define CAIRN_SIGHT_CENSUS_H

#include "base/ledger.h"
#include "base/units.h"

enum { CENSUS_ROWS = 512, CENSUS_PLACES = 2 * CENSUS_ROWS };

/** A thing that is to be held for the time of a request, and is held for so long: it is late ... */
#define CENSUS_LATE_NS (8 * NS_PER_S)
/** ... overdue: no request takes so long. */
#define CENSUS_OVERDUE_NS (5 * NS_PER_MINUTE)

/** What makes entries alike. Texts and sites are static: compared as pointers. */
struct census_key {
    const struct site *site;
    const char *operation; /* of the owner */
    uint32_t origin;       /* machine number of the object's origin, 0: none */
    uint32_t peer;         /* machine at the other end, 0: a client or none */
    uint8_t kind, direction, life;
};

struct census_row {
    struct census_key key;
    uint64_t count, bytes;
    uint64_t late;         /* entries that outlived what they were expected to, by far */
    uint64_t overdue;      /* and those that did for very long */
    uint64_t forsaken;     /* connections and sockets whose peer has gone */
    uint64_t oldest_ns;    /* birth of the oldest */
    int64_t handle;        /* of the oldest */
    uint64_t object_clock; /* of the oldest one's owner, 0: none */
};

struct census {
    uint64_t now_ns;
    uint64_t run_ns; /* memory that was taken later than this was taken while running */
    uint32_t count;
    uint64_t unlisted;
    uint64_t held[HELD_COUNT], bytes[HELD_COUNT]; /* of all, with or without a row */
    uint64_t held_max[HELD_COUNT];                /* high-water marks, the loops' own together */
    int64_t fd_max;                               /* the highest number ever held */
    uint64_t machines;                            /* operations and connections in flight */
    struct census_row rows[CENSUS_ROWS];
    uint16_t places[CENSUS_PLACES]; /* row + 1 by hash; 0: none */
};

void census_begin(struct census *census, uint64_t now_ns, uint64_t run_ns);
/** The marks of one loop. */
void census_add_marks(struct census *census, const struct ledger *ledger);
/** `is_forsaken`: the kernel says that the other end is gone. */
void census_add(struct census *census, const struct held *held, bool is_forsaken);

/** The path of the source from the root, however the compiler was called. */
const char *census_file_of(const struct site *site);

bool census_key_equals(const struct census_key *a, const struct census_key *b);
uint32_t census_key_hash(const struct census_key *key);

/** May entries of this row be late at all? Operations wait for the world, and what is to be held for
 * longer than a request is never late; but no memory is taken while running. */
bool census_may_be_late(const struct census_key *key);

#endif
