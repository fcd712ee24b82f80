#include <stdlib.h>

#include "tests/unit/disk/log_bench.h"

void log_bench_init(struct log_bench *bench, uint64_t seed, size_t ring_size)
{
    *bench = (struct log_bench){.lab = lab_new(seed, NULL),
        .ring = calloc(1, ring_size + 8),
        .ring_size = ring_size,
        .segment_count_max = 6};
    EXPECT_EQ(lab_named(&bench->lab, IO_MKDIR, "/d/log", NULL, 0), 0);
    EXPECT_EQ(lab_named(&bench->lab, IO_MKDIR, "/d/log/00", NULL, 0), 0);
    EXPECT_EQ(lab_sync_directory(&bench->lab, "/d/log"), 0);
    EXPECT_EQ(lab_sync_directory(&bench->lab, "/d"), 0);
}

static void on_commit(void *context, const struct record *record)
{
    struct log_bench *bench = context;
    EXPECT(record->lsn < BENCH_LSNS);
    bench->made_by[record->lsn] = (uint8_t)record->incarnation;
}

static void on_batch(void *context, uint64_t first_lsn, struct span records)
{
    struct log_bench *bench = context;
    log_tail_commit(&bench->tail, first_lsn, records);
}

static void on_moved(void *context)
{
    (void)context;
}

static void on_failure(void *context, err_t err)
{
    struct log_bench *bench = context;
    (void)err;
    bench->failures++;
}

static void on_pressure(void *context)
{
    struct log_bench *bench = context;
    bench->pressures++;
}

static void on_broken(void *context)
{
    struct log_bench *bench = context;
    bench->broken++;
}

static err_t note_record(void *context, const struct record *record)
{
    on_commit(context, record);
    return ERR_OK;
}

/* As recovery does: what a killed process had in flight may be in the page cache only. */
static void sync_end(struct log_bench *bench, uint64_t number)
{
    char path[LOG_NAME_MAX + 4] = "/d/";
    struct io_handle handle;
    binlog_segment_path(path + 3, 0, number);
    if (number == 0)
        return;
    EXPECT(lab_open(&bench->lab, &handle, path, IO_OPEN_READ) >= 0);
    EXPECT_EQ(lab_on(&bench->lab, IO_SYNC, handle.fd, 0, 0), 0);
    io_handle_close(bench->lab.io, &handle);
}

static err_t bench_recover(struct log_bench *bench, struct binlog_position *ret)
{
    struct log_scan *scan = calloc(1, sizeof *scan);
    *scan = (struct log_scan){.io = bench->lab.io,
        .mem = &bench->mem,
        .owner = &bench->lab.owner,
        .root = &bench->root,
        .segment_size = BENCH_SEGMENT,
        .buffer_size = BENCH_BUFFER};
    err_t err = log_scan_open(scan);
    uint64_t from = UINT64_MAX;
    for (uint32_t i = 0; i < scan->count; i++)
        if (scan->headers[i].number > 0 && scan->headers[i].first_lsn - 1 < from)
            from = scan->headers[i].first_lsn - 1;
    if (!err_is(err))
        err = log_scan_run(scan, from == UINT64_MAX ? 0 : from, note_record, bench);
    log_scan_chain(scan);
    sync_end(bench, scan->end_number);
    *ret = (struct binlog_position){.lsn_next = scan->lsn_next,
        .previous_number = scan->end_number,
        .previous_end = scan->end_offset,
        .lsn_checkpoint = scan->lsn_next - 1,
        .segment_count = scan->count};
    memcpy(ret->segments, scan->files, sizeof ret->segments);
    free(scan);
    return err;
}

