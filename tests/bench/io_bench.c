/* What an operation costs through the seam, beside the plain system call that does the same.
 *
 *   io_bench [DIRECTORY]      (default /tmp; must allow O_DIRECT)
 *
 * Prints the median of some rounds, in nanoseconds per operation. Not a test: figures drift. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/uring.h"

enum { ROUND_COUNT = 7, BLOCK_SIZE = 4096, BLOCK_COUNT = 256, BATCH_MAX = 32 };

struct bench {
    struct io *io;
    struct owner owner;
    struct io_handle directory, file, direct, near, far;
    unsigned ended;
    struct io_op ops[BATCH_MAX];
    struct iovec iovs[BATCH_MAX];
    uint32_t next_block;
};
static _Alignas(4096) char bytes[BATCH_MAX][BLOCK_SIZE];

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void count_end(struct io_op *op)
{
    struct bench *bench = op->context;
    CHECK(op->result >= 0);
    bench->ended++;
}

static void call(struct bench *bench, struct io_op *op)
{
    op->owner = &bench->owner;
    CHECK(io_call(bench->io, op) >= 0);
}

static uint64_t next_offset(struct bench *bench)
{
    bench->next_block = bench->next_block * 1664525u + 1013904223u;
    return (uint64_t)(bench->next_block >> 8) % BLOCK_COUNT * BLOCK_SIZE;
}

static struct io_op *prepare(
    struct bench *bench, unsigned i, enum io_kind kind, int fd, size_t size)
{
    bench->iovs[i] = (struct iovec){bytes[i], size};
    bench->ops[i] = (struct io_op){.wake = count_end,
        .context = bench,
        .owner = &bench->owner,
        .kind = kind,
        .fd = fd,
        .iov = &bench->iovs[i],
        .iov_count = 1};
    return &bench->ops[i];
}

static void turn_until(struct bench *bench, unsigned ended)
{
    while (bench->ended < ended)
        io_turn(bench->io, true);
    bench->ended -= ended;
}

static void batch_of(struct bench *bench, unsigned batch, enum io_kind kind, int fd, uint32_t flags,
    uint64_t deadline_ns)
{
    for (unsigned i = 0; i < batch; i++) {
        struct io_op *op = prepare(bench, i, kind, fd, BLOCK_SIZE);
        op->offset = next_offset(bench);
        op->write_flags = flags;
        op->deadline_ns = deadline_ns;
        io_submit(bench->io, op);
    }
    turn_until(bench, batch);
}

static void seam_nop(struct bench *bench, unsigned batch)
{
    batch_of(bench, batch, IO_NOP, -1, 0, 0);
}
static void seam_read(struct bench *bench, unsigned batch)
{
    batch_of(bench, batch, IO_READ, bench->file.fd, 0, 0);
}
static void seam_read_deadline(struct bench *bench, unsigned batch)
{
    batch_of(bench, batch, IO_READ, bench->file.fd, 0, io_now(bench->io) + 10000000000u);
}
static void seam_write(struct bench *bench, unsigned batch)
{
    batch_of(bench, batch, IO_WRITE, bench->file.fd, 0, 0);
}
static void seam_direct(struct bench *bench, unsigned batch)
{
    batch_of(bench, batch, IO_WRITE, bench->direct.fd, IO_WRITE_DSYNC, 0);
}
static void seam_echo(struct bench *bench, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++) { /* request, answer: both ends on this loop */
        for (unsigned way = 0; way < 2; way++) {
            int from = way == 0 ? bench->near.fd : bench->far.fd;
            int to = way == 0 ? bench->far.fd : bench->near.fd;
            io_submit(bench->io, prepare(bench, 0, IO_RECV, to, 64));
            io_submit(bench->io, prepare(bench, 1, IO_SEND, from, 64));
            turn_until(bench, 2);
        }
    }
}

static void plain_nop(struct bench *bench, unsigned batch)
{
    (void)bench;
    for (unsigned i = 0; i < batch; i++)
        (void)getppid();
}
static void plain_read(struct bench *bench, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++)
        CHECK(pread(bench->file.fd, bytes[i], BLOCK_SIZE, (off_t)next_offset(bench)) > 0);
}
static void plain_write(struct bench *bench, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++)
        CHECK(pwrite(bench->file.fd, bytes[i], BLOCK_SIZE, (off_t)next_offset(bench)) > 0);
}
static void plain_direct(struct bench *bench, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++) {
        struct iovec iov = {bytes[i], BLOCK_SIZE};
        off_t offset = (off_t)next_offset(bench);
        CHECK(pwritev2(bench->direct.fd, &iov, 1, offset, RWF_DSYNC) > 0);
    }
}
static void plain_echo(struct bench *bench, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++) {
        CHECK(send(bench->near.fd, bytes[0], 64, MSG_NOSIGNAL) == 64);
        CHECK(recv(bench->far.fd, bytes[0], 64, 0) == 64);
        CHECK(send(bench->far.fd, bytes[0], 64, MSG_NOSIGNAL) == 64);
        CHECK(recv(bench->near.fd, bytes[0], 64, 0) == 64);
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double measure(struct bench *bench, void (*run)(struct bench *bench, unsigned batch),
    unsigned batch, unsigned n)
{
    double rounds[ROUND_COUNT];
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        double begin = now_ns();
        for (unsigned i = 0; i < n; i += batch)
            run(bench, batch);
        rounds[round] = (now_ns() - begin) / n;
    }
    qsort(rounds, ROUND_COUNT, sizeof rounds[0], compare);
    return rounds[ROUND_COUNT / 2];
}

