/* Checksums of content in blocks of 64 KiB, so that a range is verified by reading little more than
 * the range: tables, what must be read for a range, how a table follows a change, and where content
 * and checksums lie in single files. Pure.
 *
 * A content of n bytes has ceil(n / 64 KiB) blocks, the last one short. One polynomial for all: block
 * checksums combine into the content's. A slot keeps its table behind its header (wire/slot.h). A
 * single file keeps it in checksum pages at computed positions (doc/disk-format.md, "Single files"):
 *
 *   | header 4 KiB | page 4 KiB | 1016 blocks of 64 KiB | page 4 KiB | 1016 blocks | ...
 *                  `---------- group 0 ---------------' `------- group 1 ------- */
#ifndef CAIRN_DISK_BLOCKS_H
#define CAIRN_DISK_BLOCKS_H

#include "base/bytes.h"
#include "base/err.h"
#include "wire/slot.h"

enum {
    BLOCK_SIZE = SLOT_BLOCK_SIZE,
    BLOCKS_PAGE_SIZE = 4096, /* of the file's header and of each checksum page */
    BLOCKS_PAGE_HEADER_SIZE = 32,
    BLOCKS_PER_GROUP = (BLOCKS_PAGE_SIZE - BLOCKS_PAGE_HEADER_SIZE) / 4, /* 1016: 63.5 MiB */
    BLOCKS_PAGE_MAGIC = 0x47504b42,                                      /* "BKPG" */
};
/* Larger contents are refused at every door: what is below can't overflow. */
#define BLOCKS_CONTENT_MAX (UINT64_C(1) << 47)

/** How many blocks a content has; how many bytes its block `block` has (0 beyond the end). */
uint64_t blocks_count(uint64_t content_size);
uint32_t blocks_size_at(uint64_t content_size, uint64_t block);

/** The table of the blocks in `content`, which starts at a block's beginning. ret_table has
 * blocks_count(content.size) entries. */
void blocks_compute(struct span content, uint32_t *ret_table);

/** Continue `crc`, the checksum of the content before block `first`, over `count` blocks. From
 * (0, table, 0, blocks_count(), n): the checksum of the whole content. `table` begins at block
 * `first`. About 50 ns per block. */
uint32_t blocks_combine(
    uint32_t crc, const uint32_t *table, uint64_t first, uint64_t count, uint64_t content_size);

struct blocks_range {
    uint64_t first; /* block */
    uint64_t count; /* blocks; 0 for an empty range */
    uint64_t begin; /* content bytes [begin, end) are to be read */
    uint64_t end;
};

/** What must be read to verify the bytes [from, to) of a content; cut at its end. */
struct blocks_range blocks_covering(uint64_t content_size, uint64_t from, uint64_t to);

/** Verify the bytes of `range` against `table`, which begins at block range->first. ret_bad (may be
 * NULL) is the first block whose bytes are not those of the table. Errors: CORRUPT. */
MUST err_t blocks_verify(const struct blocks_range *range, const uint32_t *table,
    const uint8_t *data, uint64_t *ret_bad);

/* How a table follows a change. A change writes [offset, offset + size) over a content that had
 * old_size bytes; offset <= old_size (who writes behind the end writes the zeros between as well). */
struct blocks_change {
    uint64_t old_size;
    uint64_t offset;
    uint64_t size;
};

/** What the change does to one block. */
struct blocks_edit {
    uint64_t block;
    uint32_t old_size; /* bytes the block had; 0: it is new */
    uint32_t new_size; /* bytes it will have */
    uint32_t at;       /* the bytes [at, at + size) of the block are written ... */
    uint32_t size;     /* ... at least one */
    uint64_t data_at;  /* ... from here on in the change's data */
    bool needs_old;    /* some of its old bytes stay: they must be read (and are verified) */
};

/** The blocks that a change touches, in order: the n-th (from 0), false when there are no more. */
bool blocks_edit_at(const struct blocks_change *change, uint64_t n, struct blocks_edit *ret);

/** The entry of an edited block. `old` is the block's old bytes (edit->old_size; not looked at unless
 * edit->needs_old), which must match the entry as it was: damage must not be sealed under a good
 * checksum. `data` is the change's data. Errors: CORRUPT (old bytes are not those of the entry). */
MUST err_t blocks_edit_apply(const struct blocks_edit *edit, const uint8_t *old,
    const uint8_t *data, uint32_t entry, uint32_t *ret_entry);

/** The entry of a block that is cut to its first `new_size` bytes (1 .. old_size).
 * Errors: CORRUPT (old bytes are not those of the entry). */
MUST err_t blocks_cut(
    const uint8_t *old, uint32_t old_size, uint32_t new_size, uint32_t entry, uint32_t *ret_entry);

/** Single files: where the content byte lies in the file; the size of the file (the header page alone
 * for an empty content, else the last content byte is its last). */
uint64_t blocks_file_offset(uint64_t content_offset);
uint64_t blocks_file_size(uint64_t content_size);

struct blocks_entry_place {
    uint64_t page_offset; /* of the checksum page in the file */
    uint32_t group;
    uint32_t index; /* of the entry: at BLOCKS_PAGE_HEADER_SIZE + 4 * index in the page */
};
struct blocks_entry_place blocks_entry_place(uint64_t block);

struct blocks_extent {
    uint64_t content_offset;
    uint64_t file_offset;
    uint64_t size;
};

/** The first piece of content range [from, to) that lies in one piece in the file, never across a
 * checksum page; false when the range is empty. Go on at from + size. */
bool blocks_extent_next(uint64_t from, uint64_t to, struct blocks_extent *ret);

/** Finish a checksum page: `page` has its entries in place (those behind the end zero). `seed` keys
 * the checksum, so that a page of another file does not pass. */
void blocks_page_seal(uint8_t page[BLOCKS_PAGE_SIZE], uint32_t group, uint32_t seed);
/** Errors: CORRUPT (magic, group, checksum or seed differs). */
MUST err_t blocks_page_verify(const uint8_t page[BLOCKS_PAGE_SIZE], uint32_t group, uint32_t seed);
void blocks_page_put(uint8_t page[BLOCKS_PAGE_SIZE], uint32_t index, uint32_t entry);
uint32_t blocks_page_get(const uint8_t page[BLOCKS_PAGE_SIZE], uint32_t index);

#endif
