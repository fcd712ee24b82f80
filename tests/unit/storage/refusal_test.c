/* The refusal sweep over every operation: the n-th I/O or acquisition is refused, once and for ever.
 * The operation ends; what it answered is true before and after a restart; nothing is held; the store
 * goes on, or is fenced and can be opened again. */
#include "sim/mem.h"
#include "sim/sweep.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

#define LONG_NS UINT64_C(20000000000)

struct scenario {
    enum store_call_kind kind;
    uint8_t mode;    /* CALL_MODIFY */
    size_t old_size; /* of the file that is there; not for uploads */
    size_t size;     /* of the body */
    uint64_t offset;
    uint8_t ack;
    bool is_forwarded; /* the file was outgrown before */
};

/* What may be there afterwards. */
struct outcome {
    uint8_t *old, *new;
    size_t old_size, new_size;
    bool has_old, has_new;
};

static void set_new(const struct scenario *scenario, struct outcome *outcome)
{
    size_t old = scenario->old_size, at = 0, size = scenario->size;
    outcome->new = sim_alloc(old + size + 4 + (size_t)scenario->offset);
    if (scenario->kind == CALL_REMOVE)
        return;
    outcome->has_new = true;
    if (scenario->mode != MODIFY_REPLACE && scenario->kind == CALL_MODIFY)
        memcpy(outcome->new, outcome->old, old);
    outcome->new_size = size;
    if (scenario->mode == MODIFY_APPEND) {
        at = old;
        outcome->new_size = old + size;
    } else if (scenario->mode == MODIFY_WRITE) {
        at = (size_t)scenario->offset;
        outcome->new_size = at + size > old ? at + size : old;
    } else if (scenario->mode == MODIFY_TRUNCATE) {
        outcome->new_size = (size_t)scenario->offset;
    }
    stand_fill(outcome->new + at, size, 2);
}

static bool is_expected(err_t err)
{
    static const enum err_code codes[] = {ERR_CODE_BUSY, ERR_CODE_NO_RESOURCE, ERR_CODE_IO,
        ERR_CODE_NO_SPACE, ERR_CODE_OFFLINE, ERR_CODE_OUTCOME_UNKNOWN};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (err_has(err, codes[i]))
            return true;
    return false;
}

static struct store_call *begin(
    struct stand *stand, const struct scenario *scenario, const struct fid *fid)
{
    struct store_call *call = store_call_new(stand->world, scenario->kind, 5);
    uint8_t *data = sim_alloc(scenario->size + 1);
    stand_fill(data, scenario->size, 2);
    store_call_set_content(call, data, scenario->size);
    sim_free(data);
    if (scenario->kind == CALL_UPLOAD) {
        call->upload.request.is_mutable = true;
        call->upload.request.ack = scenario->ack;
    } else if (scenario->kind == CALL_MODIFY) {
        call->modify.request.fid = *fid;
        call->modify.request.mode = scenario->mode;
        call->modify.request.offset = scenario->offset;
        call->modify.request.ack = ACK_LOCAL;
    } else if (scenario->kind == CALL_REMOVE) {
        call->remove.fid = *fid;
        call->remove.ack = ACK_LOCAL;
    } else if (scenario->kind == CALL_FIND) {
        call->find.fid = *fid;
    } else {
        call->stat.fid = *fid;
    }
    return call;
}

static bool call_is_done(void *context)
{
    return ((struct store_call *)context)->is_done;
}

static bool content_is(
    struct stand *stand, const struct fid *fid, bool has, const uint8_t *data, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    bool is_it = has ? !err_is(call->err) && call->found_size == size
                           && (size == 0 || memcmp(call->found, data, size) == 0)
                     : err_has(call->err, ERR_CODE_NOT_FOUND);
    store_call_free(call);
    return is_it;
}

/* The file is what the answer says. */
static void judge(struct stand *stand, const struct scenario *scenario,
    const struct store_call *call, const struct fid *fid, const struct outcome *outcome,
    bool was_fenced)
{
    bool is_old = content_is(stand, fid, outcome->has_old, outcome->old, outcome->old_size);
    bool is_read = scenario->kind == CALL_FIND || scenario->kind == CALL_STAT;
    if (is_read) {
        EXPECT(is_old);
        return;
    }
    bool is_new = content_is(stand, fid, outcome->has_new, outcome->new, outcome->new_size);
    if (call->is_told && (scenario->ack != ACK_MEMORY || !was_fenced))
        EXPECT(is_new);
    else if (call->is_told)
        EXPECT(is_new || is_old); /* the log failed behind an answer from memory */
    else if (err_has(call->err, ERR_CODE_OUTCOME_UNKNOWN))
        EXPECT(is_new || is_old);
    else
        EXPECT(is_old);
}

/* The loop that was armed is gone by now; the sweep asks whoever stands in its place. */
static void finish(struct stand *stand, struct sim_attempt *attempt, bool fired)
{
    struct io *io = sim_loop_new(stand->world, stand->lab.node, 0);
    io->ledger.refusal.fired = fired;
    attempt->armed = io;
}

