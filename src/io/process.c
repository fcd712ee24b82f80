#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

bool process_is_terminal(enum standard_stream stream)
{
    return isatty((int)stream) == 1;
}

unsigned process_terminal_width(enum standard_stream stream)
{
    struct winsize size;
    if (ioctl((int)stream, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

const char *process_host_name(char *text)
{
    if (gethostname(text, HOST_NAME_SIZE) != 0 || text[0] == '\0')
        memcpy(text, "localhost", sizeof "localhost");
    text[HOST_NAME_SIZE - 1] = '\0';
    return text;
}

uint32_t process_id(void)
{
    return (uint32_t)getpid();
}

err_t process_stream_open(
    struct io *io, enum standard_stream stream, struct owner *owner, struct io_handle *ret)
{
    int fd = fcntl((int)stream, F_DUPFD_CLOEXEC, STANDARD_ERROR + 1);
    if (fd < 0 && errno == EBADF)
        return ERR(FAILED, errno);
    if (fd < 0)
        return ERR(NO_RESOURCE, errno);
    ret->fd = fd;
    ret->held = (struct held){.link = {NULL, NULL}};
    ledger_enter(&io->ledger, &ret->held, .kind = HELD_FD, .life = LIFE_PROCESS, .handle = fd,
        .owner = owner);
    return ERR_OK;
}

static uint64_t ns_of_timeval(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

struct process_cpu process_cpu(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return (struct process_cpu){0, 0};
    return (struct process_cpu){ns_of_timeval(usage.ru_utime), ns_of_timeval(usage.ru_stime)};
}
