#include <sys/socket.h>

#include "base/crc.h"
#include "tests/unit/net/fixture.h"

static struct raw raw;
static uint8_t space[4 << 20];
static struct bytes bytes;

static struct bytes empty_bytes(void)
{
    return (struct bytes){.data = space, .capacity = sizeof space};
}

static void expect_frame(uint8_t type, uint64_t id)
{
    struct frame frame;
    struct span meta, data;
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, type);
    EXPECT_EQ(frame.request, id);
}

static void send_bytes(void)
{
    raw_send(&raw, bytes.data, bytes.size);
    bytes = empty_bytes();
}

static void open_both(struct demo *demo, const struct demo_options *options)
{
    demo_open(demo, options);
    bytes = empty_bytes();
    raw_open(&raw, demo);
}

static void close_both(struct demo *demo)
{
    raw_close(&raw);
    demo_close(demo);
}

static void expect_alive(void)
{
    bytes = empty_bytes();
    bytes_ping(&bytes, 4711);
    send_bytes();
    expect_frame(MSG_PONG, 4711);
}

TEST(a_ping_after_the_handshake_is_answered)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    expect_alive();
    EXPECT_EQ(demo.server.handshakes, 1);
    close_both(&demo);
}

TEST(requests_before_the_handshake_are_refused)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    bytes_ping(&bytes, 1);
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT_EQ(demo.request_count, 0);
    for (int i = 0; i < 50; i++) /* the peer closes first: else a reset could swallow the ERROR */
        fixture_turn();
    EXPECT_EQ(demo.server.acceptor.connection_count, 1);
    raw_close(&raw);
    TURN_UNTIL(demo.server.acceptor.connection_count == 0);
    demo_close(&demo);
}

static const char garbage[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";

TEST(garbage_before_and_after_the_handshake_closes_the_connection)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_send(&raw, garbage, sizeof garbage);
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    raw_close(&raw);
    raw_open(&raw, &demo);
    raw_handshake(&raw, ROLE_CLIENT);
    expect_alive();
    raw_send(&raw, garbage, sizeof garbage);
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    raw_close(&raw);
    TURN_UNTIL(demo.server.acceptor.connection_count == 0);
    demo_close(&demo);
}

/* Frames that a server must not take from a client in this state: each is answered PROTOCOL. */
static void expect_refused(struct demo *demo, uint8_t type, uint16_t flags, bool after_handshake)
{
    raw_open(&raw, demo);
    if (after_handshake)
        raw_handshake(&raw, ROLE_CLIENT);
    bytes = empty_bytes();
    bytes_frame(&bytes, type, flags, 5, span_of(NULL, 0), span_of(NULL, 0));
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    raw_close(&raw);
}

TEST(frames_out_of_their_order_are_refused)
{
    static const uint8_t after[] = {
        0, MSG_HELLO, MSG_WELCOME, MSG_PROVE, MSG_PROVEN, MSG_ERROR, MSG_DATA};
    struct demo demo;
    demo_open(&demo, &(struct demo_options){});
    for (size_t i = 0; i < ARRAY_LEN(after); i++)
        expect_refused(&demo, after[i], 0, true);
    for (int type = 0; type < 256; type++)
        expect_refused(&demo, (uint8_t)type, 0, false); /* a HELLO without fields, too */
    expect_refused(&demo, MSG_HELLO, FRAME_MORE, false);
    EXPECT_EQ(demo.request_count, 0);
    demo_close(&demo);
}

TEST(request_0_is_the_connection_itself)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_ping(&bytes, 0);
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT_EQ(demo.request_count, 0);
    close_both(&demo);
}

TEST(a_body_with_a_wrong_checksum_is_never_dispatched)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    bytes.data[FRAME_HEADER_SIZE] ^= 1;
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT_EQ(demo.request_count, 0);
    close_both(&demo);
}

