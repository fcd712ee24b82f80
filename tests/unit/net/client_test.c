#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc.h"
#include "tests/unit/net/fixture.h"

static const char client_text[] = "the clients' secret 0123456789";
static const char node_text[] = "the nodes' secret 9876543210 abcdef";

/* ---- a caller that counts ---- */

enum { CALL_COUNT = 1000, CHUNK = 200000 };
static uint8_t content[10 << 20];

struct caller { /* one call, and what came of it */
    struct net_call call;
    uint64_t received; /* bytes of reply data */
    uint32_t frames, ends;
    uint8_t type; /* of the last reply frame */
    struct msg_uploaded uploaded;
    err_t err;
    uint64_t sent, size; /* of an upload */
    bool is_stalling;    /* never sends the rest */
};
static struct caller callers[CALL_COUNT];

struct peer { /* the client, and what came of it */
    struct net_client client;
    uint32_t ready, closed;
    err_t err;
};
static struct peer peer;

static void on_ready(struct net_client *client)
{
    ((struct peer *)client->config.context)->ready++;
}

static void on_closed(struct net_client *client, err_t err)
{
    struct peer *closed = client->config.context;
    closed->closed++;
    closed->err = err;
}

static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct caller *caller = call->context;
    caller->frames++;
    caller->type = frame->type;
    caller->received += data.size;
    if (frame->type == MSG_UPLOADED)
        EXPECT_OK(msg_uploaded_decode(meta, &caller->uploaded));
}

static void on_end(struct net_call *call, err_t err)
{
    struct caller *caller = call->context;
    caller->ends++;
    caller->err = err;
}

static void on_sent(struct net_call *call)
{
    struct caller *caller = call->context;
    if (caller->is_stalling || caller->sent == caller->size)
        return;
    uint64_t size = caller->size - caller->sent < CHUNK ? caller->size - caller->sent : CHUNK;
    struct iovec piece = {content + caller->sent, size};
    caller->sent += size;
    net_call_send(call, &piece, 1, caller->sent < caller->size);
}

static struct writer begin(struct caller *caller)
{
    *caller = (struct caller){
        .call = {.on_frame = on_frame, .on_end = on_end, .on_sent = on_sent, .context = caller}};
    return net_call_begin(&caller->call);
}

static err_t start_plain(struct caller *caller, uint8_t type)
{
    struct writer fields = begin(caller);
    if (type == MSG_STAT)
        msg_stat_encode(&(struct msg_stat){}, &fields);
    return net_call_start(&peer.client, &caller->call, type, 0, &fields, NULL, 0);
}

static err_t start_upload(struct caller *caller, const char *pool, uint64_t size)
{
    struct writer fields = begin(caller);
    caller->size = size;
    caller->sent = size < CHUNK ? size : CHUNK;
    struct iovec piece = {content, caller->sent};
    msg_upload_encode(&(struct msg_upload){.pool = span_of_text(pool)}, &fields);
    return net_call_start(&peer.client, &caller->call, MSG_UPLOAD,
        caller->sent < size ? FRAME_MORE : 0, &fields, &piece, 1);
}

static err_t start_find(struct caller *caller, uint64_t size)
{
    struct writer fields = begin(caller);
    msg_find_encode(&(struct msg_find){.offset = DEMO_CHUNK, .size = size}, &fields);
    return net_call_start(&peer.client, &caller->call, MSG_FIND, 0, &fields, NULL, 0);
}

static struct net_client_config config_for(const struct demo *demo)
{
    return (struct net_client_config){.address = demo->server.address,
        .role = ROLE_CLIENT,
        .direction = DIRECTION_OWN,
        .call_max = CALL_COUNT,
        .connect_timeout_ns = UINT64_C(5000000000),
        .send_timeout_ns = UINT64_C(5000000000),
        .on_ready = on_ready,
        .on_closed = on_closed,
        .context = &peer};
}

static void open_both(struct demo *demo, const struct demo_options *options)
{
    demo_open(demo, options);
    peer = (struct peer){};
    struct net_client_config config = config_for(demo);
    EXPECT_OK(net_client_start(&peer.client, &demo->loop, &config));
}

