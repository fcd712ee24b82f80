/* Who else is in this storage's group, as each loop knows it.
 *
 * Loop 0 learns it from trackers, from the storages themselves and from what it keeps on its mount
 * points; after each change it gives every loop a copy, and the loop calls its hooks:
 *
 *   members_hook(loop, push_members_changed)      when the loop is opened
 *   -> loop->members has changed -> push_members_changed(loop), again and again
 *
 * Until the first change `loop->members` is empty: number 0. The order of `all` never changes while
 * the process lives, and nothing is taken out of it: who is removed stays, with `is_removed`. */
#ifndef CAIRN_STORAGE_MEMBERS_H
#define CAIRN_STORAGE_MEMBERS_H

#include "io/io.h"
#include "wire/msg.h"

enum {
    MEMBERS_MAX = 16,      /* of a group, the storage itself not counted */
    MEMBERS_HOOKS_MAX = 8, /* of a loop */
};

struct member {
    uint32_t machine;
    struct nonce uuid;
    struct io_address address; /* family 0: not known yet */
    uint8_t state;             /* enum storage_state, as last heard; 0: never heard */
    bool is_alive;             /* a tracker says so */
    bool is_removed;           /* counts for nothing any more */
};

struct members {
    struct member all[MEMBERS_MAX];
    uint32_t count;
    uint64_t number; /* raised by each change */
};

/** The member with this number, removed or not; NULL: none. */
static inline const struct member *members_find(const struct members *members, uint32_t machine)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->all[i].machine == machine)
            return &members->all[i];
    return NULL;
}

struct storage_loop;

/** Call `changed(loop)` on this loop after each change of loop->members; hooks are called in the
 * order in which they were given, and once at once if the loop knows members already. */
void members_hook(struct storage_loop *loop, void (*changed)(struct storage_loop *loop));

/** Loop 0 has brought `members`: keep the copy and call the hooks. On the loop itself. */
void members_take(struct storage_loop *loop, const struct members *members);

#endif
