/* The swarm finds what it is there to find: with a sync left out, or an answer given too early, it
 * fails within a few seeds. */
#include "sim/store_swarm.h"
#include "tests/lib/test.h"

enum { SEEDS = 400 };

/* The first seed that fails; 0: none. */
static uint64_t first_failure(struct store_swarm_options options)
{
    for (options.seed = 1; options.seed <= SEEDS; options.seed++) {
        struct store_swarm_result result;
        store_swarm_run(&options, &result);
        if (result.failure[0])
            return options.seed;
    }
    return 0;
}

TEST(an_honest_disk_and_an_honest_store_pass)
{
    EXPECT_EQ(first_failure((struct store_swarm_options){0}), 0);
}

TEST(canary_log_writes_that_are_not_durable_are_found)
{
    EXPECT(first_failure((struct store_swarm_options){.ignores_sync_of = "/log/"}) > 0);
}

TEST(canary_chunk_files_that_are_not_synced_are_found)
{
    EXPECT(first_failure((struct store_swarm_options){.ignores_sync_of = "/chunks/"}) > 0);
}

TEST(canary_single_files_that_are_not_synced_are_found)
{
    EXPECT(first_failure((struct store_swarm_options){.ignores_sync_of = "/new/"}) > 0);
}

TEST(canary_renames_of_single_files_that_are_not_synced_are_found)
{
    EXPECT(first_failure((struct store_swarm_options){.ignores_sync_of = "/singles/"}) > 0);
}

TEST(canary_checkpoints_that_are_not_synced_are_found)
{
    EXPECT(first_failure((struct store_swarm_options){.ignores_sync_of = "/ckpt"}) > 0);
}

TEST(canary_an_answer_before_the_commit_is_found)
{
    EXPECT(first_failure((struct store_swarm_options){.acknowledges_early = true}) > 0);
}