static void run_to_the_end(
    struct stand *stand, struct store_call *call, struct sim_attempt *attempt, bool *ret_fired)
{
    sim_attempt_arm(attempt, stand->lab.io[0]);
    store_call_start(call, &stand->lab.stores[0]);
    bool is_done = sim_world_run_until(stand->world, call_is_done, call, LONG_NS);
    *ret_fired = sim_attempt_disarm(attempt);
    if (!is_done) /* it waits for room in the log, which comes when the refusals end */
        is_done = sim_world_run_until(stand->world, call_is_done, call, LONG_NS);
    EXPECT(is_done);
    EXPECT(!err_is(call->err) || is_expected(call->err));
    EXPECT(call->is_told || err_is(call->err));
}

static void run(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    const struct scenario *scenario = context;
    struct store_lab_options options;
    struct stand stand = {.world = world};
    store_lab_options_small(&options);
    store_lab_init(&stand.lab, world, &options);
    EXPECT_OK(store_lab_boot(&stand.lab));
    bool is_upload = scenario->kind == CALL_UPLOAD, fired;
    struct outcome outcome = {.has_old = !is_upload, .old_size = scenario->old_size};
    struct fid neighbour = stand_upload(&stand, 500, 9), fid = {0};
    if (!is_upload)
        fid = stand_upload(&stand, scenario->is_forwarded ? 10 : scenario->old_size, 1);
    struct fid behind = stand_upload(&stand, 600, 8);
    if (scenario->is_forwarded)
        stand_modify(&stand, &fid, MODIFY_REPLACE, 0, scenario->old_size, 1);
    outcome.old = sim_alloc(scenario->old_size + 1);
    stand_fill(outcome.old, scenario->old_size, 1);
    set_new(scenario, &outcome);

    struct store_call *call = begin(&stand, scenario, &fid);
    run_to_the_end(&stand, call, attempt, &fired);
    if (is_upload && call->is_told)
        fid = call->upload.result.fid;
    bool was_fenced = false;
    for (unsigned round = 0; round < 2; round++) {
        was_fenced |= stand.lab.fences > 0;
        if (stand.lab.fences == 0) {
            if (!is_upload || call->is_told)
                judge(&stand, scenario, call, &fid, &outcome, was_fenced);
            stand_expect(&stand, &neighbour, 500, 9);
            stand_expect(&stand, &behind, 600, 8);
            struct fid more = stand_upload(&stand, 1234, 7);
            stand_expect(&stand, &more, 1234, 7);
        }
        EXPECT(store_lab_close(&stand.lab));
        EXPECT_OK(store_lab_boot(&stand.lab));
    }
    EXPECT(store_lab_close(&stand.lab));
    store_call_free(call);
    sim_free(outcome.old);
    sim_free(outcome.new);
    finish(&stand, attempt, fired);
}

static void sweep(struct scenario scenario)
{
    struct sim_sweep sweep_options = {.seed = 1, .context = &scenario, .run = run};
    EXPECT(sim_sweep(&sweep_options) > 8);
}

TEST(uploads_that_are_refused_leave_nothing)
{
    static const size_t sizes[] = {100, 9000, 40000}; /* in the log, referenced, single */
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        sweep((struct scenario){.kind = CALL_UPLOAD, .size = sizes[i], .ack = ACK_LOCAL});
}

TEST(uploads_from_memory_that_are_refused_leave_nothing)
{
    sweep((struct scenario){.kind = CALL_UPLOAD, .size = 100, .ack = ACK_MEMORY});
    sweep((struct scenario){.kind = CALL_UPLOAD, .size = 9000, .ack = ACK_MEMORY});
}

TEST(finds_and_stats_that_are_refused_harm_nothing)
{
    static const size_t sizes[] = {100, 9000, 40000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        sweep((struct scenario){.kind = CALL_FIND, .old_size = sizes[i]});
        sweep((struct scenario){.kind = CALL_STAT, .old_size = sizes[i]});
        sweep((struct scenario){.kind = CALL_FIND, .old_size = sizes[i], .is_forwarded = true});
    }
}

TEST(deletes_that_are_refused_delete_all_or_nothing)
{
    static const size_t sizes[] = {100, 9000, 40000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        sweep((struct scenario){.kind = CALL_REMOVE, .old_size = sizes[i]});
        sweep((struct scenario){.kind = CALL_REMOVE, .old_size = sizes[i], .is_forwarded = true});
    }
}

TEST(replaces_that_are_refused_leave_the_old_or_the_new_content)
{
    static const size_t sizes[] = {90, 9000, 40000}; /* home, slot, single */
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
            sweep((struct scenario){.kind = CALL_MODIFY,
                .mode = MODIFY_REPLACE,
                .old_size = sizes[k],
                .size = sizes[i]});
        sweep((struct scenario){.kind = CALL_MODIFY,
            .mode = MODIFY_REPLACE,
            .old_size = 9000,
            .size = sizes[i],
            .is_forwarded = true});
    }
}

TEST(partial_changes_that_are_refused_leave_the_old_or_the_new_content)
{
    static const size_t sizes[] = {2000, 40000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct scenario scenario = {
            .kind = CALL_MODIFY, .old_size = sizes[i], .size = 700, .offset = 300};
        for (scenario.mode = MODIFY_WRITE; scenario.mode <= MODIFY_APPEND; scenario.mode++)
            sweep(scenario);
        scenario.size = 0;
        scenario.mode = MODIFY_TRUNCATE;
        sweep(scenario);
        scenario.offset = sizes[i] + 30000;
        sweep(scenario);
        scenario = (struct scenario){
            .kind = CALL_MODIFY, .mode = MODIFY_APPEND, .old_size = sizes[i], .size = 50000};
        sweep(scenario);
    }
}
