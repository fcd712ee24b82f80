/* What is wrong in a cluster, from what its nodes answer: pure. The nodes find their own leaks
 * (sight/findings.h); here come disks, mirrors, queues, and the traps of a configuration. */
#ifndef CAIRN_BIN_DOCTOR_JUDGE_H
#define CAIRN_BIN_DOCTOR_JUDGE_H

#include <jansson.h>

#include "bin/health.h"

enum { DOCTOR_FINDINGS_MAX = 512, DOCTOR_TEXT_MAX = 400, DOCTOR_NODE_MAX = 64 };

struct doctor_finding {
    unsigned urgency; /* 1: it will fail or has; 2: something is wrong; 3: look at it */
    char node[DOCTOR_NODE_MAX];
    char code[32];
    char sentence[DOCTOR_TEXT_MAX], next[DOCTOR_TEXT_MAX];
    json_t *details; /* of a node's own finding: kind, place, direction ...; NULL: none */
};

struct doctor {
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count, total;
    int64_t clock_least_ms, clock_most_ms; /* of the nodes, against ours */
    bool has_clock;
};

/** A node's own findings: its answer to "doctor". */
void doctor_judge_node(struct doctor *doctor, const char *node, const json_t *answer);
/** A storage's answer to "status". */
void doctor_judge_storage(struct doctor *doctor, const char *node, const json_t *status);
/** The clock of a node: its time and ours, unix seconds. */
void doctor_judge_clock(struct doctor *doctor, uint64_t node_s, uint64_t own_s);
/** What the tracker says of all storages. */
void doctor_judge_cluster(struct doctor *doctor, const struct cluster_view *view);
/** A storage that sends heartbeats and cannot be reached where it says that it is. */
void doctor_judge_unreachable(struct doctor *doctor, const char *node, const char *address);

/** All nodes have been judged: clocks, and the order of urgency. */
void doctor_finish(struct doctor *doctor);
/** Gives back details. */
void doctor_free(struct doctor *doctor);

#endif
