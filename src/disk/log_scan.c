#include "disk/log_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- listing ---- */

struct listing {
    struct log_scan *scan;
    bool too_many;
};

static void list_entry(void *context, const char *name, bool is_directory)
{
    struct listing *listing = context;
    struct log_scan *scan = listing->scan;
    unsigned long long number;
    if (is_directory || strlen(name) != 16 || sscanf(name, "%16llx", &number) != 1 || number == 0)
        return;
    if (scan->count == LOG_SEGMENTS_MAX) {
        listing->too_many = true;
        return;
    }
    uint32_t at = scan->count++;
    while (at > 0 && scan->files[at - 1].number > number) {
        scan->files[at] = scan->files[at - 1];
        at--;
    }
    scan->files[at] = (struct log_segment){.number = number};
}

static err_t scan_list(struct log_scan *scan)
{
    char path[LOG_NAME_MAX];
    binlog_directory_path(path, scan->stream);
    struct io_handle directory = IO_HANDLE_NONE;
    struct io_op op = {.kind = IO_OPEN,
        .fd = scan->root->fd,
        .path = path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &directory,
        .owner = scan->owner};
    int64_t result = io_call(scan->io, &op);
    if (result < 0)
        return ERR_RESULT(result);
    struct listing listing = {scan, false};
    op = (struct io_op){.kind = IO_LIST,
        .fd = directory.fd,
        .each_entry = list_entry,
        .context = &listing,
        .owner = scan->owner};
    result = io_call(scan->io, &op);
    io_handle_close(scan->io, &directory);
    if (result < 0)
        return ERR_RESULT(result);
    return listing.too_many ? ERR(BUSY, 0) : ERR_OK;
}

static err_t segment_open(struct log_scan *scan, uint64_t number, struct io_handle *ret)
{
    char path[LOG_NAME_MAX];
    binlog_segment_path(path, scan->stream, number);
    struct io_op op = {.kind = IO_OPEN,
        .fd = scan->root->fd,
        .path = path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = ret,
        .owner = scan->owner};
    int64_t result = io_call(scan->io, &op);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* Read up to `size` bytes; less only at the end of the file. */
static err_t segment_read(
    struct log_scan *scan, int fd, uint64_t offset, uint8_t *into, size_t size, size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        struct iovec iov = {into + done, size - done};
        struct io_op op = {.kind = IO_READ,
            .fd = fd,
            .iov = &iov,
            .iov_count = 1,
            .offset = offset + done,
            .owner = scan->owner};
        int64_t result = io_call(scan->io, &op);
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        done += (size_t)result;
    }
    *ret_size = done;
    return ERR_OK;
}

static err_t scan_read_header(struct log_scan *scan, uint32_t at, uint8_t *page)
{
    struct io_handle handle = IO_HANDLE_NONE;
    TRY(segment_open(scan, scan->files[at].number, &handle));
    size_t size;
    err_t err = segment_read(scan, handle.fd, 0, page, LOG_PAGE, &size);
    io_handle_close(scan->io, &handle);
    TRY(err);
    struct log_segment_header *header = &scan->headers[at];
    err = size < LOG_PAGE ? ERR(CORRUPT, 0) : log_segment_decode(page, header);
    if (err_has(err, ERR_CODE_FORMAT))
        return err; /* a later version wrote here: its log is no spare */
    if (err_is(err) || header->number != scan->files[at].number) {
        *header = (struct log_segment_header){0};
        return ERR_OK;
    }
    bool is_ours = memcmp(header->storage_uuid, scan->storage_uuid, 16) == 0
                   && memcmp(header->mount_uuid, scan->mount_uuid, 16) == 0
                   && header->stream == scan->stream;
    return is_ours ? ERR_OK : ERR(FOREIGN, 0);
}

err_t log_scan_open(struct log_scan *scan)
{
    scan->count = 0;
    TRY(scan_list(scan));
    void *page;
    TRY(mem_take(scan->mem, scan->owner, LOG_PAGE, 0, &page));
    err_t err = ERR_OK;
    for (uint32_t i = 0; i < scan->count && !err_is(err); i++)
        err = scan_read_header(scan, i, page);
    mem_give(scan->mem, page);
    return err;
}

/* ---- reading ---- */

struct segment_reader {
    struct log_scan *scan;
    struct io_handle handle;
    const struct log_segment_header *header;
    uint8_t *buffer;
    size_t buffer_size;
    uint64_t buffer_at; /* file offset of the buffer */
    size_t buffer_used;
};

