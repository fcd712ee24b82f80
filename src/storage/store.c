#include "storage/store.h"

#include <errno.h>

#include "storage/intake.h"

/* ---- mount points ---- */

static const struct io_handle *root_of_chunk(void *context, const struct chunk_key *key)
{
    const struct store *store = context;
    struct source_key source = {key->machine, key->mount, key->stream};
    const struct store_mount *mount = &store->mounts[store_route(store, &source).mount];
    return mount->is_there && !mount->is_fenced ? &mount->root : NULL;
}

void store_fence(struct store *store, uint8_t index, err_t err)
{
    struct store_mount *mount = &store->mounts[index];
    if (mount->is_fenced)
        return;
    mount->is_fenced = true;
    mount->cause = err;
    for (size_t i = 0; i < ARRAY_LEN(mount->streams); i++)
        if (mount->streams[i])
            stream_fail(mount->streams[i], err);
    if (store->on_fence)
        store->on_fence(store->context, index, err);
}

void store_leave_out(struct store *store, uint8_t index, err_t err)
{
    struct store_mount *mount = &store->mounts[index];
    CHECK(!mount->is_there);
    mount->is_fenced = true;
    mount->cause = err;
}

static void on_stream_fence(struct stream *stream, err_t err)
{
    store_fence(stream->options.context, stream->options.mount, err);
}

static err_t on_stream_source(struct stream *stream, const struct source_key *key)
{
    return route_note_held(
        stream->options.context, key, stream->options.mount, stream->options.stream);
}

static void on_stream_upload(struct stream *stream, const struct record *record)
{
    struct store *store = stream->options.context;
    recent_note(&store->recent, record);
}

/* ---- opening ---- */

static err_t store_take(struct store *store)
{
    const struct store_config *config = &store->config;
    void *block;
    TRY(mem_take(
        store->mem, &store->owner, sizeof(struct store_mount) * STORE_MOUNTS_MAX, 0, &block));
    store->mounts = block;
    for (size_t i = 0; i < STORE_MOUNTS_MAX; i++)
        store->mounts[i].root = IO_HANDLE_NONE;
    TRY(chunk_files_init(
        &store->files, store->io, store->mem, config->chunk_file_count, root_of_chunk, store));
    TRY(recent_init(
        &store->recent, store->mem, config->recent_count, io_random(store->io), &store->owner));
    TRY(pool_init(&store->small_buffers, store->mem, &store->io->ledger, "small-buffers",
        STORE_SMALL_SIZE, config->small_buffer_count, 64, &store->owner));
    TRY(pool_init(&store->modify_buffers, store->mem, &store->io->ledger, "modify-buffers",
        store_modify_size(config), config->modify_buffer_count, 4096, &store->owner));
    TRY(pool_init(&store->evictions, store->mem, &store->io->ledger, "evictions",
        sizeof(struct intake), STORE_EVICTIONS, 0, &store->owner));
    return pool_init(&store->work_buffers, store->mem, &store->io->ledger, "work-buffers",
        store_work_size(config), config->work_buffer_count, 4096, &store->owner);
}

static void store_give(struct store *store)
{
    if (store->work_buffers.mem)
        pool_fini(&store->work_buffers);
    if (store->evictions.mem)
        pool_fini(&store->evictions);
    if (store->modify_buffers.mem)
        pool_fini(&store->modify_buffers);
    if (store->small_buffers.mem)
        pool_fini(&store->small_buffers);
    recent_fini(&store->recent);
    if (store->files.io)
        chunk_files_fini(&store->files);
    mem_give(store->mem, store->mounts);
    owner_close(&store->owner);
}

err_t store_init(struct store *store, struct io *io, struct mem *mem, struct id_clock *clock,
    const struct store_config *config)
{
    CHECK(config->single_min <= SLOT_SIZE_MAX / 4 && config->inline_max <= config->single_min);
    *store = (struct store){.io = io, .mem = mem, .clock = clock, .config = *config};
    list_init(&store->uploads);
    list_init(&store->asks);
    owner_open(&store->owner, "store", DIRECTION_OWN, io_now(io));
    list_init(&store->intakes);
    err_t err = store_take(store);
    if (err_is(err))
        store_give(store);
    return err;
}

