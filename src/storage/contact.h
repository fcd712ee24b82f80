/* Loop 0's connection to each other member: introduces this storage, learns how the member knows it
 * (RECALL) and, once the loops run, how far the member is (POSITIONS).
 *
 *   of a contact:  AWAY --address known, back-off over--> CONNECTING --> ASKING <-> THERE --lost--> AWAY
 *
 * A member that cannot be reached for `member_wait` is given up: nobody waits for it; it is tried again
 * all the same.
 *
 * How far behind: the member's positions at one moment (a *sample*) are kept until each stream is
 * followed up to there; only then the next sample is taken. So a storage catches up with a member
 * that goes on writing, and the lag is the age of the oldest sample that is not reached. */
#ifndef CAIRN_STORAGE_CONTACT_H
#define CAIRN_STORAGE_CONTACT_H

#include "disk/stream.h"
#include "net/client.h"
#include "storage/roster.h"
#include "storage/survey.h"

enum { CONTACT_ROWS_MAX = 512 }; /* streams of a member that are kept in mind at one time */

enum contact_stage { CONTACT_AWAY, CONTACT_CONNECTING, CONTACT_THERE };

struct contact_row {
    uint8_t mount, stream;
    uint64_t incarnation, lsn;
};

struct contact {
    struct contacts *contacts;
    uint32_t machine; /* 0: not in use */
    struct nonce uuid;
    struct net_client client;
    struct net_call call;
    enum contact_stage stage;
    bool is_asking;       /* the call is out */
    bool is_introduced;   /* on this connection: RECALL was answered */
    bool is_recalled;     /* at this start: its answer counts */
    bool is_sampled;      /* at this start: its positions were seen */
    bool is_caught_up;    /* at this start: a sample was reached */
    bool is_refused;      /* it says: removed, or the number is another's */
    uint8_t flags;        /* that it was introduced with */
    int32_t refused_code; /* that was told in the log; 0: none */
    uint64_t away_ns;     /* since when it is tried in vain; 0: it is there */
    uint64_t next_ns, retry_ns;
    uint64_t asked_ns;                         /* when the newest sample was asked for */
    uint64_t heard_ns;                         /* when it answered last */
    struct contact_row rows[CONTACT_ROWS_MAX]; /* of the sample: not yet reached */
    uint32_t row_count;
    bool is_cut; /* more rows than fit: the next sample will have them */
    uint64_t lag_records;
};

/** Highest that members know of a stream of this storage. */
struct contact_floor {
    uint8_t mount, stream;
    struct stream_floor floor;
};

struct contacts {
    struct storage *storage;
    struct contact all[MEMBERS_MAX]; /* as in the roster */
    struct survey_waiter waiter;
    bool is_surveying, is_leaving;
    struct contact_floor floors[CONTACT_ROWS_MAX];
    uint32_t floor_count;
    uint64_t incarnation_floor, clock_floor;
};

void contacts_init(struct contacts *contacts, struct storage *storage);
/** What is due. */
void contacts_step(struct contacts *contacts, uint64_t now_ns);
/** What was reached counts no more: every member is asked again how far it is. */
void contacts_ask_again(struct contacts *contacts);
/** Close all connections. */
void contacts_leave(struct contacts *contacts);
bool contacts_is_idle(const struct contacts *contacts);

/** For core/readiness: members that were neither reached nor given up; that told how they know this
 * storage; that are not yet followed up to where they were. `with_positions`: a member also counts as
 * pending until its first sample was seen. */
struct contacts_sums {
    uint32_t pending, recalled, behind;
    uint64_t lag_records, lag_ns;
};
void contacts_sum(const struct contacts *contacts, bool with_positions, uint64_t now_ns,
    struct contacts_sums *ret);

#endif
