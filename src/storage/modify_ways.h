/* The ways by which a modify brings its new content to disk: for modify.c only, which has the picture. */
#ifndef CAIRN_STORAGE_MODIFY_WAYS_H
#define CAIRN_STORAGE_MODIFY_WAYS_H

#include "storage/operation.h"

enum modify_stage {
    MODIFY_BUFFER,
    MODIFY_LOOK,
    MODIFY_LOOKED,
    MODIFY_GATHER,
    MODIFY_CHOOSE,
    MODIFY_HOME,
    MODIFY_TARGET,
    MODIFY_SLOT,
    MODIFY_CONTENT,
    MODIFY_CONTENT_WRITTEN,
    MODIFY_SYNCED,
    MODIFY_HOME_REF,
    MODIFY_SINGLE_OPEN,
    MODIFY_SINGLE_OPENED,
    MODIFY_SINGLE_PREFIX,
    MODIFY_SINGLE_AREA,
    MODIFY_SINGLE_POUR,
    MODIFY_SINGLE_POURED,
    MODIFY_SINGLE_ZEROS,
    MODIFY_SINGLE_TAIL,
    MODIFY_SINGLE_FINISH,
    MODIFY_SINGLE_FINISHED,
    MODIFY_CHANGE_OPEN,
    MODIFY_CHANGE_BEGIN,
    MODIFY_CHANGE_POUR,
    MODIFY_CHANGE_POURED,
    MODIFY_CHANGE_READY,
    MODIFY_APPEND_RECORD,
    MODIFY_COMMITTED,
    MODIFY_APPLIED,
    MODIFY_SINGLE_APPLIED,
    MODIFY_UNWIND,
    MODIFY_ABANDONED,
    MODIFY_DONE,
    MODIFY_STAGES
};

enum modify_way { WAY_NONE, WAY_HOME, WAY_TARGET, WAY_SLOT, WAY_SINGLE, WAY_CHANGE };

static inline struct modify *modify_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct modify, machine);
}

/** The content lies in a target that another storage allocated: it must not be changed in place. */
static inline bool modify_is_foreign(const struct modify *modify)
{
    return modify->object.at_target
           && modify->object.place.machine != modify->store->config.machine;
}

/** The present piece of the body counts as received. Errors: the body's, PROTOCOL (too long). */
MUST err_t modify_take_body(struct modify *modify);
/** The body is complete. Errors: PROTOCOL (too short), CORRUPT (not the CRC named). */
MUST err_t modify_check_body(const struct modify *modify);

/** Fill in what the way says: places, metas (built in `metas`), content, flags. */
void modify_way_record(
    struct modify *modify, struct record *record, uint8_t metas[2][SLOT_META_MAX]);

/* stages, packed: modify_packed.c */
int modify_home(struct machine *machine);
int modify_target(struct machine *machine);
int modify_slot(struct machine *machine);
int modify_content(struct machine *machine);
int modify_content_written(struct machine *machine);
int modify_synced(struct machine *machine);
int modify_home_ref(struct machine *machine);

/* stages, single: modify_single.c */
int modify_single_open(struct machine *machine);
int modify_single_opened(struct machine *machine);
int modify_single_prefix(struct machine *machine);
int modify_single_area(struct machine *machine);
int modify_single_pour(struct machine *machine);
int modify_single_poured(struct machine *machine);
int modify_single_zeros(struct machine *machine);
int modify_single_tail(struct machine *machine);
int modify_single_finish(struct machine *machine);
int modify_single_finished(struct machine *machine);
int modify_change_open(struct machine *machine);
int modify_change_begin(struct machine *machine);
int modify_change_pour(struct machine *machine);
int modify_change_poured(struct machine *machine);
int modify_change_ready(struct machine *machine);

#endif
