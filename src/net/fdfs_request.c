#include "net/fdfs_connection.h"

/* ---- open ---- */

static void reply_left(struct out_frame *frame, err_t err);

void fdfs_request_open(struct fdfs_connection *c, const struct fdfs_head *head, size_t size)
{
    struct net_input *input = &c->stream.input;
    uint64_t content_size = fdfs_has_content(head->command) ? head->size : 0;
    c->request = (struct fdfs_request){.head = *head,
        .has_more = content_size > 0,
        .body_left = content_size,
        .base = (uint32_t)size,
        .server = c->server,
        .connection = c,
        .buffer = net_buffer_keep(input->small),
        .out = {.left = reply_left}};
    c->move.bytes = input_unread(input);
    c->is_busy = true;
    input_use(input, (uint32_t)size);
}

/* ---- the content ---- */

void fdfs_request_next_data(
    struct fdfs_request *request, void (*wake)(struct fdfs_request *request))
{
    CHECK(request->has_more && !request->wake && !request->is_ended && wake);
    request->data = span_of(NULL, 0);
    request->wake = wake;
    if (request->body_since_ns == 0)
        request->body_since_ns = io_now(request->server->loop->io);
    fdfs_connection_kick(request->connection);
}

static bool deliver(struct fdfs_request *request, struct span data)
{
    void (*wake)(struct fdfs_request *) = request->wake;
    request->data = data;
    request->body_left -= data.size;
    request->body_size += data.size;
    request->has_more = request->body_left > 0;
    request->wake = NULL;
    wake(request);
    return true;
}

void fdfs_body_fail(struct fdfs_connection *c, err_t err)
{
    struct fdfs_request *request = &c->request;
    request->body_err = err;
    request->body_left = 0;
    (void)deliver(request, span_of(NULL, 0));
}

/* A large buffer, with the parameters in front, so that the small one is free again. */
static bool has_large(struct fdfs_connection *c)
{
    struct fdfs_request *request = &c->request;
    struct net_input *input = &c->stream.input;
    size_t size;
    if (request->buffer->pool == &input->buffers->large)
        return true;
    struct net_buffer *large = input_take_buffer(input, &input->buffers->large);
    if (!large) {
        stream_wait_buffer(&c->stream, INPUT_NO_LARGE);
        return false;
    }
    memcpy(large->data, c->move.bytes.data, request->base);
    int status = fdfs_decode(span_of(large->data, request->base), &request->head, &size);
    CHECK(status == FDFS_OK && size == request->base);
    net_buffer_drop(&request->buffer);
    request->buffer = large;
    return true;
}

bool fdfs_body_read(struct fdfs_connection *c)
{
    struct fdfs_request *request = &c->request;
    struct net_input *input = &c->stream.input;
    struct span unread = input_unread(input);
    bool is_small = request->buffer == input->small;
    if (is_small && unread.size >= request->body_left) {
        struct span data = span_of(unread.data, (size_t)request->body_left);
        input_use(input, (uint32_t)data.size);
        return deliver(request, data);
    }
    if (!has_large(c))
        return false;
    uint32_t room = request->buffer->capacity - request->base;
    uint32_t size = request->body_left < room ? (uint32_t)request->body_left : room;
    if (input_collect_bytes(input, request->buffer, request->base, size) == INPUT_NEED_MORE) {
        stream_receive(&c->stream);
        return false;
    }
    return deliver(request, span_of(request->buffer->data + request->base, size));
}

/* ---- answers ---- */

static void queue_reply(struct fdfs_request *request, size_t head_size, struct span data,
    void (*sent)(struct fdfs_request *request, err_t err))
{
    struct fdfs_connection *c = request->connection;
    struct iovec iov = {(void *)(uintptr_t)data.data, data.size};
    CHECK(!request->is_ended && !request->sent);
    out_frame_set(&request->out, head_size, &iov, data.size > 0 ? 1 : 0);
    request->sent = sent;
    output_queue(&c->stream.output, &request->out);
    fdfs_connection_kick(c);
}

void fdfs_reply(struct fdfs_request *request, uint8_t status, struct span body)
{
    CHECK(!request->is_answered && body.size <= FDFS_REPLY_BODY_MAX);
    CHECK(status == FDFS_OK || body.size == 0);
    request->is_answered = true;
    fdfs_answer_header(status, body.size, request->out.head);
    if (body.size > 0)
        memcpy(request->out.head + FDFS_HEADER_SIZE, body.data, body.size);
    queue_reply(request, FDFS_HEADER_SIZE + body.size, span_of(NULL, 0), NULL);
}

void fdfs_reply_begin(struct fdfs_request *request, uint64_t body_size, struct span data,
    void (*sent)(struct fdfs_request *request, err_t err))
{
    CHECK(!request->is_answered && data.size <= body_size);
    request->is_answered = true;
    request->reply_left = body_size - data.size;
    fdfs_answer_header(FDFS_OK, body_size, request->out.head);
    queue_reply(request, FDFS_HEADER_SIZE, data, sent);
}

void fdfs_reply_data(struct fdfs_request *request, struct span data,
    void (*sent)(struct fdfs_request *request, err_t err))
{
    CHECK(data.size > 0 && data.size <= request->reply_left);
    request->reply_left -= data.size;
    queue_reply(request, 0, data, sent);
}

static void control_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    fdfs_connection_kick(CONTAINER_OF(frame, struct fdfs_connection, control));
}

void fdfs_refuse(struct fdfs_connection *c, uint8_t status)
{
    c->control.left = control_left;
    fdfs_answer_header(status, 0, c->control.head);
    out_frame_set(&c->control, FDFS_HEADER_SIZE, NULL, 0);
    output_queue(&c->stream.output, &c->control);
}

/* ---- the end ---- */

static void request_release(struct fdfs_request *request)
{
    struct fdfs_connection *c = request->connection;
    uint64_t now_ns = io_now(c->server->loop->io);
    bool is_short = request->reply_left > 0 || !request->is_answered;
    net_buffer_drop(&request->buffer);
    c->is_busy = false;
    c->stream.read_since_ns = now_ns;
    if (is_short) /* the client must not take what it got for the whole */
        stream_lose(&c->stream, ERR(CANCELLED, 0));
    c->drain_left = request->body_left;
    c->drain_size = 0;
    c->drain_since_ns = now_ns;
    fdfs_connection_kick(c);
}

static void reply_left(struct out_frame *frame, err_t err)
{
    struct fdfs_request *request = CONTAINER_OF(frame, struct fdfs_request, out);
    void (*sent)(struct fdfs_request *, err_t) = request->sent;
    request->sent = NULL;
    if (request->is_ended)
        request_release(request);
    else if (sent)
        sent(request, err);
}

void fdfs_request_end(struct fdfs_request *request)
{
    struct fdfs_connection *c = request->connection;
    CHECK(!request->is_ended && !request->wake && !request->sent);
    request->is_ended = true;
    if (!out_frame_is_queued(&request->out))
        request_release(request);
    else
        fdfs_connection_kick(c);
}

bool fdfs_request_is_gone(const struct fdfs_request *request)
{
    return stream_is_lost(&request->connection->stream);
}

void fdfs_request_move(struct fdfs_request *request, struct fdfs_server *to)
{
    struct fdfs_connection *c = request->connection;
    CHECK(c->move.stage == FDFS_MOVE_NONE && to->loop != request->server->loop);
    CHECK(!request->is_ended && !request->wake && !request->is_answered);
    CHECK(request->buffer == c->stream.input.small);
    c->move.to = to;
    c->move.stage = FDFS_MOVE_WANTED;
    fdfs_connection_kick(c);
}
