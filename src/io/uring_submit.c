/* Operations on their way in and out of the ring. Which way each kind takes, and why (measured on
 * Linux 6.18, ext4; in us per operation):
 *
 *   read              ring: a page that is cached is copied inside the submit call (0.6 in batches,
 *                     against 0.5 of pread and 0.8 of preadv2(RWF_NOWAIT)); a cold one never
 *                     blocks the loop
 *   write, buffered   pwritev2 at once (2.3): the ring hands it to a worker thread (58)
 *   write, O_DIRECT or durable; sync; allocate, punch, resize       ring: they wait for the device
 *   open              ring: what is cached is opened inside the submit call (2.7, as openat2)
 *   stat of a path    ring: opened for its inode only, then fstat (2.9); IORING_OP_STATX always
 *                     goes to a worker thread (39)
 *   rename, unlink, mkdir, open with create     ring: worker threads, they wait for the journal
 *   stat of a handle, space, lock, listen, shutdown   at once: they do not wait
 *
 * Deadlines are kept in a heap, not as linked timeouts of the ring: those cost 0.9 more for each
 * operation, although nearly all end long before their deadline. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/plain.h"
#include "io/uring_internal.h"

enum { OPERATION_FTRUNCATE = 55, DIRECTORY_MODE = 0750 };

void uring_finish_later(struct uring *uring, struct io_op *op, int64_t result)
{
    op->result = result;
    uring_op_of(op)->place = URING_PLACE_DONE;
    list_push_back(&uring->done, &op->link);
}

struct io_uring_sqe *uring_entry(struct uring *uring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
    if (entry == NULL) {
        uring_give(uring);
        entry = io_uring_get_sqe(&uring->ring);
    }
    return entry;
}

static void prepare_open(struct io_op *op, struct io_uring_sqe *entry)
{
    struct uring_op *state = uring_op_of(op);
    state->how = op->kind == IO_OPEN ? plain_open_how(op) : plain_stat_how(op);
    io_uring_prep_openat2(entry, plain_directory(op), op->path, &state->how);
}

static void prepare_read(struct io_op *op, struct io_uring_sqe *entry)
{
    if (op->iov_count == 1 && op->iov[0].iov_len <= INT32_MAX)
        io_uring_prep_read(
            entry, op->fd, op->iov[0].iov_base, (unsigned)op->iov[0].iov_len, op->offset);
    else
        io_uring_prep_readv(entry, op->fd, op->iov, op->iov_count, op->offset);
}

static void prepare_write(struct io_op *op, struct io_uring_sqe *entry)
{
    int flags = (op->write_flags & IO_WRITE_DSYNC) != 0 ? RWF_DSYNC : 0;
    if (op->iov_count == 1 && op->iov[0].iov_len <= INT32_MAX)
        io_uring_prep_write(
            entry, op->fd, op->iov[0].iov_base, (unsigned)op->iov[0].iov_len, op->offset);
    else
        io_uring_prep_writev(entry, op->fd, op->iov, op->iov_count, op->offset);
    entry->rw_flags = flags;
}

/* fdatasync of a directory may leave out an entry that did not make it grow. */
static void prepare_sync(struct uring *uring, struct io_op *op, struct io_uring_sqe *entry)
{
    bool is_directory = uring_fd_nature(uring, op->fd) == FD_DIRECTORY;
    io_uring_prep_fsync(entry, op->fd, is_directory ? 0 : IORING_FSYNC_DATASYNC);
}

static void prepare_range(struct io_op *op, struct io_uring_sqe *entry)
{
    int mode = op->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
    io_uring_prep_fallocate(entry, op->fd, mode, (off_t)op->offset, (off_t)op->size);
}

static void prepare_name_change(struct io_op *op, struct io_uring_sqe *entry)
{
    int directory = plain_directory(op);
    bool is_directory = (op->open_flags & IO_OPEN_DIRECTORY) != 0;
    if (op->kind == IO_RENAME)
        io_uring_prep_renameat(entry, directory, op->path, directory, op->path_to, 0);
    else if (op->kind == IO_UNLINK)
        io_uring_prep_unlinkat(entry, directory, op->path, is_directory ? AT_REMOVEDIR : 0);
    else
        io_uring_prep_mkdirat(entry, directory, op->path, DIRECTORY_MODE);
}

