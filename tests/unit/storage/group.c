#include "tests/unit/storage/group.h"

#include <stdlib.h>

#include "base/units.h"
#include "sim/mem.h"
#include "tests/lib/test.h"

enum { ANSWER_MAX = 8 << 20, LOG_MAX = 1 << 20, WAIT_S = 600 };

static struct net_client_config asker_config(struct group_house *house, unsigned index);

/* ---- storages ---- */

static void add_flag(struct group_house *house, const char *flag)
{
    char text[64];
    char *argv[] = {text};
    int at = 0;
    (void)snprintf(text, sizeof text, "%s", flag);
    EXPECT_OK(config_flag(house->config, 1, argv, &at));
}

static void configure(struct group *group, unsigned index)
{
    static const char *const fixed[] = {"--group=g1", "--mount=/m0", "--chunk-size=256KiB",
        "--log-segment-size=128KiB", "--log-buffer-size=96KiB", "--log-segments=8",
        "--inline-max=4KiB", "--single-min=16KiB", "--piece-size=64KiB",
        "--checkpoint-bytes=128KiB", "--reserve=0", "--free-slots=16", "--connection-max=16",
        "--request-max=16", "--chunk-files=64", "--small-buffers=8", "--work-buffers=8",
        "--modify-buffers=2", "--receive-buffers=16", "--receive-large-buffers=4"};
    struct group_house *house = &group->houses[index];
    char own[3][64];
    (void)snprintf(own[0], sizeof own[0], "--machine=m%03u", index + 1);
    (void)snprintf(own[1], sizeof own[1], "--listen=10.0.0.%u:7000", index + 1);
    (void)snprintf(own[2], sizeof own[2], "--loops=%u", group->loop_count);
    config_init(house->config);
    config_add(house->config, &storage_config_table, &house->storage_config);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        add_flag(house, fixed[i]);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        add_flag(house, own[i]);
    for (size_t i = 0; group->flags && group->flags[i]; i++)
        add_flag(house, group->flags[i]);
    if (group->is_still)
        add_flag(house, "--push-window=03:00-03:01");
    storage_config_check(&house->storage_config, house->config);
    if (err_is(config_finish(house->config)))
        (void)fprintf(stderr, "%s", config_problems(house->config));
    EXPECT_OK(config_finish(house->config));
}

static const struct sim_disk_options plain = {.capacity = 64 << 20,
    .direct_alignment = 512,
    .read_ns = 50000,
    .write_ns = 4000,
    .sync_ns = 200000,
    .meta_ns = 10000};

void group_open(struct group *group, uint64_t seed, unsigned count, unsigned loop_count)
{
    const char *const *flags = group->flags;
    bool is_still = group->is_still;
    EXPECT(count <= GROUP_MAX && loop_count <= GROUP_LOOPS_MAX);
    *group = (struct group){
        .count = count, .loop_count = loop_count, .flags = flags, .is_still = is_still};
    group->world = sim_world_new(seed);
    group->log = calloc(1, LOG_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct group_house *house = &group->houses[i];
        char name[8];
        (void)snprintf(name, sizeof name, "s%u", i + 1);
        house->node = sim_node_new(group->world, name, NULL);
        house->config = calloc(1, sizeof *house->config);
        house->storage = calloc(1, sizeof *house->storage);
        sim_mount_new(house->node, "/m0", &plain);
        configure(group, i);
    }
    group->asker = sim_node_new(group->world, "asker", NULL);
    group->asker_io = sim_loop_new(group->world, group->asker, 0);
    mem_init(&group->asker_mem, &group->asker_io->ledger);
    EXPECT_OK(net_loop_init(&group->asker_loop, group->asker_io, &group->asker_mem,
        &(struct net_loop_config){
            .small_count = 16, .large_count = 4, .tick_ns = 100 * NS_PER_MS}));
}

static void step(struct group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        struct group_house *house = &group->houses[i];
        for (uint16_t k = 0; house->is_there && k < group->loop_count; k++)
            if (!house->is_over[k])
                house->is_over[k] = !storage_loop_step(house->storage, k);
    }
}

struct condition {
    struct group *group;
    bool (*is_true)(struct group *group, void *context);
    void *context;
};

static bool holds(void *context)
{
    struct condition *condition = context;
    step(condition->group);
    return condition->is_true(condition->group, condition->context);
}

