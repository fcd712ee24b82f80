/* When may a storage of a group be opened, filled, used? Its states, as a step function: facts in, state
 * and what to do out. doc/protocol.md, section "States".
 *
 *   INITING --may open--> ACCEPTING --> CSYNCING --caught up--> RUNNING
 *                             |           ^  ^                    |
 *                             |           |  '--- removed --------+
 *                             '-> DSYNCING --filled--> DSYNCED ---+
 *                                    ^                            |
 *                                    '------- state was lost -----'
 *   any --asked to stop--> CLOSING
 *
 * INITING    Streams are not open. A storage whose disks are new waits here: for a tracker's word that
 *            there are no other members, or for members' word how they know it. One that waits longer
 *            can be told that it is alone.
 * ACCEPTING  It listens.
 * DSYNCING   Its disks are being filled from the other members.
 * DSYNCED    They are filled: seen for a moment only.
 * CSYNCING   Follows those members that it reaches up to where they were when it reached them.
 * RUNNING    Clients are sent to it. */
#ifndef CAIRN_CORE_READINESS_H
#define CAIRN_CORE_READINESS_H

#include "wire/msg.h"

struct readiness_facts {
    bool is_closing;
    /* the disks */
    bool has_unfilled; /* a mount point was formatted and not filled since */
    bool is_all_new;   /* all of them: nothing is known to have been here */
    bool is_lost;      /* a member knows more of this storage than it does itself, or its log began
                         * too late: it has to be filled again */
    /* whom it knows */
    bool is_alone;   /* an operator says: there are no others to ask */
    bool is_outcast; /* a member says: this storage was removed, or its number is another's */
    uint32_t trackers, trackers_answered;
    uint32_t members;  /* that count, and hold something */
    uint32_t pending;  /* members that were neither asked with success nor given up */
    uint32_t recalled; /* members that told how they know this storage */
    uint32_t behind;   /* members that are not followed yet up to where they were when asked */
    /* itself */
    bool is_listening;
    bool can_fill; /* else what is missing comes by following the members from the beginning */
    bool is_filling_over;
};

enum readiness_wait {
    READINESS_WAITS_NOT,
    READINESS_WAITS_FOR_TRACKER,  /* new disks, and no tracker has answered */
    READINESS_WAITS_FOR_MEMBERS,  /* members are being asked */
    READINESS_WAITS_FOR_A_MEMBER, /* new disks, members are known, and none can be reached */
    READINESS_WAITS_FOR_OPERATOR, /* removed, or its number is another's */
    READINESS_WAITS_FOR_FILLING,
    READINESS_WAITS_TO_CATCH_UP,
    READINESS_WAIT_COUNT
};
/** A sentence for people: what it waits for. "" for WAITS_NOT. */
const char *readiness_wait_text(enum readiness_wait wait);

struct readiness {
    uint8_t state; /* enum storage_state */
    enum readiness_wait wait;
};

struct readiness_effects {
    bool may_open;    /* INITING was left: open streams, listen */
    bool begin_fill;  /* DSYNCING was entered */
    bool is_filled;   /* the disks hold what there is to hold: note it on them */
    bool has_changed; /* state or wait */
};

/** At the start. */
void readiness_init(struct readiness *readiness);
/** As far as the facts allow: several states in one call, if need be. */
void readiness_step(struct readiness *readiness, const struct readiness_facts *facts,
    struct readiness_effects *ret);

#endif