static void close_both(struct demo *demo)
{
    net_client_close(&peer.client);
    TURN_UNTIL(peer.closed == 1);
    demo_close(demo);
}

/* Start with another secret, role or address; the error that on_closed() gave, OK if it got ready. */
static err_t try_connect(struct demo *demo, const char *text, enum node_role role)
{
    struct secret secret = {};
    if (text)
        EXPECT_OK(secret_read(span_of_text(text), &secret));
    struct net_client_config config = config_for(demo);
    config.secret = &secret;
    config.role = role;
    peer = (struct peer){};
    EXPECT_OK(net_client_start(&peer.client, &demo->loop, &config));
    TURN_UNTIL(peer.ready || peer.closed);
    err_t err = peer.err;
    net_client_close(&peer.client);
    TURN_UNTIL(peer.closed);
    return err;
}

/* ---- tests ---- */

TEST(calls_started_before_the_handshake_are_answered_after_it)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    for (size_t i = 0; i < 3; i++)
        EXPECT_OK(start_plain(&callers[i], MSG_PING));
    TURN_UNTIL(callers[0].ends && callers[1].ends && callers[2].ends);
    for (size_t i = 0; i < 3; i++) {
        EXPECT_OK(callers[i].err);
        EXPECT_EQ(callers[i].type, MSG_PONG);
        EXPECT_EQ(callers[i].frames, 1);
    }
    EXPECT_EQ(peer.ready, 1);
    EXPECT_EQ(peer.client.handshake.welcome.machine, 7);
    close_both(&demo);
    EXPECT_ERR(peer.err, CANCELLED);
}

TEST(a_thousand_calls_at_one_time_all_end_once)
{
    struct demo demo;
    uint64_t ends = 0;
    open_both(&demo, &(struct demo_options){});
    for (size_t i = 0; i < CALL_COUNT; i++)
        EXPECT_OK(start_plain(&callers[i], MSG_PING));
    struct caller extra;
    EXPECT_ERR(start_plain(&extra, MSG_PING), BUSY);
    TURN_UNTIL(peer.client.call_count == 0);
    for (size_t i = 0; i < CALL_COUNT; i++) {
        EXPECT_OK(callers[i].err);
        ends += callers[i].ends;
    }
    EXPECT_EQ(ends, CALL_COUNT);
    close_both(&demo);
}

TEST(replies_find_their_calls_in_any_order)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    for (size_t i = 0; i < 3; i++)
        EXPECT_OK(start_plain(&callers[i], MSG_STAT));
    TURN_UNTIL(demo.parked_count == 3);
    demo_answer_parked(&demo, 1);
    TURN_UNTIL(callers[1].ends);
    EXPECT(!callers[0].ends && !callers[2].ends);
    demo_answer_parked(&demo, 0);
    TURN_UNTIL(callers[0].ends);
    EXPECT(!callers[2].ends);
    demo_answer_parked(&demo, 0);
    TURN_UNTIL(callers[2].ends);
    close_both(&demo);
}

TEST(an_upload_of_10_mb_is_pushed_frame_by_frame)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    pattern_fill(content, sizeof content, 1);
    EXPECT_OK(start_upload(&callers[0], "default", sizeof content));
    EXPECT_OK(start_plain(&callers[1], MSG_PING)); /* waits behind the body */
    TURN_UNTIL(callers[0].ends && callers[1].ends);
    EXPECT_OK(callers[0].err);
    EXPECT_EQ(callers[0].uploaded.size, sizeof content);
    EXPECT_EQ(callers[0].uploaded.crc, crc32_update(0, content, sizeof content));
    EXPECT_OK(callers[1].err);
    close_both(&demo);
}

