/* What a client's operation lacks here, or finds damaged, brought from another member before it goes
 * on: read-repair. On the loop that owns the file.
 *
 *   look -> err -> heal_helps? -> (locks and buffers are given back) heal_start -> arrives
 *        <-- heal_err OK --------------------------------------------------------'
 *
 * Missing is what is not here although its id is younger than what this storage has of the file's home
 * source (the watermark): its upload may be on its way. An older id was deleted, or never was. */
#ifndef CAIRN_STORAGE_HEAL_H
#define CAIRN_STORAGE_HEAL_H

#include "storage/intake.h"

struct heal {
    struct intake_fetch fetch;
    struct machine *machine;
    bool was_tried;
};

/** May this id be that of a file which has not come here yet? On any loop; true on a loop that cannot
 * know: the owner does. */
bool heal_may_be_young(const struct store *store, const struct fid *fid);

/** Would another member help against `err`: NOT_FOUND of a young id, CORRUPT under the file's lock?
 * Once per operation. */
bool heal_helps(
    const struct heal *heal, const struct store *store, const struct fid *fid, err_t err);

/** Fetch the file; `machine` arrives. The caller holds neither the file's lock nor a buffer. `err`:
 * what heal_helps() was asked about. */
void heal_start(struct heal *heal, struct store *store, const struct fid *fid, err_t err,
    struct machine *machine);

/** Afterwards: OK: look again. Errors: NOT_FOUND (nobody has it), UNAVAILABLE (nobody could be asked, or
 * it cannot be kept here: ask another storage), CORRUPT (nobody has it whole, its origin neither). */
MUST err_t heal_err(const struct heal *heal);

#endif
