/* What a mount point says of itself: the bytes of the file cairn.mount. Pure.
 *
 * Two copies of 8 KiB, one after the other; generation g lies in copy g mod 2, so that a torn
 * rewrite never touches the newest good one. Format: doc/disk-format.md, section "Mount point". */
#ifndef CAIRN_DISK_MOUNT_IMAGE_H
#define CAIRN_DISK_MOUNT_IMAGE_H

#include "base/bytes.h"
#include "base/err.h"
#include "wire/fid.h"

enum {
    MOUNT_FORMAT = 1,
    MOUNT_COPY_SIZE = 8192,
    MOUNT_COPIES = 2,
    MOUNT_INDEX_COUNT = 256,
    MOUNT_STREAMS_MAX = 256,
    MOUNT_LOG_SEGMENT_MIN = 4096,
    UUID_SIZE = 16,
};

/** Where the mount point belongs. An all-zero UUID is not known yet. */
struct mount_identity {
    uint8_t cluster_uuid[UUID_SIZE];
    uint8_t storage_uuid[UUID_SIZE];
    uint8_t mount_uuid[UUID_SIZE];
    uint32_t machine; /* 1 .. MACHINE_MAX */
    uint8_t index;    /* of the mount point at its storage */
    char group[GROUP_NAME_MAX + 1];
};

/** Fixed at format. */
struct mount_shape {
    uint16_t stream_count;     /* 1 .. MOUNT_STREAMS_MAX */
    uint32_t chunk_size;       /* bytes */
    uint32_t log_segment_size; /* bytes, a multiple of 4096 */
    uint64_t single_min;       /* contents from this size on are single files; bytes */
    uint64_t created_ns;       /* wall clock */
};

/** Written again and again. */
struct mount_status {
    uint64_t epoch;       /* how often it was entered */
    uint64_t incarnation; /* of the storage, as far as this mount point was told */
    uint64_t expected_files, expected_bytes; /* what it held when this was written */
    uint64_t written_ns;                     /* wall clock */
    bool is_clean;    /* the storage left it in order, and wrote nothing after this */
    bool is_unfilled; /* formatted, and not yet known to hold what the group's mirrors hold */
};

/** What is known of another mount point of the storage; generation 0: nothing. A disk that comes back
 * with less is stale: restored from a copy, or replaced by another. */
struct mount_witness {
    uint8_t mount_uuid[UUID_SIZE];
    uint64_t generation;
};

struct mount_image {
    uint64_t generation; /* >= 1, grows with every write */
    struct mount_identity identity;
    struct mount_shape shape;
    struct mount_status status;
    struct mount_witness witness[MOUNT_INDEX_COUNT]; /* by index; its own place says itself */
};

bool uuid_is_none(const uint8_t uuid[UUID_SIZE]);
bool uuid_equals(const uint8_t a[UUID_SIZE], const uint8_t b[UUID_SIZE]);

/** True if every field is in its range: what encode CHECKs and decode refuses. */
bool mount_image_is_valid(const struct mount_image *image);

void mount_image_encode(const struct mount_image *image, uint8_t ret[MOUNT_COPY_SIZE]);

/** `copy` of 0 or 1. Errors: CORRUPT (never written, torn, damaged, of the other copy), FORMAT. */
MUST err_t mount_image_decode(
    const uint8_t bytes[MOUNT_COPY_SIZE], unsigned copy, struct mount_image *ret);

#endif
