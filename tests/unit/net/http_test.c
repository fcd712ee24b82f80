/* The HTTP server against a peer made of bytes. The role echoes: the answer says method, path and the
 * size and CRC of the body; /big/N answers N bytes; /early answers without reading the body; /cut ends
 * in the middle; /move goes to the other server. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/crc.h"
#include "net/http_server.h"
#include "tests/unit/net/sides.h"

static struct http_server servers[2];
static char said[512];

/* ---- the role ---- */

static struct side *side_of(const struct http_request *request)
{
    return request->server->config.role;
}

static void answer(struct http_request *request, unsigned status)
{
    struct side *side = side_of(request);
    int size = snprintf(said, sizeof said, "%s %.*s %llu %08x",
        http_method_name(request->head.method), (int)request->head.path.size,
        (const char *)request->head.path.data, (unsigned long long)side->size, side->crc);
    struct iovec data = {said, (size_t)size};
    struct writer w = http_reply_begin(request, status);
    http_header_add(&w, "X-Test", "%s", "yes");
    http_reply(request, &w, (uint64_t)size, &data, 1, NULL);
    http_request_end(request);
}

static void take(struct exchange *exchange)
{
    struct http_request *request = http_request_of(exchange);
    struct side *side = side_of(request);
    side_body_take(side, exchange);
    if (err_is(side->body_err)) {
        answer(request, 400);
        return;
    }
    if (request->exchange.has_more)
        exchange_next_data(&request->exchange, take);
    else
        answer(request, 200);
}

static void sent_all(struct exchange *exchange, err_t err)
{
    (void)err;
    exchange_end(exchange);
}

static void reply_big(struct http_request *request, uint64_t size, uint64_t announced)
{
    struct iovec data = {big, size};
    struct writer w = http_reply_begin(request, 200);
    http_reply(request, &w, announced, &data, 1, sent_all);
}

static bool begins(struct span span, const char *text)
{
    return span.size >= strlen(text) && memcmp(span.data, text, strlen(text)) == 0;
}

static void on_request(struct http_server *server, struct http_request *request)
{
    struct side *side = server->config.role;
    side_body_begin(side);
    if (begins(request->head.path, "/big/")) {
        reply_big(request, strtoull((const char *)request->head.path.data + 5, NULL, 10),
            strtoull((const char *)request->head.path.data + 5, NULL, 10));
    } else if (begins(request->head.path, "/cut")) {
        reply_big(request, 100, 1000);
    } else if (begins(request->head.path, "/early")) {
        answer(request, 403);
    } else if (begins(request->head.path, "/move") && side->other) {
        exchange_move(&request->exchange, side->other);
    } else if (request->exchange.has_more) {
        exchange_next_data(&request->exchange, take);
    } else {
        answer(request, 200);
    }
}

/* ---- the test's side ---- */

static void open_side(size_t index, uint64_t timeout_ns, uint32_t connection_max)
{
    struct side *side = side_open(&servers[index].exchange);
    EXPECT_OK(http_server_start(&servers[index], &side->loop,
        &(struct http_server_config){.exchange = side_config(timeout_ns, connection_max),
            .on_request = on_request,
            .role = side}));
}

static void open_one(void)
{
    open_side(0, 20000000000u, 8);
    sides_connect(&sides[0]);
}

static void say(const char *text)
{
    raw_send(&raw, text, strlen(text));
}

/* The whole response at the front of what was received: its status; its body is copied out. */
static char body[SIDES_BIG_MAX];
static size_t body_size;
static unsigned response(void)
{
    const char *end = NULL;
    UNTIL((end = memmem(raw.received, raw.size, "\r\n\r\n", 4)) != NULL || raw.is_closed);
    if (!end)
        return 0;
    size_t head_size = (size_t)(end + 4 - (const char *)raw.received);
    unsigned status = (unsigned)strtoul((const char *)raw.received + 9, NULL, 10);
    const char *length = memmem(raw.received, head_size, "Content-Length: ", 16);
    body_size = length ? strtoull(length + 16, NULL, 10) : 0;
    UNTIL(raw.size >= head_size + body_size || raw.is_closed);
    if (raw.size < head_size + body_size)
        return 0;
    memcpy(body, raw.received + head_size, body_size);
    body[body_size] = '\0';
    raw.size -= head_size + body_size;
    memmove(raw.received, raw.received + head_size + body_size, raw.size);
    return status;
}

