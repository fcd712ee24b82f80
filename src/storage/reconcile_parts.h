/* What the files of reconcile share: for reconcile*.c only. */
#ifndef CAIRN_STORAGE_RECONCILE_PARTS_H
#define CAIRN_STORAGE_RECONCILE_PARTS_H

#include "storage/reconcile.h"
#include "storage/server.h"

enum visit_stage {
    VISIT_BEGIN,
    VISIT_SCRUB,
    VISIT_ASK,
    VISIT_PASSED,
    VISIT_COUNT,
    VISIT_COUNTED,
    VISIT_SOURCE,
    VISIT_UNITS,
    VISIT_COMPARE,
    VISIT_INVENTORY,
    VISIT_FILES,
    VISIT_LOOK,
    VISIT_SEEN,
    VISIT_TAKE,
    VISIT_DELETED,
    VISIT_WALK,
    VISIT_WALKED,
    VISIT_SETTLE,
    VISIT_EXTRA,
    VISIT_ASKED,
    VISIT_UNWIND,
    VISIT_HUNG_UP,
    VISIT_DONE,
    VISIT_STAGES
};

static inline struct reconcile *visit_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct reconcile, machine);
}

/** Do the errand on `reconcile->loop`, with the member that the pass is at; reconcile_visited() comes from
 * the loop when it is over. */
void reconcile_visit(struct reconcile *reconcile, enum reconcile_errand errand);
void reconcile_visited(struct reconcile *reconcile);

/** The member that the pass is at. */
static inline const struct member *reconcile_member(const struct reconcile *reconcile)
{
    return &reconcile->members.all[reconcile->member_at];
}

/** So many files of the member were gone through: for people. */
static inline void reconcile_note_done(struct reconcile *reconcile, uint64_t files)
{
    if (reconcile->counted_of == reconcile_member(reconcile)->machine)
        reconcile->files_done += files;
}

/** The row of a source; NULL: none. */
const struct unit_position *reconcile_row(
    const struct reconcile_table *table, uint32_t machine, uint8_t mount, uint8_t stream);
/** Does the member still cover what it covered (theirs) when it was gone through, by what it says now
 * (again), and is it the same that it was? */
bool reconcile_confirm(const struct reconcile *reconcile);

/** The next unit of the source, from `reconcile->from` on, that differs between the page of the member's
 * digests and what is here: true, and reconcile->unit. Those before it are counted. False: the page has
 * none; go on at reconcile->from (0: the source is through). */
bool reconcile_next_difference(struct reconcile *reconcile);

bool reconcile_is_ending(const struct reconcile *visit);
/** The member cannot be gone through now: the next pass tries again. */
int reconcile_give_up(struct reconcile *visit, err_t err);
/** Ask the member something: false: it can't be asked; else fill *ret, then reconcile_ask. */
bool reconcile_begin_ask(struct reconcile *visit, struct writer *ret);
int reconcile_ask(struct reconcile *visit, int next, uint8_t type, const struct writer *fields);
/** Delete visit->file here, which the member knows to be deleted; goes on at VISIT_DELETED. */
int reconcile_delete(struct reconcile *visit);

/** Files of the unit that are here and not on the member's page are looked for. */
bool reconcile_may_have_extras(struct reconcile *visit);
int reconcile_walk(struct machine *machine);
int reconcile_walked(struct machine *machine);
int reconcile_extra(struct machine *machine);
int reconcile_asked(struct machine *machine);

#endif
