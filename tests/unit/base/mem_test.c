/* Memory: phases, ledger, zeroes, alignment, refusals. */
#include "base/mem.h"
#include "tests/lib/test.h"

static struct ledger ledger;
static struct owner owner;
static struct mem mem;

static void set_up(void)
{
    ledger_init(&ledger);
    owner_open(&owner, "test", DIRECTION_OWN, 0);
    mem_init(&mem, &ledger);
}

TEST(every_block_is_zeroed_aligned_and_in_the_ledger)
{
    set_up();
    void *blocks[13];
    for (size_t i = 0; i < 13; i++) {
        size_t alignment = (size_t)1 << i, size = 100 + i;
        EXPECT_OK(mem_take(&mem, &owner, size, alignment, &blocks[i]));
        EXPECT_EQ((uintptr_t)blocks[i] % alignment, 0);
        for (size_t at = 0; at < size; at++)
            EXPECT_EQ(((char *)blocks[i])[at], 0);
        memset(blocks[i], 0xff, size);
    }
    EXPECT_EQ(owner.held, 13);
    EXPECT_EQ(ledger.count[HELD_MEM], 13);
    EXPECT_EQ(mem.bytes, 13 * 100 + 12 * 13 / 2);
    EXPECT_EQ(ledger.bytes[HELD_MEM], mem.bytes);
    for (size_t i = 0; i < 13; i++)
        mem_give(&mem, blocks[i]);
    EXPECT_EQ(mem.bytes, 0);
    EXPECT_EQ(mem.bytes_max, 13 * 100 + 12 * 13 / 2);
    ledger_check_empty(&ledger);
}

TEST(nothing_is_taken_while_the_server_runs_but_giving_back_works)
{
    set_up();
    void *block, *other = &mem;
    EXPECT_OK(mem_take(&mem, &owner, 1, 0, &block));
    mem_set_phase(&mem, MEM_RUN);
    EXPECT_ERR(mem_take(&mem, &owner, 1, 0, &other), BUSY);
    EXPECT(other == &mem);
    mem_give(&mem, block);
    mem_set_phase(&mem, MEM_STOP);
    EXPECT_ERR(mem_take(&mem, &owner, 1, 0, &other), BUSY);
    mem.is_unphased = true;
    EXPECT_OK(mem_take(&mem, &owner, 1, 0, &other));
    mem_give(&mem, other);
    ledger_check_empty(&ledger);
}

TEST(a_refusal_by_the_ledger_leaves_nothing_behind)
{
    set_up();
    void *block = NULL;
    ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT_ERR(mem_take(&mem, &owner, 10, 0, &block), BUSY);
    EXPECT(block == NULL);
    EXPECT_EQ(mem.bytes, 0);
    ledger_check_empty(&ledger);
}

TEST(more_memory_than_there_is_is_an_answer)
{
    set_up();
    void *block = NULL;
    EXPECT_ERR(mem_take(&mem, &owner, SIZE_MAX - 64, 4096, &block), NO_RESOURCE);
    EXPECT(block == NULL);
    EXPECT_EQ(owner.held, 0);
}

TEST(giving_nothing_back_is_fine)
{
    set_up();
    mem_give(&mem, NULL);
}

static void give_to_another(void *block)
{
    struct mem other;
    mem_init(&other, &ledger);
    mem_give(&other, block);
}
static void go_back(void *context)
{
    mem_set_phase(context, MEM_BOOT);
}

TEST(giving_to_a_foreign_instance_and_going_back_in_phase_are_caught)
{
    set_up();
    void *block;
    EXPECT_OK(mem_take(&mem, &owner, 1, 0, &block));
    EXPECT(test_fails_check(give_to_another, block));
    mem_set_phase(&mem, MEM_RUN);
    EXPECT(test_fails_check(go_back, &mem));
    mem_give(&mem, block);
}