TEST(a_refusal_in_the_middle_of_a_body_ends_the_call_and_the_connection_stays)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    EXPECT_OK(start_upload(&callers[0], "refuse", sizeof content));
    TURN_UNTIL(callers[0].ends);
    EXPECT_ERR(callers[0].err, NO_SPACE);
    EXPECT_TEXT(callers[0].call.error_text, err_sentence(ERR_CODE_NO_SPACE));
    EXPECT_OK(start_plain(&callers[1], MSG_PING));
    TURN_UNTIL(callers[1].ends);
    EXPECT_OK(callers[1].err);
    EXPECT_EQ(peer.closed, 0);
    close_both(&demo);
}

TEST(a_long_reply_comes_in_frames_and_a_pause_holds_it_back)
{
    struct demo demo;
    const uint64_t size = 64 << 20;
    open_both(&demo, &(struct demo_options){});
    EXPECT_OK(start_find(&callers[0], size));
    TURN_UNTIL(callers[0].received > 0);
    net_client_pause(&peer.client);
    for (int i = 0; i < 200; i++)
        fixture_turn();
    uint64_t received = callers[0].received;
    for (int i = 0; i < 200; i++)
        fixture_turn();
    EXPECT_EQ(callers[0].received, received);
    EXPECT(received < size);
    net_client_resume(&peer.client);
    TURN_UNTIL(callers[0].ends);
    EXPECT_OK(callers[0].err);
    EXPECT_EQ(callers[0].received, size);
    close_both(&demo);
}

TEST(a_call_past_its_deadline_ends_and_its_late_reply_is_dropped)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    struct writer fields = begin(&callers[0]);
    callers[0].call.deadline_ns = io_now(demo.io) + 20000000;
    msg_stat_encode(&(struct msg_stat){}, &fields);
    EXPECT_OK(net_call_start(&peer.client, &callers[0].call, MSG_STAT, 0, &fields, NULL, 0));
    TURN_UNTIL(callers[0].ends);
    EXPECT_ERR(callers[0].err, TIMEOUT);
    demo_answer_parked(&demo, 0);
    EXPECT_OK(start_plain(&callers[1], MSG_PING));
    TURN_UNTIL(callers[1].ends);
    EXPECT_OK(callers[1].err);
    EXPECT_EQ(callers[0].frames, 0);
    EXPECT_EQ(callers[0].ends, 1);
    close_both(&demo);
}

TEST(a_deadline_in_the_middle_of_a_body_cuts_the_connection)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    EXPECT_OK(start_upload(&callers[0], "default", sizeof content));
    callers[0].is_stalling = true;
    callers[0].call.deadline_ns = io_now(demo.io) + 20000000;
    EXPECT_OK(start_plain(&callers[1], MSG_PING));
    TURN_UNTIL(peer.closed == 1);
    EXPECT_ERR(callers[0].err, TIMEOUT);
    EXPECT_ERR(callers[1].err, CLOSED);
    TURN_UNTIL(err_has(demo.body_err, ERR_CODE_CLOSED)); /* never taken for a whole file */
    demo_close(&demo);
}

TEST(a_cancelled_call_ends_and_others_go_on)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    EXPECT_OK(start_plain(&callers[0], MSG_STAT));
    EXPECT_OK(start_plain(&callers[1], MSG_STAT));
    net_call_cancel(&callers[1].call); /* has not left yet */
    EXPECT_EQ(callers[1].ends, 0);     /* never from inside */
    TURN_UNTIL(callers[1].ends && demo.parked_count == 1);
    EXPECT_ERR(callers[1].err, CANCELLED);
    net_call_cancel(&callers[0].call); /* has */
    TURN_UNTIL(callers[0].ends);
    EXPECT_ERR(callers[0].err, CANCELLED);
    demo_answer_parked(&demo, 0);
    EXPECT_OK(start_plain(&callers[2], MSG_PING));
    TURN_UNTIL(callers[2].ends);
    EXPECT_OK(callers[2].err);
    EXPECT_EQ(demo.request_count, 2);
    close_both(&demo);
}

static void on_frame_cancel(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    on_frame(call, frame, meta, data);
    if (((struct caller *)call->context)->frames == 2)
        net_call_cancel(call);
}

