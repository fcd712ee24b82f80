/* Where a log ends and why: torn tails are cut, rot is stepped over, what other settings or a later
 * version wrote is not taken for the end. */
#include "disk/log_scan.h"

#include "base/crc.h"

#include "tests/unit/sim/lab.h"

enum { SEGMENT = 256 * 1024, BUFFER = 8 * 1024 };

static uint8_t batch[SEGMENT];

struct log {
    struct lab lab;
    struct mem mem;
    struct io_handle root, file;
    struct log_segment_header header;
    uint64_t offset, lsn;
};

static void log_begin(struct log *log, uint32_t format)
{
    uint8_t page[LOG_PAGE];
    *log = (struct log){.lab = lab_new(1, NULL), .offset = LOG_PAGE, .lsn = 1};
    mem_init(&log->mem, &log->lab.io->ledger);
    log->mem.is_unphased = true;
    EXPECT_EQ(lab_named(&log->lab, IO_MKDIR, "/d/log", NULL, 0), 0);
    EXPECT_EQ(lab_named(&log->lab, IO_MKDIR, "/d/log/00", NULL, 0), 0);
    EXPECT(lab_open(&log->lab, &log->root, "/d", IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
    EXPECT(lab_open(&log->lab, &log->file, "/d/log/00/0000000000000001",
               IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE)
           >= 0);
    log->header =
        (struct log_segment_header){.number = 1, .incarnation = 1, .first_lsn = 1, .salt = 9};
    log_segment_encode(&log->header, page);
    if (format != LOG_FORMAT) {
        put_u32(page + 8, format);
        put_u32(page + 4, crc32_update(0, page + 8, LOG_PAGE - 8));
    }
    EXPECT_EQ(lab_write(&log->lab, log->file.fd, 0, page, LOG_PAGE), LOG_PAGE);
}

/* A batch of one record with `size` bytes of content. Returns where it begins. */
static uint64_t log_add(struct log *log, uint32_t size)
{
    static uint8_t content[SEGMENT / 2];
    struct record record = {.lsn = log->lsn,
        .kind = RECORD_UPLOAD,
        .flags = RECORD_INLINE,
        .content = span_of(content, size),
        .content_size = size};
    struct writer w = {batch, sizeof batch, LOG_BATCH_HEADER_SIZE, false};
    record_encode(&record, &w, NULL);
    EXPECT(!w.failed);
    size_t whole = (w.size + LOG_PAGE - 1) / LOG_PAGE * LOG_PAGE;
    memset(batch + w.size, 0, whole - w.size);
    struct log_batch_header header = {.size = (uint32_t)whole,
        .used = (uint32_t)w.size,
        .record_count = 1,
        .first_lsn = log->lsn,
        .durable_lsn = log->lsn - 1};
    log_batch_seal(batch, &header, &log->header);
    EXPECT_EQ(lab_write(&log->lab, log->file.fd, log->offset, batch, whole), whole);
    uint64_t at = log->offset;
    log->offset += whole;
    log->lsn++;
    return at;
}

static void log_damage(struct log *log, uint64_t offset)
{
    uint8_t byte = 0x77;
    EXPECT_EQ(lab_write(&log->lab, log->file.fd, offset, &byte, 1), 1);
}

static err_t count_record(void *context, const struct record *record)
{
    uint64_t *sum = context;
    *sum = *sum * 10 + record->lsn;
    return ERR_OK;
}

/* Scan from `lsn`; *ret_visited: the digits of the LSNs visited. */
static err_t log_scan_all(
    struct log *log, uint64_t lsn, struct log_scan *ret, uint64_t *ret_visited)
{
    *ret = (struct log_scan){.io = log->lab.io,
        .mem = &log->mem,
        .owner = &log->lab.owner,
        .root = &log->root,
        .segment_size = SEGMENT,
        .buffer_size = BUFFER};
    *ret_visited = 0;
    err_t err = log_scan_open(ret);
    if (!err_is(err))
        err = log_scan_run(ret, lsn, count_record, ret_visited);
    EXPECT_EQ(log->mem.bytes, 0);
    return err;
}

static void log_end(struct log *log)
{
    io_handle_close(log->lab.io, &log->file);
    io_handle_close(log->lab.io, &log->root);
    lab_free(&log->lab);
}

TEST(every_record_behind_the_checkpoint_is_visited_in_order)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    for (int i = 0; i < 5; i++)
        (void)log_add(&log, 100);
    EXPECT_OK(log_scan_all(&log, 2, &scan, &visited));
    EXPECT_EQ(visited, 345);
    EXPECT_EQ(scan.lsn_next, 6);
    EXPECT_EQ(scan.end_offset, log.offset);
    EXPECT(!scan.is_torn);
    EXPECT_EQ(scan.rotten, 0);
    log_end(&log);
}

TEST(a_batch_larger_than_the_configured_buffer_is_no_torn_tail)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    (void)log_add(&log, 100);
    (void)log_add(&log, 5 * BUFFER);
    (void)log_add(&log, 100);
    EXPECT_OK(log_scan_all(&log, 0, &scan, &visited));
    EXPECT_EQ(visited, 123);
    EXPECT(!scan.is_torn);
    log_end(&log);
}

TEST(the_last_batch_damaged_is_a_torn_tail_and_is_cut)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    (void)log_add(&log, 100);
    (void)log_add(&log, 100);
    uint64_t last = log_add(&log, 100);
    log_damage(&log, last + 80);
    EXPECT_OK(log_scan_all(&log, 0, &scan, &visited));
    EXPECT_EQ(visited, 12);
    EXPECT_EQ(scan.lsn_next, 3);
    EXPECT_EQ(scan.end_offset, last);
    EXPECT(scan.is_torn);
    log_end(&log);
}

TEST(a_batch_damaged_below_the_durable_end_is_rot_and_is_stepped_over)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    (void)log_add(&log, 100);
    uint64_t second = log_add(&log, 6000);
    (void)log_add(&log, 100); /* says that 2 was durable */
    (void)log_add(&log, 100);
    log_damage(&log, second + 80);
    EXPECT_OK(log_scan_all(&log, 0, &scan, &visited));
    EXPECT_EQ(visited, 134);
    EXPECT_EQ(scan.rotten, 1);
    EXPECT_EQ(scan.lsn_next, 5);
    log_end(&log);
}

TEST(a_segment_of_a_later_version_is_refused_and_not_taken_for_a_spare)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT + 1);
    EXPECT_ERR(log_scan_all(&log, 0, &scan, &visited), FORMAT);
    log_end(&log);
}

TEST(a_segment_of_another_storage_is_refused)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    uint8_t page[LOG_PAGE];
    log.header.storage_uuid[3] = 1;
    log_segment_encode(&log.header, page);
    EXPECT_EQ(lab_write(&log.lab, log.file.fd, 0, page, LOG_PAGE), LOG_PAGE);
    EXPECT_ERR(log_scan_all(&log, 0, &scan, &visited), FOREIGN);
    log_end(&log);
}

TEST(records_missing_behind_the_checkpoint_are_damage)
{
    struct log log;
    struct log_scan scan;
    uint64_t visited;
    log_begin(&log, LOG_FORMAT);
    uint8_t page[LOG_PAGE];
    log.header.first_lsn = 50;
    log_segment_encode(&log.header, page);
    EXPECT_EQ(lab_write(&log.lab, log.file.fd, 0, page, LOG_PAGE), LOG_PAGE);
    EXPECT_ERR(log_scan_all(&log, 10, &scan, &visited), CORRUPT);
    log_end(&log);
}
