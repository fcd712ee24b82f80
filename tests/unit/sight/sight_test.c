/* A pass over the loops of a process, asked for and by itself. */
#include "base/json.h"
#include "base/units.h"
#include "io/backend.h"
#include "sight/findings.h"
#include "sight/report.h"
#include "sight/sight.h"
#include "tests/lib/test.h"

#include <fcntl.h>

enum { LOOPS = 2, THINGS = 3000, TURNS_MAX = 20000 };

struct fixture {
    struct io *loops[LOOPS];
    struct mem mem;
    struct sight sight;
    struct owner owner;
    struct held things[THINGS];
    char lines[4096];
    size_t line_size;
    struct event_log log;
};

static void write_line(void *context, enum event_level level, struct span line)
{
    struct fixture *f = context;
    (void)level;
    size_t room = sizeof f->lines - 1 - f->line_size, size = line.size < room ? line.size : room;
    memcpy(f->lines + f->line_size, line.data, size);
    f->line_size += size;
}

static void open_all(struct fixture *f, bool has_kernel)
{
    memset(f, 0, sizeof *f);
    for (uint16_t i = 0; i < LOOPS; i++)
        EXPECT_OK(backend_io_new(
            &(struct backend_options){.loop_index = i, .loop_count = LOOPS, .entries = 16},
            &f->loops[i]));
    mem_init(&f->mem, &f->loops[0]->ledger);
    event_log_init(&f->log, write_line, f);
    EXPECT_OK(sight_open(&f->sight, &(struct sight_options){.loops = {f->loops[0], f->loops[1]},
                                        .loop_count = LOOPS,
                                        .machine = 7,
                                        .mem = &f->mem,
                                        .log = &f->log,
                                        .descriptor_limit = 1024,
                                        .has_kernel = has_kernel}));
    owner_open(&f->owner, "leaky", DIRECTION_SYNC_SEND, 0);
    f->owner.peer_machine = 3;
}

static void turn(struct fixture *f)
{
    for (uint16_t i = 0; i < LOOPS; i++)
        io_turn(f->loops[i], false);
}

static void close_all(struct fixture *f)
{
    sight_stop(&f->sight);
    for (unsigned i = 0; !sight_is_idle(&f->sight); i++) {
        EXPECT(i < TURNS_MAX);
        turn(f);
    }
    sight_close(&f->sight);
    for (uint16_t i = 0; i < LOOPS; i++) {
        ledger_check_empty(&f->loops[i]->ledger);
        f->loops[i]->backend->free(f->loops[i]);
    }
}

static void seen(struct sight_waiter *waiter)
{
    waiter->number = 0;
}

/* Returns how many turns it took. */
static unsigned ask(struct fixture *f)
{
    struct sight_waiter waiter = {.seen = seen};
    unsigned turns = 0;
    sight_ask(&f->sight, &waiter);
    for (; waiter.number != 0; turns++) {
        EXPECT(turns < TURNS_MAX);
        turn(f);
    }
    return turns;
}

static void hold(struct fixture *f, uint16_t loop, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        ledger_enter(&f->loops[loop]->ledger, &f->things[i], .kind = HELD_SLOT, .size = 8,
            .life = LIFE_REQUEST, .owner = &f->owner);
}

static void give_back(struct fixture *f, uint16_t loop, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        ledger_release(&f->loops[loop]->ledger, &f->things[i], HELD_SLOT);
}

TEST(all_loops_and_their_backends_are_summed_a_piece_at_a_time)
{
    static struct fixture f;
    open_all(&f, false);
    hold(&f, 0, 0, 1000);
    hold(&f, 1, 1000, 2000);
    unsigned turns = ask(&f);
    EXPECT(turns >= 5); /* 3000 entries, 512 at a time */
    EXPECT_EQ(f.sight.shown->held[HELD_SLOT], 3000);
    EXPECT_EQ(f.sight.shown->bytes[HELD_SLOT], 24000);
    EXPECT_EQ(f.sight.shown->held_max[HELD_SLOT], 3000);
    EXPECT_EQ(f.sight.shown->held[HELD_FD], 2 * LOOPS); /* ring and wake-up of each */
    EXPECT_EQ(f.sight.shown->held[HELD_MAP], LOOPS);
    give_back(&f, 0, 0, 1000);
    give_back(&f, 1, 1000, 2000);
    (void)ask(&f);
    EXPECT_EQ(f.sight.shown->held[HELD_SLOT], 0);
    EXPECT_EQ(f.sight.shown->held_max[HELD_SLOT], 3000);
    close_all(&f);
}

TEST(who_asks_while_a_pass_is_out_gets_one_that_began_later)
{
    static struct fixture f;
    open_all(&f, false);
    struct sight_waiter first = {.seen = seen}, second = {.seen = seen};
    sight_ask(&f.sight, &first);
    io_turn(f.loops[0], false);
    sight_ask(&f.sight, &second);
    EXPECT_EQ(second.number, first.number + 1);
    for (unsigned i = 0; second.number != 0; i++) {
        EXPECT(i < TURNS_MAX);
        turn(&f);
        EXPECT(second.number != 0 || first.number == 0);
    }
    EXPECT_EQ(f.sight.number, 2);
    close_all(&f);
}

