/* FastDFS's connections on a simulated network: delays, little windows, short receives and sends, losses,
 * resets, clogs; two loops between which connections move. Whatever happens, what is answered well was
 * received right, every request ends once, and at the end nothing is held. */
#include "base/crc.h"
#include "net/fdfs_server.h"
#include "sim/net.h"
#include "tests/lib/test.h"
#include "wire/fdfs_answer.h"

enum { PEERS = 4, REQUESTS = 25, CONTENT_MAX = 300000, HEAD_MAX = 64, SIDES = 2 };

static uint8_t content[CONTENT_MAX];

struct side {
    struct io *io;
    struct mem mem;
    struct net_loop loop;
    struct fdfs_server server;
    struct fdfs_server *other; /* where contents with the suffix "move" go; NULL: nowhere */
    uint32_t begun, ended;
    struct sink { /* a content that is coming */
        uint64_t size;
        uint32_t crc;
    } sinks[16];
};

struct story;

struct peer { /* a client that makes one request after the other, and connects again when it must */
    struct story *story;
    struct owner owner;
    struct io_handle socket;
    struct io_op op;
    struct io_address address;
    struct iovec iov[2];
    uint64_t size, at, received; /* of the content; bytes of head and content that are out; in */
    size_t head_size;
    uint8_t command, head[HEAD_MAX], answer[FDFS_HEADER_SIZE + CONTENT_MAX];
    uint32_t started, succeeded, busy;
};

struct story {
    struct sim_world *world;
    struct sim_node *server, *client;
    struct side sides[SIDES];
    struct io *io;
    struct peer peers[PEERS];
    uint32_t over;
};

/* ---- the role ---- */

static struct sink *sink_open(struct side *side)
{
    struct sink *sink = side->sinks;
    while (sink->size != UINT64_MAX)
        sink++;
    *sink = (struct sink){0};
    return sink;
}

static void finish(struct fdfs_request *request, uint8_t status, struct span body)
{
    struct side *side = request->server->config.role;
    side->ended++;
    fdfs_reply(request, status, body);
    fdfs_request_end(request);
}

static void take(struct exchange *exchange)
{
    struct fdfs_request *request = fdfs_request_of(exchange);
    struct side *side = request->server->config.role;
    struct sink *sink = exchange->op;
    uint8_t bytes[12];
    if (err_is(exchange->body_err)) {
        sink->size = UINT64_MAX;
        side->ended++;
        exchange_end(exchange);
        return;
    }
    sink->crc = crc32_update(sink->crc, exchange->data.data, exchange->data.size);
    sink->size += exchange->data.size;
    if (exchange->has_more) {
        exchange_next_data(exchange, take);
        return;
    }
    put_u64_be(bytes, sink->size);
    put_u32_be(bytes + 8, sink->crc);
    sink->size = UINT64_MAX;
    finish(request, FDFS_OK, span_of(bytes, sizeof bytes));
}

static void sent_all(struct exchange *exchange, err_t err)
{
    struct side *side = fdfs_request_of(exchange)->server->config.role;
    (void)err;
    side->ended++;
    exchange_end(exchange);
}

static void on_request(struct fdfs_server *server, struct fdfs_request *request)
{
    struct side *side = server->config.role;
    const struct fdfs_head *head = &request->head;
    if (span_equals_text(head->suffix, "move") && side->other) {
        fdfs_request_move(request, side->other);
        return;
    }
    side->begun++;
    if (head->command == FDFS_DOWNLOAD) {
        fdfs_reply_begin(request, head->size, span_of(content, (size_t)head->size), sent_all);
    } else if (head->command == FDFS_UPLOAD && request->exchange.has_more) {
        request->exchange.op = sink_open(side);
        exchange_next_data(&request->exchange, take);
    } else {
        finish(request, FDFS_OK, span_of(NULL, 0));
    }
}

/* ---- the clients ---- */

static void begin(struct peer *peer);
static void talk(struct io_op *op);

static uint64_t draw(const struct peer *peer, uint64_t below)
{
    return prng_below(sim_world_prng(peer->story->world), below);
}

static void make_head(struct peer *peer)
{
    struct writer w = {peer->head, sizeof peer->head, FDFS_HEADER_SIZE, false};
    bool moves = draw(peer, 2) == 0;
    if (peer->command == FDFS_UPLOAD) {
        write_u8(&w, 0);
        fdfs_write_number(&w, peer->size);
        fdfs_write_padded(&w, span_of_text(moves ? "move" : "stay"), FDFS_SUFFIX_SIZE);
    } else if (peer->command == FDFS_DOWNLOAD) {
        fdfs_write_number(&w, 0);
        fdfs_write_number(&w, peer->size);
        fdfs_write_padded(&w, span_of_text("g"), FDFS_GROUP_SIZE);
        write_u8(&w, 'n');
    }
    EXPECT(!w.failed);
    peer->head_size = w.size;
    uint64_t sent = peer->command == FDFS_UPLOAD ? peer->size : 0;
    put_u64_be(peer->head, w.size - FDFS_HEADER_SIZE + sent);
    peer->head[8] = peer->command;
    peer->head[9] = 0;
}

