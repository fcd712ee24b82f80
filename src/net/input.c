#include "net/input.h"

#include "base/crc.h"

/* Less room than this behind the unread bytes is not worth a receive: a fresh buffer is. */
enum { ROOM_MIN = 1024 };

void input_init(struct net_input *input, struct net_buffers *buffers, struct owner *owner)
{
    *input = (struct net_input){.buffers = buffers, .owner = owner};
}

void input_fini(struct net_input *input)
{
    net_buffer_drop(&input->small);
    net_buffer_drop(&input->large);
    net_buffer_drop(&input->spare);
}

struct net_buffer *input_take_buffer(struct net_input *input, struct pool *pool)
{
    struct net_buffer *spare = input->spare;
    if (!spare || spare->pool != pool)
        return net_buffer_take(pool, input->owner);
    input->spare = NULL;
    return spare;
}

static uint32_t unread_size(const struct net_input *input)
{
    return input->end - input->begin;
}

static uint32_t body_size(const struct net_input *input)
{
    return input->frame.meta_size + input->frame.data_size;
}

static void drop_unread(struct net_input *input, uint32_t size)
{
    input->begin += size;
    if (input->begin == input->end && input->small && input->small->references == 1)
        input->begin = input->end = 0;
}

static void skip_unread(struct net_input *input)
{
    uint32_t unread = unread_size(input);
    uint32_t size = input->skip_size < unread ? (uint32_t)input->skip_size : unread;
    input->skip_size -= size;
    drop_unread(input, size);
}

enum input_result input_header(struct net_input *input)
{
    if (input->has_frame)
        return INPUT_READY;
    skip_unread(input);
    if (input->skip_size > 0 || !input->small)
        return INPUT_NEED_MORE;
    struct span unread = span_of(input->small->data + input->begin, unread_size(input));
    switch (frame_decode_header(unread, &input->frame)) {
    case FRAME_NEED_MORE:
        return INPUT_NEED_MORE;
    case FRAME_BAD:
        return INPUT_BAD;
    case FRAME_OK:
        break;
    }
    input->has_frame = true;
    return INPUT_READY;
}

/* What is there of the body goes into the large buffer. */
static void begin_large(struct net_input *input, struct net_buffer *large, uint32_t base)
{
    CHECK((uint64_t)base + body_size(input) <= large->capacity);
    uint32_t size = unread_size(input) < body_size(input) ? unread_size(input) : body_size(input);
    if (size > 0)
        memcpy(large->data + base, input->small->data + input->begin, size);
    drop_unread(input, size);
    input->large = large;
    input->large_base = base;
    input->body_received = size;
}

static enum input_result large_state(const struct net_input *input)
{
    return input->body_received == body_size(input) ? INPUT_READY : INPUT_NEED_MORE;
}

enum input_result input_collect(struct net_input *input, bool wants_large)
{
    CHECK(input->has_frame);
    if (input->large)
        return large_state(input);
    uint32_t frame_size = FRAME_HEADER_SIZE + body_size(input);
    if (!wants_large && frame_size <= NET_SMALL_SIZE)
        return unread_size(input) >= frame_size ? INPUT_READY : INPUT_NEED_MORE;
    struct net_buffer *large = input_take_buffer(input, &input->buffers->large);
    if (!large)
        return INPUT_NO_LARGE;
    drop_unread(input, FRAME_HEADER_SIZE);
    begin_large(input, large, 0);
    return large_state(input);
}

enum input_result input_collect_into(
    struct net_input *input, struct net_buffer *large, uint32_t base)
{
    CHECK(input->has_frame);
    if (!input->large) {
        drop_unread(input, FRAME_HEADER_SIZE);
        begin_large(input, net_buffer_keep(large), base);
    }
    return large_state(input);
}

void input_use(struct net_input *input, uint32_t size)
{
    CHECK(size <= unread_size(input));
    drop_unread(input, size);
}

enum input_result input_collect_bytes(
    struct net_input *input, struct net_buffer *large, uint32_t base, uint32_t size)
{
    if (!input->large) {
        input->frame = (struct frame){.data_size = size};
        begin_large(input, net_buffer_keep(large), base);
    }
    if (large_state(input) == INPUT_NEED_MORE)
        return INPUT_NEED_MORE;
    net_buffer_drop(&input->large);
    return INPUT_READY;
}

static const uint8_t *body_of(const struct net_input *input)
{
    if (input->large)
        return input->large->data + input->large_base;
    return input->small->data + input->begin + FRAME_HEADER_SIZE;
}

err_t input_take(struct net_input *input, struct span *ret_meta, struct span *ret_data,
    struct net_buffer **ret_buffer)
{
    const uint8_t *body = body_of(input);
    const struct frame *frame = &input->frame;
    if (crc32_update(0, body, body_size(input)) != frame->body_crc)
        return ERR(PROTOCOL, 0);
    *ret_meta = span_of(body, frame->meta_size);
    *ret_data = span_of(body + frame->meta_size, frame->data_size);
    if (input->large) {
        *ret_buffer = input->large;
        input->large = NULL;
    } else {
        *ret_buffer = net_buffer_keep(input->small);
        drop_unread(input, FRAME_HEADER_SIZE + body_size(input));
    }
    input->has_frame = false;
    return ERR_OK;
}

void input_skip_body(struct net_input *input)
{
    CHECK(input->has_frame);
    if (input->large) {
        input->skip_size = body_size(input) - input->body_received;
        net_buffer_drop(&input->large);
    } else {
        drop_unread(input, FRAME_HEADER_SIZE);
        input->skip_size = body_size(input);
    }
    input->has_frame = false;
    skip_unread(input);
}

/* Bytes from `begin` on that the buffer must have room for. */
static uint32_t room_needed(const struct net_input *input)
{
    if (input->has_frame)
        return FRAME_HEADER_SIZE + body_size(input);
    return unread_size(input) + ROOM_MIN;
}

/* The unread bytes move to the front; of another buffer if frames still lie in this one. */
static bool make_room(struct net_input *input)
{
    uint32_t unread = unread_size(input);
    const uint8_t *from = input->small ? input->small->data + input->begin : NULL;
    if (input->small && input->small->references == 1) {
        memmove(input->small->data, from, unread);
    } else {
        struct net_buffer *fresh = input_take_buffer(input, &input->buffers->small);
        if (!fresh)
            return false;
        if (unread > 0)
            memcpy(fresh->data, from, unread);
        net_buffer_drop(&input->small);
        input->small = fresh;
    }
    input->begin = 0;
    input->end = unread;
    return true;
}

enum input_result input_room(struct net_input *input, struct iovec *ret)
{
    if (input->large) {
        *ret = (struct iovec){input->large->data + input->large_base + input->body_received,
            body_size(input) - input->body_received};
        return INPUT_READY;
    }
    bool fits = input->small && input->begin + room_needed(input) <= NET_SMALL_SIZE;
    if (!fits && !make_room(input))
        return INPUT_NO_SMALL;
    *ret = (struct iovec){input->small->data + input->end, NET_SMALL_SIZE - input->end};
    return INPUT_READY;
}

void input_received(struct net_input *input, uint32_t size)
{
    if (input->large) {
        input->body_received += size;
        CHECK(input->body_received <= body_size(input));
    } else {
        input->end += size;
        CHECK(input->end <= NET_SMALL_SIZE);
    }
}