err_t log_bench_open(struct log_bench *bench)
{
    struct binlog_position position;
    mem_init(&bench->mem, &bench->lab.io->ledger);
    bench->mem.is_unphased = true;
    bench->root = IO_HANDLE_NONE;
    EXPECT(lab_open(&bench->lab, &bench->root, "/d", IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
    TRY(bench_recover(bench, &position));
    struct binlog_options options = {.io = bench->lab.io,
        .mem = &bench->mem,
        .root = &bench->root,
        .segment_size = BENCH_SEGMENT,
        .buffer_size = BENCH_BUFFER,
        .segment_count_max = bench->segment_count_max,
        .identity = {.incarnation = ++bench->incarnation},
        .on_commit = on_commit,
        .on_batch = on_batch,
        .on_moved = on_moved,
        .on_failure = on_failure,
        .on_pressure = on_pressure,
        .on_retention_broken = on_broken,
        .context = bench,
        .retains = bench->retains};
    TRY(binlog_open(&bench->log, &options, &position));
    bench->appended = position.lsn_next - 1;
    log_tail_init(&bench->tail, &bench->log, bench->ring, bench->ring_size);
    bench->is_open = true;
    return ERR_OK;
}

void log_bench_turn(struct log_bench *bench)
{
    EXPECT(sim_world_step(bench->lab.world));
}

void log_bench_close(struct log_bench *bench)
{
    while (!binlog_is_idle(&bench->log))
        log_bench_turn(bench);
    binlog_close_begin(&bench->log);
    while (!binlog_is_quiet(&bench->log))
        log_bench_turn(bench);
    log_tail_fini(&bench->tail);
    binlog_close_end(&bench->log);
    io_handle_close(bench->lab.io, &bench->root);
    EXPECT_EQ(bench->mem.bytes, 0);
    bench->is_open = false;
}

/* The memory of the dead process is ours. */
void log_bench_crash(struct log_bench *bench, bool loses_power)
{
    if (loses_power)
        sim_node_power_loss(bench->lab.node);
    else
        sim_node_kill(bench->lab.node);
    for (size_t i = 0; i < LOG_BUFFER_COUNT; i++)
        mem_give(&bench->mem, bench->log.buffers[i].data);
    mem_give(&bench->mem, bench->log.segment_page);
    mem_give(&bench->mem, bench->log.zeros);
    bench->is_open = false;
    lab_boot(&bench->lab);
}

void log_bench_free(struct log_bench *bench)
{
    if (bench->is_open)
        log_bench_close(bench);
    free(bench->ring);
    lab_free(&bench->lab);
}

static uint8_t content_byte(uint64_t lsn, uint64_t incarnation, size_t at)
{
    return (uint8_t)(lsn * 31 + incarnation * 7 + at);
}

bool log_bench_append(struct log_bench *bench, uint32_t size)
{
    static uint8_t content[BENCH_BUFFER];
    uint64_t lsn = bench->log.lsn_next;
    struct record record = {.kind = RECORD_UPLOAD,
        .flags = RECORD_INLINE,
        .content = span_of(content, size),
        .content_size = size};
    if (!binlog_has_room(&bench->log, record_size(&record)))
        return false;
    for (size_t i = 0; i < size; i++)
        content[i] = content_byte(lsn, bench->incarnation, i);
    EXPECT_OK(binlog_append_detached(&bench->log, &record));
    bench->appended = lsn;
    return true;
}

void log_bench_write(struct log_bench *bench, unsigned count, uint32_t size)
{
    for (unsigned i = 0; i < count; i++)
        while (!log_bench_append(bench, size + i % 7 * 8))
            log_bench_turn(bench);
    while (bench->log.lsn_durable < bench->appended)
        log_bench_turn(bench);
}

void log_bench_checkpoint(struct log_bench *bench)
{
    binlog_set_checkpoint(&bench->log, bench->log.lsn_durable);
}

/* ---- readers ---- */

static int reader_wait(struct machine *machine)
{
    return machine_wait_in(machine, 1, 1);
}

static int reader_woken(struct machine *machine)
{
    CONTAINER_OF(machine, struct bench_reader, machine)->is_waiting = false;
    return 2;
}

static int reader_unwind(struct machine *machine)
{
    (void)machine;
    return 3;
}

static int reader_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage reader_stages[] = {
    {"wait", reader_wait, BIT(1), 0},
    {"woken", reader_woken, 0, 0},
    {"unwind", reader_unwind, BIT(3), 0},
    {"done", reader_done, 0, 0},
};
static const struct machine_kind reader_kind = {"bench-reader", reader_stages, 4, 2, 3};

void bench_reader_open(struct bench_reader *reader, struct log_bench *bench, uint64_t lsn)
{
    *reader = (struct bench_reader){.lsn = lsn, .buffer = aligned_alloc(LOG_PAGE, BENCH_BUFFER)};
    log_read_open(&reader->read, &bench->tail, reader->buffer, BENCH_BUFFER);
}

void bench_reader_close(struct bench_reader *reader, struct log_bench *bench)
{
    if (bench->is_open)
        log_read_close(&reader->read);
    free(reader->buffer);
    reader->buffer = NULL;
}

void bench_reader_begin(struct bench_reader *reader, struct log_bench *bench)
{
    EXPECT(!reader->is_waiting);
    reader->read.lsn = reader->lsn;
    machine_start(&reader->machine, &reader_kind, &bench->lab.io->run, DIRECTION_SYNC_SEND);
    (void)run_queue_run(&bench->lab.io->run); /* it waits now */
    reader->is_waiting = true;
    if (log_tail_read(&bench->tail, &reader->read, &reader->machine)) {
        machine_arrive(&reader->machine);
        (void)run_queue_run(&bench->lab.io->run);
    }
}

static bool record_is_right(
    const struct record *record, uint64_t lsn, const struct log_bench *bench)
{
    if (record->lsn != lsn || lsn > bench->log.lsn_durable
        || record->incarnation != bench->made_by[lsn])
        return false;
    for (size_t i = 0; i < record->content.size; i++)
        if (record->content.data[i] != content_byte(lsn, record->incarnation, i))
            return false;
    return true;
}

bool bench_reader_judge(struct bench_reader *reader, const struct log_bench *bench)
{
    const struct log_read *read = &reader->read;
    if (read->lsn_next < reader->lsn || read->lsn_next > bench->log.lsn_durable + 1)
        return false;
    if (err_is(read->err)) {
        reader->lost += read->lsn_next - reader->lsn;
        reader->lsn = read->lsn_next;
        return read->size == 0;
    }
    uint64_t lsn = reader->lsn;
    for (size_t at = 0; at < read->size; lsn++) {
        struct record record;
        size_t size;
        err_t err = record_decode(span_of(read->buffer + at, read->size - at), &record, &size);
        if (err_is(err) || !record_is_right(&record, lsn, bench))
            return false;
        at += size;
        reader->records++;
    }
    bool is_right = lsn == read->lsn_next;
    reader->lsn = lsn;
    return is_right;
}

err_t bench_reader_read(struct bench_reader *reader, struct log_bench *bench)
{
    bench_reader_begin(reader, bench);
    while (reader->is_waiting)
        log_bench_turn(bench);
    EXPECT(bench_reader_judge(reader, bench));
    return reader->read.err;
}

err_t bench_reader_drain(struct bench_reader *reader, struct log_bench *bench)
{
    while (reader->lsn <= bench->log.lsn_durable) {
        uint64_t before = reader->lsn;
        TRY(bench_reader_read(reader, bench));
        EXPECT(reader->lsn > before);
    }
    return ERR_OK;
}
