/* Storages that differ become equal, and nothing that was deleted comes back. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"

enum { FILES = 24 };

static struct group group = {.is_still = true};
static const size_t sizes[] = {0, 700, 3000, 9000, 16000, 17000, 70000};

static size_t size_of(unsigned i)
{
    return sizes[i % ARRAY_LEN(sizes)] + i;
}

static void open_group(uint64_t seed, unsigned count, unsigned loops)
{
    group_open(&group, seed, count, loops);
    for (unsigned i = 0; i < count; i++)
        group_start(&group, i);
    group_introduce(&group);
}

static struct reconcile *reconcile_at(unsigned index)
{
    return &group.houses[index].storage->reconcile;
}

struct wanted {
    unsigned index;
    uint64_t pass;
};

static bool is_over(struct group *it, void *context)
{
    const struct wanted *wanted = context;
    (void)it;
    return reconcile_is_over(reconcile_at(wanted->index), wanted->pass);
}

/* A whole pass at one storage: what it came to. */
static struct reconcile_sums pass(unsigned index)
{
    struct wanted wanted = {index, reconcile_request(reconcile_at(index), false)};
    EXPECT(group_run_until(&group, is_over, &wanted));
    return reconcile_at(index)->shown;
}

static void pass_at_all(void)
{
    for (unsigned i = 0; i < group.count; i++)
        if (group.houses[i].is_there)
            (void)pass(i);
}

/* Every digest is the same, and so says a pass. */
static void expect_equal(void)
{
    for (unsigned i = 0; i < group.count; i++) {
        struct reconcile_sums sums = pass(i);
        EXPECT_EQ(sums.members_failed, 0);
        EXPECT_EQ(sums.differed, 0);
        EXPECT_EQ(sums.remaining, 0);
        EXPECT_EQ(sums.failed, 0);
    }
}

TEST(what_one_storage_lacks_is_brought_whatever_it_is)
{
    for (unsigned loops = 1; loops <= 2; loops++) {
        struct fid fids[2 * FILES];
        open_group(loops, 2, loops);
        for (unsigned i = 0; i < 2 * FILES; i++)
            fids[i] = group_put(&group, i % 2, size_of(i), i);
        for (unsigned i = 0; i < 2 * FILES; i += 5)
            group_modify(&group, i % 2, &fids[i], MODIFY_REPLACE, 0, 12000, i + 100);
        struct reconcile_sums sums = pass(0);
        EXPECT_EQ(sums.members, 1);
        EXPECT_EQ(sums.members_failed, 0);
        EXPECT_EQ(sums.taken, FILES);
        EXPECT_EQ(sums.failed, 0);
        sums = pass(1);
        EXPECT_EQ(sums.taken, FILES);
        EXPECT_EQ(sums.remaining, 0);
        expect_equal();
        for (unsigned round = 0; round < 2; round++) {
            for (unsigned i = 0; i < 2 * FILES; i++)
                for (unsigned at = 0; at < 2; at++) {
                    EXPECT_OK(group_find_err(&group, at, &fids[i], true));
                    if (i % 5 == 0)
                        group_expect(&group, at, &fids[i], 12000, i + 100);
                    else
                        group_expect(&group, at, &fids[i], size_of(i), i);
                }
            for (unsigned at = 0; at < 2 && round == 0; at++) {
                group_kill(&group, at, true);
                group_start(&group, at);
            }
            group_introduce(&group);
            expect_equal();
        }
        group_close(&group);
    }
}

TEST(older_versions_are_replaced_and_newer_ones_stay)
{
    open_group(3, 2, 1);
    struct fid slot = group_put(&group, 0, 3000, 1), single = group_put(&group, 0, 40000, 2);
    pass_at_all();
    group_modify(&group, 0, &slot, MODIFY_REPLACE, 0, 2000, 3);
    group_modify(&group, 0, &single, MODIFY_APPEND, 0, 500, 4);
    group_modify(&group, 0, &single, MODIFY_REPLACE, 0, 30000, 5);
    EXPECT_EQ(pass(0).taken, 0); /* it has the newer ones */
    EXPECT_EQ(pass(1).taken, 2);
    for (unsigned at = 0; at < 2; at++) {
        group_expect(&group, at, &slot, 2000, 3);
        group_expect(&group, at, &single, 30000, 5);
    }
    group_modify(&group, 1, &slot, MODIFY_REPLACE, 0, 2500, 6); /* at the mirror this time */
    EXPECT_EQ(pass(0).taken, 1);
    group_expect(&group, 0, &slot, 2500, 6);
    expect_equal();
    group_close(&group);
}

