#include "disk/lock.h"

void lock_table_init(struct lock_table *table)
{
    for (size_t i = 0; i < LOCK_BUCKETS; i++)
        list_init(&table->buckets[i]);
}

static struct list *bucket_of(struct lock_table *table, const struct file_lock *lock)
{
    uint64_t hash = (lock->clock ^ (uint64_t)lock->origin << 40) * 0x9e3779b97f4a7c15ull;
    return &table->buckets[hash >> 54];
}

static struct file_lock *first_of(struct list *bucket, const struct file_lock *like)
{
    LIST_EACH (node, bucket) {
        struct file_lock *lock = CONTAINER_OF(node, struct file_lock, link);
        if (lock->clock == like->clock && lock->origin == like->origin)
            return lock;
    }
    return NULL;
}

bool file_lock(struct lock_table *table, struct file_lock *lock, const struct identity *identity,
    struct machine *machine)
{
    *lock = (struct file_lock){
        .machine = machine, .clock = identity->clock, .origin = identity->origin};
    struct list *bucket = bucket_of(table, lock);
    bool is_free = first_of(bucket, lock) == NULL;
    list_push_back(bucket, &lock->link);
    return is_free;
}

void file_unlock(struct lock_table *table, struct file_lock *lock)
{
    if (!list_is_linked(&lock->link))
        return;
    struct list *bucket = bucket_of(table, lock);
    bool had_it = first_of(bucket, lock) == lock;
    list_remove(&lock->link);
    struct file_lock *next = had_it ? first_of(bucket, lock) : NULL;
    if (next)
        machine_arrive(next->machine);
}
