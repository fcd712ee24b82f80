/* The protocol on a simulated network: delays, little windows, short receives and sends, losses,
 * flipped bits, resets, clogs; two loops between which connections move. Whatever happens, every
 * call ends once, what is acknowledged was received right, and at the end nothing is held. */
#include "base/crc.h"
#include "sim/net.h"
#include "tests/unit/net/fixture.h"

enum { PEERS = 4, CALLS = 25, CONTENT_MAX = 1 << 20 };

static const char client_text[] = "the clients' secret 0123456789";
static uint8_t content[CONTENT_MAX];

struct story;

struct peer { /* a client that makes one call after the other, and connects again when it must */
    struct story *story;
    struct net_client client;
    struct net_call call;
    uint64_t size, sent, received;
    uint32_t started, ended, succeeded;
    uint8_t type;
    bool is_in_call, is_over;
    struct msg_uploaded uploaded;
};

struct story {
    struct sim_world *world;
    struct sim_node *server, *client;
    struct demo demos[2];
    struct io *io;
    struct mem mem;
    struct net_loop loop;
    struct secret secret;
    struct peer peers[PEERS];
    uint32_t over;
};

static void peer_next(struct peer *peer);
static void peer_connect(struct peer *peer);

static uint64_t draw(struct peer *peer, uint64_t below)
{
    return prng_below(sim_world_prng(peer->story->world), below);
}

static void peer_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct peer *peer = call->context;
    peer->received += data.size;
    if (frame->type == MSG_UPLOADED)
        EXPECT_OK(msg_uploaded_decode(meta, &peer->uploaded));
}

static void peer_sent(struct net_call *call)
{
    struct peer *peer = call->context;
    uint64_t size = 1 + draw(peer, 100000);
    if (peer->sent == peer->size)
        return;
    if (size > peer->size - peer->sent)
        size = peer->size - peer->sent;
    struct iovec piece = {content + peer->sent, size};
    peer->sent += size;
    net_call_send(call, &piece, 1, peer->sent < peer->size);
}

static void expect_right(const struct peer *peer)
{
    if (peer->type == MSG_UPLOAD) {
        EXPECT_EQ(peer->uploaded.size, peer->size);
        EXPECT_EQ(peer->uploaded.crc, crc32_update(0, content, peer->size));
    } else if (peer->type == MSG_FIND) {
        EXPECT_EQ(peer->received, peer->size);
    }
}

static void peer_end(struct net_call *call, err_t err)
{
    struct peer *peer = call->context;
    EXPECT(peer->is_in_call);
    peer->is_in_call = false;
    peer->ended++;
    if (!err_is(err)) {
        peer->succeeded++;
        expect_right(peer);
    }
    if (peer->started == CALLS)
        net_client_close(&peer->client);
    else if (!stream_is_lost(&peer->client.stream))
        peer_next(peer);
}

static void encode(struct peer *peer, struct writer *fields)
{
    if (peer->type == MSG_UPLOAD)
        msg_upload_encode(&(struct msg_upload){.pool = span_of_text("default")}, fields);
    else if (peer->type == MSG_FIND)
        msg_find_encode(&(struct msg_find){.offset = DEMO_CHUNK, .size = peer->size}, fields);
}

static void peer_next(struct peer *peer)
{
    static const uint8_t types[] = {MSG_PING, MSG_UPLOAD, MSG_FIND, MSG_LIST};
    peer->type = types[draw(peer, ARRAY_LEN(types))];
    peer->size = draw(peer, 2) ? draw(peer, CONTENT_MAX) : draw(peer, 3000);
    peer->received = 0;
    peer->sent = peer->size < 1000 ? peer->size : 1000;
    peer->call = (struct net_call){.on_frame = peer_frame,
        .on_end = peer_end,
        .on_sent = peer_sent,
        .context = peer,
        .deadline_ns = io_now(peer->story->io) + UINT64_C(60000000000)};
    struct writer fields = net_call_begin(&peer->call);
    encode(peer, &fields);
    bool has_body = peer->type == MSG_UPLOAD;
    struct iovec piece = {content, peer->sent};
    peer->started++;
    peer->is_in_call = true;
    EXPECT_OK(net_call_start(&peer->client, &peer->call, peer->type,
        has_body && peer->sent < peer->size ? FRAME_MORE : 0, &fields, &piece, has_body ? 1 : 0));
}

static void peer_closed(struct net_client *client, err_t err)
{
    struct peer *peer = CONTAINER_OF(client, struct peer, client);
    (void)err;
    EXPECT(!peer->is_in_call);
    if (peer->started < CALLS) {
        peer_connect(peer);
    } else {
        peer->is_over = true;
        peer->story->over++;
    }
}

