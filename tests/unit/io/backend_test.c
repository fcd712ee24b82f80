#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/io/fixture.h"

/* From here on io_uring_setup ends with `error` in this process, as container runtimes do it. */
static void forbid_io_uring(uint32_t error)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_io_uring_setup},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};
    EXPECT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

/* In a process of its own: a filter stays, and so does the environment. */
static void apart(void (*check)(uint32_t error), uint32_t error)
{
    int status;
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        (void)unsetenv("CAIRN_IO_BACKEND");
        check(error);
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

static void expect_choice(enum backend_choice asked, enum backend_choice expected)
{
    struct io *io = NULL;
    EXPECT_OK(backend_io_new(&(struct backend_options){.choice = asked}, &io));
    EXPECT_EQ(backend_choice_of(io), expected);
    EXPECT_TEXT(io->backend->name, backend_choices[expected]);
    io->backend->free(io);
}

static void check_forbidden(uint32_t error)
{
    struct io *io = NULL;
    forbid_io_uring(error);
    expect_choice(BACKEND_AUTO, BACKEND_EPOLL);
    err_t err = backend_io_new(&(struct backend_options){.choice = BACKEND_IO_URING}, &io);
    EXPECT_ERR(err, UNSUPPORTED);
    EXPECT_EQ(err.os, (int)error);
    EXPECT(io == NULL && strstr(backend_explain(err), "io_uring") != NULL);
    EXPECT_OK(backend_io_new(&(struct backend_options){.choice = BACKEND_AUTO}, &io));
    EXPECT(strstr(backend_why(io, BACKEND_AUTO), "seccomp") != NULL);
    EXPECT(backend_why(io, BACKEND_EPOLL) == NULL);
    io->backend->free(io);
}

TEST(where_io_uring_is_forbidden_epoll_is_taken)
{
    apart(check_forbidden, EPERM);
    apart(check_forbidden, ENOSYS);
}

static void check_environment(uint32_t unused)
{
    struct io *io = NULL;
    (void)unused;
    EXPECT_EQ(setenv("CAIRN_IO_BACKEND", "epoll", 1), 0);
    expect_choice(BACKEND_AUTO, BACKEND_EPOLL);
    expect_choice(BACKEND_EPOLL, BACKEND_EPOLL);
    EXPECT_EQ(setenv("CAIRN_IO_BACKEND", "threads", 1), 0);
    expect_choice(BACKEND_EPOLL, BACKEND_EPOLL); /* what is asked for counts more */
    err_t err = backend_io_new(&(struct backend_options){.choice = BACKEND_AUTO}, &io);
    EXPECT_ERR(err, USAGE);
    EXPECT(strstr(backend_explain(err), "CAIRN_IO_BACKEND") != NULL);
}

TEST(the_environment_chooses_where_nobody_else_does)
{
    apart(check_environment, 0);
}

static void check_allowed(uint32_t unused)
{
    struct io *io;
    (void)unused;
    if (err_is(backend_io_new(&(struct backend_options){.choice = BACKEND_IO_URING}, &io)))
        return; /* not on this host */
    EXPECT(backend_why(io, BACKEND_AUTO) == NULL);
    io->backend->free(io);
    expect_choice(BACKEND_AUTO, BACKEND_IO_URING);
    EXPECT_EQ(setenv("CAIRN_IO_BACKEND", "epoll", 1), 0);
    expect_choice(BACKEND_IO_URING, BACKEND_IO_URING);
}

TEST(where_io_uring_is_allowed_it_is_taken)
{
    apart(check_allowed, 0);
}
