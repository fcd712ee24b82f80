#include <pthread.h>
#include <stdatomic.h>

#include "base/crc.h"
#include "tests/unit/net/fixture.h"

static struct raw raw;
static uint8_t space[4 << 20], content[1 << 20];
static struct bytes bytes;

static void open_pair(struct demo *from, struct demo *to, const struct demo_options *to_options)
{
    demo_open(from, &(struct demo_options){});
    demo_open(to, to_options);
    from->other = &to->server;
    raw_open(&raw, from);
    raw_handshake(&raw, ROLE_NODE);
    bytes = (struct bytes){.data = space, .capacity = sizeof space};
    pattern_fill(content, sizeof content, 9);
}

static void close_pair(struct demo *from, struct demo *to)
{
    raw_close(&raw);
    TURN_UNTIL(from->server.acceptor.connection_count + to->server.acceptor.connection_count == 0);
    demo_close(from);
    demo_close(to);
}

static void send_bytes(void)
{
    raw_send(&raw, bytes.data, bytes.size);
    bytes.size = 0;
}

static void expect_frame(uint8_t type, uint64_t id)
{
    struct frame frame;
    struct span meta, data;
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, type);
    EXPECT_EQ(frame.request, id);
}

static void add_list(uint64_t id, size_t size)
{
    bytes_frame(&bytes, MSG_LIST, 0, id, span_of(NULL, 0), span_of(content, size));
}

TEST(a_connection_moves_with_its_request_and_stays_there)
{
    struct demo from, to;
    open_pair(&from, &to, &(struct demo_options){});
    add_list(1, 100);
    send_bytes();
    expect_frame(MSG_LISTED, 1);
    TURN_UNTIL(from.server.acceptor.connection_count == 0);
    EXPECT_EQ(to.server.acceptor.connection_count, 1);
    EXPECT_EQ(to.moved_in_count, 1);
    bytes_ping(&bytes, 2);
    send_bytes();
    expect_frame(MSG_PONG, 2);
    EXPECT_EQ(to.request_count, 2);
    EXPECT_EQ(from.request_count, 1);
    EXPECT_EQ(from.io->ledger.count[HELD_CONN], 0);
    EXPECT_EQ(to.io->ledger.count[HELD_CONN], 1);
    EXPECT_EQ(to.io->ledger.count[HELD_FD], 2); /* the listener and the one that came */
    close_pair(&from, &to);
}

TEST(what_was_read_ahead_moves_too)
{
    struct demo from, to;
    open_pair(&from, &to, &(struct demo_options){});
    add_list(1, 100);
    for (uint64_t id = 2; id < 200; id++)
        bytes_ping(&bytes, id);
    bytes.size -= 5; /* and a part of a frame */
    uint8_t rest[5];
    memcpy(rest, bytes.data + bytes.size, sizeof rest);
    send_bytes();
    expect_frame(MSG_LISTED, 1);
    for (uint64_t id = 2; id < 199; id++)
        expect_frame(MSG_PONG, id);
    raw_send(&raw, rest, sizeof rest);
    expect_frame(MSG_PONG, 199);
    EXPECT_EQ(to.request_count, 199);
    close_pair(&from, &to);
}

TEST(it_moves_when_its_other_requests_have_ended)
{
    struct demo from, to;
    open_pair(&from, &to, &(struct demo_options){});
    bytes_stat(&bytes, 1);
    add_list(2, 100);
    bytes_ping(&bytes, 3);
    send_bytes();
    TURN_UNTIL(from.request_count == 2);
    for (int i = 0; i < 50; i++)
        fixture_turn();
    EXPECT_EQ(to.request_count, 0);
    demo_answer_parked(&from, 0);
    expect_frame(MSG_STATED, 1);
    expect_frame(MSG_LISTED, 2);
    expect_frame(MSG_PONG, 3);
    close_pair(&from, &to);
}

TEST(a_large_frame_moves_whole)
{
    struct demo from, to;
    struct frame frame;
    struct span meta, data;
    struct msg_listed listed;
    open_pair(&from, &to, &(struct demo_options){});
    add_list(1, 200000);
    send_bytes();
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_OK(msg_listed_decode(meta, &listed));
    EXPECT_EQ(listed.count, 200000);
    close_pair(&from, &to);
}

