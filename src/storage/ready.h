/* The storage's states, on loop 0: gathers the facts, asks core/readiness, does what it says.
 *
 *   ready_begin (mount points are open) --may open--> (streams, loops listen) -> ready_listening
 *         '-- waits: heartbeats and contacts run before the streams are open -- ready_go_on
 *   -> ready_running (all loops run) -> ready_step each tick */
#ifndef CAIRN_STORAGE_READY_H
#define CAIRN_STORAGE_READY_H

#include "core/readiness.h"
#include "storage/contact.h"

struct storage;

/** Filling new disks from the other members, and the like of it: set by who does it, before the loops
 * are opened. */
struct storage_filling {
    /** This storage lost state, or missed too much: it has to be filled. NULL: never. */
    bool (*is_needed)(const struct storage *storage);
    /** Begin; all loops run. Called again if it was needed again. */
    void (*start)(struct storage *storage);
    /** What was started last is over: all that the members hold is here. */
    bool (*is_over)(const struct storage *storage);
    /** Files gone through, and in all (0: not counted yet); for people. NULL: not known. */
    void (*progress)(const struct storage *storage, uint64_t *ret_done, uint64_t *ret_all);
};

struct storage_ready {
    struct readiness readiness;
    bool is_waiting;  /* in INITING, with heartbeats and contacts, streams closed */
    bool is_fill_due; /* as soon as all loops run */
    uint64_t fills;   /* that were begun */
    struct contact_floor floors[CONTACT_ROWS_MAX]; /* fixed from the word OPEN on */
    uint32_t floor_count;
};

/** The mount points are open. True: the streams may be opened at once. Errors: those of the net layer
 * when it has to wait. */
MUST err_t ready_begin(struct storage *storage, bool *ret_may_open);
/** While it waits, after turns of loop 0. True: the streams may be opened now. */
bool ready_go_on(struct storage *storage);
/** All loops listen: *ret_state is what they are to be told with the word RUN. */
void ready_listening(struct storage *storage, uint8_t *ret_state);
/** All loops run: the state may be told. */
void ready_running(struct storage *storage);
/** Each tick. */
void ready_step(struct storage *storage);

/** What the members know of a stream; all zero: nothing. On any loop, from the word OPEN on. */
struct stream_floor ready_floor(const struct storage *storage, uint8_t mount, uint8_t stream);

#endif
