/* What a stream knows of others: positions, digests, mirrored chunks; by the log, over crashes. */
#include "disk/checkpoint.h"
#include "tests/unit/disk/stream_bench.h"

static struct source *add_source(struct stream_bench *bench)
{
    struct source *source;
    struct source_key key = bench_source();
    EXPECT_OK(stream_source_add(&bench->stream, &key, &source));
    return source;
}

static struct source *find_source(struct stream_bench *bench)
{
    struct source_key key = bench_source();
    return stream_source_find(&bench->stream, &key);
}

static void put(struct stream_bench *bench, struct bench_file *file)
{
    bench_start(bench, &file->job);
    bench_wait(bench, &file->job);
    EXPECT(file->job.is_over);
    EXPECT_OK(file->job.err);
}

static void expect_chunk(struct stream_bench *bench, uint64_t sum, uint64_t count)
{
    struct chunk_key key = bench_key(1);
    struct chunk_entry *entry = stream_chunk_find(&bench->stream, &key);
    EXPECT(entry != NULL);
    EXPECT_EQ(entry->digest.sum, sum);
    EXPECT_EQ(entry->digest.count, count);
    EXPECT_EQ(entry->live_count, count);
    EXPECT_EQ(entry->free_bytes, 0);
    EXPECT_EQ(bench->stream.live_count, 0); /* not ours */
}

TEST(the_first_source_is_the_stream_itself_and_its_position_the_last_durable_record)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    const struct source *own = &bench.stream.sources.all[0];
    EXPECT_EQ(own->key.machine, BENCH_MACHINE);
    EXPECT_EQ(own->lsn, bench.stream.log.lsn_durable);
    EXPECT(own->lsn > 0);
    struct bench_file file;
    bench_file_init(&bench, &file, 0, 1, 'a');
    put(&bench, &file);
    EXPECT_EQ(own->lsn, bench.stream.log.lsn_durable);
    EXPECT_EQ(own->incarnation, 1);
    uint64_t lsn = own->lsn;
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT(bench.stream.sources.all[0].lsn >= lsn);
    bench_free(&bench);
}

TEST(there_is_room_for_as_many_sources_as_were_told)
{
    struct stream_bench bench;
    struct source *source;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    for (uint8_t i = 0; i < 2; i++)
        EXPECT_OK(stream_source_add(&bench.stream, &(struct source_key){3, i, 0}, &source));
    EXPECT_ERR(stream_source_add(&bench.stream, &(struct source_key){3, 2, 0}, &source), BUSY);
    EXPECT_OK(stream_source_add(&bench.stream, &(struct source_key){3, 1, 0}, &source));
    EXPECT(stream_source_find(&bench.stream, &(struct source_key){3, 2, 0}) == NULL);
    struct bench_job job = {.key = bench_key(1), .seed = 1};
    bench_start(&bench, &job);
    bench_wait(&bench, &job);
    EXPECT_ERR(job.err, BUSY);
    bench_free(&bench);
}

/* ---- positions ---- */

static bool is_kept(void *context)
{
    return find_source(context)->kept_lsn == 12;
}

TEST(a_position_is_kept_when_its_record_is_durable_and_survives_a_power_loss)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    struct source *source = add_source(&bench);
    source->incarnation = 4;
    source->lsn = 12;
    source->coverage.watermark = 77;
    stream_position_log(&bench.stream, source);
    EXPECT_EQ(source->kept_lsn, 0);
    EXPECT(sim_world_run_until(bench.world, is_kept, &bench, 1000000000));
    EXPECT_EQ(source->kept_incarnation, 4);
    uint64_t appended = bench.stream.log.lsn_next;
    stream_position_log(&bench.stream, source); /* it has not moved */
    EXPECT_EQ(bench.stream.log.lsn_next, appended);
    source->lsn = 13; /* not logged: lost */
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    source = find_source(&bench);
    EXPECT(source != NULL);
    EXPECT_EQ(source->incarnation, 4);
    EXPECT_EQ(source->lsn, 12);
    EXPECT_EQ(source->coverage.watermark, 77);
    bench_free(&bench);
}

