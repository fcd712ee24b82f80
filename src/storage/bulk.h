/* Packed files of one member, taken many at a time: the asking side of HARVEST. For reconcile.h.
 *
 *   bulk_begin -> { bulk_add } -> bulk_flush -> until bulk_is_idle -> ... -> bulk_end -> until bulk_is_idle
 *
 *   of a batch:   FILLING -> ASK -> ANSWER -> APPLY <-> ... -> LEFT <-> ... -> UNWIND -> DONE: free again
 *                             ^-- PAUSE <-' busy
 *
 * BULK_BATCHES are on their way, over the connection of the asker's link; what they bring is applied side by
 * side by BULK_INTAKES intakes, so that one commit takes many. What an answer leaves out (deleted, grown or
 * damaged meanwhile, or refused here) is fetched alone (store.fetch), which knows all cases.
 *
 * Everything a peer says is checked: by intake_check, and that it is what was asked for. Lives on one loop
 * from bulk_begin until it is idle behind bulk_end, on any one. */
#ifndef CAIRN_STORAGE_BULK_H
#define CAIRN_STORAGE_BULK_H

#include "storage/intake.h"
#include "storage/peer_link.h"
#include "wire/unit.h"

struct bulk;

enum {
    BULK_BATCHES = 3, /* one is filled or asked, one is on its way, one is applied */
    BULK_WANTS = 512, /* of a batch */
    BULK_INTAKES = 64,
    BULK_SLOT_MAX = 64 * 1024, /* larger ones are fetched alone: little is lost */
    BULK_ANSWER_MAX = FRAME_DATA_MAX,
    BULK_BUSY_MAX = 100, /* answers BUSY to one question */
    BULK_PAUSE_MS = 50,  /* before it is asked again */
};

struct bulk_want {
    struct identity identity;
    struct place home;
    uint64_t size;
    bool may_revive, is_done;
};

struct bulk_batch {
    struct machine machine;
    struct bulk *bulk;
    struct peer_link link;
    bool is_out, is_waiting, is_fetch_out;
    uint64_t wake_ns;
    uint32_t busy;
    struct bulk_want wants[BULK_WANTS];
    uint8_t request[BULK_WANTS * UNIT_WANT_SIZE];
    uint32_t count;
    size_t size; /* of the answer, as it is expected */
    /* applying */
    size_t at;        /* in the answer */
    uint32_t next;    /* the first want that was not met in it yet */
    uint32_t running; /* intakes */
    struct intake_fetch fetch;
};

struct bulk_intake {
    struct intake intake;
    struct list link; /* in bulk->free */
    struct bulk_batch *batch;
    uint32_t want;
};

struct bulk {
    struct storage_loop *loop;
    struct member member;
    struct bulk_batch batches[BULK_BATCHES];
    struct bulk_batch *filling; /* NULL: none */
    struct bulk_intake *intakes;
    struct list free;
    struct owner owner; /* of its memory */
    bool is_ending;
    uint64_t harvested; /* files that came in answers, ever */
    /* One file is over: NOT_FOUND, it is gone there. Then somebody may go on. */
    void (*taken)(struct bulk *bulk, const struct bulk_want *want, err_t err);
    void *context;
};

/** Bytes of memory. */
uint64_t bulk_bytes(void);
/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t bulk_open(struct bulk *bulk, struct mem *mem, uint64_t now_ns);
void bulk_close(struct bulk *bulk, struct mem *mem);

/** From this member, on this loop, over the connection of `link`. */
void bulk_begin(struct bulk *bulk, struct storage_loop *loop, const struct member *member,
    struct peer_link *link);

/** Is this file taken in bulk? */
bool bulk_fits(const struct unit_file *file);
/** True: it will be taken. False: nothing is free; again when `taken` was called. */
MUST bool bulk_add(struct bulk *bulk, const struct unit_file *file, bool may_revive);
/** Nothing more is added for now. */
void bulk_flush(struct bulk *bulk);
/** Everything that was added is over. */
bool bulk_is_idle(const struct bulk *bulk);
/** Often enough: pauses end. */
void bulk_tick(struct bulk *bulk, uint64_t now_ns);

/** Ask nothing more: what is at work ends, what waits is given up. */
void bulk_end(struct bulk *bulk);

#endif
