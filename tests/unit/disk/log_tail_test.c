/* Reading a running log: from the ring, from the segments, across both, while segments are recycled,
 * after crashes, over rot, and when the disk refuses. */
#include <stdlib.h>

#include "sim/sweep.h"
#include "tests/unit/disk/log_bench.h"

static struct log_bench *bench_new(uint64_t seed, size_t ring_size)
{
    struct log_bench *bench = calloc(1, sizeof *bench);
    log_bench_init(bench, seed, ring_size);
    EXPECT_OK(log_bench_open(bench));
    return bench;
}

static void bench_end(struct log_bench *bench)
{
    log_bench_free(bench);
    free(bench);
}

TEST(a_reader_that_keeps_up_reads_from_the_ring_only)
{
    struct log_bench *bench = bench_new(1, 64 * 1024);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    for (int i = 0; i < 40; i++) {
        log_bench_write(bench, 5, 300);
        EXPECT_OK(bench_reader_drain(&reader, bench));
    }
    EXPECT_EQ(reader.records, 200);
    EXPECT_EQ(bench->tail.disk_reads, 0);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(a_reader_that_fell_out_of_the_ring_goes_on_from_disk_and_comes_back)
{
    struct log_bench *bench = bench_new(2, 8 * 1024);
    struct bench_reader reader;
    bench->retains = true;
    bench_reader_open(&reader, bench, 1);
    log_bench_write(bench, 3, 300);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    log_bench_write(bench, 200, 600);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 203);
    EXPECT(bench->tail.disk_reads > 0);
    uint64_t disk_reads = bench->tail.disk_reads, ring_reads = bench->tail.ring_reads;
    log_bench_write(bench, 3, 300);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(bench->tail.disk_reads, disk_reads);
    EXPECT(bench->tail.ring_reads > ring_reads);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(without_a_reader_nothing_is_copied)
{
    struct log_bench *bench = bench_new(3, 64 * 1024);
    log_bench_write(bench, 20, 300);
    EXPECT_EQ(bench->tail.ring.head, 0);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    EXPECT_OK(bench_reader_drain(&reader, bench)); /* from disk */
    EXPECT_EQ(reader.records, 20);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(nothing_is_read_before_it_is_durable)
{
    struct log_bench *bench = bench_new(4, 64 * 1024);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    EXPECT(log_bench_append(bench, 100));
    EXPECT_OK(bench_reader_read(&reader, bench));
    EXPECT_EQ(reader.read.size, 0);
    EXPECT_EQ(reader.read.lsn_next, 1);
    log_bench_write(bench, 1, 100);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 2);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(every_position_can_be_read_from_disk)
{
    struct log_bench *bench = bench_new(5, 0);
    bench->retains = true;
    log_bench_write(bench, 150, 900);
    for (uint64_t lsn = 1; lsn <= 150; lsn += 7) {
        struct bench_reader reader;
        bench_reader_open(&reader, bench, lsn);
        EXPECT_OK(bench_reader_drain(&reader, bench));
        EXPECT_EQ(reader.records, 151 - lsn);
        bench_reader_close(&reader, bench);
    }
    bench_end(bench);
}

TEST(a_reader_may_go_back)
{
    struct log_bench *bench = bench_new(6, 0);
    struct bench_reader reader;
    log_bench_write(bench, 60, 500);
    bench_reader_open(&reader, bench, 50);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    reader.lsn = 2;
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 11 + 59);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

/* ---- recycling and retention ---- */

TEST(a_recycled_segment_is_answered_pruned_and_the_log_begins_later)
{
    struct log_bench *bench = bench_new(7, 0);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    log_bench_write(bench, 2, 300);
    EXPECT_OK(bench_reader_read(&reader, bench)); /* its segment is open now */
    for (int i = 0; i < 10; i++) {
        log_bench_write(bench, 60, 900);
        log_bench_checkpoint(bench);
    }
    uint64_t first = log_tail_first(&bench->tail);
    EXPECT(first > 3);
    EXPECT_ERR(bench_reader_read(&reader, bench), NOT_FOUND);
    EXPECT_EQ(reader.read.lsn_next, 3);
    reader.lsn = first;
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 2 + 602 - first + 1);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(what_is_retained_is_not_recycled_while_the_budget_allows)
{
    struct log_bench *bench = bench_new(8, 0);
    binlog_retain(&bench->log, 0);
    for (int i = 0; i < 4; i++) {
        log_bench_write(bench, 40, 900);
        log_bench_checkpoint(bench);
    }
    EXPECT_EQ(log_tail_first(&bench->tail), 1);
    EXPECT_EQ(bench->broken, 0);
    binlog_retain(&bench->log, 150);
    for (int i = 0; i < 2; i++) {
        log_bench_write(bench, 40, 900);
        log_bench_checkpoint(bench);
    }
    EXPECT(log_tail_first(&bench->tail) > 1);
    EXPECT(log_tail_first(&bench->tail) <= 151);
    EXPECT_EQ(bench->broken, 0);
    bench_end(bench);
}

TEST(when_the_budget_is_used_up_the_retention_breaks_and_appends_go_on)
{
    struct log_bench *bench = bench_new(9, 0);
    binlog_retain(&bench->log, 0);
    for (int i = 0; i < 20; i++) {
        log_bench_write(bench, 60, 900);
        log_bench_checkpoint(bench);
    }
    EXPECT(bench->broken > 0);
    EXPECT(log_tail_first(&bench->tail) > 1);
    EXPECT(bench->log.segment_count <= bench->segment_count_max);
    EXPECT_EQ(bench->failures, 0);
    bench_end(bench);
}

TEST(on_a_full_disk_the_retention_breaks_and_appends_go_on)
{
    struct log_bench *bench = bench_new(10, 0);
    binlog_retain(&bench->log, 0);
    log_bench_write(bench, 30, 900);
    sim_mount_faults(bench->lab.node, "/d")->is_full = true;
    for (int i = 0; i < 10; i++) {
        log_bench_write(bench, 60, 900);
        log_bench_checkpoint(bench);
    }
    EXPECT(bench->broken > 0);
    EXPECT(bench->log.segment_count >= LOG_SEGMENTS_MIN);
    EXPECT_EQ(bench->failures, 0);
    sim_mount_faults(bench->lab.node, "/d")->is_full = false;
    bench_end(bench);
}

TEST(what_is_retained_survives_restarts)
{
    struct log_bench *bench = bench_new(11, 0);
    bench->retains = true;
    binlog_retain(&bench->log, 0);
    log_bench_write(bench, 60, 900);
    log_bench_checkpoint(bench);
    log_bench_close(bench);
    EXPECT_OK(log_bench_open(bench));
    log_bench_write(bench, 60, 900);
    log_bench_crash(bench, true);
    EXPECT_OK(log_bench_open(bench));
    log_bench_checkpoint(bench);
    log_bench_write(bench, 10, 900);
    EXPECT_EQ(log_tail_first(&bench->tail), 1);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 130);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

/* ---- rot ---- */

/* Ten batches of one record each, in segment 1. */
static struct log_bench *bench_of_batches(uint64_t seed)
{
    struct log_bench *bench = bench_new(seed, 0);
    for (int i = 0; i < 10; i++)
        log_bench_write(bench, 1, 200);
    return bench;
}

static const char segment_path[] = "/d/log/00/0000000000000001";

TEST(rot_is_reported_with_the_records_that_are_lost_and_can_be_stepped_over)
{
    struct log_bench *bench = bench_of_batches(12);
    struct bench_reader reader;
    sim_file_flip_bit(bench->lab.node, segment_path, 4 * LOG_PAGE + 100, 3); /* record 4 */
    bench_reader_open(&reader, bench, 1);
    EXPECT_OK(bench_reader_read(&reader, bench));
    EXPECT_EQ(reader.lsn, 4);
    EXPECT_ERR(bench_reader_read(&reader, bench), CORRUPT);
    EXPECT_EQ(reader.lsn, 5);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 9);
    EXPECT_EQ(reader.lost, 1);
    reader.lsn = 7; /* behind the rot, from the beginning of the segment */
    bench_reader_close(&reader, bench);
    bench_reader_open(&reader, bench, 7);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 4);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(rot_up_to_the_end_of_the_log_is_lost_and_what_comes_later_is_read)
{
    struct log_bench *bench = bench_of_batches(13);
    struct bench_reader reader;
    for (unsigned i = 9; i <= 10; i++)
        sim_file_flip_bit(bench->lab.node, segment_path, i * LOG_PAGE + 70, 1);
    bench_reader_open(&reader, bench, 9);
    EXPECT_ERR(bench_reader_read(&reader, bench), CORRUPT);
    EXPECT_EQ(reader.lsn, 11);
    EXPECT_OK(bench_reader_read(&reader, bench));
    EXPECT_EQ(reader.read.size, 0);
    log_bench_write(bench, 3, 200);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 3);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(a_segment_whose_header_is_lost_is_stepped_over)
{
    struct log_bench *bench = bench_new(14, 0);
    struct bench_reader reader;
    binlog_retain(&bench->log, 0);
    log_bench_write(bench, 100, 900);
    sim_file_flip_bit(bench->lab.node, segment_path, 10, 1);
    bench_reader_open(&reader, bench, 1);
    EXPECT_ERR(bench_reader_read(&reader, bench), CORRUPT);
    EXPECT(reader.lsn > 1);
    uint64_t lost = reader.lsn - 1;
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 100 - lost);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(a_bad_sector_costs_its_batch_only)
{
    struct log_bench *bench = bench_of_batches(15);
    struct bench_reader reader;
    sim_file_make_bad(bench->lab.node, segment_path, 4 * LOG_PAGE + 512, 512);
    bench_reader_open(&reader, bench, 1);
    while (reader.lsn <= 10)
        EXPECT(!err_has(bench_reader_read(&reader, bench), ERR_CODE_NOT_FOUND));
    EXPECT_EQ(reader.records, 9);
    EXPECT_EQ(reader.lost, 1);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

TEST(a_disk_that_is_gone_is_an_error_and_loses_nothing)
{
    struct log_bench *bench = bench_of_batches(16);
    struct bench_reader reader;
    bench_reader_open(&reader, bench, 1);
    sim_mount_faults(bench->lab.node, "/d")->is_offline = true;
    EXPECT_ERR(bench_reader_read(&reader, bench), IO);
    EXPECT_EQ(reader.lsn, 1);
    sim_mount_faults(bench->lab.node, "/d")->is_offline = false;
    EXPECT_OK(bench_reader_drain(&reader, bench));
    sim_mount_faults(bench->lab.node, "/d")->is_offline = true;
    reader.lsn = 2; /* with the segment open */
    EXPECT_ERR(bench_reader_read(&reader, bench), IO);
    EXPECT_EQ(reader.lsn, 2);
    sim_mount_faults(bench->lab.node, "/d")->is_offline = false;
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

/* What was cut is in the old segment still, with LSNs that were given out again. */
TEST(a_cut_tail_is_never_read)
{
    struct log_bench *bench = bench_of_batches(17);
    struct bench_reader reader;
    static uint8_t torn[LOG_PAGE];
    EXPECT_EQ(
        sim_file_read(bench->lab.node, segment_path, 10 * LOG_PAGE, torn, LOG_PAGE), LOG_PAGE);
    bench->retains = true;
    log_bench_close(bench);
    uint8_t junk[64] = {1};
    sim_file_corrupt(bench->lab.node, segment_path, 10 * LOG_PAGE, junk, sizeof junk);
    EXPECT_OK(log_bench_open(bench)); /* record 10 is cut */
    EXPECT_EQ(bench->log.lsn_next, 10);
    sim_file_corrupt(bench->lab.node, segment_path, 10 * LOG_PAGE, torn, LOG_PAGE);
    log_bench_write(bench, 5, 200);
    bench_reader_open(&reader, bench, 1);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records, 14);
    bench_reader_close(&reader, bench);
    bench_end(bench);
}

/* ---- refusals ---- */

static void drain_under_refusals(
    void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    (void)context;
    struct log_bench *bench = calloc(1, sizeof *bench);
    struct bench_reader reader;
    *bench =
        (struct log_bench){.ring = calloc(1, 8), .segment_count_max = 6, .lab = {.world = world}};
    static const struct sim_disk_options disk = {
        .capacity = 64 << 20, .direct_alignment = 4096, .read_ns = 50000, .write_ns = 4000};
    bench->lab.node = sim_node_new(world, "s1", NULL);
    sim_mount_new(bench->lab.node, "/d", &disk);
    lab_boot(&bench->lab);
    EXPECT_EQ(lab_named(&bench->lab, IO_MKDIR, "/d/log", NULL, 0), 0);
    EXPECT_EQ(lab_named(&bench->lab, IO_MKDIR, "/d/log/00", NULL, 0), 0);
    EXPECT_OK(log_bench_open(bench));
    binlog_retain(&bench->log, 0);
    log_bench_write(bench, 150, 900);
    bench_reader_open(&reader, bench, 1);
    sim_attempt_arm(attempt, bench->lab.io);
    for (int i = 0; i < 30 && reader.lsn <= 150; i++) {
        err_t err = bench_reader_read(&reader, bench);
        EXPECT(!err_has(err, ERR_CODE_NOT_FOUND) && !err_has(err, ERR_CODE_OUTCOME_UNKNOWN));
    }
    (void)sim_attempt_disarm(attempt);
    EXPECT_OK(bench_reader_drain(&reader, bench));
    EXPECT_EQ(reader.records + reader.lost, 150);
    EXPECT(attempt->for_ever || reader.lost == 0);
    bench_reader_close(&reader, bench);
    log_bench_close(bench);
    free(bench->ring);
    free(bench);
}

TEST(every_refusal_of_a_read_is_an_answer_and_costs_no_record)
{
    struct sim_sweep sweep = {.seed = 1, .run = drain_under_refusals};
    EXPECT(sim_sweep(&sweep) > 20);
}

/* ---- the swarm: a writer, readers, checkpoints, crashes ---- */

enum { SWARM_READERS = 3 };

struct swarm {
    struct log_bench *bench;
    struct bench_reader readers[SWARM_READERS];
    struct prng prng;
    bool is_wrong;
    uint64_t pruned, records;
    bool is_blind; /* canary: see below */
};

static void swarm_open_reader(struct swarm *swarm, struct bench_reader *reader)
{
    uint64_t first = log_tail_first(&swarm->bench->tail);
    uint64_t span = swarm->bench->log.lsn_durable + 1 - first;
    bench_reader_open(reader, swarm->bench, first + (span ? prng_below(&swarm->prng, span) : 0));
}

static void swarm_judge(struct swarm *swarm, struct bench_reader *reader)
{
    uint64_t before = reader->records;
    swarm->is_wrong |= !bench_reader_judge(reader, swarm->bench);
    swarm->records += reader->records - before;
    if (!err_is(reader->read.err))
        return;
    if (!err_has(reader->read.err, ERR_CODE_NOT_FOUND)) {
        swarm->is_wrong = true;
        return;
    }
    uint64_t first = log_tail_first(&swarm->bench->tail);
    swarm->is_wrong |= reader->lsn >= first; /* it said pruned, and it is there */
    swarm->pruned++;
    reader->lsn = first;
}

/* A reader that goes on in the file that it has open, and takes what stands there for the records that
 * it wants: it asks for neither number nor salt. False: no file is open, or no batch is there. */
static bool read_blindly(struct bench_reader *reader, struct log_bench *bench)
{
    struct log_read *read = &reader->read;
    struct log_batch_header header;
    if (read->handle.fd == IO_FD_NONE || read->offset + LOG_PAGE > BENCH_SEGMENT
        || reader->lsn > bench->log.lsn_durable || read->offset_lsn != reader->lsn)
        return false;
    size_t left = BENCH_SEGMENT - (size_t)read->offset;
    size_t size = left < BENCH_BUFFER ? left : BENCH_BUFFER;
    if (lab_read(&bench->lab, read->handle.fd, read->offset, read->buffer, size) != (int64_t)size
        || err_is(log_batch_peek(span_of(read->buffer, size), &header)) || header.size > size)
        return false;
    read->err = ERR_OK;
    read->size = header.used - LOG_BATCH_HEADER_SIZE;
    memmove(read->buffer, read->buffer + LOG_BATCH_HEADER_SIZE, read->size);
    read->lsn_next = reader->lsn + header.record_count;
    read->offset += header.size;
    read->offset_lsn = read->lsn_next;
    return true;
}

static void swarm_read(struct swarm *swarm)
{
    struct bench_reader *reader = &swarm->readers[prng_below(&swarm->prng, SWARM_READERS)];
    if (reader->is_waiting)
        return;
    if (prng_chance(&swarm->prng, 50000)) {
        bench_reader_close(reader, swarm->bench);
        swarm_open_reader(swarm, reader);
    }
    if (swarm->is_blind && read_blindly(reader, swarm->bench)) {
        swarm->is_wrong |= !bench_reader_judge(reader, swarm->bench);
        return;
    }
    bench_reader_begin(reader, swarm->bench);
    unsigned turns = (unsigned)prng_below(&swarm->prng, 3);
    while (reader->is_waiting && turns-- > 0)
        log_bench_turn(swarm->bench);
    if (!reader->is_waiting)
        swarm_judge(swarm, reader);
}

static void swarm_finish_reads(struct swarm *swarm)
{
    for (size_t i = 0; i < SWARM_READERS; i++) {
        bool was_waiting = swarm->readers[i].is_waiting;
        while (swarm->readers[i].is_waiting)
            log_bench_turn(swarm->bench);
        if (was_waiting)
            swarm_judge(swarm, &swarm->readers[i]);
    }
}

static void swarm_restart(struct swarm *swarm)
{
    struct log_bench *bench = swarm->bench;
    bool crashes = prng_chance(&swarm->prng, 700000);
    if (!crashes)
        swarm_finish_reads(swarm);
    if (crashes)
        log_bench_crash(bench, prng_chance(&swarm->prng, 500000));
    for (size_t i = 0; i < SWARM_READERS; i++)
        bench_reader_close(&swarm->readers[i], bench);
    if (!crashes)
        log_bench_close(bench);
    EXPECT_OK(log_bench_open(bench));
    for (size_t i = 0; i < SWARM_READERS; i++)
        swarm_open_reader(swarm, &swarm->readers[i]);
}

static void swarm_step(struct swarm *swarm)
{
    struct log_bench *bench = swarm->bench;
    uint64_t dice = prng_below(&swarm->prng, 100);
    if (dice < 35) {
        (void)log_bench_append(bench, (uint32_t)prng_below(&swarm->prng, 3000));
    } else if (dice < 60) {
        (void)sim_world_step(bench->lab.world);
    } else if (dice < 90) {
        swarm_finish_reads(swarm);
        swarm_read(swarm);
    } else if (dice < 98) {
        log_bench_checkpoint(bench);
        binlog_retain(&bench->log, prng_chance(&swarm->prng, 300000) ? 0 : UINT64_MAX);
    } else if (prng_chance(&swarm->prng, 100000)) {
        swarm_restart(swarm);
    }
}

static void swarm_run(struct swarm *swarm, uint64_t seed)
{
    prng_init(&swarm->prng, seed);
    swarm->bench = bench_new(seed, prng_chance(&swarm->prng, 500000) ? 0 : 12 * 1024);
    for (size_t i = 0; i < SWARM_READERS; i++)
        swarm_open_reader(swarm, &swarm->readers[i]);
    for (int i = 0; i < 3000 && !swarm->is_wrong; i++)
        swarm_step(swarm);
    swarm_finish_reads(swarm);
    for (size_t i = 0; i < SWARM_READERS; i++)
        bench_reader_close(&swarm->readers[i], swarm->bench);
    bench_end(swarm->bench);
}

TEST(readers_see_every_record_once_and_in_order_whatever_happens_around_them)
{
    uint64_t pruned = 0, records = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct swarm swarm = {0};
        swarm_run(&swarm, seed);
        if (swarm.is_wrong)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        EXPECT(!swarm.is_wrong);
        pruned += swarm.pruned;
        records += swarm.records;
    }
    EXPECT(pruned > 20);
    EXPECT(records > 10000);
}

TEST(canary_a_reader_that_asks_for_neither_number_nor_salt_is_found)
{
    uint64_t found = 0;
    for (uint64_t seed = 1; seed <= 40 && found == 0; seed++) {
        struct swarm swarm = {.is_blind = true};
        swarm_run(&swarm, seed);
        found = swarm.is_wrong ? seed : 0;
    }
    EXPECT(found > 0);
}