TEST(an_orderly_end_keeps_the_positions_in_the_checkpoint)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    struct source *source = add_source(&bench);
    source->incarnation = 4;
    source->lsn = 12;
    EXPECT(bench_close(&bench));
    EXPECT(bench_boot(&bench));
    EXPECT_EQ(bench.stream.replayed, 0);
    EXPECT_EQ(find_source(&bench)->lsn, 12);
    EXPECT_EQ(find_source(&bench)->kept_incarnation, 4);
    bench_free(&bench);
}

/* ---- received records ---- */

TEST(a_received_file_is_there_after_a_power_loss_with_its_digest)
{
    for (unsigned with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
        struct stream_bench bench;
        struct bench_file files[2], newer;
        bench_init(&bench, 1);
        EXPECT(bench_boot(&bench));
        for (uint32_t i = 0; i < 2; i++) {
            bench_file_init(&bench, &files[i], i, 1, (uint8_t)('a' + i));
            put(&bench, &files[i]);
        }
        if (with_checkpoint)
            bench_checkpoint(&bench);
        bench_file_init(&bench, &newer, 0, 2, 'z');
        newer.job.record.digest_delta -= bench_file_digest(&files[0]);
        put(&bench, &newer);
        uint64_t sum = bench_file_digest(&newer) + bench_file_digest(&files[1]);
        expect_chunk(&bench, sum, 2);
        bench_kill(&bench, true);
        EXPECT(bench_boot(&bench));
        EXPECT_EQ(bench.stream.lost_chunks, 0);
        expect_chunk(&bench, sum, 2);
        EXPECT(bench_file_is_there(&bench, &newer));
        EXPECT(bench_file_is_there(&bench, &files[1]));
        bench_free(&bench);
    }
}

TEST(a_delete_counts_down_only_what_was_live_and_frees_nothing_of_another_allocator)
{
    struct stream_bench bench;
    struct bench_file file;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    bench_file_init(&bench, &file, 0, 1, 'a');
    put(&bench, &file);
    for (unsigned i = 0; i < 2; i++) {
        struct bench_job job = {.record = {.kind = RECORD_DELETE,
                                    .flags = RECORD_EXTENDED,
                                    .origin = BENCH_PEER,
                                    .identity = file.header.identity,
                                    .version = {2, BENCH_PEER},
                                    .home = file.job.record.home}};
        if (i == 0)
            job.record.digest_delta = 0 - bench_file_digest(&file);
        job.record.live_delta = i == 0 ? -1 : 0;
        bench_start(&bench, &job);
        bench_wait(&bench, &job);
        EXPECT_OK(job.err);
        expect_chunk(&bench, 0, 0);
    }
    bench_checkpoint(&bench);
    struct chunk_key key = bench_key(1);
    EXPECT(stream_chunk_find(&bench.stream, &key) != NULL); /* only its allocator drops it */
    bench_free(&bench);
}

TEST(a_single_file_counts_in_the_bucket_of_its_home_source)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    struct source *source = add_source(&bench);
    struct bench_job job = {
        .record = {.kind = RECORD_FULL,
            .flags = RECORD_EXTENDED,
            .origin = 8, /* whom it came from */
            .identity = {.clock = 64 * 5 + 3, .origin = BENCH_PEER, .suffix = "abcdef."},
            .version = {1, BENCH_PEER},
            .home = {.kind = PLACE_SINGLE, .machine = BENCH_PEER, .mount = 1, .stream = 2},
            .digest_delta = 99,
            .live_delta = 1}};
    bench_start(&bench, &job);
    bench_wait(&bench, &job);
    EXPECT_OK(job.err);
    EXPECT_EQ(source->singles[3].sum, 99);
    EXPECT_EQ(source->singles[3].count, 1);
    EXPECT(source->changed_ns[3] > 0);
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT_EQ(find_source(&bench)->singles[3].sum, 99);
    EXPECT_EQ(find_source(&bench)->singles[3].count, 1);
    EXPECT_EQ(bench.stream.sources.all[0].singles[3].count, 0);
    bench_free(&bench);
}

/* ---- tombstones of single files ---- */

static const struct identity early = {.clock = 500, .origin = BENCH_PEER, .suffix = "abcdef."};

