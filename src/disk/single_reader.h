/* Reads a single file, verified: header, then ranges; no byte is given out before its block matched
 * its checksum.
 *
 * A reader takes no lock. It sees the file as it was when it was opened: a replace does not reach it
 * (it holds the old file), a change in place makes it fail with CORRUPT where they meet. Whoever gets
 * CORRUPT takes the lock of the file, opens again and asks again; CORRUPT then is damage.
 *
 * How they meet: the checksums of the first 63.5 MiB are kept from the open on, as those that the
 * header's CRC is made of. A larger file's are read again and again; a change marks its header before
 * it writes anything else (single_change.h). So what was read is the header's if the header still
 * stands there, byte for byte, after it was read: one more read of 128 bytes per range. */
#ifndef CAIRN_DISK_SINGLE_READER_H
#define CAIRN_DISK_SINGLE_READER_H

#include "disk/single_chain.h"
#include "disk/single_name.h"

enum { SINGLE_READER_BUFFER = 2 * BLOCKS_PAGE_SIZE }; /* header page, one checksum page */

struct single_reader {
    struct single_chain chain;
    const struct single_mount *mount;
    struct io_handle handle;
    struct identity identity;
    struct slot_header header; /* after open */
    struct span attributes;    /* after open; in the buffer */
    struct span data;          /* after read: the bytes, in the caller's buffer */
    uint8_t *buffer;           /* SINGLE_READER_BUFFER, lent */
    uint32_t group;            /* whose checksum page is in the buffer */
    struct blocks_range range; /* being read */
    uint64_t from, to, at;     /* asked for; how far it is verified */
    uint8_t *into;
    char path[SINGLE_PATH_MAX];
    uint8_t again[SLOT_HEADER_SIZE]; /* the header, after a range was read */
};

/** Open and read the header; with it come the checksums of the first 63.5 MiB. `buffer`
 * (SINGLE_READER_BUFFER bytes, aligned to 8) is lent until close. Arrives; reader->chain.err:
 * NOT_FOUND, CORRUPT (header; or a change is under way), NO_RESOURCE, IO. A reader must be all zero before its first open. */
void single_reader_open(struct single_reader *reader, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, uint8_t *buffer);

/** Bytes of buffer that reading [offset, offset + size) takes: the blocks that cover it. */
uint64_t single_reader_room(const struct single_reader *reader, uint64_t offset, uint64_t size);

/** Read [offset, offset + size), cut at the end of the content, into `into`, which has
 * single_reader_room() bytes and is lent until the arrival. Then reader->data has the bytes.
 * Errors: RANGE (offset behind the end), CORRUPT (a block differs from its checksum, or is missing;
 * or the file was changed in place since the open), IO. After an error other ranges may still be read. */
void single_reader_read(struct single_reader *reader, uint64_t offset, uint64_t size, void *into);

/** At any time but between a call and its arrival; nothing to do is fine. */
void single_reader_close(struct single_reader *reader);

#endif
