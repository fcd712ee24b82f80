/* What a tracker's status says about the storages of the cluster. */
#ifndef CAIRN_BIN_CLUSTER_VIEW_H
#define CAIRN_BIN_CLUSTER_VIEW_H

#include "bin/session.h"

enum { CLUSTER_STORAGES_MAX = 256, CLUSTER_NAME_MAX = 40, STATUS_TEXT_MAX = 1 << 20 };

struct cluster_storage {
    struct io_address address;
    char group[GROUP_NAME_MAX + 1];
    char pool[CLUSTER_NAME_MAX];
    char state[CLUSTER_NAME_MAX]; /* "running", "csyncing" ..., "dead", "left" */
    uint32_t machine;
    uint64_t age_ms; /* since it was heard last */
    uint64_t free_bytes, total_bytes;
    uint64_t mounts_online, mounts_total;
    uint64_t lag_records, lag_ms; /* behind the others of its group */
    bool is_running, is_draining;
    bool is_alive;          /* its heartbeats come */
    bool is_first_of_group; /* the first running one */
};

struct cluster_view {
    struct cluster_storage storages[CLUSTER_STORAGES_MAX];
    size_t count;
};

/** Read the status of a tracker (src/tracker/status.h). False: it is none. */
MUST bool cluster_view_parse(struct cluster_view *view, const char *text);

/** Ask the trackers. False: the failure has been said and counted. */
MUST bool cluster_view_load(struct cluster_view *view, struct session *session);

/** The status of `server` (family 0: a tracker) as JSON text with NUL, in a block of session->mem
 * that the caller gives back. On failure the sentence is in `op`.
 * Errors: NO_RESOURCE, TOO_LARGE, and how the operation ended. */
MUST err_t status_fetch(struct session *session, const struct io_address *server, const char *what,
    struct client_op *op, char **ret_text);

#endif
