/* Sight: what a process holds, by place, owner, direction and age; on demand and every five seconds.
 *
 * A pass visits all loops of the process, one after the other, by a message; at each loop it walks the
 * ledger a few hundred entries at a time and lets the loop work in between. In a process with a real
 * kernel it compares with that (reality.h) and remembers how everything grows (growth.h).
 *
 *   sight_open -> sight_watch (passes by themselves) / sight_ask -> sight_stop -> until sight_is_idle
 *   -> sight_close
 *
 *   home      descriptors of the kernel | ... -> loop 0 | ... -> loop 1 | ... -> home
 *   home      mappings of the kernel    | ... -> growth, findings, answers to who asked
 *
 * One pass at a time; who asks while one is out gets the next. All memory is taken at the start. */
#ifndef CAIRN_SIGHT_SIGHT_H
#define CAIRN_SIGHT_SIGHT_H

#include "base/event.h"
#include "io/io.h"
#include "sight/growth.h"
#include "sight/reality.h"

enum { SIGHT_LOOPS_MAX = 64, SIGHT_SLICE = 512 };
#define SIGHT_INTERVAL_NS (5 * NS_PER_S)

/** Waits for a pass that begins after it was asked for. */
struct sight_waiter {
    struct list link;
    uint64_t number;
    void (*seen)(struct sight_waiter *waiter);
};

struct sight_options {
    struct io *loops[SIGHT_LOOPS_MAX]; /* the first is home */
    uint16_t loop_count;
    uint32_t machine; /* own number; 0: a tracker */
    struct mem *mem;
    struct event_log *log;     /* borrowed; NULL: none */
    uint64_t descriptor_limit; /* RLIMIT_NOFILE */
    uint64_t process;          /* its number, for who asks several roles of one process */
    bool has_kernel;           /* compare with it; not in the simulator */
};

struct sight {
    struct sight_options options;
    struct owner owner;
    struct io_message message;
    struct ledger_walk walk;
    struct census *filling, *shown; /* of the pass under way, of the last */
    struct growth *growth;
    struct reality reality;
    enum sight_stage {
        SIGHT_AT_HOME,
        SIGHT_SCANS,  /* the kernel's descriptors */
        SIGHT_WALKS,  /* a ledger */
        SIGHT_JUDGES, /* the kernel's mappings */
    } stage;
    uint16_t at; /* loop */
    bool is_own; /* the second ledger of the loop: what its backend holds */
    bool is_walking, is_wanted, is_stopping, is_open, is_watching;
    uint64_t number; /* of the newest pass that began */
    uint64_t run_ns;
    uint64_t stepped_ns; /* when growth had its last sample */
    struct list waiters;
    struct io_op timer;
};

/** Takes the memory. Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t sight_open(struct sight *sight, const struct sight_options *options);
/** Bytes that it takes. */
uint64_t sight_bytes(uint64_t descriptor_limit, bool has_kernel);

/** Home: from now on memory is not to be taken any more, and passes go by themselves. */
void sight_watch(struct sight *sight);

/** Home: call waiter->seen once, after a whole pass; at once (and nothing is known) if it is stopping. */
void sight_ask(struct sight *sight, struct sight_waiter *waiter);

/** Home: no further passes; the one that is out comes home. */
void sight_stop(struct sight *sight);
bool sight_is_idle(const struct sight *sight);
/** CHECKs that it is idle. Nothing to do if it is not open. */
void sight_close(struct sight *sight);

#endif
