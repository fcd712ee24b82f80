#include "core/balance.h"

static const char *const policy_names[BALANCE_COUNT] = {
#define X(name, text) text,
    BALANCE_POLICIES(X)
#undef X
};

const char *balance_policy_name(enum balance_policy policy)
{
    CHECK(policy < BALANCE_COUNT);
    return policy_names[policy];
}

bool balance_policy_parse(struct span name, enum balance_policy *ret)
{
    for (unsigned i = 0; i < BALANCE_COUNT; i++) {
        if (span_equals_text(name, policy_names[i])) {
            *ret = (enum balance_policy)i;
            return true;
        }
    }
    return false;
}

uint64_t balance_room(const struct balance_candidate *candidate)
{
    if (candidate->free_bytes <= candidate->reserve_bytes)
        return 0;
    return candidate->free_bytes - candidate->reserve_bytes;
}

/* What a policy sorts by, smaller first; ids are unique, so two ranks are never equal. */
struct rank {
    uint64_t first, second;
    uint32_t id;
};

static bool rank_is_before(const struct rank *a, const struct rank *b)
{
    if (a->first != b->first)
        return a->first < b->first;
    if (a->second != b->second)
        return a->second < b->second;
    return a->id < b->id;
}

static struct rank rank_of(const struct balance_request *request,
    const struct balance_candidate *candidate, const struct balance_cursor *cursor)
{
    uint64_t fullness = UINT64_MAX - balance_room(candidate);
    struct rank rank = {.second = fullness, .id = candidate->id};
    switch (request->policy) {
    case BALANCE_LOOP:
    case BALANCE_TURN:
        rank.first = candidate->id < cursor->next_id; /* after the end it goes on from the start */
        rank.second = 0;
        break;
    case BALANCE_MAXDISK:
        break;
    case BALANCE_MASTER:
        rank.first = candidate->id != request->master_id;
        break;
    case BALANCE_LOAD:
        rank.first = candidate->load;
        break;
    case BALANCE_COUNT:
        UNREACHABLE("policy");
    }
    return rank;
}

static bool is_fit(const struct balance_request *request, const struct balance_candidate *candidate)
{
    uint64_t room = balance_room(candidate);
    return candidate->is_usable && room > 0 && room >= request->size_bytes;
}

static void cursor_move(
    struct balance_cursor *cursor, enum balance_policy policy, uint32_t chosen_id)
{
    cursor->next_id = policy == BALANCE_TURN ? chosen_id : (uint64_t)chosen_id + 1;
}

/* Keep `ret_ranked` sorted; what falls off its end is not among the best. */
static size_t ranked_insert(const struct balance_request *request,
    const struct balance_candidate *candidates, const struct balance_cursor *cursor, uint32_t index,
    uint32_t *ret_ranked, size_t ranked, size_t ranked_max)
{
    struct rank rank = rank_of(request, &candidates[index], cursor);
    size_t at = ranked;
    while (at > 0) {
        struct rank before = rank_of(request, &candidates[ret_ranked[at - 1]], cursor);
        if (rank_is_before(&before, &rank))
            break;
        if (at < ranked_max)
            ret_ranked[at] = ret_ranked[at - 1];
        at--;
    }
    if (at < ranked_max)
        ret_ranked[at] = index;
    return ranked < ranked_max ? ranked + 1 : ranked_max;
}

size_t balance_rank(const struct balance_request *request,
    const struct balance_candidate *candidates, size_t count, struct balance_cursor *cursor,
    uint32_t *ret_ranked, size_t ranked_max)
{
    CHECK(count <= UINT32_MAX && ranked_max > 0);
    size_t ranked = 0;
    for (size_t i = 0; i < count; i++)
        if (is_fit(request, &candidates[i]))
            ranked = ranked_insert(
                request, candidates, cursor, (uint32_t)i, ret_ranked, ranked, ranked_max);
    if (ranked > 0)
        cursor_move(cursor, request->policy, candidates[ret_ranked[0]].id);
    return ranked;
}

bool balance_pick(const struct balance_request *request, const struct balance_candidate *candidates,
    size_t count, struct balance_cursor *cursor, uint32_t *ret_index)
{
    return balance_rank(request, candidates, count, cursor, ret_index, 1) == 1;
}
