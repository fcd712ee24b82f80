/* What a tracker knows: storages, groups and pools, learned from heartbeats alone, and whom it names
 * to clients. Pure: event in, effects out; the tables are the caller's and never grow.
 *
 *   (unknown) --heartbeat--> ALIVE --connection lost, or silent for dead_ns--> DEAD
 *                              |  ^--------------- heartbeat -------------------'  |
 *                              '--goodbye--> LEFT --heartbeat--> ALIVE             |
 *   DEAD and LEFT are shown until forget_ns has passed, then forgotten <-----------'
 *
 * Rules for a heartbeat, each refusal with a sentence that names both sides:
 *   - a machine number belongs to one UUID while it is ALIVE, and for claim_ns after it was last
 *     heard unless it left; then another UUID may take the number;
 *   - the same UUID from another address while it is ALIVE is a copied disk: refused;
 *   - a machine stays in its group; a group is in one pool, as long as another member is ALIVE;
 *   - a storage that has not begun to listen (initing) may still find its address: a change is none;
 *   - whom an operator removed is refused under that UUID until forget_ns has passed;
 *   - a full table refuses newcomers (BUSY), never those it knows.
 * Only storages that are ALIVE and running are named to clients: those that are caught up first, and
 * for uploads those that are not draining. */
#ifndef CAIRN_CORE_REGISTRY_H
#define CAIRN_CORE_REGISTRY_H

#include "core/balance.h"
#include "wire/fid.h"
#include "wire/member_entry.h"
#include "wire/msg.h"

enum {
    REGISTRY_ADDRESS_MAX = 64,
    REGISTRY_POOL_NAME_MAX = 32, /* [A-Za-z0-9_.-] */
    REGISTRY_REASON_MAX = 320,
    REGISTRY_ANSWER_MAX = 16,       /* storages named in one answer */
    REGISTRY_ANSWER_GROUPS_MAX = 4, /* groups named in an upload's answer */
    REGISTRY_TOLD_MAX = 16,         /* members told to one storage */
};

enum registry_life { REGISTRY_ALIVE = 1, REGISTRY_DEAD, REGISTRY_LEFT, REGISTRY_REMOVED };
const char *registry_life_name(uint8_t life);

struct registry_pool_config {
    const char *name;
    enum balance_policy policy;
    const char *master; /* policy master: name of the group; else NULL */
};

struct registry_config {
    uint64_t dead_ns;    /* 5 s in DESIGN */
    uint64_t claim_ns;   /* 60 s: longer than any restart, shorter than an operator's patience */
    uint64_t forget_ns;  /* 24 h */
    uint64_t lag_max_ns; /* who is further behind its mirrors is named last; 10 s */
    enum balance_policy policy; /* of pools that are not configured */
    const struct registry_pool_config *pools;
    uint32_t pool_count;
};

/* Read-only for others: status is rendered from these. */
struct registry_storage {
    uint32_t machine; /* 0: the place is free */
    uint32_t group;   /* index */
    uint32_t next;    /* member of the same group, as index + 1; 0: the last */
    uint8_t life;     /* enum registry_life */
    uint8_t state;    /* enum storage_state */
    uint8_t flags;    /* MEMBER_NEW, MEMBER_DRAINING */
    struct nonce uuid;
    uint64_t connection; /* that the last heartbeat came by */
    uint64_t heard_ns;
    uint64_t started_ns, first_started_ns;
    uint64_t total_bytes;
    uint64_t free_bytes; /* for uploads: the storage has taken its reserve off */
    uint64_t incarnation;
    uint64_t lag_records, lag_ns; /* behind the members that it reaches */
    uint32_t load;
    uint32_t mounts_online, mounts_total;
    uint16_t fastdfs_port; /* at its address; 0: it has no FastDFS door */
    char address[REGISTRY_ADDRESS_MAX];
    char http_address[REGISTRY_ADDRESS_MAX];
};

struct registry_group {
    char name[GROUP_NAME_MAX + 1]; /* empty: the place is free */
    uint32_t pool;                 /* index */
    uint32_t first;                /* member, as index + 1; 0: none */
    struct balance_cursor upload_cursor, find_cursor;
};

struct registry_pool {
    char name[REGISTRY_POOL_NAME_MAX + 1]; /* empty: the place is free */
    enum balance_policy policy;
    const char *master;   /* group, or NULL */
    uint32_t group_count; /* 0: kept because it is configured */
    struct balance_cursor cursor;
};

/** The caller's memory, zeroed; lives as long as the registry. */
struct registry_tables {
    struct registry_storage *storages;
    struct registry_group *groups;
    struct registry_pool *pools;
    struct balance_candidate *candidates; /* scratch: the larger of storages_max and groups_max */
    uint32_t storages_max, groups_max, pools_max;
};

