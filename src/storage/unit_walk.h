/* Walks the files of one unit (wire/unit.h) in a fixed order, a bounded step at a time: for INVENTORY
 * and for the scrub. On the loop of the stream where the unit's home source is kept.
 *
 *   a chunk     its slot headers by offset. Of a chunk that gives out new slots now the map in memory
 *               knows what is committed; of any other chunk, own or mirrored, the headers alone tell:
 *               mirrored chunks have no map. Bytes between slots are looked at at each multiple of 64; content cannot forge a header (the CRC is keyed with the chunk's seed).
 *   a bucket    its single files by id clock. Names come from four of the 256 directories. Listing
 *               one blocks the loop, since the kernel knows no other way: about 1 us per 10 names;
 *               UNIT_WALK_NAMES of them are kept at a time.
 *
 * No lock: a file that is being changed may be passed over. What was there all the time and is whole
 * is seen once. Tombstones are seen too. A header inside a free slot, older than the slot's last
 * tenant, is not. The content of a file that has outgrown its home is looked up, so that version, size
 * and CRC are those of the content. */
#ifndef CAIRN_STORAGE_UNIT_WALK_H
#define CAIRN_STORAGE_UNIT_WALK_H

#include "storage/object.h"
#include "wire/unit.h"

enum { UNIT_WALK_WINDOW = 64 * 1024, UNIT_WALK_NAMES = 2048 };

/** A walk's memory, from a pool. */
struct unit_walk_memory {
    uint8_t window[UNIT_WALK_WINDOW];
    uint64_t names[UNIT_WALK_NAMES]; /* id clocks of one origin: a heap, then sorted */
};

struct unit_walk {
    struct machine machine;
    struct store *store;
    struct stream *stream;    /* where the unit's home source is kept here */
    struct source_key source; /* the unit's home source */
    uint64_t unit;
    uint64_t cursor; /* 0: the beginning; afterwards: where to go on, 0: nothing is left */
    struct unit_walk_memory *memory; /* lent until done */
    /** A file. False: enough; it was not taken and comes first when the walk goes on. Not to be
     * kept: *file is the walk's. */
    bool (*see)(struct unit_walk *walk, const struct unit_file *file);
    /** Something is there and damaged (its content too, if the caller asked for more than headers);
     * may be NULL. `file`: as far as it is known. */
    void (*see_damage)(struct unit_walk *walk, const struct unit_file *file, err_t err);
    void (*done)(struct unit_walk *walk); /* machine.err tells */
    void *context;
    /* its own */
    struct chunk_ref ref;
    uint64_t window_at;
    size_t window_size;
    uint32_t at, end;    /* in the chunk, bytes */
    uint32_t free_end;   /* up to here a tombstone said free ... */
    uint64_t free_birth; /* ... of a tenant born then */
    uint32_t name_count, name_at;
    bool has_more_names, is_enough, is_dead_land;
    struct unit_file file; /* a forward whose content is being looked up */
    struct object object;
    struct io_op op;
    struct iovec iov;
    struct io_handle handle;
    char path[64];
};

/** Fill store, stream, source, unit, cursor, memory, see, done first.
 * Errors: IO, NO_RESOURCE, OFFLINE. A unit that is not here has no files. */
void unit_walk_start(struct unit_walk *walk);

/** An id that names this home; only what object_open_identity() asks for. */
struct fid unit_fid(
    const struct store *store, const struct identity *identity, const struct place *home);

#endif
