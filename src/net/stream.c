#include "net/stream.h"

#include <errno.h>

#include "io/drill.h"

static void buffer_came(struct pool_waiter *waiter);

void stream_init(struct net_stream *stream, struct net_loop *loop, struct owner *owner,
    void (*changed)(struct net_stream *stream))
{
    *stream = (struct net_stream){.loop = loop,
        .owner = owner,
        .changed = changed,
        .socket = IO_HANDLE_NONE,
        .waiter = {.ready = buffer_came},
        .read_since_ns = io_now(loop->io),
        .sent_since_ns = io_now(loop->io)};
    input_init(&stream->input, &loop->buffers, owner);
    output_init(&stream->output);
}

void stream_lose(struct net_stream *stream, err_t err)
{
    if (!stream_is_lost(stream))
        stream->err = err;
}

/* ---- receiving ---- */

static void buffer_came(struct pool_waiter *waiter)
{
    struct net_stream *stream = CONTAINER_OF(waiter, struct net_stream, waiter);
    struct net_buffers *buffers = &stream->loop->buffers;
    struct pool *pool = stream->input.large_is_lacking ? &buffers->large : &buffers->small;
    stream->is_waiting = false;
    if (!stream->input.spare)
        stream->input.spare = net_buffer_take(pool, stream->owner);
    stream->changed(stream);
}

void stream_wait_buffer(struct net_stream *stream, enum input_result lack)
{
    struct net_buffers *buffers = &stream->loop->buffers;
    if (stream->is_waiting)
        return;
    CHECK(lack == INPUT_NO_SMALL || lack == INPUT_NO_LARGE);
    stream->input.large_is_lacking = lack == INPUT_NO_LARGE;
    stream->is_waiting =
        pool_wait(lack == INPUT_NO_LARGE ? &buffers->large : &buffers->small, &stream->waiter);
    if (!stream->is_waiting)
        stream_lose(stream, ERR(BUSY, 0));
}

static void received(struct io_op *op)
{
    struct net_stream *stream = op->context;
    stream->read_since_ns = io_now(stream->loop->io);
    if (op->result == 0 && stream->owner->direction == DIRECTION_CLIENT
        && DRILL_IS_ON(stream->loop->io, GONE_CLIENT))
        return; /* nobody notices that it is gone */
    if (op->result == 0)
        stream->is_ended = true;
    else if (op->result > 0 && !stream->is_discarding)
        input_received(&stream->input, (uint32_t)op->result);
    else if (op->result < 0 && op->result != -ECANCELED)
        stream_lose(stream, ERR_RESULT(op->result));
    stream->changed(stream);
}

static enum input_result room_for_receive(struct net_stream *stream)
{
    if (!stream->is_discarding)
        return input_room(&stream->input, &stream->recv_iov);
    struct net_buffer *small = stream->input.small;
    if (!small || small->references > 1)
        return INPUT_BAD;
    stream->recv_iov = (struct iovec){small->data, NET_SMALL_SIZE};
    return INPUT_READY;
}

void stream_receive(struct net_stream *stream)
{
    if (io_op_is_out(&stream->recv) || stream->is_ended || stream_is_lost(stream))
        return;
    enum input_result room = room_for_receive(stream);
    if (room == INPUT_NO_SMALL)
        stream_wait_buffer(stream, room);
    else if (room == INPUT_BAD)
        stream->is_ended = true; /* no place to throw it away: as if there were nothing more */
    if (room != INPUT_READY)
        return;
    stream->recv = (struct io_op){.kind = IO_RECV,
        .wake = received,
        .owner = stream->owner,
        .context = stream,
        .fd = stream->socket.fd,
        .iov = &stream->recv_iov,
        .iov_count = 1};
    stream->read_since_ns = io_now(stream->loop->io);
    io_submit(stream->loop->io, &stream->recv);
}

/* ---- sending ---- */

static void sent(struct io_op *op)
{
    struct net_stream *stream = op->context;
    stream->sent_since_ns = io_now(stream->loop->io);
    if (op->result > 0)
        output_sent(&stream->output, (uint64_t)op->result);
    else if (op->result < 0 && op->result != -ECANCELED)
        stream_lose(stream, ERR_RESULT(op->result));
    stream->changed(stream);
}

void stream_send(struct net_stream *stream)
{
    if (io_op_is_out(&stream->send) || stream_is_lost(stream))
        return;
    unsigned count = output_gather(&stream->output);
    if (count == 0)
        return;
    stream->send = (struct io_op){.kind = IO_SEND,
        .wake = sent,
        .owner = stream->owner,
        .context = stream,
        .fd = stream->socket.fd,
        .iov = stream->output.pieces,
        .iov_count = count};
    stream->sent_since_ns = io_now(stream->loop->io);
    io_submit(stream->loop->io, &stream->send);
}

bool stream_is_flushed(const struct net_stream *stream)
{
    return list_is_empty(&stream->output.frames) && !io_op_is_out(&stream->send);
}

/* ---- the end ---- */

bool stream_stop(struct net_stream *stream)
{
    struct io *io = stream->loop->io;
    stream_lose(stream, ERR(CLOSED, 0));
    if (stream->is_waiting)
        pool_wait_cancel(&stream->waiter);
    stream->is_waiting = false;
    if (!stream->is_stopping) {
        stream->is_stopping = true;
        io_cancel(io, &stream->recv);
        io_cancel(io, &stream->send);
    }
    if (!io_op_is_out(&stream->send))
        output_fail(&stream->output, ERR(CLOSED, 0));
    return !io_op_is_out(&stream->recv) && stream_is_flushed(stream);
}

void stream_fini(struct net_stream *stream)
{
    input_fini(&stream->input);
    io_handle_close(stream->loop->io, &stream->socket);
}
