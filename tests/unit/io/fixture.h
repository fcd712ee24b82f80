/* What the tests of the backends share: a loop, an owner, a directory of their own. */
#ifndef CAIRN_TESTS_IO_FIXTURE_H
#define CAIRN_TESTS_IO_FIXTURE_H

#include "io/backend.h"
#include "io/epoll.h"
#include "io/uring.h"
#include "tests/lib/test.h"

struct fixture {
    struct io *io;
    struct owner owner;
    struct io_handle directory;
    char path[64];
    int fds_before;
    unsigned woken; /* by fixture_wake */
};

/** On the backend that the environment says (CAIRN_IO_BACKEND), else io_uring if it is allowed. */
void fixture_open(struct fixture *fixture, const struct backend_options *options);
void fixture_open_uring(struct fixture *fixture, const struct uring_options *options);
void fixture_open_epoll(struct fixture *fixture, const struct epoll_options *options);
/** Checks that nothing is held and that the process has as many descriptors as before. */
void fixture_close(struct fixture *fixture);

int fixture_fd_count(void);
/** From another thread: the loop waits, and would be woken by a message. */
bool fixture_is_asleep(struct io *io);
/** io_uring: the next submission entry is refused. */
void fixture_refuse_entry(struct io *io);

/** An operation on `fd` that fixture_run() or io_submit() takes. */
struct io_op fixture_op(struct fixture *fixture, enum io_kind kind, int fd);
/** Submit and turn until it has ended. */
int64_t fixture_run(struct fixture *fixture, struct io_op *op);
/** Turn until `op` has ended. */
void fixture_wait(struct fixture *fixture, const struct io_op *op);

/** IO_OPEN beneath the directory; fails the test if it is refused. */
void fixture_file(
    struct fixture *fixture, const char *name, uint32_t open_flags, struct io_handle *ret);
/** Two ends of a connection over loopback. */
void fixture_connect(
    struct fixture *fixture, struct io_handle *ret_near, struct io_handle *ret_far);
/** A listener on 127.0.0.1, port 0; `address` gets the port. */
void fixture_listen(struct fixture *fixture, struct io_handle *ret, struct io_address *ret_address);

#endif
