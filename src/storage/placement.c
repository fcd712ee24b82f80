#include "storage/placement.h"

static size_t gather(const struct store *store, const struct storage_config *config,
    struct balance_candidate candidates[STORAGE_MOUNTS_MAX])
{
    for (uint32_t i = 0; i < config->mount_count; i++) {
        uint8_t index = config->mount[i].index;
        const struct store_mount *mount = &store->mounts[index];
        candidates[i] = (struct balance_candidate){.id = index,
            .free_bytes = mount->free_bytes,
            .reserve_bytes = mount->reserve_bytes,
            .is_usable = mount->is_there && !mount->is_fenced};
    }
    return config->mount_count;
}

/* The usable one with most free space; count if there is none. */
static size_t freest(const struct balance_candidate *candidates, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++)
        if (candidates[i].is_usable
            && (best == count || candidates[i].free_bytes > candidates[best].free_bytes))
            best = i;
    return best;
}

err_t placement_pick(const struct store *store, const struct storage_config *config,
    struct balance_cursor *cursor, uint64_t size, bool is_packed, uint8_t *ret_mount)
{
    struct balance_candidate candidates[STORAGE_MOUNTS_MAX] = {0};
    size_t count = gather(store, config, candidates);
    struct balance_request request = {.policy = (enum balance_policy)config->balance,
        .master_id = (uint32_t)config->master_mount,
        .size_bytes = size};
    uint32_t chosen = 0;
    size_t fallback = freest(candidates, count);
    if (fallback == count)
        return ERR(OFFLINE, 0);
    if (balance_pick(&request, candidates, count, cursor, &chosen))
        *ret_mount = (uint8_t)candidates[chosen].id;
    else if (is_packed)
        *ret_mount = (uint8_t)candidates[fallback].id;
    else
        return ERR(NO_SPACE, 0);
    return ERR_OK;
}
