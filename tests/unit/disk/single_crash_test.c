/* Single files and crashes: whatever operation the process or the machine dies in, after recovery the
 * content is that of the last committed record, never a mix. */
#include "tests/unit/disk/single_bench.h"

struct step {
    enum job_kind kind;
    uint64_t offset, size;
};

static struct job *step_job(const struct step *step, const uint8_t *data)
{
    struct job *job = job_new(step->kind);
    bool has_content = step->kind != JOB_TRUNCATE && step->kind != JOB_DELETE;
    job->offset = step->offset;
    job->size = step->size;
    job->content = span_of(data, has_content ? step->size : 0);
    return job;
}

static void do_step(struct bench *bench, const struct step *step, uint64_t seed)
{
    uint8_t *data = bytes_new(seed, step->size);
    struct job *job = step_job(step, data);
    bench_do(bench, job);
    free(job);
    free(data);
}

static err_t bench_try(struct bench *bench, enum job_kind kind)
{
    struct job *job = job_new(kind);
    EXPECT(bench_run(bench, job));
    err_t err = job->err;
    free(job);
    return err;
}

static void checkpoint(struct bench *bench)
{
    do_step(bench, &(struct step){.kind = JOB_CHECKPOINT}, 0);
}

static bool has_exact_length(struct bench *bench)
{
    char path[SINGLE_PATH_MAX + 3] = "/d/";
    single_path(path + 3, &bench->identity);
    return sim_file_size(bench->node, path) == (int64_t)blocks_file_size(bench->model.size);
}

/* Where an append failed may be bytes behind the end: a later change must not show them. */
static void change_after_crash(struct bench *bench, uint64_t seed)
{
    if (!bench->model.exists)
        do_step(bench, &(struct step){JOB_UPLOAD, 0, 5000}, 78);
    if (seed % 3 == 0)
        do_step(bench, &(struct step){JOB_TRIM, 0, 0}, 0);
    EXPECT(seed % 3 != 0 || has_exact_length(bench));
    if (seed % 3 == 1)
        do_step(bench, &(struct step){JOB_APPEND, 0, 5000}, 77);
    if (seed % 3 == 2)
        do_step(bench, &(struct step){JOB_TRUNCATE, 0, bench->model.size + 150000}, 0);
    bench_verify(bench);
}

/* Noise where the header is. */
static void tear_header(struct bench *bench)
{
    char path[SINGLE_PATH_MAX];
    struct io_handle handle = IO_HANDLE_NONE;
    uint8_t noise[200] = {1, 2, 3};
    struct iovec iov = {noise, sizeof noise};
    single_path(path, &bench->identity);
    struct io_op op = {.kind = IO_OPEN,
        .fd = bench->root.fd,
        .path = path,
        .open_flags = IO_OPEN_WRITE,
        .ret_handle = &handle,
        .owner = &bench->owner};
    if (io_call(bench->io, &op) < 0)
        return; /* no file */
    do          /* it may be short */
        op = (struct io_op){
            .kind = IO_WRITE, .fd = handle.fd, .iov = &iov, .iov_count = 1, .owner = &bench->owner};
    while (io_call(bench->io, &op) < SLOT_HEADER_SIZE);
    io_handle_close(bench->io, &handle);
}

/* After a crash: redo, look, change again, make it durable, lose the power once more. */
static void survive(struct bench *bench, uint64_t seed)
{
    bench_recover(bench);
    bench_verify(bench);
    EXPECT_EQ(bench_count_new(bench), 0);
    bench_recover(bench); /* twice is harmless */
    bench_verify(bench);
    change_after_crash(bench, seed);
    checkpoint(bench);
    sim_node_power_loss(bench->node);
    bench_reboot(bench);
    bench_recover(bench);
    bench_verify(bench);
}

struct story {
    const char *name;
    struct step steps[8]; /* the last one is crashed in; ends with size and offset 0 */
    unsigned count;
};

