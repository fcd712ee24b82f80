#include "tests/unit/storage/follower.h"

#include "base/crc.h"
#include "base/units.h"
#include "sim/mem.h"
#include "tests/lib/test.h"

/* ---- files ---- */

const struct follower_file *follower_find(
    const struct follower *follower, const struct identity *identity)
{
    for (uint32_t i = 0; i < follower->file_count; i++)
        if (identity_equals(&follower->files[i].identity, identity))
            return &follower->files[i];
    return NULL;
}

static struct follower_file *file_of(struct follower *follower, const struct identity *identity)
{
    struct follower_file *file =
        (struct follower_file *)(uintptr_t)follower_find(follower, identity);
    if (file)
        return file;
    EXPECT(follower->file_count < FOLLOWER_FILES);
    file = &follower->files[follower->file_count++];
    *file = (struct follower_file){.identity = *identity};
    return file;
}

static void resize(struct follower_file *file, size_t size)
{
    file->data = sim_grow(file->data, size + 1);
    if (size > file->size)
        memset(file->data + file->size, 0, size - file->size);
    file->size = size;
}

static bool is_partial(const struct record *record)
{
    const struct place *place = record->flags & RECORD_AT_TARGET ? &record->target : &record->home;
    return place->kind == PLACE_SINGLE && !(record->flags & RECORD_RENAMES)
           && record->kind != RECORD_DELETE;
}

static void apply(struct follower *follower, const struct record *record, struct span content)
{
    struct follower_file *file = file_of(follower, &record->identity);
    follower->records++;
    if (file->is_deleted || version_compare(record->version, file->version) <= 0)
        return;
    if (record->kind == RECORD_DELETE) {
        file->is_deleted = true;
        return;
    }
    if (is_partial(record) && !version_equals(record->base, file->version)) {
        file->is_stale = true;
        return;
    }
    if (content.size > 0)
        EXPECT_EQ(crc32_update(0, content.data, content.size), record->content_crc);
    file->version = record->version;
    file->is_stale = false;
    resize(file, record->total_size);
    if (content.size > 0)
        memcpy(file->data + record->content_offset, content.data, content.size);
}

static void forget_files(struct follower *follower)
{
    for (uint32_t i = 0; i < follower->file_count; i++)
        sim_free(follower->files[i].data);
    follower->file_count = 0;
}

void follower_expect(
    const struct follower *follower, const struct fid *fid, size_t size, unsigned mark)
{
    const struct follower_file *file = follower_find(follower, &fid->identity);
    EXPECT(file != NULL);
    EXPECT(!file->is_deleted && !file->is_stale);
    EXPECT_EQ(file->size, size);
    uint8_t *data = sim_alloc(size + 1);
    stand_fill(data, size, mark);
    EXPECT(memcmp(data, file->data, size) == 0);
    sim_free(data);
}

/* ---- pushes ---- */

static void release(struct follower *follower, struct follower_push *push)
{
    follower->under_way -= push->size;
    sim_free(push->body);
    *push = (struct follower_push){0};
}

/* Entries in order, within what the push says. */
static void take_entries(struct follower *follower, struct follower_push *push)
{
    struct span rest = span_of(push->body, push->size);
    uint64_t last = push->lsn_from;
    for (uint32_t i = 0; i < push->count; i++) {
        struct entry entry;
        size_t size;
        EXPECT_OK(entry_decode(rest, &entry, &size));
        EXPECT(entry.record.lsn > last && entry.record.lsn <= push->lsn_to);
        EXPECT_EQ(entry.record.incarnation, push->incarnation);
        EXPECT(entry.record.home.kind != PLACE_PACKED || entry.home_seed != 0
               || entry.record.kind == RECORD_DELETE);
        last = entry.record.lsn;
        apply(follower, &entry.record, entry.record.content);
        rest = span_of(rest.data + size, rest.size - size);
    }
    EXPECT_EQ(rest.size, 0);
}

