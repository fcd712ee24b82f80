/* Stream sockets as this system wants them: close-on-exec from birth, no delay, a congestion
 * control that does not collapse with sendfile (facts, section 2), never SIGPIPE.
 *
 * Results are descriptors or -errno, like those of the operations they serve. */
#ifndef CAIRN_IO_SOCKET_H
#define CAIRN_IO_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "io/io.h"

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/** Returns the size in use, or 0 if `address` has no family. */
socklen_t socket_address_encode(const struct io_address *address, union socket_address *ret);
/** Other families than IPv4 and IPv6 give the address "none". */
void socket_address_decode(const union socket_address *from, struct io_address *ret);

/** A socket that is ready to connect to `address`; `flags`: 0 or SOCK_NONBLOCK. -EAFNOSUPPORT: the
 * address has no family. */
int socket_open(const struct io_address *address, int flags);

/** True for a loopback connection that met itself: the port was free and the kernel chose it as
 * the source port too. Such a connect counts as refused. */
bool socket_met_itself(int fd, const struct io_address *address);

/** IO_LISTEN; writes the real port into *op->address. -EADDRINUSE also if a listener outside of
 * this group has the port.
 *
 * A group (listen_count > 1) shares one port by SO_REUSEPORT, and a connection goes to the member
 * whose place is (CPU of the connection) mod listen_count. Places are given by the kernel in the
 * order of IO_LISTEN: loop 0 listens first (with port 0 it picks the port), hands its address to
 * loop 1 by a message, and so on. Until all listen, connections go to those that do. */
int socket_listen(struct io_op *op);

#endif
