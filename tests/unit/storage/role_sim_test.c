/* The whole role in the simulator: two loops of one node, no threads, a client on another node. */
#include "base/units.h"
#include "net/client.h"
#include "sim/disk.h"
#include "sim/mem.h"
#include "sim/net.h"
#include "sim/sweep.h"
#include "storage/server.h"
#include "tests/lib/test.h"

enum { LOOPS = 2, CALLS = 8, CONTENT = 200000 };

struct call {
    struct net_call call;
    uint8_t reply[4096];
    size_t size;
    char id[FID_TEXT_MAX];
    err_t err;
    bool is_over;
    struct iovec data;
};

struct stage_set {
    struct sim_world *world;
    struct sim_node *node, *other;
    struct config *config;
    struct storage_config storage_config;
    struct handshake_secrets secrets;
    struct storage *storage;
    struct io *loops[LOOPS];
    bool is_over[LOOPS], has_run;
    struct io *client_io;
    struct mem client_mem;
    struct net_loop client_loop;
    struct net_client client;
    bool is_ready, is_closed;
    err_t close_err;
    struct call calls[CALLS];
};

static struct stage_set set;
static uint8_t content[CONTENT];

static void configure(uint32_t mounts)
{
    static const char *const flags[] = {"--machine=m001", "--group=g1", "--mount=/m0", "--loops=2",
        "--listen=10.0.0.1:7000", "--chunk-size=256KiB", "--log-segment-size=128KiB",
        "--log-buffer-size=96KiB", "--log-segments=4", "--inline-max=4KiB", "--single-min=16KiB",
        "--piece-size=64KiB", "--checkpoint-bytes=128KiB", "--reserve=0", "--free-slots=16",
        "--connection-max=4", "--request-max=4", "--chunk-files=32", "--small-buffers=4",
        "--work-buffers=2", "--modify-buffers=1", "--receive-buffers=4",
        "--receive-large-buffers=2", "--mount=/m1"};
    config_init(set.config);
    config_add(set.config, &storage_config_table, &set.storage_config);
    for (size_t i = 0; i < ARRAY_LEN(flags) - (mounts == 1); i++) {
        char text[64];
        char *argv[] = {text};
        int at = 0;
        (void)snprintf(text, sizeof text, "%s", flags[i]);
        EXPECT_OK(config_flag(set.config, 1, argv, &at));
    }
    storage_config_check(&set.storage_config, set.config);
    if (err_is(config_finish(set.config)))
        (void)fprintf(stderr, "%s", config_problems(set.config));
    EXPECT_OK(config_finish(set.config));
}

static void set_up(struct sim_world *world, uint32_t mounts)
{
    static const struct sim_disk_options plain = {.capacity = 64 << 20,
        .direct_alignment = 512,
        .read_ns = 50000,
        .write_ns = 4000,
        .sync_ns = 200000,
        .meta_ns = 10000};
    struct config *config = set.config ? set.config : malloc(sizeof *config);
    struct storage *storage = set.storage ? set.storage : malloc(sizeof *storage);
    set = (struct stage_set){.world = world, .config = config, .storage = storage};
    set.node = sim_node_new(world, "s1", NULL);
    set.other = sim_node_new(world, "c1", NULL);
    sim_mount_new(set.node, "/m0", &plain);
    sim_mount_new(set.node, "/m1", &plain);
    configure(mounts);
}

static void on_running(struct storage *storage, void *context)
{
    (void)storage, (void)context;
    set.has_run = true;
}

static void write_log(void *context, enum event_level level, struct span line)
{
    (void)context, (void)level;
    if (getenv("HALL_LOG"))
        (void)fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.data);
}

static void boot(struct sim_attempt *attempt)
{
    struct storage_options options = {.config = &set.storage_config,
        .secrets = &set.secrets,
        .processors = LOOPS,
        .reserved_descriptors = 4,
        .descriptor_limit = 4000,
        .write_log = write_log,
        .on_running = on_running};
    set.has_run = false;
    memset(set.is_over, 0, sizeof set.is_over);
    for (uint16_t i = 0; i < LOOPS; i++)
        set.loops[i] = sim_loop_new(set.world, set.node, i);
    if (attempt)
        sim_attempt_arm(attempt, set.loops[0]);
    EXPECT_OK(storage_open(set.storage, &options));
    EXPECT_EQ(set.storage->loop_count, LOOPS);
    for (uint16_t i = 0; i < LOOPS; i++)
        storage_loop_enter(set.storage, i, set.loops[i], set.loops[0]);
}

static void step_loops(void)
{
    for (uint16_t i = 0; i < LOOPS; i++)
        if (!set.is_over[i])
            set.is_over[i] = !storage_loop_step(set.storage, i);
}

static bool runs_or_is_over(void *context)
{
    (void)context;
    step_loops();
    return set.has_run || (set.is_over[0] && set.is_over[1]);
}

