/* Which maps of old names a storage knows (decision 24): the bytes of the file cairn.names. Pure.
 *
 * Two copies of 4 KiB, one after the other, as in cairn.members (members_image.h): generation g lies in
 * copy g mod 2. Format: doc/disk-format.md, section "Names". */
#ifndef CAIRN_DISK_NAMES_IMAGE_H
#define CAIRN_DISK_NAMES_IMAGE_H

#include "disk/members_image.h"
#include "wire/names.h"

#define NAMES_FILE "cairn.names"

enum { NAMES_FILE_FORMAT = 1, NAMES_MAPS_MAX = 63 };

struct names_image {
    uint64_t generation; /* >= 1, grows with every write */
    uint8_t storage_uuid[UUID_SIZE];
    uint32_t machine; /* whose file this is */
    uint32_t count;
    char maps[NAMES_MAPS_MAX][NAMES_ID_MAX + 1]; /* ids without the group */
};

void names_image_encode(const struct names_image *image, uint8_t ret[MEMBERS_COPY_SIZE]);

/** `copy` of 0 or 1. Errors: CORRUPT (never written, torn, damaged, of the other copy), FORMAT. */
MUST err_t names_image_decode(
    const uint8_t bytes[MEMBERS_COPY_SIZE], unsigned copy, struct names_image *ret);

#endif