static const struct story stories[] = {
    {"upload", {{JOB_UPLOAD, 0, 150000}}, 1},
    {"append", {{JOB_UPLOAD, 0, 100000}, {JOB_APPEND, 0, 100000}}, 2},
    {"write", {{JOB_UPLOAD, 0, 200000}, {JOB_WRITE, 50000, 100000}}, 2},
    {"write behind the end", {{JOB_UPLOAD, 0, 100000}, {JOB_WRITE, 99000, 50000}}, 2},
    {"shrink", {{JOB_UPLOAD, 0, 200000}, {JOB_TRUNCATE, 0, 70000}}, 2},
    {"grow", {{JOB_UPLOAD, 0, 70000}, {JOB_TRUNCATE, 0, 300000}}, 2},
    {"replace", {{JOB_UPLOAD, 0, 100000}, {JOB_WRITE, 70000, 20}, {JOB_REPLACE, 0, 120000}}, 3},
    {"patch", {{JOB_UPLOAD, 0, 100000}, {JOB_APPEND, 0, 20}, {JOB_PATCH, 50000, 120000}}, 3},
    {"delete", {{JOB_UPLOAD, 0, 100000}, {JOB_WRITE, 70000, 20}, {JOB_DELETE, 0, 0}}, 3},
    {"write, shrink, append over it",
        {{JOB_UPLOAD, 0, 300000}, {JOB_WRITE, 150000, 100000}, {JOB_TRUNCATE, 0, 70000},
            {JOB_APPEND, 0, 230000}},
        4},
    {"shrink, append, write",
        {{JOB_UPLOAD, 0, 300000}, {JOB_WRITE, 150000, 100000}, {JOB_TRUNCATE, 0, 70000},
            {JOB_APPEND, 0, 230000}, {JOB_WRITE, 10, 10}},
        5},
    {"replace, shrink",
        {{JOB_UPLOAD, 0, 300000}, {JOB_REPLACE, 0, 200000}, {JOB_TRUNCATE, 0, 70000}}, 3},
    {"write, replace, write",
        {{JOB_UPLOAD, 0, 300000}, {JOB_WRITE, 150000, 100000}, {JOB_REPLACE, 0, 300000},
            {JOB_WRITE, 10, 10}},
        4},
};

/* Returns whether the crash came. `nth`: disk operations of the last step. */
static bool crash_story(const struct story *story, uint64_t seed, uint64_t nth, enum sim_crash how)
{
    struct bench bench;
    bench_open_sim(&bench, sim_world_new(seed), NULL, 1 << 19);
    for (unsigned i = 0; i + 1 < story->count; i++) {
        do_step(&bench, &story->steps[i], i);
        if (i == 0)
            checkpoint(&bench);
    }
    const struct step *last = &story->steps[story->count - 1];
    uint8_t *data = bytes_new(100, last->size);
    struct job *job = step_job(last, data);
    sim_world_crash_at(bench.world, bench.node, nth, how);
    bool crashed = !bench_run(&bench, job);
    if (crashed) {
        bench_reboot(&bench);
        survive(&bench, seed + nth);
    }
    free(job);
    free(data);
    bench_close(&bench);
    sim_world_free(bench.world);
    return crashed;
}

TEST(a_crash_at_any_operation_leaves_the_old_or_the_new_content)
{
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        for (uint64_t seed = 0; seed < 6; seed++) {
            enum sim_crash how = seed % 3 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER;
            uint64_t nth = 1;
            while (crash_story(&stories[i], seed, nth, how)) {
                nth++;
                EXPECT(nth < 1000);
            }
            EXPECT(nth > 1);
        }
    }
}

/* ---- files of two groups: the mark in the header ---- */

#define GROUP ((uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE)

/* Blocks around the border are the model's. Errors: those of single_reader. */
static err_t read_border(struct bench *bench)
{
    struct job *job = job_new(JOB_READ);
    job->offset = GROUP - 3 * (uint64_t)BLOCK_SIZE;
    job->size = 6 * BLOCK_SIZE;
    job->out = malloc(8 * BLOCK_SIZE);
    EXPECT(bench_run(bench, job));
    err_t err = job->err;
    const struct model *model = &bench->model;
    if (!err_is(err)) {
        EXPECT(version_equals(job->reader.header.version, model->version));
        EXPECT_EQ(job->reader.header.size, model->size);
        EXPECT(
            memcmp(job->reader.data.data, model->data + job->offset, job->reader.data.size) == 0);
    }
    free(job->out);
    free(job);
    return err;
}

static bool is_marked(struct bench *bench)
{
    char path[SINGLE_PATH_MAX];
    uint8_t head[SINGLE_META_MAX] = {0};
    struct io_handle handle = IO_HANDLE_NONE;
    struct slot_header header;
    size_t size = 0;
    single_path(path, &bench->identity);
    struct io_op op = {.kind = IO_OPEN,
        .fd = bench->root.fd,
        .path = path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = &handle,
        .owner = &bench->owner};
    EXPECT(io_call(bench->io, &op) >= 0);
    for (int64_t result = 1; result > 0 && size < sizeof head; size += (size_t)result) {
        struct iovec iov = {head + size, sizeof head - size};
        op = (struct io_op){.kind = IO_READ,
            .fd = handle.fd,
            .iov = &iov,
            .iov_count = 1,
            .offset = size,
            .owner = &bench->owner};
        result = io_call(bench->io, &op);
        EXPECT(result >= 0);
    }
    io_handle_close(bench->io, &handle);
    err_t err = single_meta_decode(span_of(head, sizeof head), &bench->identity, &header);
    return !err_is(err) && header.flags & SLOT_CHANGING;
}