static bool is_over(void *context)
{
    (void)context;
    step_loops();
    return set.is_over[0] && set.is_over[1];
}

static void start(struct sim_attempt *attempt)
{
    boot(attempt);
    EXPECT(sim_world_run_until(set.world, runs_or_is_over, NULL, 600 * NS_PER_S));
}

static void stop(void)
{
    storage_stop(set.storage);
    EXPECT(sim_world_run_until(set.world, is_over, NULL, 600 * NS_PER_S));
}

/* ---- the client ---- */

static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct call *it = call->context;
    if (frame->type == MSG_UPLOADED) {
        struct msg_uploaded uploaded;
        EXPECT_OK(msg_uploaded_decode(meta, &uploaded));
        EXPECT(span_to_text(uploaded.id, it->id, sizeof it->id));
    }
    for (size_t i = 0; i < data.size; i++)
        EXPECT_EQ(data.data[i], content[it->size + i]);
    it->size += data.size;
}

static void on_end(struct net_call *call, err_t err)
{
    struct call *it = call->context;
    it->err = err;
    it->is_over = true;
}

static void on_ready(struct net_client *client)
{
    (void)client;
    set.is_ready = true;
}

static void on_closed(struct net_client *client, err_t err)
{
    (void)client;
    set.is_closed = true;
    set.close_err = err;
}

static bool is_ready_or_closed(void *context)
{
    (void)context;
    step_loops();
    return set.is_ready || set.is_closed;
}

static bool client_connect(void)
{
    set.client_io = sim_loop_new(set.world, set.other, 0);
    mem_init(&set.client_mem, &set.client_io->ledger);
    EXPECT_OK(net_loop_init(&set.client_loop, set.client_io, &set.client_mem,
        &(struct net_loop_config){.small_count = 8, .large_count = 2, .tick_ns = 100 * NS_PER_MS}));
    struct net_client_config config = {.role = ROLE_CLIENT,
        .call_max = CALLS,
        .connect_timeout_ns = 10 * NS_PER_S,
        .send_timeout_ns = 10 * NS_PER_S,
        .on_ready = on_ready,
        .on_closed = on_closed};
    EXPECT_OK(io_address_parse("10.0.0.1:7000", &config.address));
    set.is_ready = set.is_closed = false;
    EXPECT_OK(net_client_start(&set.client, &set.client_loop, &config));
    EXPECT(sim_world_run_until(set.world, is_ready_or_closed, NULL, 60 * NS_PER_S));
    return set.is_ready;
}

static bool is_closed_and_idle(void *context)
{
    (void)context;
    step_loops();
    return set.is_closed && net_loop_is_idle(&set.client_loop);
}

static void client_leave(void)
{
    net_client_close(&set.client);
    EXPECT(sim_world_run_until(set.world, is_closed_and_idle, NULL, 60 * NS_PER_S));
    net_loop_fini(&set.client_loop);
    sim_loop_free(set.client_io);
}

static bool calls_are_over(void *context)
{
    uint32_t count = *(uint32_t *)context;
    step_loops();
    for (uint32_t i = 0; i < count; i++)
        if (!set.calls[i].is_over)
            return false;
    return true;
}

static struct call *begin(uint32_t index, struct writer *ret)
{
    struct call *it = &set.calls[index];
    char id[FID_TEXT_MAX];
    memcpy(id, it->id, sizeof id);
    *it = (struct call){.call = {.on_frame = on_frame,
                            .on_end = on_end,
                            .context = it,
                            .deadline_ns = io_now(set.client_io) + 60 * NS_PER_S}};
    memcpy(it->id, id, sizeof id);
    *ret = net_call_begin(&it->call);
    return it;
}

/* A client whose connection is gone has its answer at once. */
static void send(struct call *it, uint8_t type, const struct writer *fields, unsigned data_count)
{
    err_t err = net_call_start(&set.client, &it->call, type, 0, fields, &it->data, data_count);
    if (err_is(err))
        on_end(&it->call, err);
}

static size_t size_of(uint32_t index)
{
    return 100 + index * 25000;
}

static void upload_all(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct writer w;
        struct call *it = begin(i, &w);
        msg_upload_encode(
            &(struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = size_of(i)}, &w);
        it->id[0] = '\0';
        it->data = (struct iovec){content, size_of(i)};
        send(it, MSG_UPLOAD, &w, 1);
    }
    EXPECT(sim_world_run_until(set.world, calls_are_over, &count, 600 * NS_PER_S));
}

static void find_all(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct writer w;
        struct call *it = begin(i, &w);
        msg_find_encode(&(struct msg_find){.id = span_of_text(it->id)}, &w);
        send(it, MSG_FIND, &w, 0);
    }
    EXPECT(sim_world_run_until(set.world, calls_are_over, &count, 600 * NS_PER_S));
}

static void expect_all_found(uint32_t count)
{
    find_all(count);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT_OK(set.calls[i].err);
        EXPECT_EQ(set.calls[i].size, size_of(i));
    }
}