/* Bytes at `offset`: at least `size` of them, or up to the end of the file. */
static err_t reader_get(
    struct segment_reader *reader, uint64_t offset, size_t size, struct span *ret)
{
    bool is_there =
        offset >= reader->buffer_at && offset + size <= reader->buffer_at + reader->buffer_used;
    if (!is_there) {
        TRY(segment_read(reader->scan, reader->handle.fd, offset, reader->buffer,
            reader->buffer_size, &reader->buffer_used));
        reader->buffer_at = offset;
    }
    size_t skip = (size_t)(offset - reader->buffer_at);
    *ret = span_of(reader->buffer + skip, reader->buffer_used - skip);
    return ERR_OK;
}

/* The log may have been written with larger buffers than those that are configured now. */
static err_t reader_grow(struct segment_reader *reader, size_t size)
{
    if (size <= reader->buffer_size)
        return ERR_OK;
    struct log_scan *scan = reader->scan;
    void *buffer;
    TRY(mem_take(scan->mem, scan->owner, size, LOG_PAGE, &buffer));
    mem_give(scan->mem, reader->buffer);
    reader->buffer = buffer;
    reader->buffer_size = size;
    reader->buffer_used = 0;
    return ERR_OK;
}

/* The batch at `offset`. Errors: CORRUPT (none that checks), IO. */
static err_t reader_batch(struct segment_reader *reader, uint64_t offset, struct span *ret_batch,
    struct log_batch_header *ret)
{
    struct span bytes;
    struct log_batch_header peek;
    TRY(reader_get(reader, offset, LOG_BATCH_HEADER_SIZE, &bytes));
    TRY(log_batch_peek(bytes, &peek));
    if (peek.size > reader->scan->segment_size)
        return ERR(CORRUPT, 0);
    TRY(reader_grow(reader, peek.size));
    TRY(reader_get(reader, offset, peek.size, &bytes));
    TRY(log_batch_check(bytes, reader->header, ret));
    *ret_batch = span_of(bytes.data, peek.used);
    return ERR_OK;
}