bool group_run_until(
    struct group *group, bool (*is_true)(struct group *group, void *context), void *context)
{
    struct condition condition = {group, is_true, context};
    return sim_world_run_until(group->world, holds, &condition, WAIT_S * NS_PER_S);
}

static bool never(struct group *group, void *context)
{
    (void)group, (void)context;
    return false;
}

void group_run_for(struct group *group, uint64_t ns)
{
    struct condition condition = {group, never, NULL};
    (void)sim_world_run_until(group->world, holds, &condition, ns);
}

static void on_running(struct storage *storage, void *context)
{
    struct group *group = context;
    for (unsigned i = 0; i < group->count; i++)
        if (group->houses[i].storage == storage)
            group->houses[i].has_run = true;
}

static void write_log(void *context, enum event_level level, struct span line)
{
    struct group *group = context;
    (void)level;
    if (getenv("GROUP_LOG"))
        (void)fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.data);
    if (group->log_size + line.size + 2 > LOG_MAX)
        return;
    memcpy(group->log + group->log_size, line.data, line.size);
    group->log_size += line.size;
    group->log[group->log_size++] = '\n';
    group->log[group->log_size] = '\0';
}

bool group_logged(const struct group *group, const char *part)
{
    return strstr(group->log, part) != NULL;
}

static bool all_over(const struct group *group, const struct group_house *house)
{
    for (unsigned i = 0; i < group->loop_count; i++)
        if (!house->is_over[i])
            return false;
    return true;
}

static bool runs(struct group *group, void *context)
{
    struct group_house *house = context;
    return house->has_run || all_over(group, house);
}

static void on_ready(struct net_client *client)
{
    struct group_house *house = client->config.context;
    house->is_connected = true;
}

static void on_closed(struct net_client *client, err_t err)
{
    struct group_house *house = client->config.context;
    (void)err;
    house->is_connected = false;
}

static struct net_client_config asker_config(struct group_house *house, unsigned index)
{
    struct net_client_config config = {.role = ROLE_NODE,
        .machine = 77,
        .call_max = 4,
        .connect_timeout_ns = 10 * NS_PER_S,
        .send_timeout_ns = 60 * NS_PER_S,
        .on_ready = on_ready,
        .on_closed = on_closed,
        .context = house};
    char text[32];
    (void)snprintf(text, sizeof text, "10.0.0.%u:7000", index + 1);
    EXPECT_OK(io_address_parse(text, &config.address));
    return config;
}

static bool is_connected(struct group *group, void *context)
{
    (void)group;
    const struct group_house *house = context;
    return house->is_connected || !house->client.is_running;
}

void group_start(struct group *group, unsigned index)
{
    struct group_house *house = &group->houses[index];
    struct storage_options options = {.config = &house->storage_config,
        .secrets = &group->secrets,
        .processors = group->loop_count,
        .reserved_descriptors = 4,
        .descriptor_limit = 4000,
        .write_log = write_log,
        .on_running = on_running,
        .context = group};
    memset(house->storage, 0, sizeof *house->storage);
    house->has_run = false;
    memset(house->is_over, 0, sizeof house->is_over);
    for (uint16_t i = 0; i < group->loop_count; i++)
        house->loops[i] = sim_loop_new(group->world, house->node, i);
    EXPECT_OK(storage_open(house->storage, &options));
    for (uint16_t i = 0; i < group->loop_count; i++)
        storage_loop_enter(house->storage, i, house->loops[i], house->loops[0]);
    house->is_there = true;
    EXPECT(group_run_until(group, runs, house));
    EXPECT_OK(storage_result(house->storage));
    struct net_client_config config = asker_config(house, index);
    EXPECT_OK(net_client_start(&house->client, &group->asker_loop, &config));
    EXPECT(group_run_until(group, is_connected, house));
    EXPECT(house->is_connected);
}

static bool is_hung_up(struct group *group, void *context)
{
    (void)group;
    const struct group_house *house = context;
    return !house->client.is_running;
}

static bool is_over(struct group *group, void *context)
{
    return all_over(group, context);
}

void group_stop(struct group *group, unsigned index)
{
    struct group_house *house = &group->houses[index];
    net_client_close(&house->client);
    EXPECT(group_run_until(group, is_hung_up, house));
    storage_stop(house->storage);
    EXPECT(group_run_until(group, is_over, house));
    EXPECT_OK(storage_result(house->storage));
    house->is_there = false;
    for (uint16_t i = 0; i < group->loop_count; i++)
        sim_loop_free(house->loops[i]);
}