TEST(an_open_body_moves_and_goes_on)
{
    struct demo from, to;
    struct frame frame;
    struct span meta, data;
    struct msg_uploaded uploaded;
    uint8_t fields[512];
    struct writer w = {.data = fields, .capacity = sizeof fields};
    open_pair(&from, &to, &(struct demo_options){});
    msg_upload_encode(&(struct msg_upload){.pool = span_of_text("default")}, &w);
    bytes_frame(&bytes, MSG_MODIFY, FRAME_MORE, 1, span_of(fields, w.size), span_of(content, 3000));
    bytes_frame(&bytes, MSG_DATA, FRAME_MORE, 1, span_of(NULL, 0), span_of(content + 3000, 200000));
    bytes_frame(&bytes, MSG_DATA, 0, 1, span_of(NULL, 0), span_of(content + 203000, 1000));
    send_bytes();
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_UPLOADED);
    EXPECT_OK(msg_uploaded_decode(meta, &uploaded));
    EXPECT_EQ(uploaded.size, 204000);
    EXPECT_EQ(uploaded.crc, crc32_update(0, content, 204000));
    EXPECT_EQ(to.request_count, 1);
    close_pair(&from, &to);
}

static void expect_refused(const struct demo_options *options, void (*fill)(struct demo *to))
{
    struct demo from, to;
    open_pair(&from, &to, options);
    if (fill)
        fill(&to);
    add_list(1, 100);
    bytes_ping(&bytes, 2);
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_BUSY);
    expect_frame(MSG_PONG, 2);
    EXPECT_EQ(from.server.acceptor.connection_count, 1);
    EXPECT_EQ(to.moved_in_count, 0);
    TURN_UNTIL(to.server.acceptor.connection_count == 0 || fill == NULL);
    net_server_cut(&from.server); /* before `to`, which it names */
    close_pair(&from, &to);
}

static void fill_by_drain(struct demo *to)
{
    net_server_drain(&to->server);
}

static void refuse_slots(struct demo *to)
{
    to->io->ledger.limit[HELD_SLOT] = 2; /* the connection, the unread bytes, and no more */
}

TEST(without_room_there_the_answer_is_busy_and_the_connection_stays)
{
    expect_refused(&(struct demo_options){}, fill_by_drain);
    expect_refused(&(struct demo_options){}, refuse_slots);
}

/* Every acquisition on the other side refused in turn: the peer hears BUSY or the answer. */
static bool moved_with_refusal(uint64_t countdown)
{
    struct demo from, to;
    struct frame frame;
    struct span meta, data;
    open_pair(&from, &to, &(struct demo_options){});
    to.io->ledger.refusal = (struct refusal){.countdown = countdown};
    add_list(1, 100);
    bytes_ping(&bytes, 2);
    send_bytes();
    if (raw_frame(&raw, &frame, &meta, &data)) {
        EXPECT_EQ(frame.request, 1);
        EXPECT_EQ(frame.type, to.moved_in_count ? MSG_LISTED : MSG_ERROR);
    }
    bool fired = to.io->ledger.refusal.fired;
    to.io->ledger.refusal = (struct refusal){};
    close_pair(&from, &to);
    return fired;
}

TEST(every_acquisition_of_a_move_may_be_refused)
{
    uint64_t n = 1;
    while (moved_with_refusal(n))
        n++;
    EXPECT(n > 4);
}

TEST(a_client_may_vanish_while_it_moves)
{
    for (int turns = 0; turns < 12; turns++) {
        struct demo from, to;
        open_pair(&from, &to, &(struct demo_options){});
        add_list(1, 100);
        raw_send(&raw, bytes.data, bytes.size);
        for (int i = 0; i < turns; i++)
            fixture_turn();
        close_pair(&from, &to);
    }
}