static void take_single(struct follower *follower, struct follower_push *push)
{
    struct entry entry;
    size_t size;
    EXPECT_OK(entry_decode(span_of(push->body, push->size), &entry, &size));
    EXPECT_EQ(entry.record.lsn, push->lsn_to);
    EXPECT(!(entry.record.flags & RECORD_INLINE));
    EXPECT(push->size - size <= push->content_size);
    follower->singles++;
    if (push->size - size < push->content_size) {
        follower->singles_cut++;
        return;
    }
    apply(follower, &entry.record, span_of(push->body + size, push->size - size));
}

static bool is_missed(const struct follower *follower, uint64_t lsn)
{
    for (uint32_t i = 0; i < follower->missed_count; i++)
        if (follower->missed[i] == lsn)
            return true;
    return false;
}

static void missed_sent(struct net_request *request, err_t err)
{
    (void)err;
    struct follower_push *push = request->op;
    struct follower *follower = request->server->config.role;
    net_request_end(request);
    release(follower, push);
}

static void answer(struct follower *follower, struct follower_push *push)
{
    struct net_request *request = push->request;
    if (push->is_single)
        take_single(follower, push);
    else
        take_entries(follower, push);
    follower->lsn = push->lsn_to;
    follower->incarnation = push->incarnation;
    struct msg_pushed pushed = {.held_lsn = follower->lsn,
        .kept_lsn = follower->lsn > follower->kept_lag ? follower->lsn - follower->kept_lag : 0};
    for (uint64_t lsn = push->lsn_from + 1; lsn <= push->lsn_to; lsn++)
        if (is_missed(follower, lsn))
            put_u64(push->missed_bytes + 8 * pushed.missed++, lsn);
    struct writer fields = net_reply_begin(request);
    msg_pushed_encode(&pushed, &fields);
    push->missed = (struct iovec){push->missed_bytes, 8 * pushed.missed};
    request->op = push;
    net_reply(request, MSG_PUSHED, 0, &fields, &push->missed, pushed.missed > 0,
        pushed.missed > 0 ? missed_sent : NULL);
    if (pushed.missed > 0)
        return;
    net_request_end(request);
    release(follower, push);
}

static struct follower_push *next_whole(struct follower *follower)
{
    for (uint32_t i = 0; i < FOLLOWER_PUSHES; i++) {
        struct follower_push *push = &follower->pushes[i];
        if (push->is_used && push->is_whole && push->lsn_from == follower->lsn)
            return push;
    }
    return NULL;
}

void follower_answer(struct follower *follower)
{
    for (struct follower_push *push; (push = next_whole(follower)) != NULL;) {
        push->is_whole = false;
        answer(follower, push);
    }
}

static void body_over(struct follower *follower, struct follower_push *push)
{
    push->is_whole = true;
    if (follower->errors_left > 0) {
        follower->errors_left--;
        net_reply_error(push->request, follower->error, (struct version){0});
        net_request_end(push->request);
        release(follower, push);
    } else if (!follower->is_mute) {
        follower_answer(follower);
    }
}

/* False: the connection was cut here. */
static bool count_frame(struct follower *follower)
{
    follower->frames++;
    if (follower->cut_after == 0 || follower->frames < follower->cut_after)
        return true;
    follower->frames = 0;
    follower->cut_after++;
    sim_net_reset(follower->peer, follower->node);
    return false;
}

static void take_frame(struct follower *follower, struct follower_push *push);

static void frame_came(struct net_request *request)
{
    struct follower *follower = request->server->config.role;
    struct follower_push *push = request->op;
    if (err_is(request->body_err)) {
        net_request_end(request);
        release(follower, push);
        return;
    }
    take_frame(follower, push);
}

