/* A small world for core/apply: three storages of one group, each with one stream, a few slots that
 * it allocates, and a copy of everybody's slots. Changes are made at any storage from what it knows
 * then, records are delivered in any order between streams, winners are fetched, storages crash and
 * replay their logs over torn slots. What goes wrong is returned as a sentence. */
#ifndef CAIRN_TESTS_CORE_APPLY_MODEL_H
#define CAIRN_TESTS_CORE_APPLY_MODEL_H

#include "base/prng.h"
#include "core/apply.h"

enum {
    MODEL_MACHINES = 3,
    MODEL_SLOTS = 3, /* per machine */
    MODEL_CELLS = 4, /* of content: what partial modifies change */
    MODEL_STREAM_MAX = 48,
    MODEL_JOURNAL_MAX = 24, /* then a checkpoint is made */
};

struct model_content {
    uint8_t size;
    uint8_t cells[MODEL_CELLS];
};

/* One slot as it lies on one storage: a home with its header, or a target. */
struct model_slot {
    uint64_t birth; /* 0: never used */
    struct identity identity;
    struct place home; /* of the identity */
    bool is_target;
    enum apply_life life; /* the rest: home headers only, but for the content */
    struct version version, wants;
    struct place target;
    struct model_content content;
};

struct model_record {
    struct apply_record head;
    uint8_t offset, size;        /* partial: cells written; truncate, append: size of the result */
    struct model_content bytes;  /* whole: all; partial: the cells written, in their places */
    struct model_content result; /* what the maker then held: for the final comparison only */
};

struct model_entry { /* of a storage's log: a decision that was taken */
    struct model_record record;
    struct apply_effects effects;
};

typedef struct model_slot model_slots[MODEL_MACHINES][MODEL_SLOTS];

struct model_copy {
    uint32_t self; /* 1 .. MODEL_MACHINES, or more: an observer that allocates nothing */
    model_slots slots;
    bool used[MODEL_SLOTS];              /* of its own slots */
    uint64_t clock;                      /* id clock */
    uint16_t at[MODEL_MACHINES];         /* records of each stream that it has */
    uint64_t seen_clock[MODEL_MACHINES]; /* the watermark of each stream */
    /* since the checkpoint; kept only where has_journal */
    bool has_journal;
    uint16_t journal_count;
    model_slots checkpoint;
    bool checkpoint_used[MODEL_SLOTS];
    struct model_entry journal[MODEL_JOURNAL_MAX];
    model_slots history[MODEL_JOURNAL_MAX]; /* the slots after each entry */
};

struct model_stream {
    uint16_t count;
    struct model_record records[MODEL_STREAM_MAX];
};

typedef void model_decide_fn(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret);

struct model_world {
    struct model_copy copies[MODEL_MACHINES];
    struct model_stream streams[MODEL_MACHINES];
    model_decide_fn *decide;     /* apply_decide, or a canary around it */
    bool writes_foreign_targets; /* canary: breaks obligation 1 of apply.h */
    struct prng random;
    uint64_t decisions;
};

void model_open(struct model_world *world, model_decide_fn *decide, uint64_t seed);

/* Each returns NULL, or what is wrong. */

/** One random change at storage `machine` (index), if there is something it can do. */
const char *model_change(struct model_world *world, unsigned machine);
/** The next record of stream `from` at `copy`, if there is one. */
const char *model_deliver(struct model_world *world, struct model_copy *copy, unsigned from);
/** Some record that `copy` had before, once more. */
const char *model_deliver_again(struct model_world *world, struct model_copy *copy);
/** Fetch the winner for one stale file of `copy`; *ret_fetched false: none could be fetched. */
const char *model_fetch(struct model_world *world, struct model_copy *copy, bool *ret_fetched);
/** Tear the slots, replay the log, compare. */
const char *model_crash(struct model_world *world, struct model_copy *copy);
/** Forget tombstones that the watermark covers. */
void model_forget(struct model_world *world, struct model_copy *copy);

/** Deliver and fetch until nothing is left to do. */
const char *model_settle(struct model_world *world);
/** All copies are equal, hold the newest version of each file that nobody deleted, and nothing
 * else; every allocator's used slots are exactly those that live files use. */
const char *model_check_settled(const struct model_world *world);
/** The same for a copy that is not of the world but has applied its streams. */
const char *model_check_copy(const struct model_world *world, const struct model_copy *copy);

#endif
