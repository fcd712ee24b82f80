#include "net/tunnel.h"

#include <stdio.h>

#include "base/units.h"
#include "net/exchange_connection.h"

static const uint64_t CONNECT_NS = 5 * NS_PER_S;
static const uint64_t SILENCE_NS = 30 * NS_PER_S;

enum { STAGE_CONNECT, STAGE_WORK, STAGE_UNWIND, STAGE_DONE, STAGE_COUNT };

static struct tunnel *of_machine(struct machine *machine)
{
    return CONTAINER_OF(machine, struct tunnel, machine);
}

static void kick(struct tunnel *tunnel)
{
    if (tunnel->is_kicked)
        return;
    tunnel->is_kicked = true;
    if (!tunnel->machine.running)
        machine_arrive(&tunnel->machine);
}

static void stream_changed(struct net_stream *stream)
{
    kick(CONTAINER_OF(stream, struct tunnel, stream));
}

/* ---- the request ---- */

/* What is of the connection is not sent on; nor is Expect: the client was answered by us. */
static bool goes_along(enum http_header header)
{
    return header != HTTP_HEADER_HOST && header != HTTP_HEADER_CONTENT_LENGTH
           && header != HTTP_HEADER_TRANSFER_ENCODING && header != HTTP_HEADER_CONNECTION
           && header != HTTP_HEADER_EXPECT;
}

static void write_line(struct writer *w, const char *name, struct span value)
{
    write_bytes(w, name, strlen(name));
    write_bytes(w, ": ", 2);
    write_bytes(w, value.data, value.size);
    write_bytes(w, "\r\n", 2);
}

static void write_head(struct writer *w, const struct http_head *head,
    const struct io_address *address, const char *mark)
{
    static const char *const names[HTTP_HEADER_COUNT] = {
#define X(name, text) text,
        HTTP_HEADERS(X)
#undef X
    };
    char host[IO_ADDRESS_TEXT_MAX];
    const char *method = http_method_name(head->method);
    write_bytes(w, method, strlen(method));
    write_u8(w, ' ');
    write_bytes(w, head->path.data, head->path.size);
    if (head->query.data)
        write_u8(w, '?');
    write_bytes(w, head->query.data, head->query.size);
    write_bytes(w, " HTTP/1.1\r\n", 11);
    write_line(w, "host", span_of_text(io_address_format(address, host)));
    write_line(w, "connection", span_of_text("close"));
    write_line(w, mark, span_of_text("1"));
    for (int i = 0; i < HTTP_HEADER_COUNT; i++)
        if (head->headers[i].data && goes_along((enum http_header)i))
            write_line(w, names[i], head->headers[i]);
    if (head->has_length)
        http_header_add(w, "content-length", "%llu", (unsigned long long)head->content_length);
    else if (head->is_chunked)
        write_line(w, "transfer-encoding", span_of_text("chunked"));
    write_bytes(w, "\r\n", 2);
}

static void piece_left(struct out_frame *frame, err_t err)
{
    (void)err; /* a lost stream is seen by the stream itself */
    kick(CONTAINER_OF(frame, struct tunnel, out));
}

static void send_up(
    struct tunnel *tunnel, size_t head_size, const struct iovec *data, unsigned data_count)
{
    tunnel->out.left = piece_left;
    out_frame_set(&tunnel->out, head_size, data, data_count);
    output_queue(&tunnel->stream.output, &tunnel->out);
}

static void send_chunk(struct tunnel *tunnel, struct span data, bool is_last)
{
    static const char end[] = "\r\n", over[] = "0\r\n\r\n";
    struct iovec pieces[3];
    unsigned count = 0;
    size_t head_size = 0;
    if (data.size > 0) {
        head_size = (size_t)snprintf((char *)tunnel->out.head, 24, "%zx\r\n", data.size);
        pieces[count++] = (struct iovec){(void *)(uintptr_t)data.data, data.size};
        pieces[count++] = (struct iovec){(void *)(uintptr_t)end, 2};
    }
    if (is_last)
        pieces[count++] = (struct iovec){(void *)(uintptr_t)over, 5};
    if (count > 0)
        send_up(tunnel, head_size, pieces, count);
}