static const struct row {
    const char *name;
    void (*seam)(struct bench *bench, unsigned batch);
    void (*plain)(struct bench *bench, unsigned batch);
    unsigned count;
} rows[] = {
    {"nop (plain: getppid)", seam_nop, plain_nop, 32768},
    {"read 4 KiB cached", seam_read, plain_read, 16384},
    {"read 4 KiB cached, with a deadline", seam_read_deadline, plain_read, 16384},
    {"write 4 KiB buffered", seam_write, plain_write, 8192},
    {"write 4 KiB O_DIRECT, durable", seam_direct, plain_direct, 256},
    {"echo 64 B (2 sends, 2 receives)", seam_echo, plain_echo, 4096},
};

static void open_file(struct bench *bench, const char *name, uint32_t flags, struct io_handle *ret)
{
    call(bench, &(struct io_op){.kind = IO_OPEN,
                    .fd = bench->directory.fd,
                    .path = name,
                    .open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | flags,
                    .ret_handle = ret});
    for (unsigned i = 0; i < BLOCK_COUNT; i++) {
        struct iovec iov = {bytes[0], BLOCK_SIZE};
        call(bench, &(struct io_op){.kind = IO_WRITE,
                        .fd = ret->fd,
                        .iov = &iov,
                        .iov_count = 1,
                        .offset = (uint64_t)i * BLOCK_SIZE});
    }
    call(bench, &(struct io_op){.kind = IO_SYNC, .fd = ret->fd});
}

static void connect_ends(struct bench *bench)
{
    struct io_address address;
    struct io_handle listener = IO_HANDLE_NONE;
    CHECK(!err_is(io_address_parse("127.0.0.1:0", &address)));
    call(bench,
        &(struct io_op){
            .kind = IO_LISTEN, .address = &address, .listen_count = 1, .ret_handle = &listener});
    call(bench,
        &(struct io_op){.kind = IO_CONNECT, .address = &address, .ret_handle = &bench->near});
    call(bench, &(struct io_op){.kind = IO_ACCEPT, .fd = listener.fd, .ret_handle = &bench->far});
    io_handle_close(bench->io, &listener);
}

static void bench_open(struct bench *bench, const char *directory)
{
    bench->directory = bench->file = bench->direct = bench->near = bench->far = IO_HANDLE_NONE;
    owner_open(&bench->owner, "bench", DIRECTION_OWN, 0);
    call(bench, &(struct io_op){.kind = IO_OPEN,
                    .fd = IO_FD_NONE,
                    .path = directory,
                    .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                    .ret_handle = &bench->directory});
    open_file(bench, "io_bench.cached", 0, &bench->file);
    open_file(bench, "io_bench.direct", IO_OPEN_DIRECT, &bench->direct);
    connect_ends(bench);
}

static void bench_close(struct bench *bench)
{
    struct io_handle *handles[] = {
        &bench->file, &bench->direct, &bench->near, &bench->far, &bench->directory};
    static const char *const names[] = {"io_bench.cached", "io_bench.direct"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        call(
            bench, &(struct io_op){.kind = IO_UNLINK, .fd = bench->directory.fd, .path = names[i]});
    for (size_t i = 0; i < ARRAY_LEN(handles); i++)
        io_handle_close(bench->io, handles[i]);
    owner_close(&bench->owner);
    bench->io->backend->free(bench->io);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    err_t err = uring_io_new(&(struct uring_options){.pin = true}, &bench.io);
    if (err_is(err)) {
        (void)fprintf(stderr, "%s\n", uring_explain(err));
        return err_exit_code(err.code);
    }
    bench_open(&bench, argc > 1 ? argv[1] : "/tmp");
    (void)printf("%-36s %10s %10s %10s  ns per operation\n", "", "plain", "seam, 1", "seam, 32");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double plain = measure(&bench, rows[i].plain, BATCH_MAX, rows[i].count);
        double single = measure(&bench, rows[i].seam, 1, rows[i].count);
        double batched = measure(&bench, rows[i].seam, BATCH_MAX, rows[i].count);
        (void)printf("%-36s %10.0f %10.0f %10.0f\n", rows[i].name, plain, single, batched);
    }
    bench_close(&bench);
    return 0;
}
