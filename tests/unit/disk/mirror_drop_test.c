/* Copies of chunks in which nothing lives any more: when they go, and when they must not. */
#include "base/units.h"
#include "disk/checkpoint.h"
#include "tests/unit/disk/stream_bench.h"

#define PATH "/d/chunks/000009-01-02-00000001"

enum { FILES = 3 };

static void put(struct stream_bench *bench, struct bench_file *file, uint32_t index)
{
    bench_file_init(bench, file, index, 1, (uint8_t)('a' + index));
    bench_start(bench, &file->job);
    bench_wait(bench, &file->job);
}

static void begin_delete(
    struct stream_bench *bench, struct bench_job *job, const struct bench_file *file)
{
    *job = (struct bench_job){.record = file->job.record};
    job->record.kind = RECORD_DELETE;
    job->record.flags = RECORD_EXTENDED;
    job->record.version.counter = 2;
    job->record.digest_delta = 0 - bench_file_digest(file);
    job->record.live_delta = -1;
    job->record.home_meta = job->record.content = (struct span){0};
    job->record.content_size = 0;
    bench_start(bench, job);
}

static void delete (struct stream_bench *bench, const struct bench_file *file)
{
    struct bench_job job;
    begin_delete(bench, &job, file);
    bench_wait(bench, &job);
    EXPECT(job.is_over ? !err_is(job.err) : !bench_is_up(bench));
}

static bool is_kept(void *context)
{
    struct stream_bench *bench = context;
    struct source_key key = bench_source();
    const struct source *source = stream_source_find(&bench->stream, &key);
    return !bench_is_up(bench) || source->kept_lsn == source->lsn;
}

/* The peer's stream is followed up to here, and this is durable. */
static void keep_watermark(struct stream_bench *bench, uint64_t watermark)
{
    struct source_key key = bench_source();
    struct source *source = stream_source_find(&bench->stream, &key);
    source->incarnation = 3;
    source->lsn++;
    source->coverage.watermark = watermark;
    stream_position_log(&bench->stream, source);
    EXPECT(sim_world_run_until(bench->world, is_kept, bench, UINT64_C(60000000000)));
}

static bool is_there(struct stream_bench *bench)
{
    struct chunk_key key = bench_key(1);
    bool is_known = stream_chunk_find(&bench->stream, &key) != NULL;
    bool is_file = sim_file_size(bench->node, PATH) == BENCH_CHUNK;
    EXPECT_EQ(is_known, is_file);
    return is_file;
}

/* Files with the id clocks 1000, 1001 and 1002 came, and were deleted. */
static void fill_and_empty(struct stream_bench *bench, struct bench_file *files)
{
    for (uint32_t i = 0; i < FILES; i++)
        put(bench, &files[i], i);
    for (uint32_t i = 0; i < FILES; i++)
        delete (bench, &files[i]);
}

TEST(an_empty_copy_goes_when_the_kept_watermark_has_passed_what_was_born_in_it)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    keep_watermark(&bench, 1001); /* one below the youngest */
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    keep_watermark(&bench, 1002);
    EXPECT(checkpoint_would_drop(bench.stream.checkpoint));
    bench_checkpoint(&bench);
    EXPECT(!is_there(&bench));
    EXPECT_EQ(bench.stream.checkpoint->mirrors.dropped, 1);
    EXPECT(!checkpoint_would_drop(bench.stream.checkpoint));
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT(!is_there(&bench));
    EXPECT_EQ(bench.stream.lost_chunks, 0);
    bench_free(&bench);
}

TEST(a_watermark_that_is_not_durable_does_not_count)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    struct source_key key = bench_source();
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    stream_source_find(&bench.stream, &key)->coverage.watermark = 5000;
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    bench_free(&bench);
}

TEST(a_copy_in_which_something_lives_stays)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    for (uint32_t i = 0; i < FILES; i++)
        put(&bench, &files[i], i);
    delete (&bench, &files[0]);
    delete (&bench, &files[2]);
    keep_watermark(&bench, 5000);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    EXPECT(bench_file_is_there(&bench, &files[1]));
    bench_free(&bench);
}

TEST(what_came_again_after_it_was_dropped_is_kept_through_a_power_loss)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    keep_watermark(&bench, 5000);
    bench_checkpoint(&bench);
    EXPECT(!is_there(&bench));
    put(&bench, &files[1], 1);
    EXPECT_OK(files[1].job.err);
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT(is_there(&bench));
    EXPECT(bench_file_is_there(&bench, &files[1]));
    struct chunk_key key = bench_key(1);
    EXPECT_EQ(stream_chunk_find(&bench.stream, &key)->digest.count, 1);
    bench_free(&bench);
}

TEST(a_copy_that_somebody_holds_stays)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    keep_watermark(&bench, 5000);
    struct bench_job holder = {.key = bench_key(1), .seed = BENCH_SEED, .keeps_ref = true};
    bench_start(&bench, &holder);
    bench_wait(&bench, &holder);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    chunk_release(&bench.files, &holder.ref);
    bench_checkpoint(&bench);
    EXPECT(!is_there(&bench));
    bench_free(&bench);
}

TEST(tombstones_that_are_held_stay)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    keep_watermark(&bench, 5000);
    stream_hold_tombstones(&bench.stream);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    stream_let_tombstones(&bench.stream);
    bench_checkpoint(&bench);
    EXPECT(!is_there(&bench));
    bench_free(&bench);
}

