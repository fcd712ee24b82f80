#include "tests/bench/limits.h"

#include <errno.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* The scratch buffer stays in the cache of the core; after some pieces of a large answer the other
 * connections have their turn. */
enum { TURN_PIECES = 4 };

static uint8_t *head_of(uint8_t *buffer)
{
    return buffer + PAGE - HEAD_SIZE; /* the body begins at a page */
}

/* ---- requests ---- */

void conn_receive(struct server *server, struct conn *conn)
{
    uint64_t at = conn->got, left = HEAD_SIZE - conn->got;
    if (work_is_put(server->cell->work)) {
        uint64_t piece = server->buffer_size - PAGE;
        uint64_t whole = HEAD_SIZE + server->cell->size;
        at = conn->got < HEAD_SIZE ? conn->got : HEAD_SIZE + (conn->got - HEAD_SIZE) % piece;
        left = HEAD_SIZE + piece - at;
        left = whole - conn->got < left ? whole - conn->got : left;
    }
    struct io_uring_sqe *sqe = ring_sqe(&server->ring);
    io_uring_prep_recv(sqe, conn->fd, conn->head + at, left, 0);
    sqe_name(sqe, conn, TAG_RECV);
}

static void next_request(struct server *server, struct conn *conn)
{
    conn->got = conn->sent = 0;
    conn->crc = 0;
    conn_receive(server, conn);
}

static void send_later(struct server *server, struct conn *conn, uint8_t *bytes, size_t size)
{
    struct io_uring_sqe *sqe = ring_sqe(&server->ring);
    io_uring_prep_send(sqe, conn->fd, bytes, size, MSG_WAITALL | MSG_NOSIGNAL);
    sqe_name(sqe, conn, TAG_SEND);
}

/* ---- answers ---- */

static void read_verified(const struct server *server, uint64_t offset, uint8_t *body, size_t size)
{
    const struct data_file *data = server->cell->data;
    CHECK(pread(data->fd, body, size, (off_t)offset) == (ssize_t)size);
    CHECK(data_file_verify(data, offset, body, size));
}

