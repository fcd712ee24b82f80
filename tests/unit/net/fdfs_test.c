/* The FastDFS server against a peer made of bytes. The role: an upload is answered with size and CRC of
 * its content; with the suffix "early" it is refused unread, with "move" it goes to the other server. A
 * download answers `size` bytes and, with an offset, announces that many more and ends. */
#include <sys/socket.h>

#include "base/crc.h"
#include "net/fdfs_server.h"
#include "tests/unit/net/sides.h"
#include "wire/fdfs_answer.h"

static struct fdfs_server servers[2];

/* ---- the role ---- */

static void answer(struct fdfs_request *request)
{
    struct side *side = request->server->config.role;
    uint8_t bytes[12];
    put_u64_be(bytes, side->size);
    put_u32_be(bytes + 8, side->crc);
    fdfs_reply(request, FDFS_OK, span_of(bytes, sizeof bytes));
    fdfs_request_end(request);
}

static void take(struct exchange *exchange)
{
    struct fdfs_request *request = fdfs_request_of(exchange);
    struct side *side = request->server->config.role;
    side_body_take(side, exchange);
    if (err_is(side->body_err)) {
        exchange_end(exchange); /* nobody is there */
        return;
    }
    if (request->exchange.has_more)
        exchange_next_data(&request->exchange, take);
    else
        answer(request);
}

static void sent_all(struct exchange *exchange, err_t err)
{
    (void)err;
    exchange_end(exchange);
}

static void on_request(struct fdfs_server *server, struct fdfs_request *request)
{
    struct side *side = server->config.role;
    const struct fdfs_head *head = &request->head;
    side_body_begin(side);
    if (head->command == FDFS_DOWNLOAD) {
        fdfs_reply_begin(
            request, head->size + head->offset, span_of(big, (size_t)head->size), sent_all);
    } else if (span_equals_text(head->suffix, "early")) {
        fdfs_reply(request, FDFS_ENOSPC, span_of(NULL, 0));
        fdfs_request_end(request);
    } else if (span_equals_text(head->suffix, "move") && side->other) {
        exchange_move(&request->exchange, side->other);
    } else if (request->exchange.has_more) {
        exchange_next_data(&request->exchange, take);
    } else {
        answer(request);
    }
}

/* ---- the test's side ---- */

static void open_side(size_t index, uint64_t timeout_ns, uint32_t connection_max)
{
    struct side *side = side_open(&servers[index].exchange);
    EXPECT_OK(fdfs_server_start(&servers[index], &side->loop,
        &(struct fdfs_server_config){.exchange = side_config(timeout_ns, connection_max),
            .on_request = on_request,
            .role = side}));
}

static void open_one(void)
{
    open_side(0, 20000000000u, 8);
    sides_connect(&sides[0]);
}

/* ---- requests ---- */

static size_t upload_head(uint8_t ret[25], const char *suffix, uint64_t size)
{
    struct writer w = {ret, 25, 10, false};
    put_u64_be(ret, size + 15);
    ret[8] = FDFS_UPLOAD;
    ret[9] = 0;
    write_u8(&w, 0);
    fdfs_write_number(&w, size);
    fdfs_write_padded(&w, span_of_text(suffix), FDFS_SUFFIX_SIZE);
    return w.size;
}

static void say_upload(const char *suffix, const void *content, size_t size)
{
    uint8_t head[25];
    raw_send(&raw, head, upload_head(head, suffix, size));
    sides_turn();
    for (size_t at = 0; at < size && !raw.is_closed;) {
        size_t part = size - at > 65536 ? 65536 : size - at;
        ssize_t sent = send(raw.fd, (const uint8_t *)content + at, part, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        sides_turn();
        raw_poll(&raw);
    }
}

static void say_ping(void)
{
    raw_send(&raw, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, FDFS_PING, 0}, 10);
}

static void say_download(uint64_t offset, uint64_t size)
{
    uint8_t bytes[10 + 16 + 16 + 1] = {[7] = 33, [8] = FDFS_DOWNLOAD, [26] = 'g', [42] = 'n'};
    put_u64_be(bytes + 10, offset);
    put_u64_be(bytes + 18, size);
    raw_send(&raw, bytes, sizeof bytes);
}

static uint8_t body[SIDES_BIG_MAX];
static uint64_t body_size;

