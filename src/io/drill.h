/* Drills: leaks that are made on purpose, to see that `cairn doctor` names them. Only in builds with
 * CAIRN_DRILLS, and only for who sets the environment variable CAIRN_DRILL to the name of one; in all
 * others a drill is no code at all.
 *
 *   drill_open (before the loop turns) -> DRILL_...() where a leak of this kind would be -> never given
 *   back: the process does not end in order any more
 *
 * A drill leaks at most DRILL_SLOTS things. */
#ifndef CAIRN_IO_DRILL_H
#define CAIRN_IO_DRILL_H

#include "base/mem.h"
#include "io/io.h"

#define DRILLS(X)                                                                           \
    X(SYNC_RECV_FD, "sync-recv-fd")   /* a descriptor of each file that is received */      \
    X(SYNC_SEND_MAP, "sync-send-map") /* a mapping, entered with length 0, of each batch */ \
    X(ERROR_SLOT, "error-slot")       /* the slot of each request that fails */             \
    X(TRACKER_HEAP, "tracker-heap")   /* memory of each answer of a tracker */              \
    X(GONE_CLIENT, "gone-client")     /* the connection of each client that goes */         \
    X(TIMER, "timer")                 /* a timer of each upload */                          \
    X(SPACE, "space")                 /* the space reserved for each upload */

enum drill_kind {
    DRILL_NONE,
#define X(name, text) DRILL_##name,
    DRILLS(X)
#undef X
        DRILL_COUNT
};

enum { DRILL_SLOTS = 4096 };

struct drill;

/** The drill of this name; NONE: there is none, or this build has no drills. */
enum drill_kind drill_find(const char *name);
/** Begin on this loop. Errors: NO_RESOURCE. */
MUST err_t drill_open(struct io *io, enum drill_kind kind);

#ifdef CAIRN_DRILLS
bool drill_is_on(const struct io *io, enum drill_kind kind);
void drill_leak_fd(struct io *io, struct owner *owner, const struct site *site);
void drill_leak_map(struct io *io, struct owner *owner, const struct site *site);
void drill_leak_timer(struct io *io, struct owner *owner, const struct site *site);
void drill_leak_space(struct io *io, struct owner *owner, uint64_t size, const struct site *site);
void drill_leak_memory(struct mem *mem, struct owner *owner, const struct site *site);

#define DRILL_IS_ON(io, kind) drill_is_on((io), DRILL_##kind)
#define DRILL_LEAK_FD(io, owner) drill_leak_fd((io), (owner), SITE())
#define DRILL_LEAK_MAP(io, owner) drill_leak_map((io), (owner), SITE())
#define DRILL_LEAK_TIMER(io, owner) drill_leak_timer((io), (owner), SITE())
#define DRILL_LEAK_SPACE(io, owner, size) drill_leak_space((io), (owner), (size), SITE())
#define DRILL_LEAK_MEMORY(mem, owner) drill_leak_memory((mem), (owner), SITE())
#else
#define DRILL_IS_ON(io, kind) false
#define DRILL_LEAK_FD(io, owner) ((void)0)
#define DRILL_LEAK_MAP(io, owner) ((void)0)
#define DRILL_LEAK_TIMER(io, owner) ((void)0)
#define DRILL_LEAK_SPACE(io, owner, size) ((void)0)
#define DRILL_LEAK_MEMORY(mem, owner) ((void)0)
#endif

#endif
