/* A storage: mount points, loops, doors and heartbeats under one roof. A process (or a simulated
 * node) has one. It makes no threads: the caller gives it loops and turns them.
 *
 *   storage_open        sums, secrets; no loop yet            (fails: nothing is held)
 *   storage_loop_enter  on each loop: its index, its seam, and that of loop 0
 *   storage_loop_run    turns the loop until the storage is closed and this loop holds nothing
 *   storage_result      why it ended
 *
 * storage_stop() on loop 0 begins the end: goodbye to the trackers, no new requests, those in flight
 * end (bounded by drain_timeout), streams close with a clean checkpoint, mount points are marked clean.
 * A start that fails ends the same way: storage_loop_run returns on every loop.
 *
 *   loop 0                                            the others
 *   wait until all have entered                <----  entered
 *   open mount points (format empty ones)
 *   new disks: ask trackers and members (ready.h)
 *   OPEN    -------------------------------------->   store, streams (recovery), pools
 *   LISTEN  one after the other, port of loop 0 -->   server
 *   RUN     -------------------------------------->   requests are served
 *   heartbeats; each second a tour over all loops: free space and fences out, counters home
 *   DRAIN   -------------------------------------->   requests end
 *   CLOSE   -------------------------------------->   streams close
 *   mount points are marked clean, closed
 *   END     -------------------------------------->   over
 *
 * States (heartbeat, PONG, status): core/readiness.h.
 *
 * A mount point that cannot be opened, or fails, is fenced: named in log and status, the others go
 * on. Only when none is left (at start) the storage gives up. */
#ifndef CAIRN_STORAGE_SERVER_H
#define CAIRN_STORAGE_SERVER_H

#include "base/event.h"
#include "disk/mount.h"
#include "net/server.h"
#include "sight/sight.h"
#include "storage/budget.h"
#include "storage/config.h"
#include "storage/fdfs_door.h"
#include "storage/follow.h"
#include "storage/heartbeat.h"
#include "storage/http_door.h"
#include "storage/members.h"
#include "storage/membership.h"
#include "storage/mounts.h"
#include "storage/names.h"
#include "storage/native.h"
#include "storage/pull.h"
#include "storage/push.h"
#include "storage/ready.h"
#include "storage/reconcile.h"
#include "storage/report.h"
#include "storage/scrub.h"
#include "storage/store.h"

struct storage;

struct storage_options {
    const struct storage_config *config;     /* checked; borrowed */
    const struct handshake_secrets *secrets; /* borrowed */
    const struct secret *http_secret;        /* of signed URLs; NULL: none; borrowed */
    const struct secret *token_secret;       /* of FastDFS's tokens; NULL: none; borrowed */
    uint32_t processors;                     /* for loops = 0 */
    uint32_t reserved_descriptors; /* of the caller's own, at least the standard streams */
    uint64_t descriptor_limit;     /* RLIMIT_NOFILE */
    /* Where log lines go; called from every loop. NULL: nowhere. */
    void (*write_log)(void *context, enum event_level level, struct span line);
    enum event_level log_level;
    bool log_is_json;
    /* Loop 0: all loops listen, requests are served. May be NULL. */
    void (*on_running)(struct storage *storage, void *context);
    /* Processor time of the process so far, for status. May be NULL. */
    void (*cpu_time)(void *context, uint64_t *ret_user_ns, uint64_t *ret_system_ns);
    uint64_t process; /* its number */
    bool has_kernel;  /* a real one: what is held is compared with it, and looked at every 5 s */
    void *context;
};

enum storage_phase {
    STORAGE_PHASE_ENTERED,
    STORAGE_PHASE_OPENING, /* streams recover and lease ids */
    STORAGE_PHASE_OPEN,
    STORAGE_PHASE_LISTENING,
    STORAGE_PHASE_RUNNING,
    STORAGE_PHASE_DRAINING, /* requests end */
    STORAGE_PHASE_AT_REST,
    STORAGE_PHASE_CLOSING, /* streams close */
    STORAGE_PHASE_CLOSED,
    STORAGE_PHASE_OVER,
};

/** What loop 0 says to a loop, and each loop answers when it is done. */
enum storage_verb {
    STORAGE_ENTERED, /* answer only */
    STORAGE_OPEN,
    STORAGE_LISTEN,
    STORAGE_RUN,
    STORAGE_DRAIN,
    STORAGE_CLOSE,
    STORAGE_END,
};

/** A word between two loops of a storage. */
struct storage_word {
    struct io_message message;
    struct storage_loop *loop; /* not loop 0, unless it speaks to itself */
    enum storage_verb verb;
    struct io_address address, http_address, fastdfs_address; /* LISTEN */
    uint8_t state;                                            /* RUN */
    err_t err;                                                /* of an answer */
};

/** Mount points that failed on a loop, on the way to loop 0. */
struct storage_fence_word {
    struct io_message message;
    struct storage_loop *loop;
    uint64_t positions[STORAGE_MOUNTS_MAX / 64]; /* bits */
    err_t err;
    void (*acknowledged)(struct io *here, struct io_message *message);
    bool is_out;
};

