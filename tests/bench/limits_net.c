#include "tests/bench/limits.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM_UP_NS (NS_PER_S / 5)

/* One thread of servers on CPU 0 and clients on CPU 1, or as many of both as there are CPUs, each
 * pair on one, with connections steered to the listener of the CPU that they come from. */
struct field {
    const struct cell *cell;
    struct server servers[THREADS_MAX];
    struct load loads[THREADS_MAX];
    pthread_barrier_t start, leave; /* the clients and the main thread */
    unsigned port;
};

/* Large bodies of many clients: time for one of each at least, at 0.5 GB/s. */
static uint64_t duration_ns(const struct cell *cell)
{
    return cell->duration_ns + 2 * cell->size * cell->client_count;
}

static void steer(int listener)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};
    CHECK(
        setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0);
}

static int listen_on(struct field *field)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)field->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    CHECK(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, CONNECTIONS_MAX) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    field->port = ntohs(address.sin_port);
    return fd;
}

static void start_servers(struct field *field)
{
    unsigned count = field->cell->thread_count;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = &field->servers[i];
        server->cell = field->cell;
        server->cpu = i;
        server->listener = listen_on(field);
        server->stop_fd = eventfd(0, EFD_CLOEXEC);
        CHECK(server->stop_fd >= 0);
    }
    if (count > 1)
        steer(field->servers[0].listener);
    for (unsigned i = 0; i < count; i++) {
        struct server *server = &field->servers[i];
        CHECK(pthread_create(&server->thread, NULL, server_run, server) == 0);
        while (!atomic_load(&server->is_ready))
            (void)sched_yield();
    }
}

static void start_clients(struct field *field)
{
    const struct cell *cell = field->cell;
    for (unsigned i = 0; i < cell->thread_count; i++) {
        struct load *load = &field->loads[i];
        *load = (struct load){.cell = cell,
            .cpu = cell->thread_count == 1 ? 1 : i,
            .port = field->port,
            .conn_count = cell->client_count / cell->thread_count
                          + (i < cell->client_count % cell->thread_count),
            .seed = i + 1,
            .start = &field->start,
            .leave = &field->leave};
        CHECK(pthread_create(&load->thread, NULL, load_run, load) == 0);
        while (!atomic_load(&load->is_ready))
            (void)sched_yield(); /* one after the other, so that each connects from its CPU */
    }
}

/** Of the whole process without the clients: so with the workers of the servers' rings. */
static uint64_t server_cpu_ns(const struct field *field)
{
    struct rusage usage;
    clockid_t clock;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    uint64_t sum = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S
                   + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
    for (unsigned i = 0; i < field->cell->thread_count; i++) {
        CHECK(pthread_getcpuclockid(field->loads[i].thread, &clock) == 0);
        sum -= clock_ns(clock);
    }
    return sum;
}

static uint64_t count_commits(const struct field *field)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < field->cell->thread_count; i++)
        count += field->servers[i].commit_count;
    return count;
}

static void meet(pthread_barrier_t *barrier)
{
    int result = pthread_barrier_wait(barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void measure(struct field *field, struct result *ret)
{
    uint64_t begin = clock_ns(CLOCK_MONOTONIC) + WARM_UP_NS;
    uint64_t end = begin + duration_ns(field->cell);
    for (unsigned i = 0; i < field->cell->thread_count; i++) {
        field->loads[i].begin_ns = begin;
        field->loads[i].end_ns = end;
    }
    meet(&field->start);
    wait_until(begin);
    uint64_t cpu_ns = server_cpu_ns(field), commits = count_commits(field);
    uint64_t from = clock_ns(CLOCK_MONOTONIC);
    wait_until(end);
    ret->server_cpu_ns = server_cpu_ns(field) - cpu_ns;
    ret->commits = count_commits(field) - commits;
    ret->duration_ns = clock_ns(CLOCK_MONOTONIC) - from;
    meet(&field->leave);
}

static void collect(struct field *field, struct result *ret)
{
    for (unsigned i = 0; i < field->cell->thread_count; i++) {
        struct load *load = &field->loads[i];
        CHECK(pthread_join(load->thread, NULL) == 0);
        ret->count += load->count;
        ret->latency.count += load->latency.count;
        for (size_t k = 0; k < LATENCY_BUCKETS; k++)
            ret->latency.buckets[k] += load->latency.buckets[k];
        if (load->latency.max_ns > ret->latency.max_ns)
            ret->latency.max_ns = load->latency.max_ns;
    }
}

static void stop_servers(struct field *field)
{
    for (unsigned i = 0; i < field->cell->thread_count; i++) {
        struct server *server = &field->servers[i];
        CHECK(eventfd_write(server->stop_fd, 1) == 0);
        CHECK(pthread_join(server->thread, NULL) == 0);
        (void)close(server->stop_fd);
        (void)close(server->listener);
    }
}

void net_cell_run(const struct cell *cell, struct result *ret)
{
    struct field *field = pages_new(sizeof *field);
    field->cell = cell;
    CHECK(pthread_barrier_init(&field->start, NULL, cell->thread_count + 1) == 0);
    CHECK(pthread_barrier_init(&field->leave, NULL, cell->thread_count + 1) == 0);
    start_servers(field);
    start_clients(field);
    measure(field, ret);
    collect(field, ret);
    stop_servers(field);
    CHECK(pthread_barrier_destroy(&field->start) == 0);
    CHECK(pthread_barrier_destroy(&field->leave) == 0);
    pages_free(field, sizeof *field);
}
