/* Storages of one group in one world, without a network: what one did is taken from its log as entries,
 * and brought to another through intakes, in any order, as often as one likes. */
#ifndef CAIRN_TESTS_STORAGE_MIRROR_STAND_H
#define CAIRN_TESTS_STORAGE_MIRROR_STAND_H

#include "sim/store_call.h"
#include "storage/intake.h"

enum { MIRRORS_MAX = 3, MIRROR_FIRST = 7 /* machine of the first, the others follow */ };

/** A change as it travels: an entry, and the content of a single file. */
struct cargo {
    struct entry entry; /* spans point into bytes */
    uint8_t *bytes, *body;
    size_t body_size;
    bool has_body;
};

struct mirror_stand {
    struct sim_world *world;
    struct store_lab labs[MIRRORS_MAX];
    unsigned count;
    /* what was taken from each log so far, in order */
    struct cargo *cargo[MIRRORS_MAX];
    size_t cargo_count[MIRRORS_MAX], cargo_capacity[MIRRORS_MAX];
    uint64_t lsn_taken[MIRRORS_MAX];
    unsigned fetches;   /* whole files that intakes asked for */
    bool refuses_fetch; /* they are told UNAVAILABLE */
    size_t body_piece;  /* of bodies; 0: whole */
    bool keeps_world;
};

void mirror_stand_open(struct mirror_stand *stand, uint64_t seed, unsigned count,
    const struct store_lab_options *options);
/** The same in a world that is the caller's. */
void mirror_stand_open_in(struct mirror_stand *stand, struct sim_world *world, unsigned count,
    const struct store_lab_options *options);
void mirror_stand_close(struct mirror_stand *stand);
/** After a boot: the group is known, whole files can be asked for. Errors: those of store_lab_boot. */
MUST err_t mirror_boot(struct mirror_stand *stand, unsigned lab);

/** Take what `lab` did since the last time: contents that were overwritten since are left out. */
void mirror_collect(struct mirror_stand *stand, unsigned lab);

struct mirror_result {
    err_t err;
    enum apply_verdict verdict;
    bool is_held;
    bool is_over; /* false: the storage went down before it was */
};
/** Bring one change to `lab`. */
struct mirror_result mirror_deliver(
    struct mirror_stand *stand, unsigned lab, const struct cargo *cargo);
/** All of `from`'s changes from the `first`-th on, in order; each must be taken. */
void mirror_deliver_all(struct mirror_stand *stand, unsigned lab, unsigned from, size_t first);

/** The whole file as `lab` has it. False: it does not. Free with mirror_cargo_free. */
bool mirror_full(struct mirror_stand *stand, unsigned lab, const struct identity *identity,
    const struct place *home, struct cargo *ret);
void mirror_cargo_free(struct cargo *cargo);
/** Encode `entry` again, after it was changed. */
void mirror_cargo_set(struct cargo *cargo, const struct entry *entry);

/* operations on one of them; they must succeed */
struct fid mirror_upload(struct mirror_stand *stand, unsigned lab, size_t size, unsigned mark);
void mirror_modify(struct mirror_stand *stand, unsigned lab, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark);
/** Errors: those of modify_start. */
MUST err_t mirror_try_modify(struct mirror_stand *stand, unsigned lab, const struct fid *fid,
    uint8_t mode, uint64_t offset, size_t size, unsigned mark);
void mirror_remove(struct mirror_stand *stand, unsigned lab, const struct fid *fid);
/** How a find ends; the content must be the `mark`-th of this size if it ends well (size SIZE_MAX: any).
 * ret_version may be NULL. Errors: those of find_start. */
MUST err_t mirror_find(struct mirror_stand *stand, unsigned lab, const struct fid *fid, size_t size,
    unsigned mark, struct version *ret_version);

/** Every unit of every source has the same digest at both, and the digests of both are what a count of
 * the headers says (they are closed and booted again for it). */
void mirror_expect_equal(struct mirror_stand *stand, unsigned a, unsigned b);
/** True if they are, without the count. */
bool mirror_is_equal(struct mirror_stand *stand, unsigned a, unsigned b);
void mirror_expect_counted(struct mirror_stand *stand, unsigned lab);

#endif
