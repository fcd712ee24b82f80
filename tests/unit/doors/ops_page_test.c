/* What is in flight on a loop, as JSON: stage, ages, deadline, holdings, and what it waits for. */
#include "doors/ops_page.h"

#include "base/units.h"
#include "tests/lib/test.h"

enum { WAIT, REST, UNWIND, DONE };

struct job {
    struct machine machine;
    struct held slot;
    struct io_op op;
};

static int wait_here(struct machine *machine)
{
    return machine_wait_in(machine, WAIT, 1);
}
static int rest(struct machine *machine)
{
    return machine_wait_in(machine, REST, 1);
}
static int unwind(struct machine *machine)
{
    (void)machine;
    return DONE;
}
static int done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}
static const struct stage stages[] = {
    [WAIT] = {"wait", wait_here, BIT(WAIT) | BIT(REST), 2000},
    [REST] = {"rest", rest, BIT(REST), STAGE_RESTS},
    [UNWIND] = {"unwind", unwind, BIT(DONE), 0},
    [DONE] = {"done", done, 0, 0},
};
static const struct machine_kind kind = {"job", stages, ARRAY_LEN(stages), UNWIND, DONE};

/* A world without a backend: the clock is set by hand. */
static void set_now(struct io *io, uint64_t now_ns)
{
    io->now_ns = io->run.now_ns = io->ledger.now_ns = now_ns;
}

static void start(struct io *io, struct job *job)
{
    machine_start(&job->machine, &kind, &io->run, DIRECTION_SYNC_RECV);
    run_queue_run(&io->run);
}

static const char *page_of(const struct io *io, bool shows_resting, size_t capacity)
{
    static char text[16384];
    struct writer writer = {.data = (uint8_t *)text, .capacity = capacity};
    struct ops_page page;
    ops_page_begin(&page, &writer, "storage", 7, shows_resting);
    ops_page_add(&page, io);
    ops_page_end(&page);
    EXPECT(!writer.failed);
    text[writer.size] = '\0';
    return text;
}

TEST(an_operation_is_shown_with_stage_ages_deadline_holdings_and_names)
{
    static struct io io;
    struct job job = {0};
    io_init(&io, NULL);
    set_now(&io, NS_PER_S);
    start(&io, &job);
    owner_set_object(&job.machine.owner, 99, 3);
    job.machine.owner.peer_machine = 4;
    ledger_enter(&io.ledger, &job.slot, .kind = HELD_SLOT, .owner = &job.machine.owner);
    set_now(&io, 2 * NS_PER_S);
    EXPECT_TEXT(page_of(&io, false, 16000),
        "{\"role\":\"storage\",\"machine\":7,\"operations\":[{\"loop\":0,\"kind\":\"job\","
        "\"direction\":\"sync-recv\",\"stage\":\"wait\",\"age_ms\":1000,\"stage_ms\":1000,"
        "\"deadline_ms\":2000,\"overdue\":false,\"waits\":\"1 arrivals\",\"error\":\"\",\"peer\":4,"
        "\"origin\":3,\"object\":99,\"held\":{\"slot\":1}}],\"resting\":0,\"cut\":0}");
    ledger_release(&io.ledger, &job.slot, HELD_SLOT);
}

TEST(what_stays_longer_than_its_stage_should_is_overdue)
{
    static struct io io;
    struct job job = {0};
    io_init(&io, NULL);
    start(&io, &job);
    set_now(&io, 2000 * NS_PER_MS);
    EXPECT(strstr(page_of(&io, false, 16000), "\"overdue\":false"));
    set_now(&io, 2001 * NS_PER_MS);
    EXPECT(strstr(page_of(&io, false, 16000), "\"overdue\":true"));
}

TEST(it_waits_for_the_operation_that_is_out_or_for_its_turn)
{
    static struct io io;
    struct job job = {0};
    io_init(&io, NULL);
    start(&io, &job);
    job.op = (struct io_op){.kind = IO_RECV, .fd = 12, .site = SITE()};
    ledger_enter(&io.ledger, &job.op.held, .kind = HELD_OP, .owner = &job.machine.owner);
    const char *text = page_of(&io, false, 16000);
    EXPECT(strstr(text, "\"waits\":\"recv 12 (tests/unit/doors/ops_page_test.c:"));
    EXPECT(strstr(text, "\"held\":{\"op\":1}"));
    job.op.kind = IO_TIMER;
    EXPECT(strstr(page_of(&io, false, 16000), "\"waits\":\"timer (tests/unit/"));
    ledger_release(&io.ledger, &job.op.held, HELD_OP);
    machine_arrive(&job.machine);
    EXPECT(strstr(page_of(&io, false, 16000), "\"waits\":\"its turn\""));
}

TEST(what_rests_is_counted_and_shown_only_if_asked_for)
{
    static struct io io;
    struct job job = {0};
    io_init(&io, NULL);
    start(&io, &job);
    job.machine.stage = REST;
    EXPECT(strstr(page_of(&io, false, 16000), "\"operations\":[],\"resting\":1,"));
    const char *text = page_of(&io, true, 16000);
    EXPECT(strstr(text, "\"stage\":\"rest\""));
    EXPECT(strstr(text, "\"deadline_ms\":0,\"overdue\":false"));
}

TEST(what_finds_no_room_is_counted_and_the_oldest_are_shown)
{
    static struct io io;
    static struct job jobs[OPS_PAGE_MACHINES_MAX + 5];
    io_init(&io, NULL);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        set_now(&io, i * NS_PER_MS);
        start(&io, &jobs[i]);
    }
    set_now(&io, NS_PER_S);
    const char *text = page_of(&io, false, 2048);
    EXPECT(strstr(text, "\"age_ms\":1000,"));
    EXPECT(!strstr(text, "\"age_ms\":600,"));
    size_t shown = 0;
    for (const char *at = text; (at = strstr(at, "\"kind\"")) != NULL; at++)
        shown++;
    char cut[32];
    (void)snprintf(cut, sizeof cut, "\"cut\":%zu}", ARRAY_LEN(jobs) - shown);
    EXPECT(shown >= 3);
    EXPECT(strstr(text, cut));
}

TEST(only_its_own_words_ask_for_it)
{
    bool shows_resting;
    EXPECT(ops_page_is_asked(span_of_text("ops"), &shows_resting) && !shows_resting);
    EXPECT(ops_page_is_asked(span_of_text("ops all"), &shows_resting) && shows_resting);
    EXPECT(!ops_page_is_asked(span_of_text("status"), &shows_resting));
    EXPECT(!ops_page_is_asked(span_of_text(""), &shows_resting));
}
