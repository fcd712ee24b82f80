/* Who else is in the group, as a storage keeps it: the bytes of the file cairn.members. Pure.
 *
 * Two copies of 4 KiB, one after the other; generation g lies in copy g mod 2, so that a torn rewrite
 * never touches the newest good one. The same on every mount point; the newest counts. Format:
 * doc/disk-format.md, section "Members". */
#ifndef CAIRN_DISK_MEMBERS_IMAGE_H
#define CAIRN_DISK_MEMBERS_IMAGE_H

#include "disk/mount_image.h"
#include "io/io.h"

#define MEMBERS_FILE "cairn.members"

enum {
    MEMBERS_FORMAT = 1,
    MEMBERS_COPY_SIZE = 4096,
    MEMBERS_COPIES = 2,
    MEMBERS_ENTRIES_MAX = 63,
};

struct members_entry {
    uint32_t machine; /* 1 .. MACHINE_MAX */
    uint8_t uuid[UUID_SIZE];
    struct io_address address; /* family 0: not known */
    bool is_removed;           /* this UUID is no member any more */
};

struct members_image {
    uint64_t generation; /* >= 1, grows with every write */
    uint8_t storage_uuid[UUID_SIZE];
    uint32_t machine; /* whose view this is */
    bool is_draining; /* it gets no uploads */
    uint32_t count;
    struct members_entry entries[MEMBERS_ENTRIES_MAX];
};

/** True if every field is in its range: what encode CHECKs and decode refuses. */
bool members_image_is_valid(const struct members_image *image);

void members_image_encode(const struct members_image *image, uint8_t ret[MEMBERS_COPY_SIZE]);

/** `copy` of 0 or 1. Errors: CORRUPT (never written, torn, damaged, of the other copy), FORMAT. */
MUST err_t members_image_decode(
    const uint8_t bytes[MEMBERS_COPY_SIZE], unsigned copy, struct members_image *ret);

#endif
