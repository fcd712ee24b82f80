#include "sight/sight.h"

#include <string.h>

#include "sight/findings.h"

/* ---- life ---- */

uint64_t sight_bytes(uint64_t descriptor_limit, bool has_kernel)
{
    uint64_t ret = 2 * sizeof(struct census) + sizeof(struct growth);
    return has_kernel ? ret + reality_bytes(descriptor_limit) : ret;
}

static err_t take(struct sight *sight)
{
    struct mem *mem = sight->options.mem;
    void *block;
    TRY(mem_take(mem, &sight->owner, sizeof(struct census), 0, &block));
    sight->filling = block;
    TRY(mem_take(mem, &sight->owner, sizeof(struct census), 0, &block));
    sight->shown = block;
    TRY(mem_take(mem, &sight->owner, sizeof(struct growth), 0, &block));
    sight->growth = block;
    if (!sight->options.has_kernel)
        return ERR_OK;
    return reality_init(&sight->reality, mem, &sight->owner, sight->options.descriptor_limit);
}

static void give(struct sight *sight)
{
    struct mem *mem = sight->options.mem;
    reality_fini(&sight->reality);
    mem_give(mem, sight->growth);
    mem_give(mem, sight->shown);
    mem_give(mem, sight->filling);
    owner_close(&sight->owner);
}

err_t sight_open(struct sight *sight, const struct sight_options *options)
{
    CHECK(options->loop_count > 0 && options->loop_count <= SIGHT_LOOPS_MAX);
    *sight = (struct sight){.options = *options, .run_ns = UINT64_MAX};
    owner_open(&sight->owner, "sight", DIRECTION_OWN, io_now(options->loops[0]));
    list_init(&sight->waiters);
    err_t err = take(sight);
    sight->is_open = !err_is(err);
    if (err_is(err))
        give(sight);
    return err;
}

void sight_close(struct sight *sight)
{
    if (!sight->is_open)
        return;
    CHECK(sight_is_idle(sight));
    give(sight);
    sight->is_open = false;
}

bool sight_is_idle(const struct sight *sight)
{
    return !sight->is_open
           || (sight->stage == SIGHT_AT_HOME && !io_op_is_out(&sight->timer)
               && list_is_empty(&sight->waiters));
}

/* ---- the end of a pass ---- */

static void begin(struct sight *sight);

static void tell_waiters(struct sight *sight)
{
    LIST_EACH_SAFE (node, &sight->waiters) {
        struct sight_waiter *waiter = CONTAINER_OF(node, struct sight_waiter, link);
        if (waiter->number > sight->number && !sight->is_stopping)
            continue;
        list_remove(&waiter->link);
        waiter->seen(waiter);
    }
}

static void come_home(struct sight *sight)
{
    struct census *census = sight->filling;
    uint64_t now_ns = io_now(sight->options.loops[0]);
    sight->stage = SIGHT_AT_HOME;
    bool is_due =
        sight->stepped_ns == 0 || now_ns - sight->stepped_ns >= SIGHT_INTERVAL_NS * 9 / 10;
    if (is_due && sight->is_watching) {
        growth_step(sight->growth, census, census->held[HELD_CONN] + census->machines);
        sight->stepped_ns = now_ns;
    }
    sight->filling = sight->shown;
    sight->shown = census;
    if (is_due && sight->is_watching)
        findings_log(sight);
    tell_waiters(sight);
    if (sight->is_wanted && !sight->is_stopping)
        begin(sight);
}

/* ---- a pass ---- */

static void visit(void *context, const struct held *held)
{
    struct sight *sight = context;
    bool is_forsaken = false;
    if (sight->options.has_kernel) {
        is_forsaken = reality_is_forsaken(&sight->reality, held);
        reality_note(&sight->reality, held);
    }
    census_add(sight->filling, held, is_forsaken);
}

static struct ledger *ledger_here(const struct sight *sight)
{
    struct io *io = sight->options.loops[sight->at];
    return sight->is_own ? io->own : &io->ledger;
}