TEST(a_call_cancelled_by_its_own_frame_gets_no_other)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    struct writer fields = begin(&callers[0]);
    callers[0].call.on_frame = on_frame_cancel;
    msg_find_encode(&(struct msg_find){.offset = 100, .size = 100000}, &fields);
    EXPECT_OK(net_call_start(&peer.client, &callers[0].call, MSG_FIND, 0, &fields, NULL, 0));
    TURN_UNTIL(demo.streaming == 1);
    net_client_pause(&peer.client); /* so that many frames are there at once */
    TURN_UNTIL(demo.streaming == 0);
    EXPECT_EQ(callers[0].frames, 0);
    net_client_resume(&peer.client);
    TURN_UNTIL(callers[0].ends);
    EXPECT_ERR(callers[0].err, CANCELLED);
    EXPECT_EQ(callers[0].frames, 2);
    EXPECT_OK(start_plain(&callers[1], MSG_PING));
    TURN_UNTIL(callers[1].ends);
    EXPECT_OK(callers[1].err);
    close_both(&demo);
}

TEST(the_loss_of_the_connection_ends_every_call)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    for (size_t i = 0; i < 5; i++)
        EXPECT_OK(start_plain(&callers[i], MSG_STAT));
    TURN_UNTIL(demo.parked_count == 5);
    net_server_cut(&demo.server);
    while (demo.parked_count > 0)
        demo_answer_parked(&demo, 0);
    TURN_UNTIL(peer.closed == 1);
    EXPECT_ERR(peer.err, CLOSED);
    for (size_t i = 0; i < 5; i++) {
        EXPECT_EQ(callers[i].ends, 1);
        EXPECT_ERR(callers[i].err, CLOSED);
    }
    EXPECT_ERR(start_plain(&callers[0], MSG_PING), CLOSED);
    demo_close(&demo);
}

TEST(a_port_where_nobody_listens_is_unavailable)
{
    struct demo demo;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    demo_open(&demo, &(struct demo_options){});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening */
    EXPECT_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
    EXPECT_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    struct net_client_config config = config_for(&demo);
    config.address.port = ntohs(address.sin_port);
    peer = (struct peer){};
    EXPECT_OK(net_client_start(&peer.client, &demo.loop, &config));
    EXPECT_OK(start_plain(&callers[0], MSG_PING));
    TURN_UNTIL(peer.closed == 1);
    EXPECT_ERR(peer.err, UNAVAILABLE);
    EXPECT_ERR(callers[0].err, UNAVAILABLE);
    (void)close(fd);
    demo_close(&demo);
}

TEST(a_server_that_says_nothing_is_a_timeout)
{
    struct demo demo;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    demo_open(&demo, &(struct demo_options){});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* listens, never accepts */
    EXPECT_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
    EXPECT_EQ(listen(fd, 1), 0);
    EXPECT_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    struct net_client_config config = config_for(&demo);
    config.address.port = ntohs(address.sin_port);
    config.connect_timeout_ns = 20000000;
    peer = (struct peer){};
    EXPECT_OK(net_client_start(&peer.client, &demo.loop, &config));
    TURN_UNTIL(peer.closed == 1);
    EXPECT_ERR(peer.err, TIMEOUT);
    (void)close(fd);
    demo_close(&demo);
}

TEST(secrets_open_for_their_role_only)
{
    struct demo demo;
    demo_open(
        &demo, &(struct demo_options){.client_secret = client_text, .node_secret = node_text});
    EXPECT_OK(try_connect(&demo, client_text, ROLE_CLIENT));
    EXPECT_OK(try_connect(&demo, node_text, ROLE_NODE));
    EXPECT_ERR(try_connect(&demo, node_text, ROLE_CLIENT), DENIED);
    EXPECT_ERR(try_connect(&demo, client_text, ROLE_NODE), DENIED);
    EXPECT_ERR(try_connect(&demo, NULL, ROLE_CLIENT), DENIED);
    EXPECT_EQ(demo.server.handshakes, 2);
    demo_close(&demo);
}