/* Returns whether the crash came. */
static bool crash_marked(const struct step *last, uint64_t nth, enum sim_crash how, unsigned *marks)
{
    struct bench bench;
    struct sim_disk_options options = {.capacity = 1 << 30, .direct_alignment = 512};
    bench_open_sim(&bench, sim_world_new(nth), &options, 2 * GROUP);
    do_step(&bench, &(struct step){JOB_UPLOAD, 0, 100}, 1);
    do_step(&bench, &(struct step){JOB_TRUNCATE, 0, GROUP + 150000}, 0);
    checkpoint(&bench);
    do_step(&bench, &(struct step){JOB_WRITE, GROUP - 150000, 200000}, 2);
    uint8_t *data = bytes_new(100, 200000);
    struct job *job = step_job(last, data);
    sim_world_crash_at(bench.world, bench.node, nth, how);
    bool crashed = !bench_run(&bench, job);
    if (crashed) {
        bench_reboot(&bench);
        if (is_marked(&bench)) {
            ++*marks;
            EXPECT_ERR(read_border(&bench), CORRUPT);
            EXPECT_ERR(bench_try(&bench, JOB_TRIM), CORRUPT);
        }
        bench_recover(&bench);
        EXPECT(!is_marked(&bench));
        EXPECT_OK(read_border(&bench));
    }
    free(job);
    free(data);
    bench_close(&bench);
    sim_world_free(bench.world);
    return crashed;
}

TEST(recovery_ends_the_change_that_a_mark_tells_of)
{
    static const struct step steps[] = {{JOB_WRITE, GROUP - 100000, 200000},
        {JOB_APPEND, 0, 100000}, {JOB_TRUNCATE, 0, GROUP + 70000}, {JOB_TRUNCATE, 0, GROUP - 70000},
        {JOB_TRUNCATE, 0, GROUP + 300000}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        for (enum sim_crash how = SIM_CRASH_KILL; how <= SIM_CRASH_POWER; how++) {
            unsigned marks = 0;
            uint64_t nth = 1;
            while (crash_marked(&steps[i], nth, how, &marks))
                nth += how == SIM_CRASH_KILL ? 1 : 3;
            EXPECT(nth > 1 && (marks > 0 || how == SIM_CRASH_POWER));
        }
    }
}

/* The header of the file is torn, wherever it is; everything is in the log. */
static bool tear_story(const struct story *story, uint64_t seed, uint64_t nth)
{
    struct bench bench;
    enum sim_crash how = seed == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER;
    bench_open_sim(&bench, sim_world_new(seed), NULL, 1 << 19);
    for (unsigned i = 0; i + 1 < story->count; i++)
        do_step(&bench, &story->steps[i], i);
    const struct step *last = &story->steps[story->count - 1];
    uint8_t *data = bytes_new(100, last->size);
    struct job *job = step_job(last, data);
    sim_world_crash_at(bench.world, bench.node, nth, how);
    bool crashed = !bench_run(&bench, job);
    if (!crashed && how == SIM_CRASH_KILL)
        sim_node_kill(bench.node);
    else if (!crashed)
        sim_node_power_loss(bench.node);
    bench_reboot(&bench);
    tear_header(&bench);
    survive(&bench, nth);
    free(job);
    free(data);
    bench_close(&bench);
    sim_world_free(bench.world);
    return crashed;
}

TEST(a_header_that_is_torn_is_healed_from_the_log)
{
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        for (uint64_t seed = 0; seed < 10; seed++) {
            uint64_t nth = 1;
            while (tear_story(&stories[i], seed, nth))
                nth++;
            EXPECT(nth > 1);
        }
    }
}

