/* The screen of `cairn top`: what happened between two readings of all storages, in 80 columns. Pure. */
#ifndef CAIRN_BIN_TOP_SCREEN_H
#define CAIRN_BIN_TOP_SCREEN_H

#include "base/text.h"
#include "bin/top_sample.h"

enum { TOP_NAME_MAX = 16, TOP_COLUMNS = 80 };

struct top_row {
    char name[TOP_NAME_MAX]; /* "m001" */
    bool is_there;           /* it answered, twice at least */
    struct top_sample since; /* between the last two readings */
};

struct top_screen {
    const char *health; /* "HEALTH_OK" */
    const char *colour; /* escape sequences around it, or "" */
    const char *plain;
    char clock[16];             /* "20:13:38" */
    uint64_t running, storages; /* as trackers see them */
    uint64_t free_bytes, total_bytes;
    const struct top_row *rows;
    size_t count;
};

/** Append the screen; at most `lines` lines, the last of them says what was left out (0: no limit). */
void top_screen_format(const struct top_screen *screen, size_t lines, struct text *text);

#endif
