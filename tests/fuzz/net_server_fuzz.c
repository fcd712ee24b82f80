/* A stream of bytes against a server's connection, in a simulated world. Input: pieces
 * { kind u8, size u16, bytes }. Kind 0: the bytes as they are; 1: a frame of them, whose checksums
 * are right ({ type u8, flags u8, id u8, meta size u8, meta, data }); 2: a good HELLO; 3: the role
 * answers a parked request; 4: wait. Whatever comes, what the server says is frames, and at the end
 * it holds nothing. */
#include "base/crc.h"
#include "net/server.h"
#include "sim/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARKED_MAX = 8, FRAME_MAX = FRAME_HEADER_SIZE + FRAME_BODY_MAX };

struct play {
    struct sim_world *world;
    struct io *server_io, *client_io;
    struct mem mem;
    struct net_loop loop;
    struct net_server server;
    struct handshake_secrets secrets;
    struct net_request *parked[PARKED_MAX];
    uint32_t parked_count;
    /* the peer */
    struct owner owner;
    struct io_handle socket;
    struct io_op connect, send, recv;
    struct iovec send_iov, recv_iov;
    struct io_address address;
    uint8_t said[FRAME_MAX]; /* by the server, not yet whole */
    size_t said_size;
};

/* ---- the role ---- */

static void reply_pong(struct net_request *request)
{
    struct writer fields = net_reply_begin(request);
    msg_pong_encode(&(struct msg_pong){}, &fields);
    struct iovec data = {(void *)(uintptr_t) "0123456789", 10};
    net_reply(request, MSG_PONG, 0, &fields, &data, 1, NULL);
    net_request_end(request);
}

static void pulled(struct net_request *request)
{
    if (err_is(request->body_err) || !request->has_more)
        reply_pong(request);
    else
        net_request_next_data(request, pulled);
}

static void on_request(struct net_server *server, struct net_request *request)
{
    struct play *play = server->config.role;
    if (request->frame.type == MSG_UPLOAD && request->has_more) {
        net_request_next_data(request, pulled);
    } else if (request->frame.type == MSG_STAT && play->parked_count < PARKED_MAX) {
        play->parked[play->parked_count++] = request;
    } else if (request->frame.type == MSG_PING) {
        reply_pong(request);
    } else { /* a body, if it has one, is drained */
        net_reply_error(request, ERR(UNSUPPORTED, 0), (struct version){});
        net_request_end(request);
    }
}

static void answer_parked(struct play *play)
{
    if (play->parked_count > 0)
        reply_pong(play->parked[--play->parked_count]);
}

/* ---- the peer ---- */

static void listen_to_server(struct play *play);

static void take_frames(struct play *play)
{
    struct frame frame;
    while (play->said_size >= FRAME_HEADER_SIZE) {
        struct span said = span_of(play->said, play->said_size);
        CHECK(frame_decode_header(said, &frame) == FRAME_OK);
        size_t body_size = (size_t)frame.meta_size + frame.data_size;
        if (play->said_size < FRAME_HEADER_SIZE + body_size)
            return;
        CHECK(crc32_update(0, play->said + FRAME_HEADER_SIZE, body_size) == frame.body_crc);
        play->said_size -= FRAME_HEADER_SIZE + body_size;
        memmove(play->said, play->said + FRAME_HEADER_SIZE + body_size, play->said_size);
    }
}

static void heard(struct io_op *op)
{
    struct play *play = op->context;
    if (op->result <= 0)
        return;
    play->said_size += (size_t)op->result;
    take_frames(play);
    listen_to_server(play);
}

static void done(struct io_op *op)
{
    (void)op;
}

static void listen_to_server(struct play *play)
{
    play->recv_iov = (struct iovec){play->said + play->said_size, FRAME_MAX - play->said_size};
    play->recv = (struct io_op){.kind = IO_RECV,
        .wake = heard,
        .owner = &play->owner,
        .context = play,
        .fd = play->socket.fd,
        .iov = &play->recv_iov,
        .iov_count = 1};
    io_submit(play->client_io, &play->recv);
}

static bool send_is_home(void *context)
{
    return !io_op_is_out(&((struct play *)context)->send);
}

static void say(struct play *play, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        play->send_iov = (struct iovec){(void *)(uintptr_t)bytes, size};
        play->send = (struct io_op){.kind = IO_SEND,
            .wake = done,
            .owner = &play->owner,
            .fd = play->socket.fd,
            .iov = &play->send_iov,
            .iov_count = 1,
            .deadline_ns = io_now(play->client_io) + 1000000000};
        io_submit(play->client_io, &play->send);
        CHECK(sim_world_run_until(play->world, send_is_home, play, UINT64_C(10000000000)));
        if (play->send.result <= 0)
            return;
        bytes += play->send.result;
        size -= (size_t)play->send.result;
    }
}