static void begin_world(uint64_t seed, uint32_t mounts)
{
    for (size_t i = 0; i < CONTENT; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    set_up(sim_world_new(seed), mounts);
}

static void free_loops(void)
{
    for (uint16_t i = 0; i < LOOPS; i++)
        sim_loop_free(set.loops[i]);
}

static void end_world(void)
{
    free_loops();
    sim_world_free(set.world);
}

TEST(the_role_runs_in_the_simulator_and_leaves_nothing)
{
    begin_world(1, 2);
    start(NULL);
    EXPECT(set.has_run);
    EXPECT(client_connect());
    upload_all(CALLS);
    expect_all_found(CALLS);
    client_leave();
    stop();
    EXPECT_OK(storage_result(set.storage));
    end_world();
}

TEST(what_was_acknowledged_is_there_after_power_loss)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        begin_world(seed, 2);
        start(NULL);
        EXPECT(client_connect());
        upload_all(CALLS);
        for (uint32_t i = 0; i < CALLS; i++)
            EXPECT_OK(set.calls[i].err);
        sim_node_power_loss(set.node);
        for (uint16_t i = 0; i < LOOPS; i++)
            sim_mem_bury(&set.storage->loops[i].mem);
        set.is_over[0] = set.is_over[1] = true;
        client_leave();
        start(NULL);
        EXPECT(set.has_run);
        EXPECT(client_connect());
        expect_all_found(CALLS);
        client_leave();
        stop();
        EXPECT_OK(storage_result(set.storage));
        end_world();
    }
}

TEST(a_disk_that_dies_while_serving_is_fenced_and_the_other_goes_on)
{
    begin_world(3, 2);
    start(NULL);
    EXPECT(client_connect());
    upload_all(CALLS);
    sim_mount_faults(set.node, "/m1")->is_offline = true;
    for (int round = 0; round < 3; round++)
        upload_all(CALLS);
    sim_world_run_for(set.world, 0);
    upload_all(CALLS);
    for (uint32_t i = 0; i < CALLS; i++) {
        EXPECT_OK(set.calls[i].err);
        EXPECT(strstr(set.calls[i].id, "/M00/") != NULL);
    }
    expect_all_found(CALLS);
    EXPECT_EQ(mounts_usable(&set.storage->mounts), 1);
    client_leave();
    stop();
    EXPECT_OK(storage_result(set.storage));
    end_world();
}

TEST(a_disk_that_cannot_be_opened_makes_its_files_offline_not_unknown)
{
    begin_world(4, 2);
    start(NULL);
    EXPECT(client_connect());
    upload_all(CALLS);
    client_leave();
    stop();
    free_loops();
    sim_mount_faults(set.node, "/m1")->is_offline = true;
    start(NULL);
    EXPECT(set.has_run);
    EXPECT(client_connect());
    find_all(CALLS);
    unsigned offline = 0;
    for (uint32_t i = 0; i < CALLS; i++) {
        bool is_out = strstr(set.calls[i].id, "/M01/") != NULL;
        offline += is_out;
        EXPECT_EQ(set.calls[i].err.code, is_out ? ERR_CODE_OFFLINE : ERR_CODE_OK);
    }
    EXPECT(offline > 0);
    client_leave();
    stop();
    end_world();
}

/* The words of failed mount points, one after the other, go to loop 0 and home before loops end. */
TEST(disks_that_fail_while_the_storage_stops_leave_nothing_under_way)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin_world(seed, 2);
        start(NULL);
        EXPECT(client_connect());
        upload_all(CALLS);
        client_leave();
        sim_mount_faults(set.node, "/m0")->write_error_per_million = 1000000;
        sim_mount_faults(set.node, "/m1")->write_error_per_million = 1000000;
        stop();
        end_world();
    }
}

static void find_uploaded(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (err_is(set.calls[i].err))
            return;
    find_all(count);
}

/* Whatever is refused on loop 0 between boot and end: the storage runs or says why not, and every
 * loop ends with nothing held. */
static void life(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    (void)context;
    if (getenv("HALL_LOG"))
        (void)fprintf(stderr, "refused: %d, %llu%s\n", (int)attempt->what,
            (unsigned long long)attempt->nth, attempt->for_ever ? " and all later" : "");
    set_up(world, 1);
    start(attempt);
    if (set.has_run && client_connect())
        upload_all(2);
    if (set.has_run && set.is_ready)
        find_uploaded(2);
    sim_attempt_disarm(attempt);
    if (set.client_io)
        client_leave();
    stop();
    EXPECT(set.has_run || err_is(storage_result(set.storage)));
}

TEST(a_life_with_any_refusal_ends_with_nothing_held)
{
    struct sim_sweep sweep = {.seed = 1, .run = life};
    uint64_t runs = sim_sweep(&sweep);
    EXPECT(runs > 100);
}
