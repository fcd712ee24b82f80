/* What each loop of a storage does when loop 0 says so. */
#include "base/units.h"
#include "storage/internal.h"

/* ---- open ---- */

static uint32_t slack_of(const struct storage_config *config)
{
    uint32_t value = (uint32_t)config->slack.value;
    return config->slack.is_percent ? value : value | SLACK_IS_BYTES;
}

static struct store_config store_config_of(const struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    const struct storage_config *config = &storage->config;
    struct store_config ret = {.machine = config->machine_number,
        .inline_max = (uint32_t)config->inline_max,
        .single_min = (uint32_t)config->single_min,
        .piece_size = (uint32_t)config->piece_size,
        .chunk_size = (uint32_t)config->chunk_size,
        .log_segment_size = (uint32_t)config->log_segment_size,
        .log_buffer_size = (uint32_t)config->log_buffer_size,
        .log_segment_count_max = (uint32_t)config->log_segments,
        .log_ring_size = (uint32_t)config->log_buffer_size,
        .retains_log = storage->has_mirrors,
        .free_slot_count = (uint32_t)config->free_slots,
        .recent_count = STORAGE_RECENT_UPLOADS,
        .chunk_file_count = storage->budget.chunk_files,
        .small_buffer_count = (uint32_t)config->small_buffers,
        .work_buffer_count = (uint32_t)config->work_buffers,
        .modify_buffer_count = (uint32_t)config->modify_buffers,
        .checkpoint_bytes = config->checkpoint_bytes,
        .mirror_idle_ns = STORAGE_MIRROR_IDLE_S * NS_PER_S,
        .slack_default = slack_of(config),
        .loop_index = loop->index,
        .loop_count = storage->loop_count};
    memcpy(ret.storage_uuid, storage->uuid.bytes, UUID_SIZE);
    bool does_fit = span_to_text(span_of_text(config->group), ret.group, sizeof ret.group);
    CHECK(does_fit);
    return ret;
}

static void open_mount(struct storage_loop *loop, uint32_t position)
{
    const struct storage *storage = loop->storage;
    const struct storage_mount_plan *plan = &storage->plan[position];
    struct store_mount_options options = {.index = storage->config.mount[position].index,
        .path = storage->config.mount[position].path,
        .stream_count = (uint8_t)plan->stream_count,
        .incarnation = storage->incarnation,
        .reserve_bytes = plan->reserve_bytes,
        .chunk_count_max = plan->chunk_count_max,
        .does_not_wait = true};
    struct stream_floor floors[STORE_STREAMS_MAX];
    for (unsigned i = 0; i < options.stream_count; i++)
        floors[i] = ready_floor(storage, options.index, (uint8_t)i);
    options.floors = floors;
    memcpy(options.mount_uuid, plan->mount_uuid, UUID_SIZE);
    err_t err = store_open_mount(&loop->store, &options);
    if (err_is(err))
        store_fence(&loop->store, options.index, err);
    struct store_mount *mount = &loop->store.mounts[options.index];
    mount->total_bytes = plan->total_bytes;
    mount->free_bytes = plan->free_bytes;
}

err_t member_open_net(struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    uint32_t office = storage->config.tracker_count + storage->budget.member_max;
    struct net_loop_config net = {
        .small_count =
            storage->budget.connection_max + push_connections_max(&storage->budget)
            + storage->budget.http_connection_max + http_door_connections(&storage->config)
            + storage->budget.fastdfs_connection_max + storage->budget.pull_max + 1
            + (uint32_t)storage->config.receive_buffers + (loop->index == 0 ? office : 0),
        .large_count = (uint32_t)storage->config.receive_large_buffers,
        .tick_ns = STORAGE_TICK_MS * NS_PER_MS};
    if (loop->is_net_open)
        return ERR_OK;
    TRY(net_loop_init(&loop->net, loop->io, &loop->mem, &net));
    loop->is_net_open = true;
    return ERR_OK;
}

static err_t open_loop(struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    struct store_config config = store_config_of(loop);
    TRY(store_init(&loop->store, loop->io, &loop->mem, &loop->storage->clock, &config));
    loop->is_store_open = true;
    loop->store.on_fence = member_on_fence;
    loop->store.context = loop;
    loop->store.members = &loop->members;
    for (uint32_t i = 0; i < storage->config.mount_count; i++)
        route_add_mount(&loop->store.routes, storage->config.mount[i].index,
            storage->plan[i].is_usable ? storage->plan[i].stream_count : 0);
    for (uint32_t i = 0; i < storage->config.mount_count; i++)
        if (storage->plan[i].is_usable)
            open_mount(loop, i);
        else
            store_leave_out(&loop->store, storage->config.mount[i].index, ERR(OFFLINE, 0));
    TRY(native_init(&loop->native, loop, storage->budget.request_max));
    loop->is_native_open = true;
    TRY(follows_init(&loop->follows, loop));
    loop->is_follow_open = true;
    TRY(http_door_open(&loop->http, loop));
    TRY(fdfs_door_open(&loop->fdfs, loop));
    TRY(member_open_net(loop));
    TRY(pull_open(loop));
    TRY(scrub_open(loop));
    if (loop->index == 0 && storage->budget.peers_max > 0)
        TRY(reconcile_open(&loop->storage->reconcile, loop->storage));
    return push_open(loop);
}