TEST(a_request_is_answered_and_the_connection_goes_on)
{
    open_one();
    for (int i = 0; i < 3; i++) {
        say("GET /hello?x HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_EQ(response(), 200);
        EXPECT_TEXT(body, "GET /hello 0 00000000");
    }
    EXPECT_EQ(side_acceptor(&sides[0])->opened, 1);
    sides_close();
}

TEST(pipelined_requests_are_answered_in_order)
{
    open_one();
    say("GET /a HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: "
        "3\r\n\r\nabc"
        "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "GET /a 0 00000000");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "PUT /b 3 352441c2");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "GET /c 0 00000000");
    sides_close();
}

TEST(bodies_of_any_size_arrive_whole)
{
    static const size_t sizes[] = {
        1, 100, 15000, 16384, 17000, 262144, 270000, 1000000, SIDES_BIG_MAX};
    pattern_fill(big, sizeof big, 7);
    open_one();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char head[128], expected[128];
        (void)snprintf(head, sizeof head,
            "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        for (size_t at = 0; at < strlen(head) + sizes[i];) {
            /* everything, as the socket takes it */
            size_t head_size = strlen(head);
            const void *from = at < head_size ? (const void *)(head + at) : big + (at - head_size);
            size_t size = at < head_size ? head_size - at : sizes[i] - (at - head_size);
            size = size > 65536 ? 65536 : size;
            ssize_t sent = send(raw.fd, from, size, MSG_NOSIGNAL);
            at += sent > 0 ? (size_t)sent : 0;
            sides_turn();
        }
        EXPECT_EQ(response(), 200);
        (void)snprintf(
            expected, sizeof expected, "PUT /x %zu %08x", sizes[i], crc32_update(0, big, sizes[i]));
        EXPECT_TEXT(body, expected);
    }
    sides_close();
}

TEST(chunked_bodies_arrive_whole_byte_by_byte)
{
    static const char text[] = "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\nA;e=1\r\n, my world\r\n0\r\nT: x\r\n\r\n";
    open_one();
    for (size_t i = 0; i < sizeof text - 1; i++)
        raw_send(&raw, text + i, 1), sides_turn();
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "PUT /x 15 3650e912");
    say(text);
    EXPECT_EQ(response(), 200);
    sides_close();
}

TEST(a_chunked_body_larger_than_a_buffer_comes_in_pieces)
{
    pattern_fill(big, sizeof big, 7);
    open_one();
    say("PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < 1000000; at += 10000) {
        say("2710\r\n");
        raw_send(&raw, big + at, 10000);
        sides_turn();
        say("\r\n");
    }
    say("0\r\n\r\n");
    EXPECT_EQ(response(), 200);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "PUT /x 1000000 %08x", crc32_update(0, big, 1000000));
    EXPECT_TEXT(body, expected);
    EXPECT(sides[0].pieces >= 4);
    sides_close();
}

