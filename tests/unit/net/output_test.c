#include "net/output.h"

#include "base/crc.h"
#include "tests/lib/test.h"

enum { FRAMES = 100, PIECE = 37 };

static struct net_output output;
static struct out_frame frames[FRAMES];
static uint8_t data[NET_DATA_PIECES * PIECE];
static uint8_t sent[1 << 20];
static size_t sent_size;
static uint64_t left_count, failed_count;

static void on_left(struct out_frame *frame, err_t err)
{
    if (err_is(err))
        failed_count++;
    else
        EXPECT_EQ(frame - frames, (long long)left_count); /* in their order */
    left_count++;
}

static void queue(size_t index, unsigned pieces)
{
    struct iovec iov[NET_DATA_PIECES];
    struct out_frame *frame = &frames[index];
    *frame = (struct out_frame){.left = on_left};
    for (unsigned i = 0; i < pieces; i++)
        iov[i] = (struct iovec){data + (size_t)i * PIECE, PIECE};
    struct writer fields = out_frame_begin(frame);
    write_u64(&fields, index);
    out_frame_seal(frame, 7, 0, index, &fields, iov, pieces);
    output_queue(&output, frame);
}

static void begin(void)
{
    output_init(&output);
    sent_size = left_count = failed_count = 0;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
}

/* Send at most `max` bytes of what is gathered, as a socket might. */
static void send_some(size_t max)
{
    unsigned count = output_gather(&output);
    EXPECT(count <= NET_GATHER_MAX);
    size_t size = 0;
    for (unsigned i = 0; i < count && size < max; i++) {
        size_t part = output.pieces[i].iov_len < max - size ? output.pieces[i].iov_len : max - size;
        EXPECT(part > 0);
        memcpy(sent + sent_size + size, output.pieces[i].iov_base, part);
        size += part;
    }
    EXPECT(size > 0);
    sent_size += size;
    output_sent(&output, size);
}

static void expect_all_frames(void)
{
    size_t at = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        struct frame frame;
        EXPECT_EQ(frame_decode_header(span_of(sent + at, sent_size - at), &frame), FRAME_OK);
        size_t body_size = frame.meta_size + frame.data_size;
        EXPECT_EQ(frame.request, i);
        EXPECT_EQ(crc32_update(0, sent + at + FRAME_HEADER_SIZE, body_size), frame.body_crc);
        at += FRAME_HEADER_SIZE + body_size;
        EXPECT(at <= sent_size);
    }
    EXPECT_EQ(at, sent_size);
    EXPECT_EQ(left_count, FRAMES);
}

TEST(many_frames_leave_in_order_however_short_the_sends)
{
    static const size_t steps[] = {1, 2, 31, 32, 33, 40, 77, 1000, 1 << 20};
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        begin();
        for (size_t i = 0; i < FRAMES; i++)
            queue(i, (unsigned)(i % (NET_DATA_PIECES + 1)));
        while (!list_is_empty(&output.frames))
            send_some(steps[s]);
        EXPECT_EQ(output_gather(&output), 0);
        expect_all_frames();
    }
}

TEST(a_frame_is_told_only_when_its_last_byte_has_left)
{
    begin();
    queue(0, 1);
    queue(1, 0);
    send_some(frames[0].size - 1);
    EXPECT_EQ(left_count, 0);
    EXPECT(out_frame_is_queued(&frames[0]));
    send_some(1);
    EXPECT_EQ(left_count, 1);
    EXPECT(!out_frame_is_queued(&frames[0]));
    EXPECT(out_frame_is_queued(&frames[1]));
}

TEST(a_failure_tells_every_frame_once_and_the_next_begins_afresh)
{
    begin();
    queue(0, 1);
    queue(1, 2);
    send_some(5);
    output_fail(&output, ERR(CLOSED, 0));
    EXPECT_EQ(failed_count, 2);
    EXPECT(list_is_empty(&output.frames));
    queue(2, 0);
    EXPECT_EQ(output_gather(&output), 1);
    EXPECT_EQ(output.pieces[0].iov_len, frames[2].size);
}

static void requeue(struct out_frame *frame, err_t err)
{
    (void)err;
    if (++left_count < 3)
        output_queue(&output, frame);
}

TEST(a_frame_may_be_queued_again_when_it_is_told)
{
    begin();
    queue(0, 0);
    frames[0].left = requeue;
    for (int i = 0; i < 3; i++)
        send_some(1 << 20);
    EXPECT_EQ(left_count, 3);
    EXPECT(list_is_empty(&output.frames));
    left_count = 0;
    output_queue(&output, &frames[0]);
    output_fail(&output, ERR(CLOSED, 0)); /* once, although it queues itself again */
    EXPECT_EQ(left_count, 1);
    EXPECT(!list_is_empty(&output.frames));
}
