#include "net/output.h"

#include "base/crc.h"

void output_init(struct net_output *output)
{
    *output = (struct net_output){};
    list_init(&output->frames);
}

struct writer out_frame_begin(struct out_frame *frame)
{
    CHECK(!out_frame_is_queued(frame));
    return (struct writer){.data = frame->head + FRAME_HEADER_SIZE, .capacity = NET_META_MAX};
}

void out_frame_seal(struct out_frame *frame, uint8_t type, uint16_t flags, uint64_t request,
    const struct writer *fields, const struct iovec *data, unsigned data_count)
{
    CHECK(!out_frame_is_queued(frame) && !fields->failed && data_count <= NET_DATA_PIECES);
    uint32_t crc = crc32_update(0, fields->data, fields->size);
    size_t data_size = 0;
    for (unsigned i = 0; i < data_count; i++) {
        frame->data[i] = data[i];
        crc = crc32_update(crc, data[i].iov_base, data[i].iov_len);
        data_size += data[i].iov_len;
    }
    CHECK(data_size <= FRAME_DATA_MAX);
    frame->data_count = data_count;
    frame->head_size = (uint32_t)(FRAME_HEADER_SIZE + fields->size);
    frame->size = frame->head_size + data_size;
    frame_encode_header(&(struct frame){.request = request,
                            .meta_size = (uint32_t)fields->size,
                            .data_size = (uint32_t)data_size,
                            .body_crc = crc,
                            .flags = flags,
                            .type = type},
        frame->head);
}

void out_frame_set(
    struct out_frame *frame, size_t head_size, const struct iovec *data, unsigned data_count)
{
    CHECK(!out_frame_is_queued(frame) && data_count <= NET_DATA_PIECES);
    CHECK(head_size <= sizeof frame->head);
    frame->head_size = (uint32_t)head_size;
    frame->size = head_size;
    frame->data_count = data_count;
    for (unsigned i = 0; i < data_count; i++) {
        frame->data[i] = data[i];
        frame->size += data[i].iov_len;
    }
}

void output_queue(struct net_output *output, struct out_frame *frame)
{
    CHECK(frame->left != NULL && frame->size > 0);
    list_push_back(&output->frames, &frame->link);
}

/* Add a piece without its first *skip bytes, which have left already. */
static void add_piece(
    struct net_output *output, unsigned *count, struct iovec piece, uint64_t *skip)
{
    uint64_t skipped = *skip < piece.iov_len ? *skip : piece.iov_len;
    *skip -= skipped;
    if (piece.iov_len > skipped)
        output->pieces[(*count)++] =
            (struct iovec){(char *)piece.iov_base + skipped, piece.iov_len - skipped};
}

unsigned output_gather(struct net_output *output)
{
    unsigned count = 0;
    uint64_t skip = output->first_sent;
    LIST_EACH (node, &output->frames) {
        struct out_frame *frame = CONTAINER_OF(node, struct out_frame, link);
        if (count + 1 + frame->data_count > NET_GATHER_MAX)
            break;
        add_piece(output, &count, (struct iovec){frame->head, frame->head_size}, &skip);
        for (unsigned i = 0; i < frame->data_count; i++)
            add_piece(output, &count, frame->data[i], &skip);
    }
    return count;
}

static struct out_frame *first_frame(const struct net_output *output)
{
    CHECK(!list_is_empty(&output->frames));
    return CONTAINER_OF(output->frames.next, struct out_frame, link);
}

void output_sent(struct net_output *output, uint64_t size)
{
    output->first_sent += size;
    while (output->first_sent > 0) {
        struct out_frame *frame = first_frame(output);
        if (output->first_sent < frame->size)
            return;
        output->first_sent -= frame->size;
        list_remove(&frame->link);
        frame->left(frame, ERR_OK);
    }
}

void output_fail(struct net_output *output, err_t err)
{
    output->first_sent = 0;
    struct list failed; /* a frame that is queued again while it is told stays out of this round */
    list_init(&failed);
    for (struct list *node; (node = list_pop_front(&output->frames)) != NULL;)
        list_push_back(&failed, node);
    for (struct list *node; (node = list_pop_front(&failed)) != NULL;) {
        struct out_frame *frame = CONTAINER_OF(node, struct out_frame, link);
        frame->left(frame, err);
    }
}
