/* Named situations of a group's membership, in the simulator: who may start when, who is waited for, who
 * takes whose number. */
#include "base/units.h"
#include "sim/cluster.h"
#include "sim/mem.h"
#include "sim/net.h"
#include "tests/lib/test.h"

#define PATIENCE_NS (2 * NS_PER_MINUTE)

static struct cluster *cluster;

static void open_cluster(uint64_t seed, uint8_t storages)
{
    struct cluster_options options;
    cluster_options_plain(&options, storages);
    cluster = SIM_NEW(struct cluster);
    FILE *trace = getenv("STORY_TRACE") ? stderr : NULL;
    cluster_open(cluster, seed, &options, trace, true);
    *sim_world_net(cluster->world) = (struct sim_net_options){.delay_ns = 200000,
        .stall_max_ns = 20 * NS_PER_S,
        .window = 262144,
        .segment_size_max = 65536};
}

static void close_cluster(void)
{
    EXPECT(cluster_stop_all(cluster, PATIENCE_NS));
    cluster_close(cluster);
    sim_free(cluster);
}

static void boot_trackers(void)
{
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        cluster_boot_tracker(cluster, i);
}

static void boot_storages(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        cluster_boot_storage(cluster, i);
}

static const struct storage *storage_at(unsigned index)
{
    return cluster->storages[index].storage;
}

static enum readiness_wait wait_of(unsigned index)
{
    return storage_at(index)->ready.readiness.wait;
}

/* Of every storage that has a process: running, and a member at `members_wanted` others. */
static uint32_t members_wanted;

static bool all_run(void *context)
{
    (void)context;
    for (unsigned i = 0; i < cluster->options.storages; i++) {
        if (!cluster->storages[i].is_up)
            continue;
        if (!cluster_is_running(cluster, i)
            || roster_member_count(&storage_at(i)->membership.roster) != members_wanted)
            return false;
    }
    return true;
}

static bool wait_for_members(uint32_t members, uint64_t max_ns)
{
    members_wanted = members;
    return cluster_run_until(cluster, all_run, NULL, max_ns);
}

static bool all_are_down(void *context)
{
    (void)context;
    for (unsigned i = 0; i < cluster->options.storages; i++)
        if (cluster->storages[i].is_up)
            return false;
    return true;
}

static void stop_storages(void)
{
    for (unsigned i = 0; i < cluster->options.storages; i++)
        cluster_stop_storage(cluster, i);
    EXPECT(cluster_run_until(cluster, all_are_down, NULL, PATIENCE_NS));
}

TEST(storages_with_new_disks_wait_until_a_tracker_has_answered)
{
    open_cluster(1, 3);
    boot_storages(0, 3);
    cluster_run_for(cluster, NS_PER_MINUTE);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(storage_at(i)->state, STATE_INITING);
        EXPECT_EQ(wait_of(i), READINESS_WAITS_FOR_TRACKER);
    }
    cluster_boot_tracker(cluster, 0);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    boot_trackers();
    close_cluster();
}

TEST(a_group_that_was_there_before_starts_without_any_tracker)
{
    open_cluster(2, 3);
    boot_trackers();
    boot_storages(0, 3);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    stop_storages();
    for (unsigned i = 0; i < cluster->options.trackers; i++)
        cluster_kill_tracker(cluster, i);
    boot_storages(0, 3);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    boot_trackers();
    EXPECT(cluster_run_until(cluster, cluster_is_whole, cluster, PATIENCE_NS));
    close_cluster();
}

TEST(who_comes_later_is_a_member_everywhere_and_stays_one_when_it_is_away)
{
    open_cluster(3, 3);
    boot_trackers();
    boot_storages(0, 2);
    EXPECT(wait_for_members(1, 20 * NS_PER_S));
    boot_storages(2, 1);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    cluster_kill_storage(cluster, 2, false);
    cluster_run_for(cluster, NS_PER_MINUTE);
    EXPECT(wait_for_members(2, NS_PER_S));
    const struct member *third = members_find(&storage_at(0)->loops[0].members, 3);
    EXPECT(third && !third->is_alive && !third->is_removed);
    boot_storages(2, 1);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    close_cluster();
}

TEST(a_member_that_is_away_is_waited_for_and_then_given_up)
{
    open_cluster(4, 2);
    boot_trackers();
    boot_storages(0, 2);
    EXPECT(wait_for_members(1, 20 * NS_PER_S));
    stop_storages();
    boot_storages(0, 1);
    cluster_run_for(cluster, 4 * NS_PER_S);
    EXPECT_EQ(storage_at(0)->state, STATE_CSYNCING);
    EXPECT_EQ(wait_of(0), READINESS_WAITS_FOR_MEMBERS);
    EXPECT(wait_for_members(1, 10 * NS_PER_S));
    boot_storages(1, 1);
    EXPECT(wait_for_members(1, 20 * NS_PER_S));
    close_cluster();
}

/* As if the machine had come back from the workshop. */
static void empty_disks(unsigned index)
{
    struct cluster_storage *storage = &cluster->storages[index];
    cluster_kill_storage(cluster, index, true);
    for (unsigned k = 0; k < cluster->options.shapes[index].mounts; k++)
        sim_mount_replace(storage->node, cluster_mount_path(k));
}

TEST(a_machine_with_new_disks_gets_its_number_when_nobody_has_seen_the_old_one_for_a_minute)
{
    open_cluster(5, 3);
    boot_trackers();
    boot_storages(0, 3);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    struct nonce before = storage_at(1)->uuid;
    empty_disks(1);
    boot_storages(1, 1);
    cluster_run_for(cluster, 40 * NS_PER_S);
    EXPECT_EQ(storage_at(1)->state, STATE_INITING);
    EXPECT(wait_for_members(2, PATIENCE_NS));
    struct nonce after = storage_at(1)->uuid;
    EXPECT(memcmp(&before, &after, sizeof before) != 0);
    for (unsigned i = 0; i < 3; i += 2)
        EXPECT(roster_is_outcast(&storage_at(i)->membership.roster, 2, &before));
    close_cluster();
}
