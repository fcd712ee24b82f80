/* The report of a crash: what it says, and that it fits. */
#include "io/panic.h"
#include "io/uring.h"
#include "tests/lib/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct recorder recorder;
static char bytes[64 * 1024];

static void more(const void *context, struct panic_writer *w)
{
    panic_put_text(w, context);
    panic_put_site(w, SITE());
    panic_put_text(w, "\n");
}

static struct panic_source source_of(struct io *io)
{
    memset(&recorder, 0, sizeof recorder);
    io->run.recorder = &recorder;
    return (struct panic_source){
        .role = "storage", .machine = 7, .loops = {io}, .more = more, .context = "rows "};
}

static void fly(struct io *io, unsigned count)
{
    struct owner owner;
    owner_open(&owner, "upload", DIRECTION_SYNC_RECV, 0);
    owner.peer_machine = 2;
    owner.object_origin = 3;
    owner.object_clock = 4711;
    for (unsigned i = 0; i < count; i++)
        recorder_add(&recorder, io_now(io), "upload", i + 1 == count ? "unwind" : "append", &owner,
            i + 1 == count ? ERR_CODE_NO_SPACE : 0);
}

TEST(a_report_names_who_what_and_the_last_events)
{
    struct io *io;
    EXPECT_OK(uring_io_new(&(struct uring_options){.entries = 16}, &io));
    struct panic_source source = source_of(io);
    fly(io, 3000);
    struct panic_writer w = {.fd = -1, .buffer = bytes, .capacity = sizeof bytes - 1};
    panic_report(&source, &w);
    bytes[w.size] = '\0';
    EXPECT(strstr(bytes, " storage m007 process "));
    EXPECT(strstr(bytes, "limits: files "));
    EXPECT(strstr(bytes, "loop 0 holds (most): fd 0 (0) map 0 (0)"));
    EXPECT(strstr(bytes, "rows tests/unit/io/panic_test.c:"));
    EXPECT(strstr(bytes, "the last 96 of 3000 events, newest last\n"));
    const char *last = strstr(bytes, "upload unwind direction=sync-recv peer=m002 origin=m003"
                                     " object=4711 err=NO_SPACE\n");
    EXPECT(last && strchr(last, '\n')[1] == '\0');
    io->backend->free(io);
}

TEST(what_does_not_fit_into_the_buffer_is_cut)
{
    struct io *io;
    EXPECT_OK(uring_io_new(&(struct uring_options){.entries = 16}, &io));
    struct panic_source source = source_of(io);
    fly(io, 50);
    struct panic_writer w = {.fd = -1, .buffer = bytes, .capacity = 100};
    memset(bytes, '#', 200);
    panic_report(&source, &w);
    EXPECT_EQ(w.size, 100);
    EXPECT_EQ(bytes[100], '#');
    io->backend->free(io);
}

/* In a process of its own: its standard error is the pipe. */
static void crash(struct panic_source *source, struct io *io, int number)
{
    panic_install(source);
    panic_enter(source, io);
    (void)raise(number);
    panic_leave(source, io);
    panic_install(NULL);
    _exit(5);
}

static int run_crash(int number, size_t *ret_size)
{
    struct io *io;
    int ends[2], status;
    EXPECT_OK(uring_io_new(&(struct uring_options){.entries = 16}, &io));
    struct panic_source source = source_of(io);
    fly(io, 5);
    EXPECT(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        crash(&source, io, number);
    }
    (void)close(ends[1]);
    *ret_size = 0;
    for (ssize_t size; (size = read(ends[0], bytes + *ret_size, sizeof bytes - 1 - *ret_size)) > 0;)
        *ret_size += (size_t)size;
    bytes[*ret_size] = '\0';
    (void)close(ends[0]);
    EXPECT(waitpid(child, &status, 0) == child);
    io->backend->free(io);
    return status;
}

TEST(a_fatal_signal_is_reported_and_still_ends_the_process)
{
    size_t size;
    int status = run_crash(SIGSEGV, &size);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT(strstr(bytes, "cairn: fatal signal 11 at address 0x"));
    EXPECT(strstr(bytes, "panic_test") || strstr(bytes, "(+0x")); /* the stack */
    EXPECT(strstr(bytes, "the last 5 of 5 events"));
}

TEST(a_wish_is_answered_and_the_process_goes_on)
{
    size_t size;
    int status = run_crash(SIGUSR1, &size);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    EXPECT(!strstr(bytes, "fatal"));
    EXPECT(strstr(bytes, "the last 5 of 5 events"));
}