TEST(a_server_without_our_secret_is_refused)
{
    struct demo demo;
    demo_open(&demo, &(struct demo_options){});
    EXPECT_ERR(try_connect(&demo, client_text, ROLE_CLIENT), DENIED);
    demo_close(&demo);
}

TEST(a_full_server_is_busy)
{
    struct demo demo;
    struct peer first;
    demo_open(&demo, &(struct demo_options){.connection_max = 1});
    struct net_client_config config = config_for(&demo);
    first = (struct peer){};
    config.context = &first;
    EXPECT_OK(net_client_start(&first.client, &demo.loop, &config));
    TURN_UNTIL(first.ready);
    EXPECT_ERR(try_connect(&demo, NULL, ROLE_CLIENT), BUSY);
    net_client_close(&first.client);
    TURN_UNTIL(first.closed == 1);
    demo_close(&demo);
}

TEST(a_client_may_be_closed_at_any_turn_and_started_again)
{
    struct demo demo;
    demo_open(&demo, &(struct demo_options){.client_secret = client_text});
    struct secret secret;
    EXPECT_OK(secret_read(span_of_text(client_text), &secret));
    for (int turns = 0; turns < 25; turns++) {
        struct net_client_config config = config_for(&demo);
        config.secret = &secret;
        peer = (struct peer){};
        EXPECT_OK(net_client_start(&peer.client, &demo.loop, &config));
        EXPECT_OK(start_plain(&callers[0], MSG_PING));
        EXPECT_OK(start_upload(&callers[1], "default", 1000000));
        for (int i = 0; i < turns; i++)
            fixture_turn();
        net_client_close(&peer.client);
        net_client_close(&peer.client);
        TURN_UNTIL(peer.closed == 1);
        EXPECT_EQ(callers[0].ends + callers[1].ends, 2);
    }
    demo_close(&demo);
}

/* The n-th acquisition of the whole story is refused, once or for ever: every call ends, nothing
 * leaks, nothing is acknowledged that was not received. */
static bool story_with_refusal(uint64_t countdown, bool for_ever)
{
    struct demo demo;
    demo_open(&demo, &(struct demo_options){.client_secret = client_text});
    struct secret secret;
    EXPECT_OK(secret_read(span_of_text(client_text), &secret));
    struct net_client_config config = config_for(&demo);
    config.secret = &secret;
    config.connect_timeout_ns = config.send_timeout_ns = 20000000;
    peer = (struct peer){};
    demo.io->ledger.refusal = (struct refusal){.countdown = countdown, .for_ever = for_ever};
    memset(callers, 0, 4 * sizeof callers[0]);
    if (!err_is(net_client_start(&peer.client, &demo.loop, &config))) {
        EXPECT_OK(start_plain(&callers[0], MSG_PING));
        EXPECT_OK(start_upload(&callers[1], "default", 500000));
        EXPECT_OK(start_find(&callers[2], 500000));
        TURN_UNTIL((callers[0].ends && callers[1].ends && callers[2].ends) || peer.closed);
        for (size_t i = 0; i < 3; i++)
            EXPECT(peer.closed == 0 || callers[i].ends == 1);
        if (callers[1].ends && !err_is(callers[1].err))
            EXPECT_EQ(callers[1].uploaded.crc, crc32_update(0, content, 500000));
        if (callers[2].ends && !err_is(callers[2].err))
            EXPECT_EQ(callers[2].received, 500000);
    }
    bool fired = demo.io->ledger.refusal.fired;
    demo.io->ledger.refusal = (struct refusal){};
    net_client_close(&peer.client);
    TURN_UNTIL(!peer.client.is_running);
    demo_close(&demo);
    return fired;
}

TEST(every_acquisition_may_be_refused_once)
{
    uint64_t n = 1;
    while (story_with_refusal(n, false))
        n++;
    EXPECT(n > 20);
}

TEST(from_any_acquisition_on_all_may_be_refused)
{
    uint64_t n = 1;
    while (story_with_refusal(n, true))
        n++;
    EXPECT(n > 20);
}
