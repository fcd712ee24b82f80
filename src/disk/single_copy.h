/* Copies a range of one single file to the end of another that is being made, verified: for changes
 * that go out of place. */
#ifndef CAIRN_DISK_SINGLE_COPY_H
#define CAIRN_DISK_SINGLE_COPY_H

#include "disk/single_reader.h"
#include "disk/single_writer.h"

enum { SINGLE_COPY_BUFFER_MIN = BLOCK_SIZE };

struct single_copy {
    struct single_reader *reader;
    struct single_writer *writer;
    uint8_t *buffer;
    size_t buffer_size;
    uint64_t at, end;
    err_t err;
};

/** Copy [from, to) of the reader's content; both are open and idle, and of the same machine, where
 * it arrives once; then copy->err tells. `buffer` has at least SINGLE_COPY_BUFFER_MIN bytes (larger
 * is faster). Errors: those of single_reader_read and single_writer_write; RANGE (to behind the end). */
void single_copy_range(struct single_copy *copy, struct single_reader *reader,
    struct single_writer *writer, uint64_t from, uint64_t to, void *buffer, size_t buffer_size);

#endif
