/* Which of several places takes the next upload: groups of a pool at a tracker, members of a group,
 * mount points of a storage. Pure: the cursor is the caller's, one per pool, group or storage.
 *
 *   policy    best first                                               then, among equals
 *   loop      round robin by id, after the one chosen last             -
 *   maxdisk   most room                                                lowest id
 *   turn      the one chosen last until it is unusable, then the next  -
 *   master    the configured one, then as maxdisk                      lowest id
 *   load      least load                                               most room, lowest id
 *
 * Room is free minus reserve and never below zero. A candidate that is not usable, has no room, or
 * less room than the content needs is never returned, whatever the policy says. */
#ifndef CAIRN_CORE_BALANCE_H
#define CAIRN_CORE_BALANCE_H

#include "base/bytes.h"

#define BALANCE_POLICIES(X) \
    X(LOOP, "loop")         \
    X(MAXDISK, "maxdisk")   \
    X(TURN, "turn")         \
    X(MASTER, "master")     \
    X(LOAD, "load")

enum balance_policy {
#define X(name, text) BALANCE_##name,
    BALANCE_POLICIES(X)
#undef X
        BALANCE_COUNT
};

const char *balance_policy_name(enum balance_policy policy);
/** False if `name` is no policy. */
bool balance_policy_parse(struct span name, enum balance_policy *ret);

struct balance_candidate {
    uint32_t id; /* unique among the candidates and stable while others come and go */
    uint32_t load;
    uint64_t free_bytes;
    uint64_t reserve_bytes;
    bool is_usable; /* online, running, accepting */
};

/** Where loop goes on and turn stays; zero at the start. */
struct balance_cursor {
    uint64_t next_id;
};

struct balance_request {
    enum balance_policy policy;
    uint32_t master_id;  /* policy master */
    uint64_t size_bytes; /* content to be placed; 0: unknown, any room will do */
};

/** Bytes that uploads may still take: free minus reserve, 0 at least. */
uint64_t balance_room(const struct balance_candidate *candidate);

/** Write the indices of the best candidates to `ret_ranked`, best first, at most `ranked_max`.
 * Returns how many; 0: none is fit, and the cursor stays. Otherwise the cursor moves on by the best
 * one. Candidates may stand in any order. Cost: count times ranked_max. */
size_t balance_rank(const struct balance_request *request,
    const struct balance_candidate *candidates, size_t count, struct balance_cursor *cursor,
    uint32_t *ret_ranked, size_t ranked_max);

/** The best candidate alone. False (and nothing moves) if none is fit. */
bool balance_pick(const struct balance_request *request, const struct balance_candidate *candidates,
    size_t count, struct balance_cursor *cursor, uint32_t *ret_index);

#endif
