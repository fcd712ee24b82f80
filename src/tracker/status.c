#include "tracker/status.h"

#include "base/json.h"
#include "base/units.h"

/* The longest entry of each kind with all numbers and names at their limits, rounded up. Names and
 * addresses hold nothing that JSON escapes: the registry lets no such in. */
enum { STORAGE_JSON_MAX = 896, GROUP_JSON_MAX = 320, POOL_JSON_MAX = 384, FRAME_JSON_MAX = 192 };

size_t status_size_max(const struct registry_tables *tables)
{
    return FRAME_JSON_MAX + (size_t)tables->storages_max * STORAGE_JSON_MAX
           + (size_t)tables->groups_max * GROUP_JSON_MAX
           + (size_t)tables->pools_max * POOL_JSON_MAX;
}

static void write_uuid(struct json *json, const struct nonce *uuid)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * sizeof uuid->bytes];
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        hex[2 * i] = digits[uuid->bytes[i] >> 4];
        hex[2 * i + 1] = digits[uuid->bytes[i] & 15];
    }
    json_span(json, "uuid", span_of(hex, sizeof hex));
}

static void write_storage(struct json *json, const struct registry *registry,
    const struct registry_storage *storage, uint64_t now_ns)
{
    const struct registry_group *group = &registry->tables.groups[storage->group];
    bool is_alive = storage->life == REGISTRY_ALIVE;
    json_begin_object(json, NULL);
    json_number(json, "machine", storage->machine);
    write_uuid(json, &storage->uuid);
    json_text(json, "group", group->name);
    json_text(json, "pool", registry->tables.pools[group->pool].name);
    json_text(json, "address", storage->address);
    json_text(json, "http_address", storage->http_address);
    json_text(json, "state",
        is_alive ? storage_state_name(storage->state) : registry_life_name(storage->life));
    json_text(json, "life", registry_life_name(storage->life));
    json_number(json, "age_ms", (now_ns - storage->heard_ns) / NS_PER_MS);
    json_number(json, "free", storage->free_bytes);
    json_number(json, "total", storage->total_bytes);
    json_number(json, "load", storage->load);
    json_number(json, "mounts_online", storage->mounts_online);
    json_number(json, "mounts_total", storage->mounts_total);
    json_number(json, "incarnation", storage->incarnation);
    json_number(json, "lag_records", storage->lag_records);
    json_number(json, "lag_ms", storage->lag_ns / NS_PER_MS);
    json_bool(json, "draining", (storage->flags & MEMBER_DRAINING) != 0);
    json_number(json, "started", storage->started_ns / NS_PER_S);
    json_number(json, "first_started", storage->first_started_ns / NS_PER_S);
    json_end(json);
}

static void write_summary(struct json *json, const struct registry_summary *summary)
{
    json_number(json, "members", summary->members);
    json_number(json, "alive", summary->alive);
    json_number(json, "running", summary->running);
    json_number(json, "free", summary->free_bytes);
    json_number(json, "total", summary->total_bytes);
}

static void write_group(struct json *json, const struct registry *registry, uint32_t index)
{
    const struct registry_group *group = &registry->tables.groups[index];
    struct registry_summary summary;
    registry_summarize_group(registry, index, &summary);
    json_begin_object(json, NULL);
    json_text(json, "group", group->name);
    json_text(json, "pool", registry->tables.pools[group->pool].name);
    write_summary(json, &summary);
    json_end(json);
}

static void write_pool(struct json *json, const struct registry *registry, uint32_t index)
{
    const struct registry_pool *pool = &registry->tables.pools[index];
    struct registry_summary summary;
    registry_summarize_pool(registry, index, &summary);
    json_begin_object(json, NULL);
    json_text(json, "pool", pool->name);
    json_text(json, "balance", balance_policy_name(pool->policy));
    json_number(json, "groups", pool->group_count);
    write_summary(json, &summary);
    json_end(json);
}

void status_write(
    const struct registry *registry, const struct status_times *times, struct writer *w)
{
    const struct registry_tables *tables = &registry->tables;
    struct json json;
    json_begin(&json, w);
    json_begin_object(&json, NULL);
    json_text(&json, "role", "tracker");
    json_number(&json, "started", times->started_wall_ns / NS_PER_S);
    json_number(&json, "now", times->now_wall_ns / NS_PER_S);
    json_begin_array(&json, "storages");
    for (uint32_t i = 0; i < tables->storages_max; i++)
        if (tables->storages[i].machine != 0)
            write_storage(&json, registry, &tables->storages[i], times->now_ns);
    json_end(&json);
    json_begin_array(&json, "groups");
    for (uint32_t i = 0; i < tables->groups_max; i++)
        if (tables->groups[i].name[0] != '\0')
            write_group(&json, registry, i);
    json_end(&json);
    json_begin_array(&json, "pools");
    for (uint32_t i = 0; i < tables->pools_max; i++)
        if (tables->pools[i].name[0] != '\0')
            write_pool(&json, registry, i);
    json_end(&json);
    json_end(&json);
}
