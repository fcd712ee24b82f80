#include "tests/bench/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/crc.h"

/* Small uploads, durable: a record (the head, the body) in the staging of the open commit; a commit
 * is one O_DIRECT|RWF_DSYNC write of all of them, rounded up to pages, into a zeroed file that is
 * used round and round.
 *
 * Small uploads, in memory: at the end of a turn one pwritev of all that came in it.
 *
 * Large uploads: pwrite of each piece to a place of its own in an allocated file; a commit is one
 * fdatasync for all that are complete. Past the page cache, a connection waits for the write of its
 * piece before it receives the next; the other connections go on. */
enum { LOG_SIZE = 256 << 20 };
#define FILE_SIZE (UINT64_C(4) << 30)

static bool is_large(const struct server *server)
{
    return server->cell->size > INLINE_MAX;
}

static bool is_durable(const struct server *server)
{
    return server->cell->work != WORK_PUT_MEMORY;
}

static bool has_staging(const struct server *server)
{
    return is_durable(server) && !is_large(server);
}

/* ---- open, close ---- */

static void commit_clear(struct commit *commit)
{
    commit->first = NULL;
    commit->last = &commit->first;
    commit->staged = 0;
    commit->is_busy = false;
}

void puts_open(struct server *server)
{
    const struct cell *cell = server->cell;
    size_t record = HEAD_SIZE + cell->size;
    server->log_size = is_large(server) ? FILE_SIZE : LOG_SIZE;
    bool is_direct = has_staging(server) || cell->work == WORK_PUT_DIRECT;
    server->log_fd = log_file_open(
        cell->directory, server->log_size, is_direct ? O_DIRECT : 0, !is_large(server));
    server->staging_size = has_staging(server) ? round_up(record * cell->client_count, PAGE) : 0;
    CHECK(cell->in_flight >= 1 && cell->in_flight < COMMITS_MAX);
    for (size_t i = 0; i <= cell->in_flight; i++) {
        if (server->staging_size > 0)
            server->commits[i].staging = pages_new(server->staging_size);
        commit_clear(&server->commits[i]);
    }
    server->open = &server->commits[0];
}

void puts_close(struct server *server)
{
    for (size_t i = 0; i <= server->cell->in_flight; i++)
        if (server->staging_size > 0)
            pages_free(server->commits[i].staging, server->staging_size);
    (void)close(server->log_fd);
}

/** A place of `size` bytes in the log. */
static uint64_t log_take(struct server *server, uint64_t size)
{
    if (server->log_at + size > server->log_size)
        server->log_at = 0;
    uint64_t at = server->log_at;
    server->log_at += size;
    return at;
}

/* ---- one upload ---- */

static void complete(struct server *server, struct conn *conn)
{
    CHECK(conn->crc == get_u32(conn->head + 16)); /* both ends are ours */
    if (has_staging(server)) {
        struct commit *commit = server->open;
        size_t size = HEAD_SIZE + server->cell->size;
        memcpy(commit->staging + commit->staged, conn->head, size);
        commit->staged += size;
    }
    conn->next = NULL;
    *server->open->last = conn;
    server->open->last = &conn->next;
}

static void next_piece(struct server *server, struct conn *conn)
{
    if (conn->got == HEAD_SIZE + server->cell->size)
        complete(server, conn);
    else
        conn_receive(server, conn);
}

static void write_piece(struct server *server, struct conn *conn, uint64_t offset, size_t size)
{
    if (offset == 0)
        conn->file_offset = log_take(server, server->cell->size);
    uint64_t at = conn->file_offset + offset;
    uint8_t *piece = conn->head + HEAD_SIZE;
    if (server->cell->work == WORK_PUT_DIRECT) {
        struct io_uring_sqe *sqe = ring_sqe(&server->ring);
        io_uring_prep_write(sqe, server->log_fd, piece, (unsigned)size, at);
        sqe_name(sqe, conn, TAG_PIECE);
        return;
    }
    CHECK(pwrite(server->log_fd, piece, size, (off_t)at) == (ssize_t)size);
    next_piece(server, conn);
}

void put_written(struct server *server, struct conn *conn, int result)
{
    CHECK(result > 0);
    next_piece(server, conn);
}

void put_received(struct server *server, struct conn *conn, size_t size)
{
    uint64_t piece = server->buffer_size - PAGE, whole = HEAD_SIZE + server->cell->size;
    conn->got += size;
    uint64_t got = conn->got < HEAD_SIZE ? 0 : conn->got - HEAD_SIZE; /* of the body */
    if (got == 0 || (got % piece != 0 && conn->got < whole))
        return conn_receive(server, conn);
    size_t full = got % piece == 0 ? piece : got % piece;
    conn->crc = crc32_update(conn->crc, conn->head + HEAD_SIZE, full);
    if (is_large(server))
        write_piece(server, conn, got - full, full);
    else
        complete(server, conn);
}

/* ---- commits ---- */

static void write_together(struct server *server, struct commit *commit)
{
    struct iovec iov[CONNECTIONS_MAX];
    int count = 0;
    uint64_t size = 0;
    for (struct conn *conn = commit->first; conn; conn = conn->next) {
        iov[count++] = (struct iovec){conn->head, HEAD_SIZE + server->cell->size};
        size += HEAD_SIZE + server->cell->size;
    }
    off_t at = (off_t)log_take(server, size);
    CHECK(pwritev(server->log_fd, iov, count, at) == (ssize_t)size);
}

static struct commit *commit_free(struct server *server)
{
    for (size_t i = 0; i <= server->cell->in_flight; i++)
        if (!server->commits[i].is_busy && &server->commits[i] != server->open)
            return &server->commits[i];
    return NULL;
}

static void commit_start(struct server *server, struct commit *commit)
{
    struct io_uring_sqe *sqe = ring_sqe(&server->ring);
    if (is_large(server)) {
        io_uring_prep_fsync(sqe, server->log_fd, IORING_FSYNC_DATASYNC);
    } else {
        size_t size = round_up(commit->staged, PAGE);
        uint64_t at = log_take(server, size);
        io_uring_prep_write(sqe, server->log_fd, commit->staging, (unsigned)size, at);
        sqe->rw_flags = RWF_DSYNC;
    }
    sqe_name(sqe, commit, TAG_COMMIT);
}

void puts_commit(struct server *server)
{
    struct commit *commit = server->open;
    if (!commit->first)
        return;
    if (!is_durable(server)) {
        if (!is_large(server))
            write_together(server, commit);
        return puts_committed(server, commit, 0);
    }
    struct commit *next = commit_free(server);
    if (!next)
        return; /* as many as may are under way: what comes meanwhile joins this one */
    commit->is_busy = true;
    server->open = next;
    commit_start(server, commit);
}

void puts_committed(struct server *server, struct commit *commit, int result)
{
    struct conn *next;
    CHECK(result >= 0);
    server->commit_count++;
    for (struct conn *conn = commit->first; conn; conn = next) {
        next = conn->next;
        conn_acknowledge(server, conn);
    }
    commit_clear(commit);
}
