#include "tests/unit/net/sides.h"

#include "base/crc.h"
#include "io/backend.h"

struct side sides[2];
struct raw raw;
uint8_t big[SIDES_BIG_MAX];
static uint32_t side_count;

struct side *side_open(struct exchange_server *server)
{
    struct side *side = &sides[side_count++];
    *side = (struct side){.server = server};
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 256}, &side->io));
    mem_init(&side->mem, &side->io->ledger);
    EXPECT_OK(net_loop_init(&side->loop, side->io, &side->mem,
        &(struct net_loop_config){.small_count = 20, .large_count = 4, .tick_ns = 5000000}));
    return side;
}

struct exchange_config side_config(uint64_t timeout_ns, uint32_t connection_max)
{
    return (struct exchange_config){.address = {.bytes = {127, 0, 0, 1}, .family = 4},
        .listen_count = 1,
        .connection_max = connection_max,
        .idle_timeout_ns = timeout_ns,
        .head_timeout_ns = timeout_ns,
        .send_timeout_ns = timeout_ns};
}

struct acceptor *side_acceptor(const struct side *side)
{
    return &side->server->acceptor;
}

void side_body_begin(struct side *side)
{
    side->requests++;
    side->crc = 0;
    side->size = side->pieces = 0;
}

void side_body_take(struct side *side, const struct exchange *exchange)
{
    side->body_err = exchange->body_err;
    if (err_is(exchange->body_err)) {
        side->size = 0;
        return;
    }
    side->crc = crc32_update(side->crc, exchange->data.data, exchange->data.size);
    side->size += exchange->data.size;
    side->pieces++;
}

void sides_turn(void)
{
    for (uint32_t i = 0; i < side_count; i++)
        io_turn(sides[i].io, false);
}

void sides_close(void)
{
    for (uint32_t i = 0; i < side_count; i++)
        acceptor_cut(side_acceptor(&sides[i]));
    for (uint32_t i = 0; i < side_count; i++) {
        UNTIL(acceptor_is_idle(side_acceptor(&sides[i])) && net_loop_is_idle(&sides[i].loop));
        acceptor_fini(side_acceptor(&sides[i]));
        net_loop_fini(&sides[i].loop);
        ledger_check_empty(&sides[i].io->ledger);
    }
    for (uint32_t i = 0; i < side_count; i++)
        sides[i].io->backend->free(sides[i].io);
    side_count = 0;
    raw_close(&raw);
}

void sides_connect(const struct side *side)
{
    static struct demo shell; /* raw_open() wants to know the port only */
    shell.server.address = side_acceptor(side)->listener.address;
    raw_open(&raw, &shell);
}
