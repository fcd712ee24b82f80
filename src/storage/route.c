#include "storage/route.h"

#include "storage/store.h"

void route_add_mount(struct store_routes *routes, uint8_t index, uint16_t stream_count)
{
    for (uint32_t i = 0; i < routes->mount_count; i++) {
        if (routes->mounts[i].index != index)
            continue;
        if (routes->mounts[i].stream_count == 0)
            routes->mounts[i].stream_count = stream_count;
        return;
    }
    CHECK(routes->mount_count < ROUTE_MOUNTS_MAX);
    routes->mounts[routes->mount_count++] = (struct route_mount){stream_count, index};
}

static const struct route_note *find_note(
    const struct store_routes *routes, uint8_t mount, uint8_t stream)
{
    for (uint32_t i = 0; i < routes->note_count; i++)
        if (routes->notes[i].mount == mount && routes->notes[i].stream == stream)
            return &routes->notes[i];
    return NULL;
}

static bool route_note(
    struct store_routes *routes, uint8_t mount, uint8_t stream, const struct stream_place *place)
{
    if (find_note(routes, mount, stream))
        return true;
    if (routes->note_count == ROUTE_NOTES_MAX)
        return false;
    routes->notes[routes->note_count++] = (struct route_note){mount, stream, *place};
    return true;
}

err_t route_merge(struct store_routes *routes, const struct store_routes *other)
{
    for (uint32_t i = 0; i < other->note_count; i++)
        if (!route_note(
                routes, other->notes[i].mount, other->notes[i].stream, &other->notes[i].place))
            return ERR(BUSY, 0);
    return ERR_OK;
}

/* ---- the rule ---- */

/* Mixes (mount, stream) with a candidate: the candidate with the greatest value wins, so that adding
 * or losing a mount point moves as little as possible. Source: splitmix64, and rendezvous hashing. */
static uint64_t route_weight(uint8_t mount, uint8_t stream, uint8_t candidate)
{
    uint64_t x = (uint64_t)mount << 16 | (uint64_t)stream << 8 | candidate;
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static bool has_stream(const struct route_mount *mount, uint8_t stream)
{
    return mount->stream_count == 0 || stream < mount->stream_count;
}

static struct stream_place place_by_rule(const struct store *store, uint8_t mount, uint8_t stream)
{
    const struct store_routes *routes = &store->routes;
    uint64_t best_weight = 0;
    const struct route_mount *best = NULL;
    for (uint32_t i = 0; i < routes->mount_count; i++) {
        const struct route_mount *it = &routes->mounts[i];
        uint64_t weight = route_weight(mount, stream, it->index);
        if (it->index == mount && has_stream(it, stream))
            return (struct stream_place){
                mount, stream, (uint16_t)(stream % store->config.loop_count)};
        if (!best || weight > best_weight || (weight == best_weight && it->index < best->index)) {
            best = it;
            best_weight = weight;
        }
    }
    if (!best)
        return (struct stream_place){0};
    uint8_t local = (uint8_t)(best->stream_count == 0 ? 0 : best_weight % best->stream_count);
    return (struct stream_place){best->index, local, (uint16_t)(local % store->config.loop_count)};
}

struct stream_place store_route(const struct store *store, const struct source_key *source)
{
    if (source->machine == store->config.machine)
        return (struct stream_place){
            source->mount, source->stream, (uint16_t)(source->stream % store->config.loop_count)};
    const struct route_note *note = find_note(&store->routes, source->mount, source->stream);
    return note ? note->place : place_by_rule(store, source->mount, source->stream);
}

/* ---- what is held already stays ---- */

err_t route_note_held(
    struct store *store, const struct source_key *source, uint8_t mount, uint8_t stream)
{
    struct stream_place rule = place_by_rule(store, source->mount, source->stream);
    if (source->machine == store->config.machine || (rule.mount == mount && rule.stream == stream))
        return ERR_OK;
    struct stream_place here = {mount, stream, store->config.loop_index};
    return route_note(&store->routes, source->mount, source->stream, &here) ? ERR_OK : ERR(BUSY, 0);
}