/** One loop of a storage; written by its own thread only. */
struct storage_loop {
    struct storage *storage;
    struct io *io;
    struct io *first; /* of loop 0 */
    uint16_t index;
    enum storage_phase phase;
    bool is_due; /* command.verb is to be done, outside of a turn */
    bool is_store_open, is_native_open, is_follow_open, is_net_open, is_server_open, is_push_open;
    bool holds_tombstones; /* a comparison with another storage is under way */
    bool is_ticking, is_touring;
    uint8_t state; /* enum storage_state, as told by loop 0 */
    err_t err;     /* of opening or listening */
    uint64_t drain_deadline_ns;
    struct mem mem;
    struct owner owner;
    struct event_log log;
    struct store store;
    struct net_loop net;
    struct net_server server;
    struct native native;
    struct http_door http;
    struct fdfs_door fdfs;
    struct net_tick tick; /* the drain deadline */
    struct storage_counters counters;
    struct balance_cursor cursor;
    struct pulls pulls;
    struct reconcile_word lost; /* to loop 0 */
    struct scrub scrub;
    struct members members; /* of the group, but this storage */
    void (*members_hooks[MEMBERS_HOOKS_MAX])(struct storage_loop *loop);
    uint32_t members_hook_count;
    struct pushes pushes;   /* if is_push_open */
    struct follows follows; /* if is_follow_open */
    /* a mirror knows more of a stream of this loop than we do: state was lost here. May be NULL */
    void (*on_behind_itself)(struct storage_loop *loop, uint32_t machine);
    struct members_word members_word; /* from loop 0 */
    struct names names;               /* maps of old names */
    struct names_word names_word;     /* from loop 0 */
    struct storage_word command;      /* from loop 0 */
    struct storage_word answer;       /* to loop 0 */
    struct storage_fence_word fence;
    uint64_t fences[STORAGE_MOUNTS_MAX / 64]; /* not yet on their way */
    err_t fence_err;
};

/** What the tour tells every loop of a mount point. */
struct storage_tour_mount {
    err_t err; /* fenced */
    uint64_t total_bytes, free_bytes;
};

/** Waits for a tour that begins after it was asked for. */
struct storage_tour_waiter {
    struct list link;
    uint64_t number;
    void (*toured)(struct storage_tour_waiter *waiter);
};

/** A message that visits every loop and comes home; one at a time. */
struct storage_tour {
    struct io_message message;
    struct storage *storage;
    uint16_t at; /* loop */
    bool is_out, is_wanted;
    uint64_t number;                   /* of the newest that began */
    struct storage_tour_mount *mounts; /* by position */
    struct list waiters;
};

struct storage {
    struct storage_config config;
    struct storage_options options;
    struct storage_budget budget;
    struct id_clock clock;
    uint16_t loop_count;
    struct storage_loop loops[STORAGE_LOOPS_MAX];
    /* written by loop 0 before the word OPEN, fixed from there on */
    struct storage_mount_plan plan[STORAGE_MOUNTS_MAX];
    struct nonce uuid;
    uint64_t incarnation;
    bool
        has_mirrors; /* members were known at the start: their logs are kept from the first moment on */
    struct storage_filling filling;
    struct storage_tour tour;
    struct survey survey;
    struct sight sight;
    /* loop 0 only */
    err_t err; /* why it could not start */
    char why[MOUNT_REFUSAL_TEXT_MAX];
    struct storage_mounts mounts;
    struct storage_loop_report *reports; /* of each loop, by the last tour */
    struct heartbeat heartbeat;
    struct membership membership;
    struct names_book names;
    struct contacts contacts;
    struct storage_ready ready;
    struct reconcile reconcile;
    struct pool scrapes;                    /* metrics.h */
    char address[IO_ADDRESS_TEXT_MAX];      /* told to trackers */
    char http_address[IO_ADDRESS_TEXT_MAX]; /* the same; "" none */
    uint8_t state;                          /* enum storage_state, as told to trackers */
    uint8_t run_state;                      /* that the loops begin with */
    uint16_t answers;                       /* still to come */
    enum storage_verb verb;                 /* what they answer */
    enum storage_office {
        OFFICE_NONE,
        OFFICE_OPEN,
        OFFICE_FINISH
    } office;           /* due, outside a turn */
    uint16_t listening; /* loops */
    bool is_stopping, is_stop_begun, is_heartbeat_on, is_ticking, has_mounts;
    uint64_t started_wall_ns, started_ns;
    struct net_tick tick; /* each second: free space, then a tour */
    uint64_t refresh_ns, status_ns;
};

/** Sums and copies; `storage` (2.2 MiB) stays put until its loops are over. No loop is
 * needed yet: storage->loop_count tells how many the caller must give.
 * Errors: NO_RESOURCE: too few descriptors: storage_budget_print_descriptors(&storage->budget) says
 * what is missing. */
MUST err_t storage_open(struct storage *storage, const struct storage_options *options);

/** On the thread of loop `index`: enter it with its seam; `first` is the seam of loop 0. Its ledger
 * must have no other holders of memory of this storage. */
void storage_loop_enter(struct storage *storage, uint16_t index, struct io *io, struct io *first);

/** Turn until this loop is over. */
void storage_loop_run(struct storage *storage, uint16_t index);

/** Do what is due outside of a turn: for callers that turn the loops themselves (the simulator),
 * after turns. Returns false when the loop is over and holds nothing. */
bool storage_loop_step(struct storage *storage, uint16_t index);

/** Loop 0: begin the end. May come at any time, also while starting, and twice. */
void storage_stop(struct storage *storage);

/** Why it ended: OK after storage_stop(). Errors: what the start failed with (storage->why). */
MUST err_t storage_result(const struct storage *storage);

/** Where it listens, once it is running. */
const struct io_address *storage_address(const struct storage *storage);
/** The same for HTTP and for FastDFS; family 0: it does not. */
const struct io_address *storage_http_address(const struct storage *storage);
const struct io_address *storage_fastdfs_address(const struct storage *storage);

/* ---- for the doors ---- */

/** The loop that this server belongs to. */
struct storage_loop *storage_loop_of(const struct net_server *server);

#endif
