/* The reference of a cluster: what a reader of each file may see, at which storage.
 *
 *   change    what a client asked for: pending, done (with the version that it made), unknown, or
 *             refused. One whose answer was lost may have been made more than once
 *   version   (counter, machine) with the one content that it has, everywhere and for ever
 *   mark      what a storage is known to hold durably of a file: at least this version, or that the
 *             file is gone. It promises; a loss (a disk emptied, memory lost in a crash) takes it back
 *
 * Rules: what is read is a version that was made, with its content, by changes that were not refused;
 * at one storage versions never go back below its mark; what is gone stays gone. When all is healed
 * every storage has the same, and at least the newest mark that is left. */
#ifndef CAIRN_SIM_CLUSTER_MODEL_H
#define CAIRN_SIM_CLUSTER_MODEL_H

#include "sim/cluster.h"
#include "sim/store_model.h"

enum { CLUSTER_OPEN_CHANGES_MAX = 4, CLUSTER_MODEL_TEXT = 400 };

enum cluster_outcome { CHANGE_PENDING, CHANGE_DONE, CHANGE_UNKNOWN, CHANGE_REFUSED };

struct cluster_change {
    struct list link; /* in file->changes */
    uint8_t type;     /* MSG_UPLOAD, MSG_MODIFY, MSG_DELETE */
    uint8_t mode;     /* enum modify_mode */
    uint8_t ack;      /* asked for */
    uint64_t offset;
    struct model_content *body;
    struct version if_version; /* none: any */
    enum cluster_outcome outcome;
    struct version version; /* done */
    bool may_repeat;        /* an answer was lost: another storage may have made it, too */
};

struct cluster_version {
    struct list link; /* in file->versions */
    struct version version;
    struct model_content *content;
    bool is_memory; /* made by an upload that asked for memory only */
    bool
        is_ghost; /* its maker lost its state and nobody is known to hold it: it may be made again */
};

/** What one storage is known to hold of a file. */
struct cluster_mark {
    struct version floor; /* none: nothing is known */
    bool is_volatile;     /* the floor is lost with the process */
    bool is_gone;
};

struct cluster_file {
    struct list link;
    char id[FID_TEXT_MAX];
    struct fid fid;
    bool is_mutable;
    struct list changes, versions;
    struct cluster_mark marks[CLUSTER_STORAGES_MAX];
    bool may_be_gone; /* a delete was asked for and not refused */
    unsigned open_changes;
};

struct cluster_model {
    unsigned storages;
    unsigned crashes[CLUSTER_STORAGES_MAX], losses[CLUSTER_STORAGES_MAX]; /* so far, of each */
    bool is_distrusted[CLUSTER_STORAGES_MAX]; /* its disks lie: it promises nothing */
    struct list files;
    char failure[CLUSTER_MODEL_TEXT]; /* the last rule that was broken */
};

void cluster_model_init(struct cluster_model *model, unsigned storages);
void cluster_model_free(struct cluster_model *model);
/** Nothing is in flight on it, and nobody will ask for it. */
void cluster_model_forget(struct cluster_file *file);

/** Who answers, and what was known when the operation began: a storage that has lost something since
 * promises nothing. */
struct cluster_answer {
    int storage; /* -1: not known */
    struct cluster_mark marks[CLUSTER_STORAGES_MAX];
    unsigned crashes[CLUSTER_STORAGES_MAX], losses[CLUSTER_STORAGES_MAX];
};
/** `file` NULL: none yet. storage is -1. */
void cluster_answer_begin(
    const struct cluster_model *model, const struct cluster_file *file, struct cluster_answer *ret);

/** A change that is about to be asked for; `body` is taken over by reference. */
struct cluster_change *cluster_change_new(uint8_t type, struct model_content *body);
/** Not in a file (an upload that came to nothing). */
void cluster_change_free(struct cluster_change *change);
void cluster_file_begin(struct cluster_file *file, struct cluster_change *change);

/** An upload was acknowledged by `storage`: its file, which takes the change over. NULL: broken. */
struct cluster_file *cluster_model_uploaded(struct cluster_model *model,
    const struct cluster_answer *answer, struct cluster_change *change,
    const struct msg_uploaded *reply, bool is_mutable);

/** All of these return false when a rule is broken: model->failure tells. */
bool cluster_model_modified(struct cluster_model *model, struct cluster_file *file,
    struct cluster_change *change, const struct cluster_answer *answer,
    const struct msg_modified *reply);
bool cluster_model_deleted(struct cluster_model *model, struct cluster_file *file,
    struct cluster_change *change, const struct cluster_answer *answer,
    const struct msg_deleted *reply);
/** It ended with an error: unknown, or certainly not made. */
void cluster_model_failed(
    struct cluster_file *file, struct cluster_change *change, bool is_unknown, bool may_repeat);

/** A part of a content: `size` bytes from `offset` of `total`. data NULL: only the total is known. */
struct cluster_view {
    struct version version;
    uint64_t total, offset, size;
    const uint8_t *data;
};
bool cluster_model_seen(struct cluster_model *model, struct cluster_file *file,
    const struct cluster_answer *answer, const struct cluster_view *view);
bool cluster_model_not_found(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_answer *answer);
/** May this compare-and-set be refused: could another version than the expected one be there? */
bool cluster_model_may_conflict(
    const struct cluster_file *file, const struct cluster_change *asked);

/** The process of a storage died. */
void cluster_model_crashed(struct cluster_model *model, unsigned storage);
/** What the storage held on `mount` is lost or no longer to be trusted; mount -1: on all. */
void cluster_model_lost(struct cluster_model *model, unsigned storage, int mount);

/** All is healed and all storages agree: this is the file now (view NULL: it is gone). From here on
 * every storage holds that, and what was unknown is decided. */
bool cluster_model_settle(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_view *view);

#endif
