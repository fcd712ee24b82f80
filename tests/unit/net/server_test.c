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
