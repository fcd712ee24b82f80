#include "tests/unit/client/fake.h"

#include "base/crc.h"
#include "base/units.h"
#include "net/connection.h"

enum { TURNS_MAX = 2000000 };

/* ---- ids ---- */

/* A well-formed id of group g1, origin 1. */
static size_t make_id(char text[FID_TEXT_MAX])
{
    struct fid fid = {.group = "g1",
        .identity = {.clock = UINT64_C(1700000000) << 23, .origin = 1, .suffix = "123.jpg"},
        .is_mutable = true,
        .is_packed = true,
        .chunk = 1,
        .slot_size = 64};
    return fid_format(&fid, text);
}

/* ---- replies ---- */

static void reply_message(struct net_request *request, uint8_t type, struct writer *fields)
{
    net_reply(request, type, 0, fields, NULL, 0, NULL);
    net_request_end(request);
}

static void reply_uploaded(struct fake *fake, struct net_request *request, uint32_t crc)
{
    char id[FID_TEXT_MAX];
    struct writer fields = net_reply_begin(request);
    size_t id_size = make_id(id);
    msg_uploaded_encode(&(struct msg_uploaded){.id = span_of(id, id_size),
                            .version = {1, 1},
                            .size = fake->size,
                            .crc = crc,
                            .ack = ACK_LOCAL,
                            .holder_count = 1,
                            .machine = fake->machine},
        &fields);
    reply_message(request, MSG_UPLOADED, &fields);
}

static void reply_modified(struct fake *fake, struct net_request *request, uint32_t crc)
{
    struct writer fields = net_reply_begin(request);
    msg_modified_encode(
        &(struct msg_modified){.version = {2, 1}, .size = fake->size, .crc = crc}, &fields);
    reply_message(request, MSG_MODIFIED, &fields);
}

static enum action action_of(struct fake *fake)
{
    size_t index = fake->request_count - 1;
    return index < fake->plan_count ? fake->plan[index] : ACT_SERVE;
}

static void cut(struct net_request *request)
{
    struct net_connection *connection = request->connection;
    net_request_end(request);
    accepted_cut(&connection->accepted);
}

/* The whole request is here. */
static void finish_change(struct fake *fake, struct net_request *request)
{
    uint32_t crc = crc32_update(0, fake->content, fake->size);
    switch (action_of(fake)) {
    case ACT_CUT:
        cut(request);
        return;
    case ACT_SILENT:
        fake->silent[fake->silent_count++] = request;
        return;
    case ACT_WRONG_CRC:
        crc ^= 1;
        break;
    default:
        break;
    }
    if (request->frame.type == MSG_UPLOAD || request->op == fake)
        reply_uploaded(fake, request, crc);
    else
        reply_modified(fake, request, crc);
}

static void take_content(struct fake *fake, struct net_request *request)
{
    CHECK(fake->size + request->data.size <= FAKE_CONTENT_MAX);
    memcpy(fake->content + fake->size, request->data.data, request->data.size);
    fake->size += request->data.size;
}

static void content_wake(struct net_request *request)
{
    struct fake *fake = request->server->config.role;
    if (err_is(request->body_err)) {
        net_request_end(request);
        return;
    }
    take_content(fake, request);
    if (request->has_more)
        net_request_next_data(request, content_wake);
    else
        finish_change(fake, request);
}

static void begin_change(struct fake *fake, struct net_request *request)
{
    if (action_of(fake) == ACT_KNOWN) {
        finish_change(fake, request);
        return;
    }
    fake->size = 0;
    take_content(fake, request);
    request->op = request->frame.type == MSG_UPLOAD ? fake : NULL;
    if (request->has_more)
        net_request_next_data(request, content_wake);
    else
        finish_change(fake, request);
}

/* ---- finds ---- */

static void found_sent(struct net_request *request, err_t err)
{
    (void)err;
    struct fake *fake = request->server->config.role;
    if (action_of(fake) == ACT_CUT_MIDWAY)
        cut(request);
    else
        net_request_end(request);
}

