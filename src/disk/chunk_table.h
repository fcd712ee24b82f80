/* What a stream knows of each of its chunk files: 88 bytes a chunk, nothing per file in it. A
 * function of the checkpoint and the log behind it: changed only when a record is durable.
 * Sorted by source and number; capacity from the size of the disk at start.
 *
 * The chunks of source 0 are the stream's own: it allocates in them. The others are mirrored: copies
 * of what other storages allocate; nothing in them is ever free here. */
#ifndef CAIRN_DISK_CHUNK_TABLE_H
#define CAIRN_DISK_CHUNK_TABLE_H

#include "disk/source.h"

struct chunk_entry {
    uint16_t source; /* index in the stream's table of sources; 0: an own chunk */
    uint32_t number;
    uint32_t end;        /* end of the last committed slot, bytes; only grows */
    uint32_t live_count; /* files whose content or home is here; mirrored: as far as records tell */
    uint32_t free_bytes; /* own: in free slots below `end` */
    struct digest digest; /* of the live files that are at home here */
    uint64_t changed_ns;  /* io_now of the digest's last change; 0: none since the start */
    uint32_t fit_max;     /* no free slot is known to be larger: hint for reopening, from `give` */
    bool is_dirty;        /* written since its last sync began; not in checkpoints */
    bool is_idle;         /* empty when the checkpoint under way began, and since */
    bool is_bad;          /* its map can't be read: not reopened */
    bool is_starved;      /* reopening it met a full disk; until a checkpoint gave space back */
    bool is_lost;         /* recovery met records for it, and its file is missing */
    bool is_touched;      /* recovery met records that took slots in it */
    /* Own: what is free in it is not known, since records were lost, or files brought back: nothing is
     * allocated there, for a member of the group may hold a file in what looks free. */
    bool is_unmapped;
    /* Mirrored, not in checkpoints. Of the headers that stand in the file, as the last look found them; 0:
     * no look since the last record. */
    uint64_t youngest_birth;
    uint64_t touched_ns; /* io_now of the last record about it; 0: none since the start */
    bool has_remains;    /* a header says that something lives here, and the records do not */
};

enum {
    CHUNK_ENTRY_IMAGE_SIZE = 40,
    CHUNK_ENTRY_IMAGE_SIZE_1 = 16, /* format 1: no source, no digest */
};

struct chunk_table {
    struct mem *mem;
    struct chunk_entry *entries;
    uint32_t count, capacity;
    uint32_t next_number; /* of an own chunk: never used before */
};

/** Errors: BUSY, NO_RESOURCE. */
MUST err_t chunk_table_init(
    struct chunk_table *table, struct mem *mem, struct owner *owner, uint32_t capacity);
void chunk_table_fini(struct chunk_table *table);

/** NULL: no such chunk. Pointers are valid until the next add or remove. */
struct chunk_entry *chunk_table_find(struct chunk_table *table, uint16_t source, uint32_t number);
/** The entry of `number`, made if need be. NULL: the table is full. */
struct chunk_entry *chunk_table_add(struct chunk_table *table, uint16_t source, uint32_t number);
/** The first entry of this source with a number not below `number`; NULL: none. */
struct chunk_entry *chunk_table_next(struct chunk_table *table, uint16_t source, uint32_t number);
/** The same, going on with the next sources. */
struct chunk_entry *chunk_table_next_of_any(
    struct chunk_table *table, uint16_t source, uint32_t number);
/** Blocks went back to the file system: chunks that could not be reopened for want of them may be. */
void chunk_table_hope(struct chunk_table *table);
void chunk_table_mark_all_dirty(struct chunk_table *table);
void chunk_table_mark_idle(struct chunk_table *table);
void chunk_table_feed(struct chunk_table *table); /* none is starved any more */
void chunk_table_remove(struct chunk_table *table, struct chunk_entry *entry);

/** A slot of an own chunk became live (free before, or at the end) or free. */
void chunk_entry_take(struct chunk_entry *entry, uint32_t offset, uint32_t size);
void chunk_entry_give(struct chunk_entry *entry, uint32_t size);
/** The same in a mirrored chunk: what is free is its allocator's business. */
void chunk_entry_take_mirrored(struct chunk_entry *entry, uint32_t offset, uint32_t size);
void chunk_entry_give_mirrored(struct chunk_entry *entry);
/** A record about a mirrored chunk took effect: what was found out about it is out of date. */
void chunk_entry_touch_mirrored(struct chunk_entry *entry, uint64_t now_ns);

/** Image in a checkpoint: CHUNK_ENTRY_IMAGE_SIZE bytes per entry. */
void chunk_table_encode(const struct chunk_table *table, struct writer *w);
/** `format` of the checkpoint: 1 has own chunks only, and no digests (zero). `sources`: how many there
 * are. Errors: CORRUPT (too short, not sorted, no such source), BUSY (more entries than fit). */
MUST err_t chunk_table_decode(
    struct chunk_table *table, uint32_t format, uint32_t sources, uint32_t count, struct reader *r);

#endif
