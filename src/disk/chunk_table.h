/* What a stream knows of each of its chunk files: 24 bytes a chunk, nothing per file in it. A
 * function of the checkpoint and the log behind it: changed only when a record is durable.
 * Sorted by number; capacity from the size of the disk at start. */
#ifndef CAIRN_DISK_CHUNK_TABLE_H
#define CAIRN_DISK_CHUNK_TABLE_H

#include "base/bytes.h"
#include "base/mem.h"

struct chunk_entry {
    uint32_t number;
    uint32_t end;        /* end of the last committed slot, bytes; only grows */
    uint32_t live_count; /* files whose content or home is here */
    uint32_t free_bytes; /* in free slots below `end` */
    uint32_t fit_max;    /* no free slot is known to be larger: hint for reopening, from `give` */
    bool is_dirty;       /* written since its last sync began; not in checkpoints */
    bool is_idle;        /* empty when the checkpoint under way began, and since */
    bool is_bad;         /* its map can't be read: not reopened */
    bool is_starved;     /* reopening it met a full disk; until a checkpoint gave space back */
    bool is_lost;        /* recovery met records for it, and its file is missing */
};

enum { CHUNK_ENTRY_IMAGE_SIZE = 16 };

struct chunk_table {
    struct mem *mem;
    struct chunk_entry *entries;
    uint32_t count, capacity;
    uint32_t next_number; /* never used before */
};

/** Errors: BUSY, NO_RESOURCE. */
MUST err_t chunk_table_init(
    struct chunk_table *table, struct mem *mem, struct owner *owner, uint32_t capacity);
void chunk_table_fini(struct chunk_table *table);

/** NULL: no such chunk. Pointers are valid until the next add or remove. */
struct chunk_entry *chunk_table_find(struct chunk_table *table, uint32_t number);
/** The entry of `number`, made if need be. NULL: the table is full. */
struct chunk_entry *chunk_table_add(struct chunk_table *table, uint32_t number);
/** The first entry with a number not below `number`; NULL: none. */
struct chunk_entry *chunk_table_next(struct chunk_table *table, uint32_t number);
/** Blocks went back to the file system: chunks that could not be reopened for want of them may be. */
void chunk_table_hope(struct chunk_table *table);
void chunk_table_mark_all_dirty(struct chunk_table *table);
void chunk_table_mark_idle(struct chunk_table *table);
void chunk_table_feed(struct chunk_table *table); /* none is starved any more */
void chunk_table_remove(struct chunk_table *table, struct chunk_entry *entry);

/** A slot became live (free before, or at the end) or free. */
void chunk_entry_take(struct chunk_entry *entry, uint32_t offset, uint32_t size);
void chunk_entry_give(struct chunk_entry *entry, uint32_t size);

/** Image in a checkpoint: CHUNK_ENTRY_IMAGE_SIZE bytes per entry. */
void chunk_table_encode(const struct chunk_table *table, struct writer *w);
/** Errors: CORRUPT (too short, not sorted), BUSY (more entries than fit). */
MUST err_t chunk_table_decode(struct chunk_table *table, uint32_t count, struct reader *r);

#endif
