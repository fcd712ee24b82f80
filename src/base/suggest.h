/* "Did you mean ...?": the known word nearest to a mistyped one. */
#ifndef CAIRN_BASE_SUGGEST_H
#define CAIRN_BASE_SUGGEST_H

#include "base/check.h"

/** Keeps the nearest of the words offered. */
struct suggestion {
    const char *wrong;
    const char *best; /* NULL: nothing near enough */
    size_t distance;  /* of `best` */
};

/** Start looking for a word near `wrong` (borrowed): at most 2 edits away, or a third of it. */
void suggest_start(struct suggestion *suggestion, const char *wrong);
/** Offer one known word (borrowed). The first of equally near ones wins. */
void suggest_offer(struct suggestion *suggestion, const char *word);

/** Levenshtein distance, - and _ and the case of letters being equal; words longer than 63 bytes
 * are SIZE_MAX away. */
size_t suggest_distance(const char *a, const char *b);

#endif
