/* A tunnel between two HTTP servers: the first side sends everything to the second, which echoes size
 * and CRC of the body; /big answers a megabyte; /cut ends in the middle. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/tunnel.h"
#include "tests/unit/net/sides.h"

static struct http_server servers[2];
static struct tunnel tunnel;
static bool is_tunnelling;
static char said[512];

/* ---- the roles ---- */

static void answer(struct http_request *request, unsigned status)
{
    struct side *side = request->server->config.role;
    int size = snprintf(said, sizeof said, "%s %.*s %llu %08x",
        http_method_name(request->head.method), (int)request->head.path.size,
        (const char *)request->head.path.data, (unsigned long long)side->size, side->crc);
    struct iovec data = {said, (size_t)size};
    struct writer w = http_reply_begin(request, status);
    http_reply(request, &w, (uint64_t)size, &data, 1, NULL);
    http_request_end(request);
}

static void take(struct exchange *exchange)
{
    struct http_request *request = http_request_of(exchange);
    struct side *side = request->server->config.role;
    side_body_take(side, exchange);
    if (err_is(side->body_err))
        answer(request, 400);
    else if (exchange->has_more)
        exchange_next_data(exchange, take);
    else
        answer(request, 200);
}

static void sent_all(struct exchange *exchange, err_t err)
{
    (void)err;
    exchange_end(exchange);
}

static void echo(struct http_server *server, struct http_request *request)
{
    side_body_begin(server->config.role);
    bool is_big = span_equals_text(request->head.path, "/big");
    if (is_big || span_equals_text(request->head.path, "/cut")) {
        struct iovec data = {big, is_big ? 1000000 : 100};
        struct writer w = http_reply_begin(request, 200);
        http_reply(request, &w, 1000000, &data, 1, sent_all);
    } else if (span_equals_text(request->head.path, "/early") || !request->exchange.has_more) {
        answer(request, 200);
    } else {
        exchange_next_data(&request->exchange, take);
    }
}

static void over(struct tunnel *it)
{
    struct http_request *request = it->request;
    is_tunnelling = false;
    if (tunnel_is_told(it) || exchange_is_gone(&request->exchange)) {
        tunnel_end(it);
        return;
    }
    struct writer w = http_reply_begin(request, 502);
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

static void send_on(struct http_server *server, struct http_request *request)
{
    struct side *side = server->config.role;
    tunnel.done = over;
    err_t err = tunnel_start(&tunnel, &side->loop, request,
        &side_acceptor(&sides[1])->listener.address, "x-cairn-sent-on");
    is_tunnelling = !err_is(err);
    if (err_is(err))
        answer(request, 414);
}

/* ---- the test's side ---- */

static void open_side(size_t index, void (*on_request)(struct http_server *, struct http_request *))
{
    struct side *side = side_open(&servers[index].exchange);
    EXPECT_OK(http_server_start(&servers[index], &side->loop,
        &(struct http_server_config){
            .exchange = side_config(20000000000u, 8), .on_request = on_request, .role = side}));
}

static void open_both(void)
{
    open_side(0, send_on);
    open_side(1, echo);
    sides_connect(&sides[0]);
}

static void say(const char *text)
{
    raw_send(&raw, text, strlen(text));
}

/* Everything until the connection ends: the status of the answer, 0 without one. */
static unsigned whole_answer(void)
{
    UNTIL(raw.is_closed);
    return raw.size > 12 ? (unsigned)strtoul((const char *)raw.received + 9, NULL, 10) : 0;
}

static bool ends_with(const char *text)
{
    size_t size = strlen(text);
    return raw.size >= size && memcmp(raw.received + raw.size - size, text, size) == 0;
}

static void say_body(const char *head, size_t size)
{
    say(head);
    for (size_t at = 0; at < size && !raw.is_closed;) {
        size_t part = size - at > 65536 ? 65536 : size - at;
        ssize_t sent = send(raw.fd, big + at, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : 0;
        sides_turn();
        raw_poll(&raw);
    }
}

TEST(an_answer_comes_back_as_it_is_and_the_connection_ends)
{
    open_both();
    say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(whole_answer(), 200);
    EXPECT(ends_with("GET /a 0 00000000"));
    EXPECT(memmem(raw.received, raw.size, "Connection: close", 17) != NULL);
    UNTIL(!is_tunnelling);
    sides_close();
}

TEST(long_answers_and_bodies_go_through)
{
    char head[128];
    pattern_fill(big, SIDES_BIG_MAX, 3);
    open_both();
    say("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(whole_answer(), 200);
    EXPECT(raw.size > 1000000 && memcmp(raw.received + raw.size - 1000000, big, 1000000) == 0);
    sides_connect(&sides[0]);
    (void)snprintf(
        head, sizeof head, "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\n");
    say_body(head, 700000);
    EXPECT_EQ(whole_answer(), 200);
    EXPECT_EQ(sides[1].size, 700000);
    sides_close();
}

TEST(chunks_stay_chunks)
{
    open_both();
    say("PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    EXPECT_EQ(whole_answer(), 200);
    EXPECT(ends_with("PUT /c 4 ed82cd11"));
    sides_close();
}

TEST(an_answer_before_the_body_ends_the_request)
{
    open_both();
    say("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\nhello");
    EXPECT_EQ(whole_answer(), 200);
    EXPECT(ends_with("PUT /early 0 00000000"));
    UNTIL(!is_tunnelling);
    sides_close();
}

TEST(an_answer_that_breaks_off_is_short_here_too)
{
    open_both();
    say("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)whole_answer();
    EXPECT(raw.size < 1000);
    UNTIL(!is_tunnelling);
    sides_close();
}

TEST(who_is_not_there_is_told_as_such)
{
    open_both();
    listener_drain(&side_acceptor(&sides[1])->listener);
    UNTIL(listener_is_idle(&side_acceptor(&sides[1])->listener));
    say("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(whole_answer(), 502);
    sides_close();
}

TEST(a_head_that_does_not_fit_is_refused)
{
    char head[4096];
    open_both();
    (void)snprintf(
        head, sizeof head, "GET /%03000d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 0);
    say(head);
    UNTIL(raw.is_closed || raw.size > 12);
    EXPECT_EQ(strtoul((const char *)raw.received + 9, NULL, 10), 414);
    EXPECT(!is_tunnelling);
    sides_close();
}

TEST(clients_that_vanish_end_the_tunnel)
{
    open_both();
    say("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\nhello");
    UNTIL(side_acceptor(&sides[1])->opened == 1);
    raw_close(&raw);
    UNTIL(!is_tunnelling && side_acceptor(&sides[0])->connection_count == 0);
    EXPECT_EQ(sides[1].size, 0);
    sides_close();
}

TEST(whatever_is_refused_the_client_is_answered_or_closed_and_nothing_is_lost)
{
    bool fired = true;
    for (uint64_t countdown = 1; fired; countdown++) {
        pattern_fill(big, 300000, 7);
        open_both();
        sides[0].io->ledger.refusal = (struct refusal){.countdown = countdown};
        say_body(
            "PUT /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n",
            300000);
        unsigned status = whole_answer();
        EXPECT(status == 200 || status == 502 || status == 503 || status == 0);
        EXPECT(status != 200 || sides[1].size == 300000);
        fired = sides[0].io->ledger.refusal.fired;
        sides[0].io->ledger.refusal = (struct refusal){};
        UNTIL(!is_tunnelling);
        sides_close();
        EXPECT(countdown < 100);
    }
}
