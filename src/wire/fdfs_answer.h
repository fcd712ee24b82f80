/* Bodies of FastDFS answers. A writer that was too small has failed; see wire/fdfs.h. */
#ifndef CAIRN_WIRE_FDFS_ANSWER_H
#define CAIRN_WIRE_FDFS_ANSWER_H

#include "wire/fdfs.h"

enum {
    FDFS_IPV4_TEXT = 15, /* field of addresses, one less where no NUL is counted */
    FDFS_IPV6_TEXT = 45,
    FDFS_GROUP_RECORD = 113, /* bytes of a group in lists */
    FDFS_STORAGE_RECORD = 487,
    FDFS_STORAGE_RECORD_IPV6 = 517,
    FDFS_STORAGE_COUNTERS = 42,
    FDFS_VERSION_SIZE = 8,
    FDFS_SUBDIRECTORIES = 256, /* what clients are told: names of ours have two such levels */
};

/** Bytes of an address field that every one of `count` addresses fits into. */
size_t fdfs_address_size(const char *const *addresses, size_t count);

/** `text` in a field of `size` bytes, padded with NUL; fails if it does not fit. */
void fdfs_write_padded(struct writer *w, struct span text, size_t size);
void fdfs_write_number(struct writer *w, uint64_t number);

/** Group and name of a file: what uploads answer. */
void fdfs_write_file(struct writer *w, const char *group, struct span name);

struct fdfs_file_info {
    uint64_t size;
    uint64_t time_s; /* unix seconds */
    uint32_t crc;
    const char *address; /* of the source, without port */
};
/** `is_wide`: the address field has the size for IPv6 whatever the address. */
void fdfs_write_file_info(struct writer *w, const struct fdfs_file_info *info, bool is_wide);

struct fdfs_group_info {
    const char *name;
    uint64_t total_mb, free_mb, reserved_mb;
    uint64_t storage_count, storage_port, readable_count, writable_count;
    uint64_t path_count;
};
void fdfs_write_group(struct writer *w, const struct fdfs_group_info *info);

enum fdfs_storage_state {
    FDFS_STATE_INIT = 0,
    FDFS_STATE_WAIT_SYNC = 1,
    FDFS_STATE_SYNCING = 2,
    FDFS_STATE_OFFLINE = 5,
    FDFS_STATE_ONLINE = 6,
    FDFS_STATE_ACTIVE = 7,
    FDFS_STATE_RECOVERY = 9,
};

struct fdfs_storage_info {
    uint8_t state; /* enum fdfs_storage_state */
    const char *id, *address, *version;
    uint64_t joined_s, up_s, total_mb, free_mb, reserved_mb, path_count, port;
    uint64_t heartbeat_s; /* unix seconds of the last one */
};
/** `address_size`: FDFS_IPV4_TEXT or FDFS_IPV6_TEXT; one for all records of an answer. */
void fdfs_write_storage(
    struct writer *w, const struct fdfs_storage_info *info, size_t address_size);

#endif