/* A stream is ready when its first lease of ids is durable, or it has failed (and fenced itself). */
static bool mount_is_ready(const struct store_mount *mount)
{
    for (unsigned i = 0; mount->is_there && i < mount->stream_count; i++)
        if (mount->streams[i] && !stream_is_ready(mount->streams[i]))
            return false;
    return true;
}

static void become_open(struct storage_loop *loop)
{
    const struct storage_config *config = &loop->storage->config;
    for (uint32_t i = 0; loop->is_store_open && i < config->mount_count; i++)
        if (!mount_is_ready(&loop->store.mounts[config->mount[i].index]))
            return;
    loop->phase = STORAGE_PHASE_OPEN;
    member_answer(loop, STORAGE_OPEN);
}

/* ---- listen ---- */

/* All loops have opened, and listen one after the other: nobody writes what is read here. */
static err_t gather_routes(struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        if (i != loop->index)
            TRY(route_merge(&loop->store.routes, &storage->loops[i].store.routes));
    return ERR_OK;
}

static err_t listen_loop(struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    TRY(gather_routes(loop));
    const struct storage_config *config = &storage->config;
    struct net_server_config server = {
        .address = loop->index == 0 ? config->listen_address : loop->command.address,
        .listen_index = loop->index,
        .listen_count = storage->loop_count,
        .connection_max = storage->budget.connection_max,
        .request_max = storage->budget.request_max,
        .pipeline_max = (uint32_t)config->pipeline_max,
        .idle_timeout_ns = config->idle_timeout_ns,
        .send_timeout_ns = config->send_timeout_ns,
        .handshake_timeout_ns = 10 * NS_PER_S,
        .policy = {.secrets = storage->options.secrets,
            .machine = config->machine_number,
            .server_role = SERVER_STORAGE},
        .on_request = native_on_request,
        .role = loop};
    TRY(net_server_start(&loop->server, &loop->net, &server));
    loop->is_server_open = true;
    TRY(http_door_listen(&loop->http));
    TRY(fdfs_door_listen(&loop->fdfs));
    mem_set_phase(&loop->mem, MEM_RUN);
    return ERR_OK;
}

/* ---- drain ---- */

static void drain_ticked(struct net_tick *tick, uint64_t now_ns)
{
    struct storage_loop *loop = CONTAINER_OF(tick, struct storage_loop, tick);
    if (now_ns < loop->drain_deadline_ns)
        return;
    loop->drain_deadline_ns = UINT64_MAX;
    EVENT(&loop->log, WARN, "drain_cut", &loop->owner,
        EVENT_NUMBER("connections", loop->server.acceptor.connection_count));
    net_server_cut(&loop->server);
    http_door_cut(&loop->http);
    door_cut(&loop->fdfs.door);
}

static void drain_loop(struct storage_loop *loop)
{
    loop->phase = STORAGE_PHASE_DRAINING;
    loop->state = STATE_CLOSING;
    if (!loop->is_server_open)
        return;
    loop->drain_deadline_ns = io_now(loop->io) + loop->storage->config.drain_timeout_ns;
    loop->tick.tick = drain_ticked;
    loop->is_ticking = true;
    net_ticker_join(&loop->net.ticker, &loop->tick);
    net_server_drain(&loop->server);
    http_door_drain(&loop->http);
    door_drain(&loop->fdfs.door);
}

static void come_to_rest(struct storage_loop *loop)
{
    if (loop->is_server_open && !net_server_is_idle(&loop->server))
        return;
    if (!http_door_is_idle(&loop->http) || !door_is_idle(&loop->fdfs.door))
        return;
    if (loop->is_native_open && loop->native.running_count > 0)
        return;
    if (loop->is_store_open && loop->store.running > 0)
        return;
    if (loop->index == 0 && !reconcile_rest(&loop->storage->reconcile))
        return;
    if (!scrub_rest(loop) || !push_rest(loop) || !pull_rest(loop) || loop->lost.is_out)
        return;
    if (loop->is_follow_open)
        follows_stop(&loop->follows);
    if (loop->is_ticking) {
        net_ticker_leave(&loop->net.ticker, &loop->tick);
        loop->is_ticking = false;
    }
    if (loop->fence.is_out || (loop->index == 0 && !beat_is_idle(loop->storage)))
        return;
    if (loop->is_net_open && !net_loop_is_idle(&loop->net))
        return;
    loop->phase = STORAGE_PHASE_AT_REST;
    member_answer(loop, STORAGE_DRAIN);
}