TEST(hostile_lengths_are_refused_from_the_header)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_ping(&bytes, 1);
    put_u32(bytes.data + 20, UINT32_MAX);
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    close_both(&demo);
}

/* The client vanishes after every byte of handshake, request, upload in two frames. */
TEST(a_client_may_vanish_after_any_byte)
{
    struct demo demo;
    struct msg_hello hello;
    demo_open(&demo, &(struct demo_options){});
    bytes = empty_bytes();
    bytes_hello(&bytes, ROLE_CLIENT, &hello);
    bytes_ping(&bytes, 1);
    bytes_upload(&bytes, "default", FRAME_MORE, 2, span_of(garbage, sizeof garbage));
    bytes_frame(&bytes, MSG_DATA, 0, 2, span_of(NULL, 0), span_of(garbage, sizeof garbage));
    for (size_t size = 0; size < bytes.size; size++) {
        raw_open(&raw, &demo);
        raw_send(&raw, bytes.data, size);
        for (int i = 0; i < 3; i++)
            fixture_turn();
        raw_close(&raw);
    }
    TURN_UNTIL(demo.server.acceptor.connection_count == 0
               && demo.server.acceptor.listener.accepted == bytes.size);
    EXPECT(demo.request_count > 0);
    EXPECT(err_has(demo.body_err, ERR_CODE_CLOSED));
    EXPECT_EQ(demo.loop.buffers.large.free_count, demo.loop.buffers.large.count);
    demo_close(&demo);
}

/* Each byte of a request alone: the server puts it together. */
TEST(a_request_may_come_byte_by_byte)
{
    struct demo demo;
    struct frame frame;
    struct span meta, data;
    struct msg_uploaded uploaded;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_upload(&bytes, "default", FRAME_MORE, 2, span_of("abc", 3));
    bytes_frame(&bytes, MSG_DATA, FRAME_MORE, 2, span_of(NULL, 0), span_of("def", 3));
    bytes_frame(&bytes, MSG_DATA, 0, 2, span_of(NULL, 0), span_of(NULL, 0));
    for (size_t i = 0; i < bytes.size; i++)
        raw_send(&raw, bytes.data + i, 1);
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_UPLOADED);
    EXPECT_OK(msg_uploaded_decode(meta, &uploaded));
    EXPECT_EQ(uploaded.size, 6);
    EXPECT_EQ(uploaded.crc, crc32_update(0, "abcdef", 6));
    close_both(&demo);
}

TEST(a_thousand_pipelined_requests_are_all_answered)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    for (uint64_t id = 1; id <= 1000; id++)
        bytes_ping(&bytes, id);
    send_bytes();
    for (uint64_t id = 1; id <= 1000; id++)
        expect_frame(MSG_PONG, id);
    EXPECT_EQ(demo.request_count, 1000);
    close_both(&demo);
}

TEST(replies_may_come_in_any_order)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    for (uint64_t id = 1; id <= 4; id++)
        bytes_stat(&bytes, id);
    send_bytes();
    TURN_UNTIL(demo.parked_count == 4);
    demo_answer_parked(&demo, 2);
    expect_frame(MSG_STATED, 3);
    demo_answer_parked(&demo, 0);
    expect_frame(MSG_STATED, 1);
    demo_answer_parked(&demo, 0);
    demo_answer_parked(&demo, 0);
    expect_frame(MSG_STATED, 4);
    expect_frame(MSG_STATED, 2);
    close_both(&demo);
}

TEST(a_full_pipeline_stops_the_reading_and_loses_nothing)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.pipeline_max = 3});
    raw_handshake(&raw, ROLE_CLIENT);
    for (uint64_t id = 1; id <= 10; id++)
        bytes_stat(&bytes, id);
    send_bytes();
    TURN_UNTIL(demo.parked_count == 3);
    for (int i = 0; i < 50; i++)
        fixture_turn();
    EXPECT_EQ(demo.parked_count, 3);
    for (uint64_t id = 1; id <= 10; id++) {
        TURN_UNTIL(demo.parked_count > 0);
        demo_answer_parked(&demo, 0);
        TURN_UNTIL(demo.request_count == (id < 8 ? id + 3 : 10));
    }
    close_both(&demo);
}

