/* The report of a crash: what the process knew. Written by async-signal-safe code only, on a fatal signal
 * (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT: failed checks end there) and on SIGUSR1, to standard error;
 * on demand into a buffer.
 *
 *   panic_install (main) -> panic_enter (each loop's thread) ... -> panic_install(NULL)
 *
 * In it: signal and stack, limits, what every loop holds with high-water marks, rows that the source adds
 * (who holds what, by place), and the last events of every loop. Counts and events are read while other
 * loops go on: each is right, not all of one moment. */
#ifndef CAIRN_IO_PANIC_H
#define CAIRN_IO_PANIC_H

#include "base/recorder.h"
#include "io/io.h"

enum { PANIC_LOOPS_MAX = 64, PANIC_EVENTS = 96 };

/** Where a report goes: a descriptor, or a buffer (what does not fit is cut). */
struct panic_writer {
    int fd; /* -1: the buffer */
    char *buffer;
    size_t size, capacity;
};

void panic_put_text(struct panic_writer *w, const char *text);
void panic_put_number(struct panic_writer *w, uint64_t value);
void panic_put_machine(struct panic_writer *w, uint32_t machine); /* "m001" */
/** "src/storage/intake.c:123 name". */
void panic_put_site(struct panic_writer *w, const struct site *site);

/** What the report is about; fixed while it is installed, but for the loops that enter. */
struct panic_source {
    const char *role;
    uint32_t machine;
    struct io *loops[PANIC_LOOPS_MAX]; /* NULL: has not entered yet */
    /** Add rows. Async-signal-safe. May be NULL. */
    void (*more)(const void *context, struct panic_writer *w);
    const void *context;
};

/** Install the handlers for `source`, which stays put; NULL: no source any more, the handlers stay. */
void panic_install(struct panic_source *source);
/** The calling thread has this loop: a stack of its own for the handler, so that an overflow is told, too. */
void panic_enter(struct panic_source *source, struct io *io);
/** The loop is gone. */
void panic_leave(struct panic_source *source, const struct io *io);

/** The report without signal and stack. */
void panic_report(const struct panic_source *source, struct panic_writer *w);

#endif
