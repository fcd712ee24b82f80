/* Reads everything that this loop's streams keep, in the background: every slot and every single file,
 * against its checksums, and all files of a unit against the unit's digest. What is damaged is brought
 * from another member (store.fetch), each once.
 *
 *   UNIT -> WALK -> FILE -> LOOK -> SEEN -> [PIECE ...] -> FILE ...   at most `scrub_rate` bytes per second
 *     ^       ^-------'               '-> HEALED (under its lock it is damaged still)
 *     '-------'     sum of the files is not the unit's digest: a suspect, which the next comparison
 *                   with another member goes through whatever the digests say (a header was lost)
 *
 * A pass begins SCRUB_PAUSE_S after the last one ended, or when it is asked for; then at full speed. */
#ifndef CAIRN_STORAGE_SCRUB_H
#define CAIRN_STORAGE_SCRUB_H

#include "net/ticker.h"
#include "storage/intake.h"
#include "storage/unit_walk.h"

struct storage_loop;

enum { SCRUB_BATCH = 64, SCRUB_SUSPECTS = 32, SCRUB_PAUSE_S = 3600 };

struct scrub_sums {
    uint64_t units, files, bytes;
    uint64_t damaged, repaired; /* files */
    uint64_t suspects;          /* units whose files are not their digest */
    uint64_t started_ns, ended_ns;
};

struct scrub_suspect {
    struct source_key key;
    uint64_t unit; /* 0: none */
};

struct scrub {
    struct machine machine;
    struct storage_loop *loop;
    struct owner owner;
    struct net_tick tick;
    bool is_open, is_ticking, is_running, is_waiting, is_hurried;
    uint64_t pass; /* that began */
    uint64_t next_ns, token_ns;
    int64_t tokens;
    struct scrub_sums sums, last;
    struct scrub_suspect suspects[SCRUB_SUSPECTS];
    /* where it is */
    uint32_t mount_at, stream_at, source_at;
    uint64_t from;
    struct stream *stream;
    struct source_key key;
    uint64_t unit;
    struct digest before, seen;
    struct unit_walk walk;
    struct unit_walk_memory *memory;
    struct unit_file batch[SCRUB_BATCH];
    uint32_t count, at;
    struct object object;
    uint64_t offset;
    struct file_lock lock;
    bool is_locked;
    struct intake_fetch fetch;
};

/** Bytes of memory of one loop. */
uint64_t scrub_bytes(void);
/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t scrub_open(struct storage_loop *loop);
/** The loop is to end. True: all is at rest. */
MUST bool scrub_rest(struct storage_loop *loop);
void scrub_close(struct storage_loop *loop);

/** A whole pass from now on, at full speed; returns its number. */
uint64_t scrub_request(struct scrub *scrub);
bool scrub_is_over(const struct scrub *scrub, uint64_t pass);

bool scrub_is_suspect(const struct scrub *scrub, const struct source_key *key, uint64_t unit);
void scrub_forget_suspect(struct scrub *scrub, const struct source_key *key, uint64_t unit);

#endif
