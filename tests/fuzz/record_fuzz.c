/* Any bytes as a log record (again with its CRC made right), a batch, a segment header, a chunk
 * header, a checkpoint: nothing is read outside, what decodes encodes to the same. */
#include <stdlib.h>

#include "base/crc.h"
#include "disk/checkpoint.h"
#include "disk/chunkfile.h"
#include "disk/packed.h"
#include "wire/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(struct span bytes)
{
    struct record record;
    size_t size;
    if (err_is(record_decode(bytes, &record, &size)))
        return;
    CHECK(size <= bytes.size && size == record_size(&record));
    uint8_t *again = malloc(size);
    CHECK(again != NULL);
    struct writer w = {again, size, 0, false};
    record_encode(&record, &w, NULL);
    CHECK(!w.failed && w.size == size);
    struct packed_write writes[PACKED_WRITES_MAX];
    CHECK(packed_plan(&record, writes) <= PACKED_WRITES_MAX);
    free(again);
}

static void check_log(struct span bytes)
{
    struct log_segment_header segment = {.number = 1};
    struct log_batch_header batch;
    uint8_t page[LOG_PAGE] = {0};
    memcpy(page, bytes.data, bytes.size < LOG_PAGE ? bytes.size : LOG_PAGE);
    if (!err_is(log_segment_decode(page, &segment)))
        CHECK(segment.salt == get_u64(page + 64));
    if (!err_is(log_batch_peek(bytes, &batch)))
        CHECK(batch.used <= batch.size && batch.size % LOG_PAGE == 0);
    if (!err_is(log_batch_check(bytes, &segment, &batch)))
        CHECK(batch.size <= bytes.size);
}

static void check_others(struct span bytes)
{
    struct chunk_header chunk;
    struct checkpoint_header checkpoint;
    uint8_t head[CHUNK_HEADER_BYTES] = {0};
    memcpy(head, bytes.data, bytes.size < sizeof head ? bytes.size : sizeof head);
    if (!err_is(chunk_header_decode(head, &chunk)))
        CHECK(chunk.key.number == get_u32(head + 20));
    if (!err_is(checkpoint_open(bytes, &checkpoint)))
        CHECK(CHECKPOINT_HEADER_SIZE + (uint64_t)checkpoint.chunk_count * 16 == bytes.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_record(span_of(data, size));
    check_log(span_of(data, size));
    check_others(span_of(data, size));
    if (size < RECORD_HEADER_SIZE || size > 1 << 20)
        return 0;
    size_t whole = size / 8 * 8;
    uint8_t *copy = malloc(whole);
    CHECK(copy != NULL);
    memcpy(copy, data, whole);
    put_u32(copy, (uint32_t)whole);
    put_u32(copy + 4, crc32_update(0, copy + 8, whole - 8));
    check_record(span_of(copy, whole));
    free(copy);
    return 0;
}
