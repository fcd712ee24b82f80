/* A tracker as a part of a process: its keys, its life on a loop. */
#ifndef CAIRN_BIN_TRACKER_ROLE_H
#define CAIRN_BIN_TRACKER_ROLE_H

#include "bin/server.h"
#include "tracker/tracker.h"

struct tracker_settings {
    const char *listen, *fastdfs_listen, *http_listen;
    bool fastdfs_wide;
    uint64_t max_storages, max_groups, max_pools, max_connections;
    uint64_t heartbeat_ns, dead_ns, claim_ns, drain_ns;
    const char *client_secret_file, *node_secret_file;
    uint32_t balance; /* enum balance_policy */
};

extern const struct config_table tracker_settings_table;

/** The role's configuration from its keys; problems are noted, descriptors are summed. */
void tracker_settings_take(
    struct server *server, const struct tracker_settings *settings, struct tracker_config *ret);

/** What a tracker holds of descriptors, without its loop. */
uint64_t tracker_role_descriptors(const struct tracker_config *config);
/** The same, with its loop, for the budget of a process. */
void tracker_role_sum(struct server *server, const struct tracker_config *config);

struct tracker_role {
    struct io *io;
    struct mem mem;
    struct event_log log;
    struct tracker tracker;
    struct io_op timer; /* the end of patience, once draining */
    struct owner owner;
    bool is_draining;
};

/** Open on `io`; alone: no other role in this process looks at what is held. Errors: those of tracker_open(); nothing is held then. */
MUST err_t tracker_role_open(struct tracker_role *role, const struct server *server, struct io *io,
    const struct tracker_config *config, bool is_alone);
/** Let what is under way end, for at most `drain_ns`; the second time: at once. */
void tracker_role_drain(struct tracker_role *role, uint64_t drain_ns);
/** It was told to end, and has. */
bool tracker_role_is_over(const struct tracker_role *role);
void tracker_role_close(struct tracker_role *role);

#endif