static void say_frame(struct play *play, struct frame frame, struct span body)
{
    static uint8_t bytes[FRAME_HEADER_SIZE + UINT16_MAX];
    frame.body_crc = crc32_update(0, body.data, body.size);
    frame_encode_header(&frame, bytes);
    if (body.size > 0)
        memcpy(bytes + FRAME_HEADER_SIZE, body.data, body.size);
    say(play, bytes, FRAME_HEADER_SIZE + body.size);
}

static void say_made_frame(struct play *play, struct span piece)
{
    if (piece.size < 4)
        return;
    struct span body = span_of(piece.data + 4, piece.size - 4);
    uint32_t meta_size = piece.data[3] < body.size ? piece.data[3] : (uint32_t)body.size;
    say_frame(play,
        (struct frame){.type = piece.data[0],
            .flags = piece.data[1] & FRAME_MORE,
            .request = piece.data[2],
            .meta_size = meta_size,
            .data_size = (uint32_t)body.size - meta_size},
        body);
}

static void say_hello(struct play *play)
{
    uint8_t meta[128];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_hello_encode(
        &(struct msg_hello){.version_min = 1, .version_max = 1, .role = ROLE_CLIENT}, &w);
    say_frame(play, (struct frame){.type = MSG_HELLO, .meta_size = (uint32_t)w.size},
        span_of(meta, w.size));
}

static void play_piece(struct play *play, uint8_t kind, struct span piece)
{
    switch (kind % 5) {
    case 0:
        say(play, piece.data, piece.size);
        break;
    case 1:
        say_made_frame(play, piece);
        break;
    case 2:
        say_hello(play);
        break;
    case 3:
        answer_parked(play);
        break;
    default:
        sim_world_run_for(play->world, UINT64_C(100000000));
    }
}

/* ---- the world ---- */

static bool is_connected(void *context)
{
    return !io_op_is_out(&((struct play *)context)->connect);
}

static void play_open(struct play *play)
{
    const uint64_t ten_seconds = UINT64_C(10000000000);
    *play = (struct play){.world = sim_world_new(1), .socket = IO_HANDLE_NONE};
    struct sim_node *server = sim_node_new(play->world, "s", NULL);
    struct sim_node *client = sim_node_new(play->world, "c", NULL);
    play->server_io = sim_loop_new(play->world, server, 0);
    play->client_io = sim_loop_new(play->world, client, 0);
    play->address = sim_node_address(server, 7000);
    mem_init(&play->mem, &play->server_io->ledger);
    struct net_loop_config loop = {.small_count = 4, .large_count = 2, .tick_ns = 250000000};
    CHECK(!err_is(net_loop_init(&play->loop, play->server_io, &play->mem, &loop)));
    struct net_server_config config = {.address = play->address,
        .listen_count = 1,
        .connection_max = 2,
        .request_max = 4,
        .pipeline_max = 3,
        .idle_timeout_ns = ten_seconds,
        .send_timeout_ns = ten_seconds,
        .handshake_timeout_ns = ten_seconds,
        .policy = {.secrets = &play->secrets, .server_role = SERVER_STORAGE},
        .on_request = on_request,
        .role = play};
    CHECK(!err_is(net_server_start(&play->server, &play->loop, &config)));
    owner_open(&play->owner, "peer", DIRECTION_OWN, 0);
    play->connect = (struct io_op){.kind = IO_CONNECT,
        .fd = IO_FD_NONE,
        .wake = done,
        .owner = &play->owner,
        .address = &play->address,
        .ret_handle = &play->socket};
    io_submit(play->client_io, &play->connect);
    CHECK(sim_world_run_until(play->world, is_connected, play, ten_seconds));
    CHECK(play->connect.result >= 0);
    listen_to_server(play);
}

static bool is_idle(void *context)
{
    struct play *play = context;
    while (play->parked_count > 0)
        answer_parked(play);
    return net_server_is_idle(&play->server) && net_loop_is_idle(&play->loop)
           && !io_op_is_out(&play->recv);
}

static void play_close(struct play *play)
{
    net_server_drain(&play->server);
    (void)sim_world_run_until(play->world, is_idle, play, UINT64_C(1000000000));
    io_cancel(play->client_io, &play->recv);
    io_handle_close(play->client_io, &play->socket);
    CHECK(sim_world_run_until(play->world, is_idle, play, UINT64_C(60000000000)));
    net_server_fini(&play->server);
    net_loop_fini(&play->loop);
    ledger_check_empty(&play->server_io->ledger);
    ledger_check_empty(&play->client_io->ledger);
    sim_loop_free(play->server_io);
    sim_loop_free(play->client_io);
    sim_world_free(play->world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play play;
    struct reader r = {.data = data, .size = size};
    play_open(&play);
    for (;;) {
        uint8_t kind = read_u8(&r);
        struct span piece = read_text(&r);
        if (r.failed)
            break;
        play_piece(&play, kind, piece);
    }
    play_close(&play);
    return 0;
}
