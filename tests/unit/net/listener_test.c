/* Who is too many: each is told so, however many come at once. */
#include "tests/unit/net/fixture.h"

static struct raw raw;

TEST(a_crowd_above_connection_max_is_told_so_one_by_one)
{
    static struct raw crowd[20];
    struct demo demo;
    demo_open(&demo, &(struct demo_options){.connection_max = 1});
    raw_open(&raw, &demo);
    raw_handshake(&raw, ROLE_CLIENT);
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        raw_open(&crowd[i], &demo);
    uint64_t before_ns = io_now(demo.io);
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        EXPECT_EQ(raw_error_code(&crowd[i]), ERR_CODE_BUSY);
    EXPECT(io_now(demo.io) - before_ns < 500000000u); /* nobody is waited for */
    EXPECT_EQ(demo.server.acceptor.listener.refused, ARRAY_LEN(crowd));
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        raw_close(&crowd[i]);
    raw_close(&raw);
    demo_close(&demo);
}

TEST(a_crowd_in_the_doorway_is_let_go_by_a_drain)
{
    static struct raw crowd[8];
    struct demo demo;
    demo_open(&demo, &(struct demo_options){.connection_max = 1});
    raw_open(&raw, &demo);
    raw_handshake(&raw, ROLE_CLIENT);
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        raw_open(&crowd[i], &demo);
    TURN_UNTIL(demo.server.acceptor.listener.refused == LISTENER_REFUSALS + 1);
    raw_close(&raw);
    demo_close(&demo); /* ends, and the ledger is empty */
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        raw_close(&crowd[i]);
}