/* Small frames lie where they were received: what is read after them must not move them. */
TEST(the_bytes_of_a_request_stay_until_it_ends)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    for (uint64_t id = 1; id <= 4; id++) {
        uint8_t meta[300];
        memset(meta, (int)id, sizeof meta);
        bytes_frame(&bytes, MSG_STAT, 0, id, span_of(meta, sizeof meta), span_of(meta, 100));
        for (uint64_t ping = 0; ping < 700; ping++)
            bytes_ping(&bytes, 100 + ping);
        send_bytes();
        for (uint64_t ping = 0; ping < 700; ping++)
            expect_frame(MSG_PONG, 100 + ping);
    }
    EXPECT_EQ(demo.parked_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT_EQ(demo.parked[i]->meta.size + demo.parked[i]->data.size, 400);
        for (size_t k = 0; k < 400; k++)
            EXPECT_EQ(demo.parked[i]->meta.data[k], i + 1);
    }
    close_both(&demo);
}

TEST(requests_wait_for_a_slot_when_all_are_taken)
{
    static struct raw second;
    struct demo demo;
    open_both(&demo, &(struct demo_options){.request_max = 2});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    bytes_stat(&bytes, 2);
    send_bytes();
    TURN_UNTIL(demo.parked_count == 2);
    raw_open(&second, &demo);
    raw_handshake(&second, ROLE_CLIENT);
    bytes_ping(&bytes, 3);
    raw_send(&second, bytes.data, bytes.size);
    TURN_UNTIL(!list_is_empty(&demo.server.requests.waiters));
    demo_answer_parked(&demo, 0);
    struct frame frame;
    struct span meta, data;
    EXPECT(raw_frame(&second, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_PONG);
    raw_close(&second);
    close_both(&demo);
}

/* ---- bodies ---- */

static uint8_t content[10 << 20];

static void send_upload(const char *pool, uint64_t id, size_t size, size_t chunk)
{
    size_t at = size < chunk ? size : chunk;
    bytes = empty_bytes();
    bytes_upload(&bytes, pool, at < size ? FRAME_MORE : 0, id, span_of(content, at));
    send_bytes();
    while (at < size) {
        size_t part = size - at < chunk ? size - at : chunk;
        at += part;
        bytes_frame(&bytes, MSG_DATA, at < size ? FRAME_MORE : 0, id, span_of(NULL, 0),
            span_of(content + at - part, part));
        send_bytes();
    }
}

static void expect_uploaded(uint64_t id, size_t size)
{
    struct frame frame;
    struct span meta, data;
    struct msg_uploaded uploaded;
    EXPECT(raw_frame(&raw, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_UPLOADED);
    EXPECT_EQ(frame.request, id);
    EXPECT_OK(msg_uploaded_decode(meta, &uploaded));
    EXPECT_EQ(uploaded.size, size);
    EXPECT_EQ(uploaded.crc, crc32_update(0, content, size));
}

TEST(bodies_of_every_shape_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 15000, 16000, 16384, 20000, 262144, 300000, 1000000};
    static const size_t chunks[] = {1000, 16384, 100000, 262144};
    struct demo demo;
    uint64_t id = 0;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    pattern_fill(content, sizeof content, 3);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < ARRAY_LEN(chunks); k++) {
            send_upload("default", ++id, sizes[i], chunks[k]);
            expect_uploaded(id, sizes[i]);
        }
    }
    close_both(&demo);
}

TEST(ten_megabytes_stream_through_one_large_buffer)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.large_count = 1});
    raw_handshake(&raw, ROLE_CLIENT);
    pattern_fill(content, sizeof content, 5);
    send_upload("default", 1, sizeof content, FRAME_DATA_MAX);
    expect_uploaded(1, sizeof content);
    close_both(&demo);
}