TEST(who_waits_for_leave_gets_it_when_the_body_is_wanted)
{
    open_one();
    say("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(response(), 100);
    say("abc");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "PUT /x 3 352441c2");
    say("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(response(), 403); /* never asked for: nobody knows what comes next */
    UNTIL(raw.is_closed);
    sides_close();
}

TEST(a_short_body_that_nobody_wants_is_passed_over_a_long_one_ends_the_connection)
{
    open_one();
    say("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    EXPECT_EQ(response(), 403);
    say("loGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "GET /next 0 00000000");
    say("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\nhello");
    EXPECT_EQ(response(), 403);
    UNTIL(raw.is_closed);
    sides_close();
}

TEST(large_responses_and_heads_only)
{
    pattern_fill(big, sizeof big, 7);
    open_one();
    say("GET /big/1500000 HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    EXPECT_EQ(body_size, 1500000u);
    EXPECT(memcmp(body, big, body_size) == 0);
    say("HEAD /big/1500000 HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(memmem(raw.received, raw.size, "GET /a", 6) != NULL);
    EXPECT(memmem(raw.received, raw.size, "Content-Length: 1500000\r\n", 25) != NULL);
    EXPECT(raw.size < 1000);
    sides_close();
}

TEST(a_response_that_ends_early_is_cut_not_ended)
{
    open_one();
    say("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(raw.is_closed);
    EXPECT(memmem(raw.received, raw.size, "Content-Length: 1000\r\n", 22) != NULL);
    EXPECT(raw.size < 400);
    sides_close();
}

TEST(what_is_no_request_is_refused_and_the_connection_ends)
{
    static const struct {
        const char *text;
        unsigned status;
    } bad[] = {{"nonsense\r\n\r\n", 400}, {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        open_one();
        say(bad[i].text);
        EXPECT_EQ(response(), bad[i].status);
        EXPECT(strstr(body, "\"status\":") != NULL);
        UNTIL(raw.is_closed);
        sides_close();
    }
}

TEST(a_bad_chunk_ends_the_body)
{
    open_one();
    say("PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    EXPECT_EQ(response(), 400);
    EXPECT(err_has(sides[0].body_err, ERR_CODE_PROTOCOL));
    UNTIL(raw.is_closed);
    sides_close();
}

TEST(a_client_may_vanish_after_any_byte)
{
    static const char text[] = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\nabcdef";
    open_side(0, 20000000000u, 8);
    for (size_t size = 0; size < sizeof text; size++) {
        sides_connect(&sides[0]);
        raw_send(&raw, text, size);
        sides_turn();
        raw_close(&raw);
        raw.is_closed = true;
        UNTIL(side_acceptor(&sides[0])->opened == size + 1
              && side_acceptor(&sides[0])->connection_count == 0);
    }
    sides_connect(&sides[0]);
    sides_close();
}

TEST(old_clients_and_those_that_say_close_are_closed)
{
    open_one();
    say("GET /a HTTP/1.0\r\n\r\n");
    EXPECT_EQ(response(), 200);
    UNTIL(raw.is_closed);
    raw_close(&raw);
    sides_connect(&sides[0]);
    say("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(response(), 200);
    UNTIL(raw.is_closed);
    raw_close(&raw);
    sides_connect(&sides[0]);
    say("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(response(), 200);
    say("GET /a HTTP/1.0\r\n\r\n");
    EXPECT_EQ(response(), 200);
    sides_close();
}

TEST(slow_heads_are_refused_in_time)
{
    open_side(0, 100000000, 8);
    sides_connect(&sides[0]);
    say("GET / HT");
    EXPECT_EQ(response(), 408);
    UNTIL(raw.is_closed);
    raw_close(&raw);
    sides_connect(&sides[0]); /* and who says nothing is closed without a word */
    UNTIL(raw.is_closed);
    EXPECT_EQ(raw.size, 0u);
    sides_close();
}

TEST(who_takes_no_response_is_cut)
{
    open_side(0, 100000000, 8);
    sides_connect(&sides[0]);
    for (int i = 0; i < 20; i++)
        say("GET /big/4000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    uint64_t end_ns = fixture_now_ns() + 20000000000u;
    while (side_acceptor(&sides[0])->connection_count > 0 && fixture_now_ns() < end_ns)
        sides_turn();
    EXPECT_EQ(side_acceptor(&sides[0])->connection_count, 0);
    sides_close();
}

TEST(above_connection_max_the_answer_is_503)
{
    open_side(0, 20000000000u, 1);
    static struct raw first;
    sides_connect(&sides[0]);
    say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    first = raw;
    sides_connect(&sides[0]);
    EXPECT_EQ(response(), 503);
    raw_close(&first);
    sides_close();
}

TEST(a_connection_moves_to_the_other_loop_with_all_that_came)
{
    open_side(0, 20000000000u, 8);
    open_side(1, 20000000000u, 8);
    sides[0].other = sides[1].server;
    sides_connect(&sides[0]);
    say("PUT /move HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdefGET /a HTTP/1.1\r\nHost: "
        "h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    EXPECT_TEXT(body, "PUT /move 6 4b8e39ef");
    EXPECT_EQ(response(), 200);
    EXPECT_EQ(side_acceptor(&sides[0])->connection_count, 0);
    EXPECT_EQ(side_acceptor(&sides[1])->connection_count, 1);
    EXPECT_EQ(servers[1].exchange.requests_served, 2);
    sides_close();
}

TEST(a_loop_without_room_refuses_a_moved_connection)
{
    open_side(0, 20000000000u, 8);
    open_side(1, 20000000000u, 1);
    sides[0].other = sides[1].server;
    static struct raw first;
    sides_connect(&sides[1]);
    say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    first = raw;
    sides_connect(&sides[0]);
    say("GET /move HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 503);
    say("GET /here HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response(), 200);
    raw_close(&first);
    sides_close();
}

TEST(draining_lets_requests_end_and_idle_connections_go)
{
    open_one();
    say("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    UNTIL(servers[0].exchange.requests_served == 1);
    http_server_drain(&servers[0]);
    sides_turn();
    say("def");
    EXPECT_EQ(response(), 200);
    UNTIL(raw.is_closed && http_server_is_idle(&servers[0]));
    sides_close();
}
