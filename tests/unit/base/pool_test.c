/* Pools: every slot once, waiters in order, misuse caught at the spot. */
#include "base/pool.h"
#include "tests/lib/test.h"

enum { COUNT = 5 };

static struct ledger ledger;
static struct owner owner, request;
static struct mem mem;
static struct pool pool;

static void set_up(void)
{
    ledger_init(&ledger);
    owner_open(&owner, "test", DIRECTION_OWN, 0);
    owner_open(&request, "upload", DIRECTION_CLIENT, 0);
    mem_init(&mem, &ledger);
    EXPECT_OK(pool_init(&pool, &mem, &ledger, "buffers", 100, COUNT, 64, &owner));
    mem_set_phase(&mem, MEM_RUN);
}

static void tear_down(void)
{
    pool_fini(&pool);
    owner_close(&request);
    owner_close(&owner);
    ledger_check_empty(&ledger);
}

TEST(each_slot_is_handed_out_once_and_then_the_pool_is_empty)
{
    set_up();
    char *slots[COUNT];
    for (int i = 0; i < COUNT; i++) {
        slots[i] = pool_take(&pool, &request);
        EXPECT(slots[i] != NULL);
        EXPECT_EQ((uintptr_t)slots[i] % 64, 0);
        memset(slots[i], i, 100);
    }
    EXPECT(pool_take(&pool, &request) == NULL);
    EXPECT_EQ(pool.refused, 1);
    EXPECT_EQ(request.held, COUNT);
    for (int i = 0; i < COUNT; i++)
        for (int at = 0; at < 100; at++)
            EXPECT_EQ(slots[i][at], i);
    for (int i = 0; i < COUNT; i++)
        pool_give(&pool, slots[i]);
    EXPECT_EQ(pool.free_count, COUNT);
    EXPECT_EQ(pool.free_count_min, 0);
    tear_down();
}

TEST(a_taken_slot_is_in_the_ledger_with_its_size_owner_and_site)
{
    set_up();
    void *slot = pool_take(&pool, &request);
    struct held *held = pool_held(&pool, slot);
    EXPECT_EQ(ledger.count[HELD_SLOT], 1);
    EXPECT_EQ(ledger.bytes[HELD_SLOT], 100);
    EXPECT(held->owner == &request);
    EXPECT(strstr(held->site->file, "pool_test.c") != NULL);
    pool_give(&pool, slot);
    EXPECT_EQ(ledger.count[HELD_SLOT], 0);
    tear_down();
}

TEST(the_ledger_may_refuse_a_slot_and_waiting_would_not_help_then)
{
    set_up();
    ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT(pool_take(&pool, &request) == NULL);
    EXPECT_EQ(pool.free_count, COUNT);
    struct pool_waiter waiter = {.ready = (void (*)(struct pool_waiter *))abort};
    EXPECT(!pool_wait(&pool, &waiter));
    tear_down();
}

TEST(every_refusal_at_init_leaves_nothing_behind)
{
    for (uint64_t n = 1;; n++) {
        ledger_init(&ledger);
        owner_open(&owner, "test", DIRECTION_OWN, 0);
        mem_init(&mem, &ledger);
        ledger.refusal = (struct refusal){.countdown = n};
        err_t err = pool_init(&pool, &mem, &ledger, "buffers", 100, COUNT, 0, &owner);
        if (!err_is(err)) {
            EXPECT_EQ(n, 3); /* bookkeeping and contents */
            break;
        }
        EXPECT_ERR(err, BUSY);
        ledger_check_empty(&ledger);
    }
    pool_fini(&pool);
    ledger_check_empty(&ledger);
}

#if defined(__has_feature) && !defined(CAIRN_POOL_MALLOC) /* there malloc does this */
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
TEST(a_free_slot_and_the_gap_behind_a_slot_are_poisoned)
{
    set_up();
    char *slot = pool_take(&pool, &request);
    EXPECT(!__asan_address_is_poisoned(slot));
    EXPECT(!__asan_address_is_poisoned(slot + 99));
    EXPECT(__asan_address_is_poisoned(slot + 100));
    pool_give(&pool, slot);
    EXPECT(__asan_address_is_poisoned(slot));
    tear_down();
}
#endif
#endif

struct guest {
    struct pool_waiter waiter;
    void *slot;
    int turn;
};
static int turns;

static void guest_ready(struct pool_waiter *waiter)
{
    struct guest *guest = CONTAINER_OF(waiter, struct guest, waiter);
    guest->turn = ++turns;
    guest->slot = pool_take(&pool, &request);
}

TEST(waiters_get_slots_in_the_order_in_which_they_came)
{
    set_up();
    void *slots[COUNT];
    for (int i = 0; i < COUNT; i++)
        slots[i] = pool_take(&pool, &request);
    struct guest a = {{{0}, guest_ready}, NULL, 0}, b = a, c = a;
    turns = 0;
    EXPECT(pool_wait(&pool, &a.waiter));
    EXPECT(pool_wait(&pool, &b.waiter));
    EXPECT(pool_wait(&pool, &c.waiter));
    pool_wait_cancel(&b.waiter);
    pool_wait_cancel(&b.waiter);
    pool_give(&pool, slots[0]);
    EXPECT_EQ(a.turn, 1);
    EXPECT(a.slot != NULL);
    EXPECT_EQ(c.turn, 0);
    EXPECT(pool_take(&pool, &request) == NULL);
    pool_give(&pool, slots[1]);
    EXPECT_EQ(c.turn, 2);
    EXPECT_EQ(b.turn, 0);
    pool_give(&pool, a.slot);
    pool_give(&pool, c.slot);
    for (int i = 2; i < COUNT; i++)
        pool_give(&pool, slots[i]);
    tear_down();
}

static void decline(struct pool_waiter *waiter)
{
    CONTAINER_OF(waiter, struct guest, waiter)->turn = ++turns;
}

TEST(a_waiter_that_declines_lets_the_next_one_through)
{
    set_up();
    void *slots[COUNT];
    for (int i = 0; i < COUNT; i++)
        slots[i] = pool_take(&pool, &request);
    struct guest a = {{{0}, decline}, NULL, 0}, b = {{{0}, guest_ready}, NULL, 0};
    turns = 0;
    EXPECT(pool_wait(&pool, &a.waiter));
    EXPECT(pool_wait(&pool, &b.waiter));
    pool_give(&pool, slots[0]);
    EXPECT_EQ(a.turn, 1);
    EXPECT_EQ(b.turn, 2);
    pool_give(&pool, b.slot);
    for (int i = 1; i < COUNT; i++)
        pool_give(&pool, slots[i]);
    tear_down();
}

static void give_slot(void *slot)
{
    pool_give(&pool, slot);
}
static void look_at_slot(void *slot)
{
    (void)pool_held(&pool, slot);
}
static void fini_pool(void *context)
{
    pool_fini(context);
}

TEST(giving_twice_giving_a_stranger_and_ending_too_early_are_caught_at_the_spot)
{
    set_up();
    char *slot = pool_take(&pool, &request), *other = pool_take(&pool, &request);
    pool_give(&pool, other);
    EXPECT(test_fails_check(give_slot, other));
    EXPECT(test_fails_check(look_at_slot, other));
    EXPECT(test_fails_check(give_slot, slot + 1));
    EXPECT(test_fails_check(give_slot, &pool));
    EXPECT(test_fails_check(fini_pool, &pool));
    pool_give(&pool, slot);
    tear_down();
}
