/* The one way to repair, rebuild and prove: what this storage holds is compared with what the other
 * members hold, unit by unit, and what is missing or older here is taken. doc/decisions/0021-mirrors.md.
 *
 *   a pass, on loop 0:   for each member that is alive
 *                          own positions (a message visits every loop) -> the member's positions
 *                          -> each loop in turn: the units of the home sources that it keeps
 *                        then each loop: positions are raised to the least of the members'
 *
 *   of a unit:           digests equal? --no--> look again a little later --no--> its inventory
 *                          -> for each file: here? as new? --no--> fetched (store.fetch), or deleted
 *                          -> look again: equal now, or counted as different
 *
 * One pass at a time, one member, one loop and one unit at a time; small files are taken many at a time
 * (bulk.h), of the others RECONCILE_TAKES are fetched side by side, at most `rebuild_rate` bytes per second. What is equal is passed over by its digest, so an
 * interrupted pass costs nothing when it begins again. The struct is touched only by who holds its
 * message.
 *
 * A file that is missing here although its id is covered (wire/coverage.h) was deleted: it is not taken. A
 * file that is here and missing at the member, which covers its id, was deleted, too: this storage missed
 * that, and deletes it (reconcile_extra.c). What the member covered when it was asked, and still does
 * afterwards, is covered here when all its units were gone through. doc/decisions/0025-coverage.md. */
#ifndef CAIRN_STORAGE_RECONCILE_H
#define CAIRN_STORAGE_RECONCILE_H

#include "net/ticker.h"
#include "storage/bulk.h"
#include "storage/intake.h"
#include "storage/object.h"
#include "storage/peer_link.h"
#include "storage/unit_walk.h"
#include "wire/unit.h"

struct storage;
struct storage_filling;
struct storage_loop;

enum {
    RECONCILE_TAKES = 3, /* less than PULL_SLOTS: clients' operations find one */
    RECONCILE_POSITIONS = 2048,
    RECONCILE_EXTRAS = 1024,   /* own files that a member lacks, noted at a time */
    RECONCILE_WALKS = 3,       /* through a unit, until the member's list is its digest */
    RECONCILE_QUIET_MS = 5000, /* without a change: own files are held against the list */
    RECONCILE_LOOKS = 6,       /* at a unit that differs, after it was gone through */
    RECONCILE_PAUSE_MS = 400,  /* between two looks */
    RECONCILE_BUSY_MAX = 50,   /* answers BUSY to one question */
    RECONCILE_RETRY_S = 5,     /* when a filling pass failed */
};

/** Of one pass. */
struct reconcile_sums {
    uint64_t members, members_failed;  /* asked; not gone through to the end */
    uint64_t units, files;             /* compared, all members together */
    uint64_t differed;                 /* units that had to be gone through */
    uint64_t remaining;                /* of them, not equal afterwards */
    uint64_t taken, repaired, deleted; /* files: brought here; of them damaged here; deleted here */
    uint64_t held_back;                /* files: missing here, and perhaps deleted */
    uint64_t failed;                   /* files: could not be brought */
    uint64_t bytes;                    /* taken */
    /* read from end to end before, if that was asked for */
    uint64_t read_files, read_bytes, damaged, healed, suspects;
    uint64_t started_ns, ended_ns;
};

/** A word of a loop to loop 0. */
struct reconcile_word {
    struct io_message message;
    struct storage_loop *loop;
    bool is_out;
};

struct reconcile_take {
    struct intake_fetch fetch;
    struct reconcile *reconcile;
    uint64_t size;
    bool is_out;
};

struct reconcile_table {
    struct unit_position *rows;
    uint32_t count;
};

