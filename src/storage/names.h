/* Which maps of old names this storage knows (decision 24): a list that only grows, on loop 0, kept in
 * cairn.names on the mount points, and given to every loop.
 *
 *   names_open (mount points are open: what was kept is read; loops do not run yet)
 *   -> names_add (an operator, or a member, tells of a map) -> names_step (each tick: saves, tells the
 *      loops, then those who wait) -> names_close -> until names_is_idle */
#ifndef CAIRN_STORAGE_NAMES_H
#define CAIRN_STORAGE_NAMES_H

#include "disk/names_image.h"
#include "storage/members_file.h"
#include "wire/fid.h"

struct storage;
struct storage_loop;

/** As each loop has it; the oldest first. */
struct names {
    struct fid maps[NAMES_MAPS_MAX];
    uint32_t count;
};

/** What loop 0 tells a loop. */
struct names_word {
    struct io_message message;
    struct storage_loop *loop;
    struct names names;
    void (*acknowledged)(struct io *here, struct io_message *message);
    bool is_out;
};

/** Waits until what was added is durable and all loops know it. */
struct names_waiter {
    struct list link;
    void (*known)(struct names_waiter *waiter, err_t err);
};

struct names_book {
    struct storage *storage;
    struct names names;
    struct members_file file;
    uint64_t generation;  /* of what is on disk */
    uint64_t save_ns;     /* not before: after a failure */
    uint32_t saved_count; /* maps that are durable */
    uint32_t told_count;  /* that the loops were told */
    bool is_open, is_saving, is_unsaved, is_closed;
    struct list waiters;
};

/** Read what was kept. Errors: FORMAT, NO_RESOURCE. */
MUST err_t names_open(struct names_book *book, struct storage *storage);

/** One more map, as an id without its group; one that is known already is fine. Errors: USAGE (no id of
 * an immutable file of whole pages), TOO_LARGE (the list is full). */
MUST err_t names_add(struct names_book *book, struct span id);

void names_step(struct names_book *book);

/** Call waiter->known once, later: OK, or why what was added is not on every mount point. */
void names_wait(struct names_book *book, struct names_waiter *waiter);

/** Tell nothing more. */
void names_close(struct names_book *book);
bool names_is_idle(const struct names_book *book);

#endif