static void prepare_accept(struct io_op *op, struct io_uring_sqe *entry)
{
    struct uring_op *state = uring_op_of(op);
    state->address_size = sizeof state->address;
    io_uring_prep_accept(entry, op->fd, &state->address.any, &state->address_size, SOCK_CLOEXEC);
}

static void prepare_connect(struct io_op *op, struct io_uring_sqe *entry)
{
    struct uring_op *state = uring_op_of(op);
    state->address_size = socket_address_encode(op->address, &state->address);
    io_uring_prep_connect(entry, state->fd, &state->address.any, state->address_size);
}

/* The kernel reads the header when it takes the entry; until then nobody else uses this entry. */
static void prepare_send(struct uring *uring, struct io_op *op, struct io_uring_sqe *entry)
{
    if (op->iov_count == 1) {
        io_uring_prep_send(entry, op->fd, op->iov[0].iov_base, op->iov[0].iov_len, MSG_NOSIGNAL);
        return;
    }
    struct msghdr *header = &uring->headers[entry - uring->ring.sq.sqes];
    *header = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->iov};
    header->msg_iovlen = op->iov_count;
    io_uring_prep_sendmsg(entry, op->fd, header, MSG_NOSIGNAL);
}

static void prepare(struct uring *uring, struct io_op *op, struct io_uring_sqe *entry)
{
    switch (op->kind) {
    case IO_OPEN:
    case IO_STAT:
        return prepare_open(op, entry);
    case IO_READ:
        return prepare_read(op, entry);
    case IO_WRITE:
        return prepare_write(op, entry);
    case IO_SYNC:
        return prepare_sync(uring, op, entry);
    case IO_ALLOCATE:
    case IO_PUNCH:
        return prepare_range(op, entry);
    case IO_RESIZE:
        return io_uring_prep_rw(OPERATION_FTRUNCATE, entry, op->fd, NULL, 0, op->size);
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        return prepare_name_change(op, entry);
    case IO_ACCEPT:
        return prepare_accept(op, entry);
    case IO_CONNECT:
        return prepare_connect(op, entry);
    case IO_RECV:
        return io_uring_prep_recv(entry, op->fd, op->iov[0].iov_base, op->iov[0].iov_len, 0);
    case IO_SEND:
        return prepare_send(uring, op, entry);
    default:
        UNREACHABLE("a kind that the ring does not know");
    }
}

static bool start_in_ring(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *entry = uring_entry(uring);
    if (entry == NULL)
        return false;
    prepare(uring, op, entry);
    io_uring_sqe_set_data(entry, op);
    uring_op_of(op)->place = URING_PLACE_RING;
    return true;
}

static bool write_is_plain(struct uring *uring, const struct io_op *op)
{
    return (op->write_flags & IO_WRITE_DSYNC) == 0 && uring_fd_nature(uring, op->fd) == FD_BUFFERED;
}

/* What ends inside submit, although its wake does not. */
static bool is_plain(struct uring *uring, const struct io_op *op)
{
    switch (op->kind) {
    case IO_NOP:
    case IO_SPACE:
    case IO_LOCK:
    case IO_LISTEN:
    case IO_SHUTDOWN:
        return true;
    case IO_STAT:
        return op->path == NULL;
    case IO_RESIZE:
        return !uring->has_ftruncate;
    case IO_WRITE:
        return write_is_plain(uring, op);
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        return !plain_paths_stay_beneath(op); /* ends with the refusal */
    default:
        return false;
    }
}

static void submit_to_ring(struct uring *uring, struct io_op *op)
{
    struct uring_op *state = uring_op_of(op);
    if (op->deadline_ns > 0)
        heap_insert(&uring->timers, &state->timer, op->deadline_ns);
    if (!list_is_empty(&uring->backlog) || !start_in_ring(uring, op)) {
        state->place = URING_PLACE_BACKLOG;
        list_push_back(&uring->backlog, &op->link);
    }
}

void uring_submit(struct io *io, struct io_op *op)
{
    struct uring *uring = uring_of(io);
    struct uring_op *state = uring_op_of(op);
    CHECK(op->kind < IO_KIND_COUNT && op->kind != IO_LIST);
    *state = (struct uring_op){.fd = IO_FD_NONE};
    op->link = (struct list){NULL, NULL};
    if (is_plain(uring, op)) {
        uring_finish_later(uring, op, plain_run(op));
        return;
    }
    if (op->kind == IO_TIMER) {
        state->place = URING_PLACE_TIMER;
        heap_insert(&uring->timers, &state->timer, op->deadline_ns);
        return;
    }
    if (op->kind == IO_CONNECT && (state->fd = socket_open(op->address, 0)) < 0) {
        uring_finish_later(uring, op, state->fd);
        return;
    }
    submit_to_ring(uring, op);
}