TEST(a_refused_body_is_drained_and_the_connection_stays)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    send_upload("refuse", 1, sizeof content, 100000);
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_NO_SPACE);
    expect_alive();
    send_upload("refuse", 2, 3000, 1000); /* within one small buffer */
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_NO_SPACE);
    expect_alive();
    EXPECT_EQ(demo.loop.buffers.large.free_count, demo.loop.buffers.large.count);
    close_both(&demo);
}

TEST(a_slow_role_holds_the_body_back_and_gets_all_of_it)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    pattern_fill(content, sizeof content, 5);
    bytes_upload(&bytes, "slow", FRAME_MORE, 1, span_of(content, 1000));
    bytes_frame(&bytes, MSG_DATA, FRAME_MORE, 1, span_of(NULL, 0), span_of(content + 1000, 1000));
    bytes_frame(&bytes, MSG_DATA, 0, 1, span_of(NULL, 0), span_of(content + 2000, 1000));
    bytes_ping(&bytes, 2); /* behind the body: waits */
    send_bytes();
    for (int i = 0; i < 50; i++)
        fixture_turn();
    EXPECT_EQ(demo.request_count, 1);
    EXPECT_EQ(demo.sinks[0].size, 1000);
    demo_pull_slow(&demo);
    TURN_UNTIL(demo.sinks[0].size == 2000);
    for (int i = 0; i < 50; i++)
        fixture_turn();
    EXPECT_EQ(demo.sinks[0].size, 2000);
    demo_pull_slow(&demo);
    expect_uploaded(1, 3000);
    expect_frame(MSG_PONG, 2);
    close_both(&demo);
}

TEST(a_frame_between_the_frames_of_a_body_breaks_the_connection)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_upload(&bytes, "default", FRAME_MORE, 1, span_of(content, 1000));
    bytes_ping(&bytes, 2);
    send_bytes();
    /* the upload ends first: its body failed; then the connection's own error */
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT(err_has(demo.body_err, ERR_CODE_PROTOCOL));
    close_both(&demo);
}

TEST(data_of_another_request_breaks_an_open_body)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_upload(&bytes, "default", FRAME_MORE, 1, span_of(content, 1000));
    bytes_frame(&bytes, MSG_DATA, 0, 2, span_of(NULL, 0), span_of(content, 10));
    send_bytes();
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_PROTOCOL);
    EXPECT(err_has(demo.body_err, ERR_CODE_PROTOCOL));
    close_both(&demo);
}

TEST(uploads_wait_for_a_large_buffer_in_turn)
{
    static struct raw second;
    struct demo demo;
    open_both(&demo, &(struct demo_options){.large_count = 1});
    raw_handshake(&raw, ROLE_CLIENT);
    pattern_fill(content, sizeof content, 5);
    bytes_upload(&bytes, "slow", FRAME_MORE, 1, span_of(content, 1000));
    send_bytes();
    TURN_UNTIL(demo.request_count == 1);
    raw_open(&second, &demo);
    raw_handshake(&second, ROLE_CLIENT);
    bytes_upload(&bytes, "default", 0, 2, span_of(content, 100000));
    raw_send(&second, bytes.data, bytes.size);
    TURN_UNTIL(!list_is_empty(&demo.loop.buffers.large.waiters));
    bytes = empty_bytes();
    bytes_frame(&bytes, MSG_DATA, 0, 1, span_of(NULL, 0), span_of(NULL, 0));
    send_bytes();
    demo_pull_slow(&demo);
    expect_uploaded(1, 1000);
    TURN_UNTIL(demo.request_count == 2);
    raw_close(&second);
    close_both(&demo);
}

/* ---- replies with data; slow and dead readers ---- */

