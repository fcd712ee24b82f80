/* The flight recorder of a loop: the last events, in memory, for the report of a crash or on demand. Writing
 * one is a few stores; nothing is formatted before somebody reads. */
#ifndef CAIRN_BASE_RECORDER_H
#define CAIRN_BASE_RECORDER_H

#include "base/ledger.h"

enum { RECORDER_EVENTS = 1024 }; /* of 56 bytes: 56 KiB for each loop */

/** An operation came to a stage. */
struct recorder_event {
    uint64_t at_ns;    /* 0: none yet */
    const char *kind;  /* of the operation; static text */
    const char *stage; /* static text */
    uint64_t object;   /* id clock, 0: none */
    uint32_t origin, peer;
    int32_t err; /* enum err_code: why it unwinds */
    uint32_t held;
    uint8_t direction;
};

struct recorder {
    uint64_t next; /* events so far */
    struct recorder_event events[RECORDER_EVENTS];
};

static inline void recorder_add(struct recorder *recorder, uint64_t at_ns, const char *kind,
    const char *stage, const struct owner *owner, int32_t err)
{
    struct recorder_event *event = &recorder->events[recorder->next++ % RECORDER_EVENTS];
    event->at_ns = at_ns;
    event->kind = kind;
    event->stage = stage;
    event->object = owner->object_clock;
    event->origin = owner->object_origin;
    event->peer = owner->peer_machine;
    event->err = err;
    event->held = owner->held;
    event->direction = (uint8_t)owner->direction;
}

#endif
