/* The sending half of a connection: frames queue, leave together in one send of many pieces, and
 * each is told when its bytes have left. No I/O here.
 *
 *   out_frame_begin() writer for the fields -> out_frame_seal() -> output_queue()
 *   -> output_gather() into a send -> output_sent(bytes) ... -> frame->left()
 *
 * The frame's own area holds header and fields; its data is borrowed until left() was called. */
#ifndef CAIRN_NET_OUTPUT_H
#define CAIRN_NET_OUTPUT_H

#include "base/list.h"
#include "io/io.h"
#include "wire/frame.h"

enum {
    NET_META_MAX = 2048, /* fields of one frame that we send, bytes */
    NET_DATA_PIECES = 4, /* pieces of data of one frame that we send */
    NET_GATHER_MAX = 64, /* pieces in one send */
};

struct out_frame {
    struct list link; /* in output->frames while queued */
    /** The bytes have left (OK), or never will (CLOSED ...). May queue this frame again. */
    void (*left)(struct out_frame *frame, err_t err);
    struct iovec data[NET_DATA_PIECES];
    uint32_t data_count;
    uint32_t head_size; /* header and fields */
    uint64_t size;      /* the whole frame, bytes */
    uint8_t head[FRAME_HEADER_SIZE + NET_META_MAX];
};

struct net_output {
    struct list frames;
    uint64_t first_sent; /* bytes of the first frame that have left */
    struct iovec pieces[NET_GATHER_MAX];
};

void output_init(struct net_output *output);

static inline bool out_frame_is_queued(const struct out_frame *frame)
{
    return list_is_linked(&frame->link);
}

/** A writer for the fields. The frame must not be queued. */
struct writer out_frame_begin(struct out_frame *frame);

/** Complete the frame: header and CRC over fields and data. `fields`: from out_frame_begin(),
 * CHECKed not to have failed. `data`: `data_count` pieces, FRAME_DATA_MAX bytes together at most;
 * the bytes stay put until left(). Cost: one pass over the data. */
void out_frame_seal(struct out_frame *frame, uint8_t type, uint16_t flags, uint64_t request,
    const struct writer *fields, const struct iovec *data, unsigned data_count);

/** Complete a piece of another protocol: the first `head_size` bytes of frame->head, then the data,
 * as they are; together at least one byte. */
void out_frame_set(
    struct out_frame *frame, size_t head_size, const struct iovec *data, unsigned data_count);

void output_queue(struct net_output *output, struct out_frame *frame);

/** The next pieces to send, at output->pieces; returns how many (0: nothing is queued). They stay
 * put until output_sent() or output_fail(). */
unsigned output_gather(struct net_output *output);

/** `size` bytes of what output_gather() gave have left: calls left() of every frame that is
 * complete. */
void output_sent(struct net_output *output, uint64_t size);

/** Nothing more will leave: every queued frame gets `err`. */
void output_fail(struct net_output *output, err_t err);

#endif