TEST(a_long_reply_arrives_whole)
{
    static uint8_t expected[DEMO_CHUNK];
    struct demo demo;
    struct frame frame;
    struct span meta, data;
    uint64_t size = 0;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    pattern_fill(expected, sizeof expected, 0);
    bytes_find(&bytes, 1, 3000000, 200000);
    send_bytes();
    expect_frame(MSG_FOUND, 1);
    do {
        EXPECT(raw_frame(&raw, &frame, &meta, &data));
        EXPECT_EQ(frame.type, MSG_DATA);
        EXPECT(memcmp(data.data, expected, data.size) == 0);
        size += data.size;
    } while (frame.flags & FRAME_MORE);
    EXPECT_EQ(size, 3000000);
    close_both(&demo);
}

TEST(a_reader_that_stops_is_cut_and_the_role_is_told)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.send_ns = 20000000});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_find(&bytes, 1, UINT64_C(1) << 30, DEMO_CHUNK);
    send_bytes();
    TURN_UNTIL(demo.gone_count == 1);
    EXPECT_EQ(demo.streaming, 0);
    TURN_UNTIL(demo.server.acceptor.connection_count == 0);
    close_both(&demo);
}

TEST(a_slow_reader_gets_all_of_it)
{
    struct demo demo;
    uint64_t size = 0;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_find(&bytes, 1, 20 << 20, DEMO_CHUNK);
    send_bytes();
    expect_frame(MSG_FOUND, 1);
    for (;;) {
        struct frame frame;
        struct span meta, data;
        for (int i = 0; i < 10; i++)
            fixture_turn();
        EXPECT(raw_frame(&raw, &frame, &meta, &data));
        size += data.size;
        if (!(frame.flags & FRAME_MORE))
            break;
    }
    EXPECT_EQ(size, 20 << 20);
    close_both(&demo);
}

TEST(an_idle_connection_is_closed_but_not_while_a_request_runs)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.idle_ns = 30000000});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    send_bytes();
    TURN_UNTIL(demo.parked_count == 1);
    uint64_t end_ns = fixture_now_ns() + 100000000;
    TURN_UNTIL(fixture_now_ns() > end_ns);
    EXPECT_EQ(demo.server.acceptor.connection_count, 1);
    demo_answer_parked(&demo, 0);
    expect_frame(MSG_STATED, 1);
    raw_expect_closed(&raw);
    close_both(&demo);
}

TEST(a_silent_client_is_closed_before_its_handshake)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.handshake_ns = 20000000});
    raw_expect_closed(&raw);
    EXPECT_EQ(demo.server.acceptor.listener.accepted, 1);
    close_both(&demo);
}

TEST(an_upload_that_stalls_is_cut)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.idle_ns = 20000000});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_upload(&bytes, "default", FRAME_MORE, 1, span_of(content, 1000));
    send_bytes();
    TURN_UNTIL(err_has(demo.body_err, ERR_CODE_CLOSED));
    raw_expect_closed(&raw);
    close_both(&demo);
}

/* ---- limits of connections, the end ---- */

static bool has_room_for_refusals(const struct demo *demo)
{
    for (size_t i = 0; i < LISTENER_REFUSALS; i++)
        if (demo->server.acceptor.listener.refusals[i].socket.fd != IO_FD_NONE)
            return false;
    return true;
}

TEST(above_connection_max_the_answer_is_busy)
{
    static struct raw more[3];
    struct demo demo;
    open_both(&demo, &(struct demo_options){.connection_max = 1});
    raw_handshake(&raw, ROLE_CLIENT);
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        struct msg_hello hello;
        raw_open(&more[i], &demo);
        bytes = empty_bytes();
        bytes_hello(&bytes, ROLE_CLIENT, &hello);
        raw_send(&more[i], bytes.data, bytes.size);
        EXPECT_EQ(raw_error_code(&more[i]), ERR_CODE_BUSY);
        raw_close(&more[i]);
        TURN_UNTIL(has_room_for_refusals(&demo));
    }
    EXPECT_EQ(demo.server.acceptor.listener.refused, 3);
    expect_alive();
    raw_close(&raw);
    TURN_UNTIL(demo.server.acceptor.connection_count == 0);
    raw_open(&raw, &demo);
    raw_handshake(&raw, ROLE_CLIENT);
    expect_alive();
    close_both(&demo);
}