TEST(a_delete_that_one_storage_knows_reaches_the_other_and_never_goes_back)
{
    open_group(4, 2, 1);
    struct fid slot = group_put(&group, 0, 3000, 1), stays = group_put(&group, 0, 3000, 2);
    pass_at_all();
    EXPECT_OK(group_find_err(&group, 1, &slot, true));
    group_remove(&group, 0, &slot, true);
    EXPECT_EQ(pass(0).taken, 0); /* the mirror has it still: it does not come back */
    EXPECT_ERR(group_find_err(&group, 0, &slot, true), NOT_FOUND);
    EXPECT_EQ(pass(1).deleted, 1); /* the tombstone tells */
    EXPECT_ERR(group_find_err(&group, 1, &slot, true), NOT_FOUND);
    EXPECT_ERR(group_find_err(&group, 1, &slot, false), NOT_FOUND);
    group_expect(&group, 1, &stays, 3000, 2);
    expect_equal();
    group_close(&group);
}

/* A single file leaves no tombstone where it was born. The mirror was away too long to hear of the delete:
 * that the origin covers the id and does not have it is the proof. */
TEST(what_was_deleted_while_a_storage_was_away_is_deleted_there_too)
{
    open_group(14, 2, 1);
    struct fid gone = group_put(&group, 0, 50000, 1), stays = group_put(&group, 0, 50000, 2);
    pass_at_all();
    group_remove(&group, 0, &gone, true);
    EXPECT_EQ(pass(0).taken, 0);
    EXPECT_OK(group_find_err(&group, 1, &gone, true));
    group_run_for(&group, 2 * RECONCILE_QUIET_MS * NS_PER_MS);
    EXPECT_EQ(pass(1).deleted, 1);
    EXPECT_ERR(group_find_err(&group, 1, &gone, true), NOT_FOUND);
    group_expect(&group, 1, &stays, 50000, 2);
    expect_equal();
    group_close(&group);
}

/* The origin lost its disk and does not cover what was born before: it takes, and nobody deletes. */
TEST(what_the_origin_lost_is_not_taken_for_deleted)
{
    open_group(15, 2, 1);
    struct fid single = group_put(&group, 0, 50000, 1);
    pass_at_all();
    group_kill(&group, 0, true);
    group_wipe(&group, 0);
    group_start(&group, 0);
    group_introduce(&group);
    group_run_for(&group, 2 * RECONCILE_QUIET_MS * NS_PER_MS);
    EXPECT_EQ(pass(1).deleted, 0);
    EXPECT_EQ(pass(0).taken, 1);
    group_expect(&group, 0, &single, 50000, 1);
    expect_equal();
    group_close(&group);
}

/* ---- a disk that was lost ---- */

static bool is_running(struct group *it, void *context)
{
    (void)it;
    return ((const struct group_house *)context)->storage->state == STATE_RUNNING;
}

static void fill(unsigned index)
{
    struct reconcile *reconcile = reconcile_at(index);
    reconcile_fill(reconcile);
    for (unsigned i = 0; i < 100 && !reconcile_is_filled(reconcile); i++)
        group_run_for(&group, NS_PER_S);
    EXPECT(reconcile_is_filled(reconcile));
}

