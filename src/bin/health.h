/* What is not well in a cluster, by name: pure, from what a tracker tells. */
#ifndef CAIRN_BIN_HEALTH_H
#define CAIRN_BIN_HEALTH_H

#include "base/text.h"
#include "bin/cluster_view.h"

enum { HEALTH_FINDINGS_MAX = 64, HEALTH_SENTENCE_MAX = 160 };

struct finding {
    const char *code;                   /* "DISK_OFFLINE": static */
    char sentence[HEALTH_SENTENCE_MAX]; /* what, where, since when */
    char next[HEALTH_SENTENCE_MAX];     /* the command to type next */
};

struct health {
    struct finding findings[HEALTH_FINDINGS_MAX];
    size_t count;       /* that are told */
    size_t total_count; /* that there are */
    bool is_error;      /* some files cannot be reached; else some are only in danger */
};

void health_judge(const struct cluster_view *view, struct health *ret);

/** "HEALTH_OK", "HEALTH_WARN", "HEALTH_ERR". */
const char *health_name(const struct health *health);

#endif