/* Is there, behind `offset`, a batch which says that records from `lsn` on were durable? */
static err_t find_proof(
    struct segment_reader *reader, uint64_t offset, uint64_t lsn, uint64_t *ret_offset)
{
    *ret_offset = 0;
    for (uint64_t at = offset + LOG_PAGE; at + LOG_PAGE <= reader->scan->segment_size;
         at += LOG_PAGE) {
        struct span batch;
        struct log_batch_header header;
        err_t err = reader_batch(reader, at, &batch, &header);
        if (err_has(err, ERR_CODE_CORRUPT))
            continue;
        TRY(err);
        if (header.durable_lsn >= lsn && header.first_lsn > lsn) {
            *ret_offset = at;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static bool is_all_zero(struct span bytes, size_t size)
{
    for (size_t i = 0; i < size && i < bytes.size; i++)
        if (bytes.data[i] != 0)
            return false;
    return true;
}

struct visitor {
    uint64_t lsn;
    err_t (*visit)(void *context, const struct record *record);
    void *context;
};

static err_t visit_batch(struct log_scan *scan, struct span batch, const struct visitor *visitor)
{
    for (size_t at = LOG_BATCH_HEADER_SIZE; at < batch.size;) {
        struct record record;
        size_t size;
        TRY(record_decode(span_of(batch.data + at, batch.size - at), &record, &size));
        at += size;
        scan->lsn_next = record.lsn + 1;
        if (record.lsn <= visitor->lsn) {
            if (scan->skim)
                scan->skim(visitor->context, &record);
            continue;
        }
        scan->records++;
        if (visitor->visit)
            TRY(visitor->visit(visitor->context, &record));
    }
    return ERR_OK;
}

/* Is the log continued by the segment behind `at`, from exactly this offset? */
static bool is_continued(const struct log_scan *scan, uint32_t at, uint64_t offset)
{
    for (uint32_t i = at + 1; i < scan->count; i++) {
        const struct log_segment_header *next = &scan->headers[i];
        if (next->number != 0 && next->previous_number == scan->headers[at].number
            && next->previous_end == offset)
            return true;
    }
    return false;
}

/* A later segment that says that this one counts further than `offset`. */
static bool is_known_longer(const struct log_scan *scan, uint32_t at, uint64_t offset)
{
    for (uint32_t i = at + 1; i < scan->count; i++) {
        const struct log_segment_header *next = &scan->headers[i];
        if (next->number != 0 && next->previous_number == scan->headers[at].number
            && next->previous_end > offset)
            return true;
    }
    return false;
}

static err_t scan_batches(struct log_scan *scan, struct segment_reader *reader, uint32_t at,
    const struct visitor *visitor)
{
    uint64_t offset = LOG_PAGE;
    for (;;) {
        scan->end_number = reader->header->number;
        scan->end_offset = offset;
        if (is_continued(scan, at, offset) || offset + LOG_PAGE > scan->segment_size)
            return ERR_OK;
        struct span batch;
        struct log_batch_header header;
        err_t err = reader_batch(reader, offset, &batch, &header);
        if (!err_is(err) && header.first_lsn == scan->lsn_next) {
            TRY(visit_batch(scan, batch, visitor));
            offset += header.size;
            continue;
        }
        if (err_is(err) && !err_has(err, ERR_CODE_CORRUPT))
            return err;
        uint64_t proof;
        TRY(find_proof(reader, offset, scan->lsn_next, &proof));
        if (proof == 0 && is_known_longer(scan, at, offset)) {
            scan->rotten++;
            return ERR_OK; /* what is behind in this segment is lost, the next one goes on */
        }
        if (proof == 0) {
            struct span bytes;
            TRY(reader_get(reader, offset, LOG_PAGE, &bytes));
            scan->is_torn = !is_all_zero(bytes, LOG_PAGE);
            return ERR_OK;
        }
        scan->rotten++;
        TRY(reader_batch(reader, proof, &batch, &header));
        scan->lsn_next = header.first_lsn;
        offset = proof;
    }
}

static err_t scan_segment(struct log_scan *scan, uint32_t at, const struct visitor *visitor)
{
    struct segment_reader reader = {
        .scan = scan, .handle = IO_HANDLE_NONE, .header = &scan->headers[at]};
    TRY(reader_grow(&reader, scan->buffer_size));
    scan->is_torn = false;
    err_t err = segment_open(scan, reader.header->number, &reader.handle);
    if (!err_is(err))
        err = scan_batches(scan, &reader, at, visitor);
    io_handle_close(scan->io, &reader.handle);
    mem_give(scan->mem, reader.buffer);
    scan->files[at].last_lsn = scan->lsn_next - 1;
    return err;
}

/* The last segment that begins at or before lsn + 1: everything wanted is in it or behind it. */
static int find_first(const struct log_scan *scan, uint64_t lsn)
{
    int first = -1;
    for (uint32_t i = 0; i < scan->count; i++)
        if (scan->headers[i].number != 0 && scan->headers[i].first_lsn <= lsn + 1)
            first = (int)i;
    return first;
}

static bool has_log(const struct log_scan *scan)
{
    for (uint32_t i = 0; i < scan->count; i++)
        if (scan->headers[i].number != 0)
            return true;
    return false;
}

err_t log_scan_run(struct log_scan *scan, uint64_t lsn,
    err_t (*visit)(void *context, const struct record *record), void *context)
{
    scan->lsn_next = lsn + 1;
    scan->end_number = scan->end_offset = 0;
    scan->records = scan->rotten = 0;
    int first = find_first(scan, lsn);
    if (first < 0)
        return has_log(scan) ? ERR(CORRUPT, 0) : ERR_OK;
    scan->lsn_next = scan->headers[first].first_lsn;
    struct visitor visitor = {lsn, visit, context};
    err_t err = ERR_OK;
    for (uint32_t i = (uint32_t)first; i < scan->count && !err_is(err); i++) {
        const struct log_segment_header *header = &scan->headers[i];
        bool follows = i == (uint32_t)first || header->previous_number == scan->end_number;
        if (header->number == 0 || !follows)
            continue;
        scan->lsn_next = header->first_lsn;
        err = scan_segment(scan, i, &visitor);
    }
    if (scan->lsn_next <= lsn) { /* the log ends before its checkpoint: its tail was lost */
        scan->lsn_next = lsn + 1;
        scan->is_torn = true;
    }
    return err;
}

void log_scan_chain(struct log_scan *scan)
{
    uint64_t number = scan->end_number, last = scan->lsn_next - 1;
    for (uint32_t i = scan->count; i-- > 0;) {
        const struct log_segment_header *header = &scan->headers[i];
        scan->files[i].first_lsn = 0;
        if (number == 0 || header->number != number)
            continue;
        scan->files[i].first_lsn = header->first_lsn;
        scan->files[i].last_lsn = last;
        last = header->first_lsn - 1;
        number = header->previous_number;
    }
}
