/* Start-up: applies records to single files again, in log order, and throws away what never was
 * committed. Uses io_call.
 *
 *   single_redo per record behind the checkpoint -> single_redo_finish -> single_clean_new
 *
 * A header that is good tells by its birth which records are of this life of the file; older ones are
 * skipped. If it is bad (torn in the middle of a change), the log must tell: `survey` is asked for the
 * last record of the file that stands there (renames that did not happen yet are left out: their source
 * is still in new/). Applied twice is harmless; a crash in between as well. */
#ifndef CAIRN_DISK_SINGLE_REDO_H
#define CAIRN_DISK_SINGLE_REDO_H

#include "disk/single_dirty.h"
#include "disk/single_entry.h"

/** What the log behind the checkpoint says of the file that stands under its final name. */
struct single_survey {
    const struct single_mount *mount;
    struct owner *owner;
    struct identity identity;
    struct version birth; /* of the file as its last record leaves it; 0.0: the log does not know */
    bool is_pending;      /* the records that follow are of a file that is still in new/ */
    err_t err;
};
/** Call for each record, in log order. */
void single_survey_record(struct single_survey *survey, const struct record *record);

enum { SINGLE_REDO_SHRUNK = 128 };

struct single_redo {
    const struct single_mount *mount;
    struct owner *owner;
    struct single_dirty
        *dirty; /* hears of everything; files that find no room are synced at once */
    /* Calls single_survey_record for every record of this stream's log behind the checkpoint up to
     * the end of the log, also those not yet redone. Rarely called: for a bad header. */
    err_t (*survey)(void *context, struct single_survey *survey);
    void *context;
    uint32_t shrunk_count;
    struct identity shrunk[SINGLE_REDO_SHRUNK]; /* trimmed at finish; more: by their next change */
    uint64_t applied, skipped, healed;          /* for the log of the start */
};

/** Apply one record; nothing to do if it touches no single file. All fields of the record are taken
 * as untrusted. Errors: IO, NO_SPACE, NO_RESOURCE, those of `survey`, CORRUPT (a record that can't be
 * meant). */
MUST err_t single_redo(struct single_redo *redo, const struct record *record);

/** All records are applied: give back what was cut off. Errors: IO, NO_RESOURCE. */
MUST err_t single_redo_finish(struct single_redo *redo);

/** Unlink what is left in new/<stream>: every committed file has left it by now. `is_committed` (may
 * be NULL: none) keeps a file; its identity has no suffix. ret_count (may be NULL): how many went.
 * Errors: IO, NO_RESOURCE. */
MUST err_t single_clean_new(const struct single_mount *mount, struct owner *owner,
    bool (*is_committed)(void *context, const struct identity *identity, struct version version),
    void *context, uint64_t *ret_count);

#endif
