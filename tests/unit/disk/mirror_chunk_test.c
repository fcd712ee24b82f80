/* Holding and making the copies of other storages' chunks. */
#include "sim/sweep.h"
#include "tests/unit/disk/stream_bench.h"

#define PATH "/d/chunks/000009-01-02-00000001"

static void hold(struct stream_bench *bench, struct bench_job *job, uint32_t seed)
{
    *job = (struct bench_job){.key = bench_key(1), .seed = seed};
    bench_start(bench, job);
    bench_wait(bench, job);
}

static void release(struct stream_bench *bench, struct bench_job *job)
{
    chunk_release(&bench->files, &job->ref);
}

TEST(a_chunk_that_is_not_there_is_made_durably_with_the_seed_of_its_origin)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    struct bench_job job = {.key = bench_key(1), .seed = 77, .keeps_ref = true};
    bench_start(&bench, &job);
    bench_wait(&bench, &job);
    EXPECT_OK(job.err);
    EXPECT_EQ(job.ref.file->header.seed, 77);
    EXPECT_EQ(job.ref.file->header.chunk_size, BENCH_CHUNK);
    EXPECT_EQ(job.ref.file->header.key.machine, BENCH_PEER);
    release(&bench, &job);
    EXPECT_EQ(sim_file_size(bench.node, PATH), BENCH_CHUNK);
    EXPECT(sim_file_range_is_durable(bench.node, PATH, 0, BENCH_CHUNK));
    struct chunk_key key = bench_key(1);
    EXPECT(stream_chunk_find(&bench.stream, &key) != NULL);
    struct bench_job far = {.key = bench_key(40), .seed = 77};
    bench_start(&bench, &far);
    bench_wait(&bench, &far);
    EXPECT_OK(far.err);
    EXPECT_EQ(bench.stream.chunks.next_number, 2); /* own ones have numbers of their own */
    bench_free(&bench);
}

TEST(another_seed_is_a_conflict)
{
    struct stream_bench bench;
    struct bench_job job;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    hold(&bench, &job, 77);
    EXPECT_OK(job.err);
    hold(&bench, &job, 78);
    EXPECT_ERR(job.err, CONFLICT);
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench)); /* no record names it: it is not known, but there */
    hold(&bench, &job, 78);
    EXPECT_ERR(job.err, CONFLICT);
    hold(&bench, &job, 77);
    EXPECT_OK(job.err);
    bench_free(&bench);
}

TEST(many_at_once_for_one_chunk_make_it_once)
{
    struct stream_bench bench;
    struct bench_job jobs[8];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct bench_job){.key = bench_key(i < 6 ? 1 : 2), .seed = 77};
        bench_start(&bench, &jobs[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        bench_wait(&bench, &jobs[i]);
        EXPECT_OK(jobs[i].err);
    }
    EXPECT_EQ(bench.stream.chunks.count, 3); /* with its own first one */
    EXPECT(list_is_empty(&bench.stream.mirror_chunks));
    bench_free(&bench);
}

TEST(on_a_full_disk_the_answer_is_no_space_and_nothing_is_taken)
{
    struct stream_bench bench;
    struct bench_job job;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    sim_mount_faults(bench.node, "/d")->is_full = true;
    hold(&bench, &job, 77);
    EXPECT_ERR(job.err, NO_SPACE);
    EXPECT(sim_file_size(bench.node, PATH) <= 0);
    struct chunk_key key = bench_key(1);
    EXPECT(stream_chunk_find(&bench.stream, &key) == NULL);
    struct chunk_ref ref; /* who looks for a file of it meets nothing, not damage */
    EXPECT_ERR(chunk_acquire_now(bench.stream.options.files, &key, &ref), NOT_FOUND);
    sim_mount_faults(bench.node, "/d")->is_full = false;
    hold(&bench, &job, 77);
    EXPECT_OK(job.err);
    EXPECT(!bench.is_fenced);
    bench_free(&bench);
}

