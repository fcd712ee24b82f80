#include "io/host.h"

#include <errno.h>
#include <sched.h>
#include <sys/random.h>
#include <time.h>

#include "base/units.h"

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t host_now_ns(struct io *io)
{
    (void)io;
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t host_wall_ns(struct io *io)
{
    (void)io;
    return clock_ns(CLOCK_REALTIME);
}

uint64_t host_chance_next(struct host_chance *chance)
{
    if (chance->left == 0) {
        ssize_t size;
        do
            size = getrandom(chance->numbers, sizeof chance->numbers, 0);
        while (size < 0 && errno == EINTR);
        CHECK(size > 0);
        chance->left = (unsigned)((size_t)size / sizeof chance->numbers[0]);
    }
    return chance->numbers[--chance->left];
}

/* The first allowed CPU that agrees with `index` (modulo `count`), or -1. */
static int cpu_agreeing(const cpu_set_t *allowed, unsigned index, unsigned count)
{
    for (size_t cpu = index; cpu < CPU_SETSIZE; cpu += count)
        if (CPU_ISSET(cpu, allowed))
            return (int)cpu;
    return -1;
}

static int cpu_by_order(const cpu_set_t *allowed, unsigned index)
{
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && index-- == 0)
            return (int)cpu;
    return -1;
}

static int cpu_choose(const cpu_set_t *allowed, unsigned index, unsigned count)
{
    if (CPU_COUNT(allowed) < (int)count)
        return -1;
    for (unsigned place = 0; place < count; place++)
        if (cpu_agreeing(allowed, place, count) < 0)
            return cpu_by_order(allowed, index);
    return cpu_agreeing(allowed, index, count);
}

void host_pin_thread(uint16_t index, uint16_t count)
{
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    int cpu = cpu_choose(&allowed, index, count);
    if (cpu < 0)
        return;
    CPU_ZERO(&chosen);
    CPU_SET((size_t)cpu, &chosen);
    (void)sched_setaffinity(0, sizeof chosen, &chosen);
}