TEST(a_cut_while_it_moves_leaks_nothing)
{
    for (int turns = 0; turns < 12; turns++) {
        struct demo from, to;
        open_pair(&from, &to, &(struct demo_options){});
        add_list(1, 100);
        raw_send(&raw, bytes.data, bytes.size);
        for (int i = 0; i < turns; i++)
            io_turn(i % 3 ? from.io : to.io, false);
        net_server_cut(&from.server);
        TURN_UNTIL(net_server_is_idle(&from.server));
        demo_close(&from);
        raw_close(&raw);
        TURN_UNTIL(to.server.acceptor.connection_count == 0);
        demo_close(&to);
    }
}

/* ---- under load, each loop in its own thread ---- */

enum { PLAYERS = 8, CALLS = 300 };

struct player { /* a client on a loop of its own; every third call makes its connection move */
    struct net_client client;
    struct net_call call;
    uint64_t answered, failed;
    bool is_closed;
};

struct side {
    struct demo demo;
    atomic_bool is_over;
};

static void *turn_side(void *context)
{
    struct side *side = context;
    while (!atomic_load(&side->is_over))
        io_turn(side->demo.io, false);
    net_server_cut(&side->demo.server); /* a ring is turned by one thread only: to its end */
    while (!net_server_is_idle(&side->demo.server) || !net_loop_is_idle(&side->demo.loop))
        io_turn(side->demo.io, false);
    return NULL;
}

static void player_next(struct player *player);

static void player_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    (void)call, (void)frame, (void)meta, (void)data;
}

static void player_end(struct net_call *call, err_t err)
{
    struct player *player = call->context;
    if (err_is(err))
        player->failed++;
    else
        player->answered++;
    if (player->answered + player->failed < CALLS)
        player_next(player);
    else
        net_client_close(&player->client);
}

static void player_next(struct player *player)
{
    bool moves = (player->answered + player->failed) % 3 == 2;
    player->call =
        (struct net_call){.on_frame = player_frame, .on_end = player_end, .context = player};
    struct writer fields = net_call_begin(&player->call);
    err_t err = net_call_start(
        &player->client, &player->call, moves ? MSG_LIST : MSG_PING, 0, &fields, NULL, 0);
    EXPECT_OK(err);
}

static void player_closed(struct net_client *client, err_t err)
{
    (void)err;
    CONTAINER_OF(client, struct player, client)->is_closed = true;
}

static void players_play(struct demo *home, struct player *players, const struct side *sides)
{
    for (size_t i = 0; i < PLAYERS; i++) {
        struct net_client_config config = {.address = sides[i % 2].demo.server.address,
            .role = ROLE_CLIENT,
            .direction = DIRECTION_OWN,
            .call_max = 4,
            .connect_timeout_ns = UINT64_C(10000000000),
            .send_timeout_ns = UINT64_C(10000000000),
            .on_closed = player_closed};
        EXPECT_OK(net_client_start(&players[i].client, &home->loop, &config));
        player_next(&players[i]);
    }
    for (size_t i = 0; i < PLAYERS; i++)
        TURN_UNTIL(players[i].is_closed);
}

TEST(connections_move_to_and_fro_under_load)
{
    static struct side sides[2];
    static struct player players[PLAYERS];
    static struct demo home;
    pthread_t threads[2];
    uint64_t answered = 0;
    for (size_t i = 0; i < 2; i++) {
        demo_open(&sides[i].demo, &(struct demo_options){});
        demo_hide(&sides[i].demo); /* turned by its own thread */
    }
    sides[0].demo.bounce = sides[1].demo.bounce = true;
    sides[0].demo.other = &sides[1].demo.server;
    sides[1].demo.other = &sides[0].demo.server;
    demo_open(&home, &(struct demo_options){});
    for (size_t i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, turn_side, &sides[i]), 0);
    players_play(&home, players, sides);
    for (size_t i = 0; i < 2; i++)
        atomic_store(&sides[i].is_over, true);
    for (size_t i = 0; i < 2; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < PLAYERS; i++)
        answered += players[i].answered;
    EXPECT_EQ(answered, PLAYERS * CALLS);
    EXPECT(sides[0].demo.moved_in_count > 10 && sides[1].demo.moved_in_count > 10);
    demo_close(&sides[0].demo);
    demo_close(&sides[1].demo);
    demo_close(&home);
}
