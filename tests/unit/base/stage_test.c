/* Stage machines: order, waiting, failure by one door. */
#include "base/stage.h"
#include "tests/lib/test.h"

enum { WORK, WAITED, UNWIND, DONE };

struct job {
    struct machine machine;
    int waited, unwound, done;
    bool fail_early;
};

static int work(struct machine *machine)
{
    struct job *job = CONTAINER_OF(machine, struct job, machine);
    if (job->fail_early)
        return machine_fail(machine, ERR(NO_SPACE, 0));
    return machine_wait_in(machine, WAITED, 2);
}
static int waited(struct machine *machine)
{
    CONTAINER_OF(machine, struct job, machine)->waited++;
    return UNWIND;
}
static int unwind(struct machine *machine)
{
    CONTAINER_OF(machine, struct job, machine)->unwound++;
    return DONE;
}
static int done(struct machine *machine)
{
    CONTAINER_OF(machine, struct job, machine)->done++;
    owner_close(&machine->owner);
    return STAGE_END;
}
static const struct stage stages[] = {
    [WORK] = {"work", work, BIT(WAITED), 0},
    [WAITED] = {"waited", waited, 0, 0},
    [UNWIND] = {"unwind", unwind, BIT(DONE), 0},
    [DONE] = {"done", done, 0, 0},
};
static const struct machine_kind kind = {"job", stages, ARRAY_LEN(stages), UNWIND, DONE};

TEST(a_machine_runs_only_after_all_its_arrivals)
{
    struct run_queue queue;
    run_queue_init(&queue);
    struct job job = {0};
    machine_start(&job.machine, &kind, &queue, DIRECTION_OWN);
    run_queue_run(&queue);
    EXPECT_TEXT(machine_stage_name(&job.machine), "waited");
    machine_arrive(&job.machine);
    run_queue_run(&queue);
    EXPECT_EQ(job.waited, 0);
    machine_arrive_now(&job.machine);
    EXPECT_EQ(job.waited, 1);
    EXPECT_EQ(job.done, 1);
    EXPECT(list_is_empty(&queue.machines));
}

TEST(what_ended_is_counted_by_kind_result_and_duration)
{
    struct run_queue queue;
    run_queue_init(&queue);
    struct job good = {0}, bad = {.fail_early = true};
    queue.now_ns = 1000;
    machine_start(&good.machine, &kind, &queue, DIRECTION_OWN);
    machine_start(&bad.machine, &kind, &queue, DIRECTION_OWN);
    run_queue_run(&queue);
    queue.now_ns = 1000 + (UINT64_C(1) << 20);
    machine_arrive(&good.machine);
    machine_arrive(&good.machine);
    run_queue_run(&queue);
    struct deeds sum = {0};
    deeds_merge(&sum, &queue.deeds);
    const struct deed *row = NULL;
    for (size_t i = 0; i < DEED_KINDS_MAX; i++)
        if (sum.rows[i].key == &kind)
            row = &sum.rows[i];
    EXPECT(row != NULL);
    if (!row)
        return;
    EXPECT_TEXT(row->name, "job");
    EXPECT_EQ(row->results[ERR_CODE_OK], 1);
    EXPECT_EQ(row->results[ERR_CODE_NO_SPACE], 1);
    EXPECT_EQ(row->timing.sum_ns, UINT64_C(1) << 20);
    EXPECT_EQ(row->timing.buckets[0], 1); /* the one that failed at once */
    EXPECT_EQ(row->timing.buckets[20 - TIMING_FIRST_BITS], 1);
}

TEST(failure_leaves_by_unwind_and_keeps_its_first_cause)
{
    struct run_queue queue;
    run_queue_init(&queue);
    struct job job = {.fail_early = true};
    machine_start(&job.machine, &kind, &queue, DIRECTION_OWN);
    run_queue_run(&queue);
    EXPECT_EQ(job.unwound, 1);
    EXPECT_EQ(job.done, 1);
    EXPECT_EQ(job.machine.err.code, ERR_CODE_NO_SPACE);
}
