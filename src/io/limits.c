#include "io/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const __rlimit_resource_t resources[LIMIT_COUNT] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK};

static uint64_t limit_decode(rlim_t value)
{
    return value == RLIM_INFINITY ? UINT64_MAX : (uint64_t)value;
}

struct limit limit_get(enum limit_kind kind)
{
    struct rlimit limit;
    CHECK(kind < LIMIT_COUNT);
    CHECK(getrlimit(resources[kind], &limit) == 0);
    return (struct limit){limit_decode(limit.rlim_cur), limit_decode(limit.rlim_max)};
}

struct limit limit_raise(enum limit_kind kind)
{
    struct rlimit limit;
    CHECK(kind < LIMIT_COUNT);
    CHECK(getrlimit(resources[kind], &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(resources[kind], &limit);
    return limit_get(kind);
}

unsigned limits_cpu_count(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return (unsigned)CPU_COUNT(&allowed);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than a cpu_set_t has */
    return online > 0 ? (unsigned)online : 1;
}

/* UINT64_MAX: no control group, or no limit ("max"). */
static uint64_t group_memory_size(void)
{
    char text[32];
    int fd = open("/sys/fs/cgroup/memory.max", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return UINT64_MAX;
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0 || text[0] < '0' || text[0] > '9')
        return UINT64_MAX;
    text[size] = '\0';
    return strtoull(text, NULL, 10);
}

uint64_t limits_memory_size(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    CHECK(pages > 0 && page_size > 0);
    uint64_t host = (uint64_t)pages * (uint64_t)page_size, group = group_memory_size();
    return group < host ? group : host;
}