/* The next answer: its status; -1: the peer closed instead. */
static int reply(void)
{
    UNTIL(raw.size >= FDFS_HEADER_SIZE || raw.is_closed);
    if (raw.size < FDFS_HEADER_SIZE)
        return -1;
    body_size = get_u64_be(raw.received);
    EXPECT_EQ(raw.received[8], FDFS_ANSWER);
    int status = raw.received[9];
    UNTIL(raw.size >= FDFS_HEADER_SIZE + body_size || raw.is_closed);
    if (raw.size < FDFS_HEADER_SIZE + body_size)
        return -1;
    memcpy(body, raw.received + FDFS_HEADER_SIZE, body_size);
    raw.size -= FDFS_HEADER_SIZE + body_size;
    memmove(raw.received, raw.received + FDFS_HEADER_SIZE + body_size, raw.size);
    return status;
}

static void expect_upload(const void *content, size_t size)
{
    EXPECT_EQ(reply(), FDFS_OK);
    EXPECT_EQ(body_size, 12);
    EXPECT_EQ(get_u64_be(body), size);
    EXPECT_EQ(get_u32_be(body + 8), crc32_update(0, content, size));
}

/* ---- tests ---- */

TEST(contents_of_any_size_arrive_whole)
{
    static const size_t sizes[] = {
        0, 1, 100, 15000, 16359, 16384, 17000, 262144, 270000, 1000000, SIDES_BIG_MAX};
    pattern_fill(big, sizeof big, 7);
    open_one();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        say_upload("txt", big, sizes[i]);
        expect_upload(big, sizes[i]);
    }
    EXPECT(sides[0].pieces > 10);
    EXPECT_EQ(side_acceptor(&sides[0])->listener.accepted, 1);
    sides_close();
}

TEST(requests_sent_ahead_are_answered_in_order)
{
    open_one();
    for (int i = 0; i < 20; i++) {
        say_ping();
        say_upload("txt", "abc", (size_t)(i % 4));
    }
    for (int i = 0; i < 20; i++) {
        EXPECT_EQ(reply(), FDFS_OK);
        expect_upload("abc", (size_t)(i % 4));
    }
    sides_close();
}

TEST(requests_in_single_bytes_are_understood)
{
    uint8_t head[25];
    open_one();
    size_t size = upload_head(head, "txt", 5);
    for (size_t i = 0; i < size; i++)
        raw_send(&raw, head + i, 1), sides_turn();
    raw_send(&raw, "hello", 5);
    expect_upload("hello", 5);
    sides_close();
}

TEST(a_content_that_nobody_wants_is_passed_over_whatever_its_size)
{
    static const size_t sizes[] = {1, 5000, 300000, SIDES_BIG_MAX};
    open_one();
    for (size_t i = 0; i < 4; i++) {
        say_upload("early", big, sizes[i]);
        EXPECT_EQ(reply(), FDFS_ENOSPC);
        EXPECT_EQ(body_size, 0);
        say_upload("txt", "next", 4);
        expect_upload("next", 4);
    }
    sides_close();
}

TEST(large_answers_arrive_whole_and_a_short_one_is_cut)
{
    pattern_fill(big, sizeof big, 7);
    open_one();
    say_download(0, 1500000);
    say_ping();
    EXPECT_EQ(reply(), FDFS_OK);
    EXPECT_EQ(body_size, 1500000);
    EXPECT(memcmp(body, big, body_size) == 0);
    EXPECT_EQ(reply(), FDFS_OK);
    say_download(10, 100);
    EXPECT_EQ(reply(), -1);
    EXPECT_EQ(raw.size, 110);
    sides_close();
}

TEST(a_malformed_request_is_answered_and_the_connection_stays)
{
    uint8_t bytes[10 + 50] = {[7] = 50, [8] = FDFS_PING};
    open_one();
    raw_send(&raw, bytes, sizeof bytes);
    EXPECT_EQ(reply(), FDFS_EINVAL);
    say_ping();
    EXPECT_EQ(reply(), FDFS_OK);
    EXPECT_EQ(servers[0].requests_malformed, 1);
    sides_close();
}

TEST(a_malformed_request_that_goes_on_and_on_ends_the_connection)
{
    uint8_t bytes[10] = {[8] = FDFS_PING};
    static const uint64_t sizes[] = {FDFS_DRAIN_MAX + 1, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        open_one();
        put_u64_be(bytes, sizes[i]);
        raw_send(&raw, bytes, sizeof bytes);
        EXPECT_EQ(reply(), FDFS_EINVAL);
        UNTIL(raw.is_closed);
        sides_close();
    }
}

TEST(quit_ends_the_connection_behind_what_was_asked_before)
{
    open_one();
    say_ping();
    raw_send(&raw, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, FDFS_QUIT, 0}, 10);
    EXPECT_EQ(reply(), FDFS_OK);
    UNTIL(raw.is_closed);
    sides_close();
}

