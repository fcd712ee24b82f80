/* The receiving half of a connection: from bytes as they come to whole frames, without I/O.
 *
 *   small buffer  | taken | unread ........ | room |     frames that fit are read in place
 *                         ^begin            ^end         and keep the buffer by reference
 *   large buffer  | base .. | body of one frame |        received straight into it
 *
 *   loop:  input_header() -> input_collect() -> input_take() | input_skip_body()
 *          or, when more bytes are needed: input_room() -> receive -> input_received()
 *
 * Nothing here waits: where a buffer is missing, INPUT_NO_BUFFER says of which pool. */
#ifndef CAIRN_NET_INPUT_H
#define CAIRN_NET_INPUT_H

#include "io/io.h"
#include "net/buffer.h"

struct net_input {
    struct net_buffers *buffers;
    struct owner *owner;      /* of the buffers taken; lives longer than every frame taken */
    struct net_buffer *spare; /* came for who waited: used before the pools are asked */
    bool large_is_lacking;    /* what is waited for */
    struct net_buffer *small;
    uint32_t begin, end;      /* unread bytes of small */
    struct net_buffer *large; /* takes the body of `frame`, or NULL */
    uint32_t large_base;      /* where the body begins in it */
    uint32_t body_received;   /* bytes of the body that are in large */
    uint64_t skip_size;       /* bytes to throw away before the next header */
    struct frame frame;       /* valid when has_frame */
    bool has_frame;           /* the header of the next frame was decoded and is still unread, or
                               * its body is being collected in large */
};

enum input_result {
    INPUT_READY,     /* done: the header is known; the frame is whole; there is room */
    INPUT_NEED_MORE, /* receive first */
    INPUT_NO_SMALL,  /* a small buffer is missing */
    INPUT_NO_LARGE,  /* a large buffer is missing */
    INPUT_BAD,       /* not a frame: the connection is lost */
};

void input_init(struct net_input *input, struct net_buffers *buffers, struct owner *owner);
/** Drop the buffers. */
void input_fini(struct net_input *input);

/** Decode the header of the next frame into input->frame. READY, NEED_MORE or BAD. */
enum input_result input_header(struct net_input *input);

/** Bring the whole frame together: in place if it fits into a small buffer and `wants_large` is
 * false, else in a large one. READY, NEED_MORE or NO_LARGE. */
enum input_result input_collect(struct net_input *input, bool wants_large);

/** The same, into `large` (a reference is taken) behind its first `base` bytes: DATA frames of a
 * body follow each other there. READY or NEED_MORE. */
enum input_result input_collect_into(
    struct net_input *input, struct net_buffer *large, uint32_t base);

/** The bytes of a collected frame, and a reference to the buffer where they lie, which is the
 * caller's. Errors: PROTOCOL (the body's CRC is wrong); nothing is taken then. */
MUST err_t input_take(struct net_input *input, struct span *ret_meta, struct span *ret_data,
    struct net_buffer **ret_buffer);

/** A buffer of `pool` (of input->buffers), the one that came for who waited first. NULL: none. */
struct net_buffer *input_take_buffer(struct net_input *input, struct pool *pool);

/** Bytes without frames: what has come and was not used yet, and using `size` of it. */
static inline struct span input_unread(const struct net_input *input)
{
    return input->small
               ? (struct span){input->small->data + input->begin, input->end - input->begin}
               : (struct span){0};
}
void input_use(struct net_input *input, uint32_t size);

/** Bring the next `size` bytes together in `large` from `base` on (a reference is taken).
 * READY: they are there and the reference is given back; or NEED_MORE: call it again. */
enum input_result input_collect_bytes(
    struct net_input *input, struct net_buffer *large, uint32_t base, uint32_t size);

/** Throw the frame whose header is known away, received or not. */
void input_skip_body(struct net_input *input);

/** Where the next receive goes: READY (*ret is not empty) or NO_SMALL. Only after NEED_MORE. */
enum input_result input_room(struct net_input *input, struct iovec *ret);

/** `size` bytes were received into what input_room() gave. */
void input_received(struct net_input *input, uint32_t size);

/** True if a frame has begun to arrive and is not complete. */
static inline bool input_is_partial(const struct net_input *input)
{
    return input->end > input->begin || input->has_frame || input->skip_size > 0;
}

#endif
