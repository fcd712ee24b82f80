#include "client/route.h"

err_t route_decode(struct span data, uint32_t count, struct route *route)
{
    struct reader reader = {.data = data.data, .size = data.size};
    route->count = 0;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct candidate candidate = {.machine = read_u32(&reader)};
        struct span span = read_text(&reader);
        char text[IO_ADDRESS_TEXT_MAX];
        if (reader.failed || route->count == ROUTE_CANDIDATES_MAX
            || !span_to_text(span, text, sizeof text)
            || err_is(io_address_parse(text, &candidate.address)))
            continue;
        route->candidates[route->count++] = candidate;
    }
    return reader.failed ? ERR(PROTOCOL, 0) : ERR_OK;
}

static bool same_question(const struct route *a, const struct route *b)
{
    return a->purpose == b->purpose && a->origin == b->origin && a->is_group == b->is_group
           && strcmp(a->name, b->name) == 0;
}

static const struct route *find(const struct route_cache *cache, const struct route *question)
{
    for (size_t i = 0; i < ROUTE_CACHE_SIZE; i++)
        if (same_question(&cache->routes[i], question))
            return &cache->routes[i];
    return NULL;
}

bool route_recall(const struct route_cache *cache, const struct route *question, uint64_t now_ns,
    struct route *ret)
{
    const struct route *known = find(cache, question);
    uint64_t life_ns = question->purpose == QUERY_UPLOAD ? ROUTE_LIFE_UPLOAD_NS : ROUTE_LIFE_NS;
    if (!known || known->count == 0 || now_ns - known->answered_ns >= life_ns)
        return false;
    *ret = *known;
    return true;
}

void route_remember(struct route_cache *cache, const struct route *answer, uint64_t now_ns)
{
    size_t place = 0;
    for (size_t i = 0; i < ROUTE_CACHE_SIZE; i++) {
        if (same_question(&cache->routes[i], answer)) {
            place = i;
            break;
        }
        if (cache->routes[i].answered_ns < cache->routes[place].answered_ns)
            place = i;
    }
    cache->routes[place] = *answer;
    cache->routes[place].answered_ns = now_ns;
}

void route_forget(struct route_cache *cache, const struct route *question)
{
    for (size_t i = 0; i < ROUTE_CACHE_SIZE; i++)
        if (same_question(&cache->routes[i], question))
            cache->routes[i] = (struct route){0};
}