static void peer_connect(struct peer *peer)
{
    struct story *story = peer->story;
    struct net_client_config config = {.address = story->demos[draw(peer, 2)].server.address,
        .secret = &story->secret,
        .role = ROLE_CLIENT,
        .direction = DIRECTION_OWN,
        .call_max = 2,
        .connect_timeout_ns = UINT64_C(5000000000),
        .send_timeout_ns = UINT64_C(20000000000),
        .on_closed = peer_closed};
    EXPECT_OK(net_client_start(&peer->client, &story->loop, &config));
    peer_next(peer);
}

static void story_open(struct story *story, uint64_t seed)
{
    *story = (struct story){.world = sim_world_new(seed)};
    struct sim_net_options *net = sim_world_net(story->world);
    sim_net_options_draw(net, sim_world_prng(story->world));
    if (seed % 3 == 0)
        net->corrupt_per_million = 200;
    story->server = sim_node_new(story->world, "s1", NULL);
    story->client = sim_node_new(story->world, "c1", NULL);
    for (uint16_t i = 0; i < 2; i++) {
        struct io_address address = sim_node_address(story->server, (uint16_t)(7000 + i));
        demo_open_on(&story->demos[i], sim_loop_new(story->world, story->server, i), &address,
            &(struct demo_options){.client_secret = client_text,
                .connection_max = 3,
                .request_max = 5,
                .small_count = 5,
                .large_count = 2,
                .idle_ns = UINT64_C(20000000000),
                .send_ns = UINT64_C(20000000000),
                .tick_ns = 250000000});
    }
    for (size_t i = 0; i < 2; i++) {
        story->demos[i].other = &story->demos[1 - i].server;
        story->demos[i].bounce = true;
    }
    story->io = sim_loop_new(story->world, story->client, 0);
    mem_init(&story->mem, &story->io->ledger);
    EXPECT_OK(secret_read(span_of_text(client_text), &story->secret));
    EXPECT_OK(net_loop_init(&story->loop, story->io, &story->mem,
        &(struct net_loop_config){.small_count = 8, .large_count = 4, .tick_ns = 250000000}));
}

static bool is_idle(void *context)
{
    struct story *story = context;
    for (size_t i = 0; i < 2; i++)
        if (!net_server_is_idle(&story->demos[i].server)
            || !net_loop_is_idle(&story->demos[i].loop))
            return false;
    return net_loop_is_idle(&story->loop);
}

static void story_close(struct story *story)
{
    for (size_t i = 0; i < 2; i++)
        net_server_drain(&story->demos[i].server);
    EXPECT(sim_world_run_until(story->world, is_idle, story, UINT64_C(120000000000)));
    for (size_t i = 0; i < 2; i++) {
        demo_fini(&story->demos[i]);
        sim_loop_free(story->demos[i].io);
    }
    net_loop_fini(&story->loop);
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
    struct prng *prng = sim_world_prng(story->world);
    switch (prng_below(prng, 4)) {
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

/* Returns how many calls succeeded. */
static uint32_t story_run(uint64_t seed, uint64_t *ret_hash)
{
    static struct story story;
    uint32_t succeeded = 0;
    pattern_fill(content, sizeof content, seed);
    story_open(&story, seed);
    for (size_t i = 0; i < PEERS; i++) {
        story.peers[i].story = &story;
        peer_connect(&story.peers[i]);
    }
    for (int round = 0; round < 2000 && !all_over(&story); round++) {
        (void)sim_world_run_until(story.world, all_over, &story, UINT64_C(3000000000));
        disturb(&story);
    }
    EXPECT(all_over(&story));
    for (size_t i = 0; i < PEERS; i++) {
        EXPECT_EQ(story.peers[i].ended, CALLS);
        succeeded += story.peers[i].succeeded;
    }
    *ret_hash = sim_world_hash(story.world);
    story_close(&story);
    return succeeded;
}

TEST(whatever_the_network_does_every_call_ends_once_and_nothing_is_held)
{
    uint64_t hash, succeeded = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        (void)fprintf(stderr, "  seed %llu\n", (unsigned long long)seed);
        succeeded += story_run(seed, &hash);
    }
    EXPECT(succeeded > 30 * PEERS * CALLS / 4);
}

TEST(the_same_seed_tells_the_same_story)
{
    uint64_t first, second;
    EXPECT_EQ(story_run(5, &first), story_run(5, &second));
    EXPECT_EQ(first, second);
}