TEST(a_truncate_that_only_the_log_knows_gives_its_space_back)
{
    for (uint64_t nth = 1; nth < 30; nth++) {
        struct bench bench;
        bench_open_sim(&bench, sim_world_new(nth), NULL, 1 << 19);
        do_step(&bench, &(struct step){JOB_UPLOAD, 0, 300000}, 1);
        struct job *job = step_job(&(struct step){JOB_TRUNCATE, 0, 70000}, NULL);
        sim_world_crash_at(bench.world, bench.node, nth, SIM_CRASH_KILL);
        if (bench_run(&bench, job))
            sim_node_kill(bench.node);
        bench_reboot(&bench);
        bench_recover(&bench);
        EXPECT(has_exact_length(&bench));
        free(job);
        bench_close(&bench);
        sim_world_free(bench.world);
    }
}

static struct step draw_step(const struct bench *bench, struct prng *prng)
{
    uint64_t size = bench->model.size;
    struct step step = {.size = prng_below(prng, 140000)};
    if (!bench->model.exists) {
        step.kind = JOB_UPLOAD;
        return step;
    }
    static const enum job_kind kinds[] = {JOB_REPLACE, JOB_PATCH, JOB_WRITE, JOB_WRITE, JOB_WRITE,
        JOB_APPEND, JOB_APPEND, JOB_APPEND, JOB_TRUNCATE, JOB_TRUNCATE, JOB_CHECKPOINT};
    step.kind = kinds[prng_below(prng, ARRAY_LEN(kinds))];
    step.offset = prng_below(prng, size + 1);
    if (prng_chance(prng, 300000))
        step.size = prng_below(prng, 100);
    if (step.kind == JOB_TRUNCATE || size + step.size > bench->content_max) {
        step.kind = JOB_TRUNCATE;
        step.size = prng_below(prng, prng_chance(prng, 700000) ? size + 1 : 400000);
    }
    return step;
}

/* A new identity is never used twice: a deleted file stays deleted. */
static void swarm(uint64_t seed)
{
    struct bench bench;
    struct prng prng;
    bench_open_sim(&bench, sim_world_new(seed), NULL, 1 << 19);
    prng_init(&prng, seed);
    do_step(&bench, &(struct step){JOB_UPLOAD, 0, 100000}, seed);
    for (unsigned round = 0; round < 4; round++) {
        bool is_up = true;
        sim_world_crash_at(bench.world, bench.node, 1 + prng_below(&prng, 250),
            prng_chance(&prng, 300000) ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        for (unsigned i = 0; i < 60 && is_up; i++) {
            struct step step = draw_step(&bench, &prng);
            uint8_t *data = bytes_new(prng_next(&prng), step.size);
            struct job *job = step_job(&step, data);
            is_up = bench_run(&bench, job);
            if (is_up)
                EXPECT_OK(job->err);
            free(job);
            free(data);
        }
        if (is_up)
            sim_node_power_loss(bench.node);
        bench_reboot(&bench);
        bench_recover(&bench);
        bench_verify(&bench);
        EXPECT_EQ(bench_count_new(&bench), 0);
    }
    bench_close(&bench);
    sim_world_free(bench.world);
}

TEST(random_histories_survive_crashes_at_random_operations)
{
    const char *from = getenv("SINGLE_SWARM_FROM"), *count = getenv("SINGLE_SWARM_COUNT");
    uint64_t first = from ? strtoull(from, NULL, 10) : 0;
    uint64_t seeds = count ? strtoull(count, NULL, 10) : 60;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (count)
            (void)fprintf(stderr, "  seed %llu\n", (unsigned long long)seed);
        swarm(seed);
    }
}

TEST(recovery_itself_may_crash)
{
    for (uint64_t nth = 1;; nth++) {
        struct bench bench;
        bench_open_sim(&bench, sim_world_new(nth), NULL, 1 << 19);
        static const struct step steps[] = {{JOB_UPLOAD, 0, 200000}, {JOB_WRITE, 60000, 50000},
            {JOB_TRUNCATE, 0, 90000}, {JOB_APPEND, 0, 100000}, {JOB_REPLACE, 0, 90000},
            {JOB_WRITE, 100, 100}};
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
            do_step(&bench, &steps[i], i);
        sim_node_power_loss(bench.node);
        bench_reboot(&bench);
        sim_world_crash_at(bench.world, bench.node, nth, SIM_CRASH_POWER);
        bool finished = bench_try_recover(&bench);
        sim_world_crash_at(bench.world, bench.node, 0, SIM_CRASH_NONE);
        if (!finished)
            bench_reboot(&bench);
        bench_recover(&bench);
        bench_verify(&bench);
        bench_close(&bench);
        sim_world_free(bench.world);
        if (finished)
            break;
        EXPECT(nth < 1000);
    }
}
