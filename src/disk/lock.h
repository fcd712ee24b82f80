/* Locks of files: changes of one file follow each other, in order of arrival. One table per stream;
 * the owner loop is the only one that touches it. Readers take no lock unless they met a mismatch. */
#ifndef CAIRN_DISK_LOCK_H
#define CAIRN_DISK_LOCK_H

#include "base/stage.h"
#include "wire/version.h"

enum { LOCK_BUCKETS = 1024 };

/** Embedded in the operation. */
struct file_lock {
    struct list link; /* the first of its identity in the bucket has the lock */
    struct machine *machine;
    uint64_t clock;
    uint32_t origin;
};

struct lock_table {
    struct list buckets[LOCK_BUCKETS];
};

void lock_table_init(struct lock_table *table);
/** True: `lock` has it. False: `machine` arrives when it has. */
MUST bool file_lock(struct lock_table *table, struct file_lock *lock,
    const struct identity *identity, struct machine *machine);
/** Give it back (or stop waiting for it) and pass it on; nothing to do if it was not taken. */
void file_unlock(struct lock_table *table, struct file_lock *lock);

#endif
