/* What an operator says about a storage: the declared keys (base/config.h), their defaults, and the
 * checks between keys.
 *
 *   config_add(config, &storage_config_table, &storage) -> read, flags
 *   -> storage_config_check (problems name key and remedy) -> config_finish
 *
 * Texts belong to the `struct config`, which must live as long as the storage. */
#ifndef CAIRN_STORAGE_CONFIG_H
#define CAIRN_STORAGE_CONFIG_H

#include "base/config.h"
#include "core/balance.h"
#include "io/io.h"
#include "storage/push_gate.h"
#include "wire/fid.h"

enum {
    STORAGE_LOOPS_MAX = 64,
    STORAGE_MOUNTS_MAX = 256,
    STORAGE_TRACKERS_MAX = 16,
    STORAGE_POOL_MAX = 63, /* bytes of a pool's name */
};

/** Who may use the HTTP door for reading, and for changes. */
enum http_elsewhere { HTTP_ELSEWHERE_REFUSE, HTTP_ELSEWHERE_REDIRECT, HTTP_ELSEWHERE_PROXY };
enum http_access { HTTP_ACCESS_OPEN, HTTP_ACCESS_SIGNED, HTTP_ACCESS_OFF };

/** Where a mount point is, as `path` or `index:path` says. */
struct storage_mount_config {
    const char *path; /* absolute */
    uint8_t index;    /* in file ids: never changes */
};

struct storage_config {
    /* keys */
    const char *machine; /* "m001", "1" */
    const char *group, *pool;
    struct config_list mounts;
    const char *listen, *advertise; /* advertise "": the address that is listened on */
    struct config_list trackers;
    uint64_t loops;   /* 0: one per processor */
    uint64_t streams; /* of a mount point when it is formatted; 0: one per loop */
    uint32_t balance; /* enum balance_policy */
    uint64_t master_mount;
    struct config_amount reserve; /* of each mount point */
    uint64_t reserve_max;         /* bytes: a reserve in percent is never more */
    uint64_t chunk_size, log_segment_size, log_segments, log_buffer_size;
    uint64_t inline_max, single_min, piece_size, checkpoint_bytes;
    struct config_amount slack;
    uint32_t ack;                 /* of changes that leave it open: enum ack_level less one */
    uint64_t ack_timeout_ns;      /* for mirrors */
    const char *push_window;      /* "": always */
    uint64_t push_rate;           /* bytes per second of the storage; 0: no limit */
    uint64_t rebuild_rate;        /* bytes per second, of the storage; 0: no limit */
    uint64_t scrub_rate;          /* bytes per second, of the storage; 0: never unasked */
    uint64_t compare_interval_ns; /* 0: never unasked */
    uint64_t push_buffers;        /* of each loop */
    uint64_t peers_max;           /* mirrors that are pushed to */
    bool mutable_files;           /* uploads that leave it open (is_mutable 2) are mutable */
    uint64_t connection_max;      /* of each loop, like all counts that follow */
    uint64_t pipeline_max;        /* requests of one connection at one time */
    uint64_t request_max;         /* requests of all connections at one time */
    uint64_t small_buffers, work_buffers, modify_buffers;
    uint64_t receive_buffers, receive_large_buffers;
    uint64_t chunk_files;    /* descriptors kept open for chunk files */
    uint64_t free_slots;     /* of each stream, kept in memory */
    uint64_t member_wait_ns; /* a member that is away for so long is not waited for */
    uint64_t claim_ns;       /* its number is kept for so long */
    bool is_alone;           /* new disks: start without asking */
    bool replace_lost;       /* empty disks have taken the place of lost ones */
    uint64_t heartbeat_interval_ns, idle_timeout_ns, send_timeout_ns, drain_timeout_ns;
    const char *client_secret_file, *node_secret_file; /* "": none */
    /* the FastDFS door */
    const char *fastdfs_listen;                           /* "": none */
    uint64_t fastdfs_connection_max, fastdfs_request_max; /* of each loop */
    uint64_t fastdfs_idle_timeout_ns;
    bool fastdfs_wide; /* addresses in answers have the size for IPv6, always */
    /* the HTTP door */
    const char *http_listen;                        /* "": none */
    uint64_t http_connection_max, http_request_max; /* of each loop */
    uint64_t http_idle_timeout_ns, http_head_timeout_ns;
    uint32_t http_read, http_write; /* enum http_access */
    bool http_metrics;
    const char *http_secret_file;       /* of signatures; "": none */
    const char *http_token_secret_file; /* of FastDFS's tokens; "": none */
    uint64_t http_token_ttl_ns;
    uint32_t http_elsewhere; /* enum http_elsewhere */
    const char *http_cors;   /* origins that browsers may use it from, "*" all, "" none */
    const char *http_cache_mutable, *http_cache_immutable; /* Cache-Control; "" none */
    /* set by storage_config_check() */
    uint32_t machine_number;
    struct storage_mount_config mount[STORAGE_MOUNTS_MAX];
    uint32_t mount_count;
    struct push_window push_window_parsed;
    struct io_address listen_address, http_address; /* http_address.family 0: none */
    struct io_address fastdfs_address;              /* family 0: none */
    struct io_address tracker[STORAGE_TRACKERS_MAX];
    uint32_t tracker_count;
};

extern const struct config_table storage_config_table;

/** Parse what needs more than its key, and check between keys; call it after all sources and before
 * config_finish(). What is wrong is noted as a problem. */
void storage_config_check(struct storage_config *storage, struct config *config);

/** "m001", "M1", "1" -> 1. False: no machine number in 1 .. MACHINE_MAX. */
bool machine_parse(const char *text, uint32_t *ret);

/** Bytes of `total` that uploads may not take. */
uint64_t storage_reserve_bytes(const struct storage_config *storage, uint64_t total);

#endif
