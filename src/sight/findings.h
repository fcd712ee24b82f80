/* What is wrong in this process, from the last pass: for the log, for `cairn doctor`. */
#ifndef CAIRN_SIGHT_FINDINGS_H
#define CAIRN_SIGHT_FINDINGS_H

#include "base/text.h"
#include "sight/sight.h"

/* code, urgency (1: it will fail; 2: something is wrong; 3: look at it), what to do */
#define FINDING_CODES(X)                                                                           \
    X(LEAK, 1, "it has to be mended there; a restart of this node gives back what has leaked")     \
    X(DESCRIPTORS, 1, "raise the limit of open files, or find out with cairn res fd who has them") \
    X(FORSAKEN, 2, "their clients are gone; it has to be mended there: a restart closes them")     \
    X(UNKNOWN_DESCRIPTORS, 2, "opened past the ledger: look at /proc/PID/fd")                      \
    X(MISSING_DESCRIPTORS, 1, "closed past the ledger: restart this node")                         \
    X(UNKNOWN_MAPPINGS, 2, "mapped past the ledger: look at /proc/PID/maps")                       \
    X(MISSING_MAPPINGS, 1, "unmapped past the ledger: restart this node")                          \
    X(LOOSE_MEMORY, 2, "memory beyond the ledger: look at /proc/PID/smaps")                        \
    X(GROWTH, 2, "find out with cairn res fd --by site what grows, or raise the limit")            \
    X(DISK_SLOW, 2, "look at that disk: smartctl, iostat; a mirror answers meanwhile")             \
    X(OVERDUE, 3, "held for longer than any request takes: cairn res shows by whom")

enum finding_code {
#define X(name, urgency, next) FINDING_##name,
    FINDING_CODES(X)
#undef X
        FINDING_COUNT
};

enum { FINDINGS_MAX = 32, FINDING_SENTENCE_MAX = 320 };

struct sight_finding {
    enum finding_code code;
    const struct census_row *row; /* what it is about; NULL: the whole process */
    uint64_t count;
    int64_t per_minute; /* times 1000 */
    uint64_t limit_s;   /* until the limit is reached; 0: not known */
    char sentence[FINDING_SENTENCE_MAX];
};

struct sight_findings {
    uint32_t count, total; /* that are told; that there are */
    struct sight_finding all[FINDINGS_MAX];
};

const char *finding_name(enum finding_code code);
unsigned finding_urgency(enum finding_code code);
const char *finding_next(enum finding_code code);

/** Most urgent first. They point into the last census: use them before the next pass. */
void findings_collect(const struct sight *sight, struct sight_findings *ret);

/** Log what is new since the last pass. */
void findings_log(struct sight *sight);

#endif
