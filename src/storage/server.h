/* A storage: mount points, loops, doors and heartbeats under one roof. A process (or a simulated
 * node) has one. It makes no threads: the caller gives it loops and turns them.
 *
 *   storage_open        sums, secrets; no loop yet            (fails: nothing is held)
 *   storage_loop_enter  on each loop: its index, its seam, and that of loop 0
 *   storage_loop_run    turns the loop until the storage is closed and this loop holds nothing
 *   storage_result      why it ended; storage_fini
 *
 * storage_stop() on loop 0 begins the end: goodbye to the trackers, no new requests, those in flight
 * end (bounded by drain_timeout), streams close with a clean checkpoint, mount points are marked clean.
 * A start that fails ends the same way: storage_loop_run returns on every loop.
 *
 *   loop 0                                            the others
 *   wait until all have entered                <----  entered
 *   open mount points (format empty ones)
 *   OPEN    -------------------------------------->   store, streams (recovery), pools
 *   LISTEN  one after the other, port of loop 0 -->   server
 *   RUN     -------------------------------------->   requests are served
 *   heartbeats; each second a tour over all loops: free space and fences out, counters home
 *   DRAIN   -------------------------------------->   requests end
 *   CLOSE   -------------------------------------->   streams close
 *   mount points are marked clean, closed
 *   END     -------------------------------------->   over
 *
 * States (heartbeat, PONG, status): initing -> accepting (listens) -> running -> closing -> closed.
 *
 * A mount point that cannot be opened, or fails, is fenced: named in log and status, the others go
 * on. Only when none is left (at start) the storage gives up. */
#ifndef CAIRN_STORAGE_SERVER_H
#define CAIRN_STORAGE_SERVER_H

#include "base/event.h"
#include "disk/mount.h"
#include "net/server.h"
#include "storage/budget.h"
#include "storage/config.h"
#include "storage/heartbeat.h"
#include "storage/native.h"
#include "storage/store.h"

struct storage;

struct storage_options {
    const struct storage_config *config;      /* checked; borrowed */
    const struct handshake_secrets *secrets;  /* borrowed */
    const char *http_address;                 /* for heartbeats; "" none; borrowed */
    uint32_t processors;                      /* for loops = 0 */
    uint32_t reserved_descriptors;            /* of the caller's own, at least the standard streams */
    uint64_t descriptor_limit;                /* RLIMIT_NOFILE */
    /* Where log lines go; called from every loop. NULL: nowhere. */
    void (*write_log)(void *context, enum event_level level, struct span line);
    enum event_level log_level;
    bool log_is_json;
    /* Loop 0: all loops listen, requests are served. May be NULL. */
    void (*on_running)(struct storage *storage, void *context);
    /* Processor time of the process so far, for status. May be NULL. */
    void (*cpu_time)(void *context, uint64_t *ret_user_ns, uint64_t *ret_system_ns);
    void *context;
};

/** Counters of one loop since the start. */
struct storage_counters {
    uint64_t uploads, finds, modifies, deletes, stats, lists, refused;
    uint64_t bytes_in, bytes_out;
};

/** What a loop tells of itself, copied by the tour. */
struct storage_loop_report {
    struct storage_counters counters;
    uint32_t connections, requests;
    uint64_t live_files[STORAGE_MOUNTS_MAX];
    uint64_t fds, fds_max, memory, memory_max;
};

enum storage_phase {
    STORAGE_PHASE_ENTERED,
    STORAGE_PHASE_OPEN, /* streams are open */
    STORAGE_PHASE_LISTENING,
    STORAGE_PHASE_RUNNING,
    STORAGE_PHASE_DRAINING,
    STORAGE_PHASE_CLOSED, /* streams are closed */
    STORAGE_PHASE_OVER,
};

