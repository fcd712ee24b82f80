#include "core/registry.h"

#include "base/text.h"

enum { TEXT_SHOWN_MAX = 64 }; /* of a name or address from a peer, in a sentence */

const char *registry_life_name(uint8_t life)
{
    static const char *const names[] = {"unknown", "alive", "dead", "left", "removed"};
    return life < ARRAY_LEN(names) ? names[life] : names[0];
}

const char *registry_change_name(enum registry_change change)
{
    static const char *const names[] = {"unchanged", "joined", "returned", "replaced", "moved",
        "died", "departed", "forgotten", "removed"};
    CHECK(change < ARRAY_LEN(names));
    return names[change];
}

static bool is_made_of(struct span text, const char *others)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return true;
}

static bool pool_name_is_valid(struct span name)
{
    return name.size >= 1 && name.size <= REGISTRY_POOL_NAME_MAX && is_made_of(name, "_.-");
}

bool registry_find_group(const struct registry *registry, struct span name, uint32_t *ret_index)
{
    for (uint32_t i = 0; name.size > 0 && i < registry->tables.groups_max; i++) {
        if (span_equals_text(name, registry->tables.groups[i].name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool registry_find_pool(const struct registry *registry, struct span name, uint32_t *ret_index)
{
    for (uint32_t i = 0; name.size > 0 && i < registry->tables.pools_max; i++) {
        if (span_equals_text(name, registry->tables.pools[i].name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static struct registry_storage *find_storage(const struct registry *registry, uint32_t machine)
{
    for (uint32_t i = 0; i < registry->tables.storages_max; i++)
        if (registry->tables.storages[i].machine == machine)
            return &registry->tables.storages[i];
    return NULL;
}

static uint32_t index_of(const struct registry *registry, const struct registry_storage *storage)
{
    return (uint32_t)(storage - registry->tables.storages);
}

static struct registry_group *find_free_group(struct registry *registry)
{
    for (uint32_t i = 0; i < registry->tables.groups_max; i++)
        if (registry->tables.groups[i].name[0] == '\0')
            return &registry->tables.groups[i];
    return NULL;
}

static struct registry_pool *find_free_pool(struct registry *registry)
{
    for (uint32_t i = 0; i < registry->tables.pools_max; i++)
        if (registry->tables.pools[i].name[0] == '\0')
            return &registry->tables.pools[i];
    return NULL;
}

err_t registry_init(struct registry *registry, const struct registry_config *config,
    const struct registry_tables *tables)
{
    *registry = (struct registry){.config = *config, .tables = *tables};
    for (uint32_t i = 0; i < config->pool_count; i++) {
        const struct registry_pool_config *wanted = &config->pools[i];
        struct span name = span_of_text(wanted->name);
        uint32_t twin;
        bool is_usable = pool_name_is_valid(name) && wanted->policy < BALANCE_COUNT
                         && (wanted->policy == BALANCE_MASTER) == (wanted->master != NULL)
                         && !registry_find_pool(registry, name, &twin);
        if (!is_usable)
            return ERR(USAGE, 0);
        struct registry_pool *pool = find_free_pool(registry);
        if (!pool)
            return ERR(BUSY, 0);
        *pool = (struct registry_pool){.policy = wanted->policy, .master = wanted->master};
        CHECK(span_to_text(name, pool->name, sizeof pool->name));
    }
    return ERR_OK;
}

/* ---- refusals: each a sentence ---- */

static void refuse(struct registry_effects *ret, err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct registry_effects *ret, err_t err, const char *format, ...)
{
    struct text text;
    va_list list;
    ret->err = err;
    text_init(&text, ret->reason, sizeof ret->reason);
    va_start(list, format);
    text_add_list(&text, format, list);
    va_end(list);
}

/* A text of a peer as it may be shown: cut, quoted, no control characters. */
static const char *shown(struct span peer_text, char buffer[TEXT_SHOWN_MAX * 4])
{
    struct text text;
    if (peer_text.size > TEXT_SHOWN_MAX)
        peer_text.size = TEXT_SHOWN_MAX;
    text_init(&text, buffer, TEXT_SHOWN_MAX * 4);
    text_add_quoted(&text, peer_text);
    return buffer;
}

/* Not parsed here, but safe to show: a host or an address, and a port. */
static bool address_is_usable(struct span address)
{
    return address.size < REGISTRY_ADDRESS_MAX && is_made_of(address, "_.-:[]%");
}

static void check_fields(const struct msg_heartbeat *heartbeat, struct registry_effects *ret)
{
    char text[TEXT_SHOWN_MAX * 4];
    if (heartbeat->machine == 0 || heartbeat->machine > MACHINE_MAX)
        refuse(ret, ERR(USAGE, 0), "machine number %u is not in 1..%u", heartbeat->machine,
            MACHINE_MAX);
    else if (nonce_is_none(&heartbeat->uuid))
        refuse(ret, ERR(USAGE, 0), "machine %u sent no UUID", heartbeat->machine);
    else if (!group_name_is_valid(heartbeat->group))
        refuse(ret, ERR(USAGE, 0), "machine %u: %s is not a group name", heartbeat->machine,
            shown(heartbeat->group, text));
    else if (!pool_name_is_valid(heartbeat->pool))
        refuse(ret, ERR(USAGE, 0), "machine %u: %s is not a pool name", heartbeat->machine,
            shown(heartbeat->pool, text));
    else if (heartbeat->address.size == 0 || !address_is_usable(heartbeat->address))
        refuse(ret, ERR(USAGE, 0), "machine %u: %s is not an address", heartbeat->machine,
            shown(heartbeat->address, text));
    else if (!address_is_usable(heartbeat->http_address))
        refuse(ret, ERR(USAGE, 0), "machine %u: %s is not an HTTP address", heartbeat->machine,
            shown(heartbeat->http_address, text));
    else if (heartbeat->state == 0 || heartbeat->state >= STATE_COUNT)
        refuse(ret, ERR(USAGE, 0), "machine %u: state %u is not known", heartbeat->machine,
            heartbeat->state);
}

static bool uuid_equals(const struct nonce *a, const struct nonce *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool claim_holds(
    const struct registry *registry, const struct registry_storage *storage, uint64_t now_ns)
{
    if (storage->life == REGISTRY_LEFT || storage->life == REGISTRY_REMOVED)
        return false;
    return storage->life == REGISTRY_ALIVE
           || now_ns < storage->heard_ns + registry->config.claim_ns;
}

static void check_number(const struct registry *registry, const struct registry_storage *known,
    const struct registry_event *event, struct registry_effects *ret)
{
    const struct msg_heartbeat *heartbeat = event->heartbeat;
    char text[TEXT_SHOWN_MAX * 4];
    bool is_same_uuid = uuid_equals(&known->uuid, &heartbeat->uuid);
    if (is_same_uuid && known->life == REGISTRY_REMOVED)
        refuse(ret, ERR(DENIED, 0),
            "machine %u at %s was removed from its group; it comes back with empty disks only",
            known->machine, shown(heartbeat->address, text));
    else if (!is_same_uuid && claim_holds(registry, known, event->now_ns))
        refuse(ret, ERR(EXISTS, 0),
            "machine number %u: %s (%s) and %s have different UUIDs; give one of them another "
            "number",
            known->machine, known->address, registry_life_name(known->life),
            shown(heartbeat->address, text));
    else if (is_same_uuid && known->life == REGISTRY_ALIVE && known->state != STATE_INITING
             && !span_equals_text(heartbeat->address, known->address))
        refuse(ret, ERR(EXISTS, 0),
            "machine %u: %s is alive and %s has the same UUID; one of them runs on a copy of the "
            "other's disk",
            known->machine, known->address, shown(heartbeat->address, text));
    else if (is_same_uuid
             && !span_equals_text(heartbeat->group, registry->tables.groups[known->group].name))
        refuse(ret, ERR(CONFLICT, 0),
            "machine %u belongs to group %s, not to %s: groups are never "
            "renamed and machines never change theirs",
            known->machine, registry->tables.groups[known->group].name,
            shown(heartbeat->group, text));
}

static const struct registry_storage *other_alive_member(
    const struct registry *registry, const struct registry_group *group, uint32_t machine)
{
    const struct registry_storage *storages = registry->tables.storages;
    for (uint32_t next = group->first; next != 0; next = storages[next - 1].next)
        if (storages[next - 1].machine != machine && storages[next - 1].life == REGISTRY_ALIVE)
            return &storages[next - 1];
    return NULL;
}

static void check_pool(const struct registry *registry, const struct msg_heartbeat *heartbeat,
    struct registry_effects *ret)
{
    char pool[TEXT_SHOWN_MAX * 4], address[TEXT_SHOWN_MAX * 4];
    uint32_t index;
    if (!registry_find_group(registry, heartbeat->group, &index))
        return;
    const struct registry_group *group = &registry->tables.groups[index];
    const char *known = registry->tables.pools[group->pool].name;
    const struct registry_storage *other = other_alive_member(registry, group, heartbeat->machine);
    if (other && !span_equals_text(heartbeat->pool, known))
        refuse(ret, ERR(CONFLICT, 0),
            "group %s belongs to pool %s (machine %u at %s), not to pool %s (machine %u at %s)",
            group->name, known, other->machine, other->address, shown(heartbeat->pool, pool),
            heartbeat->machine, shown(heartbeat->address, address));
}

/* ---- tables ---- */

static void leave_pool(struct registry *registry, uint32_t index)
{
    struct registry_pool *pool = &registry->tables.pools[index];
    CHECK(pool->group_count > 0);
    pool->group_count--;
    bool is_configured = false;
    for (uint32_t i = 0; i < registry->config.pool_count; i++)
        is_configured = is_configured || strcmp(registry->config.pools[i].name, pool->name) == 0;
    if (pool->group_count == 0 && !is_configured)
        *pool = (struct registry_pool){0};
}

static void leave_group(struct registry *registry, const struct registry_storage *storage)
{
    struct registry_group *group = &registry->tables.groups[storage->group];
    uint32_t *link = &group->first;
    while (*link != index_of(registry, storage) + 1)
        link = &registry->tables.storages[*link - 1].next;
    *link = storage->next;
    if (group->first == 0) {
        leave_pool(registry, group->pool);
        *group = (struct registry_group){0};
    }
}

static void forget(struct registry *registry, struct registry_storage *storage)
{
    leave_group(registry, storage);
    *storage = (struct registry_storage){0};
    registry->storage_count--;
}

static bool enter_pool(struct registry *registry, struct span name, uint32_t *ret_index)
{
    if (!registry_find_pool(registry, name, ret_index)) {
        struct registry_pool *pool = find_free_pool(registry);
        if (!pool)
            return false;
        *pool = (struct registry_pool){.policy = registry->config.policy};
        CHECK(span_to_text(name, pool->name, sizeof pool->name));
        *ret_index = (uint32_t)(pool - registry->tables.pools);
    }
    registry->tables.pools[*ret_index].group_count++;
    return true;
}

/* The group of a heartbeat that was found free of contradictions; false: a table is full. */
static bool enter_group(
    struct registry *registry, const struct msg_heartbeat *heartbeat, uint32_t *ret_index)
{
    uint32_t pool;
    if (registry_find_group(registry, heartbeat->group, ret_index)) {
        struct registry_group *group = &registry->tables.groups[*ret_index];
        if (span_equals_text(heartbeat->pool, registry->tables.pools[group->pool].name))
            return true;
        if (!enter_pool(registry, heartbeat->pool, &pool))
            return false;
        leave_pool(registry, group->pool);
        group->pool = pool;
        return true;
    }
    struct registry_group *group = find_free_group(registry);
    if (!group || !enter_pool(registry, heartbeat->pool, &pool))
        return false;
    *group = (struct registry_group){.pool = pool};
    CHECK(span_to_text(heartbeat->group, group->name, sizeof group->name));
    *ret_index = (uint32_t)(group - registry->tables.groups);
    return true;
}

static void copy_heartbeat(struct registry_storage *storage, const struct registry_event *event)
{
    const struct msg_heartbeat *heartbeat = event->heartbeat;
    storage->life = REGISTRY_ALIVE;
    storage->state = heartbeat->state;
    storage->connection = event->connection;
    storage->heard_ns = event->now_ns;
    storage->started_ns = heartbeat->started_ns;
    storage->first_started_ns = heartbeat->first_started_ns;
    storage->total_bytes = heartbeat->total_bytes;
    storage->free_bytes = heartbeat->free_bytes;
    storage->incarnation = heartbeat->incarnation;
    storage->lag_records = heartbeat->lag_records;
    storage->lag_ns = heartbeat->lag_ns;
    storage->flags = heartbeat->flags & (MEMBER_NEW | MEMBER_DRAINING);
    storage->load = heartbeat->load;
    storage->mounts_online = heartbeat->mounts_online;
    storage->mounts_total = heartbeat->mounts_total;
    storage->fastdfs_port = heartbeat->fastdfs_port;
    CHECK(span_to_text(heartbeat->address, storage->address, sizeof storage->address));
    CHECK(
        span_to_text(heartbeat->http_address, storage->http_address, sizeof storage->http_address));
}

/* ---- events ---- */

static void refresh(struct registry *registry, struct registry_storage *known,
    const struct registry_event *event, struct registry_effects *ret)
{
    uint32_t group;
    if (!enter_group(registry, event->heartbeat, &group)) {
        refuse(ret, ERR(BUSY, 0), "this tracker knows no more than %u pools",
            registry->tables.pools_max);
        return;
    }
    ret->state_before = known->state;
    if (known->life != REGISTRY_ALIVE)
        ret->change = REGISTRY_RETURNED;
    else if (known->state != event->heartbeat->state)
        ret->change = REGISTRY_MOVED;
    copy_heartbeat(known, event);
}

static void join(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    struct registry_storage *storage = find_storage(registry, 0);
    uint32_t group;
    if (!storage || !enter_group(registry, event->heartbeat, &group)) {
        refuse(ret, ERR(BUSY, 0),
            "this tracker is full: %u of %u storages, at most %u groups and %u pools",
            registry->storage_count, registry->tables.storages_max, registry->tables.groups_max,
            registry->tables.pools_max);
        return;
    }
    *storage = (struct registry_storage){.machine = event->heartbeat->machine,
        .uuid = event->heartbeat->uuid,
        .group = group,
        .next = registry->tables.groups[group].first};
    registry->tables.groups[group].first = index_of(registry, storage) + 1;
    registry->storage_count++;
    ret->change = REGISTRY_JOINED;
    copy_heartbeat(storage, event);
}

static void step_heartbeat(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    check_fields(event->heartbeat, ret);
    if (err_is(ret->err))
        return;
    ret->machine = event->heartbeat->machine;
    struct registry_storage *known = find_storage(registry, ret->machine);
    if (known)
        check_number(registry, known, event, ret);
    if (!err_is(ret->err))
        check_pool(registry, event->heartbeat, ret);
    if (err_is(ret->err))
        return;
    if (known && uuid_equals(&known->uuid, &event->heartbeat->uuid)) {
        refresh(registry, known, event, ret);
        return;
    }
    if (known)
        forget(registry, known);
    join(registry, event, ret);
    if (known && !err_is(ret->err))
        ret->change = REGISTRY_REPLACED;
}

static void die(struct registry_storage *storage, struct registry_effects *ret)
{
    storage->life = REGISTRY_DEAD;
    ret->change = REGISTRY_DIED;
    ret->machine = storage->machine;
    ret->state_before = storage->state;
    ret->is_more = true;
}

static void step_lost(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    for (uint32_t i = 0; i < registry->tables.storages_max; i++) {
        struct registry_storage *storage = &registry->tables.storages[i];
        if (storage->machine != 0 && storage->life == REGISTRY_ALIVE
            && storage->connection == event->connection) {
            die(storage, ret);
            return;
        }
    }
}

static void step_goodbye(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    const struct msg_goodbye *goodbye = event->goodbye;
    struct registry_storage *known =
        goodbye->machine == 0 ? NULL : find_storage(registry, goodbye->machine);
    ret->machine = goodbye->machine;
    if (!known || !uuid_equals(&known->uuid, &goodbye->uuid)) {
        refuse(ret, ERR(NOT_FOUND, 0), "machine %u with that UUID is not known here",
            goodbye->machine);
        return;
    }
    ret->change = known->life == REGISTRY_LEFT ? REGISTRY_UNCHANGED : REGISTRY_DEPARTED;
    ret->state_before = known->state;
    known->life = REGISTRY_LEFT;
    known->state = STATE_CLOSED;
    known->heard_ns = event->now_ns;
}

static void step_remove(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    struct registry_storage *known =
        event->machine == 0 ? NULL : find_storage(registry, event->machine);
    ret->machine = event->machine;
    if (!known) {
        refuse(ret, ERR(NOT_FOUND, 0), "machine %u is not known here", event->machine);
    } else if (known->life == REGISTRY_ALIVE) {
        refuse(ret, ERR(CONFLICT, 0), "machine %u at %s is alive: stop it first", event->machine,
            known->address);
    } else {
        ret->change = known->life == REGISTRY_REMOVED ? REGISTRY_UNCHANGED : REGISTRY_TAKEN_OUT;
        ret->state_before = known->state;
        known->life = REGISTRY_REMOVED;
        known->heard_ns = event->now_ns;
    }
}

static void step_tick(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    const struct registry_config *config = &registry->config;
    for (uint32_t i = 0; i < registry->tables.storages_max; i++) {
        struct registry_storage *storage = &registry->tables.storages[i];
        if (storage->machine == 0)
            continue;
        if (storage->life == REGISTRY_ALIVE
            && event->now_ns >= storage->heard_ns + config->dead_ns) {
            die(storage, ret);
            return;
        }
        if (storage->life != REGISTRY_ALIVE
            && event->now_ns >= storage->heard_ns + config->forget_ns) {
            *ret = (struct registry_effects){.change = REGISTRY_FORGOTTEN,
                .machine = storage->machine,
                .state_before = storage->state,
                .is_more = true};
            forget(registry, storage);
            return;
        }
    }
}

void registry_step(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret)
{
    *ret = (struct registry_effects){0};
    switch (event->kind) {
    case REGISTRY_HEARTBEAT:
        step_heartbeat(registry, event, ret);
        break;
    case REGISTRY_LOST:
        step_lost(registry, event, ret);
        break;
    case REGISTRY_GOODBYE:
        step_goodbye(registry, event, ret);
        break;
    case REGISTRY_TICK:
        step_tick(registry, event, ret);
        break;
    case REGISTRY_REMOVE:
        step_remove(registry, event, ret);
        break;
    }
}
