/* The nodes of a cluster that a verb for operators asks: all trackers and storages, or one by name. */
#ifndef CAIRN_BIN_NODES_H
#define CAIRN_BIN_NODES_H

#include "bin/cluster_view.h"

enum { NODES_MAX = CLUSTER_STORAGES_MAX + CLIENT_TRACKERS_MAX, NODE_NAME_MAX = 96 };

struct node {
    struct io_address address;
    char name
        [NODE_NAME_MAX]; /* "m001", "tracker 127.0.0.1:7700", or the address that was asked for */
    bool is_tracker;     /* known to be one */
};

struct nodes {
    struct node all[NODES_MAX];
    size_t count;
};

/**
 * `word`: "m001" or "1", a storage that the tracker knows; "HOST:PORT", any server, which no tracker is
 * asked for; NULL: every tracker of the command line and every storage whose heartbeats come.
 * False: the failure has been said and counted.
 */
MUST bool nodes_choose(struct session *session, const char *word, struct nodes *ret);

#endif
