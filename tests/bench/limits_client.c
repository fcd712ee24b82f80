#include "tests/bench/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/prng.h"

struct client {
    _Alignas(64) int fd;
    uint64_t started_ns, offset;
    uint64_t got; /* bytes of the answer */
    uint8_t request[HEAD_SIZE];
    uint8_t *buffer; /* HEAD_SIZE, then a block at a page's start; NULL: thrown away */
};

struct loop {
    struct load *load;
    struct io_uring ring;
    struct prng prng;
    struct client *clients;
    unsigned active; /* clients with a request under way */
    uint8_t *upload; /* head and body, the same for all */
    size_t upload_size, buffers_size;
    uint8_t *buffers;
};

static bool is_put(const struct loop *loop)
{
    return work_is_put(loop->load->cell->work);
}

/* ---- one request ---- */

static void receive(struct loop *loop, struct client *client)
{
    uint64_t whole = HEAD_SIZE + (is_put(loop) ? 0 : loop->load->cell->size);
    uint64_t left = whole - client->got;
    struct io_uring_sqe *sqe = ring_sqe(&loop->ring);
    if (client->buffer) { /* never across the end of a block */
        uint64_t at = client->got < HEAD_SIZE ? client->got
                                              : HEAD_SIZE + (client->got - HEAD_SIZE) % SUM_BLOCK;
        uint64_t room = HEAD_SIZE + SUM_BLOCK - at;
        io_uring_prep_recv(sqe, client->fd, client->buffer + at, left < room ? left : room, 0);
    } else {
        io_uring_prep_recv(sqe, client->fd, NULL, left, MSG_TRUNC);
    }
    sqe_name(sqe, client, TAG_RECV);
}

static void request(struct loop *loop, struct client *client)
{
    const struct cell *cell = loop->load->cell;
    struct io_uring_sqe *sqe = ring_sqe(&loop->ring);
    client->got = 0;
    client->started_ns = clock_ns(CLOCK_MONOTONIC);
    if (is_put(loop)) {
        if (cell->client_checks) /* a client of a store has to compute it */
            put_u32(loop->upload + 16, crc32_update(0, loop->upload + HEAD_SIZE, cell->size));
        io_uring_prep_send(
            sqe, client->fd, loop->upload, loop->upload_size, MSG_WAITALL | MSG_NOSIGNAL);
    } else {
        uint64_t unit = cell->size < SUM_BLOCK ? PAGE : SUM_BLOCK;
        uint64_t places = (cell->data->size - cell->size) / unit + 1;
        client->offset = prng_below(&loop->prng, places) * unit;
        put_u64(client->request, client->offset);
        io_uring_prep_send(sqe, client->fd, client->request, HEAD_SIZE, MSG_NOSIGNAL);
    }
    sqe_name(sqe, client, TAG_SEND);
    receive(loop, client);
}

static void check_block(const struct loop *loop, const struct client *client)
{
    uint64_t body = client->got - HEAD_SIZE;
    uint64_t whole = loop->load->cell->size;
    size_t size = whole < SUM_BLOCK ? whole : SUM_BLOCK;
    if (body % size == 0)
        CHECK(data_file_verify(loop->load->cell->data, client->offset + body - size,
            client->buffer + HEAD_SIZE, size));
}

static void finished(struct loop *loop, struct client *client)
{
    struct load *load = loop->load;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (now >= load->begin_ns && now < load->end_ns) {
        load->count++;
        latency_add(&load->latency, now - client->started_ns);
    }
    if (now < load->end_ns)
        request(loop, client);
    else
        loop->active--;
}

static void received(struct loop *loop, struct client *client, int result)
{
    uint64_t whole = HEAD_SIZE + (is_put(loop) ? 0 : loop->load->cell->size);
    CHECK(result > 0);
    client->got += (uint64_t)result;
    if (client->buffer && client->got > HEAD_SIZE)
        check_block(loop, client);
    if (client->got == whole)
        finished(loop, client);
    else
        receive(loop, client);
}

static void turn(struct loop *loop)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int result = io_uring_submit_and_wait(&loop->ring, 1);
    CHECK(result >= 0 || result == -EINTR);
    io_uring_for_each_cqe(&loop->ring, head, cqe)
    {
        if (cqe_tag(cqe) == TAG_RECV)
            received(loop, cqe_of(cqe), cqe->res);
        else
            CHECK(cqe->res > 0);
        count++;
    }
    io_uring_cq_advance(&loop->ring, count);
}

/* ---- connections and memory ---- */

static int connect_to(unsigned port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static void make_upload(struct loop *loop)
{
    size_t size = loop->load->cell->size;
    loop->upload_size = HEAD_SIZE + size;
    loop->upload = pages_new(loop->upload_size);
    for (size_t i = 0; i + 8 <= size; i += 8)
        put_u64(loop->upload + HEAD_SIZE + i, prng_next(&loop->prng));
    put_u32(loop->upload + 16, crc32_update(0, loop->upload + HEAD_SIZE, size));
}

static void loop_open(struct loop *loop)
{
    struct load *load = loop->load;
    size_t each = PAGE + SUM_BLOCK;
    pin_to(load->cpu);
    ring_open(&loop->ring);
    prng_init(&loop->prng, load->seed);
    loop->clients = pages_new(sizeof *loop->clients * load->conn_count);
    if (is_put(loop))
        make_upload(loop);
    else if (load->cell->client_checks)
        loop->buffers = pages_new(loop->buffers_size = each * load->conn_count);
    for (unsigned i = 0; i < load->conn_count; i++) {
        struct client *client = &loop->clients[i];
        client->fd = connect_to(load->port);
        client->buffer = loop->buffers ? loop->buffers + i * each + PAGE - HEAD_SIZE : NULL;
    }
}

static void loop_close(struct loop *loop)
{
    for (unsigned i = 0; i < loop->load->conn_count; i++)
        (void)close(loop->clients[i].fd);
    io_uring_queue_exit(&loop->ring);
    pages_free(loop->clients, sizeof *loop->clients * loop->load->conn_count);
    if (loop->buffers)
        pages_free(loop->buffers, loop->buffers_size);
    if (loop->upload)
        pages_free(loop->upload, loop->upload_size);
}

void *load_run(void *context)
{
    struct load *load = context;
    struct loop loop = {.load = load};
    loop_open(&loop);
    atomic_store(&load->is_ready, true);
    (void)pthread_barrier_wait(load->start);
    for (unsigned i = 0; i < load->conn_count; i++)
        request(&loop, &loop.clients[i]);
    loop.active = load->conn_count;
    while (loop.active > 0)
        turn(&loop);
    (void)pthread_barrier_wait(load->leave); /* its CPU time is being read */
    loop_close(&loop);
    return NULL;
}
