/* The bytes of one simulated file, twice: as the page cache shows them and as the disk holds them.
 *
 *   page   8 sectors of 512 bytes; where both images agree they share one buffer; zeros have none
 *   dirty  sectors written since the last sync that covered them: a crash keeps or drops each
 *   lost   sectors that a failed sync left clean in the cache and absent from the disk
 *   bad    sectors whose read is an error until they are written anew
 *
 * A page without a `struct sim_page` is zeros in both images: 64 MiB of zeros are 64 groups. */
#ifndef CAIRN_SIM_CONTENT_H
#define CAIRN_SIM_CONTENT_H

#include "base/list.h"
#include "base/prng.h"
#include "sim/mem.h"

enum {
    SIM_SECTOR_SIZE = 512,
    SIM_PAGE_SIZE = 4096,
    SIM_SECTORS_PER_PAGE = SIM_PAGE_SIZE / SIM_SECTOR_SIZE,
    SIM_GROUP_PAGES = 256,
};
#define SIM_FILE_SIZE_MAX (UINT64_C(1) << 40) /* keeps the table of groups below 8 MiB */

struct sim_page {
    struct list link; /* in content->unclean while dirty or lost */
    uint64_t index;
    uint8_t *cache;                          /* NULL: zeros */
    uint8_t *durable;                        /* NULL: zeros; the same buffer as cache if shared */
    uint64_t sequence[SIM_SECTORS_PER_PAGE]; /* of the write that made the sector dirty */
    uint8_t dirty, lost, bad;                /* one bit per sector */
};

struct sim_group {
    struct sim_page *pages[SIM_GROUP_PAGES];
    uint64_t allocated[SIM_GROUP_PAGES / 64];
    uint64_t allocated_durable[SIM_GROUP_PAGES / 64];
};

struct sim_content {
    struct sim_blocks *buffers; /* of SIM_PAGE_SIZE; shared by all files */
    struct sim_group **groups;
    size_t group_count;
    struct list unclean;
    uint64_t size, durable_size; /* bytes */
    uint64_t size_sequence, durable_size_sequence;
    uint64_t sequence;        /* of the last change */
    uint64_t pages_allocated; /* blocks that the file occupies */
    unsigned syncs;           /* in flight: what they cover must not be lost to a later overwrite */
    uint64_t sync_sequence;   /* of the latest that began */
    bool allocation_changed;  /* since the last sync */
};

/** What a sync covers: the changes before it was submitted. */
struct sim_snapshot {
    uint64_t sequence;
    uint64_t size, size_sequence;
};

/** How a power loss treats what was not synced: drawn once per crash. */
struct sim_loss {
    uint32_t keep_per_million; /* of the unsynced sectors */
    uint32_t tear_per_million; /* of those that a sync in flight was just writing */
    bool by_page;              /* sectors of a page share their fate */
};

void sim_content_init(struct sim_content *content, struct sim_blocks *buffers);
/** Frees all; the content is as after init. */
void sim_content_clear(struct sim_content *content);

/** The cached bytes; the caller keeps within the size. */
void sim_content_read(
    const struct sim_content *content, uint64_t offset, uint8_t *ret_data, uint64_t size);

/** How many of `size` bytes at `offset` can be stored with `pages` new blocks. */
uint64_t sim_content_fitting(
    const struct sim_content *content, uint64_t offset, uint64_t size, uint64_t pages);

/** Write to the cache; grows the file. `writeback_per_million`: chance that a dirty sector which is
 * overwritten had already reached the disk. */
void sim_content_write(struct sim_content *content, uint64_t offset, const uint8_t *data,
    uint64_t size, struct prng *prng, uint32_t writeback_per_million);

/** Blocks for the range, and the file grown to its end. */
void sim_content_allocate(struct sim_content *content, uint64_t offset, uint64_t size);
/** Zeros; whole pages are given back. The size stays. */
void sim_content_punch(struct sim_content *content, uint64_t offset, uint64_t size);
void sim_content_resize(struct sim_content *content, uint64_t size);

/** Taken when a sync is submitted; ends with exactly one of the next two, or a crash. */
struct sim_snapshot sim_content_sync_begin(struct sim_content *content);
void sim_content_sync_end(struct sim_content *content, const struct sim_snapshot *snapshot);
/** The sync failed: what it covered is clean in the cache, and on disk only here and there. */
void sim_content_sync_fail(
    struct sim_content *content, const struct sim_snapshot *snapshot, struct prng *prng);
/** The sync was cancelled before it began. */
void sim_content_sync_abandon(struct sim_content *content);
/** DSYNC: the range and the size are durable. */
void sim_content_sync_range(struct sim_content *content, uint64_t offset, uint64_t size);

/** True if a power loss now would leave exactly the cached bytes of the range. */
bool sim_content_range_is_durable(
    const struct sim_content *content, uint64_t offset, uint64_t size);
/** True if a sector of the range is bad; `partial_only`: of those that it does not cover whole. */
bool sim_content_range_is_bad(
    const struct sim_content *content, uint64_t offset, uint64_t size, bool partial_only);
void sim_content_make_bad(struct sim_content *content, uint64_t offset, uint64_t size);
/** Change bytes on the disk behind everybody's back; the cache shows them unless it is dirty. */
void sim_content_corrupt(
    struct sim_content *content, uint64_t offset, const uint8_t *data, uint64_t size);
/** The bytes on disk. */
void sim_content_read_durable(
    const struct sim_content *content, uint64_t offset, uint8_t *ret_data, uint64_t size);

/** The power is lost and comes back: the cache is what the disk holds. */
void sim_content_crash(struct sim_content *content, const struct sim_loss *loss, struct prng *prng);

#endif