static void take_frame(struct follower *follower, struct follower_push *push)
{
    struct net_request *request = push->request;
    push->body = sim_grow(push->body, push->size + request->data.size + 1);
    if (request->data.size > 0)
        memcpy(push->body + push->size, request->data.data, request->data.size);
    push->size += request->data.size;
    follower->under_way += request->data.size;
    if (!count_frame(follower)) {
        net_request_end(request);
        release(follower, push);
        return;
    }
    if (request->has_more && !follower->is_deaf)
        net_request_next_data(request, frame_came);
    else if (!request->has_more)
        body_over(follower, push);
}

static uint32_t count_used(const struct follower *follower)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < FOLLOWER_PUSHES; i++)
        used += follower->pushes[i].is_used;
    return used;
}

static void check_credit(struct follower *follower)
{
    if (count_used(follower) < 2)
        return;
    size_t sum = 0;
    for (uint32_t i = 0; i < FOLLOWER_PUSHES; i++) {
        const struct follower_push *push = &follower->pushes[i];
        size_t size =
            push->is_single && push->size > PUSH_STREAM_COST ? PUSH_STREAM_COST : push->size;
        sum += push->is_used ? size : 0;
    }
    if (sum > follower->under_way_max)
        follower->under_way_max = sum;
    EXPECT(sum <= follower->credit);
}

static void begin_push(struct follower *follower, struct net_request *request)
{
    struct follower_push *push = follower->pushes;
    while (push < follower->pushes + FOLLOWER_PUSHES && push->is_used)
        push++;
    EXPECT(push < follower->pushes + FOLLOWER_PUSHES);
    *push = (struct follower_push){.request = request, .is_used = true};
    request->op = push;
    if (request->frame.type == MSG_PUSH) {
        struct msg_push msg;
        EXPECT_OK(msg_push_decode(request->meta, &msg));
        push->lsn_from = msg.lsn_from;
        push->lsn_to = msg.lsn_to;
        push->count = msg.count;
        push->incarnation = msg.incarnation;
        EXPECT(msg.watermark >= follower->watermark || msg.watermark == 0);
        follower->watermark = msg.watermark;
    } else {
        struct msg_push_single msg;
        EXPECT_OK(msg_push_single_decode(request->meta, &msg));
        push->lsn_from = msg.lsn_from;
        push->lsn_to = msg.lsn_to;
        push->incarnation = msg.incarnation;
        push->content_size = msg.content_size;
        push->is_single = true;
    }
    EXPECT_EQ(push->lsn_from, follower->came_lsn);
    follower->came_lsn = push->lsn_to;
    follower->pushes_came++;
    follower->last_push_ns = io_now(follower->io);
    take_frame(follower, push);
    check_credit(follower);
}