TEST(the_reserve_of_the_mount_point_is_left_alone)
{
    struct stream_bench bench;
    struct bench_job job;
    bench_init(&bench, 1);
    bench.options.reserve_bytes = 1 << 30;
    EXPECT(bench_boot(&bench));
    hold(&bench, &job, 77);
    EXPECT_ERR(job.err, NO_SPACE);
    bench_free(&bench);
}

TEST(a_chunk_that_is_known_and_damaged_is_not_made_anew)
{
    struct stream_bench bench;
    struct bench_file file;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    bench_file_init(&bench, &file, 0, 1, 'a');
    bench_start(&bench, &file.job);
    bench_wait(&bench, &file.job);
    EXPECT(bench_close(&bench));
    sim_file_flip_bit(bench.node, PATH, 30, 3);
    EXPECT(bench_boot(&bench));
    struct bench_job job;
    hold(&bench, &job, BENCH_SEED);
    EXPECT_ERR(job.err, CORRUPT);
    bench_free(&bench);
}

/* Whatever the making dies in: the next attempt completes it, and the stream opens. */
static void crash_in(enum sim_crash how)
{
    for (uint64_t nth = 1;; nth++) {
        struct stream_bench bench;
        struct bench_file file;
        bench_init(&bench, nth);
        EXPECT(bench_boot(&bench));
        bench_file_init(&bench, &file, 0, 1, 'a');
        sim_world_crash_at(bench.world, bench.node, nth, how);
        bench_start(&bench, &file.job);
        bench_wait(&bench, &file.job);
        bool has_crashed = !bench_is_up(&bench);
        bool was_done = file.job.is_over;
        bench_kill(&bench, how == SIM_CRASH_POWER);
        EXPECT(bench_boot(&bench));
        struct chunk_key key = bench_key(1);
        struct chunk_entry *entry = stream_chunk_find(&bench.stream, &key);
        EXPECT_EQ(bench.stream.lost_chunks, 0);
        EXPECT(!was_done || bench_file_is_there(&bench, &file));
        EXPECT(!entry || bench_file_is_there(&bench, &file) == (entry->digest.count == 1));
        bench_file_init(&bench, &file, 1, 1, 'b');
        bench_start(&bench, &file.job);
        bench_wait(&bench, &file.job);
        EXPECT_OK(file.job.err);
        EXPECT(bench_file_is_there(&bench, &file));
        bench_free(&bench);
        if (!has_crashed)
            break;
    }
}

TEST(a_making_that_a_kill_interrupted_is_completed_later)
{
    crash_in(SIM_CRASH_KILL);
}

TEST(a_making_that_a_power_loss_interrupted_is_completed_later)
{
    crash_in(SIM_CRASH_POWER);
}

/* Each operation refused, once: an answer, nothing held, and the next attempt goes through. */
TEST(a_refusal_is_an_answer_and_leaves_nothing_behind)
{
    unsigned refused = 0;
    for (unsigned kind = 0; kind < IO_KIND_COUNT; kind++) {
        for (uint64_t nth = 1; nth < 40; nth++) {
            struct stream_bench bench;
            struct bench_job job;
            bench_init(&bench, nth);
            EXPECT(bench_boot(&bench));
            *sim_node_refusal(bench.node) =
                (struct sim_refusal){.countdown = nth, .kinds = (uint32_t)BIT(kind)};
            hold(&bench, &job, 77);
            bool has_fired = sim_node_refusal(bench.node)->fired;
            *sim_node_refusal(bench.node) = (struct sim_refusal){0};
            refused += has_fired;
            if (has_fired && !bench.is_fenced) {
                hold(&bench, &job, 77);
                EXPECT_OK(job.err);
            }
            bench_free(&bench);
            if (!has_fired)
                break;
        }
    }
    EXPECT(refused >= 8);
}
