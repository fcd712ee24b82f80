#include "io/socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

socklen_t socket_address_encode(const struct io_address *address, union socket_address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (address->family == 4) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(address->port);
        memcpy(&ret->v4.sin_addr, address->bytes, sizeof ret->v4.sin_addr);
        return sizeof ret->v4;
    }
    if (address->family == 6) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(address->port);
        memcpy(&ret->v6.sin6_addr, address->bytes, sizeof ret->v6.sin6_addr);
        return sizeof ret->v6;
    }
    return 0;
}

void socket_address_decode(const union socket_address *from, struct io_address *ret)
{
    *ret = (struct io_address){.family = 0};
    if (from->any.sa_family == AF_INET) {
        ret->family = 4;
        ret->port = ntohs(from->v4.sin_port);
        memcpy(ret->bytes, &from->v4.sin_addr, sizeof from->v4.sin_addr);
    } else if (from->any.sa_family == AF_INET6) {
        ret->family = 6;
        ret->port = ntohs(from->v6.sin6_port);
        memcpy(ret->bytes, &from->v6.sin6_addr, sizeof from->v6.sin6_addr);
    }
}

static int socket_switch_on(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof on) == 0 ? 0 : -errno;
}

/* Cubic is not allowed everywhere, reno is; a kernel that refuses both keeps its default. */
static int socket_tune(int fd)
{
    static const char cubic[] = "cubic", reno[] = "reno";
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic, sizeof cubic - 1) != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof reno - 1);
    return socket_switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
}

int socket_open(const struct io_address *address, int flags)
{
    if (address->family != 4 && address->family != 6)
        return -EAFNOSUPPORT;
    int family = address->family == 4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    int result = socket_tune(fd);
    if (result < 0) {
        (void)close(fd);
        return result;
    }
    return fd;
}

bool socket_met_itself(int fd, const struct io_address *address)
{
    union socket_address own;
    socklen_t size = sizeof own;
    struct io_address name;
    if (!io_address_is_loopback(address) || getsockname(fd, &own.any, &size) != 0)
        return false;
    socket_address_decode(&own, &name);
    return name.port == address->port && memcmp(name.bytes, address->bytes, sizeof name.bytes) == 0;
}

/* return the CPU that handles the connection, modulo the number of listeners */
static int socket_steer_by_cpu(int fd, unsigned listen_count)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, listen_count},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};
    int done = setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
    return done == 0 ? 0 : -errno;
}

/* The first of a group binds alone, so that a foreign listener on the port is noticed (with
 * SO_REUSEPORT on both sides the kernel would let them share it); then it opens the group. */
static int socket_bind(int fd, const struct io_op *op)
{
    union socket_address address;
    socklen_t size = socket_address_encode(op->address, &address);
    bool is_first = op->listen_index == 0;
    int result = socket_switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (result == 0 && op->address->family == 6)
        result = socket_switch_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (result == 0 && !is_first)
        result = socket_switch_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (result == 0 && bind(fd, &address.any, size) != 0)
        result = -errno;
    if (result == 0 && is_first && op->listen_count > 1)
        result = socket_switch_on(fd, SOL_SOCKET, SO_REUSEPORT);
    return result;
}

static int socket_begin_listening(int fd, const struct io_op *op)
{
    if (listen(fd, LISTEN_BACKLOG) != 0)
        return -errno;
    union socket_address address;
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size) != 0)
        return -errno;
    socket_address_decode(&address, op->address);
    if (op->listen_index == 0 && op->listen_count > 1)
        return socket_steer_by_cpu(fd, op->listen_count);
    return 0;
}

int socket_listen(struct io_op *op)
{
    int fd = socket_open(op->address, 0);
    if (fd < 0)
        return fd;
    int result = socket_bind(fd, op);
    if (result == 0)
        result = socket_begin_listening(fd, op);
    if (result < 0) {
        (void)close(fd);
        return result;
    }
    return fd;
}