TEST(an_emptied_storage_is_filled_with_every_byte_and_its_old_ids_stay_good)
{
    struct fid fids[2 * FILES], gone;
    open_group(5, 2, 1);
    for (unsigned i = 0; i < 2 * FILES;
         i++) /* no slots of its own: nobody tells it here which are used */
        fids[i] = group_put(&group, size_of(i) <= 16384, size_of(i), i);
    gone = group_put(&group, 1, 3000, 77);
    pass_at_all();
    group_remove(&group, 1, &gone, true);
    pass_at_all();
    expect_equal();
    group_kill(&group, 0, true);
    group_wipe(&group, 0);
    group_start(&group, 0);
    group_introduce(&group);
    EXPECT(group_run_until(&group, is_running, &group.houses[0]));
    fill(0);
    EXPECT(reconcile_at(0)->shown.bytes > 100000);
    for (unsigned i = 0; i < 2 * FILES; i++) {
        EXPECT_OK(group_find_err(&group, 0, &fids[i], true));
        group_expect(&group, 0, &fids[i], size_of(i), i);
    }
    EXPECT_ERR(group_find_err(&group, 0, &gone, false), NOT_FOUND);
    expect_equal();
    group_close(&group);
}

TEST(a_filling_that_is_interrupted_goes_on_where_it_was)
{
    static const char *const slow[] = {"--rebuild-rate=32KiB", NULL};
    struct fid fids[2 * FILES];
    group.flags = slow;
    open_group(6, 2, 1);
    for (unsigned i = 0; i < 2 * FILES; i++)
        fids[i] = group_put(&group, 1, size_of(i), i);
    uint64_t taken = 0;
    for (unsigned round = 0; round < 4; round++) {
        reconcile_fill(reconcile_at(0));
        group_run_for(&group, 6 * NS_PER_S);
        taken += reconcile_at(0)->sums.taken;
        group_kill(&group, 0, round % 2 == 0);
        group_start(&group, 0);
        group_introduce(&group);
    }
    EXPECT(taken > 4);
    fill(0);
    EXPECT(reconcile_at(0)->shown.taken < 2 * FILES);
    for (unsigned i = 0; i < 2 * FILES; i++) {
        EXPECT_OK(group_find_err(&group, 0, &fids[i], true));
        group_expect(&group, 0, &fids[i], size_of(i), i);
    }
    expect_equal();
    group_close(&group);
    group.flags = NULL;
}

TEST(how_far_a_filling_is_can_be_seen)
{
    static const char *const slow[] = {"--rebuild-rate=32KiB", NULL};
    enum { MANY = 120 };
    uint64_t done = 0, all = 0, before = 0;
    group.flags = slow;
    open_group(13, 2, 1);
    for (unsigned i = 0; i < MANY; i++)
        (void)group_put(&group, 1, 2000, i);
    (void)group_put(&group, 1, 40000, 1);
    const struct storage *storage = group.houses[0].storage;
    reconcile_fill(reconcile_at(0));
    for (unsigned i = 0; i < 5; i++) {
        group_run_for(&group, NS_PER_S);
        storage->filling.progress(storage, &done, &all);
        EXPECT_EQ(all, MANY + 1);
        EXPECT(done > before && done < all);
        before = done;
    }
    fill(0);
    storage->filling.progress(storage, &done, &all);
    EXPECT_EQ(done, all);
    group_close(&group);
    group.flags = NULL;
}

static uint64_t fetched_alone(unsigned index)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < group.loop_count; i++)
        sum += group.houses[index].storage->loops[i].pulls.pulled;
    return sum;
}

TEST(small_files_are_taken_many_at_a_time)
{
    enum { MANY = 400 };
    struct fid fids[MANY], outgrown;
    open_group(10, 2, 2);
    for (unsigned i = 0; i < MANY; i++)
        fids[i] = group_put(&group, 1, 600 + i, i);
    outgrown = group_put(&group, 1, 600, 1);
    group_modify(&group, 1, &outgrown, MODIFY_REPLACE, 0, 9000, 2);
    fill(0);
    EXPECT_EQ(reconcile_at(0)->shown.taken, MANY + 1);
    EXPECT_EQ(reconcile_at(0)->shown.failed, 0);
    EXPECT_EQ(reconcile_at(0)->bulk.harvested, MANY);
    EXPECT_EQ(fetched_alone(0), 1);
    for (unsigned i = 0; i < MANY; i++)
        group_expect(&group, 0, &fids[i], 600 + i, i);
    group_expect(&group, 0, &outgrown, 9000, 2);
    expect_equal();
    group_close(&group);
}

