/* A stream that lost records goes on behind what the other members know of it, and takes no slot that a
 * lost record may have taken. */
#include "disk/checkpoint.h"
#include "tests/unit/disk/stream_bench.h"

/* An own upload of no content. */
static void upload(struct stream_bench *bench, struct bench_job *job, uint64_t clock)
{
    *job = (struct bench_job){.reserve_size = 256,
        .record = {.kind = RECORD_UPLOAD,
            .flags = RECORD_TAKES | RECORD_EXTENDED,
            .identity = {.clock = clock, .origin = BENCH_MACHINE, .suffix = "abcdef."},
            .version = {1, BENCH_MACHINE},
            .digest_delta = clock,
            .live_delta = 1}};
    bench_start(bench, job);
    bench_wait(bench, job);
}

static const struct stream_floor floor_of_peers = {.incarnation = 5, .lsn = 1000, .chunk = 8};

static void expect_behind_floor(struct stream_bench *bench, uint64_t clock)
{
    struct bench_job job;
    upload(bench, &job, clock);
    EXPECT_OK(job.err);
    EXPECT(job.append.record.lsn > 1000);
    EXPECT(job.append.record.incarnation > 5);
    EXPECT(job.record.home.chunk > 8);
}

TEST(a_fresh_disk_goes_on_behind_what_the_members_know)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    bench.options.floor = floor_of_peers;
    EXPECT(bench_boot(&bench));
    EXPECT(bench.stream.has_lost_state);
    expect_behind_floor(&bench, 1);
    bench_kill(&bench, true);
    bench.options.floor = (struct stream_floor){0};
    EXPECT(bench_boot(&bench)); /* nobody is asked: the disk knows by itself */
    EXPECT(!bench.stream.has_lost_state);
    EXPECT_EQ(bench.stream.live_count, 1);
    expect_behind_floor(&bench, 2);
    bench_free(&bench);
}

TEST(what_the_members_know_already_changes_nothing)
{
    struct stream_bench bench;
    struct bench_job job;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    upload(&bench, &job, 1);
    uint32_t chunk = job.record.home.chunk;
    bench.options.floor = (struct stream_floor){1, job.append.record.lsn, chunk};
    EXPECT(bench_close(&bench));
    EXPECT(bench_boot(&bench));
    EXPECT(!bench.stream.has_lost_state);
    EXPECT_EQ(bench.stream.options.incarnation, 1);
    upload(&bench, &job, 2);
    EXPECT_EQ(job.record.home.chunk, chunk);
    bench_free(&bench);
}

TEST(a_disk_that_is_older_than_what_the_members_know_gives_out_no_old_slot)
{
    struct stream_bench bench;
    struct bench_job job;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    upload(&bench, &job, 1);
    uint32_t old = job.record.home.chunk;
    EXPECT(bench_close(&bench));
    bench.options.floor = floor_of_peers;
    EXPECT(bench_boot(&bench));
    EXPECT(bench.stream.has_lost_state);
    EXPECT(chunk_table_find(&bench.stream.chunks, 0, old)->is_unmapped);
    expect_behind_floor(&bench, 2);
    bench.options.floor = (struct stream_floor){0};
    for (unsigned i = 0; i < 2; i++) { /* for good, whatever the end was like */
        if (i == 0)
            bench_kill(&bench, true);
        else
            EXPECT(bench_close(&bench));
        EXPECT(bench_boot(&bench));
        EXPECT(chunk_table_find(&bench.stream.chunks, 0, old)->is_unmapped);
        expect_behind_floor(&bench, 3 + i);
    }
    bench_free(&bench);
}

static void crash_in(enum sim_crash how)
{
    for (uint64_t nth = 1;; nth++) {
        struct stream_bench bench;
        struct bench_job job;
        bench_init(&bench, nth);
        EXPECT(bench_boot(&bench));
        upload(&bench, &job, 1);
        EXPECT(bench_close(&bench));
        bench.options.floor = floor_of_peers;
        sim_world_crash_at(bench.world, bench.node, nth, how);
        bool is_open = bench_boot(&bench);
        if (is_open) {
            upload(&bench, &job, 2);
            EXPECT(!job.is_over || err_is(job.err) || job.append.record.lsn > 1000);
        }
        bool has_crashed = !bench_is_up(&bench);
        sim_world_crash_at(bench.world, bench.node, 0, SIM_CRASH_NONE);
        if (has_crashed && is_open)
            bench_kill(&bench, how == SIM_CRASH_POWER);
        if (has_crashed)
            EXPECT(bench_boot(&bench));
        expect_behind_floor(&bench, 3);
        bench_free(&bench);
        if (!has_crashed)
            break;
    }
}

TEST(a_kill_at_any_moment_leaves_a_stream_that_goes_on_behind_the_floor)
{
    crash_in(SIM_CRASH_KILL);
}

TEST(a_power_loss_at_any_moment_leaves_a_stream_that_goes_on_behind_the_floor)
{
    crash_in(SIM_CRASH_POWER);
}

/* ---- rot is a loss as well ---- */

TEST(a_chunk_that_lost_records_took_slots_in_takes_no_more)
{
    struct stream_bench bench;
    struct bench_job jobs[4];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    bench_checkpoint(&bench);
    char path[64] = "/d/";
    binlog_segment_path(path + 3, 0, bench.stream.log.segment.number);
    uint64_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        if (i == 1)
            at = bench.stream.log.offset;
        upload(&bench, &jobs[i], i + 1);
        EXPECT_OK(jobs[i].err);
    }
    uint32_t chunk = jobs[0].record.home.chunk;
    EXPECT_EQ(jobs[3].record.home.chunk, chunk);
    bench_kill(&bench, true);
    sim_file_flip_bit(bench.node, path, at + 100, 3);
    EXPECT(bench_boot(&bench));
    EXPECT_EQ(bench.stream.rotten_batches, 1);
    EXPECT(chunk_table_find(&bench.stream.chunks, 0, chunk)->is_unmapped);
    struct bench_job job;
    upload(&bench, &job, 9);
    EXPECT_OK(job.err);
    EXPECT(job.record.home.chunk > chunk);
    bench_free(&bench);
}

TEST(an_own_chunk_into_which_a_file_was_brought_back_takes_no_more)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    struct bench_job job = {.key = {BENCH_MACHINE, 0, 0, 5},
        .seed = BENCH_SEED,
        .record = {.kind = RECORD_FULL,
            .flags = RECORD_TAKES | RECORD_EXTENDED,
            .origin = BENCH_PEER,
            .identity = {.clock = 7, .origin = BENCH_MACHINE, .suffix = "abcdef."},
            .version = {1, BENCH_MACHINE},
            .home = {.kind = PLACE_PACKED,
                .machine = BENCH_MACHINE,
                .chunk = 5,
                .offset = 8192,
                .slot_size = 256},
            .digest_delta = 77,
            .live_delta = 1}};
    bench_start(&bench, &job);
    bench_wait(&bench, &job);
    EXPECT_OK(job.err);
    for (unsigned i = 0; i < 2; i++) {
        struct chunk_entry *entry = chunk_table_find(&bench.stream.chunks, 0, 5);
        EXPECT(entry->is_unmapped);
        EXPECT_EQ(entry->live_count, 1);
        EXPECT_EQ(entry->digest.sum, 77);
        struct bench_job own;
        upload(&bench, &own, 9 + i);
        EXPECT(own.record.home.chunk != 5);
        bench_kill(&bench, true);
        EXPECT(bench_boot(&bench));
    }
    EXPECT_EQ(bench.stream.live_count, 3);
    bench_free(&bench);
}