static err_t open_root(struct store *store, struct store_mount *mount, const char *path)
{
    struct io_op op = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .handle_life = LIFE_PROCESS,
        .ret_handle = &mount->root,
        .owner = &store->owner};
    int64_t result = io_call(store->io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static err_t open_stream(struct store *store, const struct store_mount_options *options,
    struct store_mount *mount, uint8_t index)
{
    const struct store_config *config = &store->config;
    struct stream_options stream_options = {.io = store->io,
        .mem = store->mem,
        .files = &store->files,
        .root = &mount->root,
        .clock = store->clock,
        .context = store,
        .machine = config->machine,
        .mount = options->index,
        .stream = index,
        .incarnation = options->incarnation,
        .chunk_size = config->chunk_size,
        .log_segment_size = config->log_segment_size,
        .log_buffer_size = config->log_buffer_size,
        .log_segment_count_max = config->log_segment_count_max,
        .log_ring_size = config->log_ring_size,
        .retains_log = config->retains_log,
        .free_slot_count = config->free_slot_count,
        .chunk_count_max = options->chunk_count_max,
        .reserve_bytes = options->reserve_bytes,
        .checkpoint_bytes = config->checkpoint_bytes,
        .on_upload = on_stream_upload,
        .mirror_idle_ns = config->mirror_idle_ns,
        .on_fence = on_stream_fence,
        .on_source = on_stream_source};
    if (options->floors)
        stream_options.floor = options->floors[index];
    memcpy(stream_options.storage_uuid, config->storage_uuid, 16);
    memcpy(stream_options.mount_uuid, options->mount_uuid, 16);
    void *block;
    TRY(mem_take(store->mem, &store->owner, sizeof(struct stream), 0, &block));
    struct stream *stream = block;
    err_t err = stream_open(stream, &stream_options);
    if (err_is(err)) {
        mem_give(store->mem, stream);
        return err;
    }
    mount->streams[index] = stream;
    return ERR_OK;
}

static err_t wait_for_stream(struct store *store, const struct stream *stream)
{
    while (stream && !stream_is_ready(stream))
        io_turn(store->io, true);
    return stream && stream->state != STREAM_OPEN ? stream->failure : ERR_OK;
}

err_t store_open_mount(struct store *store, const struct store_mount_options *options)
{
    struct store_mount *mount = &store->mounts[options->index];
    CHECK(!mount->is_there && options->stream_count > 0);
    TRY(open_root(store, mount, options->path));
    mount->is_there = true;
    mount->stream_count = options->stream_count;
    route_add_mount(&store->routes, options->index, options->stream_count);
    mount->reserve_bytes = options->reserve_bytes;
    memcpy(mount->mount_uuid, options->mount_uuid, 16);
    for (unsigned i = store->config.loop_index; i < options->stream_count;
         i += store->config.loop_count)
        TRY(open_stream(store, options, mount, (uint8_t)i));
    for (unsigned i = 0; i < options->stream_count && !options->does_not_wait; i++)
        TRY(wait_for_stream(store, mount->streams[i]));
    return ERR_OK;
}

static struct stream *next_stream(const struct store *store, size_t *at)
{
    while (*at < (size_t)STORE_MOUNTS_MAX * STORE_STREAMS_MAX) {
        const struct store_mount *mount = &store->mounts[*at / STORE_STREAMS_MAX];
        size_t index = *at % STORE_STREAMS_MAX;
        if (index >= mount->stream_count) {
            *at += STORE_STREAMS_MAX - index;
            continue;
        }
        ++*at;
        if (mount->streams[index])
            return mount->streams[index];
    }
    return NULL;
}

void store_close_begin(struct store *store)
{
    CHECK(store->running == 0);
    struct stream *stream;
    for (size_t at = 0; (stream = next_stream(store, &at)) != NULL;)
        stream_close_begin(stream);
}

bool store_close_is_quiet(struct store *store)
{
    bool is_quiet = true;
    struct stream *stream;
    for (size_t at = 0; (stream = next_stream(store, &at)) != NULL;)
        is_quiet &= stream_close_is_quiet(stream);
    return is_quiet;
}

void store_close_end(struct store *store)
{
    struct stream *stream;
    for (size_t at = 0; (stream = next_stream(store, &at)) != NULL;) {
        store->mounts[stream->options.mount].streams[stream->options.stream] = NULL;
        stream_close_end(stream);
        mem_give(store->mem, stream);
    }
    for (size_t i = 0; i < STORE_MOUNTS_MAX; i++)
        io_handle_close(store->io, &store->mounts[i].root);
    store_give(store);
}

void store_close(struct store *store)
{
    store_close_begin(store);
    while (!store_close_is_quiet(store))
        io_turn(store->io, true);
    store_close_end(store);
}

/* ---- ids ---- */

struct stream_place store_place_of(const struct store *store, const struct fid *fid)
{
    struct source_key source = {fid->identity.origin, fid->mount, fid->stream};
    return store_route(store, &source);
}

uint16_t store_owner_loop(const struct store *store, const struct fid *fid)
{
    return store_place_of(store, fid).loop;
}

static bool origin_is_known(const struct store *store, uint32_t machine)
{
    return machine == store->config.machine
           || (store->members && members_find(store->members, machine));
}

err_t store_check_id(const struct store *store, const struct fid *fid)
{
    if (strcmp(fid->group, store->config.group) != 0
        || !origin_is_known(store, fid->identity.origin))
        return ERR(WRONG_NODE, 0);
    struct stream_place place = store_place_of(store, fid);
    const struct store_mount *mount = &store->mounts[place.mount];
    if (mount->is_fenced) /* perhaps from the start: then even its streams are not known */
        return ERR(OFFLINE, 0);
    if (!mount->is_there || place.stream >= mount->stream_count)
        return ERR(NOT_FOUND, 0);
    uint64_t end = (uint64_t)fid->offset + fid->slot_size;
    if (fid->is_packed
        && (fid->offset < CHUNK_HEADER_SIZE || end > store->config.chunk_size
            || fid->slot_size > SLOT_SIZE_MAX))
        return ERR(NOT_FOUND, 0);
    return ERR_OK;
}

err_t store_stream_at(struct store *store, const struct stream_place *place, struct stream **ret)
{
    const struct store_mount *mount = &store->mounts[place->mount];
    CHECK(place->loop == store->config.loop_index);
    struct stream *stream = mount->streams[place->stream];
    if (!mount->is_there || mount->is_fenced || !stream || stream->state != STREAM_OPEN)
        return ERR(OFFLINE, 0);
    *ret = stream;
    return ERR_OK;
}

err_t store_stream_of(struct store *store, const struct fid *fid, struct stream **ret)
{
    TRY(store_check_id(store, fid));
    struct stream_place place = store_place_of(store, fid);
    return store_stream_at(store, &place, ret);
}

bool store_keeps_tombstone(
    struct stream *stream, const struct identity *identity, const struct place *home)
{
    struct source_key key = source_key_of(home);
    return home->kind == PLACE_SINGLE && !stream_keeps_covering(stream, &key, identity->clock);
}

err_t store_stream_for_upload(struct store *store, uint8_t index, struct stream **ret)
{
    struct store_mount *mount = &store->mounts[index];
    if (!mount->is_there)
        return ERR(NOT_FOUND, 0);
    if (mount->is_fenced)
        return ERR(OFFLINE, 0);
    uint32_t loops = store->config.loop_count, first = store->config.loop_index;
    if (first >= mount->stream_count)
        return ERR(NOT_FOUND, 0);
    uint32_t owned = (mount->stream_count - first + loops - 1) / loops;
    struct stream *stream = mount->streams[first + store->stream_cursor++ % owned * loops];
    if (!stream || stream->state != STREAM_OPEN)
        return ERR(OFFLINE, 0);
    *ret = stream;
    return ERR_OK;
}