static void serve_follow(struct follower *follower, struct net_request *request)
{
    struct msg_follow follow;
    EXPECT_OK(msg_follow_decode(request->meta, &follow));
    EXPECT(span_equals_text(follow.group, "g1"));
    EXPECT_EQ(request->role, ROLE_NODE);
    EXPECT_EQ(request->machine, 7);
    follower->follows++;
    follower->came_lsn = follower->lsn;
    follower->watermark = 0;
    struct writer fields = net_reply_begin(request);
    msg_followed_encode(&(struct msg_followed){.state = STATE_RUNNING,
                            .incarnation = follower->incarnation,
                            .lsn = follower->lsn,
                            .credit = follower->credit},
        &fields);
    net_reply(request, MSG_FOLLOWED, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

/* Who follows anew has given its old connection up. */
static void drop_old(struct follower *follower)
{
    for (uint32_t i = 0; i < FOLLOWER_PUSHES; i++) {
        struct follower_push *push = &follower->pushes[i];
        if (push->is_used && !push->request->wake) {
            net_request_end(push->request);
            release(follower, push);
        }
    }
}

static void on_request(struct net_server *server, struct net_request *request)
{
    struct follower *follower = server->config.role;
    if (request->frame.type == MSG_FOLLOW)
        drop_old(follower);
    if (request->frame.type == MSG_FOLLOW)
        serve_follow(follower, request);
    else
        begin_push(follower, request);
}

/* What was not answered is lost with its connection. */
static void drop_gone(struct follower *follower)
{
    for (uint32_t i = 0; i < FOLLOWER_PUSHES; i++) {
        struct follower_push *push = &follower->pushes[i];
        if (push->is_used && net_request_is_gone(push->request) && !push->request->wake) {
            net_request_end(push->request);
            release(follower, push);
        }
    }
}

/* ---- life ---- */

static void follower_open(struct follower *follower, struct sim_world *world)
{
    follower->node = sim_node_new(world, "f", NULL);
    follower->io = sim_loop_new(world, follower->node, 0);
    follower->credit = 1 << 20;
    mem_init(&follower->mem, &follower->io->ledger);
    struct net_loop_config net = {.small_count = 64, .large_count = 40, .tick_ns = 20 * NS_PER_MS};
    EXPECT_OK(net_loop_init(&follower->net, follower->io, &follower->mem, &net));
    static const struct handshake_secrets none;
    struct net_server_config server = {.address = sim_node_address(follower->node, 7000),
        .listen_count = 1,
        .connection_max = 8,
        .request_max = 64,
        .pipeline_max = 32,
        .idle_timeout_ns = 600 * NS_PER_S,
        .send_timeout_ns = 30 * NS_PER_S,
        .handshake_timeout_ns = 10 * NS_PER_S,
        .policy = {.secrets = &none, .server_role = SERVER_STORAGE},
        .on_request = on_request,
        .role = follower};
    EXPECT_OK(net_server_start(&follower->server, &follower->net, &server));
    follower->is_up = true;
}

static bool follower_is_idle(void *context)
{
    struct follower *follower = context;
    drop_gone(follower);
    return net_server_is_idle(&follower->server) && count_used(follower) == 0;
}

static bool follower_net_is_idle(void *context)
{
    return net_loop_is_idle(&((struct follower *)context)->net);
}

static void follower_close(struct follower *follower, struct sim_world *world)
{
    net_server_drain(&follower->server);
    net_server_cut(&follower->server);
    EXPECT(sim_world_run_until(world, follower_is_idle, follower, 60 * NS_PER_S));
    net_server_fini(&follower->server);
    EXPECT(sim_world_run_until(world, follower_net_is_idle, follower, 60 * NS_PER_S));
    net_loop_fini(&follower->net);
    forget_files(follower);
    sim_loop_free(follower->io);
}

static void write_log(void *context, enum event_level level, struct span line)
{
    (void)context, (void)level;
    if (getenv("HALL_LOG"))
        (void)fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.data);
}

static void on_ahead(void *context, const struct push *push)
{
    (void)push;
    ((struct mirrors *)context)->aheads++;
}

void mirrors_open(struct mirrors *mirrors, uint64_t seed, uint32_t count)
{
    mirrors_open_in(mirrors, sim_world_new(seed), count);
    mirrors->owns_world = true;
}

void mirrors_open_in(struct mirrors *mirrors, struct sim_world *world, uint32_t count)
{
    struct store_lab_options lab;
    *mirrors = (struct mirrors){.follower_count = count};
    store_lab_options_small(&lab);
    lab.store.log_ring_size = 64 * 1024;
    lab.store.retains_log = true;
    lab.store.log_segment_count_max = 16;
    lab.disk.meta_ns = 2 * NS_PER_MS; /* a rename takes longer than a push */
    mirrors->stand.world = world;
    store_lab_init(&mirrors->stand.lab, world, &lab);
    EXPECT_OK(store_lab_boot(&mirrors->stand.lab));
    *sim_world_net(mirrors->stand.world) = (struct sim_net_options){.delay_ns = 100 * NS_PER_US,
        .stall_max_ns = 30 * NS_PER_S,
        .window = 256 * 1024,
        .segment_size_max = 32 * 1024};
    for (uint32_t i = 0; i < count; i++) {
        follower_open(&mirrors->followers[i], mirrors->stand.world);
        mirrors->followers[i].peer = mirrors->stand.lab.node;
        mirrors->followers[i].server.config.policy.machine = 10 + i;
        struct member *member = &mirrors->members.all[mirrors->members.count++];
        *member = (struct member){.machine = 10 + i,
            .address = sim_node_address(mirrors->followers[i].node, 7000),
            .state = STATE_RUNNING,
            .is_alive = true};
    }
    mirrors->members.number = 1;
    event_log_init(&mirrors->log, write_log, mirrors);
    mirrors->options = (struct pushes_options){.log = &mirrors->log,
        .peers_max = FOLLOWERS,
        .buffer_count = 8,
        .send_timeout_ns = 5 * NS_PER_S,
        .on_ahead = on_ahead,
        .context = mirrors};
}

void mirrors_start(struct mirrors *mirrors)
{
    struct store_lab *lab = &mirrors->stand.lab;
    struct net_loop_config net = {.small_count = 8, .large_count = 4, .tick_ns = 20 * NS_PER_MS};
    EXPECT_OK(net_loop_init(&mirrors->net, lab->io[0], &lab->mem[0], &net));
    mirrors->options.store = &lab->stores[0];
    mirrors->options.net = &mirrors->net;
    EXPECT_OK(pushes_init(&mirrors->pushes, &mirrors->options));
    pushes_members(&mirrors->pushes, &mirrors->members);
    mirrors->is_open = true;
}

static bool is_at_rest(void *context)
{
    struct mirrors *mirrors = context;
    return pushes_is_idle(&mirrors->pushes) && net_loop_is_idle(&mirrors->net);
}

void mirrors_stop(struct mirrors *mirrors)
{
    pushes_stop(&mirrors->pushes);
    EXPECT(sim_world_run_until(mirrors->stand.world, is_at_rest, mirrors, 60 * NS_PER_S));
    pushes_fini(&mirrors->pushes);
    net_loop_fini(&mirrors->net);
    mirrors->is_open = false;
}

void mirrors_close(struct mirrors *mirrors)
{
    if (mirrors->is_open)
        mirrors_stop(mirrors);
    for (uint32_t i = 0; i < mirrors->follower_count; i++)
        follower_close(&mirrors->followers[i], mirrors->stand.world);
    EXPECT(store_lab_close(&mirrors->stand.lab));
    if (mirrors->owns_world)
        sim_world_free(mirrors->stand.world);
}

struct push *mirrors_push(struct mirrors *mirrors, uint32_t follower)
{
    return &mirrors->pushes.streams[0].all[follower];
}

static bool is_level(void *context)
{
    struct mirrors *mirrors = context;
    const struct binlog *log = &mirrors->pushes.streams[0].stream->log;
    for (uint32_t i = 0; i < mirrors->follower_count; i++) {
        struct follower *follower = &mirrors->followers[i];
        drop_gone(follower);
        if (follower->is_up && mirrors_push(mirrors, i)->held_lsn < log->lsn_durable)
            return false;
    }
    return true;
}

void mirrors_expect_level(struct mirrors *mirrors)
{
    EXPECT(sim_world_run_until(mirrors->stand.world, is_level, mirrors, 120 * NS_PER_S));
}

struct condition {
    struct mirrors *mirrors;
    bool (*is_true)(void *context);
    void *context;
};

static bool check_condition(void *context)
{
    struct condition *condition = context;
    for (uint32_t i = 0; i < condition->mirrors->follower_count; i++)
        drop_gone(&condition->mirrors->followers[i]);
    return condition->is_true(condition->context);
}

bool mirrors_run_until(struct mirrors *mirrors, bool (*is_true)(void *context), void *context)
{
    struct condition condition = {mirrors, is_true, context};
    return sim_world_run_until(mirrors->stand.world, check_condition, &condition, 60 * NS_PER_S);
}