TEST(stopping_brings_the_pass_home_and_answers_who_waits)
{
    static struct fixture f;
    open_all(&f, true);
    struct sight_waiter waiter = {.seen = seen};
    sight_watch(&f.sight);
    hold(&f, 1, 0, 2000);
    sight_ask(&f.sight, &waiter);
    turn(&f);
    give_back(&f, 1, 0, 2000);
    sight_stop(&f.sight);
    for (unsigned i = 0; !sight_is_idle(&f.sight); i++) {
        EXPECT(i < TURNS_MAX);
        turn(&f);
    }
    EXPECT_EQ(waiter.number, 0);
    waiter.number = 1;
    sight_ask(&f.sight, &waiter); /* at once: nobody will come any more */
    EXPECT_EQ(waiter.number, 0);
    close_all(&f);
}

static struct span report(
    struct fixture *f, enum sight_question question, uint8_t *bytes, size_t size)
{
    struct writer w = {.data = bytes, .capacity = size};
    sight_write(&f->sight, question, "storage", &w);
    EXPECT(!w.failed);
    bytes[w.size] = '\0';
    return span_of(bytes, w.size);
}

TEST(the_report_names_kind_place_owner_direction_and_peer)
{
    static struct fixture f;
    static uint8_t bytes[65536];
    open_all(&f, true);
    hold(&f, 1, 0, 3);
    (void)ask(&f);
    (void)report(&f, SIGHT_ASKS_RES, bytes, sizeof bytes - 1);
    const char *text = (const char *)bytes;
    EXPECT(strstr(text, "\"machine\":7,"));
    EXPECT(strstr(text, "\"kind\":\"slot\",\"direction\":\"sync-send\",\"operation\":\"leaky\","
                        "\"origin\":0,\"peer\":3,"
                        "\"class\":\"request\",\"file\":\"tests/unit/sight/sight_test.c\""));
    EXPECT(strstr(text, "\"count\":3,\"bytes\":24,"));
    EXPECT(strstr(text, "\"kernel\":{\"comparisons\":1,"));
    EXPECT(strstr(text, "\"rows_left_off\":0"));
    give_back(&f, 1, 0, 3);
    close_all(&f);
}

TEST(rows_that_do_not_fit_are_left_off_and_counted)
{
    static struct fixture f;
    static struct owner owners[40];
    static struct held held[40];
    static uint8_t bytes[16384];
    open_all(&f, false);
    for (unsigned i = 0; i < ARRAY_LEN(owners); i++) {
        owner_open(&owners[i], "many", DIRECTION_CLIENT, 0);
        owners[i].peer_machine = i + 1;
        memset(&held[i], 0, sizeof held[i]);
        ledger_enter(&f.loops[0]->ledger, &held[i], .kind = HELD_SLOT, .owner = &owners[i]);
    }
    (void)ask(&f);
    (void)report(&f, SIGHT_ASKS_RES, bytes, sizeof bytes - 1);
    EXPECT(!strstr((const char *)bytes, "\"rows_left_off\":0"));
    for (unsigned i = 0; i < ARRAY_LEN(owners); i++)
        ledger_release(&f.loops[0]->ledger, &held[i], HELD_SLOT);
    close_all(&f);
}

/* Time is the ledgers' here: growth is stepped as the timer would. */
static void pass_at(struct fixture *f, uint64_t now_ns)
{
    (void)ask(f);
    for (uint32_t i = 0; i < f->sight.shown->count; i++) {
        struct census_row *row = &f->sight.shown->rows[i];
        if (row->key.operation == f->owner.operation)
            row->late = row->count;
    }
    f->sight.shown->now_ns = now_ns;
    growth_step(f->sight.growth, f->sight.shown, 0);
}

TEST(a_leak_is_found_told_once_and_named_with_its_place)
{
    static struct fixture f;
    static uint8_t bytes[65536];
    struct sight_findings findings;
    open_all(&f, false);
    for (unsigned i = 0; i < 8; i++) {
        hold(&f, 1, (size_t)i * 10, 10);
        pass_at(&f, io_now(f.loops[0]) + (uint64_t)(i + 1) * 5 * NS_PER_S);
        findings_log(&f.sight);
    }
    findings_collect(&f.sight, &findings);
    EXPECT_EQ(findings.count, 1);
    EXPECT_EQ(findings.all[0].code, FINDING_LEAK);
    EXPECT(strstr(findings.all[0].sentence, "80 slot of leaky (sync-send, peer m003) at "));
    EXPECT(strstr(f.lines, "leak"));
    EXPECT(strstr(f.lines, "peer=m003"));
    EXPECT(!strstr(strstr(f.lines, "WARN leak") + 1, "WARN leak"));
    (void)report(&f, SIGHT_ASKS_DOCTOR, bytes, sizeof bytes - 1);
    EXPECT(strstr((const char *)bytes, "\"code\":\"LEAK\",\"urgency\":1,"));
    give_back(&f, 1, 0, 80);
    close_all(&f);
}

TEST(a_refused_start_of_sight_leaves_nothing)
{
    struct io *io;
    struct mem mem;
    static struct sight sight;
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 16}, &io));
    mem_init(&mem, &io->ledger);
    for (uint64_t n = 1; n <= 5; n++) {
        io->ledger.refusal = (struct refusal){.countdown = n};
        EXPECT_ERR(sight_open(&sight, &(struct sight_options){.loops = {io},
                                          .loop_count = 1,
                                          .mem = &mem,
                                          .descriptor_limit = 1024,
                                          .has_kernel = true}),
            BUSY);
        sight_close(&sight);
        ledger_check_empty(&io->ledger);
    }
    io->backend->free(io);
}
