/* Whom the registry names to clients, and its sums. */
#include "base/text.h"
#include "core/registry.h"

static const struct registry_storage *member_at(const struct registry *registry, uint32_t link)
{
    return link == 0 ? NULL : &registry->tables.storages[link - 1];
}

#define MEMBER_EACH(member, registry, group)                                                    \
    for (const struct registry_storage *member = member_at((registry), (group)->first); member; \
         member = member_at((registry), member->next))

void registry_summarize_group(
    const struct registry *registry, uint32_t index, struct registry_summary *ret)
{
    const struct registry_group *group = &registry->tables.groups[index];
    *ret = (struct registry_summary){.total_bytes = UINT64_MAX, .free_bytes = UINT64_MAX};
    bool is_counted = false;
    MEMBER_EACH (member, registry, group) {
        ret->members++;
        if (member->life != REGISTRY_ALIVE)
            continue;
        ret->alive++;
        ret->running += member->state == STATE_RUNNING;
        ret->taking += member->state == STATE_RUNNING && (member->flags & MEMBER_DRAINING) == 0;
        if (member->state < STATE_ACCEPTING || member->state > STATE_RUNNING)
            continue; /* does not know its disks yet, or takes nothing more */
        is_counted = true;
        if (member->total_bytes < ret->total_bytes)
            ret->total_bytes = member->total_bytes;
        if (member->free_bytes < ret->free_bytes)
            ret->free_bytes = member->free_bytes;
    }
    if (!is_counted)
        ret->total_bytes = ret->free_bytes = 0;
}

static struct member_entry entry_of(const struct registry_storage *member)
{
    uint8_t flags = member->flags;
    flags |= member->life == REGISTRY_ALIVE ? MEMBER_ALIVE : 0;
    flags |= member->life == REGISTRY_REMOVED ? MEMBER_REMOVED : 0;
    return (struct member_entry){.machine = member->machine,
        .uuid = member->uuid,
        .state = member->state,
        .flags = flags,
        .address = span_of_text(member->address)};
}

