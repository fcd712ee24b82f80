/* A progress bar on a terminal, for anything that takes longer than a second: how much, how fast,
 * how long still. Draws nothing when the talk does not go to a terminal. */
#ifndef CAIRN_BIN_PROGRESS_H
#define CAIRN_BIN_PROGRESS_H

#include <stdio.h>

#include "base/text.h"

enum { PROGRESS_WIDTH = 78 };

struct progress {
    FILE *to;             /* NULL: silent */
    uint64_t started_ns;  /* of the first tick */
    uint64_t drawn_ns;    /* of the last drawing; 0: nothing is drawn */
    uint64_t bytes_done;  /* counted by the owner */
    uint64_t bytes_total; /* 0: not known */
    uint64_t files_done;
    uint64_t files_total; /* 0: not known */
    uint64_t rate_bytes;  /* when the rate was taken last */
    uint64_t rate_ns;
    double rate; /* bytes per second, smoothed over a few seconds */
};

void progress_init(struct progress *progress, FILE *to, bool is_terminal);

/** Time has passed: redraws at most ten times a second, for the first time after one second. */
void progress_tick(struct progress *progress, uint64_t now_ns);

/** Take the bar off the screen: before other talk, and at the end. */
void progress_clear(struct progress *progress);

/** The line as it would be drawn; at most PROGRESS_WIDTH characters. Pure. */
void progress_format(const struct progress *progress, struct text *text);

#endif
