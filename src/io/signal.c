#include "io/signal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

static sigset_t watched_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

void signal_block(void)
{
    sigset_t set = watched_signals();
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

static void watch_end(struct signal_watch *watch)
{
    io_handle_close(watch->io, &watch->handle);
    owner_close(&watch->owner);
}

static void watch_read(struct signal_watch *watch)
{
    io_submit(watch->io, &watch->op);
}

static void watch_wake(struct io_op *op)
{
    struct signal_watch *watch = op->context;
    if (!watch->is_ending && op->result == sizeof watch->info)
        watch->callback(
            watch, watch->info.ssi_signo == SIGHUP ? SIGNAL_WISH_RELOAD : SIGNAL_WISH_END);
    if (watch->is_ending)
        watch_end(watch);
    else
        watch_read(watch); /* also after a refusal of the ledger: a signal must not be lost */
}

static void handle_enter(struct signal_watch *watch, int fd)
{
    watch->handle.fd = fd;
    ledger_enter(&watch->io->ledger, &watch->handle.held, .kind = HELD_FD, .life = LIFE_PROCESS,
        .handle = fd, .owner = &watch->owner);
}

err_t signal_watch(
    struct io *io, struct signal_watch *watch, signal_watch_fn *callback, void *context)
{
    sigset_t set = watched_signals();
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0)
        return ERR(NO_RESOURCE, errno);
    *watch = (struct signal_watch){
        .callback = callback, .context = context, .io = io, .handle = IO_HANDLE_NONE};
    owner_open(&watch->owner, "signals", DIRECTION_OWN, io_now(io));
    handle_enter(watch, fd);
    watch->iov = (struct iovec){&watch->info, sizeof watch->info};
    watch->op = (struct io_op){.wake = watch_wake,
        .owner = &watch->owner,
        .kind = IO_READ,
        .fd = fd,
        .iov = &watch->iov,
        .iov_count = 1,
        .offset = IO_OFFSET_STREAM,
        .context = watch};
    watch_read(watch);
    return ERR_OK;
}

void signal_unwatch(struct signal_watch *watch)
{
    if (watch->is_ending)
        return;
    watch->is_ending = true;
    io_cancel(watch->io, &watch->op); /* in the callback it is not out: its wake ends the watch */
}

bool signal_watch_is_idle(const struct signal_watch *watch)
{
    return watch->handle.fd == IO_FD_NONE;
}
