/* What one record does to one file at one storage: the same answer for the storage's own changes
 * and for those that come from a mirror. Pure; the reasons are in doc/decisions/0004-apply.md.
 *
 *   decide -> the effects are kept with the record in the log -> commit -> carried out
 *
 * Recovery carries out the effects that the log kept; it does not decide again, because a header
 * may already be ahead of the log. Effects are blind writes: carried out twice they do no harm.
 *
 * Each file has a home, where its id says, and at most one target, where content lies that outgrew
 * the home. A place is born with a reading of its allocator's id clock: at home that is the
 * identity's own clock; a target draws a new one. So the tenants of a slot are ordered by birth,
 * and a content that overlaps an older one proves that the allocator has freed the older one.
 *
 * Rules, the first that fits:
 *
 *   what is known here                       record          verdict      effects
 *   home extent has a younger tenant         any             LATE         none
 *   absent, birth seen passing (complete)    any             FINAL        none
 *   deleted                                  delete          DUPLICATE    none
 *   deleted                                  any other       FINAL        none
 *   absent or live                           delete          APPLIED      mark deleted, free home and
 *                                                                         target (each its allocator)
 *   holds or wants a newer version           any             SUPERSEDED   none
 *   holds exactly this version               any             DUPLICATE    none
 *   record's target has a younger tenant     whole           STALE        mark stale, above record
 *   absent, live or stale                    whole           APPLIED      write whole; set or clear
 *                                                                         forward; free old target
 *   holds the base, content in same place    partial         APPLIED      write part
 *   absent, stale or on another branch       partial         STALE        mark stale, wants record
 *
 * whole = upload, replace, full; partial = write, append, truncate. "Wants V": a stale file serves
 * no reads and no partial modifies; the storage fetches the content of version V or newer from a
 * mirror and applies it as a FULL record. Content is held (for --ack one|all) after APPLIED and
 * DUPLICATE only. APPLIED and STALE on an absent file create its home entry.
 *
 * Two obligations of the storage that makes a change (the rules rest on them):
 *   1. It takes apply_version_next() of what it holds, and makes partial modifies only where
 *      apply_may_write_part() agrees. Else it reads, changes and writes a whole content, into the
 *      home or a target of its own. So a target holds versions of its allocator only, and whoever
 *      frees a target knows that no newer version can be based on it.
 *   2. It draws births on the loop that owns the chunk's stream, after the space is reserved. */
#ifndef CAIRN_CORE_APPLY_H
#define CAIRN_CORE_APPLY_H

#include "wire/record.h"

/** The same location, placed there at the same time. */
bool apply_place_equals(const struct place *a, const struct place *b);
/** Packed in the same chunk with a byte in common, or the same single file. */
bool apply_place_overlaps(const struct place *a, const struct place *b);

enum apply_kind {
    APPLY_UPLOAD,  /* whole content at home: the birth of the identity */
    APPLY_REPLACE, /* whole content at home, or at a target (outgrow) */
    APPLY_FULL,    /* whole content as a mirror holds it, fetched for a stale file */
    APPLY_WRITE,   /* partial: bytes at an offset */
    APPLY_APPEND,
    APPLY_TRUNCATE,
    APPLY_DELETE,
    APPLY_KIND_COUNT
};

enum apply_life { APPLY_ABSENT, APPLY_LIVE, APPLY_DELETED };

/** What this storage knows of one identity. */
struct apply_state {
    uint32_t self; /* machine number */
    enum apply_life life;
    struct version version; /* of the content held; none: no content is held */
    struct version wants;   /* stale: the least version that will do; none: not stale */
    struct place target;    /* where the content lies; kind NONE: at home */
    /* Watermark of the home stream: every identity born in it up to this clock has its record at or
     * before the position applied here, or never will (so it stays below uploads that are still
     * under way). An unknown identity below it was deleted. 0: nothing is known: a fresh disk, or
     * a repair that must bring a file back. */
    uint64_t complete_clock;
    /* The youngest birth, of a living or dead tenant other than this identity, that overlaps the
     * home extent, and of any other place that overlaps the record's target; 0: none. */
    uint64_t home_tenant_birth;
    uint64_t target_tenant_birth;
};

struct apply_record {
    enum apply_kind kind;
    struct identity identity;
    struct version version; /* of the result */
    struct version base;    /* partial: the version it was made from */
    struct place home;
    struct place target; /* where the content of the result lies; kind NONE: at home */
};

enum apply_verdict {
    APPLY_APPLIED,
    APPLY_STALE,      /* its content has to be fetched; flags 0: known already */
    APPLY_DUPLICATE,  /* held already: nothing to do */
    APPLY_SUPERSEDED, /* a newer version won */
    APPLY_FINAL,      /* the file is deleted, for ever */
    APPLY_LATE,       /* about an earlier tenant of the slot */
    APPLY_VERDICT_COUNT
};

const char *apply_verdict_name(enum apply_verdict verdict);

/* Kept in the log with the record: numbers are for ever. */
enum {
    APPLY_WRITE_WHOLE = 1 << 0,   /* content and header, at the record's target or at home */
    APPLY_WRITE_PART = 1 << 1,    /* in place, where the content lies */
    APPLY_SET_FORWARD = 1 << 2,   /* home header points to the record's target */
    APPLY_CLEAR_FORWARD = 1 << 3, /* home header holds the content, or none */
    APPLY_MARK_DELETED = 1 << 4,
    APPLY_MARK_STALE = 1 << 5,    /* wants: effects.wants */
    APPLY_CLEAR_STALE = 1 << 6,   /* the content is current again */
    APPLY_FREE_HOME = 1 << 7,     /* this storage is the allocator: the extent may be used again */
    APPLY_FREE_TARGET = 1 << 8,   /* the same for effects.freed */
    APPLY_EVICT_HOME = 1 << 9,    /* older tenants of the home extent: apply_evict each live one */
    APPLY_EVICT_TARGET = 1 << 10, /* the same for the record's target; never this identity itself */
    APPLY_DROP_CONTENT = 1 << 11, /* the content held is no longer valid */
};

struct apply_effects {
    enum apply_verdict verdict;
    uint32_t flags;       /* 0: only the stream's position moves */
    struct version wants; /* MARK_STALE */
    struct place freed;   /* FREE_TARGET */
};

/** What apply_decide needs of a record of the log. Not for RECORD_LEASE. */
void apply_record_from(const struct record *record, struct apply_record *ret);

/** Decide what `record` does where `now` is known. Total: any bytes that decode are answered. */
void apply_decide(
    const struct apply_state *now, const struct apply_record *record, struct apply_effects *ret);

/** Decide what happens to a live file whose place is taken by a younger content. `taken_is_home`:
 * its home (the allocator had deleted it: gone); else its target (the allocator had superseded or
 * deleted it: what it is now comes by another stream). `home` is the file's own. */
void apply_evict(const struct apply_state *tenant, const struct place *home, bool taken_is_home,
    struct apply_effects *ret);

/** What is known after the effects: for decisions about records that follow before these effects
 * have been carried out. record NULL: after apply_evict. `ret` may be `now`. */
void apply_advance(const struct apply_state *now, const struct apply_record *record,
    const struct apply_effects *effects, struct apply_state *ret);

/** The version that a change made by now->self gets. */
struct version apply_version_next(const struct apply_state *now);

/** May now->self change part of this file in place? Not if it is stale, deleted or absent, and not
 * if the content lies in a target that another storage allocated. */
bool apply_may_write_part(const struct apply_state *now);

#endif