/* Half of the content in the head frame, and the promise of more that never comes; or all of it. */
static void reply_found(struct fake *fake, struct net_request *request, enum action action)
{
    struct msg_find find;
    EXPECT_OK(msg_find_decode(request->meta, &find));
    size_t at = (size_t)find.offset, all = fake->size - at;
    size_t size = action == ACT_CUT_MIDWAY ? all / 2 : all;
    struct iovec data = {fake->content + at, size};
    uint32_t crc = crc32_update(0, fake->content, fake->size) ^ (action == ACT_WRONG_CRC);
    struct writer fields = net_reply_begin(request);
    CHECK(size <= FRAME_DATA_MAX);
    msg_found_encode(&(struct msg_found){.version = {action == ACT_OTHER_VERSION ? 2 : 1, 1},
                         .total = fake->size,
                         .offset = find.offset,
                         .size = all,
                         .crc = crc},
        &fields);
    net_reply(request, MSG_FOUND, action == ACT_CUT_MIDWAY ? FRAME_MORE : 0, &fields, &data,
        size > 0, found_sent);
}

/* ---- dispatch ---- */

static void note_request(struct fake *fake, const struct net_request *request)
{
    size_t index = fake->request_count++;
    CHECK(index < FAKE_REQUESTS_MAX);
    struct msg_upload upload;
    struct msg_modify modify;
    struct msg_find find;
    if (request->frame.type == MSG_UPLOAD && !err_is(msg_upload_decode(request->meta, &upload))) {
        fake->nonces[index] = upload.nonce;
        fake->retries[index] = upload.is_retry;
    }
    if (request->frame.type == MSG_MODIFY && !err_is(msg_modify_decode(request->meta, &modify)))
        fake->nonces[index] = modify.nonce;
    if (request->frame.type == MSG_FIND && !err_is(msg_find_decode(request->meta, &find)))
        fake->find_offsets[index] = find.offset;
}

static void refuse(struct net_request *request, err_t err)
{
    net_reply_error(request, err, (struct version){0, 0});
    net_request_end(request);
}

static void serve(struct fake *fake, struct net_request *request, enum action action)
{
    struct writer fields;
    switch (request->frame.type) {
    case MSG_UPLOAD:
    case MSG_MODIFY:
        begin_change(fake, request);
        return;
    case MSG_FIND:
        reply_found(fake, request, action);
        return;
    case MSG_STAT:
        fields = net_reply_begin(request);
        msg_stated_encode(&(struct msg_stated){.version = {1, 1}, .size = fake->size}, &fields);
        reply_message(request, MSG_STATED, &fields);
        return;
    default:
        refuse(request, ERR(UNSUPPORTED, 0));
    }
}

static void on_storage_request(struct net_server *server, struct net_request *request)
{
    struct fake *fake = server->config.role;
    struct writer fields;
    note_request(fake, request);
    enum action action = action_of(fake);
    switch (action) {
    case ACT_BUSY:
        refuse(request, ERR(BUSY, 0));
        return;
    case ACT_REFUSE:
        refuse(request, (err_t){NULL, (int32_t)fake->code, 0});
        return;
    case ACT_CUT_EARLY:
        cut(request);
        return;
    case ACT_NONSENSE:
        fields = net_reply_begin(request);
        reply_message(request, MSG_PONG, &fields);
        return;
    default:
        serve(fake, request, action);
    }
}

static void answered(struct net_request *request, err_t err)
{
    (void)err;
    net_request_end(request);
}

static void on_tracker_request(struct net_server *server, struct net_request *request)
{
    struct fake *fake = server->config.role;
    struct fake_cluster *cluster = fake->cluster;
    char address[IO_ADDRESS_TEXT_MAX];
    fake->query_count++;
    struct writer entries = {.data = fake->content, .capacity = FAKE_CONTENT_MAX};
    for (size_t i = 0; i < cluster->named; i++) {
        struct fake *storage = &cluster->storages[i];
        write_u32(&entries, storage->machine);
        write_text(&entries, span_of_text(io_address_format(&storage->server.address, address)));
    }
    struct iovec data = {fake->content, entries.size};
    struct writer fields = net_reply_begin(request);
    msg_answer_encode(&(struct msg_answer){.count = (uint32_t)cluster->named}, &fields);
    net_reply(request, MSG_ANSWER, 0, &fields, &data, entries.size > 0, answered);
}

