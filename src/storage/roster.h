/* The book of the group's members that loop 0 keeps: who is in, who was removed, who is alive. Pure
 * bookkeeping: told by trackers and by the members themselves, kept in cairn.members.
 *
 *   (unknown) --told, with something to hold--> member --removed--> outcast: this UUID for ever
 *
 * - A machine number belongs to one UUID. Who comes with a number that is another's is refused and
 *   shown (`clash`), until an operator removes the one that is known; then it takes the number over.
 * - Storages that hold nothing yet (MEMBER_NEW) are no members: they may still turn back.
 * - Nobody leaves by silence. Only an operator removes. */
#ifndef CAIRN_STORAGE_ROSTER_H
#define CAIRN_STORAGE_ROSTER_H

#include "disk/members_image.h"
#include "storage/members.h"
#include "wire/member_entry.h"

enum { ROSTER_OUTCASTS_MAX = MEMBERS_ENTRIES_MAX - MEMBERS_MAX };

struct roster_member {
    struct member member;
    bool is_draining;
    bool is_new;       /* alive, and it holds nothing: there is nothing to learn from it */
    uint64_t alive_ns; /* when it was last seen alive, or known for the first time at this start */
    uint64_t clash_ns; /* when another UUID last came with its number; 0: never */
    struct nonce clash_uuid;
};

struct roster_outcast {
    uint32_t machine;
    struct nonce uuid;
};

struct roster {
    uint32_t machine; /* of the storage itself */
    struct nonce uuid;
    struct roster_member all[MEMBERS_MAX];
    uint32_t count;
    struct roster_outcast outcasts[ROSTER_OUTCASTS_MAX];
    uint32_t outcast_count;
    uint32_t member_max;
    bool is_draining;    /* the storage itself */
    bool is_outcast;     /* somebody knows that the storage itself was removed */
    uint64_t number;     /* raised by each change that loops should know */
    uint64_t generation; /* of what is kept on disk */
    bool is_unsaved;
};

enum roster_news {
    ROSTER_SAME,
    ROSTER_JOINED,
    ROSTER_CHANGED,  /* address, state, life */
    ROSTER_REPLACED, /* a removed member's number is in use again */
    ROSTER_CLASH,    /* another UUID came with a number that is in use */
    ROSTER_OUTCAST,  /* a removed one is alive */
    ROSTER_FULL,     /* no room for one more member */
};

/** At most `member_max` members, beside those that were kept. */
void roster_init(
    struct roster *roster, uint32_t machine, const struct nonce *uuid, uint32_t member_max);

/** What was kept, and back. `ret` is what the next generation is to hold. */
void roster_load(struct roster *roster, const struct members_image *image, uint64_t now_ns);
void roster_store(const struct roster *roster, struct members_image *ret);

/** Somebody tells of a member. `from_itself`: it is the member that speaks. */
enum roster_news roster_tell(
    struct roster *roster, const struct member_entry *entry, bool from_itself, uint64_t now_ns);

/** A connection to this member works: it is alive, whatever trackers say. */
void roster_see(struct roster *roster, uint32_t machine, uint64_t now_ns);

/** Who was not said to be alive for so long is not. */
void roster_age(struct roster *roster, uint64_t now_ns, uint64_t dead_ns);

/** This UUID is no member any more. Errors: NOT_FOUND (no such member), BUSY (no more can be
 * remembered). */
MUST err_t roster_remove(struct roster *roster, uint32_t machine);

bool roster_is_outcast(const struct roster *roster, uint32_t machine, const struct nonce *uuid);
struct roster_member *roster_find(struct roster *roster, uint32_t machine);
/** Members that count: not removed. */
uint32_t roster_member_count(const struct roster *roster);
/** The copy for the loops. */
void roster_copy(const struct roster *roster, struct members *ret);

#endif