static void walk_begin(struct sight *sight)
{
    ledger_walk_begin(ledger_here(sight), &sight->walk);
    sight->is_walking = true;
    census_add_marks(sight->filling, ledger_here(sight));
    if (!sight->is_own)
        LIST_EACH (node, &sight->options.loops[sight->at]->run.machines)
            sight->filling->machines++;
}

/* On the loop `at`: true when it has been gone through. */
static bool walk_on(struct sight *sight)
{
    if (!sight->is_walking)
        walk_begin(sight);
    if (!ledger_walk_step(ledger_here(sight), &sight->walk, SIGHT_SLICE, visit, sight))
        return false;
    sight->is_walking = false;
    sight->is_own = !sight->is_own && sight->options.loops[sight->at]->own != NULL;
    return !sight->is_own;
}

static void post(struct sight *sight, struct io *here, uint16_t to)
{
    io_post(here, sight->options.loops[to], &sight->message);
}

static void go_on(struct io *here, struct io_message *message)
{
    struct sight *sight = CONTAINER_OF(message, struct sight, message);
    uint16_t loop_count = sight->options.loop_count;
    switch (sight->stage) {
    case SIGHT_SCANS:
        if (reality_scan(&sight->reality))
            sight->stage = SIGHT_WALKS;
        break;
    case SIGHT_WALKS:
        if (walk_on(sight) && ++sight->at == loop_count)
            sight->stage = SIGHT_JUDGES;
        break;
    default:
        if (!sight->options.has_kernel || reality_judge(&sight->reality)) {
            come_home(sight);
            return;
        }
    }
    post(sight, here, sight->stage == SIGHT_WALKS ? sight->at : 0);
}

static void begin(struct sight *sight)
{
    struct io *home = sight->options.loops[0];
    sight->is_wanted = false;
    sight->number++;
    sight->at = 0;
    sight->is_own = false;
    census_begin(sight->filling, io_now(home), sight->run_ns);
    sight->stage = sight->options.has_kernel ? SIGHT_SCANS : SIGHT_WALKS;
    if (sight->options.has_kernel)
        reality_begin(&sight->reality);
    sight->message.deliver = go_on;
    post(sight, home, 0);
}

static void want(struct sight *sight)
{
    if (sight->stage != SIGHT_AT_HOME)
        sight->is_wanted = true;
    else
        begin(sight);
}

void sight_ask(struct sight *sight, struct sight_waiter *waiter)
{
    if (sight->is_stopping || !sight->is_open) {
        waiter->seen(waiter);
        return;
    }
    waiter->number = sight->number + 1;
    list_push_back(&sight->waiters, &waiter->link);
    want(sight);
}

/* ---- by itself ---- */

static void timer_set(struct sight *sight)
{
    struct io *home = sight->options.loops[0];
    sight->timer.deadline_ns = io_now(home) + SIGHT_INTERVAL_NS;
    io_submit(home, &sight->timer);
}

static void timer_rang(struct io_op *timer)
{
    struct sight *sight = timer->context;
    if (sight->is_stopping)
        return;
    if (timer->result >= 0 && sight->stage == SIGHT_AT_HOME)
        begin(sight);
    timer_set(sight);
}

void sight_watch(struct sight *sight)
{
    struct io *home = sight->options.loops[0];
    if (sight->is_watching || !sight->is_open)
        return;
    sight->is_watching = true;
    sight->run_ns = io_now(home);
    sight->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = &sight->owner,
        .wake = timer_rang,
        .context = sight};
    timer_set(sight);
}

void sight_stop(struct sight *sight)
{
    sight->is_stopping = true;
    if (!sight->is_open)
        return;
    if (sight->is_watching)
        io_cancel(sight->options.loops[0], &sight->timer);
    if (sight->stage == SIGHT_AT_HOME)
        tell_waiters(sight);
}