/* One that neither reads nor closes costs nobody else anything. */
TEST(who_is_refused_and_stays_does_not_keep_others_waiting)
{
    static struct raw idle, next;
    struct demo demo;
    open_both(&demo, &(struct demo_options){.connection_max = 1});
    raw_handshake(&raw, ROLE_CLIENT);
    raw_open(&idle, &demo);
    TURN_UNTIL(demo.server.acceptor.listener.refused == 1);
    uint64_t before_ns = io_now(demo.io);
    raw_open(&next, &demo);
    EXPECT_EQ(raw_error_code(&next), ERR_CODE_BUSY);
    EXPECT(io_now(demo.io) - before_ns < 500000000u);
    raw_close(&next);
    raw_close(&idle);
    close_both(&demo);
}

TEST(a_peer_that_says_no_more_still_gets_its_answers)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    bytes_ping(&bytes, 2);
    send_bytes();
    EXPECT_EQ(shutdown(raw.fd, SHUT_WR), 0);
    expect_frame(MSG_PONG, 2);
    demo_answer_parked(&demo, 0);
    expect_frame(MSG_STATED, 1);
    raw_expect_closed(&raw);
    close_both(&demo);
}

TEST(a_drain_lets_requests_and_bodies_end)
{
    static struct raw second;
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    raw_open(&second, &demo);
    raw_handshake(&second, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    raw_send(&second, bytes.data, bytes.size);
    bytes = empty_bytes();
    bytes_upload(&bytes, "default", FRAME_MORE, 2, span_of(content, 1000));
    send_bytes();
    TURN_UNTIL(demo.request_count == 2);
    net_server_drain(&demo.server);
    for (int i = 0; i < 50; i++)
        fixture_turn();
    EXPECT_EQ(demo.server.acceptor.connection_count, 2);
    bytes_frame(&bytes, MSG_DATA, 0, 2, span_of(NULL, 0), span_of(content + 1000, 10));
    bytes_ping(&bytes, 3); /* comes too late */
    send_bytes();
    expect_uploaded(2, 1010);
    raw_expect_closed(&raw);
    demo_answer_parked(&demo, 0);
    struct frame frame;
    struct span meta, data;
    EXPECT(raw_frame(&second, &frame, &meta, &data));
    EXPECT_EQ(frame.type, MSG_STATED);
    raw_expect_closed(&second);
    TURN_UNTIL(net_server_is_idle(&demo.server));
    raw_close(&second);
    close_both(&demo);
}

TEST(a_cut_ends_connections_with_requests_in_flight)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    bytes_find(&bytes, 2, UINT64_C(1) << 30, DEMO_CHUNK);
    bytes_upload(&bytes, "default", FRAME_MORE, 3, span_of(content, 1000));
    send_bytes();
    TURN_UNTIL(demo.request_count == 3);
    net_server_cut(&demo.server);
    TURN_UNTIL(demo.gone_count == 1 && err_has(demo.body_err, ERR_CODE_CLOSED));
    EXPECT_EQ(demo.server.acceptor.connection_count, 1); /* the parked request holds it */
    EXPECT(net_request_is_gone(demo.parked[0]));
    demo_answer_parked(&demo, 0);
    TURN_UNTIL(net_server_is_idle(&demo.server));
    close_both(&demo);
}

