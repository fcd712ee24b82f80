/* All pushes of a loop: memory, members, the tick. */
#include "base/units.h"
#include "storage/push.h"

/* ---- positions ---- */

/* The log is kept from the least position that a member would go on from. One that must rebuild has
 * no claim; one that has not said its position yet has a claim on everything. */
void push_retain(struct push_stream *stream)
{
    uint64_t lsn = UINT64_MAX;
    PUSH_EACH(stream, push)
    {
        if (!push->is_wanted)
            continue;
        if (push->state == PUSH_MUST_REBUILD || push->state == PUSH_AHEAD)
            continue;
        uint64_t kept = push->has_kept ? push->kept_lsn : 0;
        lsn = kept < lsn ? kept : lsn;
    }
    if (lsn != stream->retained_lsn)
        stream_retain(stream->stream, lsn);
    stream->retained_lsn = lsn;
}

/* ---- events ---- */

static void on_moved(struct stream_watcher *watcher)
{
    struct push_stream *stream = CONTAINER_OF(watcher, struct push_stream, watcher);
    const struct binlog *log = &stream->stream->log;
    push_lag_note(
        &stream->lag, io_now(stream->pushes->options.net->io), log->lsn_durable, log->byte_count);
    PUSH_EACH(stream, push)
    push_pump(push);
}

static uint64_t least_held(const struct push_stream *stream)
{
    uint64_t lsn = UINT64_MAX;
    PUSH_EACH(stream, push)
    if (push->is_wanted && push->held_lsn < lsn)
        lsn = push->held_lsn;
    return lsn;
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct pushes *pushes = CONTAINER_OF(tick, struct pushes, tick);
    for (uint32_t i = 0; i < pushes->stream_count; i++) {
        struct push_stream *stream = &pushes->streams[i];
        PUSH_EACH(stream, push)
        {
            push_link_tick(push, now_ns);
            if (push->single.call)
                push_single_wake(push);
            push_send_idle(push, now_ns);
        }
        push_lag_forget(&stream->lag, least_held(stream));
        push_holds_tick(stream, now_ns);
        push_retain(stream);
    }
    pushes_pump(pushes, false);
}

/* ---- memory ---- */

static size_t raw_size(const struct store_config *store)
{
    return (size_t)round_up(store->log_buffer_size, LOG_PAGE);
}

static size_t content_max(const struct store_config *store)
{
    return store->inline_max > store->single_min ? store->inline_max : store->single_min;
}

static size_t buffer_size(const struct store_config *store)
{
    size_t entry = content_max(store) + PUSH_ENTRY_MAX;
    size_t size = entry > FRAME_DATA_MAX ? entry : FRAME_DATA_MAX;
    return size > PUSH_SINGLE_BUFFER ? size : PUSH_SINGLE_BUFFER;
}

uint64_t pushes_bytes(
    const struct store_config *store, uint32_t streams, uint32_t peers_max, uint32_t buffer_count)
{
    uint64_t of_stream =
        sizeof(struct push_stream) + peers_max * (sizeof(struct push) + sizeof(struct push_report));
    return streams * of_stream + PUSH_BUILDERS * (raw_size(store) + content_max(store))
           + pool_bytes(buffer_size(store), buffer_count, 4096);
}

static struct stream *stream_at(struct store *store, uint32_t at)
{
    struct store_mount *mount = &store->mounts[at / STORE_STREAMS_MAX];
    return mount->is_there ? mount->streams[at % STORE_STREAMS_MAX] : NULL;
}

static void set_up_stream(
    struct pushes *pushes, struct push_stream *to, struct stream *stream, struct push *all)
{
    struct io *io = pushes->options.net->io;
    *to = (struct push_stream){
        .pushes = pushes, .stream = stream, .all = all, .watcher = {.moved = on_moved}};
    list_init(&to->holds);
    PUSH_EACH(to, push)
    {
        *push = (struct push){.stream = to};
        owner_open(&push->owner, "push", DIRECTION_SYNC_SEND, io_now(io));
    }
    push_lag_note(&to->lag, io_now(io), stream->log.lsn_durable, stream->log.byte_count);
}