uint32_t registry_tell_members(
    const struct registry *registry, uint32_t machine, struct member_entry ret[REGISTRY_TOLD_MAX])
{
    uint32_t count = 0, at = 0;
    while (at < registry->tables.storages_max && registry->tables.storages[at].machine != machine)
        at++;
    if (machine == 0 || at == registry->tables.storages_max)
        return 0;
    const struct registry_group *group =
        &registry->tables.groups[registry->tables.storages[at].group];
    for (int is_alive = 1; is_alive >= 0; is_alive--)
        MEMBER_EACH (member, registry, group)
            if (member->machine != machine && (member->life == REGISTRY_ALIVE) == is_alive
                && count < REGISTRY_TOLD_MAX)
                ret[count++] = entry_of(member);
    return count;
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void registry_summarize_pool(
    const struct registry *registry, uint32_t pool, struct registry_summary *ret)
{
    *ret = (struct registry_summary){0};
    for (uint32_t i = 0; i < registry->tables.groups_max; i++) {
        const struct registry_group *group = &registry->tables.groups[i];
        if (group->name[0] == '\0' || group->pool != pool)
            continue;
        struct registry_summary sum;
        registry_summarize_group(registry, i, &sum);
        ret->members += sum.members;
        ret->alive += sum.alive;
        ret->running += sum.running;
        ret->taking += sum.taking;
        ret->total_bytes = add_saturating(ret->total_bytes, sum.total_bytes);
        ret->free_bytes = add_saturating(ret->free_bytes, sum.free_bytes);
    }
}

static err_t refuse_query(
    struct registry_answer *ret, err_t err, const char *what, struct span name)
{
    struct text text;
    text_init(&text, ret->reason, sizeof ret->reason);
    text_add(&text, "%s", what);
    if (name.size > 0 && name.size <= REGISTRY_POOL_NAME_MAX) {
        text_add(&text, ": ");
        text_add_quoted(&text, name);
    }
    return err;
}

static uint32_t least_load(const struct registry *registry, const struct registry_group *group)
{
    uint32_t load = UINT32_MAX;
    MEMBER_EACH (member, registry, group)
        if (registry_is_running(member) && member->load < load)
            load = member->load;
    return load;
}

/* The groups of a pool (or `only` one of them) as candidates; id = index in the table. Returns how
 * many; *ret_taking is set if any of them has a member that takes uploads. */
static size_t gather_groups(
    struct registry *registry, uint32_t pool, struct span only, bool *ret_taking)
{
    size_t count = 0;
    for (uint32_t i = 0; i < registry->tables.groups_max; i++) {
        const struct registry_group *group = &registry->tables.groups[i];
        if (group->name[0] == '\0' || group->pool != pool
            || (only.size > 0 && !span_equals_text(only, group->name)))
            continue;
        struct registry_summary sum;
        registry_summarize_group(registry, i, &sum);
        *ret_taking = *ret_taking || sum.taking > 0;
        registry->tables.candidates[count++] = (struct balance_candidate){.id = i,
            .load = least_load(registry, group),
            .free_bytes = sum.free_bytes,
            .is_usable = sum.taking > 0};
    }
    return count;
}

static bool is_caught_up(const struct registry *registry, const struct registry_storage *member)
{
    return member->lag_ns <= registry->config.lag_max_ns;
}

/* Members of a group as candidates; id = machine number. Usable are running ones that are caught up,
 * or (wants_late) those that are not. Room matters for uploads only: a full storage still answers and
 * still modifies in place. */
static size_t gather_members(
    struct registry *registry, const struct registry_group *group, bool is_upload, bool wants_late)
{
    size_t count = 0;
    MEMBER_EACH (member, registry, group)
        registry->tables.candidates[count++] = (struct balance_candidate){.id = member->machine,
            .load = member->load,
            .free_bytes = is_upload ? member->free_bytes : UINT64_MAX,
            .is_usable = registry_is_running(member) && is_caught_up(registry, member) != wants_late
                         && !(is_upload && (member->flags & MEMBER_DRAINING) != 0)};
    return count;
}

static void name_member(const struct registry *registry, const struct registry_group *group,
    uint32_t machine, struct registry_answer *ret)
{
    MEMBER_EACH (member, registry, group)
        if (member->machine == machine)
            ret->storages[ret->count++] = (struct registry_named){.machine = machine,
                .address = member->address,
                .http_address = member->http_address,
                .group = group->name,
                .fastdfs_port = member->fastdfs_port};
}

static void name_some(struct registry *registry, const struct registry_group *group,
    const struct balance_request *request, struct balance_cursor *cursor, bool wants_late,
    struct registry_answer *ret)
{
    uint32_t ranked[REGISTRY_ANSWER_MAX];
    const struct balance_candidate *candidates = registry->tables.candidates;
    size_t room = REGISTRY_ANSWER_MAX - ret->count;
    size_t count = gather_members(registry, group, request->size_bytes > 0, wants_late);
    if (room == 0)
        return;
    count = balance_rank(request, candidates, count, cursor, ranked, room);
    for (size_t i = 0; i < count; i++)
        name_member(registry, group, candidates[ranked[i]].id, ret);
}

/* Those that are caught up, then those that are not: only the first turn the wheel. */
static void name_members(struct registry *registry, const struct registry_group *group,
    const struct balance_request *request, struct balance_cursor *cursor,
    struct registry_answer *ret)
{
    name_some(registry, group, request, cursor, false, ret);
    struct balance_cursor copy = *cursor;
    name_some(registry, group, request, &copy, true, ret);
}

static bool find_only_pool(const struct registry *registry, uint32_t *ret_index)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < registry->tables.pools_max; i++) {
        if (registry->tables.pools[i].group_count > 0) {
            *ret_index = i;
            count++;
        }
    }
    return count == 1;
}

