#include "base/pool.h"

#include "base/units.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif
#ifndef POOL_ASAN
#define POOL_ASAN 0
#endif

#if POOL_ASAN
#include <sanitizer/asan_interface.h>
static void poison(void *data, size_t size)
{
    __asan_poison_memory_region(data, size);
}
static void unpoison(void *data, size_t size)
{
    __asan_unpoison_memory_region(data, size);
}
#else
static void poison(void *data, size_t size)
{
    (void)data, (void)size;
}
static void unpoison(void *data, size_t size)
{
    (void)data, (void)size;
}
#endif

enum {
    GAP = POOL_ASAN ? 32 : 0, /* poisoned bytes behind each slot */
#ifdef CAIRN_POOL_MALLOC
    SLOTS_ARE_OBJECTS = 1,
#else
    SLOTS_ARE_OBJECTS = 0,
#endif
};

struct pool_slot {
    struct held held;
    struct list free; /* in pool->free */
    void *object;     /* CAIRN_POOL_MALLOC: the contents while taken */
};

static size_t alignment_of(size_t alignment)
{
    return alignment < _Alignof(max_align_t) ? _Alignof(max_align_t) : alignment;
}

static size_t stride_of(size_t slot_size, size_t alignment)
{
    return (size_t)round_up(slot_size + GAP, alignment_of(alignment));
}

uint64_t pool_bytes(size_t slot_size, size_t count, size_t alignment)
{
    uint64_t data = SLOTS_ARE_OBJECTS ? 0 : stride_of(slot_size, alignment);
    return count * (data + sizeof(struct pool_slot));
}

static err_t pool_take_memory(struct pool *pool, struct owner *owner, const struct site *site)
{
    if (SLOTS_ARE_OBJECTS)
        return map_init(&pool->taken, pool->mem, pool->count, 0, owner);
    void *data;
    TRY(mem_take_at(pool->mem, owner, pool->count * pool->stride, pool->alignment, &data, site));
    pool->data = data;
    poison(pool->data, pool->count * pool->stride);
    return ERR_OK;
}

err_t pool_init_at(struct pool *pool, struct mem *mem, struct ledger *ledger, const char *name,
    size_t slot_size, size_t count, size_t alignment, struct owner *owner, const struct site *site)
{
    CHECK(slot_size > 0 && slot_size < SIZE_MAX / 4 && count > 0);
    struct pool made = {.name = name,
        .mem = mem,
        .ledger = ledger,
        .slot_size = slot_size,
        .stride = stride_of(slot_size, alignment),
        .alignment = alignment_of(alignment),
        .count = count,
        .free_count = count,
        .free_count_min = count,
        .life = LIFE_REQUEST};
    CHECK(count < SIZE_MAX / 4 / made.stride && count < SIZE_MAX / 4 / sizeof(struct pool_slot));
    void *slots;
    TRY(mem_take_at(mem, owner, count * sizeof(struct pool_slot), 0, &slots, site));
    made.slots = slots;
    err_t err = pool_take_memory(&made, owner, site);
    if (err_is(err)) {
        mem_give(mem, slots);
        return err;
    }
    *pool = made;
    list_init(&pool->free);
    list_init(&pool->waiters);
    for (size_t i = 0; i < count; i++)
        list_push_back(&pool->free, &pool->slots[i].free);
    return ERR_OK;
}

void pool_fini(struct pool *pool)
{
    CHECK(pool->free_count == pool->count && list_is_empty(&pool->waiters));
    if (SLOTS_ARE_OBJECTS) {
        map_fini(&pool->taken);
    } else {
        unpoison(pool->data, pool->count * pool->stride);
        mem_give(pool->mem, pool->data);
    }
    mem_give(pool->mem, pool->slots);
    *pool = (struct pool){0};
}

static void *slot_open(struct pool *pool, struct pool_slot *slot)
{
    if (!SLOTS_ARE_OBJECTS) {
        void *data = pool->data + (size_t)(slot - pool->slots) * pool->stride;
        unpoison(data, pool->slot_size);
        return data;
    }
    slot->object = mem_object_new(pool->slot_size, pool->alignment);
    if (slot->object)
        CHECK(map_put_pointer(&pool->taken, map_key((uintptr_t)slot->object), slot));
    return slot->object;
}

static void slot_close(struct pool *pool, struct pool_slot *slot, void *data)
{
    if (!SLOTS_ARE_OBJECTS) {
        poison(data, pool->stride);
        return;
    }
    CHECK(map_remove(&pool->taken, map_key((uintptr_t)data)));
    slot->object = NULL;
    mem_object_free(data);
}

static struct pool_slot *slot_of(struct pool *pool, void *data)
{
    if (SLOTS_ARE_OBJECTS) {
        struct pool_slot *slot = map_get_pointer(&pool->taken, map_key((uintptr_t)data));
        CHECK(slot != NULL);
        return slot;
    }
    uintptr_t base = (uintptr_t)pool->data, at = (uintptr_t)data;
    CHECK(at >= base && at < base + pool->count * pool->stride && (at - base) % pool->stride == 0);
    struct pool_slot *slot = &pool->slots[(at - base) / pool->stride];
    CHECK(held_is_held(&slot->held));
    return slot;
}

void *pool_take_at(struct pool *pool, struct owner *owner, const struct site *site)
{
    if (list_is_empty(&pool->free)) {
        pool->refused++;
        return NULL;
    }
    struct pool_slot *slot = CONTAINER_OF(pool->free.next, struct pool_slot, free);
    struct claim claim = {HELD_SLOT, pool->life, pool->slot_size, slot - pool->slots, owner};
    if (err_is(ledger_acquire_at(pool->ledger, &slot->held, &claim, site))) {
        pool->refused++;
        return NULL;
    }
    void *data = slot_open(pool, slot);
    if (!data) {
        ledger_release(pool->ledger, &slot->held, HELD_SLOT);
        return NULL;
    }
    list_remove(&slot->free);
    if (--pool->free_count < pool->free_count_min)
        pool->free_count_min = pool->free_count;
    return data;
}

/* Last given, first taken: warm in the cache. Under a sanitizer the other way round, so that a
 * stale pointer meets poison for as long as possible. */
static void slot_free(struct pool *pool, struct pool_slot *slot)
{
    if (POOL_ASAN)
        list_push_back(&pool->free, &slot->free);
    else
        list_push_front(&pool->free, &slot->free);
    pool->free_count++;
}

void pool_give(struct pool *pool, void *data)
{
    struct pool_slot *slot = slot_of(pool, data);
    slot_close(pool, slot, data);
    ledger_release(pool->ledger, &slot->held, HELD_SLOT);
    slot_free(pool, slot);
    while (pool->free_count > 0 && !list_is_empty(&pool->waiters)) {
        struct list *first = list_pop_front(&pool->waiters);
        struct pool_waiter *waiter = CONTAINER_OF(first, struct pool_waiter, link);
        waiter->ready(waiter); /* may be gone after */
    }
}

struct held *pool_held(struct pool *pool, void *data)
{
    return &slot_of(pool, data)->held;
}

bool pool_wait(struct pool *pool, struct pool_waiter *waiter)
{
    CHECK(waiter->ready != NULL);
    if (pool->free_count > 0)
        return false;
    list_push_back(&pool->waiters, &waiter->link);
    return true;
}

void pool_wait_cancel(struct pool_waiter *waiter)
{
    if (list_is_linked(&waiter->link))
        list_remove(&waiter->link);
}
