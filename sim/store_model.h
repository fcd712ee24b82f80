/* The reference: what a reader of each file may see, given what was asked for and what was answered.
 *
 *   current     the state that the last acknowledged change made
 *   pending     changes that were asked for and not answered, or answered "outcome unknown": each may
 *               have happened, whole, in any order, or not at all
 *   history     states that were current a while ago: a download that began then may have them
 *
 * After a crash a file is one of: its current state with any of the pending changes on top, or, if it
 * was acknowledged from memory and nothing of its stream was acknowledged durably since, not there. */
#ifndef CAIRN_SIM_STORE_MODEL_H
#define CAIRN_SIM_STORE_MODEL_H

#include "base/list.h"
#include "sim/store_content.h"
#include "wire/fid.h"
#include "wire/msg.h"

enum { MODEL_CANDIDATES_MAX = 128, MODEL_HISTORY_MAX = 16, MODEL_PENDING_MAX = 4 };

/** content NULL: there is no such file. */
struct model_state {
    struct model_content *content;
    uint64_t version; /* counter */
};

enum model_change_kind { MODEL_MODIFY, MODEL_REMOVE };

struct model_change {
    struct list link; /* in file->pending */
    enum model_change_kind kind;
    uint8_t mode; /* enum modify_mode */
    uint64_t offset;
    struct model_content *content; /* of the body */
    uint64_t if_version;           /* 0: any */
    uint64_t began;                /* seq */
};

struct model_file {
    struct list link;
    struct fid fid;
    bool is_mutable;
    bool is_memory; /* acknowledged from memory, and not yet known to be durable */
    uint64_t memory_seq;
    size_t metadata_size;
    struct model_state current;
    struct list pending;
    struct {
        struct model_state state;
        uint64_t until;
    } history[MODEL_HISTORY_MAX];
    unsigned history_count;
    uint64_t history_lost;            /* seq before which history was forgotten */
    unsigned seen_home, seen_content; /* for the walk */
};

/** An upload that was begun and not acknowledged: it may turn up after a crash. */
struct model_upload {
    struct list link;
    struct identity identity;
    struct model_content *content;
    bool is_mutable;
    uint8_t stream;
    size_t metadata_size;
};

struct store_model {
    struct list files, uploads;
    uint64_t seq;
    uint64_t *clocks; /* of every id that was ever taken */
    size_t clock_count, clock_capacity;
};

void store_model_init(struct store_model *model);
void store_model_free(struct store_model *model);

/** An id was taken. False: it had been taken before. */
bool store_model_take_clock(struct store_model *model, uint64_t clock);

/** An upload was acknowledged. */
struct model_file *store_model_uploaded(struct store_model *model, const struct fid *fid,
    struct model_content *content, bool is_mutable, bool is_memory, size_t metadata_size);
struct model_file *store_model_find(struct store_model *model, const struct identity *identity);

/** A change begins; it stays pending until it is answered. */
void store_model_begin(
    struct store_model *model, struct model_file *file, struct model_change *change);
/** It was answered with success: `existed` (delete), or version and size of the new content. False:
 * that can't be. */
bool store_model_acknowledged(struct store_model *model, struct model_file *file,
    struct model_change *change, bool existed, uint64_t version, uint64_t size);
/** It was answered with an error that says that nothing happened. */
void store_model_refused(struct model_change *change);
void model_change_free(struct model_change *change);

/** A change of `stream` that began at `began` is durable: so is all of that stream that was
 * acknowledged from memory before. */
void store_model_durable(struct store_model *model, uint8_t stream, uint64_t began);

/** States that a reader may meet who began at `began`, newest last. Borrowed pointers. */
struct model_candidates {
    struct model_state states[MODEL_CANDIDATES_MAX];
    unsigned count;
    struct model_content *made[MODEL_CANDIDATES_MAX]; /* contents that exist here only */
    unsigned made_count;
};
void model_candidates_get(
    const struct model_file *file, uint64_t began, struct model_candidates *ret);
/** What a file may be after a crash. */
void model_candidates_after_crash(const struct model_file *file, struct model_candidates *ret);
void model_candidates_free(struct model_candidates *candidates);

/** After a restart the file was seen to be `state`: the past is settled. */
void store_model_settle(struct model_file *file, const struct model_state *state);

#endif
