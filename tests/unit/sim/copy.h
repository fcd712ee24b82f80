/* A small operation that waits, written against the seam alone: copy a file, make the copy durable.
 * It runs on every backend.
 *
 *   OPEN_FROM -> OPEN_TO -> READ <-> WRITE ; READ(end) -> SYNC -> UNWIND -> DONE */
#ifndef CAIRN_TESTS_SIM_COPY_H
#define CAIRN_TESTS_SIM_COPY_H

#include "io/io.h"

struct copy {
    struct machine machine; /* machine.err is the outcome */
    struct io *io;
    const char *from_path, *to_path;
    struct io_handle from, to;
    struct io_op op;
    struct iovec iov;
    uint8_t buffer[1000];
    size_t filled, written; /* of the buffer */
    uint64_t offset;
    bool is_done;
};

/** Begin; `copy` stays put until is_done. */
void copy_start(struct copy *copy, struct io *io, const char *from_path, const char *to_path);

#endif
