/* A trunk file of FastDFS, slot by slot: files of a store that packs small ones. What FastDFS wrote:
 *
 *   slot   | type 1 | allocated 4 | size 4 | CRC 4 | time 4 | suffix part 7 | content ... | slack |
 *
 * type 'F' a file, 'L' a link, 0 free; big endian; what was never used is zero. The name of a file holds
 * all this and, besides, the address of the storage and 23 random bits, which stand nowhere here: the
 * name that is made has zeros in their place, and means the same file (wire/names.h). */
#ifndef CAIRN_BIN_IMPORT_TRUNK_H
#define CAIRN_BIN_IMPORT_TRUNK_H

#include "io/io.h"
#include "wire/fdfs.h"
#include "wire/fdfs_id.h"

enum { TRUNK_SLOT_HEADER = 24, TRUNK_WINDOW = 64 * 1024 };

struct trunk_slot {
    char name[FDFS_NAME_MAX + 1]; /* "M00/0A/1F/..." */
    uint64_t at;                  /* of the content, in the trunk file */
    uint32_t size, crc, time_s;
};

struct trunk_scan {
    struct io *io;
    struct owner *owner;
    struct io_handle handle;
    char place[FDFS_PATH_LENGTH + 1]; /* "M00/0A/1F/" */
    uint32_t number;
    uint64_t file_size, at;
    uint64_t window_at;
    size_t window_size;
    uint8_t window[TRUNK_WINDOW];
};

/** `place`: "M00/0A/1F/". Errors: those of open and stat. */
MUST err_t trunk_scan_open(struct trunk_scan *scan, struct io *io, struct owner *owner,
    const char *path, const char *place, uint32_t number);
void trunk_scan_close(struct trunk_scan *scan);

enum trunk_result {
    TRUNK_FILE,
    TRUNK_LINK, /* *ret_from, *ret_size: where */
    TRUNK_NO_SLOT, /* *ret_from, *ret_size: bytes that are no slot: damaged, or left over from before */
    TRUNK_FAILED, /* *ret_err: reading */
    TRUNK_END,
};

/** The next slot that holds something, or what is wrong. Blocks for the file system. */
enum trunk_result trunk_scan_next(struct trunk_scan *scan, struct trunk_slot *ret,
    uint64_t *ret_from, uint64_t *ret_size, err_t *ret_err);

#endif
