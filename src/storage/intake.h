/* One record of another storage into this one, by the rules of core/apply (doc/decisions/0004, 0021).
 * Used by what is pushed to us and by what we pull.
 *
 *   fill -> intake_start (on the loop of store_route(home source)) -> ... -> done
 *
 * It takes the file's lock, looks what is here, decides, writes what may be referenced, appends the
 * record to the local log (with where it stands in its source's, and what it does to the digest), and
 * applies it. A change that does not find its base is fetched whole (store.fetch) and then decided
 * again. What stood in a slot that its allocator has given to somebody else is deleted first.
 *
 * When it is done without error, what the record says is durable here, or never will be needed:
 *
 *   verdict                       is_held
 *   APPLIED, DUPLICATE            true      this version's content is here; a deleted file is gone
 *   SUPERSEDED, LATE, FINAL       false     newer, or deleted; of a delete: true
 *
 * With an error nothing is known: the record must be brought again. */
#ifndef CAIRN_STORAGE_INTAKE_H
#define CAIRN_STORAGE_INTAKE_H

#include "core/apply.h"
#include "disk/mirror_chunk.h"
#include "storage/apply.h"
#include "storage/body.h"
#include "storage/buffer_claim.h"
#include "storage/slot_scan.h"
#include "wire/entry.h"

/** A whole file to be brought from another storage, on behalf of an intake: see store.fetch. */
struct intake_fetch {
    struct store *store;
    struct identity identity;
    struct place home;
    uint32_t from_machine;      /* 0: any, the origin first */
    bool is_repair, may_revive; /* as in struct intake */
    err_t err;                  /* NOT_FOUND: who was asked does not have it */
    bool origin_lacks_it;       /* and one of them is its origin */
    bool origin_is_damaged;     /* the origin says that its own copy is damaged */
    struct stream *held;        /* the fetcher's: whose tombstones stay meanwhile */
    struct list link;           /* the fetcher's */
    void (*done)(struct intake_fetch *fetch);
    void *context;
};

struct intake {
    struct machine machine;
    struct store *store;
    struct entry
        entry; /* its bytes stay put until done; origin: who sends it, never this storage */
    /* The content of a single file, or of a packed one without INLINE; NULL: none. It is read only if
     * it is needed. If it ends early (is_last, but fewer bytes) nothing is applied: SUPERSEDED. */
    struct body *content;
    bool is_repair; /* FULL: what is here is damaged, the same version is written again */
    bool
        may_revive; /* nothing is known of what was deleted: a file that is missing is brought back */
    /* out */
    enum apply_verdict verdict;
    bool is_held;
    err_t err;
    const char *why; /* a sentence for err, of what is wrong with the entry; NULL: none */
    void (*done)(struct intake *intake);
    void *context;
    /* the machine's */
    struct list link; /* in store->intakes, once it has the lock */
    struct stream *stream;
    struct file_lock lock;
    struct buffer_claim buffer;
    struct slot_scan scan;
    struct single_reader reader;
    struct single_writer writer;
    struct single_change change;
    struct single_entry name;
    struct apply_state now;
    struct apply_effects effects;
    struct slot_header home_header; /* of a packed home that is here */
    struct slot_header header;      /* of the content that is here */
    struct slot_header wanted;      /* of the content that the record brings */
    struct span attributes;         /* of it */
    struct chunk_ref home_ref, target_ref;
    struct mirror_chunk maker;
    struct place freed;
    struct io_op op;
    struct iovec iov;
    struct span bytes; /* the content of a slot */
    uint32_t written, crc;
    uint64_t received;
    struct log_append append;
    struct log_waiter log_waiter;
    struct packed_apply apply;
    struct intake_fetch fetch;
    struct intake *child; /* deletes a tenant whose slot is taken */
    struct intake *parent;
    uint64_t witness_lsn; /* a file of ours is missing; all up to here is to be applied ... */
    bool is_settled;      /* ... and was, before the last look */
    bool is_blocked;      /* waits for an earlier intake into the same bytes */
    bool is_fresh;        /* no record ever wrote where the content goes */
    bool has_rest;        /* of a home: something is there that is not this file */
    bool is_damaged;      /* what is here counts in the digest, and can't be read */
    bool is_cut;          /* the content ended early: its sender has another version by now */
    bool was_fetched, is_referenced, has_reader, has_writer, has_change;
    bool is_tenant_gone; /* fetch.identity: nobody has it */
    uint8_t way, tenants_of, tenants_fetched;
    uint8_t scratch[SLOT_SCAN_BUFFER] __attribute__((aligned(8)));
};

/** Check what an entry says before anything is done with it: everything in it is untrusted. `chunk_size`:
 * of this storage. *ret_why: a sentence. Errors: PROTOCOL, CORRUPT, UNSUPPORTED (it can't be held here). */
MUST err_t intake_check(const struct entry *entry, uint32_t self, uint32_t chunk_size,
    bool has_body, const char **ret_why);

/** Errors at the end: those of intake_check; NO_SPACE, OFFLINE, BUSY (a lock, or a limit; again later),
 * CORRUPT (content that is not what its header says), CONFLICT (the chunk is here with another seed),
 * UNAVAILABLE (a base is missing, and nobody could be asked), TOO_LARGE (for our log), CLOSED, IO,
 * OUTCOME_UNKNOWN. */
void intake_start(struct intake *intake, struct store *store);

/** The home source of a record: its route says on which loop the intake runs. */
static inline struct source_key intake_home_source(const struct record *record)
{
    return source_key_of(&record->home);
}

#endif
