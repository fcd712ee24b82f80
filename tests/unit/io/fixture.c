#include "tests/unit/io/fixture.h"

#include <dirent.h>

#include "io/epoll_internal.h"
#include "io/uring_internal.h"

int fixture_fd_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    EXPECT(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

static void wake(struct io_op *op)
{
    if (op->context != NULL)
        ++*(unsigned *)op->context;
}

struct io_op fixture_op(struct fixture *fixture, enum io_kind kind, int fd)
{
    return (struct io_op){.wake = wake,
        .owner = &fixture->owner,
        .kind = kind,
        .fd = fd,
        .handle_life = LIFE_REQUEST,
        .context = &fixture->woken};
}

void fixture_wait(struct fixture *fixture, const struct io_op *op)
{
    for (unsigned turns = 0; io_op_is_out(op); turns++) {
        EXPECT(turns < 10000);
        io_turn(fixture->io, true);
    }
}

int64_t fixture_run(struct fixture *fixture, struct io_op *op)
{
    io_submit(fixture->io, op);
    EXPECT(io_op_is_out(op)); /* never woken inside submit */
    fixture_wait(fixture, op);
    return op->result;
}

bool fixture_is_asleep(struct io *io)
{
    bool is_uring = backend_choice_of(io) == BACKEND_IO_URING;
    return atomic_load(
        is_uring ? &uring_of(io)->mailbox.sleeping : &epoll_of(io)->mailbox.sleeping);
}

void fixture_refuse_entry(struct io *io)
{
    if (backend_choice_of(io) == BACKEND_IO_URING)
        uring_of(io)->entries_refused = 1;
}

static void prepare(struct fixture *fixture)
{
    *fixture = (struct fixture){.directory = IO_HANDLE_NONE, .path = "/tmp/cairn-io-XXXXXX"};
    fixture->fds_before = fixture_fd_count();
    EXPECT(mkdtemp(fixture->path) != NULL);
}

static void open_directory(struct fixture *fixture)
{
    owner_open(&fixture->owner, "test", DIRECTION_OWN, 0);
    struct io_op op = fixture_op(fixture, IO_OPEN, IO_FD_NONE);
    op.path = fixture->path;
    op.open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY;
    op.ret_handle = &fixture->directory;
    EXPECT(fixture_run(fixture, &op) >= 0);
}

void fixture_open(struct fixture *fixture, const struct backend_options *options)
{
    prepare(fixture);
    EXPECT_OK(backend_io_new(options, &fixture->io));
    open_directory(fixture);
}

void fixture_open_uring(struct fixture *fixture, const struct uring_options *options)
{
    prepare(fixture);
    EXPECT_OK(uring_io_new(options, &fixture->io));
    open_directory(fixture);
}

void fixture_open_epoll(struct fixture *fixture, const struct epoll_options *options)
{
    prepare(fixture);
    EXPECT_OK(epoll_io_new(options, &fixture->io));
    open_directory(fixture);
}

static void remove_entry(void *context, const char *name, bool is_directory)
{
    struct fixture *fixture = context;
    struct io_op op = fixture_op(fixture, IO_UNLINK, fixture->directory.fd);
    op.path = name;
    op.open_flags = is_directory ? IO_OPEN_DIRECTORY : 0;
    EXPECT_EQ(io_call(fixture->io, &op), 0);
}

void fixture_close(struct fixture *fixture)
{
    fixture->io->ledger.refusal = (struct refusal){.countdown = 0};
    struct io_op list = fixture_op(fixture, IO_LIST, fixture->directory.fd);
    list.each_entry = remove_entry;
    list.context = fixture;
    EXPECT_EQ(io_call(fixture->io, &list), 0);
    io_handle_close(fixture->io, &fixture->directory);
    owner_close(&fixture->owner);
    ledger_check_empty(&fixture->io->ledger);
    fixture->io->backend->free(fixture->io);
    EXPECT_EQ(remove(fixture->path), 0);
    EXPECT_EQ(fixture_fd_count(), fixture->fds_before);
}

void fixture_file(
    struct fixture *fixture, const char *name, uint32_t open_flags, struct io_handle *ret)
{
    *ret = IO_HANDLE_NONE;
    struct io_op op = fixture_op(fixture, IO_OPEN, fixture->directory.fd);
    op.path = name;
    op.open_flags = open_flags;
    op.ret_handle = ret;
    EXPECT(fixture_run(fixture, &op) >= 0);
}

void fixture_listen(struct fixture *fixture, struct io_handle *ret, struct io_address *ret_address)
{
    *ret = IO_HANDLE_NONE;
    EXPECT_OK(io_address_parse("127.0.0.1:0", ret_address));
    struct io_op op = fixture_op(fixture, IO_LISTEN, IO_FD_NONE);
    op.address = ret_address;
    op.listen_count = 1;
    op.ret_handle = ret;
    EXPECT(fixture_run(fixture, &op) >= 0);
}

void fixture_connect(struct fixture *fixture, struct io_handle *ret_near, struct io_handle *ret_far)
{
    struct io_handle listener;
    struct io_address address;
    *ret_near = *ret_far = IO_HANDLE_NONE;
    fixture_listen(fixture, &listener, &address);
    struct io_op accept = fixture_op(fixture, IO_ACCEPT, listener.fd);
    accept.ret_handle = ret_far;
    io_submit(fixture->io, &accept);
    struct io_op connect = fixture_op(fixture, IO_CONNECT, IO_FD_NONE);
    connect.address = &address;
    connect.ret_handle = ret_near;
    EXPECT(fixture_run(fixture, &connect) >= 0);
    fixture_wait(fixture, &accept);
    EXPECT(accept.result >= 0);
    io_handle_close(fixture->io, &listener);
}
