#include "sim/store_lab.h"

#include "sim/mem.h"

void store_lab_options_small(struct store_lab_options *options)
{
    *options = (struct store_lab_options){.disk = {.capacity = 64 << 20,
                                              .direct_alignment = 512,
                                              .read_ns = 50000,
                                              .write_ns = 4000,
                                              .sync_ns = 200000,
                                              .meta_ns = 10000},
        .store = {.machine = 7,
            .group = "g1",
            .inline_max = 2048,
            .single_min = 16 * 1024,
            .piece_size = 16 * 1024,
            .chunk_size = 64 * 1024,
            .log_segment_size = 64 * 1024,
            .log_buffer_size = 32 * 1024,
            .log_segment_count_max = 6,
            .free_slot_count = 64,
            .recent_count = 64,
            .chunk_file_count = 24,
            .small_buffer_count = 8,
            .work_buffer_count = 8,
            .modify_buffer_count = 6,
            .checkpoint_bytes = 128 * 1024},
        .stream_count = 1,
        .loop_count = 1,
        .chunk_count_max = 512};
    memset(options->store.storage_uuid, 0x5a, sizeof options->store.storage_uuid);
}

/* ---- format: the directories that a mount point has ---- */

static void lab_call(struct io *io, struct owner *owner, struct io_op op)
{
    op.owner = owner;
    int64_t result = io_call(io, &op);
    CHECK(result >= 0);
}

static void lab_sync(struct io *io, struct owner *owner, const char *path)
{
    struct io_handle handle = IO_HANDLE_NONE;
    lab_call(io, owner,
        (struct io_op){.kind = IO_OPEN,
            .fd = IO_FD_NONE,
            .path = path,
            .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
            .ret_handle = &handle});
    lab_call(io, owner, (struct io_op){.kind = IO_SYNC, .fd = handle.fd});
    io_handle_close(io, &handle);
}

static void lab_format(struct store_lab *lab)
{
    static const char *const directories[] = {"chunks", "ckpt", "log", "new", "singles"};
    struct io *io = sim_loop_new(lab->world, lab->node, 0);
    struct owner owner;
    owner_open(&owner, "format", DIRECTION_OWN, 0);
    for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
        char path[32] = STORE_LAB_PATH "/";
        memcpy(path + strlen(path), directories[i], strlen(directories[i]) + 1);
        lab_call(io, &owner, (struct io_op){.kind = IO_MKDIR, .fd = IO_FD_NONE, .path = path});
    }
    lab_sync(io, &owner, STORE_LAB_PATH);
    owner_close(&owner);
    sim_loop_free(io);
}

void store_lab_init(
    struct store_lab *lab, struct sim_world *world, const struct store_lab_options *options)
{
    CHECK(
        options->loop_count <= STORE_LAB_LOOPS_MAX && options->stream_count >= options->loop_count);
    *lab = (struct store_lab){.world = world, .options = *options};
    lab->node = sim_node_new(world, options->name ? options->name : "s1", NULL);
    sim_mount_new(lab->node, STORE_LAB_PATH, &options->disk);
    lab_format(lab);
}

/* ---- the process ---- */

bool store_lab_is_up(const struct store_lab *lab)
{
    return lab->io[0] && !sim_node_is_down(lab->node);
}

void store_lab_bury(struct store_lab *lab)
{
    for (unsigned i = 0; i < lab->options.loop_count; i++) {
        if (!lab->io[i])
            continue;
        CHECK(sim_node_is_down(lab->node));
        sim_mem_bury(&lab->mem[i]);
        lab->io[i] = NULL;
        lab->has_store[i] = false;
    }
}

void store_lab_kill(struct store_lab *lab, bool loses_power)
{
    if (loses_power)
        sim_node_power_loss(lab->node);
    else
        sim_node_kill(lab->node);
    store_lab_bury(lab);
}

static void on_fence(void *context, uint8_t mount, err_t err)
{
    struct store_lab *lab = context;
    lab->fences++;
    sim_world_note(lab->world, "mount %u fenced: %s at %s:%d", mount, err_name(err.code),
        err.site ? err.site->file : "?", err.site ? err.site->line : 0);
}