static void body_came(struct exchange *exchange)
{
    struct tunnel *tunnel = exchange->op;
    struct span data = exchange->data;
    struct iovec piece = {(void *)(uintptr_t)data.data, data.size};
    tunnel->is_body_over = !exchange->has_more;
    if (err_is(exchange->body_err))
        stream_lose(&tunnel->stream, exchange->body_err);
    else if (tunnel->request->head.is_chunked)
        send_chunk(tunnel, data, tunnel->is_body_over);
    else if (data.size > 0)
        send_up(tunnel, 0, &piece, 1);
    kick(tunnel);
}

static void pump_up(struct tunnel *tunnel)
{
    struct exchange *exchange = &tunnel->request->exchange;
    if (!tunnel->is_body_over && !exchange->wake && !out_frame_is_queued(&tunnel->out))
        exchange_next_data(exchange, body_came);
}

/* ---- the answer ---- */

static void piece_sent(struct exchange *exchange, err_t err)
{
    struct tunnel *tunnel = exchange->op;
    tunnel->is_piece_out = false;
    if (err_is(err))
        stream_lose(&tunnel->stream, err);
    else
        input_use(&tunnel->stream.input, (uint32_t)tunnel->piece_size);
    kick(tunnel);
}

static void pump_down(struct tunnel *tunnel)
{
    struct exchange *exchange = &tunnel->request->exchange;
    struct span unread = input_unread(&tunnel->stream.input);
    if (tunnel->is_piece_out)
        return;
    if (unread.size == 0) {
        stream_receive(&tunnel->stream);
        return;
    }
    struct iovec piece = {(void *)(uintptr_t)unread.data, unread.size};
    tunnel->is_piece_out = true;
    tunnel->piece_size = unread.size;
    exchange->is_answered = true;
    exchange->reply_left = 1; /* until the other server has closed */
    exchange_queue_reply(exchange, 0, &piece, 1, piece_sent);
}

static bool is_over(const struct tunnel *tunnel)
{
    const struct net_stream *stream = &tunnel->stream;
    return stream->is_ended && !io_op_is_out(&stream->recv) && !tunnel->is_piece_out
           && input_unread(&stream->input).size == 0;
}

/* ---- stages ---- */

static void connected(struct io_op *op)
{
    kick(op->context);
}

static void start_connect(struct tunnel *tunnel)
{
    tunnel->is_connecting = true;
    tunnel->connect = (struct io_op){.kind = IO_CONNECT,
        .fd = IO_FD_NONE,
        .wake = connected,
        .owner = &tunnel->machine.owner,
        .context = tunnel,
        .address = &tunnel->address,
        .ret_handle = &tunnel->stream.socket,
        .handle_life = LIFE_CONNECTION,
        .deadline_ns = tunnel->machine.owner.born_ns + CONNECT_NS};
    io_submit(tunnel->loop->io, &tunnel->connect);
}

static int run_connect(struct machine *machine)
{
    struct tunnel *tunnel = of_machine(machine);
    tunnel->is_kicked = false;
    if (!tunnel->is_connecting)
        start_connect(tunnel);
    if (io_op_is_out(&tunnel->connect))
        return machine_wait_in(machine, STAGE_CONNECT, 1);
    if (tunnel->connect.result < 0)
        return machine_fail(machine, ERR_RESULT(tunnel->connect.result));
    output_queue(&tunnel->stream.output, &tunnel->out);
    return STAGE_WORK;
}

static int run_work(struct machine *machine)
{
    struct tunnel *tunnel = of_machine(machine);
    struct net_stream *stream = &tunnel->stream;
    do {
        tunnel->is_kicked = false;
        pump_up(tunnel);
        pump_down(tunnel);
        stream_send(stream);
    } while (tunnel->is_kicked && !stream_is_lost(stream));
    if (exchange_is_gone(&tunnel->request->exchange))
        return machine_fail(machine, ERR(CLOSED, 0));
    if (stream_is_lost(stream))
        return machine_fail(machine, stream->err);
    return is_over(tunnel) ? STAGE_UNWIND : machine_wait_in(machine, STAGE_WORK, 1);
}

