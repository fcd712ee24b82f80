/* The nodes of a cluster for verbs that ask each: those that were named, else trackers and all storages
 * that a tracker knows to be alive. */
#ifndef CAIRN_BIN_NODES_H
#define CAIRN_BIN_NODES_H

#include <jansson.h>

#include "bin/cluster_view.h"

enum { NODES_MAX = CLUSTER_STORAGES_MAX + 8, NODE_NAME_MAX = 64 };

struct node {
    char name
        [NODE_NAME_MAX]; /* "m001", "tracker" (of several: "tracker-10.0.0.1:7700"), or the address that was given */
    struct io_address address;
    const struct cluster_storage *storage; /* NULL: a tracker, or named by its address */
};

struct nodes {
    struct cluster_view view;
    struct node all[NODES_MAX];
    size_t count;
};

/** `names`: "m001", "tracker", "HOST:PORT"; none: everybody. False: the failure has been said. */
MUST bool nodes_find(
    struct nodes *nodes, struct session *session, const char *const *names, size_t count);

/** What the node answers to a STATUS request, parsed; the caller's to json_decref. NULL: the failure has
 * been said and counted. */
json_t *node_ask(const struct node *node, struct session *session, const char *what);

/** Numbers of an answer: 0 if it is none. */
uint64_t json_number_of(const json_t *object, const char *key);
/** Text of an answer: "" if it is none. Borrowed. */
const char *json_text_of(const json_t *object, const char *key);

#endif
