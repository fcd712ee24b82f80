#include "tests/unit/net/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/crc.h"
#include "io/backend.h"

static struct demo *open_demos[4];

uint64_t fixture_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void fixture_turn(void)
{
    for (size_t i = 0; i < ARRAY_LEN(open_demos); i++)
        if (open_demos[i])
            io_turn(open_demos[i]->io, false);
}

void pattern_fill(uint8_t *data, size_t size, uint64_t offset)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((offset + i) * 31 + ((offset + i) >> 8));
}

/* ---- the role ---- */

static struct demo *demo_of(struct net_request *request)
{
    return request->server->config.role;
}

static void reply_ping(struct net_request *request)
{
    struct writer fields = net_reply_begin(request);
    msg_pong_encode(&(struct msg_pong){.role = request->role}, &fields);
    net_reply(request, MSG_PONG, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static void reply_error(struct net_request *request, err_t err)
{
    net_reply_error(request, err, (struct version){});
    net_request_end(request);
}

void demo_answer_parked(struct demo *demo, uint32_t index)
{
    struct net_request *request = demo->parked[index];
    EXPECT(index < demo->parked_count);
    demo->parked[index] = demo->parked[--demo->parked_count];
    struct writer fields = net_reply_begin(request);
    msg_stated_encode(&(struct msg_stated){.size = request->frame.request}, &fields);
    net_reply(request, MSG_STATED, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static void sink_pull(struct net_request *request);

static void sink_end(struct demo_sink *sink)
{
    struct net_request *request = sink->request;
    struct writer fields = net_reply_begin(request);
    msg_uploaded_encode(&(struct msg_uploaded){.size = sink->size, .crc = sink->crc}, &fields);
    sink->request = NULL;
    net_reply(request, MSG_UPLOADED, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static void sink_take(struct demo_sink *sink)
{
    struct net_request *request = sink->request;
    sink->crc = crc32_update(sink->crc, request->data.data, request->data.size);
    sink->size += request->data.size;
    if (!request->has_more)
        sink_end(sink);
    else if (!sink->is_slow)
        net_request_next_data(request, sink_pull);
}

static void sink_pull(struct net_request *request)
{
    struct demo_sink *sink = request->op;
    struct demo *demo = demo_of(request);
    if (err_is(request->body_err)) {
        demo->body_err = request->body_err;
        sink->request = NULL;
        reply_error(request, request->body_err);
    } else {
        sink_take(sink);
    }
}

void demo_pull_slow(struct demo *demo)
{
    for (size_t i = 0; i < DEMO_SINKS; i++)
        if (demo->sinks[i].request && demo->sinks[i].is_slow && !demo->sinks[i].request->wake)
            net_request_next_data(demo->sinks[i].request, sink_pull);
}

static void begin_upload(struct demo *demo, struct net_request *request)
{
    struct msg_upload upload;
    size_t i = 0;
    if (err_is(msg_upload_decode(request->meta, &upload))) {
        reply_error(request, ERR(PROTOCOL, 0));
        return;
    }
    if (span_equals_text(upload.pool, "refuse")) {
        reply_error(request, ERR(NO_SPACE, 0));
        return;
    }
    while (demo->sinks[i].request)
        CHECK(++i < DEMO_SINKS);
    demo->sinks[i] =
        (struct demo_sink){.request = request, .is_slow = span_equals_text(upload.pool, "slow")};
    request->op = &demo->sinks[i];
    sink_take(&demo->sinks[i]);
}

/* The pattern lies still, so that replies can borrow it. */
static uint8_t pattern[DEMO_CHUNK];

struct source {
    uint64_t left, chunk;
};

static struct source sources[DEMO_SINKS];

static void source_send(struct net_request *request, err_t err)
{
    struct source *source = request->op;
    struct demo *demo = demo_of(request);
    if (err_is(err) || source->left == 0) {
        demo->gone_count += err_is(err);
        demo->streaming--;
        source->chunk = 0;
        net_request_end(request);
        return;
    }
    uint64_t size = source->left < source->chunk ? source->left : source->chunk;
    source->left -= size;
    struct writer fields = net_reply_begin(request);
    struct iovec half[2] = {{pattern, size / 2}, {pattern + size / 2, size - size / 2}};
    net_reply(request, MSG_DATA, source->left > 0 ? FRAME_MORE : 0, &fields, half, 2, source_send);
}

static void begin_find(struct demo *demo, struct net_request *request)
{
    struct msg_find find;
    size_t i = 0;
    CHECK(!err_is(msg_find_decode(request->meta, &find)) && find.offset <= DEMO_CHUNK);
    while (sources[i].chunk > 0)
        CHECK(++i < DEMO_SINKS);
    sources[i] = (struct source){.left = find.size, .chunk = find.offset};
    request->op = &sources[i];
    demo->streaming++;
    pattern_fill(pattern, sizeof pattern, 0);
    struct writer fields = net_reply_begin(request);
    msg_found_encode(&(struct msg_found){.total = find.size}, &fields);
    net_reply(request, MSG_FOUND, find.size > 0 ? FRAME_MORE : 0, &fields, NULL, 0, source_send);
}

static void on_list(struct demo *demo, struct net_request *request)
{
    if (demo->other && (!demo->bounce || ++demo->list_turn % 2 == 1)) {
        net_request_move(request, demo->other);
        return;
    }
    demo->moved_in_count++;
    struct writer fields = net_reply_begin(request);
    msg_listed_encode(&(struct msg_listed){.count = (uint32_t)request->data.size}, &fields);
    net_reply(request, MSG_LISTED, 0, &fields, NULL, 0, NULL);
    net_request_end(request);
}

static void on_request(struct net_server *server, struct net_request *request)
{
    struct demo *demo = server->config.role;
    demo->request_count++;
    switch (request->frame.type) {
    case MSG_PING:
        reply_ping(request);
        break;
    case MSG_STAT:
        EXPECT(demo->parked_count < DEMO_PARKED_MAX);
        demo->parked[demo->parked_count++] = request;
        break;
    case MSG_UPLOAD:
        begin_upload(demo, request);
        break;
    case MSG_MODIFY: /* an upload that moves */
        if (demo->other)
            net_request_move(request, demo->other);
        else
            begin_upload(demo, request);
        break;
    case MSG_FIND:
        begin_find(demo, request);
        break;
    case MSG_LIST:
        on_list(demo, request);
        break;
    case MSG_HEARTBEAT: {
        struct writer fields = net_reply_begin(request);
        msg_heartbeat_ack_encode(&(struct msg_heartbeat_ack){.interval_ms = 1000}, &fields);
        net_reply(request, MSG_HEARTBEAT_ACK, 0, &fields, NULL, 0, NULL);
        net_request_end(request);
        break;
    }
    default:
        reply_error(request, ERR(UNSUPPORTED, 0));
    }
}

/* ---- life ---- */

static uint64_t or_else(uint64_t value, uint64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void set_secret(struct secret *secret, const char *text)
{
    if (text)
        EXPECT_OK(secret_read(span_of_text(text), secret));
}

static struct net_server_config demo_config(struct demo *demo, const struct demo_options *options)
{
    const uint64_t ten_seconds = UINT64_C(10000000000);
    struct net_server_config config = {
        .listen_count = 1,
        .connection_max = (uint32_t)or_else(options->connection_max, 16),
        .request_max = (uint32_t)or_else(options->request_max, 64),
        .pipeline_max = (uint32_t)or_else(options->pipeline_max, 8),
        .idle_timeout_ns = or_else(options->idle_ns, ten_seconds),
        .send_timeout_ns = or_else(options->send_ns, ten_seconds),
        .handshake_timeout_ns = or_else(options->handshake_ns, ten_seconds),
        .policy = {.secrets = &demo->secrets, .machine = 7, .server_role = SERVER_STORAGE},
        .on_request = on_request,
        .role = demo,
    };
    return config;
}

static void demo_show(struct demo *demo)
{
    size_t i = 0;
    while (open_demos[i])
        EXPECT(++i < ARRAY_LEN(open_demos));
    open_demos[i] = demo;
}

void demo_open_on(struct demo *demo, struct io *io, const struct io_address *address,
    const struct demo_options *options)
{
    *demo = (struct demo){.io = io};
    set_secret(&demo->secrets.client, options->client_secret);
    set_secret(&demo->secrets.node, options->node_secret);
    mem_init(&demo->mem, &demo->io->ledger);
    EXPECT_OK(net_loop_init(&demo->loop, demo->io, &demo->mem,
        &(struct net_loop_config){.small_count = (uint32_t)or_else(options->small_count, 40),
            .large_count = (uint32_t)or_else(options->large_count, 8),
            .tick_ns = or_else(options->tick_ns, 5000000)}));
    struct net_server_config config = demo_config(demo, options);
    config.address = *address;
    EXPECT_OK(net_server_start(&demo->server, &demo->loop, &config));
}

void demo_open(struct demo *demo, const struct demo_options *options)
{
    struct io *io;
    struct io_address address;
    EXPECT_OK(io_address_parse("127.0.0.1:0", &address));
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 64, .loop_count = 1}, &io));
    demo_open_on(demo, io, &address, options);
    demo_show(demo);
}

void demo_hide(struct demo *demo)
{
    for (size_t i = 0; i < ARRAY_LEN(open_demos); i++)
        if (open_demos[i] == demo)
            open_demos[i] = NULL;
}

void demo_fini(struct demo *demo)
{
    net_server_fini(&demo->server);
    net_loop_fini(&demo->loop);
    ledger_check_empty(&demo->io->ledger);
}

void demo_close(struct demo *demo)
{
    net_server_cut(&demo->server);
    while (demo->parked_count > 0)
        demo_answer_parked(demo, 0);
    for (size_t i = 0; i < DEMO_SINKS; i++)
        if (demo->sinks[i].request && !demo->sinks[i].request->wake)
            sink_end(&demo->sinks[i]);
    TURN_UNTIL(net_server_is_idle(&demo->server) && net_loop_is_idle(&demo->loop));
    demo_fini(demo);
    demo->io->backend->free(demo->io);
    demo_hide(demo);
}

/* ---- bytes ---- */

void bytes_frame(struct bytes *bytes, uint8_t type, uint16_t flags, uint64_t id, struct span meta,
    struct span data)
{
    size_t size = FRAME_HEADER_SIZE + meta.size + data.size;
    EXPECT(bytes->size + size <= bytes->capacity);
    uint8_t *at = bytes->data + bytes->size;
    if (meta.size > 0)
        memcpy(at + FRAME_HEADER_SIZE, meta.data, meta.size);
    if (data.size > 0)
        memcpy(at + FRAME_HEADER_SIZE + meta.size, data.data, data.size);
    struct frame frame = {.request = id,
        .meta_size = (uint32_t)meta.size,
        .data_size = (uint32_t)data.size,
        .body_crc = crc32_update(0, at + FRAME_HEADER_SIZE, meta.size + data.size),
        .flags = flags,
        .type = type};
    frame_encode_header(&frame, at);
    bytes->size += size;
}

void bytes_hello(struct bytes *bytes, uint8_t role, struct msg_hello *ret)
{
    uint8_t meta[128];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    *ret = (struct msg_hello){.version_min = 1, .version_max = 1, .role = role, .machine = 9};
    memset(ret->challenge.bytes, 0x5a, sizeof ret->challenge.bytes);
    msg_hello_encode(ret, &w);
    bytes_frame(bytes, MSG_HELLO, 0, 0, span_of(meta, w.size), span_of(NULL, 0));
}

void bytes_ping(struct bytes *bytes, uint64_t id)
{
    bytes_frame(bytes, MSG_PING, 0, id, span_of(NULL, 0), span_of(NULL, 0));
}

void bytes_stat(struct bytes *bytes, uint64_t id)
{
    bytes_frame(bytes, MSG_STAT, 0, id, span_of("\2\0id", 4), span_of(NULL, 0));
}

void bytes_upload(
    struct bytes *bytes, const char *pool, uint16_t flags, uint64_t id, struct span data)
{
    uint8_t meta[512];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_upload_encode(&(struct msg_upload){.pool = span_of_text(pool)}, &w);
    bytes_frame(bytes, MSG_UPLOAD, flags, id, span_of(meta, w.size), data);
}

void bytes_find(struct bytes *bytes, uint64_t id, uint64_t size, uint64_t chunk)
{
    uint8_t meta[128];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_find_encode(&(struct msg_find){.offset = chunk, .size = size}, &w);
    bytes_frame(bytes, MSG_FIND, 0, id, span_of(meta, w.size), span_of(NULL, 0));
}

/* ---- the peer ---- */

void raw_open(struct raw *raw, const struct demo *demo)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons(demo->server.address.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    raw->size = 0;
    raw->is_closed = false;
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(raw->fd >= 0);
    EXPECT_EQ(connect(raw->fd, (struct sockaddr *)&address, sizeof address), 0);
    EXPECT_EQ(fcntl(raw->fd, F_SETFL, O_NONBLOCK), 0);
    int on = 1;
    EXPECT_EQ(setsockopt(raw->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

void raw_close(struct raw *raw)
{
    (void)close(raw->fd);
    raw->fd = -1;
}

void raw_send(struct raw *raw, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t end_ns = fixture_now_ns() + UINT64_C(20000000000);
    while (size > 0) {
        ssize_t sent = send(raw->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            raw->is_closed = true;
            return;
        }
        if (sent > 0) {
            at += sent;
            size -= (size_t)sent;
        }
        EXPECT(fixture_now_ns() < end_ns);
        fixture_turn();
    }
}

void raw_poll(struct raw *raw)
{
    while (!raw->is_closed && raw->size < sizeof raw->received) {
        ssize_t size =
            recv(raw->fd, raw->received + raw->size, sizeof raw->received - raw->size, 0);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0)
            raw->is_closed = true;
        else
            raw->size += (size_t)size;
    }
}

static size_t whole_frame(struct raw *raw, struct frame *ret)
{
    raw_poll(raw);
    enum frame_result result = frame_decode_header(span_of(raw->received, raw->size), ret);
    EXPECT(result != FRAME_BAD);
    if (result == FRAME_NEED_MORE)
        return 0;
    size_t size = FRAME_HEADER_SIZE + ret->meta_size + ret->data_size;
    return raw->size >= size ? size : 0;
}

bool raw_frame(struct raw *raw, struct frame *ret, struct span *ret_meta, struct span *ret_data)
{
    static uint8_t taken[FRAME_HEADER_SIZE + FRAME_BODY_MAX];
    size_t size = 0;
    TURN_UNTIL((size = whole_frame(raw, ret)) > 0 || raw->is_closed);
    if (size == 0)
        return false;
    memcpy(taken, raw->received, size);
    raw->size -= size;
    memmove(raw->received, raw->received + size, raw->size);
    EXPECT_EQ(crc32_update(0, taken + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE), ret->body_crc);
    *ret_meta = span_of(taken + FRAME_HEADER_SIZE, ret->meta_size);
    *ret_data = span_of(taken + FRAME_HEADER_SIZE + ret->meta_size, ret->data_size);
    return true;
}

int raw_error_code(struct raw *raw)
{
    struct frame frame;
    struct span meta, data;
    struct msg_error error;
    EXPECT(raw_frame(raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_ERROR);
    EXPECT_OK(msg_error_decode(meta, &error));
    return (int)error.code;
}

void raw_expect_closed(struct raw *raw)
{
    struct frame frame;
    struct span meta, data;
    EXPECT(!raw_frame(raw, &frame, &meta, &data));
}

void raw_handshake(struct raw *raw, uint8_t role)
{
    uint8_t space[256];
    struct bytes bytes = {.data = space, .capacity = sizeof space};
    struct msg_hello hello;
    struct frame frame;
    struct span meta, data;
    bytes_hello(&bytes, role, &hello);
    raw_send(raw, bytes.data, bytes.size);
    EXPECT(raw_frame(raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_WELCOME);
}
