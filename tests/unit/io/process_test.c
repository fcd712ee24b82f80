#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/limits.h"
#include "io/process.h"
#include "tests/unit/io/fixture.h"

static const struct backend_options plain_options = {.entries = 16};

TEST(limits_are_read_and_raised_to_the_hard_limit)
{
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {64, before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    EXPECT_EQ(limit_get(LIMIT_FILES).soft, 64);
    EXPECT_EQ(limit_get(LIMIT_FILES).hard, before.rlim_max);
    struct limit raised = limit_raise(LIMIT_FILES);
    EXPECT_EQ(raised.soft, before.rlim_max);
    EXPECT_EQ(limit_get(LIMIT_FILES).soft, before.rlim_max);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct limit locked = limit_get(LIMIT_LOCKED_BYTES);
    EXPECT(locked.soft <= locked.hard);
}

TEST(processors_and_memory_are_counted)
{
    cpu_set_t before, one;
    EXPECT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    EXPECT_EQ(limits_cpu_count(), CPU_COUNT(&before));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(limits_cpu_count(), 1);
    EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    EXPECT(limits_memory_size() > UINT64_C(64) << 20);
}

TEST(host_and_process_have_names)
{
    char text[HOST_NAME_SIZE], expected[HOST_NAME_SIZE];
    EXPECT_EQ(gethostname(expected, sizeof expected), 0);
    EXPECT_TEXT(process_host_name(text), expected);
    EXPECT_EQ(process_id(), getpid());
}

/* Standard input becomes `fd` while `run` runs. */
static void with_input(int fd, void (*run)(void *context), void *context)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 3);
    EXPECT(fd >= 0 ? dup2(fd, 0) == 0 : close(0) == 0);
    run(context);
    EXPECT(saved < 0 ? close(0) == 0 : dup2(saved, 0) == 0);
    if (saved >= 0)
        (void)close(saved);
}

static void expect_terminal(void *context)
{
    EXPECT(process_is_terminal(STANDARD_INPUT));
    EXPECT_EQ(process_terminal_width(STANDARD_INPUT), *(unsigned *)context);
}

static void expect_no_terminal(void *context)
{
    (void)context;
    EXPECT(!process_is_terminal(STANDARD_INPUT));
    EXPECT_EQ(process_terminal_width(STANDARD_INPUT), 0);
}

TEST(a_terminal_is_known_and_has_a_width)
{
    unsigned width = 132;
    int controller = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT(controller >= 0 && grantpt(controller) == 0 && unlockpt(controller) == 0);
    int terminal = open(ptsname(controller), O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {.ws_col = (unsigned short)width, .ws_row = 20};
    EXPECT_EQ(ioctl(controller, TIOCSWINSZ, &size), 0);
    with_input(terminal, expect_terminal, &width);
    (void)close(terminal);
    (void)close(controller);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    with_input(null, expect_no_terminal, NULL);
    (void)close(null);
}

static void read_input(void *context)
{
    struct fixture *fixture = context;
    struct io_handle input = IO_HANDLE_NONE;
    char bytes[8] = {0};
    struct iovec iov = {bytes, 3};
    EXPECT_OK(process_stream_open(fixture->io, STANDARD_INPUT, &fixture->owner, &input));
    EXPECT(input.fd > 2);
    struct io_op op = fixture_op(fixture, IO_READ, input.fd);
    op.iov = &iov;
    op.iov_count = 1;
    op.offset = IO_OFFSET_STREAM;
    EXPECT_EQ(fixture_run(fixture, &op), 3);
    EXPECT_TEXT(bytes, "abc");
    iov.iov_base = bytes + 3;
    EXPECT_EQ(fixture_run(fixture, &op), 2); /* it goes on where it was */
    EXPECT_TEXT(bytes, "abcde");
    EXPECT_EQ(fixture_run(fixture, &op), 0);
    io_handle_close(fixture->io, &input);
    EXPECT(fcntl(0, F_GETFD) >= 0); /* the stream itself is still open */
}

TEST(standard_input_is_read_through_the_seam)
{
    struct fixture fixture;
    int ends[2];
    fixture_open(&fixture, &plain_options);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(write(ends[1], "abcde", 5), 5);
    (void)close(ends[1]);
    with_input(ends[0], read_input, &fixture);
    (void)close(ends[0]);

    struct io_handle file;
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    EXPECT_EQ(pwrite(file.fd, "xxabcde", 7, 0), 7);
    EXPECT_EQ(lseek(file.fd, 2, SEEK_SET), 2); /* somebody has read the first bytes */
    with_input(file.fd, read_input, &fixture);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

static void open_closed_stream(void *context)
{
    struct fixture *fixture = context;
    struct io_handle input = IO_HANDLE_NONE;
    err_t err = process_stream_open(fixture->io, STANDARD_INPUT, &fixture->owner, &input);
    EXPECT_ERR(err, FAILED);
    EXPECT_EQ(input.fd, IO_FD_NONE);
    EXPECT_OK(process_stream_open(fixture->io, STANDARD_ERROR, &fixture->owner, &input));
    EXPECT(input.fd > 2); /* the free number 0 stays free: it would become standard input */
    io_handle_close(fixture->io, &input);
}

TEST(a_stream_that_is_closed_or_finds_no_descriptor_is_an_error)
{
    struct fixture fixture;
    struct io_handle output = IO_HANDLE_NONE;
    struct rlimit before;
    fixture_open(&fixture, &plain_options);
    with_input(-1, open_closed_stream, &fixture);
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {4, before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    err_t err = process_stream_open(fixture.io, STANDARD_ERROR, &fixture.owner, &output);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_ERR(err, NO_RESOURCE);
    fixture_close(&fixture);
}
