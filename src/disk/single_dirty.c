#include "disk/single_dirty.h"

#include <errno.h>

void single_dirty_init(struct single_dirty *dirty, const struct single_mount *mount)
{
    memset(dirty, 0, sizeof *dirty);
    dirty->mount = mount;
    dirty->handle = IO_HANDLE_NONE;
}

static struct single_dirty_set *current_set(struct single_dirty *dirty)
{
    return &dirty->sets[dirty->current];
}

void single_dirty_add_directory(struct single_dirty *dirty, uint8_t directory)
{
    current_set(dirty)->directories[directory / 64] |= UINT64_C(1) << directory % 64;
}

void single_dirty_add_new(struct single_dirty *dirty)
{
    current_set(dirty)->has_new = true;
}

bool single_dirty_add_file(struct single_dirty *dirty, const struct identity *identity)
{
    struct single_dirty_set *set = current_set(dirty);
    for (uint32_t i = set->count; i > 0; i--)
        if (set->files[i - 1].clock == identity->clock
            && set->files[i - 1].origin == identity->origin)
            return true;
    if (set->count == SINGLE_DIRTY_FILES)
        return false;
    set->files[set->count].clock = identity->clock;
    set->files[set->count++].origin = identity->origin;
    return true;
}

static bool set_is_empty(const struct single_dirty_set *set)
{
    uint64_t any =
        set->directories[0] | set->directories[1] | set->directories[2] | set->directories[3];
    return any == 0 && !set->has_new && set->count == 0;
}

bool single_dirty_is_empty(const struct single_dirty *dirty)
{
    return set_is_empty(&dirty->sets[0]) && set_is_empty(&dirty->sets[1]);
}

static struct single_dirty *dirty_of(struct single_chain *chain)
{
    return CONTAINER_OF(chain, struct single_dirty, chain);
}

static struct single_dirty_set *sync_set(struct single_dirty *dirty)
{
    return &dirty->sets[1 - dirty->current];
}

/* What is to be synced next: its path, or false. Files first: a name is worth nothing without its
 * content. It is taken from the set when it is durable. */
static bool dirty_next(struct single_dirty *dirty, uint32_t *ret_flags)
{
    struct single_dirty_set *set = sync_set(dirty);
    *ret_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY;
    if (set->count > 0) {
        struct identity identity = {
            .clock = set->files[set->count - 1].clock, .origin = set->files[set->count - 1].origin};
        single_path(dirty->path, &identity);
        *ret_flags = IO_OPEN_READ | IO_OPEN_WRITE;
        return true;
    }
    for (; dirty->at < SINGLE_DIRECTORIES; dirty->at++) {
        if (set->directories[dirty->at / 64] >> dirty->at % 64 & 1) {
            single_directory_path(dirty->path, (uint8_t)dirty->at);
            return true;
        }
    }
    single_new_directory_path(dirty->path, dirty->mount->stream);
    return set->has_new;
}

static void dirty_take(struct single_dirty *dirty)
{
    struct single_dirty_set *set = sync_set(dirty);
    if (set->count > 0)
        set->count--;
    else if (dirty->at < SINGLE_DIRECTORIES)
        set->directories[dirty->at / 64] &= ~(UINT64_C(1) << dirty->at % 64);
    else
        set->has_new = false;
}

static void dirty_swap(struct single_dirty *dirty)
{
    CHECK(set_is_empty(sync_set(dirty)));
    dirty->current = 1 - dirty->current;
    dirty->has_second = false;
    dirty->at = 0;
}

static void dirty_step(struct single_chain *chain);

static void dirty_synced(struct single_chain *chain)
{
    struct single_dirty *dirty = dirty_of(chain);
    io_handle_close(chain->io, &dirty->handle);
    dirty_take(dirty);
    dirty_step(chain);
}

static void dirty_opened(struct single_chain *chain)
{
    struct single_dirty *dirty = dirty_of(chain);
    bool is_file = sync_set(dirty)->count > 0;
    if (chain->result >= 0)
        chain_sync(chain, dirty->handle.fd, dirty_synced);
    else if (chain->result == -ENOENT && is_file)
        dirty_synced(chain); /* deleted since */
    else
        chain_end(chain, ERR_RESULT(chain->result));
}

static void dirty_step(struct single_chain *chain)
{
    struct single_dirty *dirty = dirty_of(chain);
    uint32_t flags;
    bool is_more = dirty_next(dirty, &flags);
    if (!is_more && dirty->has_second) {
        dirty_swap(dirty);
        is_more = dirty_next(dirty, &flags);
    }
    if (!is_more) {
        chain_end(chain, ERR_OK);
        return;
    }
    chain->tolerates = true;
    chain_open(chain, dirty->mount->root->fd, dirty->path, flags, &dirty->handle, dirty_opened);
}

/* A set that an earlier sync left half done goes first, then the one that gathered meanwhile. */
void single_dirty_sync(struct single_dirty *dirty, struct machine *machine)
{
    bool has_rest = !set_is_empty(sync_set(dirty));
    dirty->at = 0;
    if (!has_rest)
        dirty_swap(dirty);
    dirty->has_second = has_rest;
    chain_init(&dirty->chain, dirty->mount->io, machine);
    chain_begin(&dirty->chain);
    dirty_step(&dirty->chain);
}

static err_t sync_one_now(struct single_dirty *dirty, struct owner *owner, uint32_t flags)
{
    struct io_op op = {.kind = IO_OPEN,
        .fd = dirty->mount->root->fd,
        .path = dirty->path,
        .open_flags = flags,
        .ret_handle = &dirty->handle,
        .owner = owner};
    int64_t result = io_call(dirty->mount->io, &op);
    if (result == -ENOENT && sync_set(dirty)->count > 0)
        return ERR_OK; /* deleted since */
    if (result < 0)
        return ERR_RESULT(result);
    op = (struct io_op){.kind = IO_SYNC, .fd = dirty->handle.fd, .owner = owner};
    result = io_call(dirty->mount->io, &op);
    io_handle_close(dirty->mount->io, &dirty->handle);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

err_t single_dirty_sync_now(struct single_dirty *dirty, struct owner *owner)
{
    uint32_t flags;
    dirty_swap(dirty);
    while (dirty_next(dirty, &flags)) {
        TRY(sync_one_now(dirty, owner, flags));
        dirty_take(dirty);
    }
    return ERR_OK;
}

void single_dirty_close(struct single_dirty *dirty)
{
    CHECK(!dirty->chain.is_active);
    io_handle_close(dirty->mount->io, &dirty->handle);
}