void group_kill(struct group *group, unsigned index, bool loses_power)
{
    struct group_house *house = &group->houses[index];
    if (loses_power)
        sim_node_power_loss(house->node);
    else
        sim_node_kill(house->node);
    house->is_there = false;
    for (uint16_t i = 0; i < group->loop_count; i++)
        sim_mem_bury(&house->storage->loops[i].mem);
    net_client_close(&house->client);
    EXPECT(group_run_until(group, is_hung_up, house));
}

void group_wipe(struct group *group, unsigned index)
{
    EXPECT(!group->houses[index].is_there);
    sim_mount_replace(group->houses[index].node, "/m0");
}

void group_close(struct group *group)
{
    for (unsigned i = 0; i < group->count; i++)
        if (group->houses[i].is_there)
            group_stop(group, i);
    while (!net_loop_is_idle(&group->asker_loop))
        group_run_for(group, NS_PER_S);
    net_loop_fini(&group->asker_loop);
    sim_loop_free(group->asker_io);
    for (unsigned i = 0; i < group->count; i++) {
        free(group->houses[i].config);
        free(group->houses[i].storage);
    }
    sim_world_free(group->world);
    free(group->log);
}

void group_introduce(struct group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        struct members members = {.number = 1};
        for (unsigned k = 0; k < group->count; k++) {
            const struct group_house *other = &group->houses[k];
            struct member *member = &members.all[members.count];
            if (k == i)
                continue;
            *member = (struct member){.machine = k + 1,
                .uuid = other->storage->uuid,
                .address = asker_config(&group->houses[k], k).address,
                .state = other->is_there ? STATE_RUNNING : STATE_CLOSED,
                .is_alive = other->is_there};
            members.count++;
        }
        for (uint16_t k = 0; group->houses[i].is_there && k < group->loop_count; k++) {
            struct storage_loop *loop = &group->houses[i].storage->loops[k];
            members.number = loop->members.number + 1;
            members_take(loop, &members);
        }
    }
}

/* ---- questions ---- */

struct question {
    struct net_call call;
    struct group_answer *answer;
    bool is_over;
    const uint8_t *rest;
    size_t rest_size;
    struct iovec iov;
};

static uint8_t answer_bytes[ANSWER_MAX], fields_bytes[NET_META_MAX];

static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct question *question = call->context;
    struct group_answer *answer = question->answer;
    if (frame->type != MSG_DATA) {
        answer->type = frame->type;
        answer->meta_size = meta.size;
        memcpy(answer->meta, meta.data, meta.size);
    }
    EXPECT(answer->size + data.size <= ANSWER_MAX);
    if (data.size > 0)
        memcpy(answer->data + answer->size, data.data, data.size);
    answer->size += data.size;
}

static struct iovec next_piece(struct question *question)
{
    size_t size = question->rest_size < FRAME_DATA_MAX ? question->rest_size : FRAME_DATA_MAX;
    question->iov = (struct iovec){(void *)(uintptr_t)question->rest, size};
    if (size > 0)
        question->rest += size;
    question->rest_size -= size;
    return question->iov;
}

static void on_sent(struct net_call *call)
{
    struct question *question = call->context;
    if (!call->is_body_open)
        return;
    (void)next_piece(question);
    net_call_send(call, &question->iov, 1, question->rest_size > 0);
}

static void on_end(struct net_call *call, err_t err)
{
    struct question *question = call->context;
    question->answer->err = err;
    question->is_over = true;
}

static bool is_answered(struct group *group, void *context)
{
    (void)group;
    return ((struct question *)context)->is_over;
}

struct writer group_fields(void)
{
    return (struct writer){.data = fields_bytes, .capacity = sizeof fields_bytes};
}