static err_t take_streams(struct pushes *pushes)
{
    const struct pushes_options *options = &pushes->options;
    void *block;
    uint32_t count = 0;
    for (uint32_t i = 0; i < STORE_MOUNTS_MAX * STORE_STREAMS_MAX; i++)
        count += stream_at(options->store, i) != NULL;
    if (count == 0)
        return ERR_OK;
    TRY(mem_take(options->store->mem, &pushes->owner, count * sizeof *pushes->streams, 0, &block));
    pushes->streams = block;
    TRY(mem_take(options->store->mem, &pushes->owner,
        (size_t)count * options->peers_max * sizeof(struct push), 0, &block));
    struct push *all = pushes->all = block;
    TRY(mem_take(options->store->mem, &pushes->owner,
        (size_t)count * options->peers_max * sizeof *pushes->reports, 0, &block));
    pushes->reports = block;
    for (uint32_t i = 0; i < STORE_MOUNTS_MAX * STORE_STREAMS_MAX; i++) {
        struct stream *stream = stream_at(options->store, i);
        if (!stream)
            continue;
        set_up_stream(pushes, &pushes->streams[pushes->stream_count++], stream, all);
        all += options->peers_max;
    }
    return ERR_OK;
}

static err_t take_builders(struct pushes *pushes)
{
    const struct store_config *config = &pushes->options.store->config;
    struct mem *mem = pushes->options.store->mem;
    void *block;
    for (size_t i = 0; i < PUSH_BUILDERS; i++) {
        struct push_batch *batch = &pushes->builders[i];
        batch->pushes = pushes;
        batch->raw_size = raw_size(config);
        batch->scratch_size = content_max(config);
        TRY(mem_take(mem, &pushes->owner, batch->raw_size, LOG_PAGE, &block));
        batch->raw = block;
        TRY(mem_take(mem, &pushes->owner, batch->scratch_size, LOG_PAGE, &block));
        batch->scratch = block;
    }
    return ERR_OK;
}

static err_t take(struct pushes *pushes)
{
    const struct pushes_options *options = &pushes->options;
    pushes->buffer_size = buffer_size(&options->store->config);
    TRY(pool_init(&pushes->buffers, options->store->mem, &options->net->io->ledger, "push.buffers",
        pushes->buffer_size, options->buffer_count, 4096, &pushes->owner));
    TRY(take_builders(pushes));
    return take_streams(pushes);
}

static void give(struct pushes *pushes)
{
    struct mem *mem = pushes->options.store->mem;
    for (uint32_t i = 0; i < pushes->stream_count; i++) {
        stream_unwatch(&pushes->streams[i].watcher);
        PUSH_EACH(&pushes->streams[i], push)
        owner_close(&push->owner);
    }
    mem_give(mem, pushes->all);
    mem_give(mem, pushes->streams);
    mem_give(mem, pushes->reports);
    for (size_t i = 0; i < PUSH_BUILDERS; i++) {
        mem_give(mem, pushes->builders[i].raw);
        mem_give(mem, pushes->builders[i].scratch);
    }
    if (pushes->buffers.mem)
        pool_fini(&pushes->buffers);
    owner_close(&pushes->owner);
}

err_t pushes_init(struct pushes *pushes, const struct pushes_options *options)
{
    CHECK(options->peers_max > 0 && options->peers_max <= MEMBERS_MAX);
    CHECK(options->buffer_count >= PUSH_BUFFERS_MIN);
    *pushes = (struct pushes){.options = *options};
    owner_open(&pushes->owner, "push", DIRECTION_SYNC_SEND, io_now(options->net->io));
    push_rate_init(&pushes->rate, options->rate, io_now(options->net->io));
    err_t err = take(pushes);
    if (err_is(err))
        give(pushes);
    return err;
}

