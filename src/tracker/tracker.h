/* A tracker: learns storages from their heartbeats and names them to clients. It keeps nothing: a
 * restart is complete within one heartbeat. One loop is enough; any number of trackers may run,
 * and they do not know each other.
 *
 *   tracker_open -> (serves on the loop) -> tracker_drain -> until tracker_is_idle -> tracker_close
 *
 *   HEARTBEAT, GOODBYE   from storages (node role where a secret is set); a refusal carries a sentence
 *   QUERY                whom to ask, best first          STATUS   JSON (status.h, sight)   PING
 *   MEMBER               an operator takes a dead member out
 *   and the same questions in FastDFS's protocol, at a port of its own (fdfs.c)
 *   and over HTTP, at another (http.c)
 *
 * Limits: storages_max, groups_max, pools_max, connection_max; what is above is answered BUSY. */
#ifndef CAIRN_TRACKER_TRACKER_H
#define CAIRN_TRACKER_TRACKER_H

#include "base/event.h"
#include "base/mem.h"
#include "core/registry.h"
#include "net/fdfs_server.h"
#include "net/http_server.h"
#include "net/server.h"
#include "sight/sight.h"
#include "tracker/status.h"

struct tracker_config {
    struct io_address address;         /* port 0: any */
    struct io_address fastdfs_address; /* family 0: no FastDFS door */
    uint32_t fastdfs_connection_max;
    bool shares_loop; /* with a storage, which tells of all that the loop has in flight */
    struct io_address http_address; /* family 0: no HTTP door */
    uint32_t http_connection_max;
    bool fastdfs_wide; /* addresses in answers have the size for IPv6, always */
    const struct handshake_secrets *secrets; /* borrowed */
    struct event_log *log;                   /* borrowed; NULL: none */
    uint32_t storages_max, groups_max, pools_max;
    uint32_t connection_max;         /* clients and storages together */
    uint64_t interval_ns;            /* told to storages: how often they should send */
    uint64_t idle_ns;                /* a connection on which nothing comes for so long is closed */
    uint64_t tick_ns;                /* how exact deadlines are */
    struct registry_config registry; /* its pools are borrowed */
    uint64_t process, descriptor_limit; /* for sight */
    bool has_kernel; /* a real one, and nobody else of this process looks (sight.h) */
};

/** 256 storages, 64 groups, 64 pools, 1024 connections; heartbeats each second, dead after 5 s;
 * loopback, any port; no secrets. */
void tracker_config_default(struct tracker_config *ret);

/** Counters since the start. */
struct tracker_counters {
    uint64_t heartbeats, heartbeats_refused;
    uint64_t queries, queries_refused;
    uint64_t fastdfs_requests, fastdfs_refused;
    uint64_t http_requests, http_refused;
};

struct tracker {
    struct io *io;
    struct mem *mem;
    struct owner owner;
    struct tracker_config config;
    struct net_loop loop;
    struct net_server server;
    struct fdfs_server fdfs;
    struct pool fdfs_pages; /* lists on their way out */
    struct http_server http;
    struct registry registry;
    struct registry_tables tables;
    struct pool answers; /* bytes of answers to queries on their way out */
    struct pool pages;   /* status pages on their way out */
    struct net_tick tick;
    struct sight sight;
    struct recorder *recorder; /* ours; NULL: none */
    struct tracker_counters counters;
    uint64_t started_wall_ns;
    bool has_answers, has_pages, has_loop, has_server, has_fdfs_pages, has_fdfs,
        has_http; /* what was opened */
};

/** Listen and serve from the next turn of `io` on. The struct is the caller's and stays put; `io` and
 * `mem` are borrowed until tracker_close().
 * Errors: BUSY, NO_RESOURCE (memory), USAGE (pools of the configuration), those of listening;
 * nothing is held then. */
MUST err_t tracker_open(
    struct tracker *tracker, struct io *io, struct mem *mem, const struct tracker_config *config);

/** Where it listens, with the real port. */
const struct io_address *tracker_address(const struct tracker *tracker);

/** The same of the FastDFS and the HTTP door; family 0: there is none. */
const struct io_address *tracker_fastdfs_address(const struct tracker *tracker);
const struct io_address *tracker_http_address(const struct tracker *tracker);

/** Accept nobody and no request any more; what is under way is finished. */
void tracker_drain(struct tracker *tracker);
/** The same at once: connections are cut. */
void tracker_cut(struct tracker *tracker);
/** Nothing is under way any more, after tracker_drain() or tracker_cut(). */
bool tracker_is_idle(const struct tracker *tracker);
/** Give all back. CHECKs that it is idle. */
void tracker_close(struct tracker *tracker);

#endif
