/* Signals as completions of a loop: nothing runs in a handler.
 *
 *   signal_block (main, before any thread) -> signal_watch (one loop) -> signal_unwatch */
#ifndef CAIRN_IO_SIGNAL_H
#define CAIRN_IO_SIGNAL_H

#include <sys/signalfd.h>

#include "io/io.h"

/** Block SIGTERM, SIGINT and SIGHUP in this thread and in those it makes later, and ignore SIGPIPE.
 * Call it before the first thread is made: a thread without it would take the signal and die. */
void signal_block(void);

enum signal_wish {
    SIGNAL_WISH_END,    /* SIGTERM, SIGINT */
    SIGNAL_WISH_RELOAD, /* SIGHUP */
};

struct signal_watch;
typedef void signal_watch_fn(struct signal_watch *watch, enum signal_wish wish);

struct signal_watch {
    signal_watch_fn *callback;
    void *context;
    struct io *io;
    struct owner owner;
    struct io_handle handle;
    struct io_op op;
    struct iovec iov;
    struct signalfd_siginfo info;
    bool is_ending;
};

/** Call `callback` in a turn of `io` for each signal. Two equal signals that come close together
 * may be one call. `watch` stays put until it is idle.
 * Errors: NO_RESOURCE (no descriptor). */
MUST err_t signal_watch(
    struct io *io, struct signal_watch *watch, signal_watch_fn *callback, void *context);

/** End the watch; `watch` is idle after some turns more. The callback may call this. */
void signal_unwatch(struct signal_watch *watch);
bool signal_watch_is_idle(const struct signal_watch *watch);

#endif