static bool cancel_in_ring(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *entry = uring_entry(uring);
    if (entry == NULL)
        return false;
    io_uring_prep_cancel(entry, op, 0);
    io_uring_sqe_set_data64(entry, URING_TAG_NONE);
    return true;
}

/* The entry of an operation that is given again later comes after this one in the submission ring,
 * so a cancellation never meets the next use of the same memory. */
static void cancel_begin(struct uring *uring, struct io_op *op)
{
    if (!list_is_empty(&uring->cancels) || !cancel_in_ring(uring, op))
        list_push_back(&uring->cancels, &op->link);
}

static void timer_drop(struct uring *uring, struct uring_op *state)
{
    if (heap_is_linked(&state->timer))
        heap_remove(&uring->timers, &state->timer);
}

static void connect_drop(struct uring *uring, struct uring_op *state)
{
    if (state->fd == IO_FD_NONE)
        return;
    uring_fd_forget(uring, state->fd);
    (void)close(state->fd);
    state->fd = IO_FD_NONE;
}

void uring_cancel(struct io *io, struct io_op *op)
{
    struct uring *uring = uring_of(io);
    struct uring_op *state = uring_op_of(op);
    if (state->place == URING_PLACE_DONE || state->is_cancelled)
        return;
    state->is_cancelled = true;
    if (state->place == URING_PLACE_RING) {
        cancel_begin(uring, op);
        return;
    }
    if (state->place == URING_PLACE_BACKLOG)
        list_remove(&op->link);
    timer_drop(uring, state);
    connect_drop(uring, state);
    uring_finish_later(uring, op, state->is_late ? -ETIME : -ECANCELED);
}

void uring_flush_backlog(struct uring *uring)
{
    while (!list_is_empty(&uring->cancels)) {
        struct io_op *op = CONTAINER_OF(uring->cancels.next, struct io_op, link);
        if (!cancel_in_ring(uring, op))
            return;
        list_remove(&op->link);
    }
    while (!list_is_empty(&uring->backlog)) {
        struct io_op *op = CONTAINER_OF(uring->backlog.next, struct io_op, link);
        if (!start_in_ring(uring, op))
            return;
        list_remove(&op->link);
    }
}

/* A worker thread that was interrupted by the cancellation reports EINTR. */
static int64_t result_of_cancelled(const struct uring_op *state, int64_t result)
{
    if (!state->is_cancelled || (result != -ECANCELED && result != -EINTR))
        return result;
    return state->is_late ? -ETIME : -ECANCELED;
}

static int64_t connect_end(struct uring *uring, struct io_op *op, int64_t result)
{
    struct uring_op *state = uring_op_of(op);
    if (result == 0 && socket_met_itself(state->fd, op->address))
        result = -ECONNREFUSED;
    if (result < 0) {
        connect_drop(uring, state);
        return result;
    }
    uring_fd_forget(uring, state->fd);
    return state->fd;
}

static int64_t stat_end(struct io_op *op, int fd)
{
    int64_t result = plain_stat(fd, op->ret_stat);
    (void)close(fd);
    return result;
}

static int64_t kind_end(struct uring *uring, struct io_op *op, int64_t result)
{
    if (op->kind == IO_CONNECT)
        return connect_end(uring, op, result);
    if (result < 0)
        return result;
    if (op->kind == IO_STAT)
        return stat_end(op, (int)result);
    if (op->kind == IO_ACCEPT && op->address != NULL)
        socket_address_decode(&uring_op_of(op)->address, op->address);
    if (op->kind == IO_ACCEPT || op->kind == IO_OPEN)
        uring_fd_forget(uring, (int)result);
    return result;
}

void uring_op_ended(struct uring *uring, struct io_op *op, int result)
{
    struct uring_op *state = uring_op_of(op);
    timer_drop(uring, state);
    if (list_is_linked(&op->link)) /* its cancellation has not even started */
        list_remove(&op->link);
    int64_t final = result_of_cancelled(state, result);
    io_complete(&uring->io, op, kind_end(uring, op, final));
}
