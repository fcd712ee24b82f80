/* Sources: the streams of the storages of a group, as one stream of this storage knows them. [0] is the
 * stream itself; the others are those whose files are kept by it, whose slots it writes, or whose log
 * is followed here (doc/decisions/0021-mirrors.md).
 *
 * A **unit** is what is compared between storages: a chunk of a source (struct chunk_entry has its
 * digest), or one of its 64 buckets of single files (here). A file counts in the unit of its *home*.
 *
 * Like the chunk table this is a function of checkpoint and log, changed when a record is durable;
 * except for `incarnation`, `lsn` and `coverage`: where the follower is. */
#ifndef CAIRN_DISK_SOURCE_H
#define CAIRN_DISK_SOURCE_H

#include "base/bytes.h"
#include "base/mem.h"
#include "wire/coverage.h"
#include "wire/record.h"

/** Names a stream of a storage of the group. */
struct source_key {
    uint32_t machine;
    uint8_t mount, stream;
};

enum {
    SOURCE_BUCKETS = 64, /* of single files: id clock modulo this */
    SOURCE_COUNT_DEFAULT = 64,
    SOURCE_IMAGE_SIZE = 64 + SOURCE_BUCKETS * 16,
};

/** Of the live files of a unit: the sum of file_digest(), modulo 2^64, and how many they are. */
struct digest {
    uint64_t sum, count;
};

struct source {
    struct source_key key;
    /* Followed up to here: every record up to it is in our log, or has no effect here. Moved by the
     * follower; [0]: the last durable record. */
    uint64_t incarnation, lsn;
    struct coverage coverage; /* of its ids, at that position; [0]: the gap only */
    /* The position that a restart finds: a durable RECORD_POSITION, or the checkpoint. */
    uint64_t kept_incarnation, kept_lsn;
    struct coverage kept_coverage;
    /* [0]: of ids up to here uploads may be missing in its log, and all that follow it may have missed
     * them; 0: none. */
    uint64_t lost_clock;
    uint64_t logged_incarnation, logged_lsn; /* the last RECORD_POSITION, durable or not */
    uint64_t gone_birth; /* copies of its chunks were dropped with tombstones up to this birth */
    struct digest singles[SOURCE_BUCKETS];
    uint64_t changed_ns[SOURCE_BUCKETS]; /* io_now of the last change; 0: none since the start */
};

struct source_table {
    struct mem *mem;
    struct source *all; /* stays put: pointers into it are valid as long as the stream is open */
    uint32_t count, capacity;
};

/** Errors: BUSY, NO_RESOURCE. */
MUST err_t source_table_init(
    struct source_table *table, struct mem *mem, struct owner *owner, uint32_t capacity);
void source_table_fini(struct source_table *table);
/** NULL: none. */
struct source *source_table_find(const struct source_table *table, const struct source_key *key);
/** The source of `key`, made if need be. NULL: the table is full. */
struct source *source_table_add(struct source_table *table, const struct source_key *key);
static inline uint16_t source_index(const struct source_table *table, const struct source *source)
{
    return (uint16_t)(source - table->all);
}

/** The source that the files of a home belong to, or whose chunk a slot is in. */
static inline struct source_key source_key_of(const struct place *place)
{
    return (struct source_key){place->machine, place->mount, place->stream};
}

static inline bool source_key_equals(const struct source_key *a, const struct source_key *b)
{
    return a->machine == b->machine && a->mount == b->mount && a->stream == b->stream;
}

static inline unsigned source_bucket(const struct identity *identity)
{
    return (unsigned)(identity->clock % SOURCE_BUCKETS);
}

/** Positions of one source in order: by incarnation, then LSN. */
static inline int position_compare(
    uint64_t a_incarnation, uint64_t a_lsn, uint64_t b_incarnation, uint64_t b_lsn)
{
    if (a_incarnation != b_incarnation)
        return a_incarnation < b_incarnation ? -1 : 1;
    return a_lsn < b_lsn ? -1 : a_lsn > b_lsn;
}

/** What a live file adds to the digest of its unit: the same at every storage, for ever
 * (doc/disk-format.md section "Digests"). */
uint64_t file_digest(
    const struct identity *identity, struct version version, uint64_t size, uint32_t crc);

/** Set what an own change does to the digest of its home's unit: file_digest() of what was, 0 and false
 * if nothing was, and of what is. */
static inline void record_set_digest(
    struct record *record, bool was, uint64_t before, bool is, uint64_t after)
{
    record->flags |= RECORD_EXTENDED;
    record->digest_delta = after - before;
    record->live_delta = (int8_t)((int)is - (int)was);
}

static inline void digest_add(struct digest *digest, uint64_t delta, int live_delta)
{
    digest->sum += delta;
    digest->count += (uint64_t)(int64_t)live_delta;
}

static inline bool digest_equals(const struct digest *a, const struct digest *b)
{
    return a->sum == b->sum && a->count == b->count;
}

/** Images in a checkpoint: SOURCE_IMAGE_SIZE bytes each; what is kept, not where the follower is. */
void source_table_encode(const struct source_table *table, struct writer *w);
/** Into a table whose [0] is there already: the first image must be its. The followers begin where
 * they were kept. Errors: CORRUPT, FOREIGN (the first is another stream), BUSY (more than fit). */
MUST err_t source_table_decode(struct source_table *table, uint32_t count, struct reader *r);

#endif