TEST(a_cut_reaches_who_waits_for_a_slot_or_a_buffer)
{
    static struct raw second, third;
    struct demo demo;
    open_both(&demo, &(struct demo_options){.request_max = 2, .large_count = 1});
    raw_handshake(&raw, ROLE_CLIENT);
    raw_open(&second, &demo);
    raw_handshake(&second, ROLE_CLIENT);
    raw_open(&third, &demo);
    raw_handshake(&third, ROLE_CLIENT);
    bytes_stat(&bytes, 1);
    bytes_upload(&bytes, "slow", FRAME_MORE, 2, span_of(content, 1000));
    send_bytes();
    TURN_UNTIL(demo.request_count == 2);
    bytes_ping(&bytes, 3);
    raw_send(&second, bytes.data, bytes.size);
    bytes = empty_bytes();
    bytes_upload(&bytes, "default", 0, 4, span_of(content, 100000));
    raw_send(&third, bytes.data, bytes.size);
    TURN_UNTIL(!list_is_empty(&demo.server.requests.waiters)
               && !list_is_empty(&demo.loop.buffers.large.waiters));
    net_server_cut(&demo.server);
    TURN_UNTIL(demo.server.acceptor.connection_count == 1);
    EXPECT_EQ(demo.request_count, 2);
    raw_close(&second);
    raw_close(&third);
    close_both(&demo);
}

/* ---- node verbs ---- */

static void send_heartbeat(uint64_t id)
{
    uint8_t meta[256];
    struct writer w = {.data = meta, .capacity = sizeof meta};
    msg_heartbeat_encode(&(struct msg_heartbeat){.machine = 9}, &w);
    bytes = empty_bytes();
    bytes_frame(&bytes, MSG_HEARTBEAT, 0, id, span_of(meta, w.size), span_of(NULL, 0));
    send_bytes();
}

TEST(without_secrets_anybody_may_send_node_verbs)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){});
    raw_handshake(&raw, ROLE_CLIENT);
    send_heartbeat(1);
    expect_frame(MSG_HEARTBEAT_ACK, 1);
    close_both(&demo);
}

TEST(with_secrets_node_verbs_of_clients_are_denied_and_the_connection_stays)
{
    struct demo demo;
    open_both(&demo, &(struct demo_options){.node_secret = "0123456789abcdef"});
    raw_handshake(&raw, ROLE_CLIENT); /* there is no client secret: nothing to prove */
    send_heartbeat(1);
    EXPECT_EQ(raw_error_code(&raw), ERR_CODE_DENIED);
    EXPECT_EQ(demo.request_count, 0);
    expect_alive();
    close_both(&demo);
}

/* ---- the beginning ---- */

static bool started_with_refusal(uint64_t countdown)
{
    struct demo demo;
    struct mem mem;
    struct net_loop loop;
    struct net_server server;
    demo_open(&demo, &(struct demo_options){}); /* for its loop */
    mem_init(&mem, &demo.io->ledger);
    demo.io->ledger.refusal = (struct refusal){.countdown = countdown};
    struct net_server_config config = demo.server.config;
    struct net_loop_config loop_config = {.small_count = 4, .large_count = 2, .tick_ns = 5000000};
    err_t err = net_loop_init(&loop, demo.io, &mem, &loop_config);
    bool has_loop = !err_is(err);
    if (has_loop)
        err = net_server_start(&server, &loop, &config);
    bool fired = demo.io->ledger.refusal.fired;
    demo.io->ledger.refusal = (struct refusal){};
    if (has_loop && !err_is(err)) {
        net_server_drain(&server);
        TURN_UNTIL(net_server_is_idle(&server) && net_loop_is_idle(&loop));
        net_server_fini(&server);
    }
    if (has_loop)
        net_loop_fini(&loop);
    demo_close(&demo); /* checks that nothing is held */
    return fired;
}

TEST(a_start_that_is_refused_holds_nothing)
{
    uint64_t n = 1;
    while (started_with_refusal(n))
        n++;
    EXPECT(n > 5);
}

TEST(an_address_in_use_is_an_error)
{
    struct demo demo;
    struct net_server second;
    demo_open(&demo, &(struct demo_options){});
    struct net_server_config config = demo.server.config;
    config.address = demo.server.address;
    EXPECT(err_is(net_server_start(&second, &demo.loop, &config)));
    demo_close(&demo);
}