struct registry {
    struct registry_config config;
    struct registry_tables tables;
    uint32_t storage_count;
};

/** Errors: BUSY (more pools configured than the table holds), USAGE (a pool's name or policy). */
MUST err_t registry_init(struct registry *registry, const struct registry_config *config,
    const struct registry_tables *tables);

enum registry_event_kind {
    REGISTRY_HEARTBEAT,
    REGISTRY_LOST,
    REGISTRY_GOODBYE,
    REGISTRY_TICK,
    REGISTRY_REMOVE
};

struct registry_event {
    enum registry_event_kind kind;
    uint64_t now_ns;
    uint64_t connection; /* HEARTBEAT, LOST: never used twice */
    const struct msg_heartbeat *heartbeat;
    const struct msg_goodbye *goodbye;
    uint32_t machine; /* REMOVE */
};

enum registry_change {
    REGISTRY_UNCHANGED,
    REGISTRY_JOINED,   /* not known before */
    REGISTRY_RETURNED, /* was dead, or had left */
    REGISTRY_REPLACED, /* the number's claim had run out; another UUID has it now */
    REGISTRY_MOVED,    /* another state, see state_before */
    REGISTRY_DIED,
    REGISTRY_DEPARTED,
    REGISTRY_FORGOTTEN,
    REGISTRY_TAKEN_OUT, /* by an operator */
};
const char *registry_change_name(enum registry_change change);

struct registry_effects {
    err_t err;                        /* what to answer; OK: welcome */
    char reason[REGISTRY_REASON_MAX]; /* for people, when err is set */
    enum registry_change change;      /* at most one; what the tracker logs */
    uint32_t machine;                 /* that changed */
    uint8_t state_before;
    bool is_more; /* LOST, TICK: call again with the same event */
};

/** One event. Errors (in ret->err): USAGE (a field of the heartbeat is out of range), EXISTS
 * (machine number taken, or a copied disk), CONFLICT (group or pool contradicts), BUSY (a table is
 * full), DENIED (removed), NOT_FOUND (goodbye of a machine that is not known, or of another UUID;
 * REMOVE of one that is not known), CONFLICT (REMOVE of one that is alive). */
void registry_step(
    struct registry *registry, const struct registry_event *event, struct registry_effects *ret);

/** False: no such name. */
bool registry_find_group(const struct registry *registry, struct span name, uint32_t *ret_index);
bool registry_find_pool(const struct registry *registry, struct span name, uint32_t *ret_index);

struct registry_named {
    uint32_t machine;
    const char *address;      /* in the tables: until the next event, like the other texts */
    const char *http_address; /* "": it has no HTTP door */
    const char *group;
    uint16_t fastdfs_port;
};

struct registry_answer {
    uint32_t count;
    struct registry_named storages[REGISTRY_ANSWER_MAX]; /* best first */
    const char *group;                                   /* of the first */
    char reason[REGISTRY_REASON_MAX];                    /* when an error is returned */
};

/**
 * Whom a client should ask.
 *   upload          groups of the pool by its policy, those that have room for `size` and a running
 *                   member; the members of the best, then of the next ...
 *   find            running members of the group, in turns; those that lag behind come last
 *   modify, delete  the same, the origin first (unless it lags)
 * An upload's empty pool name means the only pool there is.
 * An upload that names a group goes there (the pool is the group's then, whatever the query says).
 *
 * Errors (reason is set): USAGE (purpose, or which of several pools), UNAVAILABLE (nobody known
 * who could: this tracker may have just started, so it is never "not found"), NO_SPACE.
 */
MUST err_t registry_query(
    struct registry *registry, const struct msg_query *query, struct registry_answer *ret);

struct registry_summary { /* of a group or a pool */
    uint32_t members, alive, running;
    uint32_t taking; /* uploads: running and not draining */
    /* A group: the least of its members' that are ALIVE, accepting to running; a pool: the sum of
     * its groups, saturating. */
    uint64_t total_bytes;
    uint64_t free_bytes;
};
void registry_summarize_group(
    const struct registry *registry, uint32_t group, struct registry_summary *ret);
void registry_summarize_pool(
    const struct registry *registry, uint32_t pool, struct registry_summary *ret);

/** The members of this machine's group but itself, at most REGISTRY_TOLD_MAX, for HEARTBEAT_ACK; texts
 * are the tables' until the next event. Those that are alive first. Returns how many; 0 also if the
 * machine is not known. */
uint32_t registry_tell_members(
    const struct registry *registry, uint32_t machine, struct member_entry ret[REGISTRY_TOLD_MAX]);

static inline bool registry_is_running(const struct registry_storage *storage)
{
    return storage->life == REGISTRY_ALIVE && storage->state == STATE_RUNNING;
}

#endif
