/* Asks trackers which storage has an HTTP door for what is not here: one connection of each loop, made
 * when it is needed. Who does not answer is left for the next tracker.
 *
 *   elsewhere_open -> (elsewhere_ask ... done) -> elsewhere_close -> (elsewhere_is_idle) */
#ifndef CAIRN_STORAGE_ELSEWHERE_H
#define CAIRN_STORAGE_ELSEWHERE_H

#include "net/client.h"

struct storage_loop;

enum { ELSEWHERE_ADDRESS_MAX = 64, ELSEWHERE_CONNECTIONS = 1 /* of each loop */ };

struct elsewhere {
    struct storage_loop *loop;
    struct net_client client;
    uint32_t tracker;    /* index of the one that is asked */
    struct list waiting; /* for the next tracker */
    struct net_tick tick;
    bool is_open;
};

/** A question; `query` and `done` are set by who asks, and the spans stay put. */
struct elsewhere_ask {
    struct msg_query query;
    /** Once, later: OK and the address of the best storage that is not this one; else UNAVAILABLE, or
     * what the tracker said. The struct is the asker's again. */
    void (*done)(struct elsewhere_ask *ask, err_t err);
    void *context;
    char address[ELSEWHERE_ADDRESS_MAX];
    struct elsewhere *elsewhere;
    struct list link; /* in elsewhere->waiting */
    struct net_call call;
    uint32_t tries;
};

void elsewhere_open(struct elsewhere *elsewhere, struct storage_loop *loop);
void elsewhere_ask(struct elsewhere *elsewhere, struct elsewhere_ask *ask);
/** Hang up; who waits is told CLOSED. */
void elsewhere_close(struct elsewhere *elsewhere);
bool elsewhere_is_idle(const struct elsewhere *elsewhere);

#endif