static void flip(unsigned index, const struct fid *fid, uint64_t at)
{
    struct place home = group_home(fid);
    struct chunk_key key = chunk_key_of(&home);
    char path[CHUNK_NAME_MAX + 8] = "/m0/";
    chunk_path(path + 4, &key);
    sim_file_flip_bit(group.houses[index].node, path, home.offset + at, 5);
}

TEST(a_file_that_is_damaged_at_the_member_holds_none_of_its_neighbours_up)
{
    struct fid fids[FILES];
    open_group(11, 2, 1);
    for (unsigned i = 0; i < FILES; i++)
        fids[i] = group_put(&group, 1, 3000, i);
    group_stop(&group, 1);
    group_start(&group, 1);
    group_introduce(&group);
    flip(1, &fids[7], 300);
    struct reconcile_sums sums = pass(0);
    EXPECT_EQ(sums.taken, FILES - 1);
    EXPECT_EQ(sums.failed, 1);
    EXPECT_ERR(group_find_err(&group, 0, &fids[7], true), NOT_FOUND);
    for (unsigned i = 0; i < FILES; i++)
        if (i != 7)
            group_expect(&group, 0, &fids[i], 3000, i);
    group_close(&group);
}

TEST(a_member_that_dies_in_the_middle_of_many_ends_the_pass_and_the_next_one_goes_on)
{
    enum { MANY = 300 };
    struct fid fids[MANY];
    for (unsigned ms = 1; ms < 60; ms += 7) {
        open_group(12 + ms, 2, 1);
        for (unsigned i = 0; i < MANY; i++)
            fids[i] = group_put(&group, 1, 900, i);
        struct wanted wanted = {0, reconcile_request(reconcile_at(0), false)};
        group_run_for(&group, 100 * NS_PER_MS + ms * NS_PER_MS);
        group_kill(&group, 1, true);
        EXPECT(group_run_until(&group, is_over, &wanted));
        group_start(&group, 1);
        group_introduce(&group);
        EXPECT_EQ(pass(0).failed, 0);
        for (unsigned i = 0; i < MANY; i++)
            EXPECT_OK(group_find_err(&group, 0, &fids[i], true));
        group_close(&group);
    }
}

TEST(a_storage_that_is_alone_says_that_it_asked_nobody)
{
    open_group(7, 2, 1);
    (void)group_put(&group, 0, 3000, 1);
    group_stop(&group, 1);
    group_introduce(&group);
    EXPECT_EQ(pass(0).members, 0);
    reconcile_fill(reconcile_at(0));
    group_run_for(&group, 30 * NS_PER_S);
    EXPECT(!reconcile_is_filled(reconcile_at(0)));
    group_close(&group);
}

TEST(three_storages_become_equal_although_one_is_dead)
{
    open_group(8, 3, 1);
    struct fid fid = group_put(&group, 0, 9000, 1), single = group_put(&group, 0, 50000, 2);
    (void)pass(1);
    group_kill(&group, 0, true); /* the third never heard of it */
    group_introduce(&group);
    EXPECT_EQ(pass(2).taken, 2);
    group_expect(&group, 2, &fid, 9000, 1);
    group_expect(&group, 2, &single, 50000, 2);
    EXPECT_EQ(pass(1).differed, 0);
    EXPECT_EQ(pass(2).differed, 0);
    group_close(&group);
}

TEST(it_compares_by_itself_and_repairs)
{
    static const char *const often[] = {"--compare-interval=5s", NULL};
    group.flags = often;
    open_group(9, 2, 1);
    struct fid fid = group_put(&group, 0, 9000, 1);
    group_run_for(&group, 20 * NS_PER_S);
    EXPECT_OK(group_find_err(&group, 1, &fid, true));
    EXPECT(group_logged(&group, "reconciled"));
    group_close(&group);
    group.flags = NULL;
}