/* ---- life ---- */

static void fake_open(struct fake_cluster *cluster, struct fake *fake, uint32_t machine)
{
    static const struct handshake_secrets no_secrets;
    *fake = (struct fake){.cluster = cluster, .machine = machine, .is_up = true};
    fake->content = calloc(1, FAKE_CONTENT_MAX);
    EXPECT_OK(net_loop_init(&fake->loop, cluster->io, &cluster->mem,
        &(struct net_loop_config){.small_count = 24, .large_count = 8, .tick_ns = 10 * NS_PER_MS}));
    struct net_server_config config = {.address = {.bytes = {127, 0, 0, 1}, .family = 4},
        .listen_count = 1,
        .connection_max = 8,
        .request_max = 32,
        .pipeline_max = 8,
        .idle_timeout_ns = 60 * NS_PER_S,
        .send_timeout_ns = 60 * NS_PER_S,
        .handshake_timeout_ns = 60 * NS_PER_S,
        .policy = {.secrets = &no_secrets,
            .machine = machine,
            .server_role = machine == 0 ? SERVER_TRACKER : SERVER_STORAGE},
        .on_request = machine == 0 ? on_tracker_request : on_storage_request,
        .role = fake};
    EXPECT_OK(net_server_start(&fake->server, &fake->loop, &config));
}

void fake_stop(struct fake_cluster *cluster, struct fake *fake)
{
    if (!fake->is_up)
        return;
    fake->is_up = false;
    while (fake->silent_count > 0)
        net_request_end(fake->silent[--fake->silent_count]);
    net_server_drain(&fake->server);
    net_server_cut(&fake->server);
    while (!net_server_is_idle(&fake->server) || !net_loop_is_idle(&fake->loop))
        io_turn(cluster->io, true);
    net_server_fini(&fake->server);
    net_loop_fini(&fake->loop);
    free(fake->content);
}

void fake_plan(struct fake *fake, enum action first, enum action second, enum action third)
{
    fake->plan[0] = first;
    fake->plan[1] = second;
    fake->plan[2] = third;
    fake->plan_count = 3;
}

void cluster_open(struct fake_cluster *cluster, uint64_t timeout_ms, uint32_t retries)
{
    *cluster = (struct fake_cluster){.named = 2};
    EXPECT_OK(backend_io_new(&(struct backend_options){.loop_count = 1}, &cluster->io));
    mem_init(&cluster->mem, &cluster->io->ledger);
    fake_open(cluster, &cluster->tracker, 0);
    fake_open(cluster, &cluster->storages[0], 1);
    fake_open(cluster, &cluster->storages[1], 2);
    struct client_config config = {.tracker_count = 1,
        .timeout_ns = timeout_ms * NS_PER_MS,
        .retries = retries,
        .connections_max = 2,
        .operations_max = 8};
    config.trackers[0] = cluster->tracker.server.address;
    EXPECT_OK(client_init(&cluster->client, cluster->io, &cluster->mem, &config));
}

void cluster_close(struct fake_cluster *cluster)
{
    client_shutdown(&cluster->client);
    while (!client_is_closed(&cluster->client))
        io_turn(cluster->io, true);
    client_fini(&cluster->client);
    fake_stop(cluster, &cluster->tracker);
    fake_stop(cluster, &cluster->storages[0]);
    fake_stop(cluster, &cluster->storages[1]);
    ledger_check_empty(&cluster->io->ledger);
    cluster->io->backend->free(cluster->io);
}

static void run_done(struct client_op *op)
{
    *(bool *)op->context = true;
}

err_t cluster_run(struct fake_cluster *cluster, struct client_op *op)
{
    bool is_done = false;
    op->done = run_done;
    op->context = &is_done;
    client_start(&cluster->client, op);
    for (int i = 0; i < TURNS_MAX && !is_done; i++)
        io_turn(cluster->io, true);
    EXPECT(is_done);
    return op->machine.err;
}
