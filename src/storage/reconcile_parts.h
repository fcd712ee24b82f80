/* What the files of reconcile share: for reconcile*.c only. */
#ifndef CAIRN_STORAGE_RECONCILE_PARTS_H
#define CAIRN_STORAGE_RECONCILE_PARTS_H

#include "storage/reconcile.h"
#include "storage/server.h"

/** Do the errand on `reconcile->loop`, with the member that the pass is at; reconcile_visited() comes from
 * the loop when it is over. */
void reconcile_visit(struct reconcile *reconcile, enum reconcile_errand errand);
void reconcile_visited(struct reconcile *reconcile);

/** The member that the pass is at. */
static inline const struct member *reconcile_member(const struct reconcile *reconcile)
{
    return &reconcile->members.all[reconcile->member_at];
}

/** The row of a source; NULL: none. */
const struct unit_position *reconcile_row(
    const struct reconcile_table *table, uint32_t machine, uint8_t mount, uint8_t stream);
/** Has the member (theirs) passed all of ours? */
bool reconcile_has_passed(const struct reconcile *reconcile);

/** The next unit of the source, from `reconcile->from` on, that differs between the page of the member's
 * digests and what is here: true, and reconcile->unit. Those before it are counted. False: the page has
 * none; go on at reconcile->from (0: the source is through). */
bool reconcile_next_difference(struct reconcile *reconcile);

#endif