/* ---- close ---- */

static void close_doors(struct storage_loop *loop)
{
    if (loop->index == 0)
        reconcile_close(&loop->storage->reconcile);
    scrub_close(loop);
    pull_close(loop);
    push_close(loop);
    if (loop->is_server_open)
        net_server_fini(&loop->server);
    door_close(&loop->http.door);
    door_close(&loop->fdfs.door);
    if (loop->is_net_open)
        net_loop_fini(&loop->net);
    if (loop->is_follow_open)
        follows_fini(&loop->follows);
    if (loop->is_native_open)
        native_fini(&loop->native);
    loop->is_server_open = loop->is_net_open = loop->is_native_open = false;
    loop->is_follow_open = false;
    if (loop->is_store_open)
        store_close_begin(&loop->store);
    loop->phase = STORAGE_PHASE_CLOSING;
}

static void close_streams(struct storage_loop *loop)
{
    if (loop->is_store_open && !store_close_is_quiet(&loop->store))
        return;
    if (loop->fence.is_out) /* a stream failed while it closed: the word has to come home */
        return;
    if (loop->is_store_open)
        store_close_end(&loop->store);
    loop->is_store_open = false;
    loop->phase = STORAGE_PHASE_CLOSED;
    member_answer(loop, STORAGE_CLOSE);
}

static void end_loop(struct storage_loop *loop)
{
    mem_give(&loop->mem, loop->io->run.recorder);
    loop->io->run.recorder = NULL;
    owner_close(&loop->owner);
    loop->phase = STORAGE_PHASE_OVER;
}

/* ---- words ---- */

void member_obey(struct storage_loop *loop)
{
    enum storage_verb verb = loop->command.verb;
    switch (verb) {
    case STORAGE_OPEN:
        loop->err = open_loop(loop);
        loop->phase = STORAGE_PHASE_OPENING;
        return;
    case STORAGE_LISTEN:
        loop->err = listen_loop(loop);
        loop->phase = STORAGE_PHASE_LISTENING;
        break;
    case STORAGE_RUN:
        loop->phase = STORAGE_PHASE_RUNNING;
        loop->state = loop->command.state;
        break;
    case STORAGE_DRAIN:
        drain_loop(loop);
        return;
    case STORAGE_CLOSE:
        close_doors(loop);
        return;
    default:
        CHECK(verb == STORAGE_END);
        end_loop(loop);
        return;
    }
    member_answer(loop, verb);
}

void member_go_on(struct storage_loop *loop)
{
    if (loop->phase == STORAGE_PHASE_OPENING)
        become_open(loop);
    else if (loop->phase == STORAGE_PHASE_DRAINING)
        come_to_rest(loop);
    else if (loop->phase == STORAGE_PHASE_CLOSING)
        close_streams(loop);
}

/* ---- mount points that fail ---- */

static void fence_acknowledged(struct io *here, struct io_message *message);

static void send_fences(struct storage_loop *loop)
{
    struct storage_fence_word *word = &loop->fence;
    uint64_t any = 0;
    for (size_t i = 0; i < ARRAY_LEN(loop->fences); i++)
        any |= loop->fences[i];
    if (any == 0 || word->is_out)
        return;
    memcpy(word->positions, loop->fences, sizeof word->positions);
    memset(loop->fences, 0, sizeof loop->fences);
    word->loop = loop;
    word->err = loop->fence_err;
    word->is_out = true;
    word->acknowledged = fence_acknowledged;
    word->message.deliver = tour_on_fence_word;
    io_post(loop->io, loop->first, &word->message);
}

static void fence_acknowledged(struct io *here, struct io_message *message)
{
    struct storage_fence_word *word = CONTAINER_OF(message, struct storage_fence_word, message);
    (void)here;
    word->is_out = false;
    send_fences(word->loop);
}

void member_on_fence(void *context, uint8_t mount, err_t err)
{
    struct storage_loop *loop = context;
    uint32_t position = mounts_position(&loop->storage->config, mount);
    if (loop->is_touring)
        return;
    loop->fences[position / 64] |= UINT64_C(1) << (position % 64);
    loop->fence_err = err;
    send_fences(loop);
}