struct reconcile {
    struct machine machine; /* of a visit to one loop */
    struct io_message message;
    struct storage *storage;
    struct owner owner;
    struct net_tick tick;  /* on loop 0, all the time: begins passes */
    struct net_tick visit; /* on the loop that is visited */
    bool is_open, is_ticking, is_stopping;
    bool is_running; /* a pass: the message is out, or a machine runs */
    bool is_wanted, deep_is_wanted;
    uint64_t next_ns;             /* of the next pass that nobody asked for */
    uint64_t pass;                /* of the newest that began */
    bool is_lost;                 /* see reconcile_note_lost */
    uint64_t fills_asked, filled; /* how often it was asked for, and which of them is done */
    struct reconcile_sums sums;
    struct reconcile_sums
        shown; /* for others on loop 0: of the newest pass, as of its last stop there */
    /* of the pass */
    bool is_filling, is_deep, has_failed, was_complete;
    uint64_t filling;       /* fills_asked when it began */
    struct members members; /* as of its beginning */
    uint32_t member_at;
    uint16_t at; /* loop */
    struct storage_loop *loop;
    struct reconcile_table theirs, again, least;
    struct reconcile_table known;      /* what those cover that were gone through in this pass */
    bool through[RECONCILE_POSITIONS]; /* of theirs: all of it was gone through */
    bool is_left[RECONCILE_POSITIONS]; /* of known: with one of them it was not */
    enum reconcile_errand {
        RECONCILE_ASKS,     /* the member how far it is, and what it covers */
        RECONCILE_SCRUBS,   /* everything of the loop is read */
        RECONCILE_COMPARES, /* with the member */
        RECONCILE_CONFIRMS, /* that it still covers that */
    } errand;               /* of the visit */
    uint64_t scrub_pass;
    err_t failure; /* why the last member could not be gone through */
    bool has_least;
    uint32_t
        asked; /* members of this pass, by index: their own streams are known from themselves */
    struct peer_link link;
    /* of the visit */
    uint32_t source_at;
    struct source_key key;
    struct stream *stream;
    bool is_through;          /* so far */
    uint64_t from, page_next; /* UNITS */
    uint32_t page_at, page_count;
    bool is_new_page;
    uint64_t unit, counted; /* under work; up to which units were counted */
    uint32_t looks, walks, busy;
    bool is_suspect; /* the unit: here something was lost */
    struct digest theirs_now, before,
        listed;      /* of the member's: last told, before its list, of its list */
    uint64_t cursor; /* INVENTORY */
    struct unit_file file;
    struct object object;
    struct intake delete;
    bool is_delete_out;
    /* own files that the member does not have */
    struct unit_walk walk;
    struct unit_walk_memory *memory;
    struct unit_file *extras;
    uint32_t extra_count, extra_at, extras_deleted;
    bool has_more_extras, has_walked;
    struct reconcile_take takes[RECONCILE_TAKES];
    struct bulk bulk;
    int64_t tokens; /* bytes that may be taken now; negative: taken ahead */
    uint64_t token_ns, wake_ns;
    bool is_waiting;
    uint8_t *sheet; /* of the link */
    /* for status: files of the members, and those gone through; the filling pass */
    _Atomic uint64_t files_all,
        files_done; /* of `counted_of`, the first member that is gone through */
    uint32_t counted_of;
};

/** Bytes of memory, once per storage. */
uint64_t reconcile_bytes(void);

/** On loop 0, when its memory may be taken. Errors: BUSY, NO_RESOURCE. */
MUST err_t reconcile_open(struct reconcile *reconcile, struct storage *storage);
/** All loops run: passes may begin. */
void reconcile_run(struct reconcile *reconcile);
/** Loop 0 is to end. True: all is at rest. */
MUST bool reconcile_rest(struct reconcile *reconcile);
void reconcile_close(struct reconcile *reconcile);

/** Loop 0: a pass that begins after this call; returns its number. `is_deep`: everything here is read
 * first (scrub.h). */
uint64_t reconcile_request(struct reconcile *reconcile, bool is_deep);
/** Is that pass over? */
bool reconcile_is_over(const struct reconcile *reconcile, uint64_t pass);

/** Loop 0: fill this storage from the members: passes follow each other until one went through
 * everything of every member that is alive, at least one. */
void reconcile_fill(struct reconcile *reconcile);
bool reconcile_is_filled(const struct reconcile *reconcile);

/** A member knows more of this storage than it does itself, or its log begins too late for us: this
 * storage is to be filled again. On any loop; said again and again it counts once. */
void reconcile_note_lost(struct storage_loop *loop);

/** For storage->filling (ready.h), before the loops are opened. */
struct storage_filling reconcile_filling(void);

#endif