void pushes_fini(struct pushes *pushes)
{
    CHECK(pushes_is_idle(pushes));
    give(pushes);
}

/* ---- members ---- */

static bool is_same(const struct push *push, const struct member *member)
{
    return push->machine == member->machine
           && memcmp(push->uuid.bytes, member->uuid.bytes, sizeof push->uuid.bytes) == 0
           && memcmp(&push->address, &member->address, sizeof push->address) == 0;
}

/* The table of members keeps its order: a push is that of an index. */
static void set_member(struct push *push, const struct member *member)
{
    bool was_wanted = push->is_wanted;
    push->is_wanted = !member->is_removed;
    if (push->machine == 0) {
        push->machine = member->machine;
        push->owner.peer_machine = member->machine;
    }
    if (memcmp(push->uuid.bytes, member->uuid.bytes, sizeof push->uuid.bytes) != 0)
        push->has_kept = false; /* another storage with its number */
    if (!is_same(push, member)) {
        push->uuid = member->uuid;
        push->address = member->address;
        push_link_drop(push);
    }
    if (!push->is_wanted && was_wanted)
        push_link_drop(push);
    if (push->its_state != member->state) /* who had to rebuild may have done it */
        push->next_ns = 0;
    push->its_state = member->state;
    if (push->is_wanted && push->state == PUSH_OFF)
        push->state = PUSH_WAITING;
}

void pushes_members(struct pushes *pushes, const struct members *members)
{
    pushes->members = *members;
    if (!pushes->is_ticking && !pushes->is_stopping && pushes->stream_count > 0) {
        pushes->tick.tick = on_tick;
        pushes->is_ticking = true;
        net_ticker_join(&pushes->options.net->ticker, &pushes->tick);
    }
    for (uint32_t i = 0; i < pushes->stream_count; i++) {
        struct push_stream *stream = &pushes->streams[i];
        if (!stream->is_watched && members->count > 0 && !pushes->is_stopping) {
            stream_watch(stream->stream, &stream->watcher);
            stream->is_watched = true;
        }
        for (uint32_t k = 0; k < members->count && k < pushes->options.peers_max; k++)
            set_member(&stream->all[k], &members->all[k]);
        push_retain(stream);
        push_holds_look(stream);
    }
    if (members->count > pushes->options.peers_max)
        EVENT(pushes->options.log, ERROR, "too_many_members", &pushes->owner,
            EVENT_NUMBER("members", members->count),
            EVENT_NUMBER("peers_max", pushes->options.peers_max));
}

void pushes_greet(struct pushes *pushes, uint32_t machine)
{
    for (uint32_t i = 0; i < pushes->stream_count; i++)
        PUSH_EACH(&pushes->streams[i], push)
    if (push->machine == machine && push->state == PUSH_WAITING)
        push->next_ns = push->retry_ns = 0;
}

void pushes_stop(struct pushes *pushes)
{
    if (pushes->is_stopping)
        return;
    pushes->is_stopping = true;
    if (pushes->is_ticking)
        net_ticker_leave(&pushes->options.net->ticker, &pushes->tick);
    for (uint32_t i = 0; i < pushes->stream_count; i++) {
        PUSH_EACH(&pushes->streams[i], push)
        push_link_drop(push);
        push_holds_tick(&pushes->streams[i], UINT64_MAX);
    }
}

bool pushes_is_idle(const struct pushes *pushes)
{
    for (uint32_t i = 0; i < pushes->stream_count; i++)
        PUSH_EACH(&pushes->streams[i], push)
    if (!push_link_is_idle(push))
        return false;
    return pushes->is_stopping || !pushes->is_ticking;
}

struct push_stream *pushes_find(struct pushes *pushes, const struct stream *stream)
{
    for (uint32_t i = 0; i < pushes->stream_count; i++)
        if (pushes->streams[i].stream == stream)
            return &pushes->streams[i];
    return NULL;
}
