/* CPU time that the servers of a cluster have used, as they report it themselves (getrusage, in
 * their status: cpu_user_ns, cpu_system_ns). Roles that share a process are counted once. */
#ifndef CAIRN_BIN_SERVER_CPU_H
#define CAIRN_BIN_SERVER_CPU_H

#include "bin/cluster_view.h"

struct server_cpu {
    struct io_address servers[CLUSTER_STORAGES_MAX + 1];
    size_t count;
};

/** Find the servers. False: they do not tell. */
bool server_cpu_open(struct server_cpu *cpu, struct session *session);

/** User and system time of all of them together so far. False: one did not tell. */
bool server_cpu_read(const struct server_cpu *cpu, struct session *session, uint64_t *ret_ns);

#endif