static err_t boot_loop(struct store_lab *lab, unsigned index)
{
    struct store_config config = lab->options.store;
    config.loop_index = (uint16_t)index;
    config.loop_count = lab->options.loop_count;
    lab->io[index] = sim_loop_new(lab->world, lab->node, (uint16_t)index);
    mem_init(&lab->mem[index], &lab->io[index]->ledger);
    struct store *store = &lab->stores[index];
    TRY(store_init(store, lab->io[index], &lab->mem[index], &lab->clock, &config));
    lab->has_store[index] = true;
    store->on_fence = on_fence;
    store->context = lab;
    store->members = &lab->members;
    struct store_mount_options mount = {.path = STORE_LAB_PATH,
        .stream_count = lab->options.stream_count,
        .incarnation = 1,
        .reserve_bytes = lab->options.reserve_bytes,
        .chunk_count_max = lab->options.chunk_count_max,
        .does_not_wait = true};
    memset(mount.mount_uuid, 0xa5, sizeof mount.mount_uuid);
    return store_open_mount(store, &mount);
}

static bool is_ready(void *context)
{
    struct store_lab *lab = context;
    if (!store_lab_is_up(lab))
        return true;
    for (unsigned i = 0; i < lab->options.stream_count; i++) {
        const struct stream *stream = store_lab_stream(lab, i);
        if (stream && stream->state == STREAM_OPEN && !stream_is_ready(stream))
            return false;
    }
    return true;
}

static err_t share_routes(struct store_lab *lab)
{
    for (unsigned i = 0; i < lab->options.loop_count; i++)
        for (unsigned k = 0; k < lab->options.loop_count; k++)
            if (k != i)
                TRY(route_merge(&lab->stores[i].routes, &lab->stores[k].routes));
    return ERR_OK;
}

err_t store_lab_boot(struct store_lab *lab)
{
    CHECK(!lab->io[0]);
    lab->clock = (struct id_clock){0};
    lab->fences = 0;
    lab->boots++;
    err_t err = ERR_OK;
    for (unsigned i = 0; i < lab->options.loop_count && !err_is(err); i++)
        err = boot_loop(lab, i);
    if (!err_is(err))
        err = share_routes(lab);
    if (!err_is(err)) {
        bool is_there = sim_world_run_until(lab->world, is_ready, lab, UINT64_C(60000000000));
        CHECK(is_there);
        if (!store_lab_is_up(lab))
            err = ERR(INTERRUPTED, 0);
    }
    if (!err_is(err))
        return err;
    if (sim_node_is_down(lab->node))
        store_lab_bury(lab);
    else if (!store_lab_close(lab))
        err = ERR(INTERRUPTED, 0);
    return err;
}

static bool is_closed(void *context)
{
    struct store_lab *lab = context;
    if (!store_lab_is_up(lab))
        return true;
    for (unsigned i = 0; i < lab->options.loop_count; i++)
        if (lab->has_store[i] && !store_close_is_quiet(&lab->stores[i]))
            return false;
    return true;
}

void store_lab_describe(const struct store_lab *lab, char *ret, size_t size)
{
    size_t at = 0;
    ret[0] = '\0';
    for (unsigned i = 0; i < lab->options.loop_count && lab->io[i]; i++) {
        LIST_EACH (node, &lab->io[i]->run.machines) {
            const struct machine *machine = CONTAINER_OF(node, struct machine, link);
            if (at + 60 < size)
                at += (size_t)snprintf(ret + at, size - at, " %s:%s", machine->kind->name,
                    machine_stage_name(machine));
        }
    }
}

bool store_lab_close(struct store_lab *lab)
{
    for (unsigned i = 0; i < lab->options.loop_count; i++)
        if (lab->has_store[i])
            store_close_begin(&lab->stores[i]);
    bool is_there = sim_world_run_until(lab->world, is_closed, lab, UINT64_C(600000000000));
    if (!is_there) {
        char text[400];
        store_lab_describe(lab, text, sizeof text);
        sim_world_note(lab->world, "the close hangs:%s", text);
    }
    CHECK(is_there);
    if (!store_lab_is_up(lab)) {
        store_lab_bury(lab);
        return false;
    }
    for (unsigned i = 0; i < lab->options.loop_count; i++) {
        if (lab->has_store[i])
            store_close_end(&lab->stores[i]);
        lab->has_store[i] = false;
        if (lab->io[i])
            sim_loop_free(lab->io[i]);
        lab->io[i] = NULL;
    }
    return true;
}

struct store *store_lab_owner(struct store_lab *lab, const struct fid *fid)
{
    return &lab->stores[store_owner_loop(&lab->stores[0], fid)];
}

struct stream *store_lab_stream(struct store_lab *lab, unsigned index)
{
    unsigned loop = index % lab->options.loop_count;
    return lab->has_store[loop] ? lab->stores[loop].mounts[0].streams[index] : NULL;
}