/** How many of `size` bytes the socket takes now. */
static size_t send_now(const struct conn *conn, const uint8_t *bytes, size_t size)
{
    ssize_t sent = send(conn->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    CHECK(sent >= 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    return sent < 0 ? 0 : (size_t)sent;
}

/** One piece through the scratch buffer, the first behind the head; false: the socket is full, and
 * the rest waits in the connection's own buffer. */
static bool send_piece(struct server *server, struct conn *conn)
{
    uint8_t *head = head_of(server->scratch);
    uint8_t *from = conn->sent == 0 ? head : head + HEAD_SIZE;
    uint64_t left = server->cell->size - conn->sent;
    size_t piece = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
    read_verified(server, conn->file_offset + conn->sent, head + HEAD_SIZE, piece);
    if (conn->sent == 0)
        memcpy(head, conn->head, HEAD_SIZE);
    size_t size = (size_t)(head + HEAD_SIZE + piece - from);
    size_t sent = send_now(conn, from, size);
    conn->sent += piece;
    if (sent == size)
        return true;
    memcpy(conn->head, from + sent, size - sent);
    send_later(server, conn, conn->head, size - sent);
    return false;
}

static void turn_later(struct server *server, struct conn *conn, short poll_for)
{
    struct io_uring_sqe *sqe = ring_sqe(&server->ring);
    if (poll_for)
        io_uring_prep_poll_add(sqe, conn->fd, (unsigned)poll_for);
    else
        io_uring_prep_nop(sqe);
    sqe_name(sqe, conn, TAG_SEND);
}

static void send_pieces(struct server *server, struct conn *conn)
{
    for (unsigned i = 0; i < TURN_PIECES; i++) {
        if (conn->sent == server->cell->size)
            return next_request(server, conn);
        if (!send_piece(server, conn))
            return;
    }
    turn_later(server, conn, 0);
}

static void send_file(struct server *server, struct conn *conn)
{
    uint64_t size = server->cell->size;
    if (conn->sent == 0)
        CHECK(send(conn->fd, conn->head, HEAD_SIZE, MSG_MORE | MSG_NOSIGNAL) == HEAD_SIZE);
    while (conn->sent < size) {
        off_t at = (off_t)(conn->file_offset + conn->sent);
        ssize_t sent = sendfile(conn->fd, server->cell->data->fd, &at, size - conn->sent);
        if (sent < 0) {
            CHECK(errno == EAGAIN);
            return turn_later(server, conn, POLLOUT);
        }
        conn->sent += (uint64_t)sent;
    }
    next_request(server, conn);
}

static void answer(struct server *server, struct conn *conn)
{
    size_t size = server->cell->size;
    if (server->cell->work == WORK_SENDFILE)
        return send_file(server, conn);
    if (size > SUM_BLOCK)
        return send_pieces(server, conn);
    if (conn->sent == size)
        return next_request(server, conn);
    read_verified(server, conn->file_offset, conn->head + HEAD_SIZE, size);
    conn->sent = size;
    send_later(server, conn, conn->head, HEAD_SIZE + size);
}

void conn_acknowledge(struct server *server, struct conn *conn)
{
    send_later(server, conn, conn->head, HEAD_SIZE);
}

/* ---- events ---- */

static void received(struct server *server, struct conn *conn, int result)
{
    if (result <= 0) { /* the client has gone */
        (void)close(conn->fd);
        return;
    }
    if (work_is_put(server->cell->work))
        return put_received(server, conn, (size_t)result);
    conn->got += (uint64_t)result;
    if (conn->got < HEAD_SIZE)
        return conn_receive(server, conn);
    conn->file_offset = get_u64(conn->head);
    answer(server, conn);
}

static void sent(struct server *server, struct conn *conn, int result)
{
    if (result < 0) {
        (void)close(conn->fd);
        return;
    }
    if (work_is_put(server->cell->work))
        next_request(server, conn);
    else
        answer(server, conn);
}

static void accepted(struct server *server, int fd)
{
    CHECK(fd >= 0 && server->conn_count < server->cell->client_count);
    struct conn *conn = &server->conns[server->conn_count];
    *conn = (struct conn){
        .fd = fd, .head = head_of(server->buffers + server->conn_count * server->buffer_size)};
    server->conn_count++;
    next_request(server, conn);
}

static void handle(struct server *server, const struct io_uring_cqe *cqe)
{
    switch (cqe_tag(cqe)) {
    case TAG_RECV:
        return received(server, cqe_of(cqe), cqe->res);
    case TAG_SEND:
        return sent(server, cqe_of(cqe), cqe->res);
    case TAG_ACCEPT:
        CHECK(cqe->flags & IORING_CQE_F_MORE);
        return accepted(server, cqe->res);
    case TAG_COMMIT:
        return puts_committed(server, cqe_of(cqe), cqe->res);
    case TAG_PIECE:
        return put_written(server, cqe_of(cqe), cqe->res);
    default:
        server->is_stopped = true;
    }
}

static void turn(struct server *server)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int result = io_uring_submit_and_wait(&server->ring, 1);
    CHECK(result >= 0 || result == -EINTR);
    io_uring_for_each_cqe(&server->ring, head, cqe)
    {
        handle(server, cqe);
        count++;
    }
    io_uring_cq_advance(&server->ring, count);
    if (work_is_put(server->cell->work))
        puts_commit(server);
}

static void start(struct server *server)
{
    const struct cell *cell = server->cell;
    size_t piece = cell->size < PIECE_SIZE ? cell->size : PIECE_SIZE;
    server->buffer_size = PAGE + round_up(piece, PAGE);
    server->buffers = pages_new(server->buffer_size * cell->client_count);
    server->scratch = pages_new(server->buffer_size);
    server->conns = pages_new(sizeof *server->conns * cell->client_count);
    if (work_is_put(cell->work))
        puts_open(server);
    struct io_uring_sqe *sqe = ring_sqe(&server->ring);
    io_uring_prep_multishot_accept(sqe, server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    sqe_name(sqe, server, TAG_ACCEPT);
    sqe = ring_sqe(&server->ring);
    io_uring_prep_read(sqe, server->stop_fd, &server->stop_value, sizeof server->stop_value, 0);
    sqe_name(sqe, server, TAG_STOP);
    CHECK(io_uring_submit(&server->ring) == 2);
}

void *server_run(void *context)
{
    struct server *server = context;
    const struct cell *cell = server->cell;
    pin_to(server->cpu);
    ring_open(&server->ring);
    start(server);
    atomic_store(&server->is_ready, true);
    while (!server->is_stopped)
        turn(server);
    io_uring_queue_exit(&server->ring);
    if (work_is_put(cell->work))
        puts_close(server);
    pages_free(server->conns, sizeof *server->conns * cell->client_count);
    pages_free(server->scratch, server->buffer_size);
    pages_free(server->buffers, server->buffer_size * cell->client_count);
    return NULL;
}
