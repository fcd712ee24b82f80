/* Makes the next push of a stream: reads the log behind what was read before, leaves out what is not
 * for others, and brings in the contents that the log refers to.
 *
 *   log (raw) --> record --> own change? --> seeds of its chunks --> [content from its slot] --> entry (out)
 *
 *   READ -> TAKE <-> NEXT <-> SEED ...     -> UNWIND -> DONE: push_built()
 *                      `----> CONTENT <-> ... '
 *
 * A batch ends when the frame or the peer's credit is full, the log ends, the incarnation changes, or
 * a change comes that has to be streamed. A content that is not what its record says was overtaken by
 * a later change: it is left out. The few builders of a loop have buffers of their own for what they
 * read; they wait for the disk only. What was read and did not fit stays for the next push of the same
 * stream: a log that is read from disk is read once, in large pieces. */
#ifndef CAIRN_STORAGE_PUSH_BATCH_H
#define CAIRN_STORAGE_PUSH_BATCH_H

#include "disk/log_tail.h"
#include "storage/store.h"
#include "wire/entry.h"

enum { PUSH_BUILDERS = 2, PUSH_SEEDS = 256 };

struct push;
struct pushes;

/** Seeds of chunk files met lately: they never change. */
struct push_seeds {
    struct {
        struct chunk_key key; /* number 0: none */
        uint32_t seed;
    } entries[PUSH_SEEDS];
};

enum push_outcome {
    PUSH_EMPTY,   /* nothing to send up to lsn_to */
    PUSH_ENTRIES, /* `count` entries in `out` */
    PUSH_STREAM,  /* the entry of a single file's change in `out`; its content is to be streamed */
    PUSH_APPLIED, /* such a change that is not applied yet: again when it is */
    PUSH_PRUNED,  /* the log begins behind lsn_from */
    PUSH_FOREIGN, /* the peer's position is none of this log */
    PUSH_FAILED,  /* machine.err */
};

struct push_batch {
    struct machine machine;
    struct push *push; /* NULL: free */
    struct pushes *pushes;
    uint8_t *raw, *scratch; /* the builder's, for ever */
    size_t raw_size, scratch_size;
    uint8_t *out; /* lent by the push, and back to it */
    struct writer writer;
    uint32_t room;    /* bytes of data that the push may have, unless it has one entry only */
    struct span rest; /* of raw */
    const struct push_stream
        *kept_of;      /* whose records `rest` still has, between two pushes; NULL: none */
    uint64_t kept_lsn; /* of the first of them */
    struct entry entry;
    size_t record_size; /* in raw */
    bool is_cut;        /* the one entry comes without its content */
    bool has_record, has_home_seed, has_target_seed, has_content;
    struct chunk_ref ref;
    struct io_op op;
    struct iovec iov;
    uint32_t content_read;
    /* result */
    enum push_outcome outcome;
    uint64_t lsn_to, incarnation, time_ns, watermark;
    uint32_t count;
};

/** Does this free builder still have what comes behind push->read_lsn? */
bool push_batch_keeps(const struct push_batch *batch, const struct push *push);

/** Build behind push->read_lsn into `out` (pushes->buffer_size bytes). Ends with push_built(). */
void push_batch_start(struct push_batch *batch, struct push *push, uint8_t *out, uint32_t room);

/** Is the content of this record a single file's that has to be streamed? */
bool push_is_streamed(const struct record *record);
/** Bytes of content that are streamed. */
uint64_t push_streamed_size(const struct record *record);

#endif