/* What a delete leaves that came before its file. */
static void bury(struct stream_bench *bench, uint8_t flags)
{
    char path[SINGLE_PATH_MAX];
    uint8_t meta[SINGLE_META_MAX];
    const struct place home = {
        .kind = PLACE_SINGLE, .machine = BENCH_PEER, .mount = 1, .stream = 2};
    struct slot_header header = {.identity = early,
        .version = {2, BENCH_PEER},
        .birth = {2, BENCH_PEER},
        .flags = flags,
        .other = home};
    struct iovec iov = {meta, single_meta_encode(&header, span_of(NULL, 0), meta)};
    struct io_handle handle = IO_HANDLE_NONE;
    single_path(path, &early);
    struct io_op op = {.kind = IO_OPEN,
        .fd = bench->root.fd,
        .path = path,
        .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
        .ret_handle = &handle,
        .owner = &bench->owner};
    EXPECT(io_call(bench->io, &op) >= 0);
    op = (struct io_op){
        .kind = IO_WRITE, .fd = handle.fd, .iov = &iov, .iov_count = 1, .owner = &bench->owner};
    EXPECT(io_call(bench->io, &op) >= 0);
    io_handle_close(bench->io, &handle);
    struct bench_job job = {.record = {.kind = RECORD_DELETE,
                                .flags = RECORD_EXTENDED | RECORD_RENAMES,
                                .origin = BENCH_PEER,
                                .identity = early,
                                .version = {2, BENCH_PEER},
                                .home = home}};
    bench_start(bench, &job);
    bench_wait(bench, &job);
    EXPECT_OK(job.err);
}

static bool is_buried(struct stream_bench *bench)
{
    char path[SINGLE_PATH_MAX + 3] = "/d/";
    single_path(path + 3, &early);
    return sim_file_size(bench->node, path) >= 0;
}

static void pass_watermark(struct stream_bench *bench, uint64_t watermark)
{
    struct source *source = find_source(bench);
    source->lsn++;
    source->coverage.watermark = watermark;
    stream_position_log(&bench->stream, source);
    bench_checkpoint(bench);
    sim_world_run_for(bench->world, 100000000);
}

TEST(a_tombstone_goes_when_the_kept_watermark_has_passed_it)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    (void)add_source(&bench);
    bury(&bench, SLOT_DELETED);
    pass_watermark(&bench, 499);
    EXPECT(is_buried(&bench));
    pass_watermark(&bench, 500);
    EXPECT(!is_buried(&bench));
    EXPECT_EQ(bench.stream.tombstones.count, 0);
    bench_free(&bench);
}

TEST(a_file_that_was_brought_back_is_no_tombstone_any_more)
{
    struct stream_bench bench;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    (void)add_source(&bench);
    bury(&bench, SLOT_MUTABLE);
    pass_watermark(&bench, 500);
    EXPECT(is_buried(&bench));
    EXPECT_EQ(bench.stream.tombstones.count, 0);
    bench_free(&bench);
}

/* ---- lost chunks ---- */

TEST(a_lost_mirrored_chunk_has_an_empty_digest_and_is_made_again)
{
    struct stream_bench bench;
    struct bench_file file;
    bench_init(&bench, 1);
    EXPECT(bench_boot(&bench));
    bench_file_init(&bench, &file, 0, 1, 'a');
    put(&bench, &file);
    bench_checkpoint(&bench);
    struct io_op op = {.kind = IO_UNLINK,
        .fd = bench.root.fd,
        .path = "chunks/000009-01-02-00000001",
        .owner = &bench.owner};
    EXPECT(io_call(bench.io, &op) >= 0);
    EXPECT(bench_close(&bench));
    for (unsigned i = 0; i < 2; i++) { /* it stays lost, and is not dropped */
        EXPECT(bench_boot(&bench));
        EXPECT_EQ(bench.stream.lost_chunks, 1);
        struct chunk_key key = bench_key(1);
        EXPECT_EQ(stream_chunk_find(&bench.stream, &key)->digest.count, 0);
        EXPECT(bench_close(&bench));
    }
    EXPECT(bench_boot(&bench));
    put(&bench, &file);
    expect_chunk(&bench, bench_file_digest(&file), 1);
    bench_kill(&bench, true);
    EXPECT(bench_boot(&bench));
    EXPECT_EQ(bench.stream.lost_chunks, 0);
    EXPECT(bench_file_is_there(&bench, &file));
    struct chunk_key key = bench_key(1);
    EXPECT_EQ(stream_chunk_find(&bench.stream, &key)->digest.sum, bench_file_digest(&file));
    bench_free(&bench);
}
