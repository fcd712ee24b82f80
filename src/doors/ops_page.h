/* `cairn ops`: what a loop has in flight, as JSON. Every stage machine that was started and has not ended is
 * in the loop's run queue (base/stage.h), so nothing is registered apart, and nothing costs until asked.
 *
 *   {"role":"storage","machine":1,"resting":N,"cut":N,
 *    "operations":[{"loop":0,"kind":"upload","direction":"client","stage":"collect",
 *                   "age_ms":N,"stage_ms":N,"deadline_ms":N,"overdue":false,
 *                   "waits":"recv 12 (net/stream.c:40)","error":"","peer":0,
 *                   "origin":0,"object":0,"held":{"slot":2,"op":1}}]}
 *
 * age: since it began; stage: since it is in that stage, which should not last longer than deadline (0:
 * none). waits: the operation of the seam that it has out, with descriptor and site; "its turn"; or "N arrivals"
 * of other machines, messages, locks and buffers. What rests (STAGE_RESTS: a connection between two requests, a
 * log that has nothing to commit) is counted, and listed only if asked for. cut: what there was no room for;
 * each loop lists its oldest. */
#ifndef CAIRN_DOORS_OPS_PAGE_H
#define CAIRN_DOORS_OPS_PAGE_H

#include "base/json.h"
#include "io/io.h"

enum { OPS_PAGE_MACHINES_MAX = 512 }; /* of one loop */

struct ops_page {
    struct writer *writer;
    struct json json;
    uint64_t resting, cut;
    bool shows_resting;
};

/** Is `what` of a STATUS request one of ours: "ops", or "ops all" (with those that rest)? */
bool ops_page_is_asked(struct span what, bool *ret_shows_resting);

/** `machine` 0: a tracker. The page is for `writer`, which needs 1 KiB at least. */
void ops_page_begin(struct ops_page *page, struct writer *writer, const char *role,
    uint32_t machine, bool shows_resting);
/** What `io` has in flight. On the loop of `io`. Takes time with the number of ledger entries: about 0.1 us
 * for each. */
void ops_page_add(struct ops_page *page, const struct io *io);
void ops_page_end(struct ops_page *page);

#endif