static void submit(struct peer *peer, struct io_op op)
{
    op.owner = &peer->owner;
    op.context = peer;
    op.fd = op.kind == IO_CONNECT ? IO_FD_NONE : peer->socket.fd;
    op.deadline_ns = io_now(peer->story->io) + UINT64_C(30000000000);
    peer->op = op;
    io_submit(peer->story->io, &peer->op);
}

/* The connection is of no use any more. */
static void drop(struct peer *peer)
{
    io_handle_close(peer->story->io, &peer->socket);
    begin(peer);
}

static uint64_t to_send(const struct peer *peer)
{
    return peer->head_size + (peer->command == FDFS_UPLOAD ? peer->size : 0);
}

static void go_on(struct peer *peer)
{
    if (peer->at == to_send(peer)) {
        peer->iov[0] = (struct iovec){
            peer->answer + peer->received, sizeof peer->answer - (size_t)peer->received};
        submit(
            peer, (struct io_op){.kind = IO_RECV, .wake = talk, .iov = peer->iov, .iov_count = 1});
        return;
    }
    bool is_head = peer->at < peer->head_size;
    const uint8_t *from = is_head ? peer->head + peer->at : content + peer->at - peer->head_size;
    uint64_t end = is_head ? peer->head_size : to_send(peer);
    peer->iov[0] = (struct iovec){(void *)(uintptr_t)from, (size_t)(end - peer->at)};
    submit(peer, (struct io_op){.kind = IO_SEND, .wake = talk, .iov = peer->iov, .iov_count = 1});
}

static void expect_right(struct peer *peer)
{
    const uint8_t *body = peer->answer + FDFS_HEADER_SIZE;
    uint64_t size = get_u64_be(peer->answer);
    EXPECT_EQ(peer->answer[8], FDFS_ANSWER);
    if (peer->answer[9] == FDFS_EBUSY) { /* no room */
        EXPECT_EQ(size, 0);
        peer->busy++;
        return;
    }
    EXPECT_EQ(peer->answer[9], FDFS_OK);
    peer->succeeded++;
    if (peer->command == FDFS_DOWNLOAD) {
        EXPECT_EQ(size, peer->size);
        EXPECT(memcmp(body, content, (size_t)size) == 0);
    } else if (peer->command == FDFS_UPLOAD && peer->size > 0) {
        EXPECT_EQ(get_u64_be(body), peer->size);
        EXPECT_EQ(get_u32_be(body + 8), crc32_update(0, content, (size_t)peer->size));
    } else {
        EXPECT_EQ(size, 0);
    }
}

static void talk(struct io_op *op)
{
    struct peer *peer = op->context;
    bool is_send = op->kind == IO_SEND;
    if (op->result <= 0) {
        drop(peer);
        return;
    }
    *(is_send ? &peer->at : &peer->received) += (uint64_t)op->result;
    bool is_whole = !is_send && peer->received >= FDFS_HEADER_SIZE
                    && peer->received >= FDFS_HEADER_SIZE + get_u64_be(peer->answer);
    if (!is_whole) {
        go_on(peer);
        return;
    }
    EXPECT_EQ(peer->received, FDFS_HEADER_SIZE + get_u64_be(peer->answer));
    expect_right(peer);
    begin(peer);
}

static void connected(struct io_op *op)
{
    struct peer *peer = op->context;
    if (op->result < 0)
        drop(peer);
    else
        go_on(peer);
}

static void begin(struct peer *peer)
{
    static const uint8_t commands[] = {FDFS_PING, FDFS_UPLOAD, FDFS_UPLOAD, FDFS_DOWNLOAD};
    struct story *story = peer->story;
    if (peer->started++ == REQUESTS) {
        io_handle_close(story->io, &peer->socket);
        story->over++;
        return;
    }
    peer->command = commands[draw(peer, ARRAY_LEN(commands))];
    peer->size = draw(peer, 2) ? draw(peer, CONTENT_MAX) : draw(peer, 3000);
    peer->at = peer->received = 0;
    make_head(peer);
    if (peer->socket.fd >= 0 && draw(peer, 8) != 0) {
        go_on(peer);
        return;
    }
    io_handle_close(story->io, &peer->socket);
    peer->address = story->sides[draw(peer, SIDES)].server.config.exchange.address;
    submit(peer, (struct io_op){.kind = IO_CONNECT,
                     .wake = connected,
                     .address = &peer->address,
                     .ret_handle = &peer->socket,
                     .handle_life = LIFE_CONNECTION});
}

/* ---- the story ---- */