TEST(a_connection_moves_with_a_content_that_has_begun)
{
    static const size_t sizes[] = {0, 10, 16000, 300000};
    pattern_fill(big, sizeof big, 7);
    open_side(0, 20000000000u, 8);
    open_side(1, 20000000000u, 8);
    sides[0].other = sides[1].server;
    for (size_t i = 0; i < 4; i++) {
        sides_connect(&sides[0]);
        say_upload("move", big, sizes[i]);
        expect_upload(big, sizes[i]);
        EXPECT_EQ(sides[1].requests, i + 1);
        UNTIL(side_acceptor(&sides[0])->connection_count == 0);
        raw_close(&raw);
        UNTIL(side_acceptor(&sides[1])->connection_count == 0);
    }
    sides_close();
}

TEST(where_there_is_no_room_a_move_is_answered_busy_and_the_connection_stays)
{
    open_side(0, 20000000000u, 8);
    open_side(1, 20000000000u, 8);
    sides[0].other = sides[1].server;
    fdfs_server_drain(&servers[1]);
    sides_connect(&sides[0]);
    say_upload("move", "abcdef", 6);
    EXPECT_EQ(reply(), FDFS_EBUSY);
    say_upload("txt", "abc", 3);
    expect_upload("abc", 3);
    sides_close();
}

TEST(a_peer_that_leaves_in_the_middle_ends_its_request)
{
    uint8_t head[25];
    for (size_t have = 1; have < 25 + 20; have += 3) {
        open_one();
        (void)upload_head(head, "txt", 1000000);
        raw_send(&raw, head, have < 25 ? have : 25);
        if (have > 25)
            raw_send(&raw, big, have - 25);
        sides_turn();
        raw_close(&raw);
        UNTIL(side_acceptor(&sides[0])->connection_count == 0);
        EXPECT(have < 25 || err_has(sides[0].body_err, ERR_CODE_CLOSED));
        sides_close();
    }
}

TEST(silent_and_slow_connections_are_closed)
{
    open_side(0, 50000000, 8);
    sides_connect(&sides[0]);
    UNTIL(raw.is_closed); /* idle */
    raw_close(&raw);
    sides_connect(&sides[0]);
    raw_send(&raw, (const uint8_t[]){0, 0, 0}, 3);
    UNTIL(raw.is_closed); /* a head that does not come */
    raw_close(&raw);
    sides_connect(&sides[0]);
    say_download(0, 1500000);
    say_download(0, 1500000);
    say_download(0, 1500000);
    UNTIL(side_acceptor(&sides[0])->connection_count == 1);
    uint64_t end = fixture_now_ns() + 20000000000u;
    while (side_acceptor(&sides[0])->connection_count > 0 && fixture_now_ns() < end)
        sides_turn(); /* takes no answers */
    EXPECT_EQ(side_acceptor(&sides[0])->connection_count, 0);
    sides_close();
}

TEST(who_finds_no_place_is_told_busy)
{
    static struct raw others[2];
    static struct demo shell;
    open_side(0, 20000000000u, 2);
    shell.server.address = side_acceptor(&sides[0])->listener.address;
    raw_open(&others[0], &shell);
    raw_open(&others[1], &shell);
    UNTIL(side_acceptor(&sides[0])->connection_count == 2);
    sides_connect(&sides[0]);
    say_ping();
    EXPECT_EQ(reply(), FDFS_EBUSY);
    UNTIL(raw.is_closed);
    raw_close(&others[0]);
    raw_close(&others[1]);
    sides_close();
}

TEST(a_drain_lets_the_request_end_and_takes_no_other)
{
    uint8_t head[25];
    open_one();
    raw_send(&raw, head, upload_head(head, "txt", 10));
    raw_send(&raw, "01234", 5);
    UNTIL(sides[0].requests == 1);
    fdfs_server_drain(&servers[0]);
    sides_turn();
    raw_send(&raw, "56789", 5);
    say_ping();
    expect_upload("0123456789", 10);
    EXPECT_EQ(reply(), -1);
    UNTIL(fdfs_server_is_idle(&servers[0]));
    sides_close();
}

TEST(whatever_is_refused_the_client_is_answered_or_closed_and_nothing_is_lost)
{
    bool fired = true;
    for (uint64_t countdown = 1; fired; countdown++) {
        pattern_fill(big, 300000, 7);
        open_side(0, 20000000000u, 8);
        sides[0].io->ledger.refusal = (struct refusal){.countdown = countdown};
        sides_connect(&sides[0]);
        say_upload("txt", big, 300000);
        int status = reply();
        EXPECT(status == FDFS_OK || status == FDFS_EBUSY || status == -1);
        fired = sides[0].io->ledger.refusal.fired;
        sides[0].io->ledger.refusal = (struct refusal){};
        sides_close();
        EXPECT(countdown < 100);
    }
}
