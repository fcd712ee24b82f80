/* Changes a single file in place: write over it, append, truncate, or only a new header.
 *
 *   open -> prepare -> [record committed] -> apply -> close
 *     `--------`---- abandon
 *
 *   write     the bytes (at most SINGLE_WRITE_MAX) travel in the record; nothing is written before the
 *             commit. May reach behind the end: for a small append it costs no sync of its own
 *   append    append, append_write ..., append_finish: bytes and entries of new blocks are written
 *             behind the committed end and synced before the commit
 *   shrink    record: the entry of the block that is cut. Prepare syncs the file: from the commit on no
 *             older record is needed, so that an append may write where the end was (birth, single.h)
 *   grow      zeros, as holes; else like append
 *
 * Apply writes content, then entries, then the header. Readers take no lock; where they keep checksums
 * in memory (the first 63.5 MiB) they notice. Of a larger file the new header is written first, with
 * the flag CHANGING, and last without it. A crash between the two leaves the record behind the last
 * checkpoint: recovery writes it all again.
 *
 * open, prepare, apply, abandon each arrive at the machine, once; change->chain.err tells. The caller
 * holds the lock of the file from open to close. Bigger changes go out of place: single_writer. */
#ifndef CAIRN_DISK_SINGLE_CHANGE_H
#define CAIRN_DISK_SINGLE_CHANGE_H

#include "disk/single_chain.h"
#include "disk/single_dirty.h"
#include "disk/single_entry.h"
#include "disk/single_name.h"
#include "disk/single_pour.h"

enum {
    SINGLE_WRITE_MAX = 1024 * 1024,
    SINGLE_ENTRIES_MAX = SINGLE_WRITE_MAX / BLOCK_SIZE + 1, /* blocks that a write may touch */
    /* header as it was, checksum page, new header, block */
    SINGLE_CHANGE_BUFFER = 3 * BLOCKS_PAGE_SIZE + BLOCK_SIZE,
};
_Static_assert(SINGLE_ENTRIES_MAX <= (int)RECORD_ENTRIES_MAX, "they fit a record");

/** What the new header says beside size and checksum. */
struct single_update {
    struct version version;
    struct nonce nonce;
    uint64_t modify_ns;
    bool is_final;       /* the file is immutable from now on */
    bool has_attributes; /* else the old ones stay */
    struct span attributes;
};

struct single_change {
    struct single_chain chain;
    const struct single_mount *mount;
    struct io_handle handle;
    struct identity identity;
    struct slot_header header; /* after open: as it is; after prepare: as it will be */
    struct span attributes;    /* after open; in the buffer */
    struct single_update update;
    uint8_t kind; /* enum record_kind */
    uint64_t old_size, physical_size;
    uint8_t *buffer;
    uint32_t group;      /* whose checksum page is in the buffer */
    uint64_t page_block; /* that the page is being read for */
    single_chain_next *after_page, *after_trim;
    uint32_t meta_size;
    struct single_pour pour; /* append, grow */
    struct span content;     /* write */
    uint64_t offset;         /* of the change; truncate: the new size */
    uint64_t at, end;        /* progress: n-th edit, or block to be combined; grow: the new size */
    uint32_t crc;     /* write: of the whole content so far; shrink: of the blocks combined */
    uint32_t cut_crc; /* shrink: of what is kept of the block that is cut */
    bool is_kept;     /* shrink: the blocks that stay are combined, else those that go */
    bool is_open;     /* the header was good, and nothing is applied */
    bool has_grown;   /* bytes were written behind the committed end */
    uint8_t entries[8 * SINGLE_ENTRIES_MAX];
    uint32_t entries_size;
    struct single_plan plan;
    struct single_dirty *dirty;
    char path[SINGLE_PATH_MAX];
};

/** Open and read the header, with the checksums of the first 63.5 MiB. `buffer`
 * (SINGLE_CHANGE_BUFFER bytes, aligned to 8) is lent until close or the arrival of abandon. A change
 * must be all zero before its first open. Before prepare the caller may alter change->header.flags
 * and .other: they go into the new header. Errors: NOT_FOUND, CORRUPT (header), NO_RESOURCE, IO. */
void single_change_open(struct single_change *change, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, uint8_t *buffer);

/** Prepare to write `content` at `offset`; it is lent until apply or abandon. Empty: only the header
 * changes. Errors: RANGE (offset behind the end), TOO_LARGE, CORRUPT (a block that is written in part
 * or its checksum is damaged), IO. */
void single_change_write(struct single_change *change, const struct single_update *update,
    uint64_t offset, struct span content);

/** Prepare to append: begin, then pieces (lent until their arrival), then finish. Durable when finish
 * has arrived: bytes and entries, not visible. Errors: NO_SPACE, IO, CORRUPT (the last checksum page
 * can't be read), TOO_LARGE (an append of 4 GiB, a content above BLOCKS_CONTENT_MAX). */
void single_change_append(struct single_change *change, const struct single_update *update);
void single_change_append_write(struct single_change *change, struct span content);
void single_change_append_finish(struct single_change *change);

/** Prepare to make the content `size` bytes long: cut, or filled up with zeros.
 * Errors: as append, without the limit of 4 GiB; CORRUPT (the block that is cut is damaged). */
void single_change_truncate(
    struct single_change *change, const struct single_update *update, uint64_t size);

/** After prepare: kind, flags, sizes, CRC, content, entries and meta of the record (version and
 * nonce too). The meta goes to the target if the record says AT_TARGET. Points into the change and
 * its buffer. */
void single_change_record(const struct single_change *change, struct record *record);

/** The record is committed (`stored`: as binlog_append returned it): write it to the file. `dirty`
 * hears of it before the arrival; if it has no room, the file is synced. Then the record may be
 * released. Errors: IO, NO_SPACE: the file is behind its log, the mount point is to be fenced. */
void single_change_apply(
    struct single_change *change, const struct record *stored, struct single_dirty *dirty);

/** Nothing was committed: bytes behind the committed end are given back (also those that a crash left
 * there: open and abandon trims a file), the file is closed. Arrives at `machine` (that of open, also
 * if open was never called); never fails: what stays behind
 * is not visible. Not after a commit whose outcome is unknown: then single_change_close. */
void single_change_abandon(struct single_change *change, struct machine *machine);
/** Nothing to do is fine. */
void single_change_close(struct single_change *change);

#endif
