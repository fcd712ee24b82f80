/* What a storage may hold, as sums that name every holder: descriptors and memory. Pure.
 *
 * Where the limit of descriptors is low, counts shrink to fit (connections, requests and chunk files
 * together; then the loops go down to one), and below the least that works the start is refused. */
#ifndef CAIRN_STORAGE_BUDGET_H
#define CAIRN_STORAGE_BUDGET_H

#include "net/listener.h"
#include "storage/config.h"
#include "storage/members.h"

#define STORAGE_DESCRIPTORS(X)                                                                  \
    X(BASE, "base")                   /* standard streams, signals, what the caller reserves */ \
    X(RINGS, "rings")                 /* of each loop: ring, wake-up */                         \
    X(LISTENERS, "listeners")         /* of each loop: listener, one accepted, one refused */   \
    X(CONNECTIONS, "connections")     /* */                                                     \
    X(HTTP, "HTTP connections")       /* and a listener of each loop */                         \
    X(FASTDFS, "FastDFS connections") /* the same */                                            \
    X(TRACKERS, "trackers")           /* */                                                     \
    X(MEMBERS, "members")             /* one connection to each, the file of all */             \
    X(PULLS, "pulls")                 /* of each loop: connections to other members */          \
    X(MOUNTS, "mounts")               /* lock and status; the directory again on every loop */  \
    X(STREAMS, "streams")             /* log segments, checkpoint, directories */               \
    X(CHUNK_FILES, "chunk files")     /* */                                                     \
    X(SINGLE_FILES, "single files")   /* requests in flight times what one may open */          \
    X(MIRRORS, "mirrors")             /* of each stream and mirror: connection, log segment */  \
    X(ADMIN, "admin")                 /* for the operator's questions */

enum storage_descriptors {
#define X(name, text) STORAGE_DESCRIPTORS_##name,
    STORAGE_DESCRIPTORS(X)
#undef X
        STORAGE_DESCRIPTORS_COUNT
};

#define STORAGE_MEMORIES(X)               \
    X(LOOPS, "loops")                     \
    X(CONNECTIONS, "connections")         \
    X(HTTP, "HTTP")                       \
    X(FASTDFS, "FastDFS")                 \
    X(RECEIVE_BUFFERS, "receive buffers") \
    X(REQUESTS, "requests")               \
    X(WORK_BUFFERS, "work buffers")       \
    X(STREAMS, "streams")                 \
    X(CHUNK_FILES, "chunk files")         \
    X(PULLS, "pulls")                     \
    X(MIRRORS, "mirrors")

enum storage_memories {
#define X(name, text) STORAGE_MEMORIES_##name,
    STORAGE_MEMORIES(X)
#undef X
        STORAGE_MEMORIES_COUNT
};

enum {
    STORAGE_CONNECTIONS_MIN = 4,
    STORAGE_REQUESTS_MIN = 2,
    STORAGE_STREAM_DESCRIPTORS = 8,  /* log 3, chunk maker 2, checkpoint 2, dirty single 1 */
    STORAGE_RECENT_UPLOADS = 16384,  /* of each loop, remembered by nonce: about 2.5 MiB */
    STORAGE_STREAM_CHUNK_FILES = 4,  /* active, sealing, next, making */
    STORAGE_REQUEST_DESCRIPTORS = 4, /* a modify of a single: old, new, its directory, the change */
    STORAGE_REQUEST_CHUNK_FILES = 3, /* home, target, freed */
    STORAGE_LISTENER_DESCRIPTORS = 2 + LISTENER_REFUSALS, /* with one just accepted */
    STORAGE_ADMIN_DESCRIPTORS = 4,
    STORAGE_MIRROR_DESCRIPTORS = 2,
    STORAGE_INTAKE_DESCRIPTORS = 2, /* a single file that is made, its directory */
};

struct storage_budget_request {
    const struct storage_config *config;
    uint32_t loops;            /* wanted, at least 1 */
    uint32_t stream_count;     /* of all mount points; 0: as they would be formatted */
    uint32_t reserved;         /* descriptors of the caller's own: standard streams, signals */
    uint64_t descriptor_limit; /* RLIMIT_NOFILE */
};

struct storage_budget {
    uint32_t loops;
    uint32_t streams_at_format; /* of one mount point */
    uint32_t stream_count;      /* of all */
    /* of each loop */
    uint32_t connection_max, request_max, chunk_files;
    uint32_t intake_max, pull_max; /* records received, files fetched at one time */
    uint32_t peers_max;            /* mirrors; 0: there is no room for any */
    uint32_t member_max;           /* of the group: connected to by loop 0 */
    uint32_t http_connection_max;  /* 0: no HTTP */
    uint32_t fastdfs_connection_max;
    bool is_shrunk;
    uint64_t descriptors[STORAGE_DESCRIPTORS_COUNT], descriptor_sum, descriptor_limit;
    uint64_t memory[STORAGE_MEMORIES_COUNT], memory_sum; /* bytes */
};

/** Do the sums. Errors: NO_RESOURCE: not even the least fits; ret->descriptor_sum is then what
 * would be needed. */
MUST err_t storage_budget(const struct storage_budget_request *request, struct storage_budget *ret);

/** "descriptors: 4 base + 256 connections + ... = 412 of 20000", and what was shrunk. */
void storage_budget_print_descriptors(const struct storage_budget *budget, struct text *text);
/** "memory: 12.0 MiB work buffers + ... = 61.2 MiB". */
void storage_budget_print_memory(const struct storage_budget *budget, struct text *text);

/** Connections to mirrors that a loop may open. */
uint32_t push_connections_max(const struct storage_budget *budget);

const char *storage_descriptors_name(enum storage_descriptors holder);
const char *storage_memories_name(enum storage_memories holder);

#endif
