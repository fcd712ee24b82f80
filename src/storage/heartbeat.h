/* The storage's side of heartbeats: one connection to each tracker, all independent, so that a dead
 * tracker delays no other.
 *
 *   heartbeat_start -> (fill() once per interval and tracker; heartbeat_now() on a change;
 *   on_answer() with the members that the tracker tells)
 *   -> heartbeat_leave (says goodbye) -> until heartbeat_is_idle -> (the struct is free)
 *
 *   of a link:   WAITING --back-off over--> CONNECTING --ready--> CONNECTED --lost--> WAITING
 *
 * A connection is given up when a heartbeat is not answered within timeout_ns. Back-off doubles from
 * retry_min_ns to retry_max_ns, with a random part so that storages do not come in step, and starts
 * anew after an answered heartbeat. */
#ifndef CAIRN_STORAGE_HEARTBEAT_H
#define CAIRN_STORAGE_HEARTBEAT_H

#include "net/client.h"
#include "wire/member_entry.h"

enum { HEARTBEAT_TRACKERS_MAX = 16, HEARTBEAT_REASON_MAX = 128, HEARTBEAT_MEMBERS_MAX = 64 };

struct heartbeat_config {
    struct io_address trackers[HEARTBEAT_TRACKERS_MAX];
    uint32_t tracker_count;
    const struct secret *node_secret; /* borrowed; NULL: none */
    uint32_t machine;
    struct nonce uuid;
    uint64_t interval_ns;                /* 1 s; a tracker that asks for a shorter one gets it */
    uint64_t timeout_ns;                 /* of a connection attempt and of an answer: 3 s */
    uint64_t retry_min_ns, retry_max_ns; /* 100 ms, 2 s: below a tracker's dead_ns */
    /** The present state; texts are borrowed until it returns to the loop. */
    void (*fill)(void *context, struct msg_heartbeat *ret);
    /** A tracker does not take us: a duplicate machine, a wrong group or secret. Once per tracker
     * and cause, until it has taken us in between. `reason`: its sentence. */
    void (*on_refused)(
        void *context, const struct io_address *tracker, err_t err, const char *reason);
    /** A tracker took a heartbeat. `members`: those of the group that it knows; texts are borrowed.
     * May be NULL. */
    void (*on_answer)(void *context, const struct member_entry *members, uint32_t count);
    void *context;
};

/** The times above; the rest zero. */
void heartbeat_config_default(struct heartbeat_config *ret);

enum heartbeat_stage {
    HEARTBEAT_WAITING,
    HEARTBEAT_CONNECTING,
    HEARTBEAT_CONNECTED,
    HEARTBEAT_LEAVING, /* goodbye is said, or the connection is being closed */
    HEARTBEAT_GONE
};

struct heartbeat;

struct heartbeat_link {
    struct heartbeat *heartbeat;
    struct net_client client;
    struct net_call beat, goodbye;
    enum heartbeat_stage stage;
    bool is_beating;      /* a heartbeat is on its way */
    bool is_due;          /* the next one goes out as soon as this one is answered */
    int32_t refused_code; /* of the last refusal that was told; 0: none */
    uint64_t next_ns;     /* WAITING: try again; CONNECTED: next heartbeat */
    uint64_t retry_ns;    /* back-off to be used next */
    uint64_t interval_ns;
    uint64_t answered_ns; /* last heartbeat that was welcome; 0: never */
    uint64_t sent;        /* heartbeats */
};

struct heartbeat {
    struct net_loop *loop;
    struct heartbeat_config config;
    struct net_tick tick;
    bool is_leaving;
    struct heartbeat_link links[HEARTBEAT_TRACKERS_MAX];
};

/** Begin with all trackers at once, at the next tick of `loop`, which is borrowed until idle. */
void heartbeat_start(
    struct heartbeat *heartbeat, struct net_loop *loop, const struct heartbeat_config *config);

/** The state has changed: tell every connected tracker now. */
void heartbeat_now(struct heartbeat *heartbeat);

/** Do what is due, without waiting for the next tick: connect, send. Not from inside a callback of a
 * connection. */
void heartbeat_go_on(struct heartbeat *heartbeat);

/** Say goodbye where connected, then close. Nothing more is sent. */
void heartbeat_leave(struct heartbeat *heartbeat);

/** All connections are closed, after heartbeat_leave(). */
bool heartbeat_is_idle(const struct heartbeat *heartbeat);

/** Trackers that have taken a heartbeat of this start at all. */
uint32_t heartbeat_answered_count(const struct heartbeat *heartbeat);

/** Trackers that took our newest heartbeat within the last `within_ns`. */
uint32_t heartbeat_welcome_count(const struct heartbeat *heartbeat, uint64_t within_ns);

#endif