static int run_unwind(struct machine *machine)
{
    struct tunnel *tunnel = of_machine(machine);
    bool is_home;
    net_ticker_leave(&tunnel->loop->ticker, &tunnel->tick);
    exchange_cancel_data(&tunnel->request->exchange);
    io_cancel(tunnel->loop->io, &tunnel->connect);
    do {
        tunnel->is_kicked = false;
        is_home = stream_stop(&tunnel->stream);
    } while (tunnel->is_kicked);
    if (!is_home || tunnel->is_piece_out || io_op_is_out(&tunnel->connect))
        return machine_wait_in(machine, STAGE_UNWIND, 1);
    stream_fini(&tunnel->stream);
    return STAGE_DONE;
}

static int run_done(struct machine *machine)
{
    struct tunnel *tunnel = of_machine(machine);
    owner_close(&machine->owner);
    tunnel->done(tunnel);
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [STAGE_CONNECT] = {"connect", run_connect, BIT(STAGE_CONNECT) | BIT(STAGE_WORK), 10000},
    [STAGE_WORK] = {"work", run_work, BIT(STAGE_WORK), 0},
    [STAGE_UNWIND] = {"unwind", run_unwind, BIT(STAGE_UNWIND) | BIT(STAGE_DONE), 5000},
    [STAGE_DONE] = {"done", run_done, 0, 0},
};
static const struct machine_kind tunnel_kind = {
    "http-tunnel", stages, STAGE_COUNT, STAGE_UNWIND, STAGE_DONE};

/* The client is slow at its own price: only silence of the other server counts. */
static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct tunnel *tunnel = CONTAINER_OF(tick, struct tunnel, tick);
    const struct net_stream *stream = &tunnel->stream;
    uint64_t since_ns = stream->read_since_ns > stream->sent_since_ns ? stream->read_since_ns
                                                                      : stream->sent_since_ns;
    if (tunnel->request->exchange.wake || tunnel->is_piece_out || now_ns < since_ns + SILENCE_NS)
        return;
    stream_lose(&tunnel->stream, ERR(TIMEOUT, 0));
    kick(tunnel);
}

/* ---- life ---- */

err_t tunnel_start(struct tunnel *tunnel, struct net_loop *loop, struct http_request *request,
    const struct io_address *address, const char *mark)
{
    void (*done)(struct tunnel *) = tunnel->done;
    void *context = tunnel->context;
    *tunnel = (struct tunnel){.loop = loop,
        .request = request,
        .address = *address,
        .done = done,
        .context = context,
        .is_kicked = true, /* the machine is about to run for the first time */
        .is_body_over = !request->exchange.has_more,
        .tick = {.tick = on_tick}};
    struct writer w = {.data = tunnel->out.head, .capacity = sizeof tunnel->out.head};
    write_head(&w, &request->head, address, mark);
    if (w.failed)
        return ERR(TOO_LARGE, 0);
    tunnel->out.left = piece_left;
    out_frame_set(&tunnel->out, w.size, NULL, 0);
    request->exchange.op = tunnel;
    machine_start(&tunnel->machine, &tunnel_kind, &loop->io->run, DIRECTION_CLIENT);
    stream_init(&tunnel->stream, loop, &tunnel->machine.owner, stream_changed);
    net_ticker_join(&loop->ticker, &tunnel->tick);
    return ERR_OK;
}

bool tunnel_is_told(const struct tunnel *tunnel)
{
    return tunnel->request->exchange.is_answered;
}

void tunnel_end(struct tunnel *tunnel)
{
    struct exchange *exchange = &tunnel->request->exchange;
    if (!err_is(tunnel->machine.err))
        exchange->reply_left = 0;
    exchange->connection->closes = true;
    exchange_end(exchange);
}