static err_t choose_pool(const struct registry *registry, const struct msg_query *query,
    struct registry_answer *ret, uint32_t *ret_index)
{
    uint32_t group;
    if (query->group.size > 0 && registry_find_group(registry, query->group, &group)) {
        *ret_index = registry->tables.groups[group].pool;
        return ERR_OK;
    }
    if (query->group.size > 0)
        return refuse_query(
            ret, ERR(UNAVAILABLE, 0), "no storage of this group is known", query->group);
    if (query->pool.size > 0) {
        if (registry_find_pool(registry, query->pool, ret_index))
            return ERR_OK;
        return refuse_query(
            ret, ERR(UNAVAILABLE, 0), "no storage of this pool is known", query->pool);
    }
    if (registry->storage_count == 0)
        return refuse_query(ret, ERR(UNAVAILABLE, 0), "no storage is known", query->pool);
    if (!find_only_pool(registry, ret_index))
        return refuse_query(ret, ERR(USAGE, 0), "there are several pools: name one", query->pool);
    return ERR_OK;
}

static struct balance_request request_of_pool(
    const struct registry *registry, const struct registry_pool *pool, uint64_t size)
{
    struct balance_request request = {
        .policy = pool->policy, .master_id = UINT32_MAX, .size_bytes = size > 0 ? size : 1};
    if (pool->master)
        (void)registry_find_group(registry, span_of_text(pool->master), &request.master_id);
    return request;
}

static err_t query_upload(
    struct registry *registry, const struct msg_query *query, struct registry_answer *ret)
{
    uint32_t index, ranked[REGISTRY_ANSWER_GROUPS_MAX], groups[REGISTRY_ANSWER_GROUPS_MAX];
    bool is_taking = false;
    TRY(choose_pool(registry, query, ret, &index));
    struct registry_pool *pool = &registry->tables.pools[index];
    struct span name = span_of_text(pool->name);
    struct balance_request request = request_of_pool(registry, pool, query->size);
    size_t count = gather_groups(registry, index, query->group, &is_taking);
    count = balance_rank(&request, registry->tables.candidates, count, &pool->cursor, ranked,
        REGISTRY_ANSWER_GROUPS_MAX);
    if (count == 0 && is_taking)
        return refuse_query(ret, ERR(NO_SPACE, 0), "no group of this pool has room", name);
    if (count == 0)
        return refuse_query(
            ret, ERR(UNAVAILABLE, 0), "no storage of this pool takes uploads now", name);
    for (size_t i = 0; i < count; i++)
        groups[i] = registry->tables.candidates[ranked[i]].id;
    request.policy = pool->policy == BALANCE_LOAD ? BALANCE_LOAD : BALANCE_LOOP;
    for (size_t i = 0; i < count; i++) { /* only the group that is used turns its wheel */
        struct registry_group *group = &registry->tables.groups[groups[i]];
        struct balance_cursor copy = group->upload_cursor;
        name_members(registry, group, &request, i == 0 ? &group->upload_cursor : &copy, ret);
    }
    ret->group = registry->tables.groups[groups[0]].name;
    return ERR_OK;
}

static err_t query_members(
    struct registry *registry, const struct msg_query *query, struct registry_answer *ret)
{
    uint32_t index;
    if (!registry_find_group(registry, query->group, &index))
        return refuse_query(
            ret, ERR(UNAVAILABLE, 0), "no storage of this group is known", query->group);
    struct registry_group *group = &registry->tables.groups[index];
    bool is_find = query->purpose == QUERY_FIND;
    struct balance_request request = {
        .policy = is_find ? BALANCE_LOOP : BALANCE_MASTER, .master_id = query->origin};
    name_members(registry, group, &request, &group->find_cursor, ret);
    if (ret->count == 0)
        return refuse_query(
            ret, ERR(UNAVAILABLE, 0), "no storage of this group is running", query->group);
    ret->group = group->name;
    return ERR_OK;
}

err_t registry_query(
    struct registry *registry, const struct msg_query *query, struct registry_answer *ret)
{
    *ret = (struct registry_answer){.count = 0};
    switch (query->purpose) {
    case QUERY_UPLOAD:
        return query_upload(registry, query, ret);
    case QUERY_FIND:
    case QUERY_MODIFY:
    case QUERY_DELETE:
        return query_members(registry, query, ret);
    default:
        return refuse_query(
            ret, ERR(USAGE, 0), "the purpose of this query is not known", span_of(NULL, 0));
    }
}