TEST(a_copy_that_its_origin_may_be_filling_stays_for_a_while)
{
    struct stream_bench bench;
    struct bench_file files[FILES];
    bench_init(&bench, 1);
    bench.options.mirror_idle_ns = UINT64_C(10000000000);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    keep_watermark(&bench, 5000);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    sim_world_run_for(bench.world, UINT64_C(10000000000));
    keep_watermark(&bench, 5000);
    checkpoint_tend(bench.stream.checkpoint); /* too soon after the last */
    sim_world_run_for(bench.world, NS_PER_S);
    EXPECT(is_there(&bench));
    sim_world_run_for(bench.world, CHECKPOINT_TEND_NS);
    keep_watermark(&bench, 5001); /* the loop turns, and knows the time */
    checkpoint_tend(bench.stream.checkpoint);
    sim_world_run_for(bench.world, NS_PER_S);
    EXPECT(!is_there(&bench));
    bench_free(&bench);
}

/* The tables count a file too few: what its header says counts. */
TEST(a_copy_whose_headers_say_that_something_lives_stays)
{
    struct stream_bench bench;
    struct bench_file files[FILES], other;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    put(&bench, &files[0], 0);
    other = files[0];
    other.job.record.home.offset += 4096;
    other.job.record.home.slot_size = 128;
    delete (&bench, &other);
    struct chunk_key key = bench_key(1);
    EXPECT_EQ(stream_chunk_find(&bench.stream, &key)->digest.count, 0);
    keep_watermark(&bench, 5000);
    bench_checkpoint(&bench);
    EXPECT(is_there(&bench));
    EXPECT(!checkpoint_would_drop(bench.stream.checkpoint));
    EXPECT(bench_file_is_there(&bench, &files[0]));
    bench_free(&bench);
}

static bool is_barred(void *context)
{
    struct stream_bench *bench = context;
    struct chunk_key key = bench_key(1);
    return !list_is_empty(&bench->stream.mirror_chunks) && !stream_chunk_find(&bench->stream, &key);
}

TEST(who_wants_the_chunk_while_it_goes_gets_a_new_one)
{
    struct stream_bench bench;
    struct bench_file files[FILES], again;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    fill_and_empty(&bench, files);
    keep_watermark(&bench, 5000);
    checkpoint_request(bench.stream.checkpoint);
    EXPECT(sim_world_run_until(bench.world, is_barred, &bench, UINT64_C(60000000000)));
    put(&bench, &again, 1);
    EXPECT_OK(again.job.err);
    EXPECT(is_there(&bench));
    EXPECT(bench_file_is_there(&bench, &again));
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT(bench_file_is_there(&bench, &again));
    bench_free(&bench);
}

/* Whatever the dropping dies in: afterwards a file comes to the chunk, and stays; what is empty goes. */
static void crash_in(enum sim_crash how)
{
    for (uint64_t nth = 1;; nth++) {
        struct stream_bench bench;
        struct bench_file files[FILES], again;
        bench_init(&bench, nth);
        EXPECT(bench_boot(&bench));
        fill_and_empty(&bench, files);
        keep_watermark(&bench, 5000);
        sim_world_crash_at(bench.world, bench.node, nth, how);
        checkpoint_request(bench.stream.checkpoint);
        sim_world_run_for(bench.world, NS_PER_S);
        bool has_crashed = !bench_is_up(&bench);
        bench_kill(&bench, how == SIM_CRASH_POWER);
        EXPECT(bench_boot(&bench));
        EXPECT_EQ(bench.stream.lost_chunks, 0);
        bench_checkpoint(&bench);
        EXPECT(!is_there(&bench));
        put(&bench, &again, 1);
        EXPECT_OK(again.job.err);
        bench_kill(&bench, true);
        EXPECT(bench_boot(&bench));
        EXPECT(bench_file_is_there(&bench, &again));
        EXPECT_EQ(bench.stream.lost_chunks, 0);
        bench_free(&bench);
        if (!has_crashed)
            break;
    }
}

TEST(a_drop_that_a_kill_interrupts_is_done_later)
{
    crash_in(SIM_CRASH_KILL);
}

TEST(a_drop_that_a_power_loss_interrupts_is_done_later)
{
    crash_in(SIM_CRASH_POWER);
}

/* Each operation refused, once: the chunk stays or goes, and nothing is held. */
TEST(a_refusal_while_dropping_leaves_nothing_behind)
{
    unsigned refused = 0, gone = 0;
    for (unsigned kind = 0; kind < IO_KIND_COUNT; kind++) {
        for (uint64_t nth = 1; nth < 40; nth++) {
            struct stream_bench bench;
            struct bench_file files[FILES];
            bench_init(&bench, nth);
            EXPECT(bench_boot(&bench));
            fill_and_empty(&bench, files);
            keep_watermark(&bench, 5000);
            *sim_node_refusal(bench.node) =
                (struct sim_refusal){.countdown = nth, .kinds = (uint32_t)BIT(kind)};
            checkpoint_request(bench.stream.checkpoint);
            sim_world_run_for(bench.world, NS_PER_S);
            bool has_fired = sim_node_refusal(bench.node)->fired;
            *sim_node_refusal(bench.node) = (struct sim_refusal){0};
            refused += has_fired;
            if (has_fired && !bench.is_fenced) {
                bench_checkpoint(&bench);
                EXPECT(!is_there(&bench));
                gone++;
            }
            bench_free(&bench);
            if (!has_fired)
                break;
        }
    }
    EXPECT(refused >= 4 && gone >= 2);
}