static void side_open(struct story *story, uint16_t index)
{
    struct side *side = &story->sides[index];
    side->io = sim_loop_new(story->world, story->server, index);
    mem_init(&side->mem, &side->io->ledger);
    for (size_t i = 0; i < ARRAY_LEN(side->sinks); i++)
        side->sinks[i].size = UINT64_MAX;
    EXPECT_OK(net_loop_init(&side->loop, side->io, &side->mem,
        &(struct net_loop_config){.small_count = 6, .large_count = 3, .tick_ns = 250000000}));
    EXPECT_OK(fdfs_server_start(&side->server, &side->loop,
        &(struct fdfs_server_config){
            .exchange = {.address = sim_node_address(story->server, (uint16_t)(7000 + index)),
                .listen_count = 1,
                .connection_max = 3,
                .idle_timeout_ns = UINT64_C(20000000000),
                .head_timeout_ns = UINT64_C(20000000000),
                .send_timeout_ns = UINT64_C(20000000000)},
            .on_request = on_request,
            .role = side}));
}

static void story_open(struct story *story, uint64_t seed)
{
    *story = (struct story){.world = sim_world_new(seed)};
    sim_net_options_draw(sim_world_net(story->world), sim_world_prng(story->world));
    story->server = sim_node_new(story->world, "s1", NULL);
    story->client = sim_node_new(story->world, "c1", NULL);
    for (uint16_t i = 0; i < SIDES; i++)
        side_open(story, i);
    story->sides[0].other = &story->sides[1].server;
    story->io = sim_loop_new(story->world, story->client, 0);
    for (size_t i = 0; i < PEERS; i++) {
        struct peer *peer = &story->peers[i];
        peer->story = story;
        peer->socket = IO_HANDLE_NONE;
        owner_open(&peer->owner, "peer", DIRECTION_OWN, io_now(story->io));
        begin(peer);
    }
}

static bool is_idle(void *context)
{
    struct story *story = context;
    for (size_t i = 0; i < SIDES; i++)
        if (!fdfs_server_is_idle(&story->sides[i].server)
            || !net_loop_is_idle(&story->sides[i].loop))
            return false;
    return true;
}

static void story_close(struct story *story)
{
    for (size_t i = 0; i < SIDES; i++)
        fdfs_server_drain(&story->sides[i].server);
    EXPECT(sim_world_run_until(story->world, is_idle, story, UINT64_C(120000000000)));
    for (size_t i = 0; i < SIDES; i++) {
        struct side *side = &story->sides[i];
        EXPECT_EQ(side->begun, side->ended);
        fdfs_server_fini(&side->server);
        net_loop_fini(&side->loop);
        ledger_check_empty(&side->io->ledger);
        sim_loop_free(side->io);
    }
    for (size_t i = 0; i < PEERS; i++)
        owner_close(&story->peers[i].owner);
    ledger_check_empty(&story->io->ledger);
    sim_loop_free(story->io);
    EXPECT_EQ(sim_net_connection_count(story->world), 0);
    sim_world_free(story->world);
}

static bool all_over(void *context)
{
    return ((struct story *)context)->over == PEERS;
}

static void disturb(struct story *story)
{
    switch (prng_below(sim_world_prng(story->world), 4)) {
    case 0:
        sim_net_reset(story->client, story->server);
        break;
    case 1:
        sim_net_clog(story->server, story->client, UINT64_C(1000000000));
        break;
    case 2:
        sim_net_clog(story->client, story->server, UINT64_C(1000000000));
        break;
    default:
        break;
    }
}

/* Returns how many requests were answered well. */
static uint32_t story_run(uint64_t seed, uint64_t *ret_hash)
{
    static struct story story;
    struct prng prng;
    uint32_t succeeded = 0;
    prng_init(&prng, seed);
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)prng_next(&prng);
    story_open(&story, seed);
    for (int round = 0; round < 2000 && !all_over(&story); round++) {
        (void)sim_world_run_until(story.world, all_over, &story, UINT64_C(3000000000));
        disturb(&story);
    }
    EXPECT(all_over(&story));
    for (size_t i = 0; i < PEERS; i++)
        succeeded += story.peers[i].succeeded;
    *ret_hash = sim_world_hash(story.world);
    story_close(&story);
    return succeeded;
}

TEST(whatever_the_network_does_answers_are_right_and_nothing_is_held)
{
    uint64_t hash, succeeded = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        (void)fprintf(stderr, "  seed %llu\n", (unsigned long long)seed);
        succeeded += story_run(seed, &hash);
    }
    EXPECT(succeeded > 30 * PEERS * REQUESTS / 4);
}

TEST(the_same_seed_tells_the_same_story)
{
    uint64_t first, second;
    EXPECT_EQ(story_run(5, &first), story_run(5, &second));
    EXPECT_EQ(first, second);
}
