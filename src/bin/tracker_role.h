/* A tracker as a part of a process: its keys, its life on a loop. */
#ifndef CAIRN_BIN_TRACKER_ROLE_H
#define CAIRN_BIN_TRACKER_ROLE_H

#include "bin/server.h"
#include "io/loop.h"
#include "io/signal.h"
#include "tracker/tracker.h"

struct tracker_settings {
    const char *listen;
    uint64_t max_storages, max_groups, max_pools, max_connections;
    uint64_t heartbeat_ns, dead_ns;
    uint32_t balance; /* enum balance_policy */
};

extern const struct config_table tracker_settings_table;

/** The role's configuration from its keys; problems are noted, descriptors are summed. */
void tracker_settings_take(
    struct server *server, const struct tracker_settings *settings, struct tracker_config *ret);

struct tracker_role {
    struct server *server;
    struct io *io;
    struct mem mem;
    struct event_log log;
    struct tracker tracker;
    struct signal_watch signals;
    struct io_op timer; /* the end of patience, once draining */
    struct owner owner;
    bool is_draining;
};

/** Open on `io` and watch the signals. Errors: those of tracker_open(); nothing is held then. */
MUST err_t tracker_role_open(struct tracker_role *role, struct server *server, struct io *io,
    const struct tracker_config *config);
/** It was told to end, and has. */
bool tracker_role_is_over(const struct tracker_role *role);
void tracker_role_close(struct tracker_role *role);

#endif
