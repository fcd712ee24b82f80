/* What the files intake*.c share: see intake.c, which has the picture. */
#ifndef CAIRN_STORAGE_INTAKE_PARTS_H
#define CAIRN_STORAGE_INTAKE_PARTS_H

#include "storage/intake.h"
#include "storage/object.h"

enum intake_stage {
    INTAKE_BUFFER,
    INTAKE_LOCK,
    INTAKE_ENTER,
    INTAKE_LOOK,
    INTAKE_HOME_SEEN,
    INTAKE_CONTENT_SEEN,
    INTAKE_HOME_SCANNED,
    INTAKE_TARGET_LOOK,
    INTAKE_TARGET_SCANNED,
    INTAKE_DECIDE,
    INTAKE_TENANTS,
    INTAKE_TENANT,
    INTAKE_TENANT_SEEN,
    INTAKE_TENANT_GONE,
    INTAKE_TENANT_FETCHED,
    INTAKE_FETCH,
    INTAKE_FETCHED,
    INTAKE_HOLD,
    INTAKE_HOLD_TARGET,
    INTAKE_GATHER,
    INTAKE_GATHERED,
    INTAKE_WRITE,
    INTAKE_WRITTEN,
    INTAKE_SYNCED,
    INTAKE_MAKE,
    INTAKE_MADE,
    INTAKE_POUR,
    INTAKE_POURED,
    INTAKE_FINISH,
    INTAKE_FINISHED,
    INTAKE_CHANGE,
    INTAKE_CHANGE_BEGIN,
    INTAKE_CHANGE_POUR,
    INTAKE_CHANGE_POURED,
    INTAKE_CHANGE_READY,
    INTAKE_APPEND,
    INTAKE_COMMITTED,
    INTAKE_APPLIED,
    INTAKE_NAMED,
    INTAKE_UNWIND,
    INTAKE_ABANDONED,
    INTAKE_DONE,
    INTAKE_STAGES
};

enum { INTAKE_TENANTS_MAX = 8 }; /* fetched for one intake */

/* What is to be done, once it was decided. */
enum intake_way {
    INTAKE_WAY_NONE,
    INTAKE_WAY_SLOT,      /* the content goes to a slot, home or target */
    INTAKE_WAY_SINGLE,    /* a single file is made anew */
    INTAKE_WAY_CHANGE,    /* a single file is changed in place */
    INTAKE_WAY_DELETE,    /* a file that is here goes */
    INTAKE_WAY_TOMBSTONE, /* one that is not here yet will never come */
};

static inline struct intake *intake_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct intake, machine);
}

static inline bool intake_at_target(const struct intake *intake)
{
    return intake->entry.record.flags & RECORD_AT_TARGET;
}

/** Where the record's content goes. */
static inline const struct place *intake_place(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return intake_at_target(intake) ? &record->target : &record->home;
}

static inline bool intake_is_delete(const struct intake *intake)
{
    return intake->entry.record.kind == RECORD_DELETE;
}

/** Does the record bring the whole content? */
static inline bool intake_is_whole(const struct intake *intake)
{
    const struct record *record = &intake->entry.record;
    return intake_place(intake)->kind == PLACE_PACKED || record->flags & RECORD_RENAMES
           || record->kind == RECORD_UPLOAD || record->kind == RECORD_FULL;
}

/** It is over, without a change. */
int intake_end(struct intake *intake, enum apply_verdict verdict, bool is_held);
/** Nothing can be said; the sender has a newer version, or will say so. */
int intake_end_cut(struct intake *intake);
/** What is here is another content than the record's base: fetch all of it. */
int intake_disagree(struct intake *intake);

/** The first stage of the way; then INTAKE_APPEND follows. */
int intake_begin_way(struct intake *intake);
/** Fill in what the way says. `metas`: room for what is built. */
void intake_way_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX]);

/** No record that is known here ever wrote at `place`: nothing is there to be read. */
bool intake_is_untouched(const struct intake *intake, const struct place *place);

/* stages: intake_look.c */
int intake_look(struct machine *machine);
int intake_home_seen(struct machine *machine);
int intake_content_seen(struct machine *machine);
int intake_home_scanned(struct machine *machine);
int intake_target_look(struct machine *machine);
int intake_target_scanned(struct machine *machine);

/* stages: intake_slot.c */
int intake_hold(struct machine *machine);
int intake_hold_target(struct machine *machine);
int intake_gather(struct machine *machine);
int intake_gathered(struct machine *machine);
int intake_write(struct machine *machine);
int intake_written(struct machine *machine);
int intake_synced(struct machine *machine);
void intake_slot_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX]);

/* stages: intake_single.c */
int intake_make(struct machine *machine);
int intake_made(struct machine *machine);
int intake_pour(struct machine *machine);
int intake_poured(struct machine *machine);
int intake_finish(struct machine *machine);
int intake_finished(struct machine *machine);
int intake_change(struct machine *machine);
int intake_change_begin(struct machine *machine);
int intake_change_pour(struct machine *machine);
int intake_change_poured(struct machine *machine);
int intake_change_ready(struct machine *machine);
void intake_single_record(
    struct intake *intake, struct record *record, uint8_t metas[2][SLOT_META_MAX]);

/** The home's header that points to the record's target, from the header of the content. */
struct span intake_forward(struct intake *intake, uint8_t meta[SLOT_META_MAX]);

/** Bytes of the claimed buffer: for a change in place, for a writer's page, for content. */
static inline uint8_t *intake_page(const struct intake *intake)
{
    return intake->buffer.data + SINGLE_CHANGE_BUFFER;
}
static inline uint8_t *intake_area(const struct intake *intake)
{
    return intake->buffer.data + STORE_MODIFY_EXTRA;
}

#endif
