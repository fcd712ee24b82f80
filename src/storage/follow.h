/* The receiving side of mirroring: other storages of the group push their streams to this one. One per
 * loop. doc/protocol.md section "Between storages", doc/decisions/0021-mirrors.md.
 *
 *   FOLLOW        who is it, a member of ours? The connection moves to the loop that keeps the positions
 *                 of this source (route.h); the answer says where to go on, and how much may be under way
 *   PUSH          entries, taken up in order, applied side by side by intakes of a bounded pool
 *   PUSH_SINGLE   one entry, whose content follows
 *
 *   follower:  | push | push | push |  requests in order of the stream, from its position on
 *                 |      `-- entries are begun when all of the one before are begun
 *                 `-- answered when all its entries are durable, and it is the first
 *
 * A file whose home is kept by another loop goes there by message, and the answer comes back.
 * A push that fails is answered with an error, and so is all that was behind it; the position does not
 * move, and the sender begins there again. Positions are logged once a second while changes come. One that moved by no change is no news: were it
 * logged each time, idle storages would keep each other writing, since what is logged here moves our positions
 * at the others. */
#ifndef CAIRN_STORAGE_FOLLOW_H
#define CAIRN_STORAGE_FOLLOW_H

#include "net/loop.h"
#include "net/server.h"
#include "storage/intake.h"

struct native;
struct native_op;
struct storage_loop;

enum {
    /* Of a loop, at a time: as many records as one commit takes, for its latency bounds catching up. Fewer
     * where few files may be open. */
    FOLLOW_INTAKES = 64,
    FOLLOW_INTAKES_LEAST = 4,
    FOLLOW_ASSEMBLIES = 4,   /* of a loop: entries that come in several frames */
    FOLLOW_SOURCES = 128,    /* of a loop */
    FOLLOW_ENTRIES = 1024,   /* of one push; what a frame can hold of the smallest is 963 */
    FOLLOW_CREDIT = 1 << 20, /* bytes */
    FOLLOW_HEAD = ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE + RECORD_EXTENSION_SIZE + 2 * SLOT_META_MAX
                  + 8 * RECORD_ENTRIES_MAX + 8, /* an entry without content */
    FOLLOW_LOG_MS = 1000,    /* positions that moved by changes are logged so often */
    FOLLOW_QUIET_MS = 60000, /* the others, with their watermarks */
};

/** A stream of another storage that is pushed to this loop. */
struct follower {
    struct list link; /* in follows->followers */
    struct source_key key;
    struct owner owner;    /* of what is received */
    struct stream *stream; /* that keeps its position */
    struct source *source; /* its position */
    uint64_t connection;   /* number; pushes on others are refused */
    struct list pushes;    /* struct follow_push, in order */
    bool has_news;         /* a change came since its position was logged */
    uint64_t logged_ns;
};

/** A new one of `key`: what is received on it is held in its name. */
static inline void follower_init(
    struct follower *follower, const struct source_key *key, uint64_t now_ns)
{
    *follower = (struct follower){.key = *key};
    owner_open(&follower->owner, "follow", DIRECTION_SYNC_RECV, now_ns);
    follower->owner.peer_machine = follower->owner.object_origin = key->machine;
}

/** What a PUSH or PUSH_SINGLE says of itself. */
struct follow_terms {
    uint64_t incarnation, lsn_from, lsn_to, watermark, lost_clock;
    uint32_t count; /* entries */
    bool is_single;
};

/** A PUSH or PUSH_SINGLE at work; in a native_op. */
struct follow_push {
    struct list link; /* in follower->pushes */
    struct native_op *op;
    struct follower *follower;
    struct follow_terms terms;
    uint32_t begun, running; /* entries */
    struct span rest;        /* of the frame that is here */
    uint8_t *assembly;       /* an entry that came in several frames, so far */
    size_t assembled;
    struct follow_intake *single; /* PUSH_SINGLE: it */
    bool is_fed, is_waiting;      /* for a frame */
    err_t err;
    const char *why;
    struct iovec iov;
    uint32_t missed_count;
    uint8_t missed[8 * FOLLOW_ENTRIES]; /* LSNs, as they go out */
    uint8_t head[FOLLOW_HEAD];          /* PUSH_SINGLE: the entry */
};

/** An intake on behalf of a push, here or on another loop. */
struct follow_intake {
    struct intake intake;
    struct io_message message, body_message;
    struct storage_loop *home, *there;
    struct follow_push *push;
    struct body body; /* as the intake sees it */
    struct machine *body_machine;
    uint64_t lsn;
};

struct follows {
    struct storage_loop *loop;
    struct owner owner;
    struct pool intakes, assemblies, followers_pool;
    size_t assembly_size;
    struct list followers;
    struct net_tick tick;
    uint64_t logged_ns;
    bool is_ticking, is_hungry; /* somebody waits for an intake or an assembly */
    uint64_t pushes_taken, records_taken, records_missed, pushes_refused; /* counters */
};

/** Bytes of memory of one loop. */
uint64_t follows_bytes(const struct store_config *store, uint32_t intake_max);

/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t follows_init(struct follows *follows, struct storage_loop *loop);
/** Somebody follows: positions are logged now and then. */
void follows_begin_ticking(struct follows *follows);
/** All requests have ended: positions are logged for the last time, and the timer ends. */
void follows_stop(struct follows *follows);
void follows_fini(struct follows *follows);

void native_follow(struct native *native, struct net_request *request);
void native_push(struct native *native, struct net_request *request);
void native_push_single(struct native *native, struct net_request *request);

#endif
