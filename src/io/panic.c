#include "io/panic.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/limits.h"

enum { HANDLER_STACK_SIZE = 64 * 1024, FRAMES_MAX = 48 };

static struct panic_source *installed_source; /* a handler has no other way to it */

/* ---- writing ---- */

static void put(struct panic_writer *w, const char *bytes, size_t size)
{
    if (w->fd >= 0) {
        while (size > 0) {
            ssize_t written = write(w->fd, bytes, size);
            if (written <= 0 && errno != EINTR)
                return;
            bytes += written > 0 ? written : 0;
            size -= written > 0 ? (size_t)written : 0;
        }
        return;
    }
    size_t room = w->capacity - w->size;
    size = size < room ? size : room;
    memcpy(w->buffer + w->size, bytes, size);
    w->size += size;
}

void panic_put_text(struct panic_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_digits(struct panic_writer *w, uint64_t value, unsigned base, unsigned least)
{
    static const char digits[] = "0123456789abcdef";
    char text[24];
    size_t at = sizeof text;
    for (unsigned count = 0; value > 0 || count < least; count++, value /= base)
        text[--at] = digits[value % base];
    put(w, text + at, sizeof text - at);
}

void panic_put_number(struct panic_writer *w, uint64_t value)
{
    put_digits(w, value, 10, 1);
}

void panic_put_machine(struct panic_writer *w, uint32_t machine)
{
    panic_put_text(w, "m");
    put_digits(w, machine, 10, 3);
}

void panic_put_site(struct panic_writer *w, const struct site *site)
{
    const char *file = site->file;
    while (*file == '.' || *file == '/')
        file++;
    panic_put_text(w, file);
    panic_put_text(w, ":");
    panic_put_number(w, (uint64_t)site->line);
    panic_put_text(w, " ");
    panic_put_text(w, site->function);
}

/* ---- parts ---- */

static void put_limits(struct panic_writer *w)
{
    static const char *const names[LIMIT_COUNT] = {"files", "locked bytes"};
    panic_put_text(w, "limits:");
    for (int kind = 0; kind < LIMIT_COUNT; kind++) {
        struct limit limit = limit_get((enum limit_kind)kind);
        panic_put_text(w, " ");
        panic_put_text(w, names[kind]);
        panic_put_text(w, " ");
        panic_put_number(w, limit.soft);
        panic_put_text(w, " of ");
        panic_put_number(w, limit.hard);
    }
    panic_put_text(w, "\n");
}

static void put_held(struct panic_writer *w, const struct io *io)
{
    const struct ledger *ledger = &io->ledger;
    panic_put_text(w, "loop ");
    panic_put_number(w, io->loop_index);
    panic_put_text(w, " holds (most):");
    for (int kind = 0; kind < HELD_COUNT; kind++) {
        panic_put_text(w, " ");
        panic_put_text(w, held_kind_name((enum held_kind)kind));
        panic_put_text(w, " ");
        panic_put_number(w, ledger->count[kind]);
        panic_put_text(w, " (");
        panic_put_number(w, ledger->count_max[kind]);
        panic_put_text(w, ")");
    }
    panic_put_text(w, "; highest descriptor ");
    panic_put_number(w, ledger->fd_max > 0 ? (uint64_t)ledger->fd_max : 0);
    panic_put_text(w, ", memory ");
    panic_put_number(w, ledger->bytes[HELD_MEM]);
    panic_put_text(w, " bytes\n");
}

static void put_event(struct panic_writer *w, const struct recorder_event *event, uint64_t now_ns)
{
    uint64_t ago_us = now_ns > event->at_ns ? (now_ns - event->at_ns) / 1000 : 0;
    panic_put_text(w, "  -");
    panic_put_number(w, ago_us / 1000);
    panic_put_text(w, ".");
    put_digits(w, ago_us % 1000, 10, 3);
    panic_put_text(w, "ms ");
    panic_put_text(w, event->kind);
    panic_put_text(w, " ");
    panic_put_text(w, event->stage);
    panic_put_text(w, " direction=");
    panic_put_text(
        w, direction_name(event->direction < DIRECTION_COUNT ? event->direction : DIRECTION_OWN));
    if (event->peer != 0) {
        panic_put_text(w, " peer=");
        panic_put_machine(w, event->peer);
    }
    if (event->origin != 0) {
        panic_put_text(w, " origin=");
        panic_put_machine(w, event->origin);
    }
    if (event->object != 0) {
        panic_put_text(w, " object=");
        panic_put_number(w, event->object);
    }
    if (event->held > 0) {
        panic_put_text(w, " held=");
        panic_put_number(w, event->held);
    }
    if (event->err != 0) {
        panic_put_text(w, " err=");
        panic_put_text(w, err_name(event->err));
    }
    panic_put_text(w, "\n");
}

static void put_events(struct panic_writer *w, const struct io *io)
{
    const struct recorder *recorder = io->run.recorder;
    if (!recorder)
        return;
    uint64_t count = recorder->next < PANIC_EVENTS ? recorder->next : PANIC_EVENTS;
    panic_put_text(w, "loop ");
    panic_put_number(w, io->loop_index);
    panic_put_text(w, ": the last ");
    panic_put_number(w, count);
    panic_put_text(w, " of ");
    panic_put_number(w, recorder->next);
    panic_put_text(w, " events, newest last\n");
    for (uint64_t i = recorder->next - count; i < recorder->next; i++)
        put_event(w, &recorder->events[i % RECORDER_EVENTS], io->now_ns);
}

void panic_report(const struct panic_source *source, struct panic_writer *w)
{
    panic_put_text(w, "cairn ");
    panic_put_text(w, CAIRN_VERSION);
    panic_put_text(w, " ");
    panic_put_text(w, source->role);
    panic_put_text(w, " ");
    panic_put_machine(w, source->machine);
    panic_put_text(w, " process ");
    panic_put_number(w, (uint64_t)getpid());
    panic_put_text(w, "\n");
    put_limits(w);
    for (size_t i = 0; i < PANIC_LOOPS_MAX; i++)
        if (source->loops[i])
            put_held(w, source->loops[i]);
    if (source->more)
        source->more(source->context, w);
    for (size_t i = 0; i < PANIC_LOOPS_MAX; i++)
        if (source->loops[i])
            put_events(w, source->loops[i]);
}

/* ---- signals ---- */

static void put_signal(struct panic_writer *w, int number, const siginfo_t *info)
{
    panic_put_text(w, "\ncairn: fatal signal ");
    panic_put_number(w, (uint64_t)number);
    panic_put_text(w, " at address 0x");
    put_digits(w, (uint64_t)(uintptr_t)info->si_addr, 16, 1);
    panic_put_text(w, ", thread ");
    panic_put_number(w, (uint64_t)syscall(SYS_gettid));
    panic_put_text(w, "; the stack (addr2line -f -e cairn):\n");
}

static void die(int number, siginfo_t *info, void *context)
{
    struct panic_writer w = {.fd = STDERR_FILENO};
    void *frames[FRAMES_MAX];
    (void)context;
    put_signal(&w, number, info);
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    if (installed_source)
        panic_report(installed_source, &w);
    (void)raise(number); /* the handler was reset: it ends as it would have */
}

static void tell(int number)
{
    struct panic_writer w = {.fd = STDERR_FILENO};
    int kept = errno;
    (void)number;
    if (installed_source)
        panic_report(installed_source, &w);
    errno = kept;
}

void panic_install(struct panic_source *source)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    void *frame;
    struct sigaction action = {.sa_sigaction = die,
        .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    struct sigaction telling = {.sa_handler = tell, .sa_flags = SA_RESTART | SA_ONSTACK};
    installed_source = source;
    if (!source)
        return;
    (void)backtrace(&frame, 1); /* the first call loads a library */
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &action, NULL);
    (void)sigaction(SIGUSR1, &telling, NULL);
}

void panic_enter(struct panic_source *source, struct io *io)
{
    stack_t stack = {.ss_size = HANDLER_STACK_SIZE};
    CHECK(io->loop_index < PANIC_LOOPS_MAX);
    __atomic_store_n(&source->loops[io->loop_index], io, __ATOMIC_RELEASE);
    stack.ss_sp =
        mmap(NULL, HANDLER_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp
        != MAP_FAILED) /* for as long as the thread: the kernel may need it until then */
        (void)sigaltstack(&stack, NULL);
}

void panic_leave(struct panic_source *source, const struct io *io)
{
    stack_t none = {.ss_flags = SS_DISABLE}, old;
    __atomic_store_n(&source->loops[io->loop_index], NULL, __ATOMIC_RELEASE);
    if (sigaltstack(&none, &old) == 0 && (old.ss_flags & SS_DISABLE) == 0)
        (void)munmap(old.ss_sp, old.ss_size);
}
