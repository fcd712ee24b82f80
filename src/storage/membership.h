/* The storage's membership, on loop 0: the roster, its file on the mount points, and the way of both to
 * the other loops.
 *
 *   membership_open (mount points are open: what was kept is read)
 *   -> membership_told (a tracker or a member speaks) -> membership_step (each tick: ages, saves,
 *      tells the loops) -> membership_close -> until membership_is_idle */
#ifndef CAIRN_STORAGE_MEMBERSHIP_H
#define CAIRN_STORAGE_MEMBERSHIP_H

#include "storage/members_file.h"
#include "storage/roster.h"

struct storage;
struct storage_loop;

/** What loop 0 tells a loop: members, and the storage's state. */
struct members_word {
    struct io_message message;
    struct storage_loop *loop;
    struct members members;
    uint8_t state; /* enum storage_state */
    void (*acknowledged)(struct io *here, struct io_message *message);
    bool is_out;
    bool is_due; /* something changed since it went out */
};

/** Waits until what was changed is on disk. */
struct membership_waiter {
    struct list link;
    void (*saved)(struct membership_waiter *waiter, err_t err);
};

struct membership {
    uint64_t complain_ns; /* what is wrong with a member is told again from then on */
    struct storage *storage;
    struct roster roster;
    struct members_file file;
    bool is_open, is_saving, is_closed;
    uint64_t told_number; /* of the roster, that loops were told */
    uint8_t told_state;
    uint64_t save_ns; /* not before: after a failure */
    struct list waiters;
};

/** Read what was kept. Errors: FORMAT, NO_RESOURCE. */
MUST err_t membership_open(struct membership *membership, struct storage *storage);

/** Members as told by a tracker, or by the member itself. News go to the log. */
void membership_told(struct membership *membership, const struct member_entry *members,
    uint32_t count, bool from_itself);

/** What is due: who fell silent, what is to be saved, what loops are to be told (from the word RUN on;
 * the storage's state, too). */
void membership_step(struct membership *membership);

/** Every loop knows that the storage is in this state. */
bool membership_has_told(const struct membership *membership, uint8_t state);

/** An operator: this member is none any more. Durable soon after. Errors: NOT_FOUND, BUSY. */
MUST err_t membership_remove(struct membership *membership, uint32_t machine);
/** An operator: this storage gets no uploads from now on, or gets them again. */
void membership_drain(struct membership *membership, bool is_draining);

/** Call waiter->saved once, later: OK, what had changed until now is durable; else why it is not, on at
 * least one mount point. */
void membership_wait_saved(struct membership *membership, struct membership_waiter *waiter);

/** Tell nothing more; what is not saved is saved now. */
void membership_close(struct membership *membership);
bool membership_is_idle(const struct membership *membership);

#endif