void group_ask(struct group *group, unsigned index, uint8_t type, const struct writer *fields,
    const void *data, size_t size, struct group_answer *ret)
{
    struct group_house *house = &group->houses[index];
    struct question question = {
        .call = {.on_frame = on_frame, .on_sent = on_sent, .on_end = on_end},
        .answer = ret,
        .rest = data,
        .rest_size = size};
    question.call.context = &question;
    question.call.deadline_ns = io_now(group->asker_io) + WAIT_S / 2 * NS_PER_S;
    ret->data = answer_bytes;
    ret->size = 0;
    ret->type = 0;
    struct writer w = net_call_begin(&question.call);
    write_bytes(&w, fields->data, fields->size);
    (void)next_piece(&question);
    ret->err = net_call_start(&house->client, &question.call, type,
        question.rest_size > 0 ? FRAME_MORE : 0, &w, &question.iov, size > 0);
    if (err_is(ret->err))
        return;
    EXPECT(group_run_until(group, is_answered, &question));
}

/* ---- files ---- */

void group_fill(uint8_t *data, size_t size, unsigned mark)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + i / 251 + mark * 31 + mark);
}

static uint8_t content[1 << 20];

struct fid group_put(struct group *group, unsigned index, size_t size, unsigned mark)
{
    struct group_answer answer;
    struct writer w = group_fields();
    struct msg_uploaded uploaded;
    struct fid fid;
    msg_upload_encode(&(struct msg_upload){.ack = ACK_LOCAL,
                          .is_mutable = 1,
                          .size_known = 1,
                          .size = size,
                          .suffix = span_of_text("bin")},
        &w);
    group_fill(content, size, mark);
    group_ask(group, index, MSG_UPLOAD, &w, content, size, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_uploaded_decode(span_of(answer.meta, answer.meta_size), &uploaded));
    EXPECT_OK(fid_parse(uploaded.id, &fid));
    return fid;
}

err_t group_try_modify(struct group *group, unsigned index, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark)
{
    struct group_answer answer;
    struct writer w = group_fields();
    char id[FID_TEXT_MAX];
    size_t id_size = fid_format(fid, id);
    msg_modify_encode(&(struct msg_modify){.id = span_of(id, id_size),
                          .ack = ACK_LOCAL,
                          .mode = mode,
                          .offset = offset,
                          .size_known = 1,
                          .size = size},
        &w);
    group_fill(content, size, mark);
    group_ask(group, index, MSG_MODIFY, &w, content, size, &answer);
    return answer.err;
}

void group_modify(struct group *group, unsigned index, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark)
{
    EXPECT_OK(group_try_modify(group, index, fid, mode, offset, size, mark));
}

void group_remove(struct group *group, unsigned index, const struct fid *fid, bool existed)
{
    struct group_answer answer;
    struct writer w = group_fields();
    struct msg_deleted deleted;
    char id[FID_TEXT_MAX];
    size_t id_size = fid_format(fid, id);
    msg_delete_encode(&(struct msg_delete){.id = span_of(id, id_size), .ack = ACK_LOCAL}, &w);
    group_ask(group, index, MSG_DELETE, &w, NULL, 0, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_deleted_decode(span_of(answer.meta, answer.meta_size), &deleted));
    EXPECT_EQ(deleted.existed, existed);
}

static void ask_find(struct group *group, unsigned index, const struct fid *fid, bool local_only,
    struct group_answer *ret)
{
    struct writer w = group_fields();
    char id[FID_TEXT_MAX];
    size_t id_size = fid_format(fid, id);
    msg_find_encode(&(struct msg_find){.id = span_of(id, id_size), .local_only = local_only}, &w);
    group_ask(group, index, MSG_FIND, &w, NULL, 0, ret);
}

err_t group_find_err(struct group *group, unsigned index, const struct fid *fid, bool local_only)
{
    struct group_answer answer;
    ask_find(group, index, fid, local_only, &answer);
    return answer.err;
}

void group_expect(
    struct group *group, unsigned index, const struct fid *fid, size_t size, unsigned mark)
{
    struct group_answer answer;
    ask_find(group, index, fid, false, &answer);
    EXPECT_OK(answer.err);
    EXPECT_EQ(answer.size, size);
    group_fill(content, size, mark);
    EXPECT(memcmp(answer.data, content, size) == 0);
}

struct place group_home(const struct fid *fid)
{
    return (struct place){.kind = fid->is_packed ? PLACE_PACKED : PLACE_SINGLE,
        .mount = fid->mount,
        .stream = fid->stream,
        .machine = fid->identity.origin,
        .chunk = fid->chunk,
        .offset = fid->offset,
        .slot_size = fid->slot_size};
}
